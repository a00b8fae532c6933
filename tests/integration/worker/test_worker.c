/* A real `jarvis worker` over a socketpair: everything that the service may ask of it, and how it dies. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/gguf_make.h"
#include "helper/testing.h"
#include "helper/worker_peer.h"

struct fixture {
    const char *program;
    char *directory;
    char *chat;
    char *embed;
    char *rerank;
    struct worker_peer peer;
};

static int start_worker(void **state)
{
    struct fixture *fixture = *state;
    worker_peer_start(&fixture->peer, fixture->program);
    return 0;
}

static int stop_worker(void **state)
{
    struct fixture *fixture = *state;
    worker_peer_stop(&fixture->peer);
    return 0;
}

/* ---------------------------------------------------------------- requests */

static void payload_init(struct str *payload)
{
    str_init(payload, FRAME_PAYLOAD_MAX);
}

static uint64_t send_load(struct worker_peer *peer, enum model_role role, const char *path)
{
    struct str payload;
    payload_init(&payload);
    msg_put_load(&payload, &(struct msg_load){.role = role,
                                              .path = path,
                                              .slots = 1,
                                              .threads = WORKER_PEER_THREADS,
                                              .gpu_layers = 0,
                                              .charset = ""});
    return worker_peer_send(peer, FRAME_LOAD, &payload);
}

static uint64_t send_texts(struct worker_peer *peer, uint8_t type, const char *const *texts,
                           uint32_t count)
{
    struct str payload;
    payload_init(&payload);
    msg_put_texts(&payload, &(struct msg_texts){.texts = texts, .count = count});
    return worker_peer_send(peer, type, &payload);
}

/* A generation with a grammar that never lets it end before `max_tokens`. */
static uint64_t send_generate(struct worker_peer *peer, const char *prompt, uint32_t max_tokens)
{
    struct msg_generate generate = {.prompt = prompt};
    sampling_default(&generate.sampling);
    generate.sampling.temperature = 0;
    generate.sampling.max_tokens = max_tokens;
    generate.sampling.grammar = "root ::= [a-z] root";
    struct str payload;
    payload_init(&payload);
    msg_put_generate(&payload, &generate);
    return worker_peer_send(peer, FRAME_GENERATE, &payload);
}

static uint64_t send_inspect(struct worker_peer *peer, const char *path)
{
    struct str payload;
    payload_init(&payload);
    msg_put_path(&payload, path);
    return worker_peer_send(peer, FRAME_INSPECT, &payload);
}

/* Waits for the ERROR of a request. */
static struct err expect_error(struct worker_peer *peer, uint64_t id)
{
    struct frame frame;
    while (worker_peer_receive(peer, &frame)) {
        if (frame.id == id && frame.type == FRAME_ERROR) {
            struct err error = {0};
            assert_true(msg_get_err(frame.payload, frame.length, &error, NULL));
            frame_free(&frame);
            return error;
        }
        if (frame.id == id && frame.type != FRAME_PROGRESS && frame.type != FRAME_TOKENS)
            fail_msg("an error was expected, and a frame of type %d came", frame.type);
        frame_free(&frame);
    }
    fail_msg("the worker ended where an error was expected");
    return (struct err){0};
}

static void expect_frame(struct worker_peer *peer, uint8_t type, uint64_t id)
{
    struct frame frame;
    worker_peer_expect(peer, type, id, &frame);
    frame_free(&frame);
}

static struct msg_probed probe(struct worker_peer *peer)
{
    struct frame frame;
    struct msg_probed probed;
    worker_peer_expect(peer, FRAME_PROBED, worker_peer_send(peer, FRAME_PROBE, NULL), &frame);
    assert_true(msg_get_probed(frame.payload, frame.length, &peer->arena, &probed, NULL));
    frame_free(&frame);
    return probed;
}

/* ---------------------------------------------------------------- loading */

