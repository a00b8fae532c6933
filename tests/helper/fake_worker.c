/* fake_worker - a worker that speaks the protocol, computes nothing, and fails as it is told.
 *
 * Started as the real one: `fake_worker worker`, its socket as descriptor 3. How it behaves stands in the "model file",
 * whose first line is `fake key=value,key,…` (so that a test can make the file as large as it likes after that line);
 * what happens before a model is loaded stands in the environment variable JARVIS_FAKE_WORKER, in the same form.
 *
 * Before a load:  version=TEXT (in HELLO), die-at-start, no-hello
 * While loading:  gate=FILE (waits as long as FILE is there), load-ms=N, fail-load, crash-load, kill-load,
 *                 resident=BYTES, dims=N
 * At a request:   work-gate=FILE, ms=N, kill-once=FILE (removes FILE and dies, when it is there), hang (until it is
 *                 cancelled), mute (no heartbeats while at work), stuck (heartbeats without progress), deaf (for ever), garbage (answers with what is no frame), crash
 * Generation:     tokens=N, token-ms=N, die-after=N (tokens), flood=FILE (64 MiB at once, then removes FILE)
 * At any death:   say=TEXT (on stderr)
 *
 * Answers that a test can check: vector = (length, first byte, 0…), count = length, score = length of the document.
 * Documents: "KILL…" crashes, "HANG…" never ends, "ERROR…" is refused, "NEED charset\n…" wants that charset,
 * "KILLONCE file\n…" as kill-once, anything else is its own text.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/thread.h"
#include "config.h"
#include "ipc/protocol.h"

enum { SOCKET = 3, LINE_MAX_BYTES = 1024, GATE_STEP_MS = 2, WRITE_MS = 60000 };
enum {
    FLOOD_BYTES = 1024 * 1024,
    FLOOD_COUNT = 64,
    DIMENSIONS = 8,
    DIMENSIONS_MAX = 64,
    MESSAGE_ARENA = 1 << 28
};

struct fake;

struct request {
    struct fake *fake;
    struct frame frame;
    bool cancelled;
    struct request *next;
};

struct fake {
    char behaviour[LINE_MAX_BYTES];
    char charset[64];
    struct mutex lock; /* of the list and of what is cancelled */
    struct cond changed;
    struct mutex write_lock;
    struct request *requests;
    uint64_t beats; /* the reader's */
};

/* ---------------------------------------------------------------- behaviour */

/* The text after "key" or "key=" among the comma-separated items; NULL when the key is not there. */
static const char *find_key(const struct fake *fake, const char *key)
{
    size_t length = strlen(key);
    for (const char *at = fake->behaviour; *at; at += strcspn(at, ",")) {
        at += *at == ',';
        if (strncmp(at, key, length) == 0 && strchr("=,", at[length]))
            return at + length + (at[length] == '=');
    }
    return NULL;
}

static bool has(const struct fake *fake, const char *key)
{
    return find_key(fake, key) != NULL;
}

static uint64_t number(const struct fake *fake, const char *key, uint64_t otherwise)
{
    const char *value = find_key(fake, key);
    return value ? strtoull(value, NULL, 10) : otherwise;
}

/* The value as a string; "" when the key is not there. */
static void text(const struct fake *fake, const char *key, char *out, size_t size)
{
    const char *value = find_key(fake, key);
    snprintf(out, size, "%.*s", value ? (int)strcspn(value, ",") : 0, value ? value : "");
}

static void say(const struct fake *fake)
{
    char words[LINE_MAX_BYTES];
    text(fake, "say", words, sizeof(words));
    if (words[0])
        fprintf(stderr, "some noise\n%s\n", words);
}

__attribute__((noreturn)) static void die(const struct fake *fake, int with)
{
    say(fake);
    if (with == SIGABRT)
        abort(); /* as raise() would not: this thread blocks signals */
    kill(getpid(), with);
    _exit(1);
}

/* ---------------------------------------------------------------- talking */

