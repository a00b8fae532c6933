/* Dense search: how long a scan of every vector takes, by kernel and by what is read, against exact cosines of 32-bit
 * floats in the same run; what part of the exact ten best it finds; and how long the vectors take to come in.
 *
 * Vectors are drawn in clusters (seeded), or are those of real texts, one a line, embedded by the house embedder.
 * Times are medians over the questions with the 10th and the 90th percentile; nothing is asserted.
 *
 *     build/tests/bench/bench_vector [dimensions [rows…]]          default: 384 10000 100000
 *     build/tests/bench/bench_vector --texts FILE MODEL.gguf [rows…]
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/static_embed.h"
#include "helper/testing.h"
#include "retrieval/vector.h"

enum { QUESTIONS = 100, TOP = 10, WANT = 100, CLUSTERS = 500, KERNELS = 8, LINE_MAX_BYTES = 4000 };

struct data {
    uint32_t dimensions;
    uint32_t rows;
    float *values;    /* rows x dimensions, norm 1 */
    float *questions; /* QUESTIONS x dimensions, norm 1 */
    float *exact;     /* QUESTIONS: the cosine of the tenth nearest row */
};

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "bench_vector: %s\n", err->message[LANG_EN]);
    exit(1);
}

static void *must_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        fprintf(stderr, "bench_vector: out of memory\n");
        exit(1);
    }
    return memory;
}

/* ---------------------------------------------------------------- vectors */

static float noise(struct testing_random *random)
{
    return (float)(testing_next(random) >> 40) / (1 << 23) - 1;
}

static void draw(struct testing_random *random, const float *center, uint32_t dimensions,
                 float *ret)
{
    double square = 0;
    for (uint32_t j = 0; j < dimensions; j++) {
        ret[j] = (center ? center[j] : 0) + noise(random);
        square += (double)ret[j] * ret[j];
    }
    for (uint32_t j = 0; j < dimensions; j++)
        ret[j] = (float)(ret[j] / sqrt(square));
}

static void draw_all(struct data *data)
{
    struct testing_random random;
    testing_seed(&random);
    size_t size = data->dimensions;
    float *centers = must_alloc(CLUSTERS * size, sizeof(float));
    for (size_t i = 0; i < CLUSTERS * size; i++)
        centers[i] = noise(&random);
    for (uint32_t i = 0; i < data->rows; i++)
        draw(&random, centers + testing_below(&random, CLUSTERS) * size, data->dimensions,
             data->values + i * size);
    for (uint32_t i = 0; i < QUESTIONS; i++)
        draw(&random, centers + testing_below(&random, CLUSTERS) * size, data->dimensions,
             data->questions + i * size);
    free(centers);
}

/* The first lines become rows; the beginnings of the last ones questions. */
static void embed_all(struct data *data, FILE *file, const struct static_embed *model)
{
    char line[LINE_MAX_BYTES];
    rewind(file);
    uint32_t row = 0;
    while (row < data->rows && fgets(line, sizeof(line), file))
        row += static_embed_text(model, line, strlen(line),
                                 data->values + (size_t)row * model->dimensions) > 0;
    data->rows = row;
    uint32_t question = 0;
    while (question < QUESTIONS && fgets(line, sizeof(line), file)) {
        size_t length = strnlen(line, 60);
        question += static_embed_text(model, line, length,
                                      data->questions + (size_t)question * model->dimensions) > 0;
    }
}

/* ---------------------------------------------------------------- measuring */

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Prints median, 10th and 90th percentile and returns the median. */
static double print_times(double *times)
{
    qsort(times, QUESTIONS, sizeof(*times), compare);
    printf("%8.3f ms (%.3f .. %.3f)", times[QUESTIONS / 2], times[QUESTIONS / 10],
           times[QUESTIONS * 9 / 10]);
    return times[QUESTIONS / 2];
}

__attribute__((target_clones("avx512f", "avx2", "default"))) static float dot(const float *a,
                                                                              const float *b,
                                                                              uint32_t size)
{
    float lanes[64] = {0};
    uint32_t j = 0;
    for (; j + 64 <= size; j += 64)
        for (uint32_t lane = 0; lane < 64; lane++)
            lanes[lane] += a[j + lane] * b[j + lane];
    float sum = 0;
    for (; j < size; j++)
        sum += a[j] * b[j];
    for (uint32_t lane = 0; lane < 64; lane++)
        sum += lanes[lane];
    return sum;
}

