/* samples.h - one filled message of each kind, and every codec behind one function type.
 *
 * Owner:   samples are constants; encoded bytes are the caller's. Threads: safe from any. Fails: never.
 */
#ifndef JARVIS_TESTS_IPC_SAMPLES_H
#define JARVIS_TESTS_IPC_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/protocol.h"

struct codec_case {
    const char *name;
    /* Appends the sample's bytes. */
    void (*sample)(struct str *out);
    /* Decodes `bytes` and, if that works, encodes what came out. */
    bool (*again)(const void *bytes, size_t length, struct arena *arena, struct str *out,
                  struct err *err);
};

extern const struct codec_case codec_cases[];
extern const size_t codec_case_count;

#endif
