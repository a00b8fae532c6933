#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/answer.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/house_notice.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

static const struct option_spec ingest_options[] = {
    {.name = "store",
     .type = OPTION_TEXT,
     .value = N_("NAME"),
     .help = N_("the store to put them in; made when it does not exist")},
    OPTION_JSON_ROW,
};

/* What the events of one ingest are put into. */
struct ingest {
    struct cli *cli;
    struct progress progress;
    yyjson_doc *done; /* the summary; NULL before it comes */
};

/* The service has another working directory: paths go to it absolute, also those that no longer
 * exist. */
static bool absolute_path(const char *path, struct str *out, struct err *err)
{
    char buffer[PATH_MAX];
    if (realpath(path, buffer)) {
        str_puts(out, buffer);
    } else {
        if (path[0] != '/' && getcwd(buffer, sizeof(buffer)))
            str_printf(out, "%s/", buffer);
        str_puts(out, path);
    }
    return str_check(out, "the path", err);
}

static bool make_request(const struct options *options, yyjson_mut_doc **ret, struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *paths = yyjson_mut_obj_add_arr(doc, root, "paths");
    bool ok = true;
    for (size_t i = 0; ok && i < options->word_count; i++) {
        struct str path;
        str_init(&path, (size_t)PATH_MAX * 2);
        ok = absolute_path(options->words[i], &path, err);
        yyjson_mut_arr_add_strncpy(doc, paths, str_text(&path), path.length);
        str_free(&path);
    }
    if (options_has(options, "store"))
        yyjson_mut_obj_add_str(doc, root, "store", options_text(options, "store", NULL));
    if (!ok) {
        yyjson_mut_doc_free(doc);
        return false;
    }
    *ret = doc;
    return true;
}

static void show_progress(struct ingest *ingest, yyjson_val *root)
{
    const char *phase = yyjson_get_str(yyjson_obj_get(root, "phase"));
    const char *path = yyjson_get_str(yyjson_obj_get(root, "path"));
    const struct progress_state state = {
        .phase = phase ? phase : "",
        .done = yyjson_get_uint(yyjson_obj_get(root, "done")),
        .total = yyjson_get_uint(yyjson_obj_get(root, "total")),
        .bytes_done = yyjson_get_uint(yyjson_obj_get(root, "bytes_done")),
        .path = path ? answer_short_path(path) : "",
    };
    if (!ingest->cli->json)
        progress_show(&ingest->progress, &state);
}

static bool on_event(void *user, const struct event *event, struct err *err)
{
    struct ingest *ingest = user;
    yyjson_doc *doc;
    if (!json_parse(event->data, event->length, "an event of the service", &doc, err))
        return false;
    if (strcmp(event->name, "done") == 0) {
        yyjson_doc_free(ingest->done);
        ingest->done = doc;
        return true;
    }
    if (strcmp(event->name, "progress") == 0)
        show_progress(ingest, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return true;
}

static unsigned long long number(yyjson_val *done, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(done, key));
}

static void print_failures(const struct cli *cli, yyjson_val *done)
{
    const struct term *term = &cli->out;
    yyjson_val *failures = yyjson_obj_get(done, "failures");
    yyjson_arr_iter walk = yyjson_arr_iter_with(failures);
    yyjson_val *failure;
    while ((failure = yyjson_arr_iter_next(&walk))) {
        const char *path = yyjson_get_str(yyjson_obj_get(failure, "path"));
        const char *reason = yyjson_get_str(yyjson_obj_get(failure, "reason"));
        path = answer_short_path(path ? path : "");
        fprintf(term->file, "  %s", term_on(term, STYLE_RED));
        term_write(term, path, strlen(path));
        fprintf(term->file, "%s: ", term_off(term));
        term_write(term, reason ? reason : "", reason ? strlen(reason) : 0);
        fputs("\n", term->file);
    }
    unsigned long long shown = yyjson_arr_size(failures);
    if (number(done, "failed") > shown) {
        fputs("  ", term->file);
        fprintf(term->file, TR(cli->lang, "and %llu more"), number(done, "failed") - shown);
        fputs("\n", term->file);
    }
}

