/* upload.h - one file out of a multipart/form-data body, taken apart while it arrives.
 *
 * Purpose: /v1/files and /v1/audio. Only the file's own bytes are kept, once; the body around them is never held.
 * Owner:   the request owns the upload (upload_close). Threads: one.
 * Fails:   ERR_INVALID_REQUEST (not multipart, two files, none), ERR_TOO_LARGE, ERR_NO_MEMORY. The first error sticks
 *          and is told by upload_finish().
 */
#ifndef JARVIS_SERVER_UPLOAD_H
#define JARVIS_SERVER_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct MHD_Connection;
struct upload;

enum {
    UPLOAD_NAME_MAX = 256,
    UPLOAD_PURPOSE_MAX = 64,
    UPLOAD_FIELDS_MAX = 32,       /* fields beside file and purpose */
    UPLOAD_FIELD_NAME_MAX = 64,   /* bytes of a name; longer ones are ignored */
    UPLOAD_FIELD_MAX = 16 * 1024, /* bytes of a value */
};

struct upload_file {
    const char *name; /* the last component of the name that the client gave; UTF-8 */
    const char *purpose;
    const void *bytes;
    size_t length;
};

/* The headers must have been read; `max` bounds the file's bytes. */
bool upload_open(struct MHD_Connection *connection, size_t max, struct upload **ret,
                 struct err *err);
void upload_close(struct upload *upload); /* NULL is fine */

/* The next piece of the body. */
void upload_feed(struct upload *upload, const char *bytes, size_t length);

/* The value of another field, the index-th of those with that name; NULL when there is none. Valid until
 * upload_close(). */
const char *upload_field(const struct upload *upload, const char *name, size_t index);

/* The body is complete; *ret is valid until upload_close(). */
bool upload_finish(struct upload *upload, struct upload_file *ret, struct err *err);

#endif
