#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "cli/answer.h"
#include "cli/chat_input.h"
#include "cli/command.h"
#include "cli/house_notice.h"
#include "cli/interrupt.h"
#include "cli/names.h"
#include "cli/service.h"

/* Older turns are forgotten, two at a time, so that a question and its answer go together. */
enum { TURNS_MAX = 200 };

static const struct option_spec chat_options[] = {
    OPTION_STORE_ROW,
    OPTION_TOP_K_ROW,
    OPTION_ALPHA_ROW,
    {.name = "model",
     .type = OPTION_TEXT,
     .value = N_("NAME"),
     .help = N_("the model that answers")},
};

struct chat {
    struct cli *cli;
    struct session session;
    struct chat_input input;
    struct answer_message turns[TURNS_MAX]; /* the texts are owned */
    size_t turn_count;
    struct answer last; /* for /sources */
    struct hash told;   /* of the last notice */
    bool told_house;    /* that a model of the house is used */
    char *model;        /* NULL: "jarvis" */
    char *stores[OPTION_VALUES_MAX];
    size_t store_count;
    int64_t top_k;
    double alpha;
};

/* --- the conversation --- */

static void forget_turns(struct chat *chat, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)chat->turns[i].text);
    memmove(chat->turns, chat->turns + count, (chat->turn_count - count) * sizeof(*chat->turns));
    chat->turn_count -= count;
}

static bool add_turn(struct chat *chat, const char *role, const char *text, struct err *err)
{
    char *copy;
    if (!str_copy(text, &copy, err))
        return false;
    if (chat->turn_count == TURNS_MAX)
        forget_turns(chat, 2);
    chat->turns[chat->turn_count++] = (struct answer_message){role, copy};
    return true;
}

static void drop_last_turn(struct chat *chat)
{
    free((char *)(uintptr_t)chat->turns[--chat->turn_count].text);
}

/* --- saying things --- */

static void say(const struct chat *chat, const char *text)
{
    const struct term *term = &chat->cli->out;
    fprintf(term->file, "%s%s%s\n", term_on(term, STYLE_DIM), text, term_off(term));
}

static void print_error(const struct chat *chat, const struct err *err)
{
    const struct term *term = &chat->cli->err;
    const char *message = err_message(err, chat->cli->lang);
    fflush(chat->cli->out.file);
    fprintf(term->file, "%s", term_on(term, STYLE_RED));
    term_write(term, message, strlen(message));
    fprintf(term->file, "%s\n", term_off(term));
}

/* --- one question and its answer --- */

/* A service that was idle for long has left while the person was thinking. */
static bool wake_service(const struct chat *chat, struct err *err)
{
    const struct service_options options = service_own();
    bool started;
    return service_ensure(&chat->session.paths, &options, &started, err);
}

static bool ask(struct chat *chat, struct err *err)
{
    const struct answer_request request = {
        .model = chat->model,
        .messages = chat->turns,
        .message_count = chat->turn_count,
        .stores = (const char *const *)chat->stores,
        .store_count = chat->store_count,
        .top_k = chat->top_k,
        .alpha = chat->alpha,
    };
    struct interrupt interrupt;
    answer_free(&chat->last);
    answer_init(&chat->last);
    if (!wake_service(chat, err) || !interrupt_begin(&interrupt, err))
        return false;
    client_interrupt_by(chat->session.client, interrupt.fd);
    struct flow flow;
    flow_begin(&flow, &chat->cli->out);
    bool ok =
        answer_ask(chat->session.client, &request, answer_print_text, &flow, &chat->last, err);
    flow_end(&flow);
    client_interrupt_by(chat->session.client, -1);
    interrupt_end(&interrupt);
    return ok;
}

/* What is missing is said when it changes, not after every answer. */
static void tell_once(struct chat *chat, const char *notice)
{
    struct hash hash = hash_bytes(notice, strlen(notice));
    if (!hash_equal(&hash, &chat->told))
        answer_print_notice(&chat->cli->err, notice);
    chat->told = hash;
}

