#include "base/event_reader.h"

#include <stdio.h>
#include <string.h>

void event_reader_init(struct event_reader *reader, size_t max, event_handler *handler, void *user)
{
    *reader = (struct event_reader){.handler = handler, .user = user};
    str_init(&reader->line, max);
    str_init(&reader->data, max);
}

void event_reader_free(struct event_reader *reader)
{
    str_free(&reader->line);
    str_free(&reader->data);
}

/* An empty line: the event is complete. One without data is dropped, as the standard says. */
static bool dispatch(struct event_reader *reader, struct err *err)
{
    bool ok = true;
    if (reader->has_data) {
        struct event event = {
            .name = reader->name[0] ? reader->name : "message",
            .data = str_text(&reader->data),
            .length = reader->data.length,
        };
        ok = str_check(&reader->data, "an event of the stream", err) &&
             reader->handler(reader->user, &event, err);
    }
    str_truncate(&reader->data, 0);
    reader->has_data = false;
    reader->name[0] = '\0';
    return ok;
}

static bool take_line(struct event_reader *reader, struct err *err)
{
    const char *line = str_text(&reader->line);
    if (reader->line.length == 0)
        return dispatch(reader, err);
    size_t name_length = strcspn(line, ":");
    const char *value = line + name_length + (line[name_length] == ':');
    value += *value == ' ';
    if (name_length == 4 && memcmp(line, "data", 4) == 0) {
        if (reader->has_data)
            str_putc(&reader->data, '\n');
        str_puts(&reader->data, value);
        reader->has_data = true;
    } else if (name_length == 5 && memcmp(line, "event", 5) == 0) {
        snprintf(reader->name, sizeof(reader->name), "%s", value);
    }
    return true;
}

bool event_reader_feed(struct event_reader *reader, const char *bytes, size_t length,
                       struct err *err)
{
    size_t at = 0;
    while (at < length) {
        if (reader->after_cr && bytes[at] == '\n') {
            reader->after_cr = false;
            at++;
            continue;
        }
        reader->after_cr = false;
        size_t part = 0;
        while (at + part < length && bytes[at + part] != '\n' && bytes[at + part] != '\r')
            part++;
        str_append(&reader->line, bytes + at, part);
        at += part;
        if (at == length)
            break;
        reader->after_cr = bytes[at++] == '\r';
        if (!str_ok(&reader->line))
            return err_set(err, ERR_PROTOCOL,
                           "a stream of events has a line of more than %zu bytes",
                           reader->line.max);
        bool ok = take_line(reader, err);
        str_truncate(&reader->line, 0);
        if (!ok)
            return false;
    }
    return str_ok(&reader->line) ||
           err_set(err, ERR_PROTOCOL, "a stream of events has a line of more than %zu bytes",
                   reader->line.max);
}
