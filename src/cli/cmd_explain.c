#include <string.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/model_view.h"
#include "cli/service.h"
#include "cli/table.h"

enum { MS_PER_S = 1000 };

static const struct option_spec explain_options[] = {OPTION_JSON_ROW};

static void add_decision(struct table *table, enum lang lang, yyjson_val *decision)
{
    yyjson_val *reason = yyjson_obj_get(decision, "reason");
    double at = yyjson_get_num(yyjson_obj_get(reason, "at"));
    const char *why = yyjson_get_str(yyjson_obj_get(decision, "why"));
    struct str ago;
    str_init(&ago, 64);
    text_duration(&ago, ((double)clock_wall_us() / 1e6 - at) * MS_PER_S);
    table_cell(table, TR(lang, "%s ago"), str_text(&ago));
    table_cell(table, "%s", why ? why : "");
    str_free(&ago);
}

/* What it is now, in one line. */
static void print_state(const struct cli *cli, const struct model_view *view)
{
    struct str held;
    struct str predicted;
    str_init(&held, 64);
    str_init(&predicted, 64);
    text_bytes(&held, view->reserved_bytes);
    text_bytes(&predicted, view->predicted_bytes);
    fprintf(cli->out.file, "%s: %s", view->name, model_view_state(cli->lang, view->state));
    if (view->reserved_bytes > 0)
        fprintf(cli->out.file, TR(cli->lang, "; holds %s on %s, %s were predicted"),
                str_text(&held), view->device, str_text(&predicted));
    if (view->in_flight > 0)
        fprintf(cli->out.file, TR(cli->lang, "; %llu requests use it"),
                (unsigned long long)view->in_flight);
    if (view->queue > 0)
        fprintf(cli->out.file, TR(cli->lang, "; %llu requests wait for it"),
                (unsigned long long)view->queue);
    if (view->pinned)
        fputs(TR(cli->lang, "; pinned"), cli->out.file);
    fputs(".\n", cli->out.file);
    str_free(&held);
    str_free(&predicted);
}

static bool print_explanation(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    struct model_view view = model_view_of(answer);
    yyjson_val *decisions = yyjson_obj_get(answer, "decisions");
    print_state(cli, &view);
    if (yyjson_arr_size(decisions) == 0) {
        fprintf(cli->out.file, "%s\n",
                TR(cli->lang, "Nothing was decided about it since the service began."));
        return true;
    }
    struct table table;
    table_init(&table);
    table_column(&table, TR(cli->lang, "WHEN"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "WHAT"), ALIGN_LEFT);
    yyjson_arr_iter walk = yyjson_arr_iter_with(decisions);
    yyjson_val *decision;
    while ((decision = yyjson_arr_iter_next(&walk)))
        add_decision(&table, cli->lang, decision);
    bool ok = table_print(&table, &cli->out, err);
    table_free(&table);
    return ok;
}

static bool explain(const struct cli *cli, const char *socket, const char *name, struct err *err)
{
    struct client *client;
    if (!client_open(socket, cli->lang, &client, err))
        return false;
    struct str path;
    yyjson_doc *answer = NULL;
    str_init(&path, 1024);
    str_puts(&path, "/v1/models/");
    bool ok = client_escape(client, name, &path, err);
    str_puts(&path, "/explain");
    ok = ok && client_call(client, "GET", str_text(&path), NULL, &answer, err);
    if (ok && cli->json) {
        yyjson_mut_doc *copy = yyjson_doc_mut_copy(answer, NULL);
        ok = copy ? command_print_json(cli, copy, err) : err_no_memory(err);
        yyjson_mut_doc_free(copy);
    } else if (ok) {
        ok = print_explanation(cli, yyjson_doc_get_root(answer), err);
    }
    yyjson_doc_free(answer);
    str_free(&path);
    client_close(client);
    return ok;
}

/* Looking must not change what is looked at: no service is started. */
static bool run_explain(struct cli *cli, const struct options *options, int *ret_exit,
                        struct err *err)
{
    (void)ret_exit;
    struct fs_paths paths;
    if (options->word_count != 1)
        return err_set(err, ERR_INVALID_REQUEST, "which model? jarvis explain NAME");
    if (!fs_paths_find(&paths, err))
        return false;
    bool ok = true;
    if (service_running(&paths, NULL))
        ok = explain(cli, paths.socket, options->words[0], err);
    else
        ok = err_set(err, ERR_UNAVAILABLE,
                     "no service is running, so nothing was decided about models");
    fs_paths_free(&paths);
    return ok;
}

const struct command command_explain = {
    .name = "explain",
    .run = run_explain,
    .usage = N_("NAME"),
    .summary = N_("tell why a model is loaded, waits, was unloaded or refused"),
    .details = N_("The last decisions about the model and their reasons, oldest first. Asking "
                  "neither loads a model nor keeps it loaded."),
    .options = explain_options,
    .option_count = sizeof(explain_options) / sizeof(*explain_options),
};
