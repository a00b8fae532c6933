/* GGUF files that lie: every one is refused with a message, or is harmless. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "engine/gguf_check.h"
#include "engine/inspect.h"
#include "helper/gguf_edit.h"
#include "helper/testing.h"
#include "tiny.h"

enum { FILE_MAX = 4 << 20, ARENA_MAX = 1 << 20 };

/* A copy of the tiny chat model whose bytes can be changed and put back. */
struct victim {
    char *path;
    char *bytes; /* as they were */
    size_t length;
    int fd;
};

static void victim_open(struct tiny *tiny, struct victim *victim)
{
    struct err err;
    tiny_ok(fs_read(tiny->chat, FILE_MAX, &victim->bytes, &victim->length, &err), &err);
    victim->path = testing_file(tiny->directory, "victim.gguf", victim->bytes, victim->length);
    victim->fd = open(victim->path, O_RDWR | O_CLOEXEC);
    assert_true(victim->fd >= 0);
}

static void victim_close(struct victim *victim)
{
    close(victim->fd);
    free(victim->path);
    free(victim->bytes);
}

static void victim_set(const struct victim *victim, size_t at, char value)
{
    assert_int_equal(pwrite(victim->fd, &value, 1, (off_t)at), 1);
}

/* Checks and inspects; whichever refuses must say that it is the file's fault. True when neither does. */
static bool is_taken(const struct victim *victim)
{
    uint64_t size;
    struct err err = {0};
    struct arena arena;
    struct msg_inspected inspected;
    arena_init(&arena, ARENA_MAX);
    bool whole = gguf_check(victim->path, &size, &err);
    bool taken = inspect_file(victim->path, &arena, &inspected, &err);
    arena_free(&arena);
    assert_true(whole || !taken);
    if (!taken)
        assert_true(err.code == ERR_MODEL_INVALID || err.code == ERR_UNSUPPORTED);
    return taken;
}

static bool check_bytes(struct tiny *tiny, const char *bytes, size_t length, struct err *err)
{
    char *path = testing_file(tiny->directory, "few.gguf", bytes, length);
    uint64_t size;
    bool ok = gguf_check(path, &size, err);
    free(path);
    return ok;
}

static bool inspect_edited(struct tiny *tiny, void (*edit)(struct gguf_context *),
                           struct msg_inspected *ret, struct err *err)
{
    char *path = testing_path(tiny->directory, "edited.gguf");
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    tiny_ok(gguf_edit(tiny->chat, path, edit, err), err);
    bool ok = inspect_file(path, &arena, ret, err);
    if (ok)
        ret->architecture = ret->name = ret->file_type = NULL; /* they go with the arena */
    arena_free(&arena);
    free(path);
    return ok;
}

static void real_files_pass(void **state)
{
    struct tiny *tiny = *state;
    const char *const paths[] = {tiny->chat, tiny->embed, tiny->rerank};
    for (size_t i = 0; i < 3; i++) {
        uint64_t size = 0;
        struct err err;
        struct stat status;
        tiny_ok(gguf_check(paths[i], &size, &err), &err);
        assert_int_equal(stat(paths[i], &status), 0);
        assert_int_equal(size, status.st_size);
    }
}

static void every_truncation_is_refused(void **state)
{
    struct victim victim;
    victim_open(*state, &victim);
    struct testing_random random;
    testing_seed(&random);
    /* Ever shorter: by random pieces through weights and tables, then byte by byte through the first pairs. */
    size_t cut = victim.length - 1;
    while (cut > 0) {
        assert_int_equal(ftruncate(victim.fd, (off_t)cut), 0);
        assert_false(is_taken(&victim));
        size_t piece = cut > 16384 ? 4096 : cut > 700 ? 32 : 1;
        cut -= piece == 1 ? 1 : 1 + testing_below(&random, piece);
    }
    victim_close(&victim);
}

/* The header and the numbers of the first pairs, set to extremes. */
static void lying_numbers_are_refused_or_harmless(void **state)
{
    struct victim victim;
    victim_open(*state, &victim);
    int refused = 0;
    for (size_t at = 0; at < 400; at++) {
        static const char values[] = {'\x00', '\x01', '\x7f', '\x80', '\xff'};
        for (size_t k = 0; k < sizeof(values); k++) {
            victim_set(&victim, at, values[k]);
            refused += !is_taken(&victim);
        }
        victim_set(&victim, at, victim.bytes[at]);
    }
    assert_true(refused > 300);
    victim_close(&victim);
}

