/* `jarvis bench memory`: predicted against measured memory, on models made for it. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench_memory.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/table.h"

enum {
    MAX_MIB_DEFAULT = 1100,
    MAX_MIB_MAX = 16384,
    MIB = 1024 * 1024,
    PERCENT = 100,
    LOOK_MS = 200
};

static const struct option_spec bench_options[] = {
    {.name = "max-mib",
     .type = OPTION_INT,
     .value = "N",
     .help = N_("with memory: leave out models whose file is larger (default: 1100)"),
     .min = 1,
     .max = MAX_MIB_MAX},
    OPTION_JSON_ROW,
};

static void show_progress(void *user, const char *model, uint32_t load, uint32_t loads)
{
    const struct cli *cli = user;
    fprintf(cli->err.file, TR(cli->lang, "%s: load %u of %u"), model, load, loads);
    fputs("\n", cli->err.file);
}

static void show_row(void *user, const struct bench_row *row)
{
    const struct cli *cli = user;
    struct str predicted, measured;
    str_init(&predicted, 64);
    str_init(&measured, 64);
    text_bytes(&predicted, row->cold);
    text_bytes(&measured, row->measured[0]);
    fprintf(cli->err.file, TR(cli->lang, "%s: predicted %s, measured %s"), row->name,
            str_text(&predicted), str_text(&measured));
    fputs("\n", cli->err.file);
    str_free(&predicted);
    str_free(&measured);
}

/* ---------------------------------------------------------------- what is printed */

static void cell_percent(struct table *table, double part)
{
    table_cell(table, "%.2f%%", part * PERCENT);
}

