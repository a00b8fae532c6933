#include "engine/backend.h"

#include <ggml-backend.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <whisper.h>

#include "base/utf8.h"
#include "config.h"

/* Adds text to the line that is being written. */
static void append(struct backend *backend, const char *text)
{
    char *line = backend->lines[(backend->line_count - 1) % BACKEND_LINES];
    size_t used = strlen(line);
    snprintf(line + used, BACKEND_LINE_BYTES - used, "%s", text);
    line[strcspn(line, "\n")] = '\0';
}

static void keep_log(enum ggml_log_level level, const char *text, void *user)
{
    struct backend *backend = user;
    mutex_lock(&backend->lock);
    if (level != GGML_LOG_LEVEL_CONT) {
        backend->keeping = level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR;
        if (backend->keeping)
            backend->lines[backend->line_count++ % BACKEND_LINES][0] = '\0';
    }
    if (backend->keeping)
        append(backend, text);
    if (backend->listener)
        backend->listener(backend->listener_user, text);
    mutex_unlock(&backend->lock);
}

void backend_init(struct backend *backend)
{
    memset(backend, 0, sizeof(*backend));
    mutex_init(&backend->lock);
    llama_log_set(keep_log, backend);
    whisper_log_set(keep_log, backend);
}

void backend_load(struct backend *backend)
{
    if (backend->loaded)
        return;
    backend->loaded = true;
    const char *folder = getenv("JARVIS_GGML_BACKENDS");
    if (folder && *folder)
        ggml_backend_load_all_from_path(folder);
    else if (JARVIS_GGML_BACKENDS[0])
        ggml_backend_load_all_from_path(JARVIS_GGML_BACKENDS);
    else
        ggml_backend_load_all();
    llama_backend_init();
}

bool backend_has_gpu(void)
{
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) ||
           ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_IGPU);
}

void backend_listen(struct backend *backend, backend_listener *listener, void *user)
{
    mutex_lock(&backend->lock);
    backend->listener = listener;
    backend->listener_user = user;
    mutex_unlock(&backend->lock);
}

void backend_forget(struct backend *backend)
{
    mutex_lock(&backend->lock);
    backend->line_count = 0;
    backend->keeping = false;
    mutex_unlock(&backend->lock);
}

void backend_explain(struct backend *backend, char *out, size_t size)
{
    mutex_lock(&backend->lock);
    size_t kept = backend->line_count < BACKEND_LINES ? backend->line_count : BACKEND_LINES;
    /* The newest lines that fit: an error's last words say most. */
    size_t first = backend->line_count, total = 1;
    while (kept-- > 0) {
        total += strlen(backend->lines[(first - 1) % BACKEND_LINES]) + 2;
        if (total > size && first != backend->line_count)
            break;
        first--;
    }
    out[0] = '\0';
    for (size_t i = first; i < backend->line_count; i++) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s", used ? "; " : "",
                 backend->lines[i % BACKEND_LINES]);
    }
    mutex_unlock(&backend->lock);
    out[utf8_valid_prefix(out, strlen(out))] = '\0';
}
