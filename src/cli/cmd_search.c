#include <stdlib.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/highlight.h"
#include "cli/house_notice.h"

enum { PASSAGE_INDENT = 4, PASSAGE_BYTES = 600, LINE_MAX_BYTES = 64 * 1024 };

static const struct option_spec search_options[] = {
    OPTION_STORE_ROW, OPTION_TOP_K_ROW, OPTION_ALPHA_ROW, OPTION_FUSION_ROW, OPTION_JSON_ROW,
};

static yyjson_mut_doc *make_request(const struct options *options, const char *query)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "query", query);
    const struct option_value *stores = options_list(options, "store");
    if (stores->count > 0) {
        yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "stores");
        for (size_t i = 0; i < stores->count; i++)
            yyjson_mut_arr_add_str(doc, list, stores->texts[i]);
    }
    if (options_has(options, "top-k"))
        yyjson_mut_obj_add_sint(doc, root, "top_k", options_int(options, "top-k", 0));
    if (options_has(options, "alpha"))
        yyjson_mut_obj_add_real(doc, root, "alpha", options_number(options, "alpha", 0));
    if (options_has(options, "fusion"))
        yyjson_mut_obj_add_str(doc, root, "fusion", options_text(options, "fusion", NULL));
    return doc;
}

/* {"hits": [{"path", "offset", "length", "text", "score", "sparse", "dense"}]} */
static bool print_json(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    static const char *const keys[] = {"path",  "offset", "length", "text",
                                       "score", "sparse", "dense"};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *hits = yyjson_mut_obj_add_arr(doc, root, "hits");
    yyjson_arr_iter walk = yyjson_arr_iter_with(yyjson_obj_get(answer, "hits"));
    yyjson_val *hit;
    while ((hit = yyjson_arr_iter_next(&walk))) {
        yyjson_mut_val *row = yyjson_mut_arr_add_obj(doc, hits);
        for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
            yyjson_mut_obj_add_val(doc, row, keys[i],
                                   yyjson_val_mut_copy(doc, yyjson_obj_get(hit, keys[i])));
    }
    house_notice_add(doc, root, yyjson_obj_get(answer, "house_models"));
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

/* Without an embedder a hit has no closeness of meaning to tell. */
static void print_score(const struct cli *cli, yyjson_val *hit, bool used_embedder)
{
    double score = yyjson_get_num(yyjson_obj_get(hit, "score"));
    double sparse = yyjson_get_num(yyjson_obj_get(hit, "sparse"));
    double dense = yyjson_get_num(yyjson_obj_get(hit, "dense"));
    if (used_embedder)
        fprintf(cli->out.file, TR(cli->lang, "score %.3f (words %.2f, meaning %.2f)"), score,
                sparse, dense);
    else
        fprintf(cli->out.file, TR(cli->lang, "score %.3f (words %.2f)"), score, sparse);
}

static void print_place(const struct cli *cli, size_t number, yyjson_val *hit, bool used_embedder)
{
    const struct term *term = &cli->out;
    const char *path = yyjson_get_str(yyjson_obj_get(hit, "path"));
    path = answer_short_path(path ? path : "");
    fprintf(term->file, "%s%zu. %s", term_on(term, STYLE_BOLD), number, term_on(term, STYLE_CYAN));
    term_write(term, path, strlen(path));
    yyjson_val *line = yyjson_obj_get(hit, "line_start");
    if (line)
        fprintf(term->file, ":%llu-%llu", (unsigned long long)yyjson_get_uint(line),
                (unsigned long long)yyjson_get_uint(yyjson_obj_get(hit, "line_end")));
    fprintf(term->file, "%s  %s", term_off(term), term_on(term, STYLE_DIM));
    print_score(cli, hit, used_embedder);
    fprintf(term->file, "%s\n", term_off(term));
}

/* The beginning of the passage, wrapped, with the words of the query standing out. */
static void print_passage(const struct cli *cli, const char *query, const char *text)
{
    const struct term *term = &cli->out;
    struct str line;
    struct str wrapped;
    str_init(&line, LINE_MAX_BYTES);
    str_init(&wrapped, LINE_MAX_BYTES);
    text_pad(&wrapped, PASSAGE_INDENT);
    text_fit(&line, text, term->tty ? PASSAGE_BYTES : LINE_MAX_BYTES / 4, false, term->utf8);
    if (term->tty)
        text_wrap(&wrapped, str_text(&line), (size_t)term->width - 1, PASSAGE_INDENT,
                  PASSAGE_INDENT);
    else
        str_puts(&wrapped, str_text(&line));
    highlight_print(term, query, str_text(&wrapped));
    fputs("\n", term->file);
    str_free(&wrapped);
    str_free(&line);
}

static void print_hits(const struct cli *cli, const char *query, yyjson_val *answer)
{
    yyjson_val *hits = yyjson_obj_get(answer, "hits");
    bool used_embedder = yyjson_is_true(yyjson_obj_get(answer, "used_embedder"));
    if (yyjson_arr_size(hits) == 0)
        fprintf(cli->out.file, "%s\n", TR(cli->lang, "Nothing was found."));
    yyjson_arr_iter walk = yyjson_arr_iter_with(hits);
    yyjson_val *hit;
    for (size_t number = 1; (hit = yyjson_arr_iter_next(&walk)); number++) {
        const char *text = yyjson_get_str(yyjson_obj_get(hit, "text"));
        print_place(cli, number, hit, used_embedder);
        print_passage(cli, query, text ? text : "");
    }
    const char *notice = yyjson_get_str(yyjson_obj_get(answer, "notice"));
    if (notice && *notice) {
        fflush(cli->out.file);
        answer_print_notice(&cli->err, notice);
    }
    house_notice_print(cli, yyjson_obj_get(answer, "house_models"));
}

static bool search(struct cli *cli, const struct options *options, const char *query,
                   struct err *err)
{
    struct session session;
    if (!session_open(cli, &session, err))
        return false;
    yyjson_mut_doc *request = make_request(options, query);
    yyjson_doc *answer;
    bool ok = client_call(session.client, "POST", "/v1/jarvis/search", request, &answer, err);
    if (ok) {
        if (cli->json)
            ok = print_json(cli, yyjson_doc_get_root(answer), err);
        else
            print_hits(cli, query, yyjson_doc_get_root(answer));
        yyjson_doc_free(answer);
    }
    yyjson_mut_doc_free(request);
    session_close(&session);
    return ok;
}

static bool run_search(struct cli *cli, const struct options *options, int *ret_exit,
                       struct err *err)
{
    (void)ret_exit;
    if (options->word_count == 0)
        return err_set(err, ERR_INVALID_REQUEST,
                       "there are no words to look for: jarvis search QUERY");
    char *query;
    if (!command_join_words(options, &query, err))
        return false;
    bool ok = search(cli, options, query, err);
    free(query);
    return ok;
}

const struct command command_search = {
    .name = "search",
    .run = run_search,
    .usage = N_("QUERY…"),
    .summary = N_("find passages in your documents"),
    .details =
        N_("Prints the best passages first, each with its file and lines. The score joins how "
           "well the words match (BM25) and, where there is an embedding model, how close the "
           "meaning is; --alpha weighs the two."),
    .options = search_options,
    .option_count = sizeof(search_options) / sizeof(*search_options),
};