static void send_bytes(struct fake *fake, enum frame_type type, uint64_t id, struct str *payload)
{
    struct err err;
    mutex_lock(&fake->write_lock);
    if (!str_ok(payload) || !frame_write(SOCKET, (uint8_t)type, id, payload->data, payload->length,
                                         deadline_in_ms(WRITE_MS), &err))
        _exit(0); /* the service has gone */
    mutex_unlock(&fake->write_lock);
    str_free(payload);
}

static void start_payload(struct str *payload)
{
    str_init(payload, FRAME_PAYLOAD_MAX);
}

static void send_error(const struct request *request, enum err_code code, const char *message)
{
    struct err err;
    struct str payload;
    err_set(&err, code, "%s", message);
    start_payload(&payload);
    msg_put_err(&payload, &err);
    send_bytes(request->fake, FRAME_ERROR, request->frame.id, &payload);
}

static void send_cancelled(const struct request *request)
{
    send_error(request, ERR_CANCELLED, "cancelled in the fake worker");
}

/* ---------------------------------------------------------------- waiting */

/* Lets the time pass; false when the request was cancelled. */
static bool pass(struct request *request, uint64_t ms)
{
    deadline until = deadline_in_ms((int64_t)ms);
    struct fake *fake = request->fake;
    mutex_lock(&fake->lock);
    while (!request->cancelled && cond_wait(&fake->changed, &fake->lock, until))
        continue;
    bool cancelled = request->cancelled;
    mutex_unlock(&fake->lock);
    return !cancelled;
}

/* Waits as long as the file that the key names is there. */
static bool wait_at_gate(struct request *request, const char *key)
{
    char path[LINE_MAX_BYTES];
    text(request->fake, key, path, sizeof(path));
    while (path[0] && fs_exists(path))
        if (!pass(request, GATE_STEP_MS))
            return false;
    return true;
}

/* ---------------------------------------------------------------- loading */

static void read_behaviour(struct fake *fake, const char *path)
{
    char line[LINE_MAX_BYTES] = "";
    FILE *file = fopen(path, "re");
    if (file) {
        if (fgets(line, sizeof(line), file) && strncmp(line, "fake", 4) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(fake->behaviour, sizeof(fake->behaviour), "%s",
                     line + (line[4] == ' ' ? 5 : 4));
        }
        fclose(file);
    }
}

static bool load_slowly(struct request *request, uint64_t ms)
{
    enum { STEPS = 10 };
    for (int step = 0; step < STEPS; step++) {
        const struct msg_progress progress = {.fraction = (float)step / STEPS, .bytes_total = 1000};
        struct str payload;
        start_payload(&payload);
        msg_put_progress(&payload, &progress);
        send_bytes(request->fake, FRAME_PROGRESS, request->frame.id, &payload);
        if (!pass(request, ms / STEPS))
            return false;
    }
    return true;
}

static void send_loaded(const struct request *request, const struct msg_load *load)
{
    struct fake *fake = request->fake;
    const struct msg_loaded loaded = {
        .description = "fake",
        .parameters = 1,
        .file_bytes = 1,
        .resident_bytes = number(fake, "resident", 1 << 20),
        .context_length = load->context_length ? load->context_length : 512,
        .train_context = 512,
        .slots = load->slots,
        .dimensions = (uint32_t)number(fake, "dims", DIMENSIONS),
        .pooling = "mean",
        .sandboxed = true,
    };
    struct str payload;
    start_payload(&payload);
    msg_put_loaded(&payload, &loaded);
    send_bytes(fake, FRAME_LOADED, request->frame.id, &payload);
}