static void a_load_tells_progress_and_what_it_loaded(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    uint64_t id = send_load(peer, ROLE_EMBEDDING, fixture->embed);
    struct frame frame;
    struct msg_progress progress = {0};
    int progresses = 0;
    assert_true(worker_peer_receive(peer, &frame));
    for (; frame.type == FRAME_PROGRESS; progresses++) {
        assert_int_equal(frame.id, id);
        float before = progress.fraction;
        assert_true(msg_get_progress(frame.payload, frame.length, &peer->arena, &progress, NULL));
        assert_true(progress.fraction >= before && progress.fraction <= 1);
        assert_true(progress.bytes_total > 1000000);
        frame_free(&frame);
        assert_true(worker_peer_receive(peer, &frame));
    }
    assert_true(progresses > 0);
    assert_int_equal(frame.type, FRAME_LOADED);
    struct msg_loaded loaded;
    assert_true(msg_get_loaded(frame.payload, frame.length, &peer->arena, &loaded, NULL));
    frame_free(&frame);
    assert_int_equal(loaded.dimensions, GGUF_MAKE_WIDTH);
    assert_int_equal(loaded.context_length, GGUF_MAKE_CONTEXT);
    assert_int_equal(loaded.train_context, GGUF_MAKE_CONTEXT);
    assert_string_equal(loaded.pooling, "mean");
    assert_true(loaded.parameters > 200000);
    assert_int_equal(loaded.file_bytes, progress.bytes_total);
    assert_true(loaded.resident_bytes > 500000);
    assert_true(loaded.sandboxed);
}

static void a_chat_model_tells_its_slots_and_its_template(void **state)
{
    struct fixture *fixture = *state;
    struct msg_loaded loaded = worker_peer_load(&fixture->peer, ROLE_CHAT, fixture->chat, 3);
    assert_int_equal(loaded.slots, 3);
    assert_true(loaded.has_template);
    assert_int_equal(loaded.dimensions, 0);
    assert_string_equal(loaded.pooling, "none");
}

static void a_failed_load_leaves_the_worker_usable(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    char *garbage = testing_file(fixture->directory, "garbage.gguf", "not a model", 11);
    assert_int_equal(expect_error(peer, send_load(peer, ROLE_CHAT, "/nonexistent.gguf")).code,
                     ERR_NOT_FOUND);
    assert_int_equal(expect_error(peer, send_load(peer, ROLE_CHAT, garbage)).code,
                     ERR_MODEL_INVALID);
    assert_int_equal(expect_error(peer, send_load(peer, ROLE_CHAT, "/")).code, ERR_MODEL_INVALID);
    assert_int_equal(expect_error(peer, send_load(peer, ROLE_RERANK, fixture->embed)).code,
                     ERR_UNSUPPORTED);
    assert_int_equal(expect_error(peer, send_load(peer, ROLE_EMBEDDING, fixture->rerank)).code,
                     ERR_UNSUPPORTED);
    assert_int_equal(expect_error(peer, send_load(peer, ROLE_CHAT, fixture->embed)).code,
                     ERR_UNSUPPORTED);
    worker_peer_load(peer, ROLE_EMBEDDING, fixture->embed, 1);
    assert_int_equal(expect_error(peer, send_load(peer, ROLE_EMBEDDING, fixture->embed)).code,
                     ERR_CONFLICT);
    free(garbage);
}

static void files_are_inspected_without_loading(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    const struct {
        const char *path, *architecture, *pooling;
        enum model_role role;
        uint32_t dimensions;
        bool has_template;
    } files[] = {
        {fixture->chat, "llama", "none", ROLE_CHAT, 0, true},
        {fixture->embed, "bert", "mean", ROLE_EMBEDDING, GGUF_MAKE_WIDTH, false},
        {fixture->rerank, "bert", "rank", ROLE_RERANK, 0, false},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct frame frame;
        struct msg_inspected inspected;
        worker_peer_expect(peer, FRAME_INSPECTED, send_inspect(peer, files[i].path), &frame);
        assert_true(msg_get_inspected(frame.payload, frame.length, &peer->arena, &inspected, NULL));
        frame_free(&frame);
        assert_string_equal(inspected.architecture, files[i].architecture);
        assert_string_equal(inspected.pooling, files[i].pooling);
        assert_int_equal(inspected.role, files[i].role);
        assert_int_equal(inspected.dimensions, files[i].dimensions);
        assert_int_equal(inspected.has_template, files[i].has_template);
        assert_int_equal(inspected.train_context, GGUF_MAKE_CONTEXT);
        assert_int_equal(inspected.layers, 2);
        assert_true(inspected.parameters > 100000);
    }
    assert_int_equal(expect_error(peer, send_inspect(peer, "/nonexistent.gguf")).code,
                     ERR_NOT_FOUND);
}

