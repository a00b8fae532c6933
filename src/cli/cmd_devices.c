#include <string.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"

static const struct option_spec devices_options[] = {OPTION_JSON_ROW};

static const char *text(yyjson_val *object, const char *key)
{
    const char *value = yyjson_get_str(yyjson_obj_get(object, key));
    return value ? value : "";
}

static const char *kind(enum lang lang, const char *name)
{
    if (strcmp(name, "cpu") == 0)
        return TR(lang, "processor");
    if (strcmp(name, "gpu") == 0)
        return TR(lang, "GPU");
    if (strcmp(name, "integrated") == 0)
        return TR(lang, "GPU with shared memory");
    return TR(lang, "accelerator");
}

static bool print_devices(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    struct table table;
    table_init(&table);
    table_column(&table, TR(cli->lang, "NAME"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "KIND"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "FREE"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "MEMORY"), ALIGN_RIGHT);
    table_column(&table, TR(cli->lang, "DESCRIPTION"), ALIGN_LEFT);
    yyjson_arr_iter walk = yyjson_arr_iter_with(yyjson_obj_get(answer, "data"));
    yyjson_val *device;
    while ((device = yyjson_arr_iter_next(&walk))) {
        table_cell(&table, "%s", text(device, "name"));
        table_cell(&table, "%s", kind(cli->lang, text(device, "kind")));
        table_cell_bytes(&table, yyjson_get_uint(yyjson_obj_get(device, "free_bytes")));
        table_cell_bytes(&table, yyjson_get_uint(yyjson_obj_get(device, "total_bytes")));
        table_cell(&table, "%s", text(device, "description"));
    }
    bool ok = table_print(&table, &cli->out, err);
    table_free(&table);
    if (ok && yyjson_get_bool(yyjson_obj_get(answer, "mocked")))
        fprintf(
            cli->out.file, "\n%s\n",
            TR(cli->lang, "These stand in the setting \"devices\"; nobody looked for real ones."));
    return ok;
}

static bool run_devices(struct cli *cli, const struct options *options, int *ret_exit,
                        struct err *err)
{
    (void)ret_exit;
    struct session session;
    yyjson_doc *answer;
    if (!command_no_words(options, err) || !session_open(cli, &session, err))
        return false;
    bool ok = client_call(session.client, "GET", "/v1/devices", NULL, &answer, err);
    session_close(&session);
    if (!ok)
        return false;
    if (cli->json) {
        yyjson_mut_doc *copy = yyjson_doc_mut_copy(answer, NULL);
        ok = copy ? command_print_json(cli, copy, err) : err_no_memory(err);
        yyjson_mut_doc_free(copy);
    } else {
        ok = print_devices(cli, yyjson_doc_get_root(answer), err);
    }
    yyjson_doc_free(answer);
    return ok;
}

const struct command command_devices = {
    .name = "devices",
    .run = run_devices,
    .usage = "",
    .summary = N_("what models can compute with: processor, GPUs, other hosts"),
    .details =
        N_("Shows the devices that ggml's back ends find, with their memory. A model goes to all "
           "GPUs with room for it, or to those that its \"devices\" in the configuration name, "
           "with shares if you like: \"Vulkan0:3,Vulkan1:1\". Hosts that run ggml-rpc-server are "
           "found through worker.rpc_hosts."),
    .options = devices_options,
    .option_count = sizeof(devices_options) / sizeof(*devices_options),
};
