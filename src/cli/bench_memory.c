/* How one row is measured. The model is written; what it will take is predicted; it is loaded, used to the full (a chat
 * model's whole context is computed, an embedder is given texts that fill its batch), and its worker is asked what it
 * holds. Loads before the last are what the registry learns from; before the last one it predicts again. Everything goes
 * through the registry that the service uses, into workers as the service has them. */
#include "cli/bench_memory.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/bench_model.h"
#include "config/config.h"
#include "orchestrator/fit.h"
#include "orchestrator/registry.h"

enum {
    NICE = 5, /* a measurement of memory is in no hurry */
    SEED = 20260917,
    ROOM_EXTRA_MIB = 256, /* that stay free on the disk, and in memory */
    ARENA_BYTES = 64 << 20,
    WAIT_MS = 20 * 60 * 1000, /* longest that one model may take */
};

#define MIB (UINT64_C(1) << 20)

struct plan {
    struct bench_shape shape;
    uint32_t context;
    uint32_t slots;
    enum kv_type kv_type;
};

/* From tiny to about a gigabyte: types, numbers of heads, lengths of keys, windows, vocabularies, caches. A whole context
 * is computed at each load, so where models are large contexts are short, and much of them is vocabulary. */
/* clang-format off */
static const struct plan plans[] = {
    {{"tiny", "llama", ROLE_CHAT, BENCH_F16, 256, 4, 4, 2, 64, 512, 2000, 0, 4096}, 2048, 1, KV_F16},
    {{"small", "llama", ROLE_CHAT, BENCH_Q8_0, 512, 8, 8, 2, 64, 1536, 8000, 0, 8192}, 1024, 4, KV_F16},
    {{"wide-vocabulary", "llama", ROLE_CHAT, BENCH_Q4_0, 512, 4, 8, 8, 64, 1024, 128000, 0, 4096}, 1024, 1, KV_F16},
    {{"middle-f16", "llama", ROLE_CHAT, BENCH_F16, 1024, 8, 16, 4, 64, 2816, 16000, 0, 8192}, 512, 4, KV_F16},
    {{"middle-q8", "llama", ROLE_CHAT, BENCH_Q8_0, 1024, 8, 16, 16, 64, 2816, 16000, 0, 8192}, 512, 4, KV_F16},
    {{"middle-q4", "llama", ROLE_CHAT, BENCH_Q4_0, 1024, 10, 16, 4, 64, 2816, 32000, 0, 8192}, 512, 8, KV_F16},
    {{"middle-q4-kv-q8", "llama", ROLE_CHAT, BENCH_Q4_0, 1024, 10, 16, 4, 64, 2816, 32000, 0, 8192}, 512, 8, KV_Q8_0},
    {{"long-keys", "qwen3", ROLE_CHAT, BENCH_F16, 768, 8, 8, 4, 128, 2048, 16000, 0, 16384}, 512, 8, KV_F16},
    {{"long-keys-kv-q4", "qwen3", ROLE_CHAT, BENCH_Q8_0, 768, 8, 8, 4, 128, 2048, 16000, 0, 16384}, 768, 8, KV_Q4_0},
    {{"window", "gemma3", ROLE_CHAT, BENCH_Q8_0, 640, 6, 4, 1, 256, 2048, 64000, 512, 8192}, 1024, 4, KV_F16},
    {{"embedder-small", "bert", ROLE_EMBEDDING, BENCH_F16, 384, 6, 12, 12, 32, 1536, 30000, 0, 512}, 512, 1, KV_F16},
    {{"embedder-base", "bert", ROLE_EMBEDDING, BENCH_Q8_0, 768, 6, 12, 12, 64, 3072, 30000, 0, 512}, 512, 1, KV_F16},
    {{"embedder-large", "bert", ROLE_EMBEDDING, BENCH_F16, 1024, 12, 16, 16, 64, 4096, 100000, 0, 512}, 512, 1, KV_F16},
    {{"large-q4", "llama", ROLE_CHAT, BENCH_Q4_0, 2048, 8, 32, 8, 64, 5632, 128000, 0, 8192}, 256, 16, KV_F16},
    {{"large-q8", "llama", ROLE_CHAT, BENCH_Q8_0, 2048, 6, 32, 8, 64, 5632, 128000, 0, 8192}, 256, 8, KV_F16},
    {{"large-f16", "llama", ROLE_CHAT, BENCH_F16, 1536, 4, 24, 8, 64, 4096, 128000, 0, 8192}, 256, 8, KV_F16},
};
/* clang-format on */

/* ---------------------------------------------------------------- using a model to the full */

struct bench {
    const struct bench_memory_options *options;
    struct registry *registry;
    struct wait wait;
};

