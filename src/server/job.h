/* job.h - long work as a stream of events: "progress" now and then, at the end "done" or "error".
 *
 * Purpose: work reports by calling back, a streamed answer is pulled: between the two stands a small mailbox. The work
 *   runs on a thread of its own and leaves its latest progress there; the connection's thread takes it and sends it.
 *   Progress that nobody has taken yet is replaced, so that a slow client never slows the work. What fails before the
 *   first sign of life is an error with a status, not an event.
 * Owner:   the job lives in the request's arena and ends with its stream. The work has an arena of its own, since the
 *   connection's thread uses the request's meanwhile.
 * Threads: `run` on the job's thread, the writers on the connection's. Fails: as the work does.
 */
#ifndef JARVIS_SERVER_JOB_H
#define JARVIS_SERVER_JOB_H

#include "server/http.h"
#include "server/writer.h"

struct job;

/* What one kind of work is. */
struct job_kind {
    const char *name; /* of the thread */
    /* Does it; `request` is the job's own: its arena, the connection's cancel flag. `asked` is job_start()'s. */
    bool (*run)(struct job *job, struct request *request, void *asked, struct err *err);
    /* Write members of an open object: of what job_tell() told last; of the result that `run` left in `asked`. */
    void (*write_progress)(struct writer *writer, const void *news);
    void (*write_done)(struct writer *writer, void *asked);
    size_t news_size; /* bytes that job_tell() copies */
};

/* Starts it and makes the answer its stream. `asked` must live as long as the request (its arena). */
bool job_start(struct http_request *http, const struct job_kind *kind, void *asked,
               struct err *err);

/* From `run`: how far it is. `news` holds no pointers. */
void job_tell(struct job *job, const void *news);

struct runtime *job_runtime(const struct job *job);

#endif
