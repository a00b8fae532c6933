#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/house_notice.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/transcribe_request.h"

static const struct option_spec transcribe_options[] = {
    {.name = "language",
     .type = OPTION_TEXT,
     .value = N_("LANGUAGE"),
     .help = N_("two letters, as in es; each: found anew for each piece (default: found once)")},
    {.name = "format",
     .type = OPTION_TEXT,
     .value = N_("FORMAT"),
     .help = N_("text, json, verbose_json, srt or vtt (default text)")},
    {.name = "model", .type = OPTION_TEXT, .value = N_("NAME"), .help = N_("the speech model")},
    {.name = "prompt",
     .type = OPTION_TEXT,
     .value = N_("TEXT"),
     .help = N_("names and words to expect")},
    {.name = "translate", .type = OPTION_FLAG, .help = N_("translate to English")},
    {.name = "words", .type = OPTION_FLAG, .help = N_("with verbose_json: the times of words")},
    {.name = "vad-only", .type = OPTION_FLAG, .help = N_("only when somebody speaks, no text")},
    {.name = "vad",
     .type = OPTION_TEXT,
     .value = N_("ENGINE"),
     .help = N_("how speech is found: rnnoise, energy or none (default rnnoise)")},
    {.name = "aggressiveness",
     .type = OPTION_INT,
     .min = 0,
     .max = 3,
     .value = N_("N"),
     .help = N_("0 loses no speech, 3 lets the least noise through (default 1)")},
    OPTION_JSON_ROW,
};

/* One file on its way. */
struct transcribe {
    struct cli *cli;
    struct progress progress;
    const char *name;
    bool ended_line; /* what was printed last ended with one */
    bool done;
    yyjson_doc *last; /* what the service said at the end of the last file */
};

static void show_progress(struct transcribe *transcribe, yyjson_val *root)
{
    const struct progress_state state = {
        .phase = "listen",
        .done = (uint64_t)(yyjson_get_num(yyjson_obj_get(root, "fraction")) * 100),
        .total = 100,
        .path = answer_short_path(transcribe->name),
    };
    if (!transcribe->cli->json)
        progress_show(&transcribe->progress, &state);
}

static void print_output(struct transcribe *transcribe, yyjson_val *root)
{
    yyjson_val *text = yyjson_obj_get(root, "text");
    size_t length = yyjson_get_len(text);
    progress_end(&transcribe->progress);
    term_write(&transcribe->cli->out, yyjson_get_str(text), length);
    transcribe->ended_line = length > 0 && yyjson_get_str(text)[length - 1] == '\n';
    fflush(transcribe->cli->out.file);
}

static bool on_event(void *user, const struct event *event, struct err *err)
{
    struct transcribe *transcribe = user;
    yyjson_doc *doc;
    if (!json_parse(event->data, event->length, "an event of the service", &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (strcmp(event->name, "progress") == 0) {
        show_progress(transcribe, root);
    } else if (strcmp(event->name, "output") == 0) {
        print_output(transcribe, root);
    } else if (strcmp(event->name, "done") == 0) {
        transcribe->done = true;
        progress_end(&transcribe->progress);
        yyjson_doc *before = transcribe->last;
        transcribe->last = doc;
        doc = before;
    }
    yyjson_doc_free(doc);
    return true;
}

static bool transcribe_file(struct transcribe *transcribe, struct client *client,
                            const struct options *options, struct err *err)
{
    yyjson_mut_doc *request;
    transcribe->done = false;
    transcribe->ended_line = true;
    if (!transcribe_request_make(transcribe->name, options, transcribe->cli->json, &request, err))
        return false;
    progress_begin(&transcribe->progress, &transcribe->cli->err, transcribe->cli->lang);
    bool ok = client_stream(client, "/v1/jarvis/transcribe", request, on_event, transcribe, err);
    progress_end(&transcribe->progress);
    yyjson_mut_doc_free(request);
    if (!ok)
        return false;
    if (!transcribe->ended_line)
        fputs("\n", transcribe->cli->out.file);
    return transcribe->done ||
           err_set(err, ERR_UNAVAILABLE,
                   "the service went away while it was listening; run the command again");
}

/* What is to be said of the model, once for all files. */
static void print_notice(const struct transcribe *transcribe)
{
    yyjson_val *root = yyjson_doc_get_root(transcribe->last);
    const char *notice = yyjson_get_str(yyjson_obj_get(root, "notice"));
    if (notice && *notice)
        answer_print_notice(&transcribe->cli->err, notice);
    else
        house_notice_print(transcribe->cli, yyjson_obj_get(root, "house_models"));
}

static bool transcribe_all(struct cli *cli, struct client *client, const struct options *options,
                           struct err *err)
{
    struct interrupt interrupt;
    struct transcribe transcribe = {.cli = cli};
    bool ok = true;
    if (!interrupt_begin(&interrupt, err))
        return false;
    client_interrupt_by(client, interrupt.fd);
    for (size_t i = 0; ok && i < options->word_count; i++) {
        transcribe.name = options->words[i];
        ok = transcribe_file(&transcribe, client, options, err);
    }
    interrupt_end(&interrupt);
    if (ok && !cli->json)
        print_notice(&transcribe);
    yyjson_doc_free(transcribe.last);
    return ok;
}

static bool run_transcribe(struct cli *cli, const struct options *options, int *ret_exit,
                           struct err *err)
{
    (void)ret_exit;
    struct session session;
    if (options->word_count == 0)
        return err_set(err, ERR_INVALID_REQUEST,
                       "there is nothing to listen to: jarvis transcribe FILE…");
    if (!session_open(cli, &session, err))
        return false;
    bool ok = transcribe_all(cli, session.client, options, err);
    session_close(&session);
    return ok;
}

const struct command command_transcribe = {
    .name = "transcribe",
    .run = run_transcribe,
    .usage = N_("FILE…"),
    .summary = N_("write down what is said in sound files"),
    .details =
        N_("Reads WAV, FLAC, MP3, Ogg Vorbis and Ogg Opus, of any length. Silence is left out: "
           "only where somebody speaks is listened to. --vad-only --json prints {\"segments\": "
           "[{\"start\", \"end\"}]} in seconds; --json is --format json."),
    .options = transcribe_options,
    .option_count = sizeof(transcribe_options) / sizeof(*transcribe_options),
};
