#include "cli/eval_speech.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/client.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "retrieval/evaluate.h"
#include "voice/score.h"

enum { GROUPS_MAX = 32, SEED = 20261122, HEARD_MAX = 64 << 20 };

/* What became of one recording. */
struct outcome {
    const struct speech_item *item;
    struct score score;
    bool language_right;
    double seconds;
    double given_seconds; /* to the recogniser */
    double compute_ms;
};

/* The recordings of one language, or all. */
struct group {
    const char *name;
    size_t count;
    struct evaluate_interval wer;
    struct evaluate_interval cer;
    size_t languages; /* known … */
    size_t languages_right;
    double seconds;
    double given_seconds;
    double compute_ms;
};

/* A run over a folder. */
struct run {
    struct cli *cli;
    struct client *client;
    const char *model;
    struct str heard; /* verbose_json of the recording that is being listened to */
    const char *notice;
    struct outcome *outcomes;
    size_t count;
    size_t silent;       /* recordings without text */
    size_t silent_heard; /* of these, those in which something was heard */
    struct arena arena;  /* of the notice */
};

/* ---------------------------------------------------------------- listening */

static bool on_event(void *user, const struct event *event, struct err *err)
{
    struct run *run = user;
    yyjson_doc *doc;
    if (!json_parse(event->data, event->length, "an event of the service", &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *text = yyjson_obj_get(root, "text");
    const char *notice = yyjson_get_str(yyjson_obj_get(root, "notice"));
    if (strcmp(event->name, "output") == 0)
        str_append(&run->heard, yyjson_get_str(text), yyjson_get_len(text));
    else if (strcmp(event->name, "done") == 0 && notice && !run->notice)
        run->notice = arena_copy(&run->arena, notice);
    yyjson_doc_free(doc);
    return true;
}

static yyjson_mut_doc *make_request(const struct run *run, const struct speech_item *item)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "path", item->path);
    yyjson_mut_obj_add_str(doc, root, "response_format", "verbose_json");
    if (run->model)
        yyjson_mut_obj_add_str(doc, root, "model", run->model);
    return doc;
}

static bool read_outcome(struct run *run, const struct speech_item *item, struct err *err)
{
    yyjson_doc *doc;
    if (!str_check(&run->heard, "the service's answer", err) ||
        !json_parse(str_text(&run->heard), run->heard.length, "the service's answer", &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc), *ours = yyjson_obj_get(root, "jarvis");
    const char *text = yyjson_get_str(yyjson_obj_get(root, "text"));
    const char *language = yyjson_get_str(yyjson_obj_get(root, "language"));
    struct outcome outcome = {
        .item = item,
        .language_right = language && strcmp(language, item->language) == 0,
        .seconds = yyjson_get_num(yyjson_obj_get(root, "duration")),
        .given_seconds = yyjson_get_num(yyjson_obj_get(ours, "given_seconds")),
        .compute_ms = yyjson_get_num(yyjson_obj_get(ours, "compute_ms")),
    };
    bool ok = score_text(item->text, text ? text : "", &outcome.score, err);
    yyjson_doc_free(doc);
    if (!ok)
        return false;
    run->silent += outcome.score.words == 0;
    run->silent_heard += outcome.score.words == 0 && outcome.score.word_errors > 0;
    run->outcomes[run->count++] = outcome;
    return true;
}

static bool listen_to(struct run *run, const struct speech_item *item, struct err *err)
{
    yyjson_mut_doc *request = make_request(run, item);
    str_truncate(&run->heard, 0);
    bool ok = client_stream(run->client, "/v1/jarvis/transcribe", request, on_event, run, err) &&
              read_outcome(run, item, err);
    yyjson_mut_doc_free(request);
    return ok;
}

static bool listen_to_all(struct run *run, const struct speech_set *set, size_t limit,
                          struct err *err)
{
    struct interrupt interrupt;
    struct progress progress;
    size_t count = limit > 0 && limit < set->count ? limit : set->count;
    bool ok = true;
    if (!interrupt_begin(&interrupt, err))
        return false;
    client_interrupt_by(run->client, interrupt.fd);
    progress_begin(&progress, &run->cli->err, run->cli->lang);
    for (size_t i = 0; ok && i < count; i++) {
        const struct progress_state state = {.phase = "listen",
                                             .done = i,
                                             .total = count,
                                             .path = answer_short_path(set->items[i].path)};
        if (!run->cli->json)
            progress_show(&progress, &state);
        ok = listen_to(run, &set->items[i], err);
    }
    progress_end(&progress);
    interrupt_end(&interrupt);
    return ok;
}

/* ---------------------------------------------------------------- measures */

/* Errors by length, over all recordings together, as error rates are defined. */
static double rate(const double *errors, const double *lengths, const size_t *chosen, size_t count)
{
    double sum = 0, length = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = chosen ? chosen[i] : i;
        sum += errors[at];
        length += lengths[at];
    }
    return length > 0 ? sum / length : 0;
}

