/* What the registry decides, as it happens. All listeners read one ring in the registry (registry_events()), each from
 * the number that it has seen last: a slow one misses the oldest, is told so, and holds up nobody. */
#include <stdlib.h>
#include <string.h>

#include "server/handlers.h"
#include "server/models_write.h"
#include "server/sse.h"

enum { EVENTS_AT_ONCE = 16, KEEP_ALIVE_MS = 10000, NAP_MS = 1000 };

struct listener {
    struct http_request *http;
    uint64_t last;     /* seen */
    const char *model; /* NULL: all */
    struct registry_event events[EVENTS_AT_ONCE];
};

static bool is_stopping(struct http *http)
{
    mutex_lock(&http->lock);
    bool stopping = http->stopping;
    mutex_unlock(&http->lock);
    return stopping;
}

static void write_event(const struct registry_event *event, enum lang lang, struct str *out)
{
    struct writer writer;
    sse_begin(out, event->why.code == WHY_READING ? "progress" : "model");
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_uint(&writer, "number", event->number);
    writer_text(&writer, "model", event->model);
    writer_text(&writer, "state", model_state_name(event->state));
    models_write_why(&writer, &event->why, lang);
    writer_end(&writer);
    sse_end(out);
}

/* Somebody who reads too slowly is told how many events he has missed. */
static void write_lost(uint64_t count, struct str *out)
{
    struct writer writer;
    sse_begin(out, "lost");
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    writer_uint(&writer, "count", count);
    writer_end(&writer);
    sse_end(out);
}

static bool next_events(void *state, struct str *out)
{
    struct listener *listener = state;
    struct http_request *http = listener->http;
    deadline silence = deadline_in_ms(KEEP_ALIVE_MS);
    while (out->length == 0 && !cancel_is_set(&http->cancel) && !is_stopping(http->http)) {
        const struct wait wait = {.cancel = &http->cancel, .until = deadline_in_ms(NAP_MS)};
        size_t count = registry_events(runtime_registry(http->runtime), listener->last, &wait,
                                       listener->events, EVENTS_AT_ONCE);
        for (size_t i = 0; i < count; i++) {
            const struct registry_event *event = &listener->events[i];
            if (event->number > listener->last + 1)
                write_lost(event->number - listener->last - 1, out);
            listener->last = event->number;
            if (!listener->model || strcmp(listener->model, event->model) == 0)
                write_event(event, http->request.lang, out);
        }
        if (out->length == 0 && deadline_passed(silence))
            sse_keep_alive(out);
    }
    return !cancel_is_set(&http->cancel) && !is_stopping(http->http);
}

static void end_events(void *state)
{
    (void)state; /* in the request's arena */
}

bool handle_events(struct http_request *request, struct err *err)
{
    struct listener *listener = arena_alloc(&request->arena, sizeof(*listener));
    if (!listener)
        return err_no_memory(err);
    const char *after = http_query(request, "after");
    *listener = (struct listener){.http = request, .model = http_query(request, "model")};
    listener->last = registry_event_last(runtime_registry(request->runtime));
    if (after) {
        char *end;
        unsigned long long number = strtoull(after, &end, 10);
        if (*after == '\0' || *end != '\0')
            return err_set_param(err, ERR_INVALID_REQUEST, "after",
                                 "\"after\" must be the number of an event");
        listener->last = number < listener->last ? number : listener->last;
    }
    http_send_stream(request, &(struct http_stream){next_events, end_events, listener});
    return true;
}
