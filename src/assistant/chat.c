/* How it works: chat_start() goes through the steps that come before the first word: search (search.c), choosing
 * and acquiring the chat model, building the prompt, starting the generation. chat_next() then passes the model's
 * text on through the citation filter, and at its end verifies the sources. Without a usable model the answer is
 * extracted in chat_start() and chat_next() only hands it out. */
#include "assistant/chat.h"

#include <stdlib.h>
#include <string.h>

#include "assistant/citation.h"
#include "assistant/prompt.h"
#include "assistant/sources.h"
#include "retrieval/text.h"

enum { ANSWER_MAX = 16 * 1024 * 1024 };

struct chat_stream {
    struct runtime *runtime;
    struct request *request;
    struct search_request search;
    struct search_result found;
    const char *question;
    bool with_documents;
    size_t passages; /* of found.hits that the model was given */
    struct lease *lease;
    struct generation *generation;
    int generate_span;
    struct citation_filter filter;
    struct str answer; /* all text shown so far */
    size_t shown;      /* bytes of it given out by chat_next() */
    bool model_noted;
    bool complete; /* nothing more will be added to the answer */
    bool done;
    struct chat_result result;
};

const char *chat_category_name(enum chat_category category)
{
    return category == CHAT_OK ? "OK" : "DEGRADED";
}

static bool is_assistant(const char *model)
{
    return !model || !*model || strcmp(model, CHAT_MODEL_JARVIS) == 0;
}

/* Errors of a chat model after which an extractive answer is better than none. */
static bool can_extract(const struct err *err)
{
    switch (err->code) {
    case ERR_NO_CHAT_MODEL:
    case ERR_MODEL_NOT_FOUND:
    case ERR_MODEL_INVALID:
    case ERR_MODEL_TOO_LARGE:
    case ERR_OUT_OF_MEMORY_BUDGET:
    case ERR_CIRCUIT_OPEN:
    case ERR_RATE_LIMITED:
    case ERR_UPSTREAM:
    case ERR_UPSTREAM_REFUSED:
    case ERR_NOT_FOUND: return true;
    default: return false;
    }
}

/* Joins a notice to those before it. */
static bool add_notice(struct chat_stream *stream, const char *notice, struct err *err)
{
    if (!*notice)
        return true;
    const char *before = stream->result.notice;
    stream->result.notice =
        *before ? arena_printf(stream->request->arena, "%s\n%s", before, notice) : notice;
    return stream->result.notice || err_no_memory(err);
}

static bool extract(struct chat_stream *stream, enum err_code why, const char *notice,
                    struct err *err)
{
    struct request *request = stream->request;
    struct scope scope;
    if (!scope_open(stream->runtime, request, &stream->search, NULL, &scope, err))
        return false;
    int span = trace_begin(request->trace, "extract");
    struct source_list list;
    bool ok = sources_extract(stream->runtime, request, &scope, stream->question,
                              stream->found.hits, stream->found.count, &list, err);
    trace_end(request->trace, span);
    scope_close(&scope);
    if (!ok)
        return false;
    if (list.count == 0)
        list.text =
            TR(request->lang,
               "Your documents hold nothing about this. Bring some in with: jarvis ingest PATH");
    str_puts(&stream->answer, list.text);
    stream->result.model = "extractive";
    stream->result.category = CHAT_DEGRADED;
    stream->result.degraded = err_info(why)->name;
    stream->result.sources = list.items;
    stream->result.source_count = list.count;
    stream->complete = true;
    return add_notice(stream, notice, err) && str_check(&stream->answer, "the answer", err);
}

static bool count_tokens(void *user, const char *const *texts, size_t count, uint32_t *ret_tokens,
                         struct err *err)
{
    struct chat_stream *stream = user;
    struct wait wait = request_wait(stream->request);
    struct msg_counts counts;
    if (!lease_count(stream->lease, texts, count, &wait, stream->request->arena, &counts, err))
        return false;
    memcpy(ret_tokens, counts.tokens, count * sizeof(*ret_tokens));
    return true;
}

