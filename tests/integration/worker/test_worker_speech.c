/* A real `jarvis worker` with a speech model, its sandbox closed: it is loaded, hears, and refuses what it cannot do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/whisper_make.h"
#include "helper/worker_peer.h"

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

static uint64_t send_sound(struct worker_peer *peer, const char *language)
{
    static const float silence[2 * MSG_SPEECH_RATE];
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_transcribe(&payload, &(struct msg_transcribe){.samples = silence,
                                                          .sample_count = 2 * MSG_SPEECH_RATE,
                                                          .language = language,
                                                          .prompt = "",
                                                          .words = true});
    return worker_peer_send(peer, FRAME_TRANSCRIBE, &payload);
}

static void test_hears(void **state)
{
    struct worker_peer *peer = *state;
    struct msg_loaded loaded = worker_peer_load(peer, ROLE_SPEECH, getenv("JARVIS_TEST_SPEECH"), 1);
    assert_true(loaded.sandboxed);
    assert_true(loaded.parameters > 1000000);
    for (int i = 0; i < 2; i++) {
        struct frame frame;
        struct msg_transcribed heard;
        worker_peer_expect(peer, FRAME_TRANSCRIBED, send_sound(peer, i ? "es" : ""), &frame);
        assert_true(msg_get_transcribed(frame.payload, frame.length, &peer->arena, &heard, NULL));
        frame_free(&frame);
        assert_string_equal(heard.language, "es");
        assert_int_equal(heard.segment_count, 1);
        assert_string_equal(heard.segments[0].text, WHISPER_MAKE_TEXT);
        assert_int_equal(heard.word_count, WHISPER_MAKE_WORDS);
    }
}

static void expect_error(struct worker_peer *peer, uint64_t id, enum err_code code)
{
    struct frame frame;
    struct err error;
    assert_true(worker_peer_receive(peer, &frame));
    assert_int_equal(frame.id, id);
    assert_int_equal(frame.type, FRAME_ERROR);
    assert_true(msg_get_err(frame.payload, frame.length, &error, NULL));
    assert_int_equal(error.code, code);
    frame_free(&frame);
}

static void test_refuses_what_it_cannot_do(void **state)
{
    struct worker_peer *peer = *state;
    expect_error(peer, send_sound(peer, "es"), ERR_UNSUPPORTED);
    worker_peer_load(peer, ROLE_SPEECH, getenv("JARVIS_TEST_SPEECH"), 1);
    expect_error(peer, send_sound(peer, "klingon"), ERR_UNSUPPORTED);
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    const char *const texts[] = {"a"};
    msg_put_texts(&payload, &(struct msg_texts){.texts = texts, .count = 1});
    expect_error(peer, worker_peer_send(peer, FRAME_COUNT, &payload), ERR_UNSUPPORTED);
}

static void test_is_inspected(void **state)
{
    struct worker_peer *peer = *state;
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_path(&payload, getenv("JARVIS_TEST_SPEECH"));
    struct frame frame;
    struct msg_inspected inspected;
    worker_peer_expect(peer, FRAME_INSPECTED, worker_peer_send(peer, FRAME_INSPECT, &payload),
                       &frame);
    assert_true(msg_get_inspected(frame.payload, frame.length, &peer->arena, &inspected, NULL));
    frame_free(&frame);
    assert_int_equal(inspected.role, ROLE_SPEECH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hears, start_worker, stop_worker),
        cmocka_unit_test_setup_teardown(test_refuses_what_it_cannot_do, start_worker, stop_worker),
        cmocka_unit_test_setup_teardown(test_is_inspected, start_worker, stop_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