/* Damage of the metadata; that of the weights is nothing that a check could see. */
static void random_damage_is_refused_or_harmless(void **state)
{
    struct tiny *tiny = *state;
    struct gguf_context *gguf =
        gguf_init_from_file(tiny->chat, (struct gguf_init_params){.no_alloc = true});
    size_t metadata = gguf_get_data_offset(gguf);
    gguf_free(gguf);
    struct victim victim;
    victim_open(tiny, &victim);
    struct testing_random random;
    testing_seed(&random);
    for (int round = 0; round < 1000; round++) {
        size_t places[8];
        size_t count = 1 + testing_below(&random, 8);
        for (size_t i = 0; i < count; i++) {
            places[i] = testing_below(&random, metadata);
            victim_set(&victim, places[i], (char)testing_next(&random));
        }
        is_taken(&victim);
        for (size_t i = 0; i < count; i++)
            victim_set(&victim, places[i], victim.bytes[places[i]]);
    }
    assert_true(is_taken(&victim)); /* all was put back */
    victim_close(&victim);
}

static void what_is_no_regular_file_is_refused(void **state)
{
    struct tiny *tiny = *state;
    struct err err;
    uint64_t size;
    assert_false(gguf_check(tiny->directory, &size, &err));
    assert_int_equal(err.code, ERR_MODEL_INVALID);
    char *fifo = testing_path(tiny->directory, "fifo.gguf");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_false(gguf_check(fifo, &size, &err)); /* and does not wait for a writer */
    assert_int_equal(err.code, ERR_MODEL_INVALID);
    free(fifo);
    assert_false(gguf_check("/nonexistent/x.gguf", &size, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_false(check_bytes(tiny, "", 0, &err));
    assert_non_null(strstr(err.message[LANG_EN], "is not a GGUF"));
    assert_false(check_bytes(tiny, "GGUF\x01\0\0\0", 8, &err));
    assert_non_null(strstr(err.message[LANG_EN], "version 1"));
}

/* ---------------------------------------------------------------- metadata that is well-formed and wrong */

static void no_heads(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "llama.attention.head_count", 0);
}

static void too_many_layers(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "llama.block_count", UINT32_MAX);
}

static void no_architecture(struct gguf_context *gguf)
{
    gguf_remove_key(gguf, "general.architecture");
}

static void architecture_is_a_number(struct gguf_context *gguf)
{
    gguf_remove_key(gguf, "general.architecture");
    gguf_set_val_u32(gguf, "general.architecture", 7);
}

static void an_adapter(struct gguf_context *gguf)
{
    gguf_set_val_str(gguf, "general.type", "adapter");
}

static void impossible_models_are_refused(void **state)
{
    static const struct {
        void (*edit)(struct gguf_context *gguf);
        enum err_code code;
    } cases[] = {
        {no_heads, ERR_MODEL_INVALID},        {too_many_layers, ERR_MODEL_INVALID},
        {no_architecture, ERR_MODEL_INVALID}, {architecture_is_a_number, ERR_MODEL_INVALID},
        {an_adapter, ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct msg_inspected inspected;
        struct err err = {0};
        assert_false(inspect_edited(*state, cases[i].edit, &inspected, &err));
        assert_int_equal(err.code, cases[i].code);
    }
}

static void pools_the_last(struct gguf_context *gguf)
{
    gguf_set_val_u32(gguf, "llama.pooling_type", 3);
}

static void other_types_of_number(struct gguf_context *gguf)
{
    gguf_remove_key(gguf, "llama.context_length");
    gguf_set_val_u64(gguf, "llama.context_length", 77);
    gguf_remove_key(gguf, "general.name");
    gguf_set_val_f32(gguf, "general.name", 1.0F);
    gguf_remove_key(gguf, "tokenizer.chat_template");
}

static void roles_follow_from_the_file(void **state)
{
    struct msg_inspected inspected;
    struct err err;
    tiny_ok(inspect_edited(*state, pools_the_last, &inspected, &err), &err);
    assert_int_equal(inspected.role, ROLE_EMBEDDING);
    assert_string_equal(inspected.pooling, "last");
    tiny_ok(inspect_edited(*state, other_types_of_number, &inspected, &err), &err);
    assert_int_equal(inspected.role, ROLE_CHAT);
    assert_int_equal(inspected.train_context, 77);
    assert_false(inspected.has_template);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_files_pass),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(lying_numbers_are_refused_or_harmless),
        cmocka_unit_test(random_damage_is_refused_or_harmless),
        cmocka_unit_test(what_is_no_regular_file_is_refused),
        cmocka_unit_test(impossible_models_are_refused),
        cmocka_unit_test(roles_follow_from_the_file),
    };
    return cmocka_run_group_tests_name("gguf", tests, tiny_setup, tiny_teardown);
}
