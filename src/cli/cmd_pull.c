#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_view.h"
#include "cli/progress.h"
#include "cli/table.h"

static const struct option_spec pull_options[] = {
    {.name = "recommend",
     .type = OPTION_FLAG,
     .help = N_("list good models, and which of them suit this machine")},
    {.name = "name",
     .type = OPTION_TEXT,
     .value = N_("NAME"),
     .help = N_("what to call it (default: as the file does)")},
    {.name = "role",
     .type = OPTION_TEXT,
     .value = N_("ROLE"),
     .help = N_("chat, embedding, rerank or speech (default: by the file)")},
    {.name = "sha256",
     .type = OPTION_TEXT,
     .value = N_("DIGEST"),
     .help = N_("the SHA-256 that the file must have (default: what the hub says)")},
    OPTION_JSON_ROW,
};

/* ---------------------------------------------------------------- the list */

static uint64_t number(yyjson_val *object, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(object, key));
}

static const char *text(yyjson_val *object, const char *key)
{
    const char *value = yyjson_get_str(yyjson_obj_get(object, key));
    return value ? value : "";
}

static void print_machine(const struct cli *cli, yyjson_val *machine)
{
    struct str memory;
    str_init(&memory, 64);
    text_bytes(&memory, number(machine, "memory_bytes"));
    fprintf(cli->out.file, TR(cli->lang, "This machine: %llu cores, %s for models"),
            (unsigned long long)number(machine, "cores"), str_text(&memory));
    str_truncate(&memory, 0);
    text_bytes(&memory, number(machine, "gpu_bytes"));
    if (number(machine, "gpu_bytes") > 0)
        fprintf(cli->out.file, TR(cli->lang, ", a GPU with %s"), str_text(&memory));
    fputs(".\n\n", cli->out.file);
    str_free(&memory);
}

static void add_row(const struct cli *cli, struct table *table, yyjson_val *model)
{
    bool recommended = yyjson_get_bool(yyjson_obj_get(model, "recommended"));
    bool suits = yyjson_get_bool(yyjson_obj_get(model, "suits"));
    table_cell(table, "%llu", (unsigned long long)number(model, "number"));
    table_cell(table, "%s", model_view_role(cli->lang, text(model, "role")));
    table_cell(table, "%s", text(model, "name"));
    table_cell_bytes(table, number(model, "bytes"));
    table_cell(table, "%s",
               recommended ? TR(cli->lang, "recommended")
               : suits     ? TR(cli->lang, "yes")
                           : TR(cli->lang, "no"));
    table_cell(table, "%s", text(model, "license"));
    table_cell(table, "%s", text(model, "note"));
}

static bool print_list(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    struct table table;
    table_init(&table);
    table_column(&table, "N", ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "ROLE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "NAME"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "SIZE"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "SUITS"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "LICENCE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "WHAT FOR"), ALIGN_LEFT);
    print_machine(cli, yyjson_obj_get(answer, "machine"));
    yyjson_arr_iter walk = yyjson_arr_iter_with(yyjson_obj_get(answer, "models"));
    yyjson_val *model;
    while ((model = yyjson_arr_iter_next(&walk)))
        add_row(cli, &table, model);
    bool ok = table_print(&table, &cli->out, err);
    table_free(&table);
    if (ok)
        fprintf(cli->out.file, "\n%s\n",
                TR(cli->lang,
                   "Fetch one by its number: jarvis pull N; or what is recommended for a "
                   "role: jarvis pull recommended:chat"));
    return ok;
}

static bool print_json(const struct cli *cli, const yyjson_doc *doc, struct err *err)
{
    yyjson_mut_doc *copy = yyjson_doc_mut_copy((yyjson_doc *)(uintptr_t)doc, NULL);
    bool ok = copy ? command_print_json(cli, copy, err) : err_no_memory(err);
    yyjson_mut_doc_free(copy);
    return ok;
}

static bool recommend(const struct cli *cli, struct client *client, struct err *err)
{
    yyjson_doc *answer;
    if (!client_call(client, "GET", "/v1/jarvis/catalogue", NULL, &answer, err))
        return false;
    bool ok = cli->json ? print_json(cli, answer, err)
                        : print_list(cli, yyjson_doc_get_root(answer), err);
    yyjson_doc_free(answer);
    return ok;
}

/* ---------------------------------------------------------------- pulling */

struct pull {
    struct cli *cli;
    struct progress progress;
    yyjson_doc *done; /* the last event; NULL before it comes */
};