/* A chat model's cache is a quarter of its file for each 8192 tokens of a sequence; 64 MiB are added to all. */
static void do_forecast(struct request *request, struct arena *arena)
{
    enum { TOKENS = 8192, EXTRA = 64 << 20 };
    struct msg_load load;
    struct stat info;
    struct err err;
    if (!msg_get_load(request->frame.payload, request->frame.length, arena, &load, &err) ||
        stat(load.path, &info) != 0) {
        send_error(request, ERR_PROTOCOL, "bad FORECAST");
        return;
    }
    uint64_t cells = (uint64_t)(load.context_length ? load.context_length : TOKENS) * load.slots;
    uint64_t cache = load.role == ROLE_CHAT ? (uint64_t)info.st_size / 4 * cells / TOKENS : 0;
    const struct msg_part parts[] = {
        {.part = PART_WEIGHTS, .device = "CPU", .bytes = (uint64_t)info.st_size},
        {.part = PART_CACHE, .device = "CPU", .bytes = cache},
        {.part = PART_COMPUTE, .device = "CPU", .bytes = EXTRA},
    };
    const struct msg_forecast forecast = {
        .parts = parts,
        .count = sizeof(parts) / sizeof(parts[0]),
        .context_length = load.context_length ? load.context_length : TOKENS,
        .train_context = TOKENS,
        .slots = load.slots,
    };
    struct str payload;
    start_payload(&payload);
    msg_put_forecast(&payload, &forecast);
    send_bytes(request->fake, FRAME_FORECASTED, request->frame.id, &payload);
}

static void do_stats(const struct request *request)
{
    const struct msg_stats stats = {.held_bytes = number(request->fake, "resident", 1 << 20)};
    struct str payload;
    start_payload(&payload);
    msg_put_stats(&payload, &stats);
    send_bytes(request->fake, FRAME_STATED, request->frame.id, &payload);
}

static void do_load(struct request *request, struct arena *arena)
{
    struct fake *fake = request->fake;
    struct msg_load load;
    struct err err;
    if (!msg_get_load(request->frame.payload, request->frame.length, arena, &load, &err)) {
        send_error(request, ERR_PROTOCOL, "bad LOAD");
        return;
    }
    if (load.role == ROLE_PARSER) {
        snprintf(fake->charset, sizeof(fake->charset), "%s", load.charset);
        if (strcmp(load.charset, "UNKNOWN") == 0)
            send_error(request, ERR_UNSUPPORTED, "unknown charset");
        else
            send_loaded(request, &load);
        return;
    }
    read_behaviour(fake, load.path);
    if (has(fake, "crash-load"))
        die(fake, SIGABRT);
    if (has(fake, "kill-load"))
        die(fake, SIGKILL);
    if (!wait_at_gate(request, "gate") || !load_slowly(request, number(fake, "load-ms", 0)))
        send_cancelled(request);
    else if (has(fake, "fail-load"))
        send_error(request, ERR_MODEL_INVALID, "the fake worker was told to refuse");
    else
        send_loaded(request, &load);
}

/* ---------------------------------------------------------------- requests */

/* What the behaviour does to any request. False: there is nothing more to answer. */
static bool misbehave(struct request *request)
{
    struct fake *fake = request->fake;
    char once[LINE_MAX_BYTES];
    text(fake, "kill-once", once, sizeof(once));
    if (once[0] && unlink(once) == 0)
        die(fake, SIGKILL);
    if (has(fake, "crash"))
        die(fake, SIGABRT);
    if (has(fake, "deaf"))
        return false;
    if (has(fake, "garbage")) {
        static const char nonsense[] = "this is no frame, and the service must notice";
        if (write(SOCKET, nonsense, sizeof(nonsense)) < 0)
            _exit(0);
        return false;
    }
    bool hang = has(fake, "hang");
    if (!wait_at_gate(request, "work-gate") ||
        !pass(request, hang ? UINT32_MAX : number(fake, "ms", 0))) {
        send_cancelled(request);
        return false;
    }
    return true;
}

static void do_embed(struct request *request, struct arena *arena, const struct msg_texts *texts)
{
    uint32_t dimensions = (uint32_t)number(request->fake, "dims", DIMENSIONS);
    float *values = arena_array(arena, texts->count, sizeof(float) * dimensions);
    if (!values)
        return;
    for (uint32_t i = 0; i < texts->count; i++) {
        values[(size_t)i * dimensions] = (float)strlen(texts->texts[i]);
        values[(size_t)i * dimensions + 1] = (float)(unsigned char)texts->texts[i][0];
    }
    const struct msg_vectors vectors = {.count = texts->count,
                                        .dimensions = dimensions,
                                        .values = values,
                                        .tokens = texts->count,
                                        .truncated = 1};
    struct str payload;
    start_payload(&payload);
    msg_put_vectors(&payload, &vectors);
    send_bytes(request->fake, FRAME_VECTORS, request->frame.id, &payload);
}

