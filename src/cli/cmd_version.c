#include <curl/curl.h>

#include "cli/command.h"

#include "config.h"

static const struct option_spec version_options[] = {OPTION_JSON_ROW};

static const char *backends(void)
{
    return JARVIS_GGML_BACKENDS[0] ? JARVIS_GGML_BACKENDS : "system";
}

static bool run_version(struct cli *cli, const struct options *options, int *ret_exit,
                        struct err *err)
{
    (void)ret_exit;
    if (!command_no_words(options, err))
        return false;
    const char *curl = curl_version_info(CURLVERSION_NOW)->version;
    if (!cli->json) {
        fprintf(cli->out.file, "jarvis %s\n", JARVIS_VERSION);
        return true;
    }
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "version", JARVIS_VERSION);
    yyjson_mut_obj_add_str(doc, root, "compiler", __VERSION__);
    yyjson_mut_obj_add_str(doc, root, "libcurl", curl);
    yyjson_mut_obj_add_str(doc, root, "yyjson", YYJSON_VERSION_STRING);
    yyjson_mut_obj_add_str(doc, root, "ggml_backends", backends());
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

const struct command command_version = {
    .name = "version",
    .run = run_version,
    .usage = N_("[--json]"),
    .summary = N_("show the version"),
    .options = version_options,
    .option_count = sizeof(version_options) / sizeof(*version_options),
};
