/* parse_format.h - what kind of document some bytes are, and which kinds are none that can be read.
 *
 * Purpose: the first look at a file, by its name and its first bytes. Owner: nothing is allocated. Threads: pure.
 * Fails:   parse_reject_binary() with ERR_DOCUMENT, telling what the file seems to be.
 */
#ifndef JARVIS_ENGINE_PARSE_FORMAT_H
#define JARVIS_ENGINE_PARSE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/protocol.h"

/* By the name's ending (or the whole name: "Makefile"); DOCUMENT_AUTO when that says nothing. */
enum document_format parse_format_of_name(const char *name);

/* By the text's beginning: DOCUMENT_HTML, DOCUMENT_CODE (a script), else DOCUMENT_TEXT. */
enum document_format parse_format_of_text(const char *text, size_t length);

/* False for images, archives, programs and everything else that is not text. `wide`: the bytes are known to be
 * UTF-16 or UTF-32, where zero bytes are normal. */
bool parse_reject_binary(const uint8_t *bytes, size_t length, bool wide, struct err *err);

#endif
