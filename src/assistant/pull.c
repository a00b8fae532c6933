#include "assistant/pull.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "assistant/internal.h"
#include "orchestrator/device.h"

enum { TOKEN_MAX = 4096 };

void models_machine(struct runtime *runtime, struct request *request, struct catalogue_machine *ret)
{
    struct registry_memory memory;
    registry_memory(runtime->registry, &memory);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct device_list devices;
    struct wait wait = request_wait(request);
    const struct device *gpu = registry_devices(runtime->registry, &wait, &devices, NULL)
                                   ? device_list_gpu(&devices)
                                   : NULL;
    *ret = (struct catalogue_machine){
        .memory_bytes = memory.limit_bytes,
        .gpu_bytes = gpu ? gpu->total_bytes : 0,
        .cores = cores > 0 ? (uint32_t)cores : 1,
    };
}

/* ---------------------------------------------------------------- the token */

/* A token is letters and digits; anything else in it would be a header of its own. */
static bool is_token(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            return false;
    return true;
}

/* The hub's token from its file, or the environment; "" when there is none. Never in a message or the log. */
static bool read_token(const struct runtime *runtime, struct arena *arena, const char **ret,
                       struct err *err)
{
    const char *path = runtime->config->pull_token_file;
    const char *from = getenv("HF_TOKEN");
    char *text = NULL;
    size_t length = from ? strlen(from) : 0;
    if (*path && !fs_read(path, TOKEN_MAX, &text, &length, err))
        return false;
    const char *bytes = text ? text : from ? from : "";
    while (length > 0 && strchr(" \t\r\n", bytes[length - 1]))
        length--;
    const char *token = arena_copy_n(arena, bytes, length);
    free(text);
    if (!token)
        return err_no_memory(err);
    if (!is_token(token))
        return err_set_param(err, ERR_CONFIG, "pull.token_file",
                             "the hub's token holds blanks or characters that a token cannot "
                             "have; check pull.token_file and HF_TOKEN");
    *ret = token;
    return true;
}

/* ---------------------------------------------------------------- the configuration */

/* The name under which a file is in the configuration; false: it is not. */
static bool find_path(struct runtime *runtime, struct arena *arena, const char *path,
                      const char **ret_name, enum model_role *ret_role)
{
    struct model_status *rows = calloc(MODELS_MAX, sizeof(*rows));
    char *real = NULL;
    size_t count = rows ? registry_status(runtime->registry, rows, MODELS_MAX) : 0;
    bool found = false;
    if (count > 0 && fs_real_path(path, &real, NULL)) {
        for (size_t i = 0; i < count && i < MODELS_MAX && !found; i++) {
            found = strcmp(rows[i].path, real) == 0;
            if (found) {
                *ret_name = arena_copy(arena, rows[i].name);
                *ret_role = rows[i].role;
            }
        }
    }
    free(real);
    free(rows);
    return found && *ret_name;
}

/* What the model's makers want before texts goes into its entry. */
static bool set_prefixes(struct runtime *runtime, const struct catalogue_entry *known,
                         const struct model_entry *added, struct err *err)
{
    if (!known || !known->query_prefix)
        return true;
    struct model_entry entry = *added;
    entry.query_prefix = (char *)(uintptr_t)known->query_prefix;
    entry.passage_prefix = (char *)(uintptr_t)known->passage_prefix;
    return config_add_model(runtime->paths->config_file, &entry, err) &&
           registry_add(runtime->registry, &entry, err);
}

static bool add(struct runtime *runtime, struct request *request, const struct models_pull *pull,
                const struct catalogue_entry *known, struct models_pulled *ret, struct err *err)
{
    int role = pull->role < 0 && known ? (int)known->role : pull->role;
    struct model_entry entry = {0};
    if (find_path(runtime, request->arena, ret->file.path, &ret->name, &ret->role))
        return true;
    bool ok = models_add(runtime, request, ret->file.path, pull->name, role, &entry, err);
    if (!ok)
        return false;
    ret->added = true;
    ret->role = entry.role;
    ret->name = arena_copy(request->arena, entry.name);
    ok = ret->name ? set_prefixes(runtime, known, &entry, err) : err_no_memory(err);
    model_entry_free(&entry);
    return ok;
}

/* ---------------------------------------------------------------- pulling */

static bool fetch(struct runtime *runtime, struct request *request, const struct models_pull *pull,
                  const char *source, const struct catalogue_machine *machine,
                  struct pull_result *ret, struct err *err)
{
    const struct config *config = runtime->config;
    struct pull_options options = {
        .models_dir = runtime->paths->models,
        .hub_url = config->pull_hub_url,
        .max_bytes = (uint64_t)config->pull_max_gib << 30,
        .memory_bytes =
            machine->memory_bytes > machine->gpu_bytes ? machine->memory_bytes : machine->gpu_bytes,
    };
    const struct pull_request asked = {
        .source = source, .sha256 = pull->sha256, .progress = pull->progress, .user = pull->user};
    struct wait wait = request_wait(request);
    return read_token(runtime, request->arena, &options.token, err) &&
           pull_run(&options, &asked, &wait, request->arena, ret, err);
}

bool models_pull(struct runtime *runtime, struct request *request, const struct models_pull *pull,
                 struct models_pulled *ret, struct err *err)
{
    const struct catalogue_entry *known;
    struct catalogue_machine machine;
    models_machine(runtime, request, &machine);
    if (!catalogue_find(pull->source, &machine, request->lang, &known, err))
        return false;
    struct models_pulled pulled = {.source = known ? known->source : pull->source};
    known = known ? known : catalogue_by_source(pull->source);
    if (!fetch(runtime, request, pull, pulled.source, &machine, &pulled.file, err) ||
        !add(runtime, request, pull, known, &pulled, err))
        return false;
    log_write(
        runtime->log, LOG_INFO, LOG_EVENT_MODEL, trace_id_of(request),
        (struct log_field[]){log_text("model", pulled.name), log_text("file", pulled.file.path)}, 2,
        "model pulled");
    *ret = pulled;
    return true;
}
