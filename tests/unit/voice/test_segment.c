/* The segmenter, fed with probabilities that the test makes up: the number of each step is in its samples, so that a
 * piece tells where it was cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/testing.h"
#include "voice/segment.h"

enum { PIECES_MAX = 64, SCALE = 65536 };

struct seen {
    struct segment_piece pieces[PIECES_MAX];
    int64_t first[PIECES_MAX]; /* number of the first and … */
    int64_t last[PIECES_MAX];  /* … last step, as the samples say */
    size_t count;
    size_t refuse_at; /* the piece that fails; PIECES_MAX: none */
    struct segmenter *segmenter;
    int64_t step;
};

static bool keep(void *user, const struct segment_piece *piece, struct err *err)
{
    struct seen *seen = user;
    assert_true(seen->count < PIECES_MAX);
    assert_true(piece->count > 0 && piece->count % SEGMENT_STEP == 0);
    seen->pieces[seen->count] = *piece;
    seen->first[seen->count] = (int64_t)(piece->samples[0] * SCALE);
    seen->last[seen->count] = (int64_t)(piece->samples[piece->count - 1] * SCALE);
    if (seen->count++ == seen->refuse_at)
        return err_set(err, ERR_BUSY, "%s", "refused");
    return true;
}

static void begin(struct seen *seen, const struct segment_options *options)
{
    struct err err;
    memset(seen, 0, sizeof(*seen));
    seen->refuse_at = PIECES_MAX;
    assert_true(segmenter_open(options, keep, seen, &seen->segmenter, &err));
}

static bool feed(struct seen *seen, int ms, float probability)
{
    struct err err;
    bool ok = true;
    for (int i = 0; i < ms / VAD_STEP_MS && ok; i++) {
        float samples[SEGMENT_STEP];
        for (size_t j = 0; j < SEGMENT_STEP; j++)
            samples[j] = (float)seen->step / SCALE;
        seen->step++;
        ok = segmenter_feed(seen->segmenter, samples, probability, &err);
    }
    return ok;
}

static void end(struct seen *seen)
{
    struct err err;
    assert_true(segmenter_finish(seen->segmenter, &err));
    segmenter_close(seen->segmenter);
}

static struct segment_options usual(void)
{
    struct segment_options options;
    segment_options_default(1, &options);
    return options;
}

static void pieces_have_their_padding(void **state)
{
    (void)state;
    const struct segment_options options = usual();
    struct seen seen;
    begin(&seen, &options);
    feed(&seen, 2000, 0);
    feed(&seen, 1000, 0.9F);
    feed(&seen, 490, 0.1F); /* a pause that is too short to end it */
    feed(&seen, 1000, 0.9F);
    assert_int_equal(seen.count, 0);
    feed(&seen, 3000, 0);
    assert_int_equal(seen.count, 1);
    feed(&seen, 300, 0.9F);
    end(&seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.pieces[0].begin_ms, 1700);
    assert_int_equal(seen.pieces[0].speech_begin_ms, 2000);
    assert_int_equal(seen.pieces[0].speech_end_ms, 4490);
    assert_int_equal(seen.first[0], 170);
    assert_int_equal(seen.last[0], 478);
    assert_int_equal(seen.pieces[1].begin_ms, 7190);
    assert_int_equal(seen.pieces[1].speech_end_ms, 7790);
}

static void short_and_doubtful_sounds_are_dropped(void **state)
{
    (void)state;
    const struct segment_options options = usual();
    struct seen seen;
    begin(&seen, &options);
    for (int i = 0; i < 20; i++) {
        feed(&seen, 20, 0.9F); /* clicks, shorter than the onset */
        feed(&seen, 100, 0);
    }
    feed(&seen, 1000, 0);
    feed(&seen, 200, 0.9F); /* a cough */
    feed(&seen, 1000, 0);
    feed(&seen, 40, 0.9F); /* mostly silence */
    for (int i = 0; i < 10; i++) {
        feed(&seen, 400, 0);
        feed(&seen, 40, 0.9F);
    }
    end(&seen);
    assert_int_equal(seen.count, 0);
}