/* ---------------------------------------------------------------- computing */

static void texts_are_embedded_and_counted(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_EMBEDDING, fixture->embed, 1);
    static const char *const texts[] = {"the dog eats", "el perro come", "the moon"};
    struct frame frame;
    struct msg_vectors vectors;
    worker_peer_expect(peer, FRAME_VECTORS, send_texts(peer, FRAME_EMBED, texts, 3), &frame);
    assert_true(msg_get_vectors(frame.payload, frame.length, &peer->arena, &vectors, NULL));
    frame_free(&frame);
    assert_int_equal(vectors.count, 3);
    double similar = 0, other = 0;
    for (uint32_t i = 0; i < vectors.dimensions; i++) {
        similar += (double)vectors.values[i] * vectors.values[vectors.dimensions + i];
        other += (double)vectors.values[i] * vectors.values[2 * vectors.dimensions + i];
    }
    assert_true(similar > other + 0.3);
    struct msg_counts counts;
    worker_peer_expect(peer, FRAME_COUNTS, send_texts(peer, FRAME_COUNT, texts, 3), &frame);
    assert_true(msg_get_counts(frame.payload, frame.length, &peer->arena, &counts, NULL));
    frame_free(&frame);
    assert_int_equal(counts.tokens[0], 4); /* "eats" is not known whole */
    assert_int_equal(counts.tokens[2], 2);
    expect_frame(peer, FRAME_VECTORS, send_texts(peer, FRAME_EMBED, NULL, 0));
}

static void documents_are_scored(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    struct msg_loaded loaded = worker_peer_load(peer, ROLE_RERANK, fixture->rerank, 1);
    assert_string_equal(loaded.pooling, "rank");
    static const char *const documents[] = {"the dog", "a moon", "the dog"};
    struct str payload;
    payload_init(&payload);
    msg_put_rerank(&payload, &(struct msg_rerank){.query = "dog?", .documents = {documents, 3}});
    struct frame frame;
    struct msg_scores scores;
    worker_peer_expect(peer, FRAME_SCORES, worker_peer_send(peer, FRAME_RERANK, &payload), &frame);
    assert_true(msg_get_scores(frame.payload, frame.length, &peer->arena, &scores, NULL));
    frame_free(&frame);
    assert_int_equal(scores.count, 3);
    assert_true(isfinite(scores.scores[0]));
    assert_float_equal(scores.scores[0], scores.scores[2], 1e-4);
    assert_true(fabsf(scores.scores[0] - scores.scores[1]) > 1e-4F);
}

static void a_question_does_not_wait_for_a_thousand_passages(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_EMBEDDING, fixture->embed, 1);
    enum { PASSAGES = 1000 };
    const char *passages[PASSAGES];
    for (int i = 0; i < PASSAGES; i++)
        passages[i] = "water and fire and a house in the city where the dog eats meat";
    uint64_t many = send_texts(peer, FRAME_EMBED, passages, PASSAGES);
    uint64_t one = send_texts(peer, FRAME_EMBED, passages, 1);
    struct frame frame;
    assert_true(worker_peer_receive(peer, &frame));
    assert_int_equal(frame.id, one);
    assert_int_equal(frame.type, FRAME_VECTORS);
    frame_free(&frame);
    expect_frame(peer, FRAME_VECTORS, many);
}

