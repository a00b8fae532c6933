#include "cli/command.h"
#include "cli/eval.h"
#include "cli/eval_speech.h"

static const struct option_spec eval_options[] = {
    {.name = "queries",
     .type = OPTION_TEXT,
     .value = N_("FILE"),
     .help = N_("other questions with the same ids, as in another language")},
    {.name = "limit",
     .type = OPTION_INT,
     .value = "N",
     .help = N_("ask only the first N questions"),
     .min = 1,
     .max = 1e9},
    OPTION_ALPHA_ROW,
    OPTION_FUSION_ROW,
    {.name = "html",
     .type = OPTION_TEXT,
     .value = N_("FILE"),
     .help = N_("write a page with plots, too")},
    {.name = "rankings",
     .type = OPTION_TEXT,
     .value = N_("FILE"),
     .help = N_("write what was found, as trec_eval reads it")},
    {.name = "speech",
     .type = OPTION_FLAG,
     .help = N_("DIR holds recordings: measure how well they are heard")},
    {.name = "model",
     .type = OPTION_TEXT,
     .value = N_("NAME"),
     .help = N_("with --speech: the speech model")},
    OPTION_JSON_ROW,
};

static bool report(const struct cli *cli, const struct options *options,
                   const struct eval_result *result, struct err *err)
{
    const char *html = options_text(options, "html", NULL);
    const char *rankings = options_text(options, "rankings", NULL);
    if ((html && !eval_write_html(cli, result, html, err)) ||
        (rankings && !eval_write_rankings(result, rankings, err)))
        return false;
    return cli->json ? eval_print_json(cli, result, err) : eval_print_table(cli, result, err);
}

static bool run_eval(struct cli *cli, const struct options *options, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    if (options->word_count != 1)
        return err_set(
            err, ERR_INVALID_REQUEST,
            "name one folder with corpus.jsonl, queries.jsonl and qrels.tsv: jarvis eval "
            "DIR");
    if (options_has(options, "speech"))
        return cmd_eval_speech(cli, options->words[0], options_text(options, "model", NULL),
                               (size_t)options_int(options, "limit", 0), err);
    const struct eval_plan plan = {
        .folder = options->words[0],
        .queries = options_text(options, "queries", NULL),
        .limit = (size_t)options_int(options, "limit", 0),
        .alpha = options_number(options, "alpha", -1),
        .fusion = options_text(options, "fusion", NULL),
    };
    struct eval_result result;
    if (!eval_run(cli, &plan, &result, err))
        return false;
    bool ok = report(cli, options, &result, err);
    eval_result_free(&result);
    return ok;
}

const struct command command_eval = {
    .name = "eval",
    .run = run_eval,
    .usage = N_("DIR"),
    .summary = N_("measure how well search finds, on questions with known answers"),
    .details =
        N_("DIR holds a corpus in BEIR's three files: corpus.jsonl, queries.jsonl and qrels.tsv. "
           "Its documents go into a store of their own, which is deleted at the end; its questions "
           "are asked by words (sparse), by meaning (dense), by both (hybrid), and reranked."),
    .options = eval_options,
    .option_count = sizeof(eval_options) / sizeof(*eval_options),
};