static void print_summary(const struct cli *cli, yyjson_val *done, double milliseconds)
{
    struct str time;
    str_init(&time, 64);
    text_duration(&time, milliseconds);
    fprintf(cli->out.file,
            TR(cli->lang, "%llu added, %llu changed, %llu unchanged, %llu removed, %llu skipped, "
                          "%llu failed"),
            number(done, "added"), number(done, "changed"), number(done, "unchanged"),
            number(done, "removed"), number(done, "skipped"), number(done, "failed"));
    fputs("\n", cli->out.file);
    fprintf(cli->out.file, TR(cli->lang, "%llu passages, %llu embedded, in %s"),
            number(done, "passages"), number(done, "embedded"), str_text(&time));
    fputs("\n", cli->out.file);
    print_failures(cli, done);
    fflush(cli->out.file);
    const char *notice = yyjson_get_str(yyjson_obj_get(done, "notice"));
    answer_print_notice(&cli->err, notice ? notice : "");
    house_notice_print(cli, yyjson_obj_get(done, "house_models"));
    str_free(&time);
}

static bool print_json(const struct cli *cli, const yyjson_doc *done, struct err *err)
{
    yyjson_mut_doc *doc = yyjson_doc_mut_copy((yyjson_doc *)(uintptr_t)done, NULL);
    if (!doc)
        return err_no_memory(err);
    bool ok = command_print_json(cli, doc, err);
    yyjson_mut_doc_free(doc);
    return ok;
}

static bool stream(struct ingest *ingest, struct client *client, const yyjson_mut_doc *request,
                   struct err *err)
{
    struct interrupt interrupt;
    if (!interrupt_begin(&interrupt, err))
        return false;
    client_interrupt_by(client, interrupt.fd);
    progress_begin(&ingest->progress, &ingest->cli->err, ingest->cli->lang);
    bool ok = client_stream(client, "/v1/jarvis/ingest", request, on_event, ingest, err);
    progress_end(&ingest->progress);
    interrupt_end(&interrupt);
    if (ok && !ingest->done)
        return err_set(err, ERR_UNAVAILABLE,
                       "the service went away while it was reading the documents; what it had read "
                       "is kept, run the command again for the rest");
    return ok;
}

static bool run_ingest(struct cli *cli, const struct options *options, int *ret_exit,
                       struct err *err)
{
    if (options->word_count == 0)
        return err_set(err, ERR_INVALID_REQUEST,
                       "there is nothing to read: jarvis ingest FILE-OR-DIRECTORY");
    yyjson_mut_doc *request;
    struct session session;
    if (!make_request(options, &request, err))
        return false;
    if (!session_open(cli, &session, err)) {
        yyjson_mut_doc_free(request);
        return false;
    }
    struct ingest ingest = {.cli = cli};
    int64_t start_ns = clock_now_ns();
    bool ok = stream(&ingest, session.client, request, err);
    if (ok) {
        yyjson_val *done = yyjson_doc_get_root(ingest.done);
        if (number(done, "failed") > 0)
            *ret_exit = EXIT_SOME_FAILED;
        if (cli->json)
            ok = print_json(cli, ingest.done, err);
        else
            print_summary(cli, done, clock_ms_since(start_ns));
    }
    yyjson_doc_free(ingest.done);
    yyjson_mut_doc_free(request);
    session_close(&session);
    return ok;
}

const struct command command_ingest = {
    .name = "ingest",
    .run = run_ingest,
    .usage = N_("PATH…"),
    .summary = N_("read files and directories, so that you can ask about them"),
    .details =
        N_("Reads text, Markdown, HTML and source code; directories with all that is in them. "
           "Run it again whenever you like: files that have not changed cost nothing, changed "
           "ones are read again, and files that are gone from a directory are forgotten. A "
           "file that cannot be read is reported and skipped, and the exit code is then 1."),
    .options = ingest_options,
    .option_count = sizeof(ingest_options) / sizeof(*ingest_options),
};