static void text_comes_token_by_token(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_CHAT, fixture->chat, 2);
    uint64_t ids[2] = {send_generate(peer, "hello", 30), send_generate(peer, "una casa", 30)};
    int texts[2] = {0}, switches = 0;
    uint64_t last = 0;
    for (int done = 0; done < 2;) {
        struct frame frame;
        assert_true(worker_peer_receive(peer, &frame));
        int which = frame.id == ids[1];
        if (frame.type == FRAME_TOKENS) {
            struct msg_tokens tokens;
            assert_true(msg_get_tokens(frame.payload, frame.length, &peer->arena, &tokens, NULL));
            texts[which]++;
            assert_int_equal(tokens.completed, texts[which]);
            switches += frame.id != last;
            last = frame.id;
        } else {
            struct msg_done told;
            assert_int_equal(frame.type, FRAME_DONE);
            assert_true(msg_get_done(frame.payload, frame.length, &peer->arena, &told, NULL));
            assert_int_equal(told.completion_tokens, 30);
            assert_int_equal(told.finish, FINISH_LENGTH);
            done++;
        }
        frame_free(&frame);
    }
    assert_int_equal(texts[0], 30);
    assert_int_equal(texts[1], 30);
    assert_true(switches > 20); /* side by side, not one after the other */
}

static void pings_and_stats_are_answered_while_computing(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_CHAT, fixture->chat, 1);
    uint64_t id = send_generate(peer, "hello", 0);
    expect_frame(peer, FRAME_TOKENS, id);
    expect_frame(peer, FRAME_PONG, worker_peer_send(peer, FRAME_PING, NULL));
    struct frame frame;
    struct msg_stats stats;
    worker_peer_expect(peer, FRAME_STATED, worker_peer_send(peer, FRAME_STATS, NULL), &frame);
    assert_true(msg_get_stats(frame.payload, frame.length, &peer->arena, &stats, NULL));
    frame_free(&frame);
    assert_true(stats.resident_bytes > 1000000);
    assert_true(stats.peak_bytes >= stats.resident_bytes / 2);
    assert_int_equal(stats.busy, 1);
}

/* ---------------------------------------------------------------- parsing */

static void load_parser(struct worker_peer *peer, const char *charset)
{
    struct str payload;
    payload_init(&payload);
    msg_put_load(&payload, &(struct msg_load){
                               .role = ROLE_PARSER, .path = "", .threads = 1, .charset = charset});
    struct frame frame;
    struct msg_loaded loaded;
    worker_peer_expect(peer, FRAME_LOADED, worker_peer_send(peer, FRAME_LOAD, &payload), &frame);
    assert_true(msg_get_loaded(frame.payload, frame.length, &peer->arena, &loaded, NULL));
    frame_free(&frame);
    assert_true(loaded.sandboxed);
}

static uint64_t send_parse(struct worker_peer *peer, const char *name, const char *text)
{
    struct str payload;
    payload_init(&payload);
    msg_put_parse(
        &payload,
        &(struct msg_parse){.name = name, .bytes = (const uint8_t *)text, .length = strlen(text)});
    return worker_peer_send(peer, FRAME_PARSE, &payload);
}

static struct msg_parsed parse(struct worker_peer *peer, const char *name, const char *text)
{
    struct frame frame;
    struct msg_parsed parsed;
    worker_peer_expect(peer, FRAME_PARSED, send_parse(peer, name, text), &frame);
    assert_true(msg_get_parsed(frame.payload, frame.length, &peer->arena, &parsed, NULL));
    frame_free(&frame);
    return parsed;
}

static void documents_are_parsed_in_the_sandbox(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    load_parser(peer, "");
    struct msg_parsed parsed = parse(peer, "a.html", "<title>T</title><p>one &amp; two</p>");
    assert_int_equal(parsed.format, DOCUMENT_HTML);
    assert_non_null(strstr(parsed.text, "one & two"));
    assert_string_equal(parsed.title, "T");
    parsed = parse(peer, "a.md", "# Caf\xc3\xa9\n\ntext\n");
    assert_int_equal(parsed.format, DOCUMENT_MARKDOWN);
    assert_string_equal(parsed.charset, "UTF-8");
    assert_int_equal(expect_error(peer, send_parse(peer, "a.png", "\x89PNG\r\n\x1a\n")).code,
                     ERR_DOCUMENT);
    assert_int_equal(expect_error(peer, send_generate(peer, "x", 1)).code, ERR_UNSUPPORTED);
    assert_int_not_equal(probe(peer).open_errno, 0);
}

