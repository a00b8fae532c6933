/* request.h - what every request to the assistant carries.
 *
 * Owner: the server's request thread. Threads: one. The cancel flag may be set from another.
 */
#ifndef JARVIS_ASSISTANT_REQUEST_H
#define JARVIS_ASSISTANT_REQUEST_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/lang.h"
#include "base/thread.h"
#include "observe/trace.h"

struct request {
    struct arena
        *arena; /* everything that a result points to; freed once, after the answer is sent */
    struct trace *trace;   /* spans of the steps; may be NULL */
    struct cancel *cancel; /* set when the client has left; may be NULL */
    deadline until;
    enum lang lang; /* of the reader: notices and extractive answers */
    unsigned house; /* the roles (1 << enum model_role) for which a model of the house was used */
};

#endif
