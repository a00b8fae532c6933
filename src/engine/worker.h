/* worker.h - what the files worker_*.c share. Private to them; worker_main.h tells what a worker is.
 *
 * Two threads: the reader takes frames from the socket and answers at once what needs no model (PING, STATS, PROBE,
 * CANCEL, SHUTDOWN); the model thread, which is the main one, does the rest and is the only one that touches model,
 * llm, encoder and jobs that are running.
 */
#ifndef JARVIS_ENGINE_WORKER_H
#define JARVIS_ENGINE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/thread.h"
#include "engine/backend.h"
#include "engine/charset.h"
#include "engine/encoder.h"
#include "engine/llm.h"
#include "engine/measure.h"
#include "engine/model.h"
#include "engine/speech.h"
#include "engine/static_embed.h"
#include "engine/worker_queue.h"

struct worker {
    int fd;
    struct mutex write_lock;
    struct queue queue;
    struct measure measure;
    struct backend backend;
    atomic_uint threads_wanted; /* 0: as the LOAD said */

    /* the model thread's */
    bool joined;     /* the hosts of the LOAD or FORECAST are known to ggml */
    bool restrained; /* sandbox_begin() has been called */
    bool loaded;     /* a model, or the parser's charset: there is no second time */
    enum model_role role;
    struct model model;
    struct llm *llm;                   /* chat */
    struct encoder encoder;            /* embedding, rerank */
    struct static_embed table;         /* embedding without libllama; `encoder` is then not open */
    struct speech speech;              /* speech */
    struct charset_converter *charset; /* of the parser; may be NULL */
    uint64_t last_turn;                /* id of the EMBED or RERANK that computed last */
    size_t running;                    /* jobs begun and not finished */
    uint32_t threads;                  /* that it computes with; 0: as the LOAD said */
};

/* --- worker_send.c: safe from both threads; they end the process when the service does not read --- */

/* Sends what str holds and frees it; when that failed to be built, sends the error instead. */
void reply_send(struct worker *worker, uint8_t type, uint64_t id, struct str *payload);
void reply_empty(struct worker *worker, uint8_t type, uint64_t id);
void reply_error(struct worker *worker, uint64_t id, const struct err *error);

/* --- worker_load.c --- */

/* LOAD, INSPECT and FORECAST: answers them, but does not finish the job. */
void load_answer(struct worker *worker, struct job *job);
void load_devices(struct worker *worker, struct job *job);
void load_inspect(struct worker *worker, struct job *job);
void load_forecast(struct worker *worker, struct job *job);

/* --- worker_work.c --- */

/* Begins a job: answers and finishes what is done at once, leaves the rest running. */
void work_begin(struct worker *worker, struct job *job);

/* Whether a waiting job can begin now. */
bool work_may_begin(void *worker, const struct job *job);

/* Whether something is running that work_step() takes on. */
bool work_is_left(struct worker *worker);

/* One computation; answers what it completes. */
void work_step(struct worker *worker);

/* Ends the running jobs that were cancelled. */
void work_drop_cancelled(struct worker *worker);

#endif