static bool print_rows(const struct cli *cli, const struct bench_memory *bench, struct err *err)
{
    struct table table;
    table_init(&table);
    table_column(&table, TR(cli->lang, "MODEL"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "WEIGHTS"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "CONTEXT"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "CACHE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "FILE"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "PREDICTED"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "AT MOST"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "MEASURED"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "ERROR"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "LEARNED"), ALIGN_RIGHT);
    for (uint32_t i = 0; i < bench->row_count; i++) {
        const struct bench_row *row = &bench->rows[i];
        table_cell(&table, "%s", row->name);
        table_cell(&table, "%s", row->type);
        table_cell(&table, "%u x %u", row->slots, row->context);
        table_cell(&table, "%s", row->kv_type);
        table_cell_bytes(&table, row->file_bytes);
        table_cell_bytes(&table, row->cold);
        table_cell_bytes(&table, row->cold_bound);
        table_cell_bytes(&table, row->measured[0]);
        cell_percent(&table, bench_abs_error(row->cold, row->measured[0]));
        cell_percent(&table, bench_abs_error(row->learned, row->measured[BENCH_LOADS - 1]));
    }
    bool ok = table_print(&table, &cli->out, err);
    table_free(&table);
    return ok;
}

static bool print_table(const struct cli *cli, const struct bench_memory *bench, struct err *err)
{
    if (!print_rows(cli, bench, err))
        return false;
    fprintf(cli->out.file,
            TR(cli->lang,
               "\nmedian error %.2f%% cold, %.2f%% after %d loads; worst over its bound: "
               "%.2f%%; left out: %u"),
            bench->median_abs_error_cold * PERCENT, bench->median_abs_error_learned * PERCENT,
            BENCH_LOADS - 1, bench->worst_over_bound * PERCENT, bench->skipped);
    fputs("\n", cli->out.file);
    return true;
}

static void add_row(yyjson_mut_doc *doc, yyjson_mut_val *rows, const struct bench_row *row)
{
    yyjson_mut_val *out = yyjson_mut_arr_add_obj(doc, rows);
    yyjson_mut_obj_add_strcpy(doc, out, "model", row->name);
    yyjson_mut_obj_add_strcpy(doc, out, "weights", row->type);
    yyjson_mut_obj_add_strcpy(doc, out, "kv_type", row->kv_type);
    yyjson_mut_obj_add_uint(doc, out, "context_length", row->context);
    yyjson_mut_obj_add_uint(doc, out, "parallel", row->slots);
    yyjson_mut_obj_add_uint(doc, out, "file_bytes", row->file_bytes);
    yyjson_mut_obj_add_uint(doc, out, "predicted_cold", row->cold);
    yyjson_mut_obj_add_uint(doc, out, "bound_cold", row->cold_bound);
    yyjson_mut_obj_add_uint(doc, out, "loaded", row->loaded);
    yyjson_mut_val *measured = yyjson_mut_obj_add_arr(doc, out, "measured");
    for (int load = 0; load < BENCH_LOADS; load++)
        yyjson_mut_arr_add_uint(doc, measured, row->measured[load]);
    yyjson_mut_obj_add_uint(doc, out, "predicted_learned", row->learned);
    yyjson_mut_obj_add_uint(doc, out, "bound_learned", row->learned_bound);
    yyjson_mut_obj_add_real(doc, out, "abs_error_cold",
                            bench_abs_error(row->cold, row->measured[0]));
    yyjson_mut_obj_add_real(doc, out, "abs_error_learned",
                            bench_abs_error(row->learned, row->measured[BENCH_LOADS - 1]));
}

static bool print_json(const struct cli *cli, const struct bench_memory *bench, struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    if (!doc)
        return err_no_memory(err);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_real(doc, root, "median_abs_error_cold", bench->median_abs_error_cold);
    yyjson_mut_obj_add_real(doc, root, "median_abs_error_learned", bench->median_abs_error_learned);
    yyjson_mut_obj_add_real(doc, root, "worst_over_bound", bench->worst_over_bound);
    yyjson_mut_obj_add_uint(doc, root, "skipped", bench->skipped);
    yyjson_mut_val *rows = yyjson_mut_obj_add_arr(doc, root, "rows");
    for (uint32_t i = 0; i < bench->row_count; i++)
        add_row(doc, rows, &bench->rows[i]);
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

/* ---------------------------------------------------------------- the command */

static bool make_folder(char out[PATH_MAX], struct err *err)
{
    const char *parent = getenv("TMPDIR");
    snprintf(out, PATH_MAX, "%s/jarvis-bench-XXXXXX", parent && *parent ? parent : "/tmp");
    return mkdtemp(out) ? true
                        : err_set_errno(err, ERR_IO, errno, "cannot make the folder %s", out);
}

/* Turns a Ctrl-C into a cancel while the measurement goes on, so that its files are removed. */
struct watch {
    struct interrupt interrupt;
    struct cancel cancel;
    atomic_bool over;
    pthread_t thread;
};

static void *watch_interrupt(void *argument)
{
    struct watch *watch = argument;
    struct pollfd wanted = {.fd = watch->interrupt.fd, .events = POLLIN};
    while (!atomic_load(&watch->over) && !cancel_is_set(&watch->cancel))
        if (poll(&wanted, 1, LOOK_MS) > 0)
            cancel_fire(&watch->cancel);
    return NULL;
}

static bool watch_begin(struct watch *watch, struct err *err)
{
    if (!interrupt_begin(&watch->interrupt, err))
        return false;
    cancel_init(&watch->cancel);
    atomic_init(&watch->over, false);
    if (thread_start(&watch->thread, "interrupt", watch_interrupt, watch, err))
        return true;
    cancel_destroy(&watch->cancel);
    interrupt_end(&watch->interrupt);
    return false;
}

static void watch_end(struct watch *watch)
{
    atomic_store(&watch->over, true);
    pthread_join(watch->thread, NULL);
    cancel_destroy(&watch->cancel);
    interrupt_end(&watch->interrupt);
}

static bool find_program(char out[PATH_MAX], struct err *err)
{
    ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (length < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot find the jarvis program");
    out[length] = '\0';
    return true;
}

static bool measure(const struct cli *cli, const struct options *options, const char *program,
                    struct bench_memory *ret, struct err *err)
{
    char folder[PATH_MAX];
    struct watch watch;
    if (!make_folder(folder, err))
        return false;
    bool ok = watch_begin(&watch, err);
    if (ok) {
        const struct bench_memory_options wanted = {
            .program = program,
            .folder = folder,
            .max_bytes = (uint64_t)options_int(options, "max-mib", MAX_MIB_DEFAULT) * MIB,
            .cancel = &watch.cancel,
            .progress = show_progress,
            .done = show_row,
            .user = (void *)(uintptr_t)cli,
        };
        ok = bench_memory_run(&wanted, ret, err);
        watch_end(&watch);
    }
    rmdir(folder);
    return ok;
}

static bool bench_memory(const struct cli *cli, const struct options *options, struct err *err)
{
    char program[PATH_MAX];
    if (!find_program(program, err))
        return false;
    struct bench_memory *bench = calloc(1, sizeof(*bench));
    bool ok = bench ? measure(cli, options, program, bench, err) : err_no_memory(err);
    if (ok)
        ok = cli->json ? print_json(cli, bench, err) : print_table(cli, bench, err);
    free(bench);
    return ok;
}

static bool run_bench(struct cli *cli, const struct options *options, int *ret_exit,
                      struct err *err)
{
    (void)ret_exit;
    if (options->word_count != 1 || strcmp(options->words[0], "memory") != 0)
        return err_set(err, ERR_INVALID_REQUEST, "what to measure? jarvis bench memory");
    return bench_memory(cli, options, err);
}

const struct command command_bench = {
    .name = "bench",
    .run = run_bench,
    .usage = N_("memory"),
    .summary = N_("measure how near predictions of memory come on this machine"),
    .details =
        N_("memory makes models of many shapes up to about a gigabyte in a folder under TMPDIR, "
           "predicts what each will take, loads it three times, uses it to the full, and compares "
           "with what its worker holds. The files are removed; nothing of yours is touched. It "
           "takes some minutes."),
    .options = bench_options,
    .option_count = sizeof(bench_options) / sizeof(*bench_options),
};
