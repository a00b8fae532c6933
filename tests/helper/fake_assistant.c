#include "helper/fake_assistant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assistant/chat.h"
#include "assistant/ingest.h"
#include "assistant/models.h"
#include "assistant/rerank.h"
#include "helper/fake_internal.h"

/* ---------------------------------------------------------------- the runtime and its strings */

struct runtime *fake_open(void)
{
    struct runtime *runtime = calloc(1, sizeof(*runtime));
    if (!runtime)
        abort();
#define SET(field, key, value, min, max, help) runtime->config.field = (value);
#define SET_BOOL(field, key, value, help)      runtime->config.field = (value);
#define SET_TEXT(field, key, value, min, max, help) \
    runtime->config.field = (char *)(uintptr_t)(value);
    CONFIG_TABLE(SET, SET, SET_BOOL, SET_TEXT)
#undef SET
#undef SET_BOOL
#undef SET_TEXT
    runtime->registry.runtime = runtime;
    mutex_init(&runtime->lock);
    cond_init(&runtime->changed);
    return runtime;
}

void fake_close(struct runtime *runtime)
{
    for (size_t i = 0; i < runtime->file_count; i++)
        free(runtime->files[i].bytes);
    cond_destroy(&runtime->changed);
    mutex_destroy(&runtime->lock);
    free(runtime);
}

struct config *fake_config(struct runtime *runtime)
{
    return &runtime->config;
}

void fake_hold(struct runtime *runtime)
{
    mutex_lock(&runtime->lock);
    runtime->holding = true;
    mutex_unlock(&runtime->lock);
}

void fake_allow(struct runtime *runtime, size_t words)
{
    mutex_lock(&runtime->lock);
    runtime->allowed += words;
    cond_broadcast(&runtime->changed);
    mutex_unlock(&runtime->lock);
}

size_t fake_words(struct runtime *runtime)
{
    mutex_lock(&runtime->lock);
    size_t words = runtime->words;
    mutex_unlock(&runtime->lock);
    return words;
}

static bool wait_for(struct runtime *runtime, const size_t *counter, size_t count)
{
    deadline until = deadline_in_ms(FAKE_WAIT_MS);
    mutex_lock(&runtime->lock);
    while (*counter < count && cond_wait(&runtime->changed, &runtime->lock, until))
        ;
    bool reached = *counter >= count;
    mutex_unlock(&runtime->lock);
    return reached;
}

bool fake_wait_words(struct runtime *runtime, size_t count)
{
    return wait_for(runtime, &runtime->words, count);
}

bool fake_wait_held(struct runtime *runtime, size_t count)
{
    return wait_for(runtime, &runtime->held, count);
}

bool fake_wait_cancelled(struct runtime *runtime, size_t count)
{
    return wait_for(runtime, &runtime->cancelled, count);
}

void fake_break_store(struct runtime *runtime)
{
    mutex_lock(&runtime->lock);
    runtime->broken = true;
    mutex_unlock(&runtime->lock);
}

static void wake(void *argument)
{
    struct runtime *runtime = argument;
    mutex_lock(&runtime->lock);
    cond_broadcast(&runtime->changed);
    mutex_unlock(&runtime->lock);
}

bool fake_step(struct runtime *runtime, struct request *request, struct err *err)
{
    struct cancel_hook hook = {.fire = wake, .argument = runtime};
    cancel_watch(request->cancel, &hook);
    mutex_lock(&runtime->lock);
    runtime->held++;
    cond_broadcast(&runtime->changed);
    bool in_time = true;
    while (runtime->holding && runtime->allowed == 0 && !cancel_is_set(request->cancel) && in_time)
        in_time = cond_wait(&runtime->changed, &runtime->lock, request->until);
    bool cancelled = cancel_is_set(request->cancel);
    runtime->held--;
    runtime->cancelled += cancelled;
    if (!cancelled && in_time && runtime->holding)
        runtime->allowed--;
    cond_broadcast(&runtime->changed);
    mutex_unlock(&runtime->lock);
    cancel_unwatch(request->cancel, &hook);
    if (cancelled)
        return cancel_error(err);
    if (!in_time || deadline_passed(request->until))
        return err_set(err, ERR_TIMEOUT, "the request took too long");
    return true;
}

