#include <stdlib.h>

#include "cli/house_notice.h"
#include "cli/interrupt.h"
#include "cli/tune.h"

static const struct option_spec tune_options[] = {
    {.name = "queries",
     .type = OPTION_TEXT,
     .value = N_("FILE"),
     .help = N_("questions, a line each: {\"_id\": \"…\", \"text\": \"…\"}")},
    {.name = "qrels",
     .type = OPTION_TEXT,
     .value = N_("FILE"),
     .help = N_("their answers: question id, document (id, path or file name), grade, with tabs")},
    {.name = "count",
     .type = OPTION_INT,
     .value = "N",
     .help = N_("questions to use, 200 by default"),
     .min = TUNE_QUESTIONS_MIN,
     .max = 1000},
    {.name = "seed",
     .type = OPTION_INT,
     .value = "N",
     .help = N_("draws other passages"),
     .max = 1e9},
    {.name = "dry-run", .type = OPTION_FLAG, .help = N_("choose, but store nothing")},
    {.name = "reset", .type = OPTION_FLAG, .help = N_("forget what was chosen for the store")},
    OPTION_JSON_ROW,
};

enum { COUNT_DEFAULT = 200 };

/* ---------------------------------------------------------------- telling */

static void print_gain(const struct cli *cli, const struct tune_choice *choice)
{
    const struct evaluate_interval *gain = &choice->gain;
    fprintf(cli->out.file, "  ");
    fprintf(cli->out.file,
            choice->shown
                ? TR(cli->lang, "gain on the other half, nDCG@10: %+.3f (%+.3f to %+.3f)")
                : TR(cli->lang, "no sure gain on the other half, nDCG@10: %+.3f (%+.3f to %+.3f); "
                                "it stays"),
            gain->mean, gain->low, gain->high);
    fputs("\n", cli->out.file);
}

static void print_result(const struct cli *cli, const struct tune_result *result, bool stored)
{
    FILE *out = cli->out.file;
    fprintf(out,
            result->labelled ? TR(cli->lang, "%zu questions of yours")
                             : TR(cli->lang, "%zu questions made of passages of the store"),
            result->questions);
    fputs("\n", out);
    fprintf(out, TR(cli->lang, "weight of meaning (alpha): %.2f, best on one half of them %.2f"),
            result->alpha_before, (double)result->alpha.best / (TUNE_STEPS - 1));
    fputs("\n", out);
    print_gain(cli, &result->alpha);
    if (result->has_depth) {
        fprintf(out, TR(cli->lang, "candidates reranked: %zu, best on one half of them %zu"),
                result->depth_before, tune_depths[result->depth.best]);
        fputs("\n", out);
        print_gain(cli, &result->depth);
    }
    fprintf(out,
            stored ? TR(cli->lang, "stored: alpha %.2f, rerank depth %zu")
                   : TR(cli->lang, "not stored: alpha %.2f, rerank depth %zu"),
            result->alpha_after, result->depth_after);
    fputs("\n", out);
    house_notice_print(cli, yyjson_obj_get(yyjson_doc_get_root(result->last), "house_models"));
}

static void add_choice(yyjson_mut_doc *doc, yyjson_mut_val *object,
                       const struct tune_choice *choice)
{
    yyjson_mut_val *quality = yyjson_mut_obj_add_arr(doc, object, "ndcg@10");
    for (size_t i = 0; i < choice->values; i++)
        yyjson_mut_arr_add_real(doc, quality, choice->quality[i]);
    yyjson_mut_obj_add_real(doc, object, "gain", choice->gain.mean);
    yyjson_mut_val *interval = yyjson_mut_obj_add_arr(doc, object, "interval");
    yyjson_mut_arr_add_real(doc, interval, choice->gain.low);
    yyjson_mut_arr_add_real(doc, interval, choice->gain.high);
    yyjson_mut_obj_add_bool(doc, object, "shown", choice->shown);
}

