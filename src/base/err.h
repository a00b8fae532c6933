/* err.h - the one error of the project.
 *
 * Purpose: every function that can fail is `bool f(in…, T *ret_x, struct err *err)`. On failure it returns
 *   false, fills *err once with err_set() and leaves its ret_ arguments untouched. docs/ERRORS.md is the page
 *   about this convention.
 * Owner:   the caller owns the struct (usually on its stack); it holds no pointers to free.
 * Threads: a struct err belongs to one thread at a time. The tables behind it are constant.
 * Fails:   never. Messages longer than the buffers are cut at a character boundary.
 *
 * A message exists in English and, when the catalogue (po/es) knows its format string, in Spanish; both are
 * made when the error is set, so that whoever reports it can choose by the reader's locale.
 */
#ifndef JARVIS_BASE_ERR_H
#define JARVIS_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err_table.h"
#include "base/lang.h"

enum {
    ERR_MESSAGE_MAX = 768, /* bytes of one message, its NUL included */
    ERR_PARAM_MAX = 64,    /* bytes of the name of the offending parameter */
};

/* What a caller should do about an error. */
enum err_category {
    ERR_TRANSIENT, /* the same request may work later: retry */
    ERR_PERMANENT, /* it will never work as asked: do not retry */
    ERR_DEGRADED,  /* an answer of lesser quality exists and says so */
    ERR_CRITICAL,  /* a person must act: disk full, store damaged */
};

#define ERR_ENUM(symbol, ...) symbol,
enum err_code { ERR_TABLE(ERR_ENUM) ERR_CODE_COUNT };
#undef ERR_ENUM

struct err {
    enum err_code code;
    enum err_category category;
    char message[LANG_COUNT][ERR_MESSAGE_MAX]; /* by enum lang; the English one is always there */
    char param[ERR_PARAM_MAX];                 /* the request field or setting at fault, or "" */
    uint32_t retry_after_ms;                   /* 0: unknown */
};

/* A row of err_table.h. */
struct err_info {
    const char *name;
    enum err_category category;
    int http_status;
    const char *type;
    int exit_code;
    bool retry;              /* Jarvis itself tries again, before the first word has left */
    uint32_t retry_after_ms; /* to wait where the error does not say; 0: nothing is promised */
    bool fallback;           /* the fault is the model's: another one may answer instead */
    const char *hint;        /* English, known to the catalogue: err_hint() */
};

/* Fills *err (NULL is allowed: the caller does not want to know). `format` must be a string literal: it is the
 * key of the catalogue. Returns false always, so that a failing function ends in `return err_set(…);`. */
bool err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, naming the parameter at fault as well. */
bool err_set_param(struct err *err, enum err_code code, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As err_set, for a failed system call: appends ": " and the text of `errnum`; ENOSPC and EDQUOT become
 * ERR_DISK_FULL and ENOMEM becomes ERR_NO_MEMORY whatever `code` says. */
bool err_set_errno(struct err *err, enum err_code code, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Where a message was made with an English noun as an argument ("the answer"): puts its Spanish in its place in the
 * Spanish message, when the catalogue has it. Returns false. */
bool err_translate_noun(struct err *err, const char *noun);

/* Shorthand for a failed allocation. Returns false. */
bool err_no_memory(struct err *err);

/* Makes an error from parts that crossed a process border; unknown codes become ERR_INTERNAL. */
void err_restore(struct err *err, uint32_t code, const char *english, const char *spanish,
                 const char *param, uint32_t retry_after_ms);

/* An err with no error in it. */
void err_clear(struct err *err);

const struct err_info *err_info(enum err_code code);
const char *err_category_name(enum err_category category); /* "TRANSIENT" … */

/* General advice about an error of this code. */
const char *err_hint(enum err_code code, enum lang lang);

/* How long to wait before the same is asked again: what the error says, else its row. 0: nothing is promised. */
uint32_t err_retry_after_ms(const struct err *err);

/* The message for a reader of `lang`; English when there is no translation. Valid as long as *err. */
const char *err_message(const struct err *err, enum lang lang);

#endif
