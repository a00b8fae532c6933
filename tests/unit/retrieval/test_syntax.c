/* What a question demands: read from its marks, and obeyed by a search. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/index.h"
#include "unit/retrieval/fixture.h"

/* ---------------------------------------------------------------- reading */

/* The plain words, then each clause as [+-] and w, p (prefix) or q (phrase) and its text. */
static void assert_read(const char *text, const char *expected)
{
    struct arena arena;
    struct query_syntax syntax;
    struct str out;
    struct err err;
    arena_init(&arena, 1 << 20);
    str_init(&out, 1 << 16);
    assert_ok(query_syntax_parse(text, strlen(text), &arena, &syntax, &err), &err);
    assert_int_equal(strlen(syntax.plain), syntax.length);
    str_printf(&out, "%s", syntax.plain);
    for (size_t i = 0; i < syntax.count; i++)
        str_printf(&out, "|%c%c %s", syntax.clauses[i].excluded ? '-' : '+',
                   "wpq"[syntax.clauses[i].kind], syntax.clauses[i].text);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
    arena_free(&arena);
}

static void test_reading(void **state)
{
    (void)state;
    assert_read("", "");
    assert_read("boundary layer of a wing", "boundary layer of a wing");
    assert_read("the \"boundary layer\" theory", "the boundary layer theory|+q boundary layer");
    assert_read("+kernel memory -windows", "kernel memory |+w kernel|-w windows");
    assert_read("contrato -\"de obra\" +alquiler", "contrato  alquiler|-q de obra|+w alquiler");
    assert_read("comput* +foo_ba*", "comput* foo_ba*|+p comput|+p foo_ba");
    assert_read("-canci\xC3\xB3n -\xC3\xB1\xC3\xA1\xC3\xB1",
                " |-w canci\xC3\xB3n|-w \xC3\xB1\xC3\xA1\xC3\xB1");
    /* What only looks like it. */
    assert_read("below -40 degrees, git commit -m, ls -la",
                "below -40 degrees, git commit -m, ls -la");
    assert_read("well-known C++ 5 + 3 - 2", "well-known C++ 5 + 3 - 2");
    assert_read("2 * 3 ** a*", "2 * 3 ** a*");
    assert_read("5\" disk", "5  disk");
    assert_read("\"\" \"...\" x", "    ...  x");
    assert_read("+ - * \"", "+ - *  ");
    assert_read("what is +RTX-5070Ti?", "what is RTX-5070Ti?|+w RTX-5070Ti");
}

