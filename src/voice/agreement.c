#include "voice/agreement.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "voice/score.h"

enum { RUN_ARENA_MAX = 4 << 20, WORD_MAX = 1024 };

/* What one run heard after the confirmed words. */
struct run {
    struct arena arena;
    struct agreement_word *words;
    const char **keys; /* the words without case and punctuation */
    size_t count;
};

struct agreement {
    struct run last;   /* the last update points into it */
    size_t last_final; /* of its words, those that are confirmed */
    int64_t trim_ms;
};

bool agreement_open(struct agreement **ret, struct err *err)
{
    struct agreement *agreement = calloc(1, sizeof(*agreement));
    if (!agreement)
        return err_no_memory(err);
    arena_init(&agreement->last.arena, RUN_ARENA_MAX);
    *ret = agreement;
    return true;
}

void agreement_close(struct agreement *agreement)
{
    if (!agreement)
        return;
    arena_free(&agreement->last.arena);
    free(agreement);
}

/* Whether more of the word lies after the confirmed ones than before their end. Times of words waver by some tens of
 * milliseconds from run to run, and no word is that short. */
static bool is_new(const struct agreement *agreement, const struct agreement_word *word)
{
    return word->start_ms + word->end_ms > 2 * agreement->trim_ms;
}

static const char *key_of(const char *text, struct arena *arena)
{
    struct str key;
    str_init(&key, WORD_MAX);
    score_normalise(text, &key);
    const char *copy = str_ok(&key) ? arena_copy(arena, str_text(&key)) : arena_copy(arena, text);
    str_free(&key);
    return copy;
}

/* Copies what is new of a run. */
static bool copy_run(const struct agreement *agreement, const struct agreement_word *words,
                     size_t count, struct run *ret, struct err *err)
{
    struct run run = {0};
    if (count > AGREEMENT_WORDS_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "a text has more than %d words or letters; compare it in parts",
                       AGREEMENT_WORDS_MAX);
    arena_init(&run.arena, RUN_ARENA_MAX);
    run.words = arena_array(&run.arena, count, sizeof(*run.words));
    run.keys = arena_array(&run.arena, count, sizeof(*run.keys));
    for (size_t i = 0; i < count && arena_ok(&run.arena); i++) {
        if (!is_new(agreement, &words[i]))
            continue;
        run.words[run.count] = words[i];
        run.words[run.count].text = arena_copy(&run.arena, words[i].text);
        run.keys[run.count++] = key_of(words[i].text, &run.arena);
    }
    if (!arena_ok(&run.arena)) {
        arena_free(&run.arena);
        return err_no_memory(err);
    }
    *ret = run;
    return true;
}

/* How many words both runs begin with. */
static size_t agreed(const struct run *earlier, const struct run *later)
{
    size_t count = 0;
    while (count < earlier->count && count < later->count &&
           strcmp(earlier->keys[count], later->keys[count]) == 0)
        count++;
    return count;
}

bool agreement_update(struct agreement *agreement, const struct agreement_word *words, size_t count,
                      int64_t now_ms, bool is_last, struct agreement_update *ret, struct err *err)
{
    struct run run;
    if (!copy_run(agreement, words, count, &run, err))
        return false;
    /* The earlier run without what was confirmed when it was itself the later one. */
    struct run earlier = agreement->last;
    if (earlier.count > 0)
        earlier.keys += agreement->last_final;
    earlier.count -= agreement->last_final;
    size_t final = is_last ? run.count : agreed(&earlier, &run);
    while (!is_last && final > 0 && run.words[final - 1].end_ms > now_ms - AGREEMENT_HOLD_MS)
        final--;
    if (final > 0 && run.words[final - 1].end_ms > agreement->trim_ms)
        agreement->trim_ms = run.words[final - 1].end_ms;
    arena_free(&agreement->last.arena);
    agreement->last = run;
    agreement->last_final = final;
    *ret = (struct agreement_update){.final = run.words,
                                     .final_count = final,
                                     .partial = run.count > 0 ? run.words + final : NULL,
                                     .partial_count = run.count - final};
    return true;
}

int64_t agreement_trim_ms(const struct agreement *agreement)
{
    return agreement->trim_ms;
}
