/* Damaged models given to real workers: the service always gets an answer or an end, and never waits in vain. What
 * libllama makes of a file that lies in a way that no check sees is its own; the worker may die of it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "helper/gguf_edit.h"
#include "helper/gguf_make.h"
#include "helper/testing.h"
#include "helper/worker_peer.h"

enum { FILE_MAX = 4 << 20, DAMAGED_FILES = 40 };

struct fixture {
    const char *program;
    char *directory;
    char *chat;
    char *victim;
};

enum outcome { OUTCOME_LOADED, OUTCOME_REFUSED, OUTCOME_DIED, OUTCOMES };

/* The last frame of a request; false when the worker died instead. */
static bool last_frame(struct worker_peer *peer, uint64_t id, struct frame *ret)
{
    while (worker_peer_receive(peer, ret)) {
        if (ret->id == id && ret->type != FRAME_PROGRESS && ret->type != FRAME_TOKENS)
            return true;
        frame_free(ret);
    }
    return false;
}

/* Loads and, if that works, writes a few tokens. */
static enum outcome try_load(const char *program, const char *path)
{
    struct worker_peer peer;
    worker_peer_start(&peer, program);
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_load(&payload, &(struct msg_load){.role = ROLE_CHAT,
                                              .path = path,
                                              .context_length = 128,
                                              .slots = 1,
                                              .threads = 1,
                                              .charset = ""});
    enum outcome outcome = OUTCOME_DIED;
    struct frame frame;
    if (last_frame(&peer, worker_peer_send(&peer, FRAME_LOAD, &payload), &frame)) {
        outcome = frame.type == FRAME_LOADED ? OUTCOME_LOADED : OUTCOME_REFUSED;
        assert_true(frame.type == FRAME_LOADED || frame.type == FRAME_ERROR);
        frame_free(&frame);
    }
    if (outcome == OUTCOME_LOADED) {
        struct msg_generate generate = {.prompt = "hello"};
        sampling_default(&generate.sampling);
        generate.sampling.max_tokens = 4;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_generate(&payload, &generate);
        if (last_frame(&peer, worker_peer_send(&peer, FRAME_GENERATE, &payload), &frame))
            frame_free(&frame);
        else
            outcome = OUTCOME_DIED;
    }
    worker_peer_stop(&peer);
    return outcome;
}

static size_t metadata_length(const char *path)
{
    struct gguf_context *gguf =
        gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    assert_non_null(gguf);
    size_t length = gguf_get_data_offset(gguf);
    gguf_free(gguf);
    return length;
}

static void random_damage_never_hangs_the_service(void **state)
{
    struct fixture *fixture = *state;
    struct testing_random random;
    testing_seed(&random);
    char *bytes;
    size_t length;
    assert_true(fs_read(fixture->chat, FILE_MAX, &bytes, &length, NULL));
    size_t metadata = metadata_length(fixture->chat);
    int outcomes[OUTCOMES] = {0};
    for (int file = 0; file < DAMAGED_FILES; file++) {
        char *copy = malloc(length);
        assert_non_null(copy);
        memcpy(copy, bytes, length);
        for (uint64_t i = 1 + testing_below(&random, 4); i > 0; i--)
            copy[testing_below(&random, metadata)] = (char)testing_next(&random);
        free(testing_file(fixture->directory, "victim.gguf", copy, length));
        free(copy);
        outcomes[try_load(fixture->program, fixture->victim)]++;
    }
    print_message("# of %d damaged files %d were loaded, %d refused, %d ended their worker\n",
                  DAMAGED_FILES, outcomes[OUTCOME_LOADED], outcomes[OUTCOME_REFUSED],
                  outcomes[OUTCOME_DIED]);
    assert_true(outcomes[OUTCOME_REFUSED] > 0);
    free(bytes);
}

/* ---------------------------------------------------------------- well-formed files that describe no model */

static void odd_heads(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "llama.attention.head_count", 3);
}

static void other_width(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "llama.embedding_length", 65);
}

static void more_layers(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "llama.block_count", 3);
}

static void few_types(struct gguf_context *gguf)
{
    const int32_t types[] = {3, 3, 3};
    gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, 3);
}

static void tokens_are_numbers(struct gguf_context *gguf)
{
    const int32_t numbers[] = {1, 2, 3};
    gguf_remove_key(gguf, "tokenizer.ggml.tokens");
    gguf_set_arr_data(gguf, "tokenizer.ggml.tokens", GGUF_TYPE_INT32, numbers, 3);
}

static void end_token_is_far_away(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "tokenizer.ggml.eos_token_id", 4000000000U);
}

static void no_tokenizer(struct gguf_context *gguf)
{
    gguf_remove_key(gguf, "tokenizer.ggml.model");
}

static void no_rope(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "llama.rope.dimension_count", 0);
}

static void endless_context(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "llama.context_length", INT32_MAX);
}

static void bad_merges(struct gguf_context *gguf)
{
    const char *merges[] = {"", "nospace", " "};
    gguf_set_arr_str(gguf, "tokenizer.ggml.merges", merges, 3);
}

static void impossible_models_never_hang_the_service(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        void (*edit)(struct gguf_context *gguf);
    } cases[] = {
        {"3 heads", odd_heads},
        {"another width", other_width},
        {"a layer too many", more_layers},
        {"too few token types", few_types},
        {"numbers for tokens", tokens_are_numbers},
        {"an end token that is none", end_token_is_far_away},
        {"no tokenizer", no_tokenizer},
        {"no rotation", no_rope},
        {"an endless context", endless_context},
        {"merges that are none", bad_merges},
    };
    static const char *const words[OUTCOMES] = {"loaded", "refused", "ended its worker"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(gguf_edit(fixture->chat, fixture->victim, cases[i].edit, NULL));
        enum outcome outcome = try_load(fixture->program, fixture->victim);
        print_message("# %s: %s\n", cases[i].name, words[outcome]);
    }
    /* And after all of them a worker still loads a good one. */
    assert_int_equal(try_load(fixture->program, fixture->chat), OUTCOME_LOADED);
}

int main(int argc, char **argv)
{
    struct fixture fixture = {.program = argc > 1 ? argv[1] : "build/jarvis"};
    fixture.directory = testing_directory();
    fixture.chat = testing_path(fixture.directory, GGUF_MAKE_CHAT);
    fixture.victim = testing_path(fixture.directory, "victim.gguf");
    if (!gguf_make_chat(fixture.chat, 1, NULL))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(random_damage_never_hangs_the_service, &fixture),
        cmocka_unit_test_prestate(impossible_models_never_hang_the_service, &fixture),
    };
    int failed = cmocka_run_group_tests_name("worker_hostile", tests, NULL, NULL);
    testing_remove(fixture.directory);
    free(fixture.chat);
    free(fixture.victim);
    return failed;
}