/* The messages for the model: the client's, or instructions and passages before them. */
static bool build_messages(struct chat_stream *stream, const struct chat_request *chat,
                           struct msg_generate *ret, struct err *err)
{
    ret->messages = chat->messages;
    ret->message_count = (uint32_t)chat->message_count;
    if (!stream->with_documents || stream->found.count == 0)
        return true;
    struct prompt_input input = {
        .messages = chat->messages,
        .message_count = chat->message_count,
        .hits = stream->found.hits,
        .hit_count = stream->found.count < CITATION_MAX ? stream->found.count : CITATION_MAX,
        .context_length = lease_model(stream->lease)->context_length,
        .max_tokens = chat->sampling.max_tokens,
        .lang = text_detect(stream->question, strlen(stream->question), stream->request->lang),
        .count = count_tokens,
        .user = stream,
    };
    struct prompt prompt;
    int span = trace_begin(stream->request->trace, "prompt");
    bool ok = prompt_build(&input, stream->request->arena, &prompt, err);
    trace_end(stream->request->trace, span);
    if (!ok)
        return false;
    ret->messages = prompt.messages;
    ret->message_count = (uint32_t)prompt.message_count;
    stream->passages = prompt.passages;
    return true;
}

/* The steps ACQUIRE and GENERATE. */
static bool start_model(struct chat_stream *stream, const struct chat_request *chat,
                        struct err *err)
{
    struct request *request = stream->request;
    if (!model_lease(stream->runtime, request, chat->model, ROLE_CHAT, &stream->lease,
                     &stream->result.model, err))
        return false;
    struct msg_generate generate = {.prompt = chat->prompt ? chat->prompt : "",
                                    .sampling = chat->sampling};
    if (chat->message_count > 0 && !build_messages(stream, chat, &generate, err))
        return false;
    citation_filter_init(&stream->filter, (int)stream->passages);
    stream->generate_span = trace_begin(request->trace, "generate");
    struct wait wait = request_wait(request);
    return lease_generate(stream->lease, &generate, &wait, &stream->generation, err);
}

static bool find_passages(struct chat_stream *stream, const struct chat_request *chat,
                          struct err *err)
{
    stream->question = prompt_question(chat->messages, chat->message_count);
    if (!stream->question || !*stream->question)
        return err_set_param(err, ERR_INVALID_REQUEST, "messages",
                             "there is no question: the messages need one of role \"user\"");
    stream->search = chat->search;
    stream->search.query = stream->question;
    stream->search.literal = true;
    return search_run(stream->runtime, stream->request, &stream->search, &stream->found, err) &&
           add_notice(stream, stream->found.notice, err);
}

static bool start(struct chat_stream *stream, const struct chat_request *chat, struct err *err)
{
    if (chat->message_count == 0 && !chat->prompt)
        return err_set_param(err, ERR_INVALID_REQUEST, "messages",
                             "\"messages\" is empty; send at least one");
    stream->with_documents =
        chat->message_count > 0 && (chat->use_documents || is_assistant(chat->model));
    if (stream->with_documents && !find_passages(stream, chat, err))
        return false;
    if (start_model(stream, chat, err)) {
        if (stream->with_documents && stream->found.count == 0)
            return add_notice(
                stream,
                TR(stream->request->lang,
                   "your documents hold nothing about this; the answer is the model's own"),
                err);
        return true;
    }
    if (!stream->with_documents || !is_assistant(chat->model) || !can_extract(err))
        return false;
    lease_release(stream->lease);
    stream->lease = NULL;
    if (err->code == ERR_NO_CHAT_MODEL)
        return extract(stream, err->code,
                       TR(stream->request->lang,
                          "no chat model: these sentences are quoted from your documents; for "
                          "written answers add a model: jarvis models add FILE.gguf"),
                       err);
    log_error(stream->runtime->log, trace_id_of(stream->request), "chat", err);
    const char *why = arena_printf(
        stream->request->arena,
        TR(stream->request->lang, "these sentences are quoted from your documents: %s"),
        err_message(err, stream->request->lang));
    return why ? extract(stream, err->code, why, err) : err_no_memory(err);
}