static bool on_event(void *user, const struct event *event, struct err *err)
{
    struct pull *pull = user;
    yyjson_doc *doc;
    if (!json_parse(event->data, event->length, "an event of the service", &doc, err))
        return false;
    if (strcmp(event->name, "done") == 0) {
        yyjson_doc_free(pull->done);
        pull->done = doc;
        return true;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    const struct progress_state state = {
        .phase = text(root, "phase"),
        .done = number(root, "bytes_done"),
        .total = number(root, "bytes_total"),
        .bytes_done = number(root, "bytes_done"),
        .path = text(root, "file"),
        .in_bytes = true,
    };
    if (strcmp(event->name, "progress") == 0 && !pull->cli->json)
        progress_show(&pull->progress, &state);
    yyjson_doc_free(doc);
    return true;
}

/* The service has another working directory, so a path goes to it absolute; and a path alone means file:. */
static bool make_source(const char *word, struct str *out, struct err *err)
{
    char *real;
    const char *path = strncmp(word, "file:", 5) == 0 ? word + 5 : word;
    bool is_path = path != word || *word == '/' || *word == '.';
    if (!is_path) {
        str_puts(out, word);
    } else {
        if (!fs_real_path(path, &real, err))
            return false;
        str_printf(out, "file:%s", real);
        free(real);
    }
    return str_check(out, "the source", err);
}

static yyjson_mut_doc *make_request(const struct options *options, const char *source)
{
    static const char *const names[] = {"name", "role", "sha256"};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_strcpy(doc, root, "source", source);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (options_has(options, names[i]))
            yyjson_mut_obj_add_str(doc, root, names[i], options_text(options, names[i], NULL));
    return doc;
}

static void print_done(const struct cli *cli, yyjson_val *done)
{
    struct str size;
    str_init(&size, 64);
    text_bytes(&size, number(done, "bytes"));
    bool there = number(done, "bytes_fetched") == 0;
    bool added = yyjson_get_bool(yyjson_obj_get(done, "added"));
    bool verified = yyjson_get_bool(yyjson_obj_get(done, "verified"));
    if (there)
        fprintf(cli->out.file, TR(cli->lang, "%s was there already (%s, %s)."), text(done, "id"),
                model_view_role(cli->lang, text(done, "role")), str_text(&size));
    else
        fprintf(cli->out.file, TR(cli->lang, "%s is ready to use (%s, %s)."), text(done, "id"),
                model_view_role(cli->lang, text(done, "role")), str_text(&size));
    fputs("\n", cli->out.file);
    if (!verified)
        fprintf(cli->err.file, "%s\n",
                TR(cli->lang, "Nobody said what its SHA-256 is, so it could not be checked."));
    if (there && added)
        fprintf(cli->out.file, "%s\n", TR(cli->lang, "It was added to the configuration."));
    str_free(&size);
}

static bool stream(struct pull *pull, struct client *client, const yyjson_mut_doc *request,
                   struct err *err)
{
    struct interrupt interrupt;
    if (!interrupt_begin(&interrupt, err))
        return false;
    client_interrupt_by(client, interrupt.fd);
    progress_begin(&pull->progress, &pull->cli->err, pull->cli->lang);
    bool ok = client_stream(client, "/v1/models/pull", request, on_event, pull, err);
    progress_end(&pull->progress);
    interrupt_end(&interrupt);
    if (ok && !pull->done)
        return err_set(err, ERR_UNAVAILABLE,
                       "the service went away during the download; run the command again to go on "
                       "with it");
    return ok;
}

static bool pull_source(struct cli *cli, struct client *client, const struct options *options,
                        struct err *err)
{
    struct pull pull = {.cli = cli};
    struct str source;
    str_init(&source, 8192);
    bool ok = make_source(options->words[0], &source, err);
    yyjson_mut_doc *request = ok ? make_request(options, str_text(&source)) : NULL;
    ok = ok && stream(&pull, client, request, err);
    if (ok && cli->json)
        ok = print_json(cli, pull.done, err);
    else if (ok)
        print_done(cli, yyjson_doc_get_root(pull.done));
    yyjson_doc_free(pull.done);
    yyjson_mut_doc_free(request);
    str_free(&source);
    return ok;
}

static bool run_pull(struct cli *cli, const struct options *options, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    bool list = options_has(options, "recommend");
    if (!list && options->word_count != 1)
        return err_set(err, ERR_INVALID_REQUEST,
                       "which model? jarvis pull hf:OWNER/REPO, or see: jarvis pull --recommend");
    struct session session;
    if (!session_open(cli, &session, err))
        return false;
    bool ok =
        list ? recommend(cli, session.client, err) : pull_source(cli, session.client, options, err);
    session_close(&session);
    return ok;
}

const struct command command_pull = {
    .name = "pull",
    .run = run_pull,
    .usage = N_("SOURCE | N | recommended:ROLE | --recommend"),
    .summary = N_("fetch a model and make it ready to use"),
    .details =
        N_("A source is hf:OWNER/REPO (of Hugging Face; :Q4_K_M after it chooses a quantisation, "
           "/FILE a file), https://… or file:/…. What is fetched is checked by its SHA-256 where "
           "that is known. A download that was interrupted, also by Ctrl-C, goes on where it ended "
           "when the command is given again. Models that ask for it need a token: put it into a "
           "file and set pull.token_file, or set HF_TOKEN where the service is started."),
    .options = pull_options,
    .option_count = sizeof(pull_options) / sizeof(*pull_options),
};