static void a_charset_is_opened_before_the_sandbox_closes(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    const char *russian = "<meta charset=koi8-r><p>\xd0\xd2\xc9\xd7\xc5\xd4</p>";
    load_parser(peer, "");
    struct msg_parsed parsed = parse(peer, "a.html", russian);
    assert_string_equal(parsed.text, "");
    assert_true(strcasecmp(parsed.need_charset, "koi8-r") == 0);
    struct worker_peer other;
    worker_peer_start(&other, fixture->program);
    load_parser(&other, parsed.need_charset);
    parsed = parse(&other, "a.html", russian);
    assert_non_null(strstr(parsed.text, "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82"));
    worker_peer_stop(&other);
}

/* ---------------------------------------------------------------- cancelling */

static void a_cancel_ends_a_generation_in_mid_answer(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_CHAT, fixture->chat, 1);
    for (int round = 0; round < 5; round++) {
        uint64_t id = send_generate(peer, "hello", 0);
        expect_frame(peer, FRAME_TOKENS, id);
        worker_peer_cancel(peer, id);
        assert_int_equal(expect_error(peer, id).code, ERR_CANCELLED);
    }
    uint64_t id = send_generate(peer, "hello", 3);
    expect_frame(peer, FRAME_DONE, id);
    worker_peer_cancel(peer, id); /* too late: ignored */
    expect_frame(peer, FRAME_PONG, worker_peer_send(peer, FRAME_PING, NULL));
}

static void a_request_is_cancelled_before_its_turn(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_CHAT, fixture->chat, 1);
    uint64_t running = send_generate(peer, "hello", 0);
    expect_frame(peer, FRAME_TOKENS, running);
    uint64_t waiting = send_generate(peer, "hola", 0);
    worker_peer_cancel(peer, waiting);
    assert_int_equal(expect_error(peer, waiting).code, ERR_CANCELLED);
    uint64_t next = send_generate(peer, "hola", 2);
    worker_peer_cancel(peer, running);
    expect_frame(peer, FRAME_DONE, next);
}

static void a_cancel_ends_an_embedding_between_its_batches(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_EMBEDDING, fixture->embed, 1);
    static const char *texts[MSG_TEXTS_MAX];
    for (int i = 0; i < MSG_TEXTS_MAX; i++)
        texts[i] =
            "water and fire and a house in the city where the dog eats meat, again and again";
    uint64_t id = send_texts(peer, FRAME_EMBED, texts, MSG_TEXTS_MAX);
    expect_frame(peer, FRAME_VECTORS, send_texts(peer, FRAME_EMBED, texts, 1));
    worker_peer_cancel(peer, id);
    assert_int_equal(expect_error(peer, id).code, ERR_CANCELLED);
}

/* ---------------------------------------------------------------- wrong requests */

static void wrong_requests_are_answered_with_errors(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    static const char *const texts[] = {"a"};
    assert_int_equal(expect_error(peer, send_texts(peer, FRAME_EMBED, texts, 1)).code,
                     ERR_UNSUPPORTED);
    assert_int_equal(expect_error(peer, send_texts(peer, FRAME_COUNT, texts, 1)).code,
                     ERR_UNSUPPORTED);
    assert_int_equal(expect_error(peer, send_generate(peer, "x", 1)).code, ERR_UNSUPPORTED);
    assert_int_equal(expect_error(peer, worker_peer_send(peer, FRAME_RERANK, NULL)).code,
                     ERR_UNSUPPORTED);
    assert_int_equal(expect_error(peer, worker_peer_send(peer, FRAME_LOAD, NULL)).code,
                     ERR_PROTOCOL);
    assert_int_equal(expect_error(peer, worker_peer_send(peer, 200, NULL)).code, ERR_PROTOCOL);
    worker_peer_load(peer, ROLE_EMBEDDING, fixture->embed, 1);
    assert_int_equal(expect_error(peer, worker_peer_send(peer, FRAME_EMBED, NULL)).code,
                     ERR_PROTOCOL);
    assert_int_equal(expect_error(peer, send_generate(peer, "x", 1)).code, ERR_UNSUPPORTED);
}