bool chat_start(struct runtime *runtime, struct request *request, const struct chat_request *chat,
                struct chat_stream **ret, struct err *err)
{
    struct chat_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return err_no_memory(err);
    stream->runtime = runtime;
    stream->request = request;
    stream->generate_span = -1;
    stream->result = (struct chat_result){.model = "", .text = "", .notice = ""};
    str_init(&stream->answer, ANSWER_MAX);
    if (!start(stream, chat, err)) {
        chat_end(stream);
        return false;
    }
    *ret = stream;
    return true;
}

/* With the first event it is known which model answers. When it is another one than was asked for, the answer says
 * so. */
static bool note_model(struct chat_stream *stream, struct err *err)
{
    const struct err *why = lease_degraded(stream->lease);
    if (stream->model_noted || !why)
        return true;
    struct request *request = stream->request;
    const char *name = arena_copy(request->arena, lease_entry(stream->lease)->name);
    const char *notice = arena_printf(
        request->arena, TR(request->lang, "\"%s\" answers instead of \"%s\": %s"),
        lease_entry(stream->lease)->name, stream->result.model, err_message(why, request->lang));
    stream->model_noted = true;
    if (!name || !notice)
        return err_no_memory(err);
    stream->result.model = name;
    stream->result.category = CHAT_DEGRADED;
    stream->result.degraded = err_info(why->code)->name;
    return add_notice(stream, notice, err);
}

/* Takes one event of the model into the answer. */
static bool advance(struct chat_stream *stream, struct err *err)
{
    struct generation_event event;
    if (!generation_next(stream->generation, &event, err) || !note_model(stream, err))
        return false;
    if (!event.done) {
        if (stream->passages > 0)
            citation_filter_feed(&stream->filter, event.text, &stream->answer);
        else
            str_puts(&stream->answer, event.text);
        return str_check(&stream->answer, "the answer", err);
    }
    citation_filter_finish(&stream->filter, &stream->answer);
    stream->result.usage = event.last;
    stream->result.finish = event.last.finish;
    stream->complete = true;
    trace_end(stream->request->trace, stream->generate_span);
    stream->generate_span = -1;
    return str_check(&stream->answer, "the answer", err);
}

/* The step VERIFY: only what stands. */
static bool verify(struct chat_stream *stream, struct err *err)
{
    if (!stream->generation || stream->passages == 0)
        return true;
    struct scope scope;
    if (!scope_open(stream->runtime, stream->request, &stream->search, NULL, &scope, err))
        return false;
    int span = trace_begin(stream->request->trace, "verify");
    struct source_list list;
    bool ok =
        sources_of_answer(stream->runtime, stream->request, &scope, str_text(&stream->answer),
                          stream->filter.used, stream->found.hits, stream->passages, &list, err);
    trace_end(stream->request->trace, span);
    scope_close(&scope);
    if (ok) {
        stream->result.sources = list.items;
        stream->result.source_count = list.count;
    }
    return ok;
}

static bool finish(struct chat_stream *stream, struct chat_event *ret, struct err *err)
{
    if (stream->done)
        return err_set(err, ERR_INTERNAL, "the answer was read past its end");
    if (!verify(stream, err))
        return false;
    stream->done = true;
    stream->result.text = str_text(&stream->answer);
    stream->result.house = stream->request->house;
    *ret = (struct chat_event){.type = CHAT_DONE, .result = &stream->result};
    return true;
}

const struct chat_result *chat_so_far(const struct chat_stream *stream)
{
    return &stream->result;
}

bool chat_next(struct chat_stream *stream, struct chat_event *ret, struct err *err)
{
    while (stream->shown == stream->answer.length) {
        if (stream->complete)
            return finish(stream, ret, err);
        if (!advance(stream, err))
            return false;
    }
    *ret = (struct chat_event){.type = CHAT_DELTA, .text = stream->answer.data + stream->shown};
    stream->shown = stream->answer.length;
    return true;
}

void chat_end(struct chat_stream *stream)
{
    if (!stream)
        return;
    generation_end(stream->generation);
    trace_end(stream->request->trace, stream->generate_span);
    lease_release(stream->lease);
    str_free(&stream->answer);
    free(stream);
}
