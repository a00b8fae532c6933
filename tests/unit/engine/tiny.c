#include "tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "helper/gguf_make.h"
#include "helper/testing.h"

void tiny_ok(bool ok, const struct err *err)
{
    if (!ok)
        fail_msg("%s", err->message[LANG_EN]);
}

int tiny_setup(void **state)
{
    struct tiny *tiny = calloc(1, sizeof(*tiny));
    if (!tiny)
        return -1;
    tiny->directory = testing_directory();
    tiny->chat = testing_path(tiny->directory, GGUF_MAKE_CHAT);
    tiny->embed = testing_path(tiny->directory, GGUF_MAKE_EMBED);
    tiny->rerank = testing_path(tiny->directory, GGUF_MAKE_RERANK);
    backend_init(&tiny->backend);
    backend_load(&tiny->backend);
    *state = tiny;
    return gguf_make_all(tiny->directory, NULL) ? 0 : -1;
}

int tiny_teardown(void **state)
{
    struct tiny *tiny = *state;
    testing_remove(tiny->directory);
    free(tiny->chat);
    free(tiny->embed);
    free(tiny->rerank);
    free(tiny);
    return 0;
}

/* ThreadSanitizer does not see libgomp's barriers, see tests/helper/worker_peer.h. */
#ifdef __SANITIZE_THREAD__
enum { THREADS = 1 };
#else
enum { THREADS = 2 };
#endif

struct msg_load tiny_load(const struct tiny *tiny, enum model_role role)
{
    const char *path = role == ROLE_CHAT        ? tiny->chat
                       : role == ROLE_EMBEDDING ? tiny->embed
                                                : tiny->rerank;
    return (struct msg_load){.role = role,
                             .path = path,
                             .slots = 1,
                             .threads = THREADS,
                             .gpu_layers = -1,
                             .charset = ""};
}

void tiny_encoder_open(struct tiny *tiny, enum model_role role, struct tiny_encoder *ret)
{
    struct msg_load load = tiny_load(tiny, role);
    struct err err;
    tiny_ok(model_open(&tiny->backend, &load, NULL, NULL, &ret->model, &err), &err);
    tiny_ok(encoder_open(&ret->model, NULL, &ret->encoder, &err), &err);
}

void tiny_encoder_close(struct tiny_encoder *opened)
{
    encoder_close(&opened->encoder);
    model_close(&opened->model);
}

void tiny_llm_open(struct tiny *tiny, uint32_t slots, uint32_t context, struct pulse *pulse,
                   struct tiny_llm *ret)
{
    struct msg_load load = tiny_load(tiny, ROLE_CHAT);
    load.context_length = context;
    struct err err;
    tiny_ok(model_open(&tiny->backend, &load, NULL, NULL, &ret->model, &err), &err);
    tiny_ok(llm_open(&ret->model, slots, pulse, &ret->llm, &err), &err);
}

void tiny_llm_close(struct tiny_llm *opened)
{
    llm_close(opened->llm);
    model_close(&opened->model);
}