/* As many tokens as the context holds but for two: each letter and each blank is one. */
static bool fill_context(struct bench *bench, struct lease *lease, uint32_t context,
                         struct err *err)
{
    char *prompt = malloc(context);
    if (!prompt)
        return err_no_memory(err);
    uint32_t length = context > 2 ? context - 2 : 1;
    for (uint32_t i = 0; i < length; i++)
        prompt[i] = i % 2 ? ' ' : (char)('a' + i / 2 % 26);
    prompt[length] = '\0';
    struct msg_generate request = {.prompt = prompt};
    sampling_default(&request.sampling);
    request.sampling.max_tokens = 1;
    struct generation *generation = NULL;
    struct generation_event event = {0};
    bool ok = lease_generate(lease, &request, &bench->wait, &generation, err);
    while (ok && !event.done)
        ok = generation_next(generation, &event, err);
    if (generation)
        generation_end(generation);
    free(prompt);
    return ok;
}

/* A text of as many words as one may have tokens. */
static bool fill_batch(struct bench *bench, struct lease *lease, uint32_t context, struct err *err)
{
    struct arena arena;
    struct msg_vectors vectors;
    arena_init(&arena, ARENA_BYTES);
    char *text = arena_alloc(&arena, (size_t)context * 2 + 1);
    if (!text) {
        arena_free(&arena);
        return err_no_memory(err);
    }
    for (uint32_t i = 0; i < context; i++) {
        text[(size_t)i * 2] = (char)('a' + i % 26);
        text[(size_t)i * 2 + 1] = ' ';
    }
    text[(size_t)context * 2] = '\0';
    const char *const texts[] = {text};
    bool ok = lease_embed(lease, "", texts, 1, &bench->wait, &arena, &vectors, err);
    arena_free(&arena);
    return ok;
}

/* ---------------------------------------------------------------- one row */

static struct model_status status_of(struct bench *bench, const char *name)
{
    struct model_status rows[BENCH_ROWS_MAX] = {0};
    size_t count = registry_status(bench->registry, rows, BENCH_ROWS_MAX);
    for (size_t i = 0; i < count && i < BENCH_ROWS_MAX; i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i];
    return (struct model_status){0};
}

static bool predict(struct bench *bench, const char *name, uint64_t *ret_bytes, uint64_t *ret_bound,
                    struct err *err)
{
    struct memory_forecast forecast;
    if (!registry_forecast(bench->registry, name, &bench->wait, &forecast, err))
        return false;
    *ret_bytes = forecast.bytes;
    *ret_bound = forecast.bound;
    return true;
}

/* Loads, uses, measures, unloads. ret_loaded: held before it was used. */
static bool measure(struct bench *bench, const struct plan *plan, uint64_t *ret_loaded,
                    uint64_t *ret, struct err *err)
{
    const char *name = plan->shape.name;
    struct lease *lease;
    if (!registry_acquire(bench->registry, name, plan->shape.role, &bench->wait, NULL, NULL, &lease,
                          err))
        return false;
    *ret_loaded = lease_model(lease)->resident_bytes;
    bool ok = plan->shape.role == ROLE_CHAT ? fill_context(bench, lease, plan->context, err)
                                            : fill_batch(bench, lease, plan->context, err);
    lease_release(lease); /* the first use ends: the worker is asked */
    if (!ok)
        return false;
    *ret = status_of(bench, name).resident_bytes;
    return registry_unload(bench->registry, name, err);
}

static bool measure_row(struct bench *bench, const struct plan *plan, struct bench_row *row,
                        struct err *err)
{
    const struct bench_memory_options *options = bench->options;
    if (!predict(bench, plan->shape.name, &row->cold, &row->cold_bound, err))
        return false;
    for (uint32_t load = 0; load < BENCH_LOADS; load++) {
        uint64_t loaded;
        if (options->progress)
            options->progress(options->user, plan->shape.name, load + 1, BENCH_LOADS);
        if (load + 1 == BENCH_LOADS &&
            !predict(bench, plan->shape.name, &row->learned, &row->learned_bound, err))
            return false;
        if (!measure(bench, plan, &loaded, &row->measured[load], err))
            return false;
        if (load == 0)
            row->loaded = loaded;
    }
    return true;
}