static void do_count(struct request *request, struct arena *arena, const struct msg_texts *texts)
{
    uint32_t *tokens = arena_array(arena, texts->count, sizeof(*tokens));
    for (uint32_t i = 0; tokens && i < texts->count; i++)
        tokens[i] = (uint32_t)strlen(texts->texts[i]);
    const struct msg_counts counts = {.count = texts->count, .tokens = tokens};
    struct str payload;
    start_payload(&payload);
    msg_put_counts(&payload, &counts);
    send_bytes(request->fake, FRAME_COUNTS, request->frame.id, &payload);
}

static void do_texts(struct request *request, struct arena *arena)
{
    struct msg_texts texts;
    struct err err;
    if (!msg_get_texts(request->frame.payload, request->frame.length, arena, &texts, &err))
        send_error(request, ERR_PROTOCOL, "bad texts");
    else if (request->frame.type == FRAME_EMBED)
        do_embed(request, arena, &texts);
    else
        do_count(request, arena, &texts);
}

static void do_rerank(struct request *request, struct arena *arena)
{
    struct msg_rerank rerank;
    struct err err;
    if (!msg_get_rerank(request->frame.payload, request->frame.length, arena, &rerank, &err)) {
        send_error(request, ERR_PROTOCOL, "bad RERANK");
        return;
    }
    uint32_t count = rerank.documents.count;
    float *values = arena_array(arena, count, sizeof(*values));
    for (uint32_t i = 0; values && i < count; i++)
        values[i] = (float)strlen(rerank.documents.texts[i]);
    const struct msg_scores scores = {.count = count, .scores = values, .tokens = count};
    struct str payload;
    start_payload(&payload);
    msg_put_scores(&payload, &scores);
    send_bytes(request->fake, FRAME_SCORES, request->frame.id, &payload);
}

static void send_token(const struct request *request, const char *words, uint32_t completed)
{
    const struct msg_tokens tokens = {.text = words, .completed = completed};
    struct str payload;
    start_payload(&payload);
    msg_put_tokens(&payload, &tokens);
    send_bytes(request->fake, FRAME_TOKENS, request->frame.id, &payload);
}

static void flood(struct request *request, struct arena *arena)
{
    char path[LINE_MAX_BYTES];
    text(request->fake, "flood", path, sizeof(path));
    char *words = arena_alloc(arena, FLOOD_BYTES);
    memset(words, 'x', FLOOD_BYTES - 1);
    for (uint32_t i = 0; i < FLOOD_COUNT; i++)
        send_token(request, words, i + 1);
    unlink(path);
}

/* False: cancelled. */
static bool babble(struct request *request, uint32_t count)
{
    uint64_t token_ms = number(request->fake, "token-ms", 0);
    uint64_t die_after = number(request->fake, "die-after", UINT64_MAX);
    for (uint32_t i = 0; i < count; i++) {
        char word[32];
        if (i == die_after)
            die(request->fake, SIGABRT);
        if (!pass(request, token_ms))
            return false;
        snprintf(word, sizeof(word), "t%u ", i);
        send_token(request, word, i + 1);
    }
    return true;
}

static void do_generate(struct request *request, struct arena *arena)
{
    uint32_t count = (uint32_t)number(request->fake, "tokens", 5);
    if (has(request->fake, "flood")) {
        flood(request, arena);
    } else if (!babble(request, count)) {
        send_cancelled(request);
        return;
    }
    const struct msg_done done = {.finish = FINISH_STOP, .completion_tokens = count};
    struct str payload;
    start_payload(&payload);
    msg_put_done(&payload, &done);
    send_bytes(request->fake, FRAME_DONE, request->frame.id, &payload);
}

/* ---------------------------------------------------------------- documents and the rest */

