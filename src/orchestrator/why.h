/* why.h - why a model is as it is: a code with its parameters, put into words where somebody reads it.
 *
 * Purpose: what the registry decides about a model, or meets, is kept as a struct why: the last ones of each model
 *   (`jarvis explain`), the last ones of all (GET /v1/events), and the log. The words are made when it is read, in the
 *   reader's language.
 * Owner:   a struct without pointers. Threads: plain data. Fails: never; texts that are too long are cut.
 */
#ifndef JARVIS_ORCHESTRATOR_WHY_H
#define JARVIS_ORCHESTRATOR_WHY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lang.h"
#include "observe/log.h"

enum { WHY_NAME_MAX = 128, WHY_DETAIL_MAX = 240, WHY_TEXT_MAX = 640 };

/* WHY_TABLE: symbol, stable name, level in the log. The words are in why.c. */
#define WHY_TABLE(X)                                    \
    X(WHY_NONE, "none", LOG_DEBUG)                      \
    X(WHY_WANTED, "wanted", LOG_DEBUG)                  \
    X(WHY_LOADING, "loading", LOG_INFO)                 \
    X(WHY_LOADING_SMALLER, "loading_smaller", LOG_INFO) \
    X(WHY_READING, "reading", LOG_DEBUG)                \
    X(WHY_LOADED, "loaded", LOG_INFO)                   \
    X(WHY_FAILED, "failed", LOG_WARN)                   \
    X(WHY_CALLED_OFF, "called_off", LOG_INFO)           \
    X(WHY_WAITS_BUSY, "waits_busy", LOG_INFO)           \
    X(WHY_WAITS_TURN, "waits_turn", LOG_INFO)           \
    X(WHY_WAITS_LEAVING, "waits_leaving", LOG_DEBUG)    \
    X(WHY_REFUSED, "refused", LOG_WARN)                 \
    X(WHY_EVICTED_FOR, "evicted_for", LOG_INFO)         \
    X(WHY_EVICTED_SHORT, "evicted_short", LOG_INFO)     \
    X(WHY_EVICTED_IDLE, "evicted_idle", LOG_INFO)       \
    X(WHY_UNLOADED, "unloaded", LOG_INFO)               \
    X(WHY_DIED, "died", LOG_WARN)                       \
    X(WHY_PINNED, "pinned", LOG_INFO)                   \
    X(WHY_UNPINNED, "unpinned", LOG_INFO)               \
    X(WHY_CIRCUIT_OPEN, "circuit_open", LOG_WARN)       \
    X(WHY_ELSEWHERE, "elsewhere", LOG_DEBUG)

#define WHY_ENUM(symbol, name, level) symbol,
enum why_code { WHY_TABLE(WHY_ENUM) WHY_CODE_COUNT };
#undef WHY_ENUM

struct why {
    enum why_code code;
    int64_t at_us;            /* wall clock */
    char other[WHY_NAME_MAX]; /* the model that it is about as well, or the device; "" */
    uint64_t need;            /* bytes */
    uint64_t
        have; /* bytes; CIRCUIT_OPEN: failures in a row; ELSEWHERE: addresses that can be used */
    uint32_t context;                        /* tokens of a sequence */
    float fraction;                          /* READING: 0..1 */
    double seconds;                          /* that it took, or that it is about */
    char detail[LANG_COUNT][WHY_DETAIL_MAX]; /* an error's message, a cause of death */
};

const char *why_name(enum why_code code);
enum log_level why_level(enum why_code code);

/* The error's message in all languages. */
void why_put_error(struct why *why, const struct err *err);

/* English words that have no translation. */
void why_put_cause(struct why *why, const char *cause);

/* One sentence without a full stop, such as: unloaded to make room for "b". "" for NONE. */
void why_render(const struct why *why, enum lang lang, char out[WHY_TEXT_MAX]);

#endif
