#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define ERR_ROW(symbol, ...) {__VA_ARGS__},
static const struct err_info err_table[ERR_CODE_COUNT] = {ERR_TABLE(ERR_ROW)};
#undef ERR_ROW

const struct err_info *err_info(enum err_code code)
{
    return &err_table[(unsigned)code < ERR_CODE_COUNT ? code : ERR_INTERNAL];
}

const char *err_category_name(enum err_category category)
{
    static const char *const names[] = {"TRANSIENT", "PERMANENT", "DEGRADED", "CRITICAL"};
    return (unsigned)category < 4 ? names[category] : "CRITICAL";
}

const char *err_hint(enum err_code code, enum lang lang)
{
    return lang_text(lang, err_info(code)->hint);
}

uint32_t err_retry_after_ms(const struct err *err)
{
    return err->retry_after_ms > 0 ? err->retry_after_ms : err_info(err->code)->retry_after_ms;
}

static void fill_message(struct err *err, enum lang lang, const char *format, va_list arguments)
{
    vsnprintf(err->message[lang], ERR_MESSAGE_MAX, format, arguments);
    utf8_trim_partial(err->message[lang]);
}

/* Starts *err and writes its message in each language that the catalogue has. */
static void fill(struct err *err, enum err_code code, const char *format, va_list arguments)
{
    *err = (struct err){.code = code, .category = err_info(code)->category};
    va_list again;
    va_copy(again, arguments);
    fill_message(err, LANG_EN, format, arguments);
    const char *spanish = lang_text(LANG_ES, format);
    if (spanish != format)
        fill_message(err, LANG_ES, spanish, again);
    va_end(again);
}

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    if (!err)
        return false;
    va_list arguments;
    va_start(arguments, format);
    fill(err, code, format, arguments);
    va_end(arguments);
    return false;
}

bool err_set_param(struct err *err, enum err_code code, const char *param, const char *format, ...)
{
    if (!err)
        return false;
    va_list arguments;
    va_start(arguments, format);
    fill(err, code, format, arguments);
    va_end(arguments);
    snprintf(err->param, sizeof(err->param), "%s", param);
    return false;
}

bool err_set_errno(struct err *err, enum err_code code, int errnum, const char *format, ...)
{
    if (!err)
        return false;
    if (errnum == ENOSPC || errnum == EDQUOT)
        code = ERR_DISK_FULL;
    else if (errnum == ENOMEM)
        code = ERR_NO_MEMORY;
    va_list arguments;
    va_start(arguments, format);
    fill(err, code, format, arguments);
    va_end(arguments);
    char reason[128];
    const char *text = strerror_r(errnum, reason, sizeof(reason));
    for (int lang = 0; lang < LANG_COUNT; lang++) {
        size_t used = strlen(err->message[lang]);
        if (used > 0)
            snprintf(err->message[lang] + used, ERR_MESSAGE_MAX - used, ": %s", text);
    }
    return false;
}

bool err_translate_noun(struct err *err, const char *noun)
{
    const char *spanish = lang_text(LANG_ES, noun);
    char *found = err && spanish != noun ? strstr(err->message[LANG_ES], noun) : NULL;
    if (!found)
        return false;
    char rest[ERR_MESSAGE_MAX];
    snprintf(rest, sizeof(rest), "%s", found + strlen(noun));
    size_t room = (size_t)(err->message[LANG_ES] + ERR_MESSAGE_MAX - found);
    snprintf(found, room, "%s%s", spanish, rest);
    utf8_trim_partial(err->message[LANG_ES]);
    return false;
}

bool err_no_memory(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "out of memory; close other programs or unload a model");
}

void err_restore(struct err *err, uint32_t code, const char *english, const char *spanish,
                 const char *param, uint32_t retry_after_ms)
{
    enum err_code known =
        code > ERR_NONE && code < ERR_CODE_COUNT ? (enum err_code)code : ERR_INTERNAL;
    *err = (struct err){
        .code = known, .category = err_info(known)->category, .retry_after_ms = retry_after_ms};
    snprintf(err->message[LANG_EN], ERR_MESSAGE_MAX, "%s", english);
    snprintf(err->message[LANG_ES], ERR_MESSAGE_MAX, "%s", spanish);
    snprintf(err->param, sizeof(err->param), "%s", param);
}

void err_clear(struct err *err)
{
    *err = (struct err){.code = ERR_NONE};
}

const char *err_message(const struct err *err, enum lang lang)
{
    return lang == LANG_ES && err->message[LANG_ES][0] ? err->message[LANG_ES]
                                                       : err->message[LANG_EN];
}
