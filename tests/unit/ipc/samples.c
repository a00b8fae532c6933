#include "samples.h"

static const char *const texts[] = {"", "hola", "caf\xc3\xa9 \xf0\x9f\x98\x80"};
static const float floats[] = {0.0F, -1.5F, 3.25e-9F, 0.5F, 1.0F, -0.0F};
static const uint32_t numbers[] = {0, 7, UINT32_MAX};

static const struct msg_hello hello = {.pid = 4711, .version = "1.2.3"};
static const struct msg_load load = {.role = ROLE_RERANK,
                                     .path = "/a/b.gguf",
                                     .context_length = 512,
                                     .slots = 4,
                                     .threads = 2,
                                     .gpu_layers = -1,
                                     .kv_type = KV_Q8_0,
                                     .charset = "ISO-8859-15",
                                     .devices = "Vulkan0:3,Vulkan1:1",
                                     .rpc_hosts = "10.0.0.2:50052"};
static const struct msg_progress progress = {.fraction = 0.25F, .bytes_total = 1ULL << 40};
static const struct msg_loaded loaded = {.description = "llama 7B Q4_K",
                                         .parameters = 7000000000,
                                         .file_bytes = 1,
                                         .resident_bytes = 2,
                                         .context_length = 3,
                                         .train_context = 4,
                                         .slots = 5,
                                         .dimensions = 384,
                                         .pooling = "mean",
                                         .has_template = true,
                                         .landlocked = true};
static const struct msg_inspected inspected = {.architecture = "bert",
                                               .name = "x",
                                               .role = ROLE_EMBEDDING,
                                               .file_bytes = 9,
                                               .parameters = 8,
                                               .train_context = 7,
                                               .dimensions = 6,
                                               .layers = 5,
                                               .pooling = "cls",
                                               .file_type = "Q8_0",
                                               .has_template = true};
static const struct msg_texts some_texts = {.texts = texts, .count = 3};
static const struct msg_vectors vectors = {
    .count = 3, .dimensions = 2, .values = floats, .tokens = 12, .truncated = 1};
static const struct msg_counts counts = {.count = 3, .tokens = numbers};
static const struct msg_rerank rerank = {.query = "why?", .documents = {texts, 3}};
static const struct msg_scores scores = {
    .count = 4, .scores = floats, .tokens = 99, .truncated = 2};
static const struct msg_chat_message messages[] = {{"system", "be brief"},
                                                   {"user", "\xc2\xbfqu\xc3\xa9?"}};
static const struct msg_generate generate = {.messages = messages,
                                             .message_count = 2,
                                             .prompt = "raw",
                                             .sampling = {.max_tokens = 17,
                                                          .temperature = 0.5F,
                                                          .top_k = 3,
                                                          .top_p = 0.9F,
                                                          .min_p = 0.1F,
                                                          .repeat_penalty = 1.1F,
                                                          .frequency_penalty = -0.5F,
                                                          .presence_penalty = 0.25F,
                                                          .seed = UINT64_MAX,
                                                          .has_seed = true,
                                                          .stops = texts + 1,
                                                          .stop_count = 2,
                                                          .grammar = "root ::= \"a\""}};
static const struct msg_tokens tokens = {.text = "\xc3\xb1", .completed = 3};
static const struct msg_done done = {.finish = FINISH_LENGTH,
                                     .prompt_tokens = 10,
                                     .cached_tokens = 4,
                                     .completion_tokens = 6,
                                     .prompt_ms = 1.5,
                                     .generate_ms = 1e9};
static const struct msg_parse parse = {
    .name = "a.html", .format = DOCUMENT_HTML, .bytes = (const uint8_t *)"<p>\0\xff", .length = 5};
static const struct text_run runs[] = {{0, 3, true}, {4, 10, false}};
static const struct msg_parsed parsed = {.format = DOCUMENT_HTML,
                                         .title = "t",
                                         .charset = "UTF-8",
                                         .need_charset = "",
                                         .text = "one two",
                                         .text_length = 7,
                                         .runs = runs,
                                         .run_count = 2,
                                         .file_length = 12};
static const float sound[] = {0.0F, 0.25F, -1.0F};
static const struct msg_sound some_sound = {.samples = sound, .count = 3, .fraction = 0.5F};
static const struct msg_transcribe transcribe = {.samples = sound,
                                                 .sample_count = 3,
                                                 .language = "es",
                                                 .prompt = "Jarvis",
                                                 .temperature = 0.2F,
                                                 .translate = true,
                                                 .words = true,
                                                 .fast = true};
static const struct msg_segment segments[] = {
    {"\xc2\xbfqu\xc3\xa9 tal?", 0, 900, -0.5F, 0.1F, 0, 2, 4},
    {"bien", 1000, 1500, -0.25F, 0, 2, 1, 2}};
