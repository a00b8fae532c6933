#include "retrieval/tune.h"

#include <stdlib.h>
#include <string.h>

#include "retrieval/fusion.h"
#include "retrieval/sentence.h"

const size_t tune_depths[TUNE_DEPTHS] = {0, 5, 10, 20, 30, TUNE_DEPTH_MAX};

enum { RANKS = 10, SENTENCES_MAX = 64, WORDS_MIN = 6, WORDS_MAX = 64 };

/* ---------------------------------------------------------------- one question */

size_t tune_order(const struct tune_question *question, double alpha,
                  size_t order[TUNE_CANDIDATES_MAX])
{
    struct fusion_candidate fused[TUNE_CANDIDATES_MAX];
    size_t count = question->count < TUNE_CANDIDATES_MAX ? question->count : TUNE_CANDIDATES_MAX;
    for (size_t i = 0; i < count; i++)
        fused[i] = (struct fusion_candidate){.slot = (uint32_t)i,
                                             .sparse = question->candidates[i].sparse,
                                             .dense = question->candidates[i].dense,
                                             .has_dense = question->candidates[i].has_dense};
    fusion_convex(fused, count, fusion_alpha(alpha, question->coverage));
    for (size_t i = 0; i < count; i++)
        order[i] = fused[i].slot;
    return count;
}

/* Brings the first `depth` into the rerank model's order; what it has not read stays behind what it has. An insertion
 * sort: they are few and equals keep their order. */
static void apply_rerank(const struct tune_question *question, size_t *order, size_t count,
                         size_t depth)
{
    const struct tune_candidate *all = question->candidates;
    for (size_t i = 1; i < count && i < depth; i++) {
        size_t moved = order[i];
        size_t at = i;
        for (; at > 0 && all[moved].reranked &&
               (!all[order[at - 1]].reranked || all[order[at - 1]].rerank < all[moved].rerank);
             at--)
            order[at] = order[at - 1];
        order[at] = moved;
    }
}

static bool is_new(const struct tune_question *question, const uint32_t *seen, size_t count,
                   size_t candidate)
{
    for (size_t i = 0; i < count; i++)
        if (seen[i] == question->candidates[candidate].document)
            return false;
    return true;
}

/* nDCG@10 of the documents in this order. */
static double quality(const struct tune_question *question, const size_t *order, size_t count)
{
    double grades[RANKS];
    uint32_t seen[RANKS];
    size_t ranks = 0;
    for (size_t i = 0; i < count && ranks < RANKS; i++) {
        if (!is_new(question, seen, ranks, order[i]))
            continue;
        seen[ranks] = question->candidates[order[i]].document;
        grades[ranks++] = question->candidates[order[i]].grade;
    }
    struct evaluate_values values;
    evaluate_ranking(grades, ranks, question->relevant, question->relevant_count, &values);
    return values.of[EVALUATE_NDCG_10];
}

static double quality_at(const struct tune_question *question, double alpha, size_t depth)
{
    size_t order[TUNE_CANDIDATES_MAX];
    size_t count = tune_order(question, alpha, order);
    apply_rerank(question, order, count, depth);
    return quality(question, order, count);
}

/* ---------------------------------------------------------------- the choice */

/* Qualities of all questions at each value: row by row, a value after the other, the value in force last. */
struct trials {
    double *rows;
    size_t values;
    size_t questions;
};

static const double *row_of(const struct trials *trials, size_t value)
{
    return &trials->rows[value * trials->questions];
}

/* The mean over every `step`-th question. */
static double mean_of(const double *row, size_t count, size_t step)
{
    double sum = 0;
    size_t used = 0;
    for (size_t i = 0; i < count; i += step, used++)
        sum += row[i];
    return used > 0 ? sum / (double)used : 0;
}

