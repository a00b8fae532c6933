/* transcribe_request.h - what `jarvis transcribe` asks the service for.
 *
 * Owner: the document is the caller's (yyjson_mut_doc_free). Threads: safe from any. Fails: ERR_TOO_LARGE for a path.
 */
#ifndef JARVIS_CLI_TRANSCRIBE_REQUEST_H
#define JARVIS_CLI_TRANSCRIBE_REQUEST_H

#include "base/json.h"
#include "cli/options.h"

/* The body of POST /v1/jarvis/transcribe for one file. `json`: that format unless another is asked for. */
bool transcribe_request_make(const char *file, const struct options *options, bool json,
                             yyjson_mut_doc **ret, struct err *err);

#endif