/* ---------------------------------------------------------------- runtime.h */

const struct config *runtime_config(const struct runtime *runtime)
{
    return &runtime->config;
}

struct registry *runtime_registry(const struct runtime *runtime)
{
    return (struct registry *)(uintptr_t)&runtime->registry;
}

void runtime_readiness(struct runtime *runtime, struct runtime_readiness *ret)
{
    mutex_lock(&runtime->lock);
    bool broken = runtime->broken;
    mutex_unlock(&runtime->lock);
    *ret = (struct runtime_readiness){
        .store = !broken, .chat_model = true, .embedding_model = true, .rerank_model = false};
}

/* ---------------------------------------------------------------- chat.h */

struct chat_stream {
    struct runtime *runtime;
    struct request *request;
    struct chat_request asked;
    unsigned next;
    unsigned total;
    char word[32];
    struct str text;
    struct chat_result result;
    struct chat_source source;
};

/* The errors that a model's name stands for. */
static bool model_behaves(const char *model, struct err *err)
{
    if (!model)
        return true;
    if (strcmp(model, "missing") == 0)
        return err_set_param(err, ERR_MODEL_NOT_FOUND, "model", "there is no model \"%s\"", model);
    if (strcmp(model, "busy") == 0) {
        err_set(err, ERR_BUSY, "the model is busy");
        err->retry_after_ms = 1500;
        return false;
    }
    return true;
}

bool chat_start(struct runtime *runtime, struct request *request, const struct chat_request *chat,
                struct chat_stream **ret, struct err *err)
{
    if (!model_behaves(chat->model, err))
        return false;
    struct chat_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return err_no_memory(err);
    stream->runtime = runtime;
    stream->request = request;
    stream->asked = *chat;
    stream->total = chat->sampling.max_tokens > 0 ? chat->sampling.max_tokens : FAKE_WORDS;
    str_init(&stream->text, 1 << 20);
    *ret = stream;
    return true;
}

static void finish_chat(struct chat_stream *stream)
{
    bool documents = !stream->asked.model || strcmp(stream->asked.model, CHAT_MODEL_JARVIS) == 0 ||
                     stream->asked.use_documents;
    stream->source = (struct chat_source){
        .number = 1,
        .hit = {.document_id = "file-1",
                .path = "/docs/a.txt",
                .title = "A",
                .offset = 10,
                .length = 20,
                .line_start = 2,
                .line_end = 3,
                .text = "the whole passage text",
                .score = 0.5},
        .quote = "whole passage",
        .quote_offset = 14,
        .quote_length = 13,
        .quote_line_start = 2,
        .quote_line_end = 2,
    };
    stream->result = (struct chat_result){
        .model = stream->asked.model ? stream->asked.model : "tiny-chat",
        .text = str_text(&stream->text),
        .notice = "",
        .finish = stream->asked.sampling.max_tokens > 0 ? FINISH_LENGTH : FINISH_STOP,
        .usage = {.prompt_tokens = 7, .cached_tokens = 3, .completion_tokens = stream->total},
        .sources = &stream->source,
        .source_count = documents ? 1 : 0,
    };
    if (stream->asked.model && strcmp(stream->asked.model, "elsewhere") == 0) {
        stream->result.model = "tiny-chat";
        stream->result.category = CHAT_DEGRADED;
        stream->result.degraded = "upstream_failed";
    }
}

const struct chat_result *chat_so_far(const struct chat_stream *stream)
{
    return &stream->result;
}

bool chat_next(struct chat_stream *stream, struct chat_event *ret, struct err *err)
{
    struct runtime *runtime = stream->runtime;
    int span = trace_begin(stream->request->trace, "generate");
    bool go = stream->next == stream->total || fake_step(runtime, stream->request, err);
    trace_end(stream->request->trace, span);
    if (!go)
        return false;
    if (stream->asked.model && strcmp(stream->asked.model, "dies") == 0 && stream->next == 2)
        return err_set(err, ERR_WORKER_DIED, "the model's process has ended; try again");
    if (stream->next == stream->total) {
        finish_chat(stream);
        *ret = (struct chat_event){.type = CHAT_DONE, .result = &stream->result};
        return true;
    }
    snprintf(stream->word, sizeof(stream->word), "w%u ", stream->next++);
    str_puts(&stream->text, stream->word);
    mutex_lock(&runtime->lock);
    runtime->words++;
    cond_broadcast(&runtime->changed);
    mutex_unlock(&runtime->lock);
    finish_chat(stream);
    *ret = (struct chat_event){.type = CHAT_DELTA, .text = stream->word};
    return true;
}