static bool choose(const struct trials *trials, struct tune_choice *ret, struct err *err)
{
    struct tune_choice choice = {.values = trials->values};
    double best = -1;
    for (size_t value = 0; value < trials->values; value++) {
        double half = mean_of(row_of(trials, value), trials->questions, 2);
        choice.quality[value] = mean_of(row_of(trials, value), trials->questions, 1);
        if (half > best) {
            best = half;
            choice.best = value;
        }
    }
    size_t others = trials->questions / 2;
    double *gains = calloc(others + 1, sizeof(*gains));
    if (!gains)
        return err_no_memory(err);
    for (size_t i = 0; i < others; i++)
        gains[i] =
            row_of(trials, choice.best)[2 * i + 1] - row_of(trials, trials->values)[2 * i + 1];
    bool ok = others == 0 || evaluate_bootstrap(gains, others, 1, &choice.gain, err);
    free(gains);
    choice.shown = others > 0 && choice.gain.low > 0;
    if (ok)
        *ret = choice;
    return ok;
}

static bool trials_new(size_t values, size_t questions, struct trials *ret, struct err *err)
{
    *ret = (struct trials){.rows = calloc((values + 1) * questions + 1, sizeof(double)),
                           .values = values,
                           .questions = questions};
    return ret->rows || err_no_memory(err);
}

bool tune_alpha(const struct tune_question *questions, size_t count, double current,
                struct tune_choice *ret, struct err *err)
{
    struct trials trials;
    if (!trials_new(TUNE_STEPS, count, &trials, err))
        return false;
    for (size_t value = 0; value <= TUNE_STEPS; value++) {
        double alpha = value < TUNE_STEPS ? (double)value / (TUNE_STEPS - 1) : current;
        for (size_t i = 0; i < count; i++)
            trials.rows[value * count + i] = quality_at(&questions[i], alpha, 0);
    }
    bool ok = choose(&trials, ret, err);
    free(trials.rows);
    return ok;
}

bool tune_depth(const struct tune_question *questions, size_t count, double alpha, size_t current,
                struct tune_choice *ret, struct err *err)
{
    struct trials trials;
    if (!trials_new(TUNE_DEPTHS, count, &trials, err))
        return false;
    for (size_t value = 0; value <= TUNE_DEPTHS; value++) {
        size_t depth = value < TUNE_DEPTHS ? tune_depths[value] : current;
        for (size_t i = 0; i < count; i++)
            trials.rows[value * count + i] = quality_at(&questions[i], alpha, depth);
    }
    bool ok = choose(&trials, ret, err);
    free(trials.rows);
    return ok;
}

/* ---------------------------------------------------------------- questions out of passages */

struct word {
    size_t start;
    size_t end;
};

/* The words of a text, between blanks; at most WORDS_MAX. */
static size_t split(const char *text, size_t length, struct word words[WORDS_MAX])
{
    static const char blanks[] = " \t\r\n";
    size_t count = 0;
    for (size_t at = 0; at < length && count < WORDS_MAX;) {
        while (at < length && strchr(blanks, text[at]))
            at++;
        size_t start = at;
        while (at < length && !strchr(blanks, text[at]))
            at++;
        if (at > start)
            words[count++] = (struct word){start, at};
    }
    return count;
}

/* Sentences that are long enough, in order. */
static size_t find_sentences(const char *passage, size_t length, struct word ret[SENTENCES_MAX])
{
    struct word words[WORDS_MAX];
    size_t count = 0;
    size_t cursor = 0;
    size_t start;
    size_t end;
    while (count < SENTENCES_MAX && sentence_next(passage, length, &cursor, &start, &end))
        if (split(passage + start, end - start, words) >= WORDS_MIN)
            ret[count++] = (struct word){start, end};
    return count;
}

bool tune_question_text(const char *passage, size_t length, bool hide, uint64_t *random,
                        struct str *out)
{
    struct word sentences[SENTENCES_MAX];
    size_t count = find_sentences(passage, length, sentences);
    if (count == 0)
        return false;
    struct word sentence = sentences[count / 2];
    struct word words[WORDS_MAX];
    const char *text = passage + sentence.start;
    size_t total = split(text, sentence.end - sentence.start, words);
    bool first = true;
    for (size_t i = 0; i < total; i++) {
        if (hide && evaluate_random(random) % 2 == 0)
            continue;
        str_puts(out, first ? "" : " ");
        str_append(out, text + words[i].start, words[i].end - words[i].start);
        first = false;
    }
    if (first) /* chance left nothing */
        str_append(out, text, sentence.end - sentence.start);
    return true;
}