/* The rate and its percentile bootstrap interval: the recordings are drawn anew, with replacement. */
static bool bootstrap(const double *errors, const double *lengths, size_t count,
                      struct evaluate_interval *ret, struct err *err)
{
    double *rates = calloc(EVALUATE_BOOTSTRAP_ROUNDS, sizeof(*rates));
    size_t *chosen = calloc(count + 1, sizeof(*chosen));
    bool ok = rates && chosen;
    uint64_t random = SEED;
    for (size_t round = 0; ok && round < EVALUATE_BOOTSTRAP_ROUNDS; round++) {
        for (size_t i = 0; i < count; i++)
            chosen[i] = (size_t)(evaluate_random(&random) % count);
        rates[round] = rate(errors, lengths, chosen, count);
    }
    if (ok)
        *ret = (struct evaluate_interval){
            .mean = rate(errors, lengths, NULL, count),
            .low = evaluate_quantile(rates, EVALUATE_BOOTSTRAP_ROUNDS, 0.025),
            .high = evaluate_quantile(rates, EVALUATE_BOOTSTRAP_ROUNDS, 0.975),
        };
    free(rates);
    free(chosen);
    return ok || err_no_memory(err);
}

/* Whether a recording belongs to a group; NULL is the group of all that has a text. */
static bool belongs(const struct outcome *outcome, const char *language)
{
    return outcome->score.words > 0 &&
           (!language || strcmp(outcome->item->language, language) == 0);
}

static bool measure(const struct run *run, const char *language, struct group *ret, struct err *err)
{
    struct group group = {.name = language};
    double *values = calloc(4 * run->count + 4, sizeof(*values));
    if (!values)
        return err_no_memory(err);
    double *word_errors = values, *words = values + run->count;
    double *letter_errors = words + run->count, *letters = letter_errors + run->count;
    for (size_t i = 0; i < run->count; i++) {
        const struct outcome *outcome = &run->outcomes[i];
        if (!belongs(outcome, language))
            continue;
        word_errors[group.count] = (double)outcome->score.word_errors;
        words[group.count] = (double)outcome->score.words;
        letter_errors[group.count] = (double)outcome->score.character_errors;
        letters[group.count++] = (double)outcome->score.characters;
        group.languages += outcome->item->language[0] != '\0';
        group.languages_right += outcome->item->language[0] && outcome->language_right;
        group.seconds += outcome->seconds;
        group.given_seconds += outcome->given_seconds;
        group.compute_ms += outcome->compute_ms;
    }
    bool ok = bootstrap(word_errors, words, group.count, &group.wer, err) &&
              bootstrap(letter_errors, letters, group.count, &group.cer, err);
    free(values);
    if (ok)
        *ret = group;
    return ok;
}

/* The languages of the recordings in the order of their first, then all of them together. */
static bool measure_groups(const struct run *run, struct group groups[GROUPS_MAX],
                           size_t *ret_count, struct err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < run->count; i++) {
        const char *language = run->outcomes[i].item->language;
        bool known = !language[0] || run->outcomes[i].score.words == 0 || count + 1 >= GROUPS_MAX;
        for (size_t j = 0; j < count; j++)
            known = known || strcmp(groups[j].name, language) == 0;
        if (!known && !measure(run, language, &groups[count++], err))
            return false;
    }
    *ret_count = count + 1;
    return measure(run, NULL, &groups[count], err);
}

/* ---------------------------------------------------------------- reports */

static double real_time_factor(const struct group *group)
{
    return group->seconds > 0 ? group->compute_ms / 1000 / group->seconds : 0;
}

static void add_rate(struct table *table, const struct evaluate_interval *value)
{
    table_cell(table, "%.1f %% (%.1f-%.1f)", value->mean * 100, value->low * 100,
               value->high * 100);
}

