#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/cmd_fit.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_view.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "cli/table.h"

static const struct option_spec models_options[] = {
    {.name = "name",
     .type = OPTION_TEXT,
     .value = N_("NAME"),
     .help = N_("with add: what to call it (default: as the file does)")},
    {.name = "role",
     .type = OPTION_TEXT,
     .value = N_("ROLE"),
     .help = N_("with add: chat, embedding, rerank or speech (default: by the file)")},
    {.name = "context",
     .type = OPTION_INT,
     .value = "N",
     .help = N_("with fit: tokens of a conversation (default: as configured)"),
     .min = 1,
     .max = 16777216},
    {.name = "parallel",
     .type = OPTION_INT,
     .value = "N",
     .help = N_("with fit: conversations at once (default: as configured)"),
     .min = 1,
     .max = 64},
    {.name = "kv",
     .type = OPTION_TEXT,
     .value = N_("TYPE"),
     .help = N_("with fit: how the cache is stored: f16, q8_0, q4_0, … (default: as configured)")},
    OPTION_JSON_ROW,
};

static bool list_models(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    struct table table;
    table_init(&table);
    table_column(&table, TR(cli->lang, "NAME"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "ROLE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "STATE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "FILE SIZE"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "FILE"), ALIGN_LEFT);
    size_t count = 0;
    yyjson_arr_iter walk = yyjson_arr_iter_with(yyjson_obj_get(answer, "data"));
    yyjson_val *model;
    while ((model = yyjson_arr_iter_next(&walk))) {
        struct model_view view = model_view_of(model);
        if (!*view.path) /* "jarvis" itself, which is no file */
            continue;
        count++;
        table_cell(&table, "%s", view.name);
        table_cell(&table, "%s", model_view_role(cli->lang, view.role));
        table_cell(&table, "%s", model_view_state(cli->lang, view.state));
        table_cell_bytes(&table, view.file_bytes);
        table_cell(&table, "%s", view.path);
    }
    bool ok = true;
    if (count > 0)
        ok = table_print(&table, &cli->out, err);
    else
        fprintf(cli->out.file, "%s\n",
                TR(cli->lang, "There are no models yet. Add a GGUF file: jarvis models add FILE"));
    table_free(&table);
    return ok;
}

/* Prints the answer as it is, or what `human` makes of it. */
static bool print_answer(const struct cli *cli, yyjson_doc *answer,
                         bool (*human)(const struct cli *cli, yyjson_val *answer, struct err *err),
                         struct err *err)
{
    if (!cli->json)
        return human(cli, yyjson_doc_get_root(answer), err);
    yyjson_mut_doc *copy = yyjson_doc_mut_copy(answer, NULL);
    bool ok = copy ? command_print_json(cli, copy, err) : err_no_memory(err);
    yyjson_mut_doc_free(copy);
    return ok;
}

static bool print_added(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    (void)err;
    struct model_view view = model_view_of(answer);
    fprintf(cli->out.file, TR(cli->lang, "Added %s (%s)."), view.name,
            model_view_role(cli->lang, view.role));
    fputs("\n", cli->out.file);
    return true;
}

static bool print_removed(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    (void)answer, (void)err;
    fprintf(cli->out.file, "%s\n", TR(cli->lang, "Removed; the file itself is still there."));
    return true;
}

static yyjson_mut_doc *make_add_request(const struct options *options, const char *path)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "path", path);
    if (options_has(options, "name"))
        yyjson_mut_obj_add_str(doc, root, "name", options_text(options, "name", NULL));
    if (options_has(options, "role"))
        yyjson_mut_obj_add_str(doc, root, "role", options_text(options, "role", NULL));
    return doc;
}

static bool add_model(const struct cli *cli, struct client *client, const struct options *options,
                      struct err *err)
{
    char *path;
    if (!fs_real_path(options->words[1], &path, err))
        return false;
    yyjson_mut_doc *request = make_add_request(options, path);
    yyjson_doc *answer;
    bool ok = client_call(client, "POST", "/v1/models", request, &answer, err);
    yyjson_mut_doc_free(request);
    free(path);
    if (ok) {
        ok = print_answer(cli, answer, print_added, err);
        yyjson_doc_free(answer);
    }
    return ok;
}

