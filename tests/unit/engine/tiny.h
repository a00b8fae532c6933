/* tiny.h - the tiny models, written once a test program, and opened for a test.
 *
 * Owner:   tiny_setup() and tiny_teardown() are cmocka group fixtures; what a test opens it closes.
 * Threads: one. Fails: by failing the test.
 */
#ifndef JARVIS_TESTS_ENGINE_TINY_H
#define JARVIS_TESTS_ENGINE_TINY_H

#include <stdint.h>

#include "engine/backend.h"
#include "engine/encoder.h"
#include "engine/llm.h"
#include "engine/model.h"

struct tiny {
    char *directory;
    char *chat;
    char *embed;
    char *rerank;
    struct backend backend;
};

int tiny_setup(void **state);
int tiny_teardown(void **state);

/* A LOAD of the tiny model of that role, with two threads (one under ThreadSanitizer). */
struct msg_load tiny_load(const struct tiny *tiny, enum model_role role);

/* A model with its encoder. */
struct tiny_encoder {
    struct model model;
    struct encoder encoder;
};

void tiny_encoder_open(struct tiny *tiny, enum model_role role, struct tiny_encoder *ret);
void tiny_encoder_close(struct tiny_encoder *opened);

/* A model with its conversations; `context` 0: the model's own. */
struct tiny_llm {
    struct model model;
    struct llm *llm;
};

void tiny_llm_open(struct tiny *tiny, uint32_t slots, uint32_t context, struct pulse *pulse,
                   struct tiny_llm *ret);
void tiny_llm_close(struct tiny_llm *opened);

/* Fails the test with the message when !ok. */
void tiny_ok(bool ok, const struct err *err);

#endif
