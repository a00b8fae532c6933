/* protocol.h - what the service and its workers say to each other: the only header that both sides share.
 *
 * A worker holds one model (or none yet: the spare; or it parses documents). The service sends requests with
 * fresh ids; the worker answers each with zero or more PROGRESS or TOKENS frames and exactly one last frame of
 * the same id: the answer's own type, or ERROR. CANCEL with a request's id makes it end soon, with ERROR
 * "cancelled"; a CANCEL for an id that has ended is ignored.
 *
 * Messages are structs with an encoder and a decoder here (message.c), so no other file knows their bytes.
 * Owner:   decoders put what they allocate into the caller's arena; strings inside are NUL-terminated UTF-8.
 * Threads: pure functions. Fails: ERR_PROTOCOL; encoders report through str_ok().
 */
#ifndef JARVIS_IPC_PROTOCOL_H
#define JARVIS_IPC_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "ipc/frame.h"

enum frame_type {
    /* worker -> service, unasked, id 0 */
    FRAME_HELLO = 1, /* struct msg_hello: ready for a LOAD, INSPECT or PARSE */
    /* service -> worker */
    FRAME_LOAD = 10, /* struct msg_load -> PROGRESS* then LOADED; after it the sandbox is closed */
    FRAME_INSPECT = 11, /* text path -> INSPECTED: what a GGUF says of itself, without loading it */
    FRAME_EMBED = 12,   /* struct msg_texts -> VECTORS */
    FRAME_COUNT =
        13, /* struct msg_texts -> COUNTS: tokens of each text, special tokens not counted */
    FRAME_RERANK = 14,     /* struct msg_rerank -> SCORES */
    FRAME_GENERATE = 15,   /* struct msg_generate -> TOKENS* then DONE */
    FRAME_PARSE = 16,      /* struct msg_parse -> PARSED */
    FRAME_CANCEL = 17,     /* no payload; id names the request */
    FRAME_PING = 18,       /* -> PONG, by the reader thread: also while it computes */
    FRAME_STATS = 19,      /* -> STATED */
    FRAME_PROBE = 20,      /* -> PROBED: the worker tries what its sandbox forbids, and tells */
    FRAME_SHUTDOWN = 21,   /* finish nothing, leave with status 0 */
    FRAME_TRANSCRIBE = 22, /* struct msg_transcribe -> TRANSCRIBED */
    FRAME_DEVICES = 24,    /* -> DEVICES_FOUND: the compute devices that ggml knows */
    FRAME_THREADS =
        25, /* struct msg_threads, no answer: compute with so many threads from now on */
    FRAME_FORECAST = 26, /* struct msg_load -> FORECASTED: the memory that this load would take */
    /* worker -> service, answers */
    FRAME_PROGRESS = 40,      /* struct msg_progress */
    FRAME_LOADED = 41,        /* struct msg_loaded */
    FRAME_INSPECTED = 42,     /* struct msg_inspected */
    FRAME_VECTORS = 43,       /* struct msg_vectors */
    FRAME_COUNTS = 44,        /* struct msg_counts */
    FRAME_SCORES = 45,        /* struct msg_scores */
    FRAME_TOKENS = 46,        /* struct msg_tokens */
    FRAME_DONE = 47,          /* struct msg_done */
    FRAME_PARSED = 48,        /* struct msg_parsed */
    FRAME_PONG = 49,          /* struct msg_pong */
    FRAME_STATED = 50,        /* struct msg_stats */
    FRAME_PROBED = 51,        /* struct msg_probed */
    FRAME_TRANSCRIBED = 52,   /* struct msg_transcribed */
    FRAME_SOUND = 53,         /* struct msg_sound, from the process that decodes a file */
    FRAME_DEVICES_FOUND = 54, /* struct msg_devices */
    FRAME_FORECASTED = 56,    /* struct msg_forecast */
    FRAME_ERROR = 60,         /* struct err */
};

/* What a model is for. */
enum model_role { ROLE_CHAT, ROLE_EMBEDDING, ROLE_RERANK, ROLE_SPEECH, ROLE_PARSER, ROLE_COUNT };

/* "chat" "embedding" "rerank" "speech" "parser". */
const char *model_role_name(enum model_role role);
bool model_role_parse(const char *name, enum model_role *ret);