/* The peer: all floats. */
static double measure_floats(struct data *data)
{
    double times[QUESTIONS];
    for (uint32_t q = 0; q < QUESTIONS; q++) {
        const float *question = data->questions + (size_t)q * data->dimensions;
        struct top_item items[TOP] = {{0}};
        struct top top = {.items = items, .want = TOP};
        int64_t begin = clock_now_ns();
        for (uint32_t i = 0; i < data->rows; i++) {
            float score =
                dot(question, data->values + (size_t)i * data->dimensions, data->dimensions);
            if (top_admits(&top, score))
                top_offer(&top, (struct top_item){score, i});
        }
        times[q] = clock_ms_since(begin);
        top_sort(&top);
        data->exact[q] = items[top.count - 1].score;
    }
    printf("  %-24s", "f32, all of it");
    double median = print_times(times);
    printf("\n");
    return median;
}

static void measure(const struct data *data, const struct vectors *vectors, const char *name,
                    double peer)
{
    double times[QUESTIONS];
    size_t right = 0;
    struct err err;
    for (uint32_t q = 0; q < QUESTIONS; q++) {
        const float *question = data->questions + (size_t)q * data->dimensions;
        struct top_item items[WANT] = {{0}};
        struct top top = {.items = items, .want = WANT};
        int64_t begin = clock_now_ns();
        must(vectors_top(vectors, question, data->dimensions, NULL, &top, &err), &err);
        times[q] = clock_ms_since(begin);
        for (size_t i = 0; i < TOP && i < top.count; i++) {
            const float *values = data->values + (size_t)items[i].number * data->dimensions;
            right += dot(question, values, data->dimensions) >= data->exact[q] - 1e-6f;
        }
    }
    printf("  %-24s", name);
    double median = print_times(times);
    printf("  x %.1f  recall@10 %.4f\n", peer / median, (double)right / (QUESTIONS * TOP));
}

static void measure_all(struct data *data)
{
    struct vectors *vectors;
    struct err err;
    must(vectors_new(&vectors, &err), &err);
    int64_t begin = clock_now_ns();
    for (uint32_t i = 0; i < data->rows; i++)
        must(vectors_set(vectors, i, data->values + (size_t)i * data->dimensions, data->dimensions,
                         &err),
             &err);
    double seconds = clock_ms_since(begin) / 1e3;
    printf("%" PRIu32 " x %" PRIu32 ": in after %.2f s (%.0f rows/s)\n", data->rows,
           data->dimensions, seconds, data->rows / seconds);
    double peer = measure_floats(data);
    const struct vector_kernel *kernels[KERNELS];
    size_t count = vector_kernel_list(kernels, KERNELS);
    for (size_t k = 0; k < count; k++) {
        for (int bits = 0; bits < 2; bits++) {
            char name[64];
            snprintf(name, sizeof(name), "%s, %s", bits ? "1 bit" : "int8", kernels[k]->name);
            vectors_configure(vectors, kernels[k], bits ? 0 : SIZE_MAX);
            measure(data, vectors, name, peer);
        }
    }
    vectors_free(vectors);
}

static void run(uint32_t dimensions, uint32_t rows, FILE *texts, const struct static_embed *model)
{
    struct data data = {.dimensions = dimensions, .rows = rows};
    data.values = must_alloc((size_t)rows * dimensions, sizeof(float));
    data.questions = must_alloc((size_t)QUESTIONS * dimensions, sizeof(float));
    data.exact = must_alloc(QUESTIONS, sizeof(float));
    if (texts)
        embed_all(&data, texts, model);
    else
        draw_all(&data);
    measure_all(&data);
    free(data.values);
    free(data.questions);
    free(data.exact);
}

int main(int argc, char **argv)
{
    FILE *texts = NULL;
    struct static_embed model;
    struct err err;
    uint32_t dimensions = 384;
    int at = 1;
    if (argc > 3 && strcmp(argv[1], "--texts") == 0) {
        texts = fopen(argv[2], "re");
        if (!texts) {
            perror(argv[2]);
            return 1;
        }
        must(static_embed_open(argv[3], &model, &err), &err);
        dimensions = model.dimensions;
        at = 4;
    } else if (argc > 1) {
        dimensions = (uint32_t)strtoul(argv[at++], NULL, 10);
    }
    if (at == argc) {
        run(dimensions, 10000, texts, &model);
        run(dimensions, 100000, texts, &model);
    }
    for (; at < argc; at++)
        run(dimensions, (uint32_t)strtoul(argv[at], NULL, 10), texts, &model);
    if (texts) {
        fclose(texts);
        static_embed_close(&model);
    }
    return 0;
}
