/* parse.h - from the bytes of a file to the text that is searched, and the way back.
 *
 * Purpose: the document parser of a worker. Text, Markdown and source code stay as they are (only converted to UTF-8);
 *   of HTML the visible text is taken (html.h). Every byte of the text has its place in the file (parse_map.h), so
 *   that a citation can point to the bytes that somebody wrote. A byte order mark is no part of the text.
 * Owner:   results live in the caller's arena. Threads: pure, but for the converter, which one thread uses at a time.
 * Fails:   ERR_DOCUMENT for what is no text (an image, an archive, damaged bytes), ERR_TOO_LARGE when text and map
 *   would not fit into one frame, ERR_NO_MEMORY. Any bytes are safe to give: time and memory are linear in them.
 */
#ifndef JARVIS_ENGINE_PARSE_H
#define JARVIS_ENGINE_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/charset.h"
#include "ipc/protocol.h"

/* `opened` is the converter of this worker's LOAD, or NULL. A document in another encoding that needs one is no
 * failure: ret->need_charset names it and the text is empty. Text has no NUL; what could not be converted is U+FFFD.
 * The text is at most four times as long as the file. */
bool parse_document(const struct msg_parse *request, const struct charset_converter *opened,
                    struct arena *arena, struct msg_parsed *ret, struct err *err);

/* The whole of FRAME_PARSE: a payload in, the payload of FRAME_PARSED appended to *out. */
bool parse_frame(const void *payload, size_t length, const struct charset_converter *opened,
                 struct str *out, struct err *err);

#endif
