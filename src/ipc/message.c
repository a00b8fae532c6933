/* Encoders and decoders of protocol.h, a pair a message, the fields of both in the same order. A decoder reads
 * into a local copy, so that the caller's struct stays untouched unless the whole message is good. */
#include <math.h>
#include <string.h>

#include "ipc/protocol.h"
#include "ipc/wire.h"

static const char *const role_names[ROLE_COUNT] = {"chat", "embedding", "rerank", "speech",
                                                   "parser"};

const char *model_role_name(enum model_role role)
{
    return (unsigned)role < ROLE_COUNT ? role_names[role] : "unknown";
}

bool model_role_parse(const char *name, enum model_role *ret)
{
    for (unsigned role = 0; role < ROLE_COUNT; role++) {
        if (strcmp(name, role_names[role]) == 0) {
            *ret = (enum model_role)role;
            return true;
        }
    }
    return false;
}

void sampling_default(struct sampling *ret)
{
    *ret = (struct sampling){
        .temperature = 0.7F,
        .top_k = 40,
        .top_p = 0.95F,
        .min_p = 0.05F,
        .repeat_penalty = 1.0F,
        .grammar = "",
    };
}

/* A number that arithmetic may rely on. */
static float get_finite(struct wire_reader *in)
{
    float value = wire_get_f32(in);
    if (isfinite(value))
        return value;
    in->failed = true;
    return 0;
}

/* ---------------------------------------------------------------- starting, loading, inspecting */

void msg_put_hello(struct str *out, const struct msg_hello *message)
{
    wire_put_u32(out, message->pid);
    wire_put_text(out, message->version);
}