static void a_stream_of_something_else_ends_the_worker(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(write(fixture->peer.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    int status = worker_peer_wait(&fixture->peer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
}

/* ---------------------------------------------------------------- sandbox and death */

static void the_sandbox_closes_with_the_load(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    struct msg_probed before = probe(peer);
    assert_int_equal(before.open_errno, 0);
    worker_peer_load(peer, ROLE_CHAT, fixture->chat, 1);
    struct msg_probed after = probe(peer);
    assert_int_not_equal(after.open_errno, 0);
    assert_int_not_equal(after.socket_errno, 0);
    assert_int_equal(after.exec_errno, EPERM);
    assert_true(after.no_new_privileges);
    expect_frame(peer, FRAME_DONE, send_generate(peer, "hello", 5)); /* and it can still work */
    assert_int_not_equal(expect_error(peer, send_inspect(peer, fixture->chat)).code, ERR_NONE);
}

static void a_killed_worker_is_noticed_in_mid_answer(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_CHAT, fixture->chat, 1);
    expect_frame(peer, FRAME_TOKENS, send_generate(peer, "hello", 0));
    kill(peer->pid, SIGKILL);
    struct frame frame;
    while (worker_peer_receive(peer, &frame))
        frame_free(&frame);
    int status = worker_peer_wait(peer);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_worker_whose_service_is_gone_ends_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    worker_peer_load(peer, ROLE_CHAT, fixture->chat, 1);
    expect_frame(peer, FRAME_TOKENS, send_generate(peer, "hello", 0));
    close(peer->fd);
    peer->fd = -1;
    int status = worker_peer_wait(peer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void only_the_service_ends_a_worker(void **state)
{
    struct fixture *fixture = *state;
    struct worker_peer *peer = &fixture->peer;
    kill(peer->pid, SIGTERM);
    kill(peer->pid, SIGINT);
    kill(peer->pid, SIGHUP);
    expect_frame(peer, FRAME_PONG, worker_peer_send(peer, FRAME_PING, NULL));
    worker_peer_send(peer, FRAME_SHUTDOWN, NULL);
    int status = worker_peer_wait(peer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int make_models(struct fixture *fixture)
{
    fixture->directory = testing_directory();
    fixture->chat = testing_path(fixture->directory, GGUF_MAKE_CHAT);
    fixture->embed = testing_path(fixture->directory, GGUF_MAKE_EMBED);
    fixture->rerank = testing_path(fixture->directory, GGUF_MAKE_RERANK);
    return gguf_make_all(fixture->directory, NULL) ? 0 : -1;
}

#define WORKER_TEST(name) \
    cmocka_unit_test_prestate_setup_teardown(name, start_worker, stop_worker, &fixture)

int main(int argc, char **argv)
{
    struct fixture fixture = {.program = argc > 1 ? argv[1] : "build/jarvis"};
    if (make_models(&fixture) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        WORKER_TEST(a_load_tells_progress_and_what_it_loaded),
        WORKER_TEST(a_chat_model_tells_its_slots_and_its_template),
        WORKER_TEST(a_failed_load_leaves_the_worker_usable),
        WORKER_TEST(files_are_inspected_without_loading),
        WORKER_TEST(texts_are_embedded_and_counted),
        WORKER_TEST(documents_are_scored),
        WORKER_TEST(a_question_does_not_wait_for_a_thousand_passages),
        WORKER_TEST(text_comes_token_by_token),
        WORKER_TEST(pings_and_stats_are_answered_while_computing),
        WORKER_TEST(documents_are_parsed_in_the_sandbox),
        WORKER_TEST(a_charset_is_opened_before_the_sandbox_closes),
        WORKER_TEST(a_cancel_ends_a_generation_in_mid_answer),
        WORKER_TEST(a_request_is_cancelled_before_its_turn),
        WORKER_TEST(a_cancel_ends_an_embedding_between_its_batches),
        WORKER_TEST(wrong_requests_are_answered_with_errors),
        WORKER_TEST(a_stream_of_something_else_ends_the_worker),
        WORKER_TEST(the_sandbox_closes_with_the_load),
        WORKER_TEST(a_killed_worker_is_noticed_in_mid_answer),
        WORKER_TEST(a_worker_whose_service_is_gone_ends_at_once),
        WORKER_TEST(only_the_service_ends_a_worker),
    };
    int failed = cmocka_run_group_tests_name("worker", tests, NULL, NULL);
    testing_remove(fixture.directory);
    free(fixture.chat);
    free(fixture.embed);
    free(fixture.rerank);
    return failed;
}