static bool remove_model(const struct cli *cli, struct client *client, const char *name,
                         struct err *err)
{
    struct str path;
    str_init(&path, 1024);
    str_puts(&path, "/v1/models/");
    bool ok = client_escape(client, name, &path, err);
    yyjson_doc *answer;
    ok = ok && client_call(client, "DELETE", str_text(&path), NULL, &answer, err);
    str_free(&path);
    if (ok) {
        ok = print_answer(cli, answer, print_removed, err);
        yyjson_doc_free(answer);
    }
    return ok;
}

/* ---------------------------------------------------------------- load, unload, pin, unpin */

/* "/v1/models/NAME/verb". */
static bool put_path(struct client *client, const char *name, const char *verb, struct str *out,
                     struct err *err)
{
    str_puts(out, "/v1/models/");
    if (!client_escape(client, name, out, err))
        return false;
    str_printf(out, "/%s", verb);
    return str_check(out, "the path", err);
}

static bool print_changed(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    (void)err;
    struct model_view view = model_view_of(answer);
    if (view.pinned)
        fprintf(cli->out.file, TR(cli->lang, "%s: %s, pinned."), view.name,
                model_view_state(cli->lang, view.state));
    else
        fprintf(cli->out.file, TR(cli->lang, "%s: %s."), view.name,
                model_view_state(cli->lang, view.state));
    fputs("\n", cli->out.file);
    return true;
}

static bool change_model(const struct cli *cli, struct client *client, const char *name,
                         const char *verb, struct err *err)
{
    struct str path;
    yyjson_doc *answer = NULL;
    str_init(&path, 1024);
    bool ok = put_path(client, name, verb, &path, err) &&
              client_call(client, "POST", str_text(&path), NULL, &answer, err) &&
              print_answer(cli, answer, print_changed, err);
    yyjson_doc_free(answer);
    str_free(&path);
    return ok;
}

struct loading {
    const struct cli *cli;
    struct progress progress;
    yyjson_doc *done; /* the last event; NULL before it comes */
};