/* The word after a keyword at the beginning of the document; false: the keyword is not there. */
static bool keyword(const struct msg_parse *parse, const char *word, char *out, size_t size)
{
    size_t length = strlen(word);
    if (parse->length < length || memcmp(parse->bytes, word, length) != 0)
        return false;
    size_t at = length;
    size_t used = 0;
    for (; at < parse->length && parse->bytes[at] != '\n' && used + 1 < size; at++)
        if (parse->bytes[at] != ' ')
            out[used++] = (char)parse->bytes[at];
    out[used] = '\0';
    return true;
}

static void send_parsed(const struct request *request, const char *words, size_t length,
                        const char *charset, const char *need_charset)
{
    const struct text_run run = {.identical = true};
    const struct msg_parsed parsed = {
        .format = DOCUMENT_TEXT,
        .title = "",
        .charset = charset,
        .need_charset = need_charset,
        .text = words,
        .text_length = length,
        .runs = &run,
        .run_count = length > 0,
        .file_length = (uint32_t)length,
    };
    struct str payload;
    start_payload(&payload);
    msg_put_parsed(&payload, &parsed);
    send_bytes(request->fake, FRAME_PARSED, request->frame.id, &payload);
}

static void do_parse(struct request *request, struct arena *arena)
{
    struct fake *fake = request->fake;
    struct msg_parse parse;
    struct err err;
    char word[LINE_MAX_BYTES];
    if (!msg_get_parse(request->frame.payload, request->frame.length, arena, &parse, &err)) {
        send_error(request, ERR_PROTOCOL, "bad PARSE");
        return;
    }
    bool kill_once = keyword(&parse, "KILLONCE", word, sizeof(word));
    if (kill_once ? unlink(word) == 0 : keyword(&parse, "KILL", word, sizeof(word)))
        die(fake, SIGABRT);
    if (keyword(&parse, "HANG", word, sizeof(word)))
        pass(request, UINT32_MAX);
    if (keyword(&parse, "ERROR", word, sizeof(word)))
        send_error(request, ERR_DOCUMENT, "the fake worker was told to refuse");
    else if (keyword(&parse, "NEED", word, sizeof(word)) && strcmp(word, fake->charset) != 0)
        send_parsed(request, "", 0, "", word);
    else
        send_parsed(request, (const char *)parse.bytes, parse.length,
                    fake->charset[0] ? fake->charset : "UTF-8", "");
}

static void do_inspect(struct request *request, struct arena *arena)
{
    const char *path;
    struct err err;
    if (!msg_get_path(request->frame.payload, request->frame.length, arena, &path, &err)) {
        send_error(request, ERR_PROTOCOL, "bad INSPECT");
        return;
    }
    read_behaviour(request->fake, path);
    if (has(request->fake, "crash"))
        die(request->fake, SIGABRT);
    if (has(request->fake, "fail-load")) {
        send_error(request, ERR_MODEL_INVALID, "no model");
        return;
    }
    const struct msg_inspected inspected = {.architecture = "fake",
                                            .name = "fake model",
                                            .role = ROLE_EMBEDDING,
                                            .dimensions = DIMENSIONS,
                                            .pooling = "mean",
                                            .file_type = "F32"};
    struct str payload;
    start_payload(&payload);
    msg_put_inspected(&payload, &inspected);
    send_bytes(request->fake, FRAME_INSPECTED, request->frame.id, &payload);
}

static void do_probe(struct request *request)
{
    const struct msg_probed probed = {
        .open_errno = EPERM, .socket_errno = EPERM, .exec_errno = EPERM, .no_new_privileges = true};
    struct str payload;
    start_payload(&payload);
    msg_put_probed(&payload, &probed);
    send_bytes(request->fake, FRAME_PROBED, request->frame.id, &payload);
}

