#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/names.h"

#include "config.h"

/* The one list of commands, in the order of `jarvis help`. */
/* clang-format off */
#define COMMAND_TABLE(X) \
    X(ask) \
    X(chat) \
    X(ingest) \
    X(search) \
    X(embed) \
    X(transcribe) \
    X(eval) \
    X(tune) \
    X(models) \
    X(pull) \
    X(bench) \
    X(devices) \
    X(ps) \
    X(explain) \
    X(serve) \
    X(stop) \
    X(config) \
    X(doctor) \
    X(version) \
    X(help) \
    X(worker)
/* clang-format on */

#define COMMAND_DECLARE(name) extern const struct command command_##name;
COMMAND_TABLE(COMMAND_DECLARE)
#undef COMMAND_DECLARE

#define COMMAND_ONE(name) 1 +
enum { COMMAND_COUNT = COMMAND_TABLE(COMMAND_ONE) 0 };
#undef COMMAND_ONE

enum { NAME_COLUMN = 12, OPTION_COLUMN = 26, WORDS_MAX = 1024 * 1024, EXIT_USAGE = 2 };

/* Taken by every command. */
static const struct option_spec common_options[] = {
    {.name = "no-color",
     .type = OPTION_FLAG,
     .help = N_("no colour, also on a terminal (as NO_COLOR=1)")},
    {.name = "help", .type = OPTION_FLAG, .help = N_("show this help")},
};
enum { COMMON_COUNT = sizeof(common_options) / sizeof(*common_options) };

const struct command *command_at(size_t index)
{
#define COMMAND_ROW(name) &command_##name,
    static const struct command *const table[COMMAND_COUNT] = {COMMAND_TABLE(COMMAND_ROW)};
#undef COMMAND_ROW
    return index < COMMAND_COUNT ? table[index] : NULL;
}

