#include "assistant/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "assistant/internal.h"
#include "base/fs.h"

static bool is_default(const char *model)
{
    return !model || !*model || strcmp(model, CHAT_MODEL_JARVIS) == 0;
}

bool model_choose(struct runtime *runtime, struct request *request, const char *model,
                  enum model_role role, const char **ret, struct err *err)
{
    if (!is_default(model)) {
        *ret = model;
        return true;
    }
    char name[MODEL_NAME_MAX];
    if (!registry_default(runtime->registry, role, name, sizeof(name))) {
        if (role == ROLE_CHAT)
            return err_set(err, ERR_NO_CHAT_MODEL,
                           "there is no chat model; add one: jarvis models add FILE.gguf");
        if (role == ROLE_EMBEDDING)
            return err_set(err, ERR_NO_EMBEDDER,
                           "there is no embedding model; add one: jarvis models add FILE.gguf");
        if (role == ROLE_SPEECH)
            return err_set(err, ERR_MODEL_NOT_FOUND,
                           "there is no speech model; add one: jarvis models add FILE.bin");
        return err_set(err, ERR_MODEL_NOT_FOUND,
                       "there is no rerank model; add one: jarvis models add FILE.gguf");
    }
    char *copy = arena_copy(request->arena, name);
    if (!copy)
        return err_no_memory(err);
    *ret = copy;
    return true;
}

/* Notes in the request that a model of the house serves it; the log is told once in the service's life. */
static void note_house(struct runtime *runtime, struct request *request, enum model_role role,
                       const char *name)
{
    unsigned bit = 1U << role;
    request->house |= bit;
    if (atomic_fetch_or(&runtime->house_logged, bit) & bit)
        return;
    struct log_field fields[] = {log_text("model", name), log_text("role", model_role_name(role))};
    log_write(runtime->log, LOG_INFO, LOG_EVENT_MODEL, trace_id_of(request), fields, 2,
              "using a small model that came with the program; better: jarvis pull --recommend");
}

bool model_lease(struct runtime *runtime, struct request *request, const char *model,
                 enum model_role role, struct lease **ret, const char **ret_name, struct err *err)
{
    const char *name;
    if (!model_choose(runtime, request, model, role, &name, err))
        return false;
    int span = trace_begin(request->trace, "acquire");
    struct wait wait = request_wait(request);
    bool ok = registry_acquire(runtime->registry, name, role, &wait, NULL, NULL, ret, err);
    trace_end(request->trace, span);
    if (ok && lease_is_house(*ret))
        note_house(runtime, request, role, name);
    if (ok && ret_name)
        *ret_name = name;
    return ok;
}

bool models_embed(struct runtime *runtime, struct request *request, const char *model,
                  const char *const *texts, size_t count, struct msg_vectors *ret,
                  const char **ret_name, struct err *err)
{
    struct lease *lease;
    if (!model_lease(runtime, request, model, ROLE_EMBEDDING, &lease, ret_name, err))
        return false;
    int span = trace_begin(request->trace, "embed");
    struct wait wait = request_wait(request);
    bool ok = lease_embed(lease, "", texts, count, &wait, request->arena, ret, err);
    trace_end(request->trace, span);
    lease_release(lease);
    return ok;
}

/* A character as it may stand in a name, lower case; '-' for any other. */
static char name_character(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
    return plain ? c : '-';
}

/* A name for the configuration: lower case, what is not a letter, digit, dot or underscore becomes one dash, no
 * ".gguf". */
static void make_name(const char *from, char out[MODEL_NAME_MAX])
{
    size_t length = strlen(from);
    if (length > 5 && strcasecmp(from + length - 5, ".gguf") == 0)
        length -= 5;
    size_t used = 0;
    for (size_t i = 0; i < length && used + 1 < MODEL_NAME_MAX; i++) {
        char c = name_character(from[i]);
        if (c != '-' || (used > 0 && out[used - 1] != '-'))
            out[used++] = c;
    }
    while (used > 0 && out[used - 1] == '-')
        used--;
    out[used] = '\0';
    if (used == 0)
        snprintf(out, MODEL_NAME_MAX, "model");
}