static void test_too_many(void **state)
{
    (void)state;
    struct arena arena;
    struct query_syntax syntax;
    struct str text;
    struct err err;
    arena_init(&arena, 1 << 20);
    str_init(&text, 1 << 16);
    for (int i = 0; i < QUERY_CLAUSES_MAX; i++)
        str_printf(&text, "+w%d ", i);
    assert_ok(query_syntax_parse(str_text(&text), text.length, &arena, &syntax, &err), &err);
    assert_int_equal(syntax.count, QUERY_CLAUSES_MAX);
    str_printf(&text, "+more");
    assert_false(query_syntax_parse(str_text(&text), text.length, &arena, &syntax, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    str_free(&text);
    arena_free(&arena);
}

/* ---------------------------------------------------------------- searching */

struct world {
    struct fixture *fixture;
    struct index_set *set;
    struct index *index;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    void *fixture;
    fixture_setup(&fixture);
    world->fixture = fixture;
    struct fixture *f = fixture;
    struct index_load load = {.embedder = NULL};
    assert_ok(index_set_new(f->store, &world->set, &f->err), &f->err);
    assert_ok(index_set_acquire(world->set, f->collection.id, &load, &world->index, &f->err),
              &f->err);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    void *fixture = world->fixture;
    index_release(world->index);
    index_set_free(world->set);
    fixture_teardown(&fixture);
    free(world);
    return 0;
}

static int64_t put(struct world *world, const char *path, const char *text, enum lang lang)
{
    struct fixture *f = world->fixture;
    struct document_written written = fixture_put(f, path, text, lang);
    assert_ok(index_set_document(world->set, f->collection.id, &written, &f->err), &f->err);
    return written.number;
}

static bool is_odd(const void *user, int64_t document)
{
    (void)user;
    return document % 2 == 1;
}

/* The numbers of the documents found, ascending, as text. */
static void assert_found(struct world *world, const char *text,
                         const struct document_filter *documents, const char *expected)
{
    struct fixture *f = world->fixture;
    struct query_syntax syntax;
    struct index_hit *hits;
    size_t count;
    bool found[100] = {false};
    char out[400] = "";
    assert_ok(query_syntax_parse(text, strlen(text), &f->arena, &syntax, &f->err), &f->err);
    struct index_query query = {.text = syntax.plain,
                                .length = syntax.length,
                                .top_k = 50,
                                .candidates = 50,
                                .clauses = syntax.clauses,
                                .clause_count = syntax.count,
                                .documents = documents};
    assert_ok(index_search(&world->index, 1, &query, &f->arena, &hits, &count, &f->err), &f->err);
    for (size_t i = 0; i < count; i++)
        found[hits[i].key.document] = true;
    for (int i = 0; i < 100; i++)
        if (found[i])
            snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%d", *out ? " " : "", i);
    if (strcmp(out, expected) != 0)
        fail_msg("%s: found %s, should be %s", text, out, expected);
}

static void test_demands_are_obeyed(void **state)
{
    struct world *world = *state;
    assert_int_equal(put(world, "/1", "The kernel reads memory pages from disk.", LANG_EN), 1);
    put(world, "/2", "Memory of a summer: pages of a diary.", LANG_EN);
    put(world, "/3",
        "El n\xC3\xBA"
        "cleo lee p\xC3\xA1ginas de memoria.",
        LANG_ES);
    put(world, "/4", "Graphics card RTX-5070Ti, with memory for CVE-2024-1234.", LANG_EN);
    put(world, "/5", "foo_bar() frees memory; computing pages.", LANG_EN);
    assert_found(world, "memory pages", NULL, "1 2 4 5");
    assert_found(world, "memory \"memory pages\"", NULL, "1");
    assert_found(world, "memory -\"memory pages\"", NULL, "2 4 5");
    assert_found(world, "\"pages memory\"", NULL, "");
    assert_found(world, "\"Memory Pages\"", NULL, "1");
    assert_found(world, "\"memory page\"", NULL, ""); /* exact: not another form */
    assert_found(world, "memory +page", NULL, "1 2 5");
    assert_found(world, "memory -kernel -diary", NULL, "4 5");
    assert_found(world, "+memory +summer", NULL, "2");
    assert_found(world, "comput*", NULL, "5");
    assert_found(world, "+rtx-5070ti", NULL, "4");
    assert_found(world, "5070", NULL, "4");
    assert_found(world, "CVE-2024-1234", NULL, "4");
    assert_found(world, "+foo_bar()", NULL, "5");
    assert_found(world, "foo_b*", NULL, "5");
    assert_found(world, "memoria \"p\xC3\xA1ginas de memoria\"", NULL, "3");
    assert_found(world, "\"paginas de memoria\"", NULL, "3");
    assert_found(world, "memory +nothing", NULL, "");
    const struct document_filter odd = {.allows = is_odd};
    assert_found(world, "memory pages", &odd, "1 5");
    assert_found(world, "memory -kernel", &odd, "5");
}

/* The phrase is in few of the many passages that have its words. */
static void test_rare_phrase(void **state)
{
    struct world *world = *state;
    struct str text;
    str_init(&text, 1 << 20);
    for (int i = 0; i < 400; i++)
        str_printf(&text, "Paragraph %d says that the river blue is wide blue wide river.\n\n", i);
    put(world, "/many", str_text(&text), LANG_EN);
    int64_t rare = put(world, "/rare",
                       "A long text about other things, and once at the very end of it, after all "
                       "that was said, the blue river appears.",
                       LANG_EN);
    struct query_syntax syntax;
    struct index_hit *hits;
    size_t count;
    struct fixture *f = world->fixture;
    const char *question = "wide river \"blue river\"";
    assert_ok(query_syntax_parse(question, strlen(question), &f->arena, &syntax, &f->err), &f->err);
    struct index_query query = {.text = syntax.plain,
                                .length = syntax.length,
                                .top_k = 5,
                                .candidates = 5,
                                .clauses = syntax.clauses,
                                .clause_count = syntax.count};
    assert_ok(index_search(&world->index, 1, &query, &f->arena, &hits, &count, &f->err), &f->err);
    assert_int_equal(count, 1);
    assert_int_equal(hits[0].key.document, rare);
    str_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test_setup_teardown(test_demands_are_obeyed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rare_phrase, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