/* Whether the disk has room for a file; ret untouched on failure. */
static bool has_room(const char *folder, uint64_t bytes, struct err *err)
{
    struct statvfs disk;
    if (statvfs(folder, &disk) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot look at the disk of %s", folder);
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (room >= bytes + ROOM_EXTRA_MIB * MIB)
        return true;
    return err_set(err, ERR_DISK_FULL,
                   "%s has room for %zu MiB and a model needs %zu; choose another folder with "
                   "TMPDIR, or less with --max-mib",
                   folder, (size_t)(room / MIB), (size_t)(bytes / MIB));
}

static bool add_model(struct bench *bench, const struct plan *plan, char *path, struct err *err)
{
    char name[64], none[] = "";
    snprintf(name, sizeof(name), "%s", plan->shape.name);
    const struct model_entry entry = {
        .name = name,
        .path = path,
        .role = plan->shape.role,
        .context_length = plan->context,
        .slots = plan->slots,
        .kv_type = plan->kv_type,
        .query_prefix = none,
        .passage_prefix = none,
    };
    return registry_add(bench->registry, &entry, err);
}

static bool run_plan(struct bench *bench, const struct plan *plan, struct bench_row *row,
                     struct err *err)
{
    uint64_t bytes = bench_model_bytes(&plan->shape);
    char *path = str_format(4096, "%s/%s.gguf", bench->options->folder, plan->shape.name);
    if (!path)
        return err_no_memory(err);
    *row = (struct bench_row){.context = plan->context, .slots = plan->slots, .file_bytes = bytes};
    snprintf(row->name, sizeof(row->name), "%s", plan->shape.name);
    snprintf(row->type, sizeof(row->type), "%s", bench_type_name(plan->shape.type));
    snprintf(row->kv_type, sizeof(row->kv_type), "%s", kv_type_name(plan->kv_type));
    bool ok = has_room(bench->options->folder, bytes, err) &&
              bench_model_write(&plan->shape, SEED, path, err) && add_model(bench, plan, path, err);
    if (ok) {
        ok = measure_row(bench, plan, row, err);
        struct err ignored;
        registry_unload(bench->registry, plan->shape.name, &ignored);
        registry_remove(bench->registry, plan->shape.name, &ignored);
    }
    unlink(path);
    free(path);
    return ok;
}

/* ---------------------------------------------------------------- all of them */

double bench_abs_error(uint64_t predicted, uint64_t measured)
{
    return measured > 0 ? fabs((double)predicted - (double)measured) / (double)measured : 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, uint32_t count)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double over(uint64_t measured, uint64_t bound)
{
    return measured > bound && bound > 0 ? (double)(measured - bound) / (double)bound : 0;
}

void bench_memory_sum_up(struct bench_memory *bench)
{
    double cold[BENCH_ROWS_MAX] = {0}, learned[BENCH_ROWS_MAX] = {0}, worst = 0;
    for (uint32_t i = 0; i < bench->row_count; i++) {
        const struct bench_row *row = &bench->rows[i];
        cold[i] = bench_abs_error(row->cold, row->measured[0]);
        learned[i] = bench_abs_error(row->learned, row->measured[BENCH_LOADS - 1]);
        for (int load = 0; load < BENCH_LOADS; load++)
            worst = fmax(worst, over(row->measured[load], row->cold_bound));
        worst = fmax(worst, over(row->measured[BENCH_LOADS - 1], row->learned_bound));
    }
    bench->median_abs_error_cold = median(cold, bench->row_count);
    bench->median_abs_error_learned = median(learned, bench->row_count);
    bench->worst_over_bound = worst;
}

/* Twice the file is more than any of them takes; the file itself is in the page cache besides. */
static bool machine_can(struct bench *bench, const struct plan *plan)
{
    struct registry_memory memory;
    uint64_t bytes = bench_model_bytes(&plan->shape);
    registry_memory(bench->registry, &memory);
    return bytes <= bench->options->max_bytes &&
           bytes * 3 + ROOM_EXTRA_MIB * MIB <= memory.limit_bytes;
}

static bool run_plans(struct bench *bench, struct bench_memory *ret, struct err *err)
{
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        if (!machine_can(bench, &plans[i])) {
            ret->skipped++;
            continue;
        }
        if (bench->wait.cancel && cancel_is_set(bench->wait.cancel))
            return cancel_error(err);
        struct bench_row *row = &ret->rows[ret->row_count];
        bench->wait.until = deadline_in_ms(WAIT_MS);
        if (!run_plan(bench, &plans[i], row, err))
            return false;
        ret->row_count++;
        if (bench->options->done)
            bench->options->done(bench->options->user, row);
    }
    bench_memory_sum_up(ret);
    return true;
}

bool bench_memory_run(const struct bench_memory_options *options, struct bench_memory *ret,
                      struct err *err)
{
    static const char text[] = "{}";
    struct config *config;
    struct bench bench = {.options = options, .wait = {.cancel = options->cancel}};
    *ret = (struct bench_memory){0};
    if (setpriority(PRIO_PROCESS, 0, NICE) != 0) /* workers inherit it */
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot lower the priority");
    if (!config_parse(text, strlen(text), "bench", &config, err))
        return false;
    const struct registry_options wanted = {
        .program = options->program,
        .models_dir = options->folder,
        .config = config,
    };
    bool ok = registry_open(&wanted, &bench.registry, err);
    if (ok) {
        ok = run_plans(&bench, ret, err);
        registry_close(bench.registry);
    }
    config_free(config);
    return ok;
}