static const struct msg_word words[] = {
    {"\xc2\xbfqu\xc3\xa9", 10, 300, 0.9F}, {"tal?", 300, 800, 0.8F}, {"bien", 1100, 1400, 1}};
static const struct msg_transcribed transcribed = {.language = "es",
                                                   .language_probability = 0.75F,
                                                   .segments = segments,
                                                   .segment_count = 2,
                                                   .words = words,
                                                   .word_count = 3,
                                                   .compute_ms = 12.5};
static const struct msg_part parts[] = {
    {.part = PART_WEIGHTS, .device = "CPU", .bytes = 1ULL << 33},
    {.part = PART_COMPUTE, .device = "CUDA0", .bytes = 5},
};
static const struct msg_forecast forecast = {
    .parts = parts, .count = 2, .context_length = 4096, .train_context = 8192, .slots = 2};
static const struct msg_stats stats = {
    .resident_bytes = 5, .peak_bytes = 6, .held_bytes = 7, .busy = 1};
static const struct msg_pong pong = {.busy = true, .beats = 1ULL << 33, .step_ms = 12};
static const struct msg_probed probed = {
    .open_errno = 13, .socket_errno = 1, .exec_errno = -1, .no_new_privileges = true};

static const struct msg_device some_devices[] = {
    {.name = "CPU", .description = "", .backend = "CPU", .kind = DEVICE_CPU, .total_bytes = 9},
    {.name = "Vulkan0",
     .description = "a GPU",
     .backend = "Vulkan",
     .kind = DEVICE_INTEGRATED,
     .free_bytes = 1ULL << 34,
     .total_bytes = 1ULL << 35},
};
static const struct msg_devices devices = {.devices = some_devices, .count = 2};
static const struct msg_threads threads = {.threads = 3};

#define CODEC(name, value)                                                          \
    static void sample_##name(struct str *out)                                      \
    {                                                                               \
        msg_put_##name(out, &(value));                                              \
    }                                                                               \
    static bool again_##name(const void *bytes, size_t length, struct arena *arena, \
                             struct str *out, struct err *err)                      \
    {                                                                               \
        struct msg_##name message;                                                  \
        if (!msg_get_##name(bytes, length, arena, &message, err))                   \
            return false;                                                           \
        msg_put_##name(out, &message);                                              \
        return true;                                                                \
    }
CODEC(hello, hello)
CODEC(load, load)
CODEC(progress, progress)
CODEC(loaded, loaded)
CODEC(inspected, inspected)
CODEC(texts, some_texts)
CODEC(vectors, vectors)
CODEC(counts, counts)
CODEC(rerank, rerank)
CODEC(scores, scores)
CODEC(generate, generate)
CODEC(tokens, tokens)
CODEC(done, done)
CODEC(parse, parse)
CODEC(parsed, parsed)
CODEC(sound, some_sound)
CODEC(transcribe, transcribe)
CODEC(transcribed, transcribed)
CODEC(pong, pong)
CODEC(stats, stats)
CODEC(probed, probed)
CODEC(forecast, forecast)
CODEC(devices, devices)
CODEC(threads, threads)
#undef CODEC

static void sample_path(struct str *out)
{
    msg_put_path(out, "/models/uno.gguf");
}

static bool again_path(const void *bytes, size_t length, struct arena *arena, struct str *out,
                       struct err *err)
{
    const char *path;
    if (!msg_get_path(bytes, length, arena, &path, err))
        return false;
    msg_put_path(out, path);
    return true;
}

static void sample_err(struct str *out)
{
    struct err error;
    err_restore(&error, ERR_BUSY, "busy", "ocupado", "model", 250);
    msg_put_err(out, &error);
}

static bool again_err(const void *bytes, size_t length, struct arena *arena, struct str *out,
                      struct err *err)
{
    (void)arena;
    struct err error;
    if (!msg_get_err(bytes, length, &error, err))
        return false;
    msg_put_err(out, &error);
    return true;
}

#define CASE(name)                         \
    {                                      \
#name, sample_##name, again_##name \
    }
const struct codec_case codec_cases[] = {
    CASE(hello),    CASE(load),       CASE(progress),    CASE(loaded),  CASE(inspected),
    CASE(texts),    CASE(vectors),    CASE(counts),      CASE(rerank),  CASE(scores),
    CASE(generate), CASE(tokens),     CASE(done),        CASE(parse),   CASE(parsed),
    CASE(sound),    CASE(transcribe), CASE(transcribed), CASE(pong),    CASE(stats),
    CASE(probed),   CASE(forecast),   CASE(devices),     CASE(threads), CASE(path),
    CASE(err),
};
#undef CASE
const size_t codec_case_count = sizeof(codec_cases) / sizeof(codec_cases[0]);
