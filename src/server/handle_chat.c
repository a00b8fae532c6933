#include <string.h>

#include "assistant/chat.h"
#include "base/hash.h"
#include "server/handlers.h"
#include "server/openai_parse.h"
#include "server/openai_write.h"
#include "server/sse.h"

/* One answer on its way, in the request's arena. */
struct answer {
    struct http_request *http;
    struct openai_chat asked;
    struct openai_reply reply;
    struct chat_stream *stream;
    struct chat_event
        first; /* asked for before the headers leave, so that a failure has a status */
    bool begun;
};

/* What the log shows of a question: the last thing that the user said. */
static const char *question_of(const struct chat_request *chat)
{
    for (size_t i = chat->message_count; i > 0; i--)
        if (strcmp(chat->messages[i - 1].role, "user") == 0)
            return chat->messages[i - 1].content;
    return chat->prompt ? chat->prompt : "";
}

static bool begin_answer(struct http_request *request, bool is_chat, struct answer **ret,
                         struct err *err)
{
    struct answer *answer = arena_alloc(&request->arena, sizeof(*answer));
    if (!answer)
        return err_no_memory(err);
    const struct str *body = &request->body;
    bool parsed =
        is_chat ? openai_parse_chat(body->data, body->length, &request->arena, &answer->asked, err)
                : openai_parse_completion(body->data, body->length, &request->arena, &answer->asked,
                                          err);
    if (!parsed)
        return false;
    char id[ID_MAX];
    hash_random_id(is_chat ? "chatcmpl-" : "cmpl-", id);
    const char *model = answer->asked.chat.model;
    answer->http = request;
    answer->reply = (struct openai_reply){.chat = is_chat,
                                          .id = arena_copy(&request->arena, id),
                                          .model = model ? model : CHAT_MODEL_JARVIS,
                                          .created = clock_wall_us() / 1000000};
    request->record.query = question_of(&answer->asked.chat);
    request->record.model = answer->reply.model;
    if (!answer->reply.id)
        return err_no_memory(err);
    *ret = answer;
    return true;
}

/* Before the headers leave: an answer of lesser quality says so in one. */
static void add_degraded_header(struct http_request *request, const struct chat_result *result)
{
    if (result->degraded)
        http_add_header(
            request, "Jarvis-Degraded",
            arena_printf(&request->arena, "code=%s; model=%s", result->degraded, result->model));
}

static void record_result(struct http_request *request, const struct chat_result *result)
{
    request->record.model = result->model;
    request->record.tokens = result->usage.completion_tokens;
}

/* ---------------------------------------------------------------- a whole answer */

/* Pulls the stream to its end; the pieces are all in the result. */
static bool finish(struct answer *answer, const struct chat_result **ret, struct err *err)
{
    struct chat_event event = {0};
    do {
        if (!chat_next(answer->stream, &event, err))
            return false;
    } while (event.type != CHAT_DONE);
    *ret = event.result;
    return true;
}

static bool send_whole(struct answer *answer, struct err *err)
{
    struct http_request *request = answer->http;
    const struct chat_result *result = NULL;
    bool ok = finish(answer, &result, err);
    if (ok) {
        record_result(request, result);
        add_degraded_header(request, result);
        openai_write_answer(&request->answer.body, &answer->reply, result, &request->trace);
    }
    chat_end(answer->stream);
    return ok;
}

/* ---------------------------------------------------------------- a stream */

static void write_event(struct answer *answer, const struct chat_event *event, struct str *out)
{
    if (event->type == CHAT_DELTA) {
        openai_write_text_chunk(out, &answer->reply, event->text);
        return;
    }
    record_result(answer->http, event->result);
    openai_write_last_chunk(out, &answer->reply, event->result, &answer->http->trace);
    if (answer->asked.include_usage)
        openai_write_usage_chunk(out, &answer->reply, event->result);
    sse_done(out);
}

static bool next_chunk(void *state, struct str *out)
{
    struct answer *answer = state;
    struct http_request *request = answer->http;
    struct chat_event event = answer->first;
    struct err err;
    if (!answer->begun) {
        answer->begun = true;
        openai_write_first_chunk(out, &answer->reply);
    } else if (!chat_next(answer->stream, &event, &err)) {
        request->record.failed = true;
        log_error(request->http->log, request->trace.id, request->path, &err);
        openai_write_error_chunk(out, &err, request->request.lang);
        return false;
    }
    write_event(answer, &event, out);
    return event.type != CHAT_DONE;
}

static void end_answer(void *state)
{
    struct answer *answer = state;
    chat_end(answer->stream);
}

static bool send_stream(struct answer *answer, struct err *err)
{
    if (!chat_next(answer->stream, &answer->first, err)) {
        chat_end(answer->stream);
        return false;
    }
    add_degraded_header(answer->http, chat_so_far(answer->stream));
    http_send_stream(answer->http, &(struct http_stream){next_chunk, end_answer, answer});
    return true;
}

static bool generate(struct http_request *request, bool is_chat, struct err *err)
{
    struct answer *answer = NULL;
    if (!begin_answer(request, is_chat, &answer, err) ||
        !chat_start(request->runtime, &request->request, &answer->asked.chat, &answer->stream, err))
        return false;
    return answer->asked.stream ? send_stream(answer, err) : send_whole(answer, err);
}

bool handle_chat(struct http_request *request, struct err *err)
{
    return generate(request, true, err);
}

bool handle_completion(struct http_request *request, struct err *err)
{
    return generate(request, false, err);
}