static void tell_house_once(struct chat *chat)
{
    yyjson_val *roles = yyjson_obj_get(chat->last.extra, "house_models");
    if (!chat->told_house)
        house_notice_print(chat->cli, roles);
    chat->told_house = chat->told_house || yyjson_arr_size(roles) > 0;
}

/* What has come of a stopped reply stays in the conversation; a question that failed does not.
 * False when the conversation cannot go on: nobody reads the output. */
static bool reply(struct chat *chat, const char *question, struct err *err)
{
    if (!add_turn(chat, "user", question, err))
        return false;
    struct err failure;
    bool ok = ask(chat, &failure);
    const struct str *text = &chat->last.text;
    bool stopped = !ok && failure.code == ERR_CANCELLED;
    if (text->length > 0 && (ok || stopped))
        fputs("\n", chat->cli->out.file);
    if (ok) {
        answer_print_sources(&chat->cli->out, chat->cli->lang, &chat->last);
        fflush(chat->cli->out.file);
        tell_once(chat, chat->last.notice);
        tell_house_once(chat);
    } else if (stopped) {
        say(chat, TR(chat->cli->lang, "(stopped)"));
    } else {
        print_error(chat, &failure);
        if (failure.code == ERR_CONTEXT_LENGTH)
            say(chat, TR(chat->cli->lang, "/new begins a new conversation."));
    }
    if (text->length > 0 && (ok || stopped)) {
        if (!add_turn(chat, "assistant", str_text(text), err))
            return false;
    } else {
        drop_last_turn(chat);
    }
    fputs("\n", chat->cli->out.file);
    return term_flush(&chat->cli->out, err);
}

/* --- commands, which begin with a slash --- */

static bool do_new(struct chat *chat, const char *rest, struct err *err)
{
    (void)rest, (void)err;
    forget_turns(chat, chat->turn_count);
    say(chat, TR(chat->cli->lang, "A new conversation."));
    return true;
}

static bool do_model(struct chat *chat, const char *rest, struct err *err)
{
    if (*rest) {
        char *copy;
        if (!str_copy(rest, &copy, err))
            return false;
        free(chat->model);
        chat->model = copy;
    }
    say(chat, chat->model ? chat->model : "jarvis");
    return true;
}

static void forget_stores(struct chat *chat)
{
    while (chat->store_count > 0)
        free(chat->stores[--chat->store_count]);
}

static bool do_store(struct chat *chat, const char *rest, struct err *err)
{
    if (*rest) {
        char *copy;
        if (!str_copy(rest, &copy, err))
            return false;
        forget_stores(chat);
        chat->stores[chat->store_count++] = copy;
    }
    if (chat->store_count == 0)
        say(chat, "default");
    for (size_t i = 0; i < chat->store_count; i++)
        say(chat, chat->stores[i]);
    return true;
}

static bool do_sources(struct chat *chat, const char *rest, struct err *err)
{
    (void)rest, (void)err;
    if (yyjson_arr_size(yyjson_obj_get(chat->last.extra, "sources")) == 0)
        say(chat, TR(chat->cli->lang, "The last answer has no sources."));
    else
        answer_print_sources(&chat->cli->out, chat->cli->lang, &chat->last);
    return true;
}

static bool do_help(struct chat *chat, const char *rest, struct err *err);

static const struct chat_command {
    const char *name;
    bool (*run)(struct chat *chat, const char *rest, struct err *err); /* NULL: leaves */
    const char *help;
} chat_commands[] = {
    {"/new", do_new, N_("begin a new conversation")},
    {"/model", do_model, N_("/model NAME: another model answers; alone: which one does")},
    {"/store", do_store, N_("/store NAME: other documents; alone: which ones")},
    {"/sources", do_sources, N_("show the sources of the last answer again")},
    {"/help", do_help, N_("show these commands")},
    {"/exit", NULL, N_("leave (also Ctrl-D); Ctrl-C stops an answer")},
};
enum { CHAT_COMMANDS = sizeof(chat_commands) / sizeof(*chat_commands) };

static bool do_help(struct chat *chat, const char *rest, struct err *err)
{
    (void)rest, (void)err;
    for (size_t i = 0; i < CHAT_COMMANDS; i++)
        fprintf(chat->cli->out.file, "  %-10s %s\n", chat_commands[i].name,
                TR(chat->cli->lang, chat_commands[i].help));
    return true;
}

