#include <stdlib.h>

#include "cli/answer.h"
#include "cli/command.h"
#include "cli/house_notice.h"
#include "cli/interrupt.h"

static const struct option_spec ask_options[] = {
    OPTION_STORE_ROW,
    OPTION_TOP_K_ROW,
    OPTION_ALPHA_ROW,
    {.name = "model",
     .type = OPTION_TEXT,
     .value = N_("NAME"),
     .help = N_("the model that answers")},
    OPTION_JSON_ROW,
};

static bool ignore_text(void *user, const char *text, size_t length, struct err *err)
{
    (void)user, (void)text, (void)length, (void)err;
    return true;
}

/* {"answer", "category", "sources": […], "timings_ms": {…}} */
static bool print_json(const struct cli *cli, const struct answer *answer, struct err *err)
{
    static const char *const keys[] = {"path",     "offset", "length", "line_start",
                                       "line_end", "text",   "score"};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_strn(doc, root, "answer", str_text(&answer->text), answer->text.length);
    yyjson_mut_obj_add_str(doc, root, "category", answer->category);
    yyjson_mut_val *sources = yyjson_mut_obj_add_arr(doc, root, "sources");
    yyjson_arr_iter walk = yyjson_arr_iter_with(yyjson_obj_get(answer->extra, "sources"));
    yyjson_val *source;
    while ((source = yyjson_arr_iter_next(&walk))) {
        yyjson_mut_val *row = yyjson_mut_arr_add_obj(doc, sources);
        for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
            yyjson_mut_obj_add_val(doc, row, keys[i],
                                   yyjson_val_mut_copy(doc, yyjson_obj_get(source, keys[i])));
    }
    yyjson_val *timings = yyjson_obj_get(answer->extra, "timings_ms");
    yyjson_mut_obj_add_val(doc, root, "timings_ms",
                           timings ? yyjson_val_mut_copy(doc, timings) : yyjson_mut_obj(doc));
    house_notice_add(doc, root, yyjson_obj_get(answer->extra, "house_models"));
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

static void print_rest(const struct cli *cli, const struct answer *answer)
{
    bool ended_line = answer->text.length > 0 && answer->text.data[answer->text.length - 1] == '\n';
    if (!ended_line)
        fputs("\n", cli->out.file);
    answer_print_sources(&cli->out, cli->lang, answer);
    fflush(cli->out.file);
    answer_print_notice(&cli->err, answer->notice);
    house_notice_print(cli, yyjson_obj_get(answer->extra, "house_models"));
}

static bool ask(struct cli *cli, struct client *client, const struct answer_request *request,
                struct err *err)
{
    struct answer answer;
    struct flow flow;
    answer_init(&answer);
    flow_begin(&flow, &cli->out);
    bool ok = answer_ask(client, request, cli->json ? ignore_text : answer_print_text, &flow,
                         &answer, err);
    flow_end(&flow);
    if (ok && cli->json)
        ok = print_json(cli, &answer, err);
    else if (ok)
        print_rest(cli, &answer);
    else if (answer.text.length > 0 && !cli->json)
        fputs("\n", cli->out.file); /* what failed gets a line of its own */
    answer_free(&answer);
    return ok;
}

static bool run_ask(struct cli *cli, const struct options *options, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    char *question;
    if (options->word_count == 0)
        return err_set(err, ERR_INVALID_REQUEST, "there is no question: jarvis ask QUESTION");
    if (!command_join_words(options, &question, err))
        return false;
    const struct answer_message message = {"user", question};
    const struct option_value *stores = options_list(options, "store");
    const struct answer_request request = {
        .model = options_text(options, "model", NULL),
        .messages = &message,
        .message_count = 1,
        .stores = stores->texts,
        .store_count = stores->count,
        .top_k = options_int(options, "top-k", 0),
        .alpha = options_number(options, "alpha", -1),
    };
    struct session session;
    struct interrupt interrupt;
    bool ok = session_open(cli, &session, err);
    if (ok) {
        ok = interrupt_begin(&interrupt, err);
        if (ok) {
            client_interrupt_by(session.client, interrupt.fd);
            ok = ask(cli, session.client, &request, err);
            interrupt_end(&interrupt);
        }
        session_close(&session);
    }
    free(question);
    return ok;
}

const struct command command_ask = {
    .name = "ask",
    .run = run_ask,
    .usage = N_("QUESTION…"),
    .summary = N_("answer a question from your documents, with sources"),
    .details = N_("Looks for the passages of your documents that answer the question (see jarvis "
                  "ingest) and has the language model answer from them. Without a language model "
                  "the answer is made of the best sentences themselves. Each source is a file, its "
                  "lines, and the words that were used."),
    .options = ask_options,
    .option_count = sizeof(ask_options) / sizeof(*ask_options),
};