void chat_end(struct chat_stream *stream)
{
    if (!stream)
        return;
    str_free(&stream->text);
    free(stream);
}

const char *chat_category_name(enum chat_category category)
{
    return category == CHAT_DEGRADED ? "DEGRADED" : "OK";
}

/* ---------------------------------------------------------------- models.h */

/* Row i points along axis i, with a little of the first one in all: 0.6 and 0.8. */
bool models_embed(struct runtime *runtime, struct request *request, const char *model,
                  const char *const *texts, size_t count, struct msg_vectors *ret,
                  const char **ret_name, struct err *err)
{
    (void)texts;
    if (!model_behaves(model, err) || !fake_step(runtime, request, err))
        return false;
    float *values = arena_array(request->arena, count * FAKE_DIMENSIONS, sizeof(*values));
    if (!values)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        values[i * FAKE_DIMENSIONS] = 0.6f;
        values[i * FAKE_DIMENSIONS + 1 + i % (FAKE_DIMENSIONS - 1)] = 0.8f;
    }
    *ret = (struct msg_vectors){.count = (uint32_t)count,
                                .dimensions = FAKE_DIMENSIONS,
                                .values = values,
                                .tokens = 3 * count};
    *ret_name = "tiny-embed";
    return true;
}

/* Longer documents are better. */
bool rerank_run(struct runtime *runtime, struct request *request,
                const struct rerank_question *question, struct rerank_answer *ret, struct err *err)
{
    (void)runtime;
    if (!model_behaves(question->model, err))
        return false;
    float *scores = arena_array(request->arena, question->count, sizeof(*scores));
    bool *scored = arena_array(request->arena, question->count, sizeof(*scored));
    if (!scores || !scored)
        return err_no_memory(err);
    for (size_t i = 0; i < question->count; i++) {
        scores[i] = (float)strlen(question->texts[i]);
        scored[i] = true;
    }
    *ret = (struct rerank_answer){.scores = scores,
                                  .scored = scored,
                                  .scored_count = question->count,
                                  .tokens = question->count,
                                  .model = "tiny-rerank"};
    return true;
}

bool models_add(struct runtime *runtime, struct request *request, const char *path,
                const char *name, int role, struct model_entry *ret, struct err *err)
{
    (void)runtime;
    if (strstr(path, "broken"))
        return err_set(err, ERR_MODEL_INVALID, "\"%s\" is not a GGUF file", path);
    *ret = (struct model_entry){.name = arena_copy(request->arena, *name ? name : "chosen"),
                                .path = arena_copy(request->arena, path),
                                .role = role < 0 ? ROLE_CHAT : (enum model_role)role};
    return true;
}

bool models_remove(struct runtime *runtime, struct request *request, const char *name,
                   struct err *err)
{
    (void)runtime;
    (void)request;
    return model_behaves(name, err);
}

/* ---------------------------------------------------------------- ingest.h */

bool ingest_run(struct runtime *runtime, struct request *request,
                const struct ingest_request *ingest, struct ingest_summary *ret, struct err *err)
{
    if (strcmp(ingest->paths[0], "/missing") == 0)
        return err_set(err, ERR_NOT_FOUND, "\"%s\" does not exist", ingest->paths[0]);
    for (size_t i = 0; i < 3; i++) {
        struct ingest_progress progress = {
            .phase = "read", .done = i, .total = 3, .path = ingest->paths[0]};
        ingest->progress(ingest->user, &progress);
        if (!fake_step(runtime, request, err))
            return false;
    }
    struct ingest_failure *failure = arena_alloc(request->arena, sizeof(*failure));
    if (!failure)
        return err_no_memory(err);
    *failure = (struct ingest_failure){.path = "/b.bin", .reason = "no text", .code = "document"};
    *ret = (struct ingest_summary){.added = 2,
                                   .unchanged = 1,
                                   .failed = 1,
                                   .passages = 9,
                                   .failures = failure,
                                   .failure_count = 1,
                                   .notice = ""};
    return true;
}

