/* Fuzzes the reading of JSON (base/json.h): any bytes give a document or an error that tells where; every field of an
 * object may be asked for as every type; what was read is written and read again. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

enum { OUT_MAX = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* An error has a message in both languages and, for a field, its name. */
static void check_error(const struct err *err, const char *key)
{
    must(*err->message[LANG_EN] && *err->message[LANG_ES]);
    must(utf8_valid(err->message[LANG_EN], strlen(err->message[LANG_EN])));
    must(!key || (err->code == ERR_INVALID_REQUEST && *err->param == *key));
}

static void ask_field(yyjson_val *object, const char *key)
{
    const char *text = NULL;
    bool flag = false;
    int64_t whole = 5;
    double number = 0.5;
    struct err err;
    if (!json_opt_string(object, key, &text, &err))
        check_error(&err, key);
    if (!json_need_string(object, key, &text, &err))
        check_error(&err, key);
    if (!json_opt_bool(object, key, &flag, &err))
        check_error(&err, key);
    if (!json_opt_int(object, key, -10, 1000, &whole, &err))
        check_error(&err, key);
    if (!json_opt_double(object, key, -2, 2, &number, &err))
        check_error(&err, key);
    must(whole >= -10 && whole <= 1000 && number >= -2 && number <= 2);
}

static void ask_fields(yyjson_val *root)
{
    static const char *const keys[] = {"model", "messages", "temperature", "stream", ""};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        ask_field(root, keys[i]);
    yyjson_obj_iter iterator = yyjson_obj_iter_with(root);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iterator)))
        if (strlen(yyjson_get_str(key)) == yyjson_get_len(key))
            ask_field(root, yyjson_get_str(key));
}

static void write_again(yyjson_doc *doc)
{
    yyjson_mut_doc *copy = yyjson_doc_mut_copy(doc, NULL);
    struct str out;
    str_init(&out, OUT_MAX);
    if (copy && json_write(copy, true, &out, NULL)) {
        yyjson_doc *again = NULL;
        must(json_parse(out.data, out.length, "the copy", &again, NULL));
        must(yyjson_equals(yyjson_doc_get_root(doc), yyjson_doc_get_root(again)));
        yyjson_doc_free(again);
    }
    str_free(&out);
    yyjson_mut_doc_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    yyjson_doc *doc = NULL;
    struct err err;
    const char *text = (const char *)data;
    if (!json_parse(text, size, "the body", &doc, &err))
        check_error(&err, NULL);
    if (doc) {
        ask_fields(yyjson_doc_get_root(doc));
        write_again(doc);
        yyjson_doc_free(doc);
    }
    doc = NULL;
    if (!json_parse_relaxed(text, size, "the file", &doc, &err))
        check_error(&err, NULL);
    yyjson_doc_free(doc);
    return 0;
}
