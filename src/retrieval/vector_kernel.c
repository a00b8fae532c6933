/* The kernels. Each is compiled for its own processor by a target attribute, and chosen at run time, so one program runs
 * on all of them.
 *
 * AVX2 has a product of unsigned with signed bytes only, whose pairs are added with saturation at 16 bits: |query| takes
 * the unsigned side and its signs go to the row; 2 * 127 * 127 fits. AVX-512 VNNI adds four products without saturation,
 * but has no way to move signs: the query is raised by 128 instead, and 128 * sum(row) is taken off afterwards.
 */
#include "retrieval/vector_kernel.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---------------------------------------------------------------- plain C */

static void dot_scalar(const int8_t *query, const int8_t *rows, const int32_t *sums, size_t stride,
                       size_t count, int32_t *ret)
{
    (void)sums;
    for (size_t i = 0; i < count; i++, rows += stride) {
        int32_t sum = 0;
        for (size_t j = 0; j < stride; j++)
            sum += query[j] * rows[j];
        ret[i] = sum;
    }
}

/* Inlined into a kernel, so that the popcount is that processor's. */
static inline __attribute__((always_inline)) void count_bits(const uint64_t *planes,
                                                             const uint64_t *rows, size_t words,
                                                             size_t groups, uint32_t *ret)
{
    for (size_t group = 0; group < groups; group++, ret += VECTOR_GROUP) {
        memset(ret, 0, VECTOR_GROUP * sizeof(*ret));
        for (size_t word = 0; word < words; word++, rows += VECTOR_GROUP)
            for (size_t i = 0; i < VECTOR_GROUP; i++)
                for (unsigned plane = 0; plane < VECTOR_QUERY_PLANES; plane++)
                    ret[i] += (uint32_t)__builtin_popcountll(planes[plane * words + word] & rows[i])
                              << plane;
    }
}

static void bits_scalar(const uint64_t *planes, const uint64_t *rows, size_t words, size_t groups,
                        uint32_t *ret)
{
    count_bits(planes, rows, words, groups, ret);
}

const struct vector_kernel vector_kernel_scalar = {"scalar", dot_scalar, bits_scalar};

#if defined(__x86_64__)

/* ---------------------------------------------------------------- AVX2 */

__attribute__((target("avx2"))) static int32_t add_lanes_avx2(__m256i sum)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(four);
}

__attribute__((target("avx2"))) static void dot_avx2(const int8_t *query, const int8_t *rows,
                                                     const int32_t *sums, size_t stride,
                                                     size_t count, int32_t *ret)
{
    (void)sums;
    const __m256i ones = _mm256_set1_epi16(1);
    for (size_t i = 0; i < count; i++, rows += stride) {
        __m256i sum = _mm256_setzero_si256();
        for (size_t j = 0; j < stride; j += 32) {
            __m256i q = _mm256_loadu_si256((const void *)(query + j));
            __m256i row = _mm256_loadu_si256((const void *)(rows + j));
            __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(row, q));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
        }
        ret[i] = add_lanes_avx2(sum);
    }
}

__attribute__((target("popcnt"))) static void bits_popcnt(const uint64_t *planes,
                                                          const uint64_t *rows, size_t words,
                                                          size_t groups, uint32_t *ret)
{
    count_bits(planes, rows, words, groups, ret);
}

static const struct vector_kernel kernel_avx2 = {"avx2", dot_avx2, bits_popcnt};

/* ---------------------------------------------------------------- AVX-512 */

#define AVX512_VNNI "avx512f,avx512bw,avx512vnni"

__attribute__((target(AVX512_VNNI))) static void dot_vnni(const int8_t *query, const int8_t *rows,
                                                          const int32_t *sums, size_t stride,
                                                          size_t count, int32_t *ret)
{
    const __m512i raise = _mm512_set1_epi8((char)0x80);
    for (size_t i = 0; i < count; i++, rows += stride) {
        __m512i sum = _mm512_setzero_si512();
        for (size_t j = 0; j < stride; j += 64) {
            __m512i q = _mm512_xor_si512(_mm512_loadu_si512(query + j), raise); /* q + 128 */
            sum = _mm512_dpbusd_epi32(sum, q, _mm512_loadu_si512(rows + j));
        }
        ret[i] = _mm512_reduce_add_epi32(sum) - 128 * sums[i];
    }
}

static const struct vector_kernel kernel_vnni = {"avx512-vnni", dot_vnni, bits_popcnt};

_Static_assert(VECTOR_QUERY_PLANES == 4, "bits_vpopcnt has a variable for each plane");

/* How many bits each word of a group shares with a word of the query. */
__attribute__((target("avx512f,avx512vpopcntdq"))) static inline __m512i shared_bits(__m512i row,
                                                                                     uint64_t query)
{
    return _mm512_popcnt_epi64(_mm512_and_si512(row, _mm512_set1_epi64((long long)query)));
}

__attribute__((target("avx512f,avx512vpopcntdq"))) static void bits_vpopcnt(
    const uint64_t *planes, const uint64_t *rows, size_t words, size_t groups, uint32_t *ret)
{
    for (size_t group = 0; group < groups; group++, ret += VECTOR_GROUP) {
        /* Four variables and no array: under its address sanitizer gcc 12 does not align one on the stack. */
        __m512i ones = _mm512_setzero_si512();
        __m512i twos = ones;
        __m512i fours = ones;
        __m512i eights = ones;
        for (size_t word = 0; word < words; word++, rows += VECTOR_GROUP) {
            __m512i row = _mm512_loadu_si512(rows);
            ones = _mm512_add_epi64(ones, shared_bits(row, planes[word]));
            twos = _mm512_add_epi64(twos, shared_bits(row, planes[words + word]));
            fours = _mm512_add_epi64(fours, shared_bits(row, planes[2 * words + word]));
            eights = _mm512_add_epi64(eights, shared_bits(row, planes[3 * words + word]));
        }
        __m512i low = _mm512_add_epi64(ones, _mm512_slli_epi64(twos, 1));
        __m512i high = _mm512_add_epi64(fours, _mm512_slli_epi64(eights, 1));
        __m512i sum = _mm512_add_epi64(low, _mm512_slli_epi64(high, 2));
        _mm256_storeu_si256((void *)ret, _mm512_cvtepi64_epi32(sum));
    }
}

static const struct vector_kernel kernel_vpopcnt = {"avx512-vnni-vpopcnt", dot_vnni, bits_vpopcnt};

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
}

static bool has_vnni(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vnni");
}

#endif

size_t vector_kernel_list(const struct vector_kernel **ret, size_t max)
{
    size_t count = 0;
    if (count < max)
        ret[count++] = &vector_kernel_scalar;
#if defined(__x86_64__)
    if (count < max && has_avx2())
        ret[count++] = &kernel_avx2;
    if (count < max && has_vnni())
        ret[count++] = &kernel_vnni;
    if (count < max && has_vnni() && __builtin_cpu_supports("avx512vpopcntdq"))
        ret[count++] = &kernel_vpopcnt;
#endif
    return count;
}

const struct vector_kernel *vector_kernel_best(void)
{
    enum { KERNELS = 4 };
    const struct vector_kernel *kernels[KERNELS];
    size_t count = vector_kernel_list(kernels, KERNELS);
    return kernels[count - 1];
}
