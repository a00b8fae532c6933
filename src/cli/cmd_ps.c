#include <string.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/model_view.h"
#include "cli/service.h"
#include "cli/table.h"

enum { US_PER_S = 1000000, US_PER_MS = 1000, MS_PER_S = 1000 };

static const struct option_spec ps_options[] = {OPTION_JSON_ROW};

static void last_use(struct table *table, enum lang lang, int64_t when)
{
    if (when == 0) {
        table_cell(table, "%s", TR(lang, "never"));
        return;
    }
    struct str ago;
    str_init(&ago, 64);
    text_duration(&ago, (double)(clock_wall_us() - when * US_PER_S) / US_PER_MS);
    table_cell(table, TR(lang, "%s ago"), str_text(&ago));
    str_free(&ago);
}

/* The state, and how far it is with it. */
static void state(struct table *table, enum lang lang, const struct model_view *view)
{
    if (strcmp(view->stage, "queued") == 0 || strcmp(view->stage, "claiming") == 0)
        table_cell(table, "%s", TR(lang, "waits for memory"));
    else if (strcmp(view->stage, "loading") == 0)
        table_cell(table, "%s %.0f%%", model_view_state(lang, view->state), view->progress * 100);
    else if (strcmp(view->stage, "unloading") == 0)
        table_cell(table, "%s", TR(lang, "is leaving"));
    else if (view->pinned)
        table_cell(table, TR(lang, "%s, pinned"), model_view_state(lang, view->state));
    else
        table_cell(table, "%s", model_view_state(lang, view->state));
}

/* What it takes, and what was predicted. */
static void memory(struct table *table, const struct model_view *view)
{
    struct str text;
    str_init(&text, 128);
    if (view->resident_bytes > 0)
        text_bytes(&text, view->resident_bytes);
    else
        str_puts(&text, "-");
    if (view->predicted_bytes > 0) {
        str_puts(&text, " / ");
        text_bytes(&text, view->predicted_bytes);
    }
    table_cell(table, "%s", str_text(&text));
    str_free(&text);
}

static void add_model(struct table *table, enum lang lang, const struct model_view *view)
{
    table_cell(table, "%s", view->name);
    table_cell(table, "%s", model_view_role(lang, view->role));
    state(table, lang, view);
    memory(table, view);
    table_cell(table, "%s", view->device);
    table_cell(table, "%llu", (unsigned long long)view->in_flight);
    table_cell(table, "%llu", (unsigned long long)view->queue);
    table_cell(table, "%llu", (unsigned long long)view->uses);
    last_use(table, lang, view->last_use);
    table_cell(table, "%s", view->why);
}

static bool print_models(const struct cli *cli, yyjson_val *models, struct err *err)
{
    if (yyjson_arr_size(models) == 0) {
        fprintf(cli->out.file, "%s\n",
                TR(cli->lang, "There are no models yet. Add a GGUF file: jarvis models add FILE"));
        return true;
    }
    struct table table;
    table_init(&table);
    table_column(&table, TR(cli->lang, "NAME"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "ROLE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "STATE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "MEMORY / PREDICTED"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "DEVICE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "IN USE"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "QUEUE"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "USES"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "LAST USE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "WHY"), ALIGN_LEFT);
    yyjson_arr_iter walk = yyjson_arr_iter_with(models);
    yyjson_val *model;
    while ((model = yyjson_arr_iter_next(&walk))) {
        struct model_view view = model_view_of(model);
        add_model(&table, cli->lang, &view);
    }
    bool ok = table_print(&table, &cli->out, err);
    table_free(&table);
    return ok;
}

static void print_service(const struct cli *cli, yyjson_val *status)
{
    struct str used;
    struct str limit;
    struct str uptime;
    yyjson_val *memory = yyjson_obj_get(status, "memory");
    str_init(&used, 64);
    str_init(&limit, 64);
    str_init(&uptime, 64);
    text_bytes(&used, yyjson_get_uint(yyjson_obj_get(memory, "used_bytes")));
    text_bytes(&limit, yyjson_get_uint(yyjson_obj_get(memory, "limit_bytes")));
    text_duration(&uptime, yyjson_get_num(yyjson_obj_get(status, "uptime_s")) * MS_PER_S);
    fprintf(cli->out.file, TR(cli->lang, "Service: process %llu, up %s; models use %s of %s."),
            (unsigned long long)yyjson_get_uint(yyjson_obj_get(status, "pid")), str_text(&uptime),
            str_text(&used), str_text(&limit));
    fputs("\n", cli->out.file);
    str_free(&used);
    str_free(&limit);
    str_free(&uptime);
}

static bool print_status(const struct cli *cli, yyjson_doc *status, struct err *err)
{
    yyjson_val *root = yyjson_doc_get_root(status);
    if (!cli->json) {
        print_service(cli, root);
        return print_models(cli, yyjson_obj_get(root, "models"), err);
    }
    yyjson_mut_doc *copy = yyjson_doc_mut_copy(status, NULL);
    bool ok = copy ? command_print_json(cli, copy, err) : err_no_memory(err);
    yyjson_mut_doc_free(copy);
    return ok;
}

static bool show_running(const struct cli *cli, const struct fs_paths *paths, struct err *err)
{
    struct client *client;
    yyjson_doc *status;
    if (!client_open(paths->socket, cli->lang, &client, err))
        return false;
    bool ok = client_call(client, "GET", "/v1/jarvis/status", NULL, &status, err);
    if (ok) {
        ok = print_status(cli, status, err);
        yyjson_doc_free(status);
    }
    client_close(client);
    return ok;
}

/* Looking must not change what is looked at: no service is started. */
static bool run_ps(struct cli *cli, const struct options *options, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    struct fs_paths paths;
    if (!command_no_words(options, err) || !fs_paths_find(&paths, err))
        return false;
    bool ok = true;
    if (service_running(&paths, NULL))
        ok = show_running(cli, &paths, err);
    else if (cli->json)
        fputs("{\"running\": false, \"models\": []}\n", cli->out.file);
    else
        fprintf(cli->out.file, "%s\n", TR(cli->lang, "No service is running."));
    fs_paths_free(&paths);
    return ok;
}

const struct command command_ps = {
    .name = "ps",
    .run = run_ps,
    .usage = N_("[--json]"),
    .summary = N_("show the service: what is loaded, its memory, its uses"),
    .options = ps_options,
    .option_count = sizeof(ps_options) / sizeof(*ps_options),
};