const struct command *command_find(const char *name)
{
    const struct command *command;
    for (size_t i = 0; (command = command_at(i)); i++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

bool command_unknown(const char *name, struct err *err)
{
    const char *names[COMMAND_COUNT];
    size_t count = 0;
    const struct command *command;
    for (size_t i = 0; (command = command_at(i)); i++)
        if (!command->hidden)
            names[count++] = command->name;
    const char *near = names_nearest(name, names, count);
    if (near)
        return err_set(err, ERR_INVALID_REQUEST, "there is no command \"%s\"; did you mean \"%s\"?",
                       name, near);
    return err_set(err, ERR_INVALID_REQUEST,
                   "there is no command \"%s\"; jarvis help lists the commands", name);
}

/* --- help --- */

static void print_two_columns(const struct term *term, size_t column, const char *left,
                              const char *right)
{
    struct str line;
    str_init(&line, WORDS_MAX);
    str_printf(&line, "  %s", left);
    size_t width = text_width(str_text(&line), line.length);
    text_pad(&line, width + 2 <= column ? column - width : 2);
    width = text_width(str_text(&line), line.length);
    text_wrap(&line, right, (size_t)term->width - 1, width, column);
    fprintf(term->file, "%s\n", str_text(&line));
    str_free(&line);
}

static void print_paragraph(const struct term *term, const char *text)
{
    struct str wrapped;
    str_init(&wrapped, WORDS_MAX);
    text_wrap(&wrapped, text, (size_t)(term->width < 80 ? term->width : 80) - 1, 0, 0);
    fprintf(term->file, "%s\n", str_text(&wrapped));
    str_free(&wrapped);
}

static void print_heading(const struct term *term, const char *text)
{
    fprintf(term->file, "\n%s%s%s\n", term_on(term, STYLE_BOLD), text, term_off(term));
}

static void print_exit_codes(const struct cli *cli)
{
    static const struct {
        const char *code;
        const char *meaning;
    } rows[] = {
        {"0", N_("all went well")},
        {"1", N_("some of it failed: files that ingest could not read, checks of doctor")},
        {"2", N_("the command cannot be understood")},
        {"3", N_("something named does not exist")},
        {"4", N_("the configuration or a model is wrong or missing")},
        {"5", N_("a file cannot be read or written")},
        {"6", N_("not now: the service is busy or away; try again")},
        {"7", N_("someone must act: disk full, out of memory, store damaged")},
        {"130", N_("stopped by Ctrl-C")},
    };
    print_heading(&cli->out, TR(cli->lang, "Exit codes:"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        print_two_columns(&cli->out, NAME_COLUMN, rows[i].code, TR(cli->lang, rows[i].meaning));
}

void command_print_overview(const struct cli *cli)
{
    const struct term *term = &cli->out;
    enum lang lang = cli->lang;
    fprintf(term->file, "%s\n\n%s\n",
            TR(lang, "jarvis - ask your own documents; a local assistant, private and offline"),
            TR(lang, "usage: jarvis COMMAND [OPTIONS] [WORDS]"));
    print_heading(term, TR(lang, "Commands:"));
    const struct command *command;
    for (size_t i = 0; (command = command_at(i)); i++)
        if (!command->hidden)
            print_two_columns(term, NAME_COLUMN, command->name, TR(lang, command->summary));
    print_exit_codes(cli);
    fputs("\n", term->file);
    print_paragraph(term,
                    TR(lang, "jarvis help COMMAND tells more about one of them. With --json a "
                             "command that prints data prints JSON, and an error is one line "
                             "{\"error\":{…}} on standard error. JARVIS_HOME=DIR keeps "
                             "everything below DIR; jarvis config path shows where things are."));
}

static void print_options(const struct cli *cli, const struct option_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (specs[i].hidden)
            continue;
        char left[128];
        const char *value = specs[i].value ? TR(cli->lang, specs[i].value) : "";
        snprintf(left, sizeof(left), "--%s%s%s", specs[i].name, *value ? " " : "", value);
        print_two_columns(&cli->out, OPTION_COLUMN, left, TR(cli->lang, specs[i].help));
    }
}

void command_print_help(const struct cli *cli, const struct command *command)
{
    const struct term *term = &cli->out;
    fprintf(term->file, TR(cli->lang, "usage: jarvis %s %s"), command->name,
            TR(cli->lang, command->usage));
    fputs("\n\n", term->file);
    print_paragraph(term, TR(cli->lang, command->summary));
    if (command->details) {
        fputs("\n", term->file);
        print_paragraph(term, TR(cli->lang, command->details));
    }
    print_heading(term, TR(cli->lang, "Options:"));
    print_options(cli, command->options, command->option_count);
    print_options(cli, common_options, COMMON_COUNT);
}

/* --- what commands share --- */

bool command_join_words(const struct options *options, char **ret, struct err *err)
{
    struct str text;
    str_init(&text, WORDS_MAX);
    for (size_t i = 0; i < options->word_count; i++) {
        str_puts(&text, i > 0 ? " " : "");
        str_puts(&text, options->words[i]);
    }
    if (!str_check(&text, "the text", err)) {
        str_free(&text);
        return false;
    }
    char *taken = str_take(&text);
    if (!taken)
        return err_no_memory(err);
    *ret = taken;
    return true;
}

bool command_no_words(const struct options *options, struct err *err)
{
    return options->word_count == 0 ||
           err_set(err, ERR_INVALID_REQUEST,
                   "\"%s\" is one word too many; --help tells what the command takes",
                   options->words[0]);
}

bool command_print_json(const struct cli *cli, const yyjson_mut_doc *doc, struct err *err)
{
    struct str text;
    str_init(&text, (size_t)256 * 1024 * 1024);
    bool ok = json_write(doc, true, &text, err);
    if (ok) {
        fwrite(str_text(&text), 1, text.length, cli->out.file);
        fputs("\n", cli->out.file);
        ok = term_flush(&cli->out, err);
    }
    str_free(&text);
    return ok;
}

/* --- the program --- */

static void print_error_json(const struct cli *cli, const struct err *err)
{
    const struct err_info *info = err_info(err->code);
    const char *message = err_message(err, cli->lang);
    struct str line;
    str_init(&line, 4096);
    str_puts(&line, "{\"error\":{\"message\":\"");
    str_json(&line, message, strlen(message));
    str_printf(&line, "\",\"code\":\"%s\",\"type\":\"%s\",\"category\":\"%s\"", info->name,
               info->type, err_category_name(err->category));
    str_puts(&line, ",\"param\":");
    str_puts(&line, *err->param ? "\"" : "null");
    str_json(&line, err->param, strlen(err->param));
    const char *hint = err_hint(err->code, cli->lang);
    str_printf(&line, "%s,\"retry_after_ms\":%u,\"hint\":\"", *err->param ? "\"" : "",
               err_retry_after_ms(err));
    str_json(&line, hint, strlen(hint));
    str_printf(&line, "\",\"exit_code\":%d}}", info->exit_code);
    fprintf(cli->err.file, "%s\n", str_text(&line));
    str_free(&line);
}

/* Tells the error and returns the exit code. A reader of our output that has left has what it
 * wanted: no error. */
static int report(const struct cli *cli, const struct err *err)
{
    fflush(cli->out.file);
    if (err->code == ERR_CANCELLED && ferror(cli->out.file))
        return EXIT_SUCCESS;
    if (cli->json) {
        print_error_json(cli, err);
    } else {
        const char *message = err_message(err, cli->lang);
        fprintf(cli->err.file, "%sjarvis:%s ", term_on(&cli->err, STYLE_RED), term_off(&cli->err));
        term_write(&cli->err, message, strlen(message));
        fputs("\n", cli->err.file);
        if (err->retry_after_ms > 0) {
            fprintf(cli->err.file, TR(cli->lang, "Try again in %.0f s."),
                    (err->retry_after_ms + 999) / 1000.0);
            fputs("\n", cli->err.file);
        }
    }
    return err_info(err->code)->exit_code;
}

static bool has_option(const struct command *command, const char *name)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (strcmp(command->options[i].name, name) == 0)
            return true;
    return false;
}

/* Errors in the options themselves are told as JSON too when --json is among the words. */
static bool asks_for_json(const struct command *command, int argc, const char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return has_option(command, "json");
    return false;
}

static int run_command(struct cli *cli, const struct command *command, int argc,
                       const char *const *argv)
{
    struct option_spec specs[OPTIONS_MAX];
    size_t count = command->option_count;
    if (count > 0)
        memcpy(specs, command->options, count * sizeof(*specs));
    memcpy(specs + count, common_options, sizeof(common_options));
    cli->json = asks_for_json(command, argc, argv);

    struct err err;
    struct options options;
    err_clear(&err);
    if (!options_parse(specs, count + COMMON_COUNT, argc, argv, &options, &err))
        return report(cli, &err);
    if (options_has(&options, "no-color"))
        cli->out.colour = cli->err.colour = false;
    int exit_code = EXIT_SUCCESS;
    bool ok = true;
    if (options_has(&options, "help"))
        command_print_help(cli, command);
    else
        ok = command->run(cli, &options, &exit_code, &err);
    ok = ok && term_flush(&cli->out, &err);
    options_free(&options);
    return ok ? exit_code : report(cli, &err);
}

/* What may stand before the command. Moves *at to the command's name. */
static void take_leading_options(struct cli *cli, int argc, const char *const *argv, int *at)
{
    for (; *at < argc && strcmp(argv[*at], "--no-color") == 0; (*at)++)
        cli->out.colour = cli->err.colour = false;
}

static const char *name_meant(const char *word)
{
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return "version";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return "help";
    return word;
}

int command_main(int argc, const char *const *argv)
{
    /* A reader that leaves is found by what writing returns, not by a signal. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);

    struct cli cli = {.lang = lang_from_environment()};
    term_init(&cli.out, stdout, true);
    term_init(&cli.err, stderr, true);
    int at = 1;
    take_leading_options(&cli, argc, argv, &at);
    if (at >= argc) {
        command_print_overview(&cli);
        return EXIT_USAGE;
    }
    const char *name = name_meant(argv[at]);
    const struct command *command = command_find(name);
    if (!command) {
        struct err err;
        command_unknown(name, &err);
        return report(&cli, &err);
    }
    return run_command(&cli, command, argc - at - 1, argv + at + 1);
}