/* What the numbers of a KV cache are stored as. */
enum kv_type {
    KV_F16,
    KV_F32,
    KV_BF16,
    KV_Q8_0,
    KV_Q5_1,
    KV_Q5_0,
    KV_Q4_1,
    KV_Q4_0,
    KV_TYPE_COUNT
};

/* "f16" "f32" "bf16" "q8_0" "q5_1" "q5_0" "q4_1" "q4_0". */
const char *kv_type_name(enum kv_type type);
bool kv_type_parse(const char *name, enum kv_type *ret);

/* Limits that a decoder enforces. */
enum {
    MSG_TEXTS_MAX = 4096,    /* texts of one EMBED, COUNT or RERANK */
    MSG_MESSAGES_MAX = 1024, /* messages of one GENERATE */
    MSG_STOPS_MAX = 16,
    MSG_LOGPROBS_MAX = 20,
    MSG_SPEECH_RATE = 16000,                       /* samples a second of all speech, mono */
    MSG_SPEECH_SAMPLES_MAX = 30 * MSG_SPEECH_RATE, /* of one TRANSCRIBE */
    MSG_SEGMENTS_MAX = 512,                        /* of one TRANSCRIBED */
    MSG_WORDS_MAX = 4096,
    MSG_PARTS_MAX = 64, /* of a FORECASTED */
};

struct msg_hello {
    uint32_t pid;
    const char *version; /* of the program; another version is refused */
};

struct msg_load {
    enum model_role role;
    const char *path; /* GGUF file; ggml's own format for speech */
    /* Tokens a sequence may hold; 0: the model's own, at most 8192 for chat and 2048 for embedding and rerank, whose
     * buffers grow with its square. */
    uint32_t context_length;
    uint32_t slots;     /* sequences at once (chat); >= 1 */
    uint32_t threads;   /* compute threads; >= 1 */
    int32_t gpu_layers; /* -1: all that fit */
    enum kv_type kv_type;
    const char
        *charset; /* ROLE_PARSER: an iconv name to be opened before the sandbox; "" for none */
    /* Devices to put layers on, with their shares of them: "Vulkan0:3,Vulkan1:1" (without a number: by free memory);
     * "": every GPU that there is. */
    const char *devices;
    /* Hosts that run ggml-rpc-server, "10.0.0.2:50052,…", whose devices are then known as well; "" for none. */
    const char *rpc_hosts;
};

struct msg_progress {
    float fraction;       /* 0..1 */
    uint64_t bytes_total; /* size of the file */
};

/* What is known of an open model. */
struct msg_loaded {
    const char *description; /* as libllama tells it, e.g. "llama 7B Q4_K - Medium" */
    uint64_t parameters;
    uint64_t file_bytes;
    /* What the worker holds: its own memory and pages of the model's file, not its libraries, which all share. */
    uint64_t resident_bytes;
    uint32_t context_length; /* a slot's, as it was made */
    uint32_t train_context;  /* that the model was trained with */
    uint32_t slots;
    uint32_t dimensions; /* of an embedding; 0 for other roles */
    const char *pooling; /* "mean" "cls" "last" "rank" "none" */
    bool has_template;
    bool sandboxed;  /* seccomp is in force */
    bool landlocked; /* landlock as well */
};

struct msg_inspected {
    const char *architecture; /* "llama", "bert", … */
    const char *name;         /* general.name, or "" */
    enum model_role role;     /* guessed from architecture and pooling */
    uint64_t file_bytes;
    uint64_t parameters;
    uint32_t train_context;
    uint32_t dimensions;
    uint32_t layers;
    const char *pooling;
    const char *file_type; /* "Q8_0", … */
    bool has_template;
};

/* What memory is taken for. */
enum memory_part {
    PART_WEIGHTS,  /* pages of the model's file: the kernel can drop them and read them again */
    PART_REPACKED, /* weights copied into another order for this CPU, or to a device */
    PART_CACHE,    /* KV cache, states of recurrent models */
    PART_COMPUTE,  /* buffers of what is being computed, outputs */
    PART_PROCESS, /* vocabulary, tables, the worker itself; not its libraries, which all workers share */
    PART_LEARNED, /* what loads took beyond the rest: orchestrator's */
    PART_COUNT
};

/* "weights" "repacked" "kv_cache" "compute" "process" "learned". */
const char *memory_part_name(enum memory_part part);