/* Runs a line that begins with a slash. False with err->code ERR_NONE: leave. */
static bool run_command(struct chat *chat, const char *line, struct err *err)
{
    size_t length = strcspn(line, " ");
    const char *rest = line + length + strspn(line + length, " ");
    const char *names[CHAT_COMMANDS];
    for (size_t i = 0; i < CHAT_COMMANDS; i++) {
        const struct chat_command *command = &chat_commands[i];
        names[i] = command->name;
        if (strlen(command->name) == length && strncmp(command->name, line, length) == 0)
            return command->run ? command->run(chat, rest, err) : false;
    }
    char word[ERR_PARAM_MAX];
    snprintf(word, sizeof(word), "%.*s", (int)length, line);
    const char *near = names_nearest(word, names, CHAT_COMMANDS);
    struct err unknown;
    if (near)
        err_set(&unknown, ERR_INVALID_REQUEST, "there is no %s; did you mean %s?", word, near);
    else
        err_set(&unknown, ERR_INVALID_REQUEST, "there is no %s; /help lists the commands", word);
    print_error(chat, &unknown);
    return true;
}

/* --- the conversation's loop --- */

static bool converse(struct chat *chat, struct err *err)
{
    bool going = true;
    err_clear(err);
    while (going) {
        char *line = chat_input_line(&chat->input, "");
        if (!line)
            break;
        const char *text = line + strspn(line, " \t");
        if (*text == '/')
            going = run_command(chat, text, err);
        else if (*text)
            going = reply(chat, text, err);
        fflush(chat->cli->out.file);
        free(line);
    }
    return err->code == ERR_NONE;
}

static void greet(const struct chat *chat)
{
    if (chat->input.interactive)
        say(chat, TR(chat->cli->lang, "Ask about your documents. /help lists the commands; Ctrl-C "
                                      "stops an answer, Ctrl-D leaves."));
}

static bool take_options(struct chat *chat, const struct options *options, struct err *err)
{
    const char *model = options_text(options, "model", NULL);
    const struct option_value *stores = options_list(options, "store");
    chat->top_k = options_int(options, "top-k", 0);
    chat->alpha = options_number(options, "alpha", -1);
    bool ok = !model || str_copy(model, &chat->model, err);
    for (size_t i = 0; ok && i < stores->count; i++) {
        ok = str_copy(stores->texts[i], &chat->stores[i], err);
        chat->store_count += ok;
    }
    return ok;
}

static void chat_free(struct chat *chat)
{
    forget_turns(chat, chat->turn_count);
    forget_stores(chat);
    answer_free(&chat->last);
    free(chat->model);
    free(chat);
}

static bool run_chat(struct cli *cli, const struct options *options, int *ret_exit, struct err *err)
{
    (void)ret_exit;
    if (!command_no_words(options, err))
        return false;
    struct chat *chat = calloc(1, sizeof(*chat));
    if (!chat)
        return err_no_memory(err);
    chat->cli = cli;
    answer_init(&chat->last);
    bool ok = take_options(chat, options, err) && session_open(cli, &chat->session, err);
    if (ok) {
        static const char *const completions[] = {"/new",  "/model", "/store", "/sources",
                                                  "/help", "/exit",  NULL};
        bool interactive = isatty(STDIN_FILENO) && cli->out.tty;
        chat_input_begin(&chat->input, &chat->session.paths, interactive, cli->out.colour,
                         completions);
        greet(chat);
        ok = converse(chat, err);
        session_close(&chat->session);
    }
    chat_free(chat);
    return ok;
}

const struct command command_chat = {
    .name = "chat",
    .run = run_chat,
    .usage = "",
    .summary = N_("talk with your documents"),
    .details = N_("Each line is a question; the conversation so far goes with it. Ctrl-C stops an "
                  "answer, Ctrl-D or /exit leaves, /help lists the other commands. When standard "
                  "input is not a terminal its lines are answered one after the other."),
    .options = chat_options,
    .option_count = sizeof(chat_options) / sizeof(*chat_options),
};