static bool name_taken(struct runtime *runtime, const char *name)
{
    struct model_status *rows = calloc(MODELS_MAX, sizeof(*rows));
    if (!rows)
        return false;
    size_t count = registry_status(runtime->registry, rows, MODELS_MAX);
    bool taken = strcmp(name, CHAT_MODEL_JARVIS) == 0;
    for (size_t i = 0; i < count && i < MODELS_MAX && !taken; i++)
        taken = strcmp(rows[i].name, name) == 0;
    free(rows);
    return taken;
}

/* The name to use: the one asked for, or one made of what the file says of itself, with a number when it is taken. */
static bool choose_name(struct runtime *runtime, const char *asked, const char *general,
                        const char *path, char out[MODEL_NAME_MAX], struct err *err)
{
    if (asked && *asked) {
        if (strcmp(asked, CHAT_MODEL_JARVIS) == 0)
            return err_set_param(err, ERR_CONFLICT, "name",
                                 "the name \"%s\" is the assistant's own; choose another", asked);
        if (strlen(asked) >= MODEL_NAME_MAX)
            return err_set_param(err, ERR_INVALID_REQUEST, "name",
                                 "the name is longer than %d characters", MODEL_NAME_MAX - 1);
        if (name_taken(runtime, asked))
            return err_set_param(
                err, ERR_CONFLICT, "name",
                "there is a model \"%s\" already; choose another name with --name, or "
                "remove it: jarvis models remove %s",
                asked, asked);
        snprintf(out, MODEL_NAME_MAX, "%s", asked);
        return true;
    }
    const char *slash = strrchr(path, '/');
    char base[MODEL_NAME_MAX];
    make_name(*general ? general : slash ? slash + 1 : path, base);
    snprintf(out, MODEL_NAME_MAX, "%s", base);
    for (int i = 2; name_taken(runtime, out) && i < 1000; i++)
        snprintf(out, MODEL_NAME_MAX, "%.100s-%d", base, i);
    return true;
}

bool models_add(struct runtime *runtime, struct request *request, const char *path,
                const char *name, int role, struct model_entry *ret, struct err *err)
{
    char *real;
    if (!fs_real_path(path, &real, err))
        return false;
    struct msg_inspected inspected;
    struct wait wait = request_wait(request);
    char chosen[MODEL_NAME_MAX];
    bool ok = registry_inspect(runtime->registry, real, &wait, request->arena, &inspected, err) &&
              choose_name(runtime, name, inspected.name, real, chosen, err);
    if (ok) {
        struct model_entry entry = {
            .name = chosen,
            .path = real,
            .role = role >= 0 ? (enum model_role)role : inspected.role,
            .slots = role == ROLE_CHAT || (role < 0 && inspected.role == ROLE_CHAT) ? 4 : 1,
            .gpu_layers = -1,
            .query_prefix = (char[]){""},
            .passage_prefix = (char[]){""},
        };
        ok = config_add_model(runtime->paths->config_file, &entry, err) &&
             registry_add(runtime->registry, &entry, err) && model_entry_copy(&entry, ret, err);
    }
    free(real);
    if (ok)
        log_write(runtime->log, LOG_INFO, LOG_EVENT_MODEL, trace_id_of(request),
                  (struct log_field[]){log_text("model", chosen),
                                       log_text("role", model_role_name(ret->role))},
                  2, "model added");
    return ok;
}

bool models_remove(struct runtime *runtime, struct request *request, const char *name,
                   struct err *err)
{
    if (!registry_remove(runtime->registry, name, err) ||
        !config_remove_model(runtime->paths->config_file, name, err))
        return false;
    log_write(runtime->log, LOG_INFO, LOG_EVENT_MODEL, trace_id_of(request),
              (struct log_field[]){log_text("model", name)}, 1, "model removed");
    return true;
}

bool models_fit(struct runtime *runtime, struct request *request, const char *name,
                const struct fit_options *options, struct model_fit *ret, struct err *err)
{
    const struct wait wait = request_wait(request);
    return registry_fit(runtime->registry, name, options, &wait, request->arena, ret, err);
}