bool msg_get_hello(const void *bytes, size_t length, struct arena *arena, struct msg_hello *ret,
                   struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_hello message = {.pid = wire_get_u32(&in)};
    message.version = wire_get_text(&in, arena);
    if (!wire_done(&in, "HELLO", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_load(struct str *out, const struct msg_load *message)
{
    wire_put_u8(out, (uint8_t)message->role);
    wire_put_text(out, message->path);
    wire_put_u32(out, message->context_length);
    wire_put_u32(out, message->slots);
    wire_put_u32(out, message->threads);
    wire_put_i32(out, message->gpu_layers);
    wire_put_u8(out, (uint8_t)message->kv_type);
    wire_put_text(out, message->charset);
    wire_put_text(out, message->devices);
    wire_put_text(out, message->rpc_hosts);
}

bool msg_get_load(const void *bytes, size_t length, struct arena *arena, struct msg_load *ret,
                  struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_load message = {.role = (enum model_role)wire_get_choice(&in, ROLE_COUNT)};
    message.path = wire_get_text(&in, arena);
    message.context_length = wire_get_u32(&in);
    message.slots = wire_get_u32(&in);
    message.threads = wire_get_u32(&in);
    message.gpu_layers = wire_get_i32(&in);
    message.kv_type = (enum kv_type)wire_get_choice(&in, KV_TYPE_COUNT);
    message.charset = wire_get_text(&in, arena);
    message.devices = wire_get_text(&in, arena);
    message.rpc_hosts = wire_get_text(&in, arena);
    if (!wire_done(&in, "LOAD", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_progress(struct str *out, const struct msg_progress *message)
{
    wire_put_f32(out, message->fraction);
    wire_put_u64(out, message->bytes_total);
}

bool msg_get_progress(const void *bytes, size_t length, struct arena *arena,
                      struct msg_progress *ret, struct err *err)
{
    (void)arena;
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_progress message = {.fraction = get_finite(&in)};
    message.bytes_total = wire_get_u64(&in);
    if (!wire_done(&in, "PROGRESS", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_loaded(struct str *out, const struct msg_loaded *message)
{
    wire_put_text(out, message->description);
    wire_put_u64(out, message->parameters);
    wire_put_u64(out, message->file_bytes);
    wire_put_u64(out, message->resident_bytes);
    wire_put_u32(out, message->context_length);
    wire_put_u32(out, message->train_context);
    wire_put_u32(out, message->slots);
    wire_put_u32(out, message->dimensions);
    wire_put_text(out, message->pooling);
    wire_put_u8(out, message->has_template);
    wire_put_u8(out, message->sandboxed);
    wire_put_u8(out, message->landlocked);
}

bool msg_get_loaded(const void *bytes, size_t length, struct arena *arena, struct msg_loaded *ret,
                    struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_loaded message = {.description = wire_get_text(&in, arena)};
    message.parameters = wire_get_u64(&in);
    message.file_bytes = wire_get_u64(&in);
    message.resident_bytes = wire_get_u64(&in);
    message.context_length = wire_get_u32(&in);
    message.train_context = wire_get_u32(&in);
    message.slots = wire_get_u32(&in);
    message.dimensions = wire_get_u32(&in);
    message.pooling = wire_get_text(&in, arena);
    message.has_template = wire_get_bool(&in);
    message.sandboxed = wire_get_bool(&in);
    message.landlocked = wire_get_bool(&in);
    if (!wire_done(&in, "LOADED", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_path(struct str *out, const char *path)
{
    wire_put_text(out, path);
}

bool msg_get_path(const void *bytes, size_t length, struct arena *arena, const char **ret,
                  struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    const char *path = wire_get_text(&in, arena);
    if (!wire_done(&in, "INSPECT", err))
        return false;
    *ret = path;
    return true;
}

void msg_put_inspected(struct str *out, const struct msg_inspected *message)
{
    wire_put_text(out, message->architecture);
    wire_put_text(out, message->name);
    wire_put_u8(out, (uint8_t)message->role);
    wire_put_u64(out, message->file_bytes);
    wire_put_u64(out, message->parameters);
    wire_put_u32(out, message->train_context);
    wire_put_u32(out, message->dimensions);
    wire_put_u32(out, message->layers);
    wire_put_text(out, message->pooling);
    wire_put_text(out, message->file_type);
    wire_put_u8(out, message->has_template);
}

bool msg_get_inspected(const void *bytes, size_t length, struct arena *arena,
                       struct msg_inspected *ret, struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_inspected message = {.architecture = wire_get_text(&in, arena)};
    message.name = wire_get_text(&in, arena);
    message.role = (enum model_role)wire_get_choice(&in, ROLE_COUNT);
    message.file_bytes = wire_get_u64(&in);
    message.parameters = wire_get_u64(&in);
    message.train_context = wire_get_u32(&in);
    message.dimensions = wire_get_u32(&in);
    message.layers = wire_get_u32(&in);
    message.pooling = wire_get_text(&in, arena);
    message.file_type = wire_get_text(&in, arena);
    message.has_template = wire_get_bool(&in);
    if (!wire_done(&in, "INSPECTED", err))
        return false;
    *ret = message;
    return true;
}

/* ---------------------------------------------------------------- embeddings, counts, scores */

static void put_texts(struct str *out, const struct msg_texts *texts)
{
    wire_put_u32(out, texts->count);
    for (uint32_t i = 0; i < texts->count; i++)
        wire_put_text(out, texts->texts[i]);
}

static struct msg_texts get_texts(struct wire_reader *in, struct arena *arena)
{
    uint32_t count = wire_get_count(in, sizeof(uint32_t), MSG_TEXTS_MAX);
    const char **texts = arena_array(arena, count, sizeof(*texts));
    if (!texts)
        in->failed = true;
    for (uint32_t i = 0; texts && i < count; i++)
        texts[i] = wire_get_text(in, arena);
    return (struct msg_texts){.texts = texts, .count = count};
}

void msg_put_texts(struct str *out, const struct msg_texts *message)
{
    put_texts(out, message);
}

bool msg_get_texts(const void *bytes, size_t length, struct arena *arena, struct msg_texts *ret,
                   struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_texts message = get_texts(&in, arena);
    if (!wire_done(&in, "texts", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_vectors(struct str *out, const struct msg_vectors *message)
{
    wire_put_u32(out, message->count);
    wire_put_u32(out, message->dimensions);
    wire_put_f32s(out, message->values, (size_t)message->count * message->dimensions);
    wire_put_u64(out, message->tokens);
    wire_put_u32(out, message->truncated);
}

bool msg_get_vectors(const void *bytes, size_t length, struct arena *arena, struct msg_vectors *ret,
                     struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_vectors message = {.count = wire_get_u32(&in)};
    message.dimensions = wire_get_u32(&in);
    uint32_t count;
    message.values = wire_get_f32s(&in, arena, &count);
    message.tokens = wire_get_u64(&in);
    message.truncated = wire_get_u32(&in);
    if (message.count > MSG_TEXTS_MAX || (uint64_t)message.count * message.dimensions != count)
        in.failed = true;
    if (!wire_done(&in, "VECTORS", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_counts(struct str *out, const struct msg_counts *message)
{
    wire_put_u32(out, message->count);
    for (uint32_t i = 0; i < message->count; i++)
        wire_put_u32(out, message->tokens[i]);
}

bool msg_get_counts(const void *bytes, size_t length, struct arena *arena, struct msg_counts *ret,
                    struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    uint32_t count = wire_get_count(&in, sizeof(uint32_t), MSG_TEXTS_MAX);
    uint32_t *tokens = arena_array(arena, count, sizeof(*tokens));
    if (!tokens)
        in.failed = true;
    for (uint32_t i = 0; tokens && i < count; i++)
        tokens[i] = wire_get_u32(&in);
    if (!wire_done(&in, "COUNTS", err))
        return false;
    *ret = (struct msg_counts){.count = count, .tokens = tokens};
    return true;
}

void msg_put_rerank(struct str *out, const struct msg_rerank *message)
{
    wire_put_text(out, message->query);
    put_texts(out, &message->documents);
}

bool msg_get_rerank(const void *bytes, size_t length, struct arena *arena, struct msg_rerank *ret,
                    struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_rerank message = {.query = wire_get_text(&in, arena)};
    message.documents = get_texts(&in, arena);
    if (!wire_done(&in, "RERANK", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_scores(struct str *out, const struct msg_scores *message)
{
    wire_put_f32s(out, message->scores, message->count);
    wire_put_u64(out, message->tokens);
    wire_put_u32(out, message->truncated);
}

bool msg_get_scores(const void *bytes, size_t length, struct arena *arena, struct msg_scores *ret,
                    struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_scores message = {0};
    message.scores = wire_get_f32s(&in, arena, &message.count);
    message.tokens = wire_get_u64(&in);
    message.truncated = wire_get_u32(&in);
    if (message.count > MSG_TEXTS_MAX)
        in.failed = true;
    if (!wire_done(&in, "SCORES", err))
        return false;
    *ret = message;
    return true;
}

/* ---------------------------------------------------------------- generation */

static void put_sampling(struct str *out, const struct sampling *sampling)
{
    wire_put_u32(out, sampling->max_tokens);
    wire_put_f32(out, sampling->temperature);
    wire_put_u32(out, sampling->top_k);
    wire_put_f32(out, sampling->top_p);
    wire_put_f32(out, sampling->min_p);
    wire_put_f32(out, sampling->repeat_penalty);
    wire_put_f32(out, sampling->frequency_penalty);
    wire_put_f32(out, sampling->presence_penalty);
    wire_put_u64(out, sampling->seed);
    wire_put_u8(out, sampling->has_seed);
    wire_put_u32(out, sampling->stop_count);
    for (uint32_t i = 0; i < sampling->stop_count; i++)
        wire_put_text(out, sampling->stops[i]);
    wire_put_text(out, sampling->grammar);
}

static struct sampling get_sampling(struct wire_reader *in, struct arena *arena)
{
    struct sampling sampling = {.max_tokens = wire_get_u32(in)};
    sampling.temperature = get_finite(in);
    sampling.top_k = wire_get_u32(in);
    sampling.top_p = get_finite(in);
    sampling.min_p = get_finite(in);
    sampling.repeat_penalty = get_finite(in);
    sampling.frequency_penalty = get_finite(in);
    sampling.presence_penalty = get_finite(in);
    sampling.seed = wire_get_u64(in);
    sampling.has_seed = wire_get_bool(in);
    sampling.stop_count = wire_get_count(in, sizeof(uint32_t), MSG_STOPS_MAX);
    const char **stops = arena_array(arena, sampling.stop_count, sizeof(*stops));
    if (!stops)
        in->failed = true;
    for (uint32_t i = 0; stops && i < sampling.stop_count; i++)
        stops[i] = wire_get_text(in, arena);
    sampling.stops = stops;
    sampling.grammar = wire_get_text(in, arena);
    return sampling;
}

void msg_put_generate(struct str *out, const struct msg_generate *message)
{
    wire_put_u32(out, message->message_count);
    for (uint32_t i = 0; i < message->message_count; i++) {
        wire_put_text(out, message->messages[i].role);
        wire_put_text(out, message->messages[i].content);
    }
    wire_put_text(out, message->prompt);
    put_sampling(out, &message->sampling);
}

bool msg_get_generate(const void *bytes, size_t length, struct arena *arena,
                      struct msg_generate *ret, struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_generate message = {.message_count =
                                       wire_get_count(&in, 2 * sizeof(uint32_t), MSG_MESSAGES_MAX)};
    struct msg_chat_message *messages =
        arena_array(arena, message.message_count, sizeof(*messages));
    if (!messages)
        in.failed = true;
    for (uint32_t i = 0; messages && i < message.message_count; i++) {
        messages[i].role = wire_get_text(&in, arena);
        messages[i].content = wire_get_text(&in, arena);
    }
    message.messages = messages;
    message.prompt = wire_get_text(&in, arena);
    message.sampling = get_sampling(&in, arena);
    if (!wire_done(&in, "GENERATE", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_tokens(struct str *out, const struct msg_tokens *message)
{
    wire_put_text(out, message->text);
    wire_put_u32(out, message->completed);
}

bool msg_get_tokens(const void *bytes, size_t length, struct arena *arena, struct msg_tokens *ret,
                    struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_tokens message = {.text = wire_get_text(&in, arena)};
    message.completed = wire_get_u32(&in);
    if (message.text[0] == '\0')
        in.failed = true;
    if (!wire_done(&in, "TOKENS", err))
        return false;
    *ret = message;
    return true;
}

void msg_put_done(struct str *out, const struct msg_done *message)
{
    wire_put_u8(out, (uint8_t)message->finish);
    wire_put_u32(out, message->prompt_tokens);
    wire_put_u32(out, message->cached_tokens);
    wire_put_u32(out, message->completion_tokens);
    wire_put_f64(out, message->prompt_ms);
    wire_put_f64(out, message->generate_ms);
}

bool msg_get_done(const void *bytes, size_t length, struct arena *arena, struct msg_done *ret,
                  struct err *err)
{
    (void)arena;
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_done message = {.finish =
                                   (enum finish_reason)wire_get_choice(&in, FINISH_REASON_COUNT)};
    message.prompt_tokens = wire_get_u32(&in);
    message.cached_tokens = wire_get_u32(&in);
    message.completion_tokens = wire_get_u32(&in);
    message.prompt_ms = wire_get_f64(&in);
    message.generate_ms = wire_get_f64(&in);
    if (!isfinite(message.prompt_ms) || !isfinite(message.generate_ms))
        in.failed = true;
    if (!wire_done(&in, "DONE", err))
        return false;
    *ret = message;
    return true;
}