static void between_the_thresholds_speech_goes_on(void **state)
{
    (void)state;
    const struct segment_options options = usual();
    struct seen seen;
    begin(&seen, &options);
    feed(&seen, 3000, 0.45F); /* does not begin … */
    feed(&seen, 100, 0.9F);
    feed(&seen, 3000, 0.45F); /* … but continues */
    end(&seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.pieces[0].speech_begin_ms, 3000);
    assert_int_equal(seen.pieces[0].speech_end_ms, 6100);
}

static void long_speech_is_cut_where_it_is_quietest(void **state)
{
    (void)state;
    const struct segment_options options = usual();
    struct seen seen;
    begin(&seen, &options);
    feed(&seen, 15000, 0.9F);
    feed(&seen, 100, 0.4F); /* above `off`: no pause, but the quietest place */
    feed(&seen, 15000, 0.9F);
    end(&seen);
    assert_true(seen.count >= 2);
    assert_true(seen.pieces[0].cut);
    assert_int_in_range(seen.pieces[0].speech_end_ms, 15000, 15100);
    for (size_t i = 1; i < seen.count; i++) {
        assert_int_equal(seen.first[i], seen.last[i - 1] + 1); /* nothing is lost or heard twice */
        assert_true(seen.pieces[i].count <= (size_t)options.max_ms * (SEGMENT_RATE / 1000));
    }
    assert_int_equal(seen.pieces[seen.count - 1].speech_end_ms, 30100);
}

static void after_a_while_a_breath_is_enough(void **state)
{
    (void)state;
    const struct segment_options options = usual();
    struct seen seen;
    begin(&seen, &options);
    for (int i = 0; i < 10; i++) {
        feed(&seen, 3000, 0.9F);
        feed(&seen, 150, 0);
    }
    end(&seen);
    assert_true(seen.count >= 2);
    for (size_t i = 0; i < seen.count; i++)
        assert_false(seen.pieces[i].cut);
    assert_int_in_range(seen.pieces[0].speech_end_ms, 12000, 15600);
}

static void any_sound_gives_orderly_pieces(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 20; round++) {
        struct segment_options options = usual();
        options.max_ms = 1000 + (int)testing_below(&random, 4000);
        options.soft_ms = (int)testing_below(&random, 5000);
        options.min_silence_ms = (int)testing_below(&random, 600);
        options.preroll_ms = (int)testing_below(&random, 500);
        options.onset_ms = (int)testing_below(&random, 100);
        struct seen seen;
        begin(&seen, &options);
        for (int i = 0; i < 100 && seen.count < PIECES_MAX - 10; i++)
            feed(&seen, (int)testing_below(&random, 900), (float)testing_below(&random, 11) / 10);
        end(&seen);
        for (size_t i = 0; i < seen.count; i++) {
            const struct segment_piece *piece = &seen.pieces[i];
            assert_true(piece->begin_ms <= piece->speech_begin_ms);
            assert_true(piece->speech_begin_ms < piece->speech_end_ms);
            assert_int_equal(seen.first[i] * VAD_STEP_MS, piece->begin_ms);
            assert_int_equal(seen.last[i] - seen.first[i] + 1, piece->count / SEGMENT_STEP);
            assert_true(i == 0 || piece->speech_begin_ms >= seen.pieces[i - 1].speech_end_ms);
        }
    }
}

static void a_receiver_that_fails_ends_it(void **state)
{
    (void)state;
    const struct segment_options options = usual();
    struct seen seen;
    begin(&seen, &options);
    seen.refuse_at = 0;
    assert_true(feed(&seen, 1000, 0.9F));
    assert_false(feed(&seen, 1000, 0));
    segmenter_close(seen.segmenter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_have_their_padding),
        cmocka_unit_test(short_and_doubtful_sounds_are_dropped),
        cmocka_unit_test(between_the_thresholds_speech_goes_on),
        cmocka_unit_test(long_speech_is_cut_where_it_is_quietest),
        cmocka_unit_test(after_a_while_a_breath_is_enough),
        cmocka_unit_test(any_sound_gives_orderly_pieces),
        cmocka_unit_test(a_receiver_that_fails_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
