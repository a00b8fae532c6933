#include "engine/prompt.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONTROLS_MAX = 4096, /* large vocabularies reserve a thousand or so */
    CONTROL_LENGTH_MIN = 3,
    ARENA_MAX = 4 << 20,
    CONTENT_MAX = 128 << 20,
};

#define ZERO_WIDTH_SPACE "\xe2\x80\x8b"

/* ---------------------------------------------------------------- the model's format */

static bool can_apply(const char *template_text)
{
    const struct llama_chat_message message = {.role = "user", .content = "a"};
    return template_text &&
           llama_chat_apply_template(template_text, &message, 1, true, NULL, 0) > 0;
}

static bool collect_controls(const struct llama_vocab *vocab, struct prompt_format *format,
                             struct err *err)
{
    format->controls = arena_array(&format->arena, CONTROLS_MAX, sizeof(*format->controls));
    for (llama_token i = 0; format->controls && i < llama_vocab_n_tokens(vocab) &&
                            format->control_count < CONTROLS_MAX;
         i++) {
        if (!llama_vocab_is_control(vocab, i))
            continue;
        const char *text = llama_vocab_get_text(vocab, i);
        if (text && strlen(text) >= CONTROL_LENGTH_MIN)
            format->controls[format->control_count++] = arena_copy(&format->arena, text);
    }
    return arena_ok(&format->arena) ? true : err_no_memory(err);
}

static bool has_control(const struct prompt_format *format, const char *text)
{
    for (size_t i = 0; i < format->control_count; i++)
        if (strcmp(format->controls[i], text) == 0)
            return true;
    return false;
}

bool prompt_open(const struct model *model, struct prompt_format *ret, struct err *err)
{
    struct prompt_format format = {0};
    arena_init(&format.arena, ARENA_MAX);
    if (!collect_controls(model->vocab, &format, err)) {
        arena_free(&format.arena);
        return false;
    }
    format.template_text = llama_model_chat_template(model->handle, NULL);
    format.own_template = can_apply(format.template_text);
    if (!format.own_template)
        format.template_text = has_control(&format, "<|im_start|>") ? "chatml" : NULL;
    *ret = format;
    return true;
}

void prompt_close(struct prompt_format *format)
{
    arena_free(&format->arena);
}

const char *prompt_stop(const struct prompt_format *format)
{
    return format->template_text ? NULL : "\nuser:";
}

/* ---------------------------------------------------------------- rendering */

/* The control token that text[0..] spells; NULL when none. */
static const char *control_at(const struct prompt_format *format, const char *text)
{
    for (size_t i = 0; i < format->control_count; i++) {
        const char *control = format->controls[i];
        if (control[0] == text[0] && strncmp(text, control, strlen(control)) == 0)
            return control;
    }
    return NULL;
}

/* Copies a message's text with the spellings of control tokens broken after their first character. */
static void append_harmless(const struct prompt_format *format, const char *text, struct str *out)
{
    bool starts[256] = {false};
    for (size_t i = 0; i < format->control_count; i++)
        starts[(unsigned char)format->controls[i][0]] = true;
    while (*text) {
        size_t run = 0;
        while (text[run] && !starts[(unsigned char)text[run]])
            run++;
        str_append(out, text, run);
        text += run;
        if (!*text)
            break;
        bool control = control_at(format, text) != NULL;
        size_t first = 1; /* bytes of the character that begins here */
        while (((unsigned char)text[first] & 0xc0) == 0x80)
            first++;
        str_append(out, text, first);
        if (control)
            str_puts(out, ZERO_WIDTH_SPACE);
        text += first;
    }
}

static bool render_plain(const struct llama_chat_message *messages, size_t count, struct str *out)
{
    for (size_t i = 0; i < count; i++)
        str_printf(out, "%s: %s\n", messages[i].role, messages[i].content);
    str_puts(out, "assistant:");
    return str_ok(out);
}

static bool render_template(const char *template_text, const struct llama_chat_message *messages,
                            size_t count, struct str *out)
{
    int32_t length = llama_chat_apply_template(template_text, messages, count, true, NULL, 0);
    char *to = length > 0 ? str_reserve(out, (size_t)length) : NULL;
    if (!to) {
        out->failed = true;
        return false;
    }
    llama_chat_apply_template(template_text, messages, count, true, to, length);
    str_commit(out, (size_t)length);
    return true;
}

/* Whether the text was built; false with what went wrong. */
static bool check_built(const struct str *text, struct err *err)
{
    if (str_ok(text))
        return true;
    if (!text->overflowed)
        return err_no_memory(err);
    return err_set_param(err, ERR_TOO_LARGE, "messages",
                         "the conversation is longer than %zu bytes; shorten it", text->max);
}

bool prompt_render(const struct prompt_format *format, const struct msg_chat_message *messages,
                   uint32_t count, struct str *out, struct err *err)
{
    if (count == 0)
        return err_set_param(err, ERR_INVALID_REQUEST, "messages",
                             "there is no message to answer; send at least one");
    struct llama_chat_message *rendered = calloc(count, sizeof(*rendered));
    struct str texts; /* of all messages, role and content, each with its NUL */
    str_init(&texts, CONTENT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        append_harmless(format, messages[i].role, &texts);
        str_append(&texts, "", 1);
        append_harmless(format, messages[i].content, &texts);
        str_append(&texts, "", 1);
    }
    bool ok = rendered ? check_built(&texts, err) : err_no_memory(err);
    const char *at = str_text(&texts);
    for (uint32_t i = 0; ok && i < count; i++) {
        rendered[i].role = at;
        rendered[i].content = at + strlen(at) + 1;
        at = rendered[i].content + strlen(rendered[i].content) + 1;
    }
    if (ok) {
        if (format->template_text)
            render_template(format->template_text, rendered, count, out);
        else
            render_plain(rendered, count, out);
        ok = check_built(out, err);
    }
    str_free(&texts);
    free(rendered);
    return ok;
}