static bool on_load_event(void *user, const struct event *event, struct err *err)
{
    struct loading *loading = user;
    yyjson_doc *doc;
    if (!json_parse(event->data, event->length, "an event of the service", &doc, err))
        return false;
    if (strcmp(event->name, "done") == 0) {
        yyjson_doc_free(loading->done);
        loading->done = doc;
        return true;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    const char *phase = yyjson_get_str(yyjson_obj_get(root, "phase"));
    const char *why = yyjson_get_str(yyjson_obj_get(root, "why"));
    const struct progress_state state = {
        .phase = phase ? phase : "",
        .done = yyjson_get_uint(yyjson_obj_get(root, "bytes_done")),
        .total = yyjson_get_uint(yyjson_obj_get(root, "bytes_total")),
        .bytes_done = yyjson_get_uint(yyjson_obj_get(root, "bytes_done")),
        .path = why ? why : "",
        .in_bytes = true,
    };
    if (strcmp(event->name, "progress") == 0 && !loading->cli->json)
        progress_show(&loading->progress, &state);
    yyjson_doc_free(doc);
    return true;
}

static bool stream_load(struct loading *loading, struct client *client, const char *path,
                        struct err *err)
{
    struct interrupt interrupt;
    yyjson_mut_doc *request = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(request);
    yyjson_mut_doc_set_root(request, root);
    yyjson_mut_obj_add_bool(request, root, "stream", true);
    bool ok = interrupt_begin(&interrupt, err);
    if (ok) {
        client_interrupt_by(client, interrupt.fd);
        progress_begin(&loading->progress, &loading->cli->err, loading->cli->lang);
        ok = client_stream(client, path, request, on_load_event, loading, err);
        progress_end(&loading->progress);
        interrupt_end(&interrupt);
    }
    yyjson_mut_doc_free(request);
    if (ok && !loading->done)
        return err_set(err, ERR_UNAVAILABLE,
                       "the service went away while it loaded the model; try again");
    return ok;
}

/* With a bar; Ctrl-C calls the load off. */
static bool load_model(const struct cli *cli, struct client *client, const char *name,
                       struct err *err)
{
    struct loading loading = {.cli = cli};
    struct str path;
    str_init(&path, 1024);
    bool ok = put_path(client, name, "load", &path, err) &&
              stream_load(&loading, client, str_text(&path), err) &&
              print_answer(cli, loading.done, print_changed, err);
    yyjson_doc_free(loading.done);
    str_free(&path);
    return ok;
}

static bool show_models(const struct cli *cli, struct client *client, struct err *err)
{
    yyjson_doc *answer;
    if (!client_call(client, "GET", "/v1/models", NULL, &answer, err))
        return false;
    bool ok = print_answer(cli, answer, list_models, err);
    yyjson_doc_free(answer);
    return ok;
}

enum verb { LIST, ADD, REMOVE, FIT, LOAD, UNLOAD, PIN, UNPIN };

static const char *const verbs[] = {"list", "add",    "remove", "fit",
                                    "load", "unload", "pin",    "unpin"};
enum { VERB_COUNT = sizeof(verbs) / sizeof(*verbs) };

static bool find_verb(const struct options *options, enum verb *ret, struct err *err)
{
    const char *word = options->word_count > 0 ? options->words[0] : "list";
    for (int i = 0; i < VERB_COUNT; i++) {
        if (strcmp(word, verbs[i]) == 0) {
            *ret = (enum verb)i;
            return true;
        }
    }
    const char *near = names_nearest(word, verbs, VERB_COUNT);
    return err_set(err, ERR_INVALID_REQUEST, "jarvis models has no \"%s\"; did you mean \"%s\"?",
                   word, near ? near : "list");
}

static bool run_verb(const struct cli *cli, struct client *client, enum verb verb,
                     const struct options *options, struct err *err)
{
    const char *name = options->word_count > 1 ? options->words[1] : "";
    switch (verb) {
    case LIST: return show_models(cli, client, err);
    case ADD: return add_model(cli, client, options, err);
    case REMOVE: return remove_model(cli, client, name, err);
    case FIT: return fit_command(cli, client, options, err);
    case LOAD: return load_model(cli, client, name, err);
    case UNLOAD:
    case PIN:
    case UNPIN: break;
    }
    return change_model(cli, client, name, verbs[verb], err);
}

static bool run_models(struct cli *cli, const struct options *options, int *ret_exit,
                       struct err *err)
{
    (void)ret_exit;
    enum verb verb = LIST;
    if (!find_verb(options, &verb, err))
        return false;
    if (verb == ADD && options->word_count != 2)
        return err_set(err, ERR_INVALID_REQUEST, "which file? jarvis models add FILE");
    if (verb != LIST && verb != ADD && options->word_count != 2)
        return err_set(err, ERR_INVALID_REQUEST, "which model? jarvis models %s NAME", verbs[verb]);
    struct session session;
    if (!session_open(cli, &session, err))
        return false;
    bool ok = run_verb(cli, session.client, verb, options, err);
    session_close(&session);
    return ok;
}

const struct command command_models = {
    .name = "models",
    .run = run_models,
    .usage = N_("[list | add FILE | remove NAME | fit NAME | load NAME | unload NAME | pin NAME | "
                "unpin NAME]"),
    .summary = N_("list the models, add a GGUF file, remove, load, unload or pin one, see what one "
                  "takes"),
    .details =
        N_("A chat model writes answers, an embedding model finds passages by their meaning, "
           "a rerank model puts the best first. add reads the GGUF file, fills in what can be "
           "known and writes it to the configuration; the file stays where it is. remove "
           "takes it out of the configuration again. fit tells how much memory a model would "
           "take, part by part, what would have to go for it, and the largest context that fits. "
           "Models are loaded when they are needed and make room for each other; load does it "
           "now, unload ends it, and a pinned one stays until it is unpinned or the service ends "
           "(for always: \"pin\": true in the configuration)."),
    .options = models_options,
    .option_count = sizeof(models_options) / sizeof(*models_options),
};