struct msg_part {
    enum memory_part part;
    const char *device; /* "CPU", "CUDA0", … as ggml names it */
    uint64_t bytes;
};

struct msg_forecast {
    const struct msg_part *parts;
    uint32_t count;
    uint32_t context_length; /* a slot's, as it would be made */
    uint32_t train_context;
    uint32_t slots;
};

struct msg_texts {
    const char *const *texts; /* UTF-8 */
    uint32_t count;
};

struct msg_vectors {
    uint32_t count;
    uint32_t dimensions;
    const float *values; /* count x dimensions, row major, each row of L2 norm 1 (or all zero) */
    uint64_t tokens;     /* computed */
    uint32_t truncated;  /* texts that were longer than the model's context and were cut */
};

struct msg_counts {
    uint32_t count;
    const uint32_t *tokens;
};

struct msg_rerank {
    const char *query;
    struct msg_texts documents;
};

struct msg_scores {
    uint32_t count;
    const float *scores; /* as the model gives them; larger is more relevant */
    uint64_t tokens;
    uint32_t truncated;
};

struct msg_chat_message {
    const char *role; /* "system" "user" "assistant" … */
    const char *content;
};

/* How tokens are chosen. Fields out of range are refused by the server before they come here. */
struct sampling {
    uint32_t max_tokens;     /* 0: until the context is full */
    float temperature;       /* 0: greedy */
    uint32_t top_k;          /* 0: off */
    float top_p;             /* 1: off */
    float min_p;             /* 0: off */
    float repeat_penalty;    /* 1: off; over the last 64 tokens */
    float frequency_penalty; /* 0: off */
    float presence_penalty;  /* 0: off */
    uint64_t seed;           /* used when has_seed, else random */
    bool has_seed;
    const char *const *stops; /* the text ends before the first of these */
    uint32_t stop_count;
    const char *grammar; /* GBNF; "" for none */
};

/* temperature 0.7, top_k 40, top_p 0.95, min_p 0.05, the rest off. */
void sampling_default(struct sampling *ret);

struct msg_generate {
    const struct msg_chat_message *messages; /* rendered with the model's template, or … */
    uint32_t message_count;
    const char *prompt; /* … this text as it is, when message_count is 0 */
    struct sampling sampling;
};

struct msg_tokens {
    const char *text;   /* valid UTF-8, never empty */
    uint32_t completed; /* tokens generated so far */
};

enum finish_reason { FINISH_STOP, FINISH_LENGTH, FINISH_REASON_COUNT };

struct msg_done {
    enum finish_reason finish;
    uint32_t prompt_tokens;
    uint32_t cached_tokens; /* of the prompt: found in the slot's memory and not computed again */
    uint32_t completion_tokens;
    double prompt_ms;
    double generate_ms;
};

/* What kind of document the bytes are; DOCUMENT_AUTO decides by name and content. */
enum document_format {
    DOCUMENT_AUTO,
    DOCUMENT_TEXT,
    DOCUMENT_MARKDOWN,
    DOCUMENT_HTML,
    DOCUMENT_CODE,
    DOCUMENT_FORMATS
};

struct msg_parse {
    const char *name; /* file name, for its ending */
    enum document_format format;
    const uint8_t *bytes;
    size_t length;
};

/* One run of the map from extracted text to the file: text[text_offset ..] came from file[file_offset ..] up to
 * the next run. `identical`: byte for byte the same. */
struct text_run {
    uint32_t text_offset;
    uint32_t file_offset;
    bool identical;
};

struct msg_parsed {
    enum document_format format;
    const char *title;   /* or "" */
    const char *charset; /* that the bytes were in: "UTF-8", … */
    /* When the bytes are in a charset that this worker has not opened, need_charset names it (and text is
     * empty): ask a worker whose LOAD carried that charset. */
    const char *need_charset;
    const char *text; /* UTF-8, NUL-free */
    size_t text_length;
    const struct text_run *runs; /* at least one when text is not empty; ascending */
    uint32_t run_count;
    uint32_t file_length;
};

/* The next samples of a sound file. */
struct msg_sound {
    const float *samples; /* at MSG_SPEECH_RATE, mono, -1..1 */
    uint32_t count;
    float fraction; /* of the file that has been read, 0..1 */
};