/* ---------------------------------------------------------------- registry.h */

const char *model_state_name(enum model_state state)
{
    static const char *const names[] = {"cold", "loading", "ready", "failed"};
    return names[state];
}

size_t registry_status(struct registry *registry, struct model_status *rows, size_t max)
{
    (void)registry;
    const struct model_status all[] = {
        {.name = "tiny-chat", .role = ROLE_CHAT, .state = MODEL_READY, .context_length = 512},
        {.name = "org/tiny-embed", .role = ROLE_EMBEDDING, .dimensions = FAKE_DIMENSIONS},
    };
    for (size_t i = 0; i < 2 && i < max; i++)
        rows[i] = all[i];
    return 2;
}

const char *fit_verdict_name(enum fit_verdict verdict)
{
    return verdict == FIT_FITS ? "fits" : "evict";
}

/* What is asked for comes back; one model would have to go. */
bool models_fit(struct runtime *runtime, struct request *request, const char *name,
                const struct fit_options *options, struct model_fit *ret, struct err *err)
{
    (void)runtime;
    (void)request;
    if (!model_behaves(name, err))
        return false;
    *ret = (struct model_fit){
        .forecast = {.bytes = 300,
                     .bound = 330,
                     .parts = {{.part = PART_WEIGHTS, .device = "CPU", .bytes = 300}},
                     .part_count = 1,
                     .context_length = options->context,
                     .train_context = 8192,
                     .samples = 2,
                     .analysed = true},
        .slots = options->slots,
        .kv_type = options->kv_type,
        .budget_bytes = 1000,
        .used_bytes = 900,
        .free_bytes = 100,
        .verdict = FIT_EVICT,
        .evict = {{.name = "other", .bytes = 900}},
        .evict_count = 1,
        .largest_context = 4096,
    };
    return true;
}

bool registry_default(struct registry *registry, enum model_role role, char *out, size_t size)
{
    (void)registry;
    if (role != ROLE_CHAT)
        return false;
    snprintf(out, size, "tiny-chat");
    return true;
}

void registry_memory(struct registry *registry, struct registry_memory *ret)
{
    (void)registry;
    *ret = (struct registry_memory){.limit_bytes = 1000, .used_bytes = 10};
}

bool registry_probe(struct registry *registry, const struct wait *wait, struct msg_probed *ret,
                    struct err *err)
{
    (void)registry;
    (void)wait;
    (void)err;
    *ret = (struct msg_probed){.open_errno = EACCES,
                               .socket_errno = EPERM,
                               .exec_errno = EPERM,
                               .no_new_privileges = true};
    return true;
}

bool registry_load(struct registry *registry, const char *name, const struct wait *wait,
                   registry_progress *progress, void *user, struct err *err)
{
    (void)registry;
    (void)wait;
    if (progress)
        progress(user, name, 0.5F, 1000);
    return model_behaves(name, err);
}

bool registry_unload(struct registry *registry, const char *name, struct err *err)
{
    (void)registry;
    return model_behaves(name, err);
}

bool registry_pin(struct registry *registry, const char *name, bool pinned, struct err *err)
{
    (void)registry;
    (void)pinned;
    return model_behaves(name, err);
}

bool registry_explain(struct registry *registry, const char *name, struct why *rows, size_t max,
                      size_t *ret_count, struct err *err)
{
    (void)registry;
    if (!model_behaves(name, err))
        return false;
    *ret_count = max > 0;
    if (max > 0)
        rows[0] = (struct why){.code = WHY_UNLOADED, .at_us = 1};
    return true;
}

uint64_t registry_event_last(struct registry *registry)
{
    (void)registry;
    return 0;
}

size_t registry_events(struct registry *registry, uint64_t after, const struct wait *wait,
                       struct registry_event *rows, size_t max)
{
    (void)registry;
    (void)after;
    (void)wait;
    (void)rows;
    (void)max;
    return 0;
}
