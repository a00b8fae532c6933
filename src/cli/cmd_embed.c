#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/vec.h"
#include "cli/client.h"
#include "cli/command.h"

enum { BATCH = 128, TEXTS_MAX = 100000, SHOWN_VALUES = 6, SHOWN_COLUMNS = 40 };

static const struct option_spec embed_options[] = {
    {.name = "model", .type = OPTION_TEXT, .value = N_("NAME"), .help = N_("the embedding model")},
    OPTION_JSON_ROW,
};

/* Texts from the words of the command or the lines of standard input. */
struct texts {
    char **items;
    size_t count;
    size_t capacity;
};

static void texts_free(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->items[i]);
    free(texts->items);
}

static bool texts_add(struct texts *texts, const char *text, size_t length, struct err *err)
{
    return vec_reserve(&texts->items, &texts->capacity, texts->count + 1, sizeof(*texts->items),
                       TEXTS_MAX, err) &&
           str_copy_n(text, length, &texts->items[texts->count], err) && ++texts->count;
}

static bool texts_from_stdin(struct texts *texts, struct err *err)
{
    char *line = NULL;
    size_t size = 0;
    bool ok = true;
    ssize_t length;
    while (ok && (length = getline(&line, &size, stdin)) >= 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        if (length > 0)
            ok = texts_add(texts, line, (size_t)length, err);
    }
    free(line);
    return ok;
}

static bool texts_find(const struct options *options, struct texts *texts, struct err *err)
{
    for (size_t i = 0; i < options->word_count; i++)
        if (!texts_add(texts, options->words[i], strlen(options->words[i]), err))
            return false;
    if (options->word_count == 0 && !isatty(STDIN_FILENO) && !texts_from_stdin(texts, err))
        return false;
    return texts->count > 0 ||
           err_set(err, ERR_INVALID_REQUEST,
                   "there is no text: jarvis embed TEXT…, or lines on standard input");
}

static yyjson_mut_doc *make_request(const char *model, const struct texts *texts, size_t first,
                                    size_t count)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "model", model);
    yyjson_mut_val *input = yyjson_mut_obj_add_arr(doc, root, "input");
    for (size_t i = first; i < first + count; i++)
        yyjson_mut_arr_add_str(doc, input, texts->items[i]);
    return doc;
}

static void print_vector(const struct cli *cli, const char *text, yyjson_val *vector)
{
    struct str shown;
    str_init(&shown, 4096);
    text_fit(&shown, text, SHOWN_COLUMNS, false, cli->out.utf8);
    size_t width = text_width(str_text(&shown), shown.length);
    text_pad(&shown, width < SHOWN_COLUMNS ? SHOWN_COLUMNS - width : 0);
    str_puts(&shown, "  [");
    for (size_t i = 0; i < SHOWN_VALUES && i < yyjson_arr_size(vector); i++)
        str_printf(&shown, "%s%.4f", i > 0 ? ", " : "", yyjson_get_num(yyjson_arr_get(vector, i)));
    str_printf(&shown, TR(cli->lang, ", …] %zu dimensions"), yyjson_arr_size(vector));
    term_write(&cli->out, str_text(&shown), shown.length);
    fputs("\n", cli->out.file);
    str_free(&shown);
}

/* Adds one batch's vectors to the document that will be printed, or prints them at once. */
static void take_answer(const struct cli *cli, const struct texts *texts, size_t first,
                        yyjson_val *answer, yyjson_mut_doc *out)
{
    yyjson_mut_val *root = yyjson_mut_doc_get_root(out);
    if (!yyjson_mut_obj_get(root, "model"))
        yyjson_mut_obj_add_strcpy(out, root, "model",
                                  yyjson_get_str(yyjson_obj_get(answer, "model")));
    yyjson_mut_val *data = yyjson_mut_obj_get(root, "data");
    if (!data)
        data = yyjson_mut_obj_add_arr(out, root, "data");
    yyjson_arr_iter walk = yyjson_arr_iter_with(yyjson_obj_get(answer, "data"));
    yyjson_val *item;
    for (size_t i = first; i < texts->count && (item = yyjson_arr_iter_next(&walk)); i++) {
        yyjson_val *vector = yyjson_obj_get(item, "embedding");
        if (!cli->json) {
            print_vector(cli, texts->items[i], vector);
            continue;
        }
        yyjson_mut_val *row = yyjson_mut_arr_add_obj(out, data);
        yyjson_mut_obj_add_str(out, row, "text", texts->items[i]);
        yyjson_mut_obj_add_val(out, row, "embedding", yyjson_val_mut_copy(out, vector));
    }
}

static bool embed(struct cli *cli, const char *model, const struct texts *texts, struct err *err)
{
    struct session session;
    if (!session_open(cli, &session, err))
        return false;
    yyjson_mut_doc *out = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(out, yyjson_mut_obj(out));
    bool ok = true;
    for (size_t first = 0; ok && first < texts->count; first += BATCH) {
        size_t left = texts->count - first;
        yyjson_mut_doc *request = make_request(model, texts, first, left < BATCH ? left : BATCH);
        yyjson_doc *answer;
        ok = client_call(session.client, "POST", "/v1/embeddings", request, &answer, err);
        if (ok) {
            take_answer(cli, texts, first, yyjson_doc_get_root(answer), out);
            yyjson_doc_free(answer);
        }
        yyjson_mut_doc_free(request);
    }
    if (ok && cli->json)
        ok = command_print_json(cli, out, err);
    yyjson_mut_doc_free(out);
    session_close(&session);
    return ok;
}

static bool run_embed(struct cli *cli, const struct options *options, int *ret_exit,
                      struct err *err)
{
    (void)ret_exit;
    struct texts texts = {0};
    bool ok = texts_find(options, &texts, err) &&
              embed(cli, options_text(options, "model", "jarvis"), &texts, err);
    texts_free(&texts);
    return ok;
}

const struct command command_embed = {
    .name = "embed",
    .run = run_embed,
    .usage = N_("[TEXT…]"),
    .summary = N_("turn texts into vectors"),
    .details =
        N_("Each word of the command is a text (put a sentence in quotes); without any, each "
           "line of standard input is one. --json prints {\"model\", \"data\": [{\"text\", "
           "\"embedding\"}]} with all values; the vectors have length 1."),
    .options = embed_options,
    .option_count = sizeof(embed_options) / sizeof(*embed_options),
};