static bool print_table(const struct run *run, const struct group *groups, size_t count,
                        struct err *err)
{
    enum lang lang = run->cli->lang;
    struct table table;
    table_init(&table);
    table_column(&table, TR(lang, "LANGUAGE"), ALIGN_LEFT);
    table_column(&table, TR(lang, "RECORDINGS"), ALIGN_RIGHT);
    table_column(&table, "WER", ALIGN_LEFT);
    table_column(&table, "CER", ALIGN_LEFT);
    table_column(&table, TR(lang, "LANGUAGE RIGHT"), ALIGN_RIGHT);
    table_column(&table, TR(lang, "SECONDS"), ALIGN_RIGHT);
    table_column(&table, TR(lang, "HEARD"), ALIGN_RIGHT);
    table_column(&table, "RTF", ALIGN_RIGHT);
    for (size_t i = 0; i < count; i++) {
        const struct group *group = &groups[i];
        table_cell(&table, "%s", group->name ? group->name : TR(lang, "all"));
        table_cell(&table, "%zu", group->count);
        add_rate(&table, &group->wer);
        add_rate(&table, &group->cer);
        table_cell(&table, "%zu/%zu", group->languages_right, group->languages);
        table_cell(&table, "%.0f", group->seconds);
        table_cell(&table, "%.0f", group->given_seconds);
        table_cell(&table, "%.3f", real_time_factor(group));
    }
    bool ok = table_print(&table, &run->cli->out, err);
    table_free(&table);
    fprintf(run->cli->out.file, "\n");
    fprintf(run->cli->out.file,
            TR(lang, "Recordings without speech: %zu, and in %zu of them something was heard."),
            run->silent, run->silent_heard);
    fprintf(run->cli->out.file, "\n%s\n",
            TR(lang, "WER and CER: wrong words and letters by those that were said, with intervals "
                     "of 95 percent (bootstrap). HEARD: seconds given to the recogniser. RTF: its "
                     "time by the length of the sound."));
    answer_print_notice(&run->cli->err, run->notice ? run->notice : "");
    return ok;
}

static void add_interval(yyjson_mut_doc *doc, yyjson_mut_val *to, const char *key,
                         const struct evaluate_interval *value)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, to, key);
    yyjson_mut_obj_add_real(doc, object, "value", value->mean);
    yyjson_mut_obj_add_real(doc, object, "low", value->low);
    yyjson_mut_obj_add_real(doc, object, "high", value->high);
}

static bool print_json(const struct run *run, const struct group *groups, size_t count,
                       struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *languages = yyjson_mut_obj_add_obj(doc, root, "languages");
    for (size_t i = 0; i < count; i++) {
        const struct group *group = &groups[i];
        yyjson_mut_val *to =
            yyjson_mut_obj_add_obj(doc, languages, group->name ? group->name : "all");
        yyjson_mut_obj_add_uint(doc, to, "recordings", group->count);
        add_interval(doc, to, "wer", &group->wer);
        add_interval(doc, to, "cer", &group->cer);
        yyjson_mut_obj_add_uint(doc, to, "languages", group->languages);
        yyjson_mut_obj_add_uint(doc, to, "languages_right", group->languages_right);
        yyjson_mut_obj_add_real(doc, to, "seconds", group->seconds);
        yyjson_mut_obj_add_real(doc, to, "given_seconds", group->given_seconds);
        yyjson_mut_obj_add_real(doc, to, "real_time_factor", real_time_factor(group));
    }
    yyjson_mut_obj_add_uint(doc, root, "silent", run->silent);
    yyjson_mut_obj_add_uint(doc, root, "silent_heard", run->silent_heard);
    if (run->notice)
        yyjson_mut_obj_add_str(doc, root, "notice", run->notice);
    bool ok = command_print_json(run->cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

static bool report(const struct run *run, struct err *err)
{
    struct group groups[GROUPS_MAX];
    size_t count = 0;
    if (!measure_groups(run, groups, &count, err))
        return false;
    return run->cli->json ? print_json(run, groups, count, err)
                          : print_table(run, groups, count, err);
}

bool cmd_eval_speech(struct cli *cli, const char *folder, const char *model, size_t limit,
                     struct err *err)
{
    struct speech_set set;
    struct session session;
    if (!speech_set_read(folder, &set, err))
        return false;
    struct run run = {.cli = cli, .model = model};
    run.outcomes = calloc(set.count, sizeof(*run.outcomes));
    str_init(&run.heard, HEARD_MAX);
    arena_init(&run.arena, HEARD_MAX);
    bool ok = run.outcomes ? session_open(cli, &session, err) : err_no_memory(err);
    if (ok) {
        run.client = session.client;
        ok = listen_to_all(&run, &set, limit, err) && report(&run, err);
        session_close(&session);
    }
    arena_free(&run.arena);
    str_free(&run.heard);
    free(run.outcomes);
    speech_set_free(&set);
    return ok;
}