static void answer(struct request *request, struct arena *arena)
{
    switch (request->frame.type) {
    case FRAME_LOAD: do_load(request, arena); return;
    case FRAME_FORECAST: do_forecast(request, arena); return;
    case FRAME_STATS: do_stats(request); return;
    case FRAME_INSPECT: do_inspect(request, arena); return;
    case FRAME_PARSE: do_parse(request, arena); return;
    case FRAME_PROBE: do_probe(request); return;
    default: break;
    }
    if (!misbehave(request))
        return;
    switch (request->frame.type) {
    case FRAME_EMBED:
    case FRAME_COUNT: do_texts(request, arena); return;
    case FRAME_RERANK: do_rerank(request, arena); return;
    case FRAME_GENERATE: do_generate(request, arena); return;
    default: send_error(request, ERR_PROTOCOL, "unknown request");
    }
}

/* ---------------------------------------------------------------- threads */

static void *run_request(void *argument)
{
    struct request *request = argument;
    struct fake *fake = request->fake;
    struct arena arena;
    arena_init(&arena, MESSAGE_ARENA);
    answer(request, &arena);
    arena_free(&arena);
    mutex_lock(&fake->lock);
    struct request **at = &fake->requests;
    while (*at != request)
        at = &(*at)->next;
    *at = request->next;
    mutex_unlock(&fake->lock);
    frame_free(&request->frame);
    free(request);
    return NULL;
}

static void cancel_request(struct fake *fake, uint64_t id)
{
    mutex_lock(&fake->lock);
    for (struct request *request = fake->requests; request; request = request->next)
        request->cancelled = request->cancelled || request->frame.id == id;
    cond_broadcast(&fake->changed);
    mutex_unlock(&fake->lock);
}

static void start_request(struct fake *fake, const struct frame *frame)
{
    struct request *request = calloc(1, sizeof(*request));
    pthread_t thread;
    if (!request)
        _exit(1);
    request->fake = fake;
    request->frame = *frame;
    mutex_lock(&fake->lock);
    request->next = fake->requests;
    fake->requests = request;
    mutex_unlock(&fake->lock);
    if (!thread_start(&thread, "request", run_request, request, NULL))
        _exit(1);
    pthread_detach(thread);
}

/* A model thread that gets on, unless it was told to be stuck; none at all when told to be mute. */
static void send_pong(struct fake *fake, uint64_t id)
{
    mutex_lock(&fake->lock);
    bool busy = fake->requests != NULL;
    mutex_unlock(&fake->lock);
    if (busy && has(fake, "mute"))
        return;
    fake->beats += has(fake, "stuck") ? 0 : 1;
    const struct msg_pong pong = {.busy = busy, .beats = fake->beats};
    struct str payload;
    start_payload(&payload);
    msg_put_pong(&payload, &pong);
    send_bytes(fake, FRAME_PONG, id, &payload);
}

static void say_hello(struct fake *fake)
{
    char version[64];
    text(fake, "version", version, sizeof(version));
    const struct msg_hello hello = {.pid = (uint32_t)getpid(),
                                    .version = version[0] ? version : JARVIS_VERSION};
    struct str payload;
    start_payload(&payload);
    msg_put_hello(&payload, &hello);
    send_bytes(fake, FRAME_HELLO, 0, &payload);
}

int main(void)
{
    struct fake fake = {0};
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    mutex_init(&fake.lock);
    mutex_init(&fake.write_lock);
    cond_init(&fake.changed);
    const char *early = getenv("JARVIS_FAKE_WORKER");
    snprintf(fake.behaviour, sizeof(fake.behaviour), "%s", early ? early : "");
    if (has(&fake, "die-at-start"))
        die(&fake, SIGABRT);
    if (!has(&fake, "no-hello"))
        say_hello(&fake);
    struct frame frame;
    struct err err;
    while (frame_read(SOCKET, &frame, INT64_MAX, &err)) {
        if (frame.type == FRAME_SHUTDOWN)
            break;
        if (frame.type == FRAME_CANCEL)
            cancel_request(&fake, frame.id);
        else if (frame.type == FRAME_PING)
            send_pong(&fake, frame.id);
        else
            start_request(&fake, &frame);
        if (frame.type == FRAME_CANCEL || frame.type == FRAME_PING)
            frame_free(&frame);
    }
    _exit(0); /* with requests still at work */
}
