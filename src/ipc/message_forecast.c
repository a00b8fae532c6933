/* The codec of FORECASTED: what memory a load would take, part by part; and the names of what it speaks of. */
#include <string.h>

#include "ipc/protocol.h"
#include "ipc/wire.h"

enum { PART_BYTES_MIN = 1 + 4 + 8 }; /* part, length of the device's name, bytes */

static const char *const kv_type_names[KV_TYPE_COUNT] = {"f16",  "f32",  "bf16", "q8_0",
                                                         "q5_1", "q5_0", "q4_1", "q4_0"};

const char *kv_type_name(enum kv_type type)
{
    return (unsigned)type < KV_TYPE_COUNT ? kv_type_names[type] : "unknown";
}

bool kv_type_parse(const char *name, enum kv_type *ret)
{
    for (unsigned type = 0; type < KV_TYPE_COUNT; type++) {
        if (strcmp(name, kv_type_names[type]) == 0) {
            *ret = (enum kv_type)type;
            return true;
        }
    }
    return false;
}

const char *memory_part_name(enum memory_part part)
{
    static const char *const names[PART_COUNT] = {"weights", "repacked", "kv_cache",
                                                  "compute", "process",  "learned"};
    return (unsigned)part < PART_COUNT ? names[part] : "unknown";
}

void msg_put_forecast(struct str *out, const struct msg_forecast *message)
{
    wire_put_u32(out, message->context_length);
    wire_put_u32(out, message->train_context);
    wire_put_u32(out, message->slots);
    wire_put_u32(out, message->count);
    for (uint32_t i = 0; i < message->count; i++) {
        wire_put_u8(out, (uint8_t)message->parts[i].part);
        wire_put_text(out, message->parts[i].device);
        wire_put_u64(out, message->parts[i].bytes);
    }
}

bool msg_get_forecast(const void *bytes, size_t length, struct arena *arena,
                      struct msg_forecast *ret, struct err *err)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes, length);
    struct msg_forecast message = {.context_length = wire_get_u32(&in)};
    message.train_context = wire_get_u32(&in);
    message.slots = wire_get_u32(&in);
    message.count = wire_get_count(&in, PART_BYTES_MIN, MSG_PARTS_MAX);
    struct msg_part *parts = arena_array(arena, message.count, sizeof(*parts));
    if (!parts)
        in.failed = true;
    for (uint32_t i = 0; i < message.count && !in.failed; i++) {
        parts[i].part = (enum memory_part)wire_get_choice(&in, PART_COUNT);
        parts[i].device = wire_get_text(&in, arena);
        parts[i].bytes = wire_get_u64(&in);
    }
    message.parts = parts;
    if (!wire_done(&in, "FORECASTED", err))
        return false;
    *ret = message;
    return true;
}
