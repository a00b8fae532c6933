/* A real `jarvis worker` with the house embedder: loaded without libllama, and answering as any other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/worker_peer.h"

static const char *const texts[] = {"The boundary layer.", "", "¿Qué es la capa límite de un ala?"};
enum { TEXTS = 3 };

static int start_worker(void **state)
{
    struct worker_peer *peer = calloc(1, sizeof(*peer));
    worker_peer_start(peer, getenv("JARVIS_TEST_PROGRAM"));
    *state = peer;
    return 0;
}

static int stop_worker(void **state)
{
    worker_peer_stop(*state);
    free(*state);
    return 0;
}

static uint64_t send_texts(struct worker_peer *peer, uint8_t type)
{
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_texts(&payload, &(struct msg_texts){.texts = texts, .count = TEXTS});
    return worker_peer_send(peer, type, &payload);
}

static void test_embeds_and_counts(void **state)
{
    struct worker_peer *peer = *state;
    struct msg_loaded loaded =
        worker_peer_load(peer, ROLE_EMBEDDING, getenv("JARVIS_TEST_STATIC"), 1);
    assert_int_equal(loaded.dimensions, 16);
    assert_int_equal(loaded.context_length, 8192);
    assert_string_equal(loaded.pooling, "mean");
    assert_true(loaded.sandboxed);
    struct frame frame;
    struct msg_counts counts;
    worker_peer_expect(peer, FRAME_COUNTS, send_texts(peer, FRAME_COUNT), &frame);
    assert_true(msg_get_counts(frame.payload, frame.length, &peer->arena, &counts, NULL));
    frame_free(&frame);
    assert_int_equal(counts.count, TEXTS);
    assert_true(counts.tokens[0] >= 3);
    assert_int_equal(counts.tokens[1], 0);
    struct msg_vectors vectors;
    worker_peer_expect(peer, FRAME_VECTORS, send_texts(peer, FRAME_EMBED), &frame);
    assert_true(msg_get_vectors(frame.payload, frame.length, &peer->arena, &vectors, NULL));
    frame_free(&frame);
    assert_int_equal(vectors.count, TEXTS);
    assert_int_equal(vectors.tokens, counts.tokens[0] + counts.tokens[2]);
    for (uint32_t i = 0; i < TEXTS; i++) {
        float square = 0;
        for (uint32_t j = 0; j < vectors.dimensions; j++)
            square += vectors.values[i * 16 + j] * vectors.values[i * 16 + j];
        assert_float_equal(square, texts[i][0] ? 1 : 0, 1e-5);
    }
}

static void test_other_roles_are_refused(void **state)
{
    struct worker_peer *peer = *state;
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_load(&payload, &(struct msg_load){.role = ROLE_CHAT,
                                              .path = getenv("JARVIS_TEST_STATIC"),
                                              .slots = 1,
                                              .threads = 1,
                                              .charset = ""});
    struct frame frame;
    uint64_t id = worker_peer_send(peer, FRAME_LOAD, &payload);
    assert_true(worker_peer_receive(peer, &frame));
    struct err error;
    assert_int_equal(frame.id, id);
    assert_int_equal(frame.type, FRAME_ERROR);
    assert_true(msg_get_err(frame.payload, frame.length, &error, NULL));
    assert_int_equal(error.code, ERR_UNSUPPORTED);
    frame_free(&frame);
}

static void test_is_inspected(void **state)
{
    struct worker_peer *peer = *state;
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_path(&payload, getenv("JARVIS_TEST_STATIC"));
    struct frame frame;
    struct msg_inspected inspected;
    worker_peer_expect(peer, FRAME_INSPECTED, worker_peer_send(peer, FRAME_INSPECT, &payload),
                       &frame);
    assert_true(msg_get_inspected(frame.payload, frame.length, &peer->arena, &inspected, NULL));
    frame_free(&frame);
    assert_string_equal(inspected.architecture, "jarvis-static");
    assert_int_equal(inspected.role, ROLE_EMBEDDING);
    assert_int_equal(inspected.dimensions, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_embeds_and_counts, start_worker, stop_worker),
        cmocka_unit_test_setup_teardown(test_other_roles_are_refused, start_worker, stop_worker),
        cmocka_unit_test_setup_teardown(test_is_inspected, start_worker, stop_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
