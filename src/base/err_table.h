/* err_table.h - every error there is, once.
 *
 * Purpose: the enum, what server, command line, retries and fallbacks do about an error, and the table of
 *   docs/ERRORS.md (tools/check_errors --write) are made of these rows. A row's name is never changed: programs
 *   compare it. Hints are general advice, known to po/es/base.po; the message of an error is more exact.
 *
 * Columns: symbol, stable name (in JSON as "code"), category, HTTP status, OpenAI's error type, exit code of the
 *   command line, whether Jarvis itself tries again before the first word has left, how long to wait where the error
 *   does not say (in ms; 0: nothing is promised), whether a model named in "fallback" may answer instead, hint.
 */
#ifndef JARVIS_BASE_ERR_TABLE_H
#define JARVIS_BASE_ERR_TABLE_H

/* clang-format off */
#define ERR_TABLE(X) \
    X(ERR_NONE, "none", ERR_PERMANENT, 200, "none", 0, false, 0, false, "nothing is wrong") \
    X(ERR_INVALID_REQUEST, "invalid_request", ERR_PERMANENT, 400, "invalid_request_error", 2, false, 0, false, "correct the field that \"param\" names") \
    X(ERR_INVALID_JSON, "invalid_json", ERR_PERMANENT, 400, "invalid_request_error", 2, false, 0, false, "send valid JSON") \
    X(ERR_UNAUTHORIZED, "unauthorized", ERR_PERMANENT, 401, "authentication_error", 2, false, 0, false, "send the API key of this service") \
    X(ERR_FORBIDDEN, "forbidden", ERR_PERMANENT, 403, "permission_error", 2, false, 0, false, "ask through the local socket, with the jarvis command") \
    X(ERR_NOT_FOUND, "not_found", ERR_PERMANENT, 404, "invalid_request_error", 3, false, 0, false, "check the name or the path") \
    X(ERR_MODEL_NOT_FOUND, "model_not_found", ERR_PERMANENT, 404, "invalid_request_error", 3, false, 0, true, "\"jarvis models\" lists the models; add one with \"jarvis models add FILE\"") \
    X(ERR_METHOD, "method_not_allowed", ERR_PERMANENT, 405, "invalid_request_error", 2, false, 0, false, "use the method that docs/API.md names") \
    X(ERR_CONFLICT, "conflict", ERR_PERMANENT, 409, "invalid_request_error", 2, false, 0, false, "look at what is there already, then ask anew") \
    X(ERR_TOO_LARGE, "too_large", ERR_PERMANENT, 413, "invalid_request_error", 2, false, 0, false, "send less at a time") \
    X(ERR_HEADER_TOO_LARGE, "header_too_large", ERR_PERMANENT, 431, "invalid_request_error", 2, false, 0, false, "send shorter headers") \
    X(ERR_UNSUPPORTED, "unsupported", ERR_PERMANENT, 400, "invalid_request_error", 2, false, 0, false, "leave out what is not supported") \
    X(ERR_CONTEXT_LENGTH, "context_length_exceeded", ERR_PERMANENT, 400, "invalid_request_error", 2, false, 0, false, "shorten the text, or raise the model's context_length") \
    X(ERR_CONFIG, "config_invalid", ERR_PERMANENT, 500, "server_error", 4, false, 0, false, "correct the setting at the place that is named") \
    X(ERR_MODEL_INVALID, "model_invalid", ERR_PERMANENT, 422, "invalid_request_error", 4, false, 0, true, "fetch the model file again, or use another one") \
    X(ERR_DOCUMENT, "document_unreadable", ERR_PERMANENT, 422, "invalid_request_error", 5, false, 0, false, "repair or convert the document") \
    X(ERR_CANCELLED, "cancelled", ERR_TRANSIENT, 499, "server_error", 130, false, 0, false, "ask again if it was not meant") \
    X(ERR_TIMEOUT, "timeout", ERR_TRANSIENT, 504, "server_error", 6, false, 1000, false, "try again, or allow more time") \
    X(ERR_BUSY, "busy", ERR_TRANSIENT, 503, "server_error", 6, true, 1000, true, "try again in a moment") \
    X(ERR_RATE_LIMITED, "rate_limited", ERR_TRANSIENT, 429, "rate_limit_error", 6, true, 2000, true, "wait, then ask again, and more slowly") \
    X(ERR_OUT_OF_MEMORY_BUDGET, "memory_budget", ERR_TRANSIENT, 503, "server_error", 6, false, 5000, true, "try again later, unload a model, or lower context_length") \
    X(ERR_MODEL_TOO_LARGE, "model_too_large", ERR_PERMANENT, 507, "server_error", 4, false, 0, true, "lower context_length, or use a smaller model") \
    X(ERR_WORKER_DIED, "worker_died", ERR_TRANSIENT, 503, "server_error", 6, true, 1000, true, "try again; \"jarvis ps\" tells why it ended") \
    X(ERR_CIRCUIT_OPEN, "circuit_open", ERR_TRANSIENT, 503, "server_error", 6, true, 5000, true, "wait for Retry-After; \"jarvis ps\" tells what keeps failing") \
    X(ERR_UNAVAILABLE, "unavailable", ERR_TRANSIENT, 503, "server_error", 6, true, 1000, true, "try again in a moment; \"jarvis doctor\" looks for the cause") \
    X(ERR_UPSTREAM, "upstream_failed", ERR_TRANSIENT, 502, "server_error", 6, true, 2000, true, "look at the other server; meanwhile a model named in \"fallback\" answers") \
    X(ERR_UPSTREAM_REFUSED, "upstream_refused", ERR_PERMANENT, 502, "server_error", 4, false, 0, true, "check the upstream's urls, model and API key in jarvis.json") \
    X(ERR_NO_CHAT_MODEL, "no_chat_model", ERR_DEGRADED, 503, "server_error", 4, false, 0, false, "add a chat model: jarvis models add FILE.gguf") \
    X(ERR_NO_EMBEDDER, "no_embedder", ERR_DEGRADED, 503, "server_error", 4, false, 0, false, "add an embedding model: jarvis models add FILE.gguf") \
    X(ERR_NO_MEMORY, "out_of_memory", ERR_CRITICAL, 500, "server_error", 7, false, 0, false, "close other programs or unload a model") \
    X(ERR_DISK_FULL, "disk_full", ERR_CRITICAL, 507, "server_error", 7, false, 0, false, "free space on the disk") \
    X(ERR_STORE, "store_damaged", ERR_CRITICAL, 500, "server_error", 7, false, 0, false, "run \"jarvis doctor\"; restore the store from a backup") \
    X(ERR_IO, "io", ERR_PERMANENT, 500, "server_error", 5, false, 0, false, "check the path and its permissions") \
    X(ERR_PROTOCOL, "protocol", ERR_TRANSIENT, 502, "server_error", 6, true, 1000, true, "try again; restart the service if it goes on") \
    X(ERR_INTERNAL, "internal", ERR_CRITICAL, 500, "server_error", 7, false, 0, false, "report this with the log")
/* clang-format on */

#endif
