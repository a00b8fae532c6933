#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/eval.h"
#include "cli/house_notice.h"
#include "cli/table.h"

static yyjson_val *house_models(const struct eval_result *result)
{
    return yyjson_obj_get(yyjson_doc_get_root(result->last), "house_models");
}

/* ---------------------------------------------------------------- for people */

static void print_heading(const struct cli *cli, const struct eval_result *result)
{
    fprintf(cli->out.file, TR(cli->lang, "%s: %zu documents in %zu passages, %zu questions"),
            result->name, result->corpus.count, result->passages, result->queries.count);
    fputs("\n\n", cli->out.file);
}

static void add_columns(struct table *table, enum lang lang)
{
    table_init(table);
    table_column(table, TR(lang, "METHOD"), ALIGN_LEFT);
    table_column(table, "nDCG@10", ALIGN_LEFT);
    table_column(table, "Recall@3", ALIGN_LEFT);
    table_column(table, "Recall@10", ALIGN_LEFT);
    table_column(table, "Recall@100", ALIGN_LEFT);
    table_column(table, "MRR@10", ALIGN_LEFT);
    table_column(table, "p50", ALIGN_RIGHT);
    table_column(table, "p95", ALIGN_RIGHT);
}

static void add_interval(struct table *table, const struct evaluate_interval *value)
{
    table_cell(table, "%.3f (%.3f-%.3f)", value->mean, value->low, value->high);
}

static void add_method(struct table *table, const struct eval_method *method)
{
    table_cell(table, "%s", method->name);
    for (size_t measure = 0; measure < EVALUATE_COUNT; measure++)
        add_interval(table, &method->of[measure]);
    table_cell(table, "%.1f ms", method->p50_ms);
    table_cell(table, "%.1f ms", method->p95_ms);
}

/* What the numbers mean, and what is missing. */
static void print_notes(const struct cli *cli, const struct eval_result *result)
{
    FILE *out = cli->out.file;
    fputs("\n", out);
    for (size_t i = 1; i < EVAL_METHODS; i++) {
        const struct eval_method *method = &result->methods[i];
        if (method->why) {
            fprintf(out, TR(cli->lang, "%s was not measured: %s"), method->name, method->why);
        } else {
            const struct evaluate_interval *gain = &method->gain;
            fprintf(out, TR(cli->lang, "%s against sparse, nDCG@10: %+.3f (%+.3f to %+.3f)"),
                    method->name, gain->mean, gain->low, gain->high);
        }
        fputs("\n", out);
    }
    if (result->unread > 0) {
        fprintf(out, TR(cli->lang, "Documents without text: %zu"), result->unread);
        fputs("\n", out);
    }
    fprintf(out, "%s\n",
            TR(cli->lang, "In parentheses: intervals of 95 percent, by drawing the questions anew "
                          "2000 times (bootstrap)."));
}

bool eval_print_table(const struct cli *cli, const struct eval_result *result, struct err *err)
{
    struct table table;
    print_heading(cli, result);
    add_columns(&table, cli->lang);
    for (size_t i = 0; i < EVAL_METHODS; i++)
        if (!result->methods[i].why)
            add_method(&table, &result->methods[i]);
    bool ok = table_print(&table, &cli->out, err);
    table_free(&table);
    if (!ok)
        return false;
    print_notes(cli, result);
    fflush(cli->out.file);
    answer_print_notice(&cli->err, result->notice);
    house_notice_print(cli, house_models(result));
    return true;
}

/* ---------------------------------------------------------------- for programs */

static void add_pair(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key,
                     const struct evaluate_interval *interval)
{
    yyjson_mut_val *pair = yyjson_mut_obj_add_arr(doc, object, key);
    yyjson_mut_arr_add_real(doc, pair, interval->low);
    yyjson_mut_arr_add_real(doc, pair, interval->high);
}

static void add_method_json(yyjson_mut_doc *doc, yyjson_mut_val *methods, yyjson_mut_val *intervals,
                            yyjson_mut_val *gains, const struct eval_method *method)
{
    yyjson_mut_val *row = yyjson_mut_obj_add_obj(doc, methods, method->name);
    yyjson_mut_val *ends = yyjson_mut_obj_add_obj(doc, intervals, method->name);
    for (size_t measure = 0; measure < EVALUATE_COUNT; measure++) {
        const char *name = evaluate_name((enum evaluate_measure)measure);
        yyjson_mut_obj_add_real(doc, row, name, method->of[measure].mean);
        add_pair(doc, ends, name, &method->of[measure]);
    }
    yyjson_mut_obj_add_real(doc, row, "p50_ms", method->p50_ms);
    yyjson_mut_obj_add_real(doc, row, "p95_ms", method->p95_ms);
    yyjson_mut_val *gain = yyjson_mut_obj_add_obj(doc, gains, method->name);
    yyjson_mut_obj_add_real(doc, gain, "ndcg@10", method->gain.mean);
    add_pair(doc, gain, "interval", &method->gain);
}

bool eval_print_json(const struct cli *cli, const struct eval_result *result, struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *methods = yyjson_mut_obj_add_obj(doc, root, "methods");
    yyjson_mut_val *intervals = yyjson_mut_obj_add_obj(doc, root, "intervals");
    yyjson_mut_val *gains = yyjson_mut_obj_add_obj(doc, root, "against_sparse");
    yyjson_mut_val *absent = yyjson_mut_obj_add_obj(doc, root, "absent");
    for (size_t i = 0; i < EVAL_METHODS; i++) {
        const struct eval_method *method = &result->methods[i];
        if (method->why)
            yyjson_mut_obj_add_str(doc, absent, method->name, method->why);
        else
            add_method_json(doc, methods, intervals, gains, method);
    }
    yyjson_mut_obj_add_str(doc, root, "corpus", result->name);
    yyjson_mut_obj_add_uint(doc, root, "documents", result->corpus.count);
    yyjson_mut_obj_add_uint(doc, root, "passages", result->passages);
    yyjson_mut_obj_add_uint(doc, root, "questions", result->queries.count);
    yyjson_mut_obj_add_uint(doc, root, "unread", result->unread);
    yyjson_mut_obj_add_str(doc, root, "notice", result->notice);
    house_notice_add(doc, root, house_models(result));
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

/* ---------------------------------------------------------------- for trec_eval */

static void write_ranking(FILE *file, const struct eval_result *result,
                          const struct eval_method *method, size_t query)
{
    const struct eval_ranking *ranking = &method->rankings[query];
    for (size_t i = 0; i < ranking->count; i++)
        fprintf(file, "%s Q0 %s %zu %.9g %s\n", result->queries.items[query].id,
                result->corpus.items[ranking->ranks[i].document].id, i + 1, ranking->ranks[i].score,
                method->name);
}

bool eval_write_rankings(const struct eval_result *result, const char *path, struct err *err)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", path);
    for (size_t i = 0; i < EVAL_METHODS; i++)
        for (size_t query = 0; query < result->queries.count && !result->methods[i].why; query++)
            write_ranking(file, result, &result->methods[i], query);
    bool failed = ferror(file);
    if (fclose(file) != 0 || failed)
        return err_set_errno(err, ERR_IO, errno, "cannot write \"%s\"", path);
    return true;
}