/* A piece of speech that is to become text. */
struct msg_transcribe {
    const float *samples; /* at MSG_SPEECH_RATE, nominally -1..1, finite */
    uint32_t sample_count;
    const char *language; /* "es"; "" to be detected */
    const char *prompt;   /* what came before, or names to expect; "" */
    float temperature;    /* 0: greedy, warmer only where that fails */
    bool translate;       /* to English */
    bool words;           /* the times of words are wanted */
    bool fast;            /* a partial result is wanted: nothing is tried a second time */
};

struct msg_word {
    const char *text;  /* without spaces around it */
    uint32_t start_ms; /* from the first sample on */
    uint32_t end_ms;
    float probability;
};

struct msg_segment {
    const char *text;
    uint32_t start_ms;
    uint32_t end_ms;
    float mean_logprob;  /* of its tokens */
    float no_speech;     /* probability that nobody speaks */
    uint32_t first_word; /* of this segment among the words */
    uint32_t word_count;
    uint32_t tokens;
};

struct msg_transcribed {
    const char *language; /* that was given, or detected */
    float language_probability;
    const struct msg_segment *segments;
    uint32_t segment_count;
    const struct msg_word *words;
    uint32_t word_count;
    double compute_ms;
};

/* The heartbeat: whether the model thread gets on. */
struct msg_pong {
    bool busy;        /* it is at work, and not waiting for a request */
    uint64_t beats;   /* counts each step it has taken and, on a CPU, each part of one */
    uint64_t step_ms; /* how long the step that it is in has taken so far; 0 when not busy */
};

struct msg_stats {
    uint64_t resident_bytes;
    uint64_t peak_bytes;
    uint64_t held_bytes; /* as msg_loaded's resident_bytes, now */
    uint32_t busy;       /* requests in work */
};

struct msg_probed {
    int32_t
        open_errno; /* of opening /etc/passwd for reading: 0 when it worked (then there is no sandbox) */
    int32_t socket_errno; /* of socket(AF_INET) */
    int32_t exec_errno;   /* of execve */
    bool no_new_privileges;
};

/* What a device computes with. A GPU that shares the machine's memory is integrated. */
enum device_kind { DEVICE_CPU, DEVICE_GPU, DEVICE_INTEGRATED, DEVICE_ACCELERATOR, DEVICE_KINDS };

enum { MSG_DEVICES_MAX = 64 };

struct msg_device {
    const char *name;        /* as ggml calls it: "CPU" "Vulkan0" "CUDA1" "RPC0" */
    const char *description; /* "llvmpipe (LLVM 15.0.6, 256 bits)" */
    const char *backend;     /* "CPU" "Vulkan" "CUDA" "RPC" */
    enum device_kind kind;
    uint64_t free_bytes;
    uint64_t total_bytes;
};

struct msg_devices {
    const struct msg_device *devices;
    uint32_t count;
};

struct msg_threads {
    uint32_t threads; /* >= 1; more than the LOAD said count as that many */
};

#define MSG_CODEC(name)                                                        \
    void msg_put_##name(struct str *out, const struct msg_##name *message);    \
    bool msg_get_##name(const void *bytes, size_t length, struct arena *arena, \
                        struct msg_##name *ret, struct err *err);

MSG_CODEC(hello)
MSG_CODEC(load)
MSG_CODEC(progress)
MSG_CODEC(loaded)
MSG_CODEC(inspected)
MSG_CODEC(texts)
MSG_CODEC(vectors)
MSG_CODEC(counts)
MSG_CODEC(rerank)
MSG_CODEC(scores)
MSG_CODEC(generate)
MSG_CODEC(tokens)
MSG_CODEC(done)
MSG_CODEC(parse)
MSG_CODEC(parsed)
MSG_CODEC(sound)
MSG_CODEC(transcribe)
MSG_CODEC(transcribed)
MSG_CODEC(pong)
MSG_CODEC(stats)
MSG_CODEC(probed)
MSG_CODEC(forecast)
MSG_CODEC(devices)
MSG_CODEC(threads)
#undef MSG_CODEC

void msg_put_path(struct str *out, const char *path); /* INSPECT */
bool msg_get_path(const void *bytes, size_t length, struct arena *arena, const char **ret,
                  struct err *err);

void msg_put_err(struct str *out, const struct err *error); /* ERROR, both languages */
bool msg_get_err(const void *bytes, size_t length, struct err *ret_error, struct err *err);

#endif