static bool print_json(const struct cli *cli, const struct tune_result *result, bool stored,
                       struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "questions", result->questions);
    yyjson_mut_obj_add_str(doc, root, "made_from", result->labelled ? "labels" : "passages");
    yyjson_mut_val *alpha = yyjson_mut_obj_add_obj(doc, root, "alpha");
    yyjson_mut_obj_add_real(doc, alpha, "before", result->alpha_before);
    yyjson_mut_obj_add_real(doc, alpha, "best", (double)result->alpha.best / (TUNE_STEPS - 1));
    yyjson_mut_obj_add_real(doc, alpha, "after", result->alpha_after);
    add_choice(doc, alpha, &result->alpha);
    if (result->has_depth) {
        yyjson_mut_val *depth = yyjson_mut_obj_add_obj(doc, root, "rerank_depth");
        yyjson_mut_obj_add_uint(doc, depth, "before", result->depth_before);
        yyjson_mut_obj_add_uint(doc, depth, "best", tune_depths[result->depth.best]);
        yyjson_mut_obj_add_uint(doc, depth, "after", result->depth_after);
        add_choice(doc, depth, &result->depth);
    }
    yyjson_mut_obj_add_bool(doc, root, "stored", stored);
    house_notice_add(doc, root, yyjson_obj_get(yyjson_doc_get_root(result->last), "house_models"));
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

/* ---------------------------------------------------------------- doing */

/* Stores the choice; with NULL forgets the one that is there. */
static bool change_ranking(struct client *client, const char *store,
                           const struct tune_result *result, struct err *err)
{
    yyjson_mut_doc *request = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(request);
    yyjson_mut_doc_set_root(request, root);
    if (result) {
        yyjson_mut_obj_add_real(request, root, "alpha", result->alpha_after);
        yyjson_mut_obj_add_uint(request, root, "rerank_depth", result->depth_after);
    }
    char *path = tune_path(client, store, "ranking");
    bool ok = path ? client_call(client, result ? "POST" : "DELETE", path, result ? request : NULL,
                                 NULL, err)
                   : err_no_memory(err);
    free(path);
    yyjson_mut_doc_free(request);
    return ok;
}

static bool tune(struct cli *cli, struct client *client, const struct options *options,
                 struct err *err)
{
    const struct tune_plan plan = {
        .store = options->words[0],
        .queries = options_text(options, "queries", NULL),
        .qrels = options_text(options, "qrels", NULL),
        .count = (size_t)options_int(options, "count", COUNT_DEFAULT),
        .seed = (uint64_t)options_int(options, "seed", 1),
    };
    struct tune_result result;
    if (!tune_run(cli, client, &plan, &result, err))
        return false;
    bool shown = result.alpha.shown || (result.has_depth && result.depth.shown);
    bool store = shown && !options_has(options, "dry-run");
    bool ok = !store || change_ranking(client, plan.store, &result, err);
    if (ok && cli->json)
        ok = print_json(cli, &result, store, err);
    else if (ok)
        print_result(cli, &result, store);
    tune_result_free(&result);
    return ok;
}

static bool tune_or_reset(struct cli *cli, struct client *client, const struct options *options,
                          struct err *err)
{
    if (!options_has(options, "reset"))
        return tune(cli, client, options, err);
    if (!change_ranking(client, options->words[0], NULL, err))
        return false;
    fprintf(cli->json ? cli->err.file : cli->out.file, "%s\n",
            TR(cli->lang, "The store is searched as the settings say again."));
    return true;
}

static bool run_tune(struct cli *cli, const struct options *options, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    if (options->word_count != 1)
        return err_set(err, ERR_INVALID_REQUEST, "name one store: jarvis tune STORE");
    if (options_has(options, "queries") != options_has(options, "qrels"))
        return err_set(err, ERR_INVALID_REQUEST,
                       "--queries and --qrels go together: the questions, and what answers them");
    struct session session;
    struct interrupt interrupt;
    if (!session_open(cli, &session, err))
        return false;
    bool ok = interrupt_begin(&interrupt, err);
    if (ok) {
        client_interrupt_by(session.client, interrupt.fd);
        ok = tune_or_reset(cli, session.client, options, err);
        interrupt_end(&interrupt);
    }
    session_close(&session);
    return ok;
}

const struct command command_tune = {
    .name = "tune",
    .run = run_tune,
    .usage = N_("STORE"),
    .summary = N_("choose how a store is searched: weight of meaning, reranking"),
    .details =
        N_("Asks questions whose answers are known: yours, or else some made of the store's own "
           "passages. What is best on one half of them must show a gain on the other half; then it "
           "is kept in the store, and searches of that store use it."),
    .options = tune_options,
    .option_count = sizeof(tune_options) / sizeof(*tune_options),
};
