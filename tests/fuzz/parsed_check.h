/* parsed_check.h - the promises of engine/parse.h, for fuzz targets: abort() is what a fuzzer looks for.
 *
 * Owner: nothing is allocated. Threads: pure. Fails: by abort().
 */
#ifndef JARVIS_TESTS_FUZZ_PARSED_CHECK_H
#define JARVIS_TESTS_FUZZ_PARSED_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "engine/charset.h"
#include "ipc/protocol.h"

/* Text is UTF-8 without NUL and bounded; runs ascend, cover it, stay inside the file; identical runs are. */
void parsed_check(const struct msg_parsed *parsed, const uint8_t *bytes, size_t length);

/* Parses the bytes as a file of that name and checks the answer; refusals are fine. */
void parsed_try(const char *name, enum document_format format, const uint8_t *bytes, size_t length,
                const struct charset_converter *opened);

#endif
