#include "cli/model_view.h"

#include <string.h>

/* A field of the model, or of its "jarvis" part, where OpenAI's object has no place for it. */
static yyjson_val *field(yyjson_val *model, const char *key)
{
    yyjson_val *own = yyjson_obj_get(yyjson_obj_get(model, "jarvis"), key);
    return own ? own : yyjson_obj_get(model, key);
}

static const char *text(yyjson_val *model, const char *key)
{
    const char *found = yyjson_get_str(field(model, key));
    return found ? found : "";
}

static uint64_t number(yyjson_val *model, const char *key)
{
    return yyjson_get_uint(field(model, key));
}

struct model_view model_view_of(yyjson_val *model)
{
    const char *id = text(model, "id");
    return (struct model_view){
        .name = *id ? id : text(model, "name"),
        .role = text(model, "role"),
        .state = text(model, "state"),
        .path = text(model, "path"),
        .why = text(model, "why"),
        .file_bytes = number(model, "file_bytes"),
        .resident_bytes = number(model, "resident_bytes"),
        .predicted_bytes = number(model, "predicted_bytes"),
        .uses = number(model, "uses"),
        .in_flight = number(model, "in_flight"),
        .queue = number(model, "queue"),
        .reserved_bytes = number(model, "reserved_bytes"),
        .pinned = yyjson_get_bool(field(model, "pinned")),
        .stage = text(model, "stage"),
        .device = text(model, "device"),
        .progress = yyjson_get_num(field(model, "progress")),
        .last_use = yyjson_get_sint(field(model, "last_use")),
        .pid = number(model, "pid"),
    };
}

const char *model_view_role(enum lang lang, const char *role)
{
    if (strcmp(role, "chat") == 0)
        return TR(lang, "chat");
    if (strcmp(role, "embedding") == 0)
        return TR(lang, "embedding");
    if (strcmp(role, "rerank") == 0)
        return TR(lang, "rerank");
    if (strcmp(role, "speech") == 0)
        return TR(lang, "speech");
    return role;
}

const char *model_view_state(enum lang lang, const char *state)
{
    if (strcmp(state, "cold") == 0)
        return TR(lang, "not loaded");
    if (strcmp(state, "loading") == 0)
        return TR(lang, "loading");
    if (strcmp(state, "ready") == 0)
        return TR(lang, "loaded");
    if (strcmp(state, "failed") == 0)
        return TR(lang, "failed");
    return state;
}
