#include "cli/transcribe_request.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

/* The service has another working directory: the path goes to it absolute. */
static bool absolute_path(const char *path, struct str *out, struct err *err)
{
    char buffer[PATH_MAX];
    if (realpath(path, buffer)) {
        str_puts(out, buffer);
    } else {
        if (path[0] != '/' && getcwd(buffer, sizeof(buffer)))
            str_printf(out, "%s/", buffer);
        str_puts(out, path);
    }
    return str_check(out, "the path", err);
}

static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key,
                     const struct options *options, const char *option)
{
    if (options_has(options, option))
        yyjson_mut_obj_add_str(doc, root, key, options_text(options, option, NULL));
}

static void add_options(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct options *options,
                        bool json)
{
    add_text(doc, root, "language", options, "language");
    add_text(doc, root, "model", options, "model");
    add_text(doc, root, "prompt", options, "prompt");
    add_text(doc, root, "vad", options, "vad");
    yyjson_mut_obj_add_str(doc, root, "response_format",
                           options_text(options, "format", json ? "json" : "text"));
    yyjson_mut_obj_add_bool(doc, root, "translate", options_has(options, "translate"));
    yyjson_mut_obj_add_bool(doc, root, "words", options_has(options, "words"));
    yyjson_mut_obj_add_bool(doc, root, "speech_only", options_has(options, "vad-only"));
    if (options_has(options, "aggressiveness"))
        yyjson_mut_obj_add_int(doc, root, "aggressiveness",
                               options_int(options, "aggressiveness", 1));
}

bool transcribe_request_make(const char *file, const struct options *options, bool json,
                             yyjson_mut_doc **ret, struct err *err)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    struct str path;
    str_init(&path, (size_t)PATH_MAX * 2);
    yyjson_mut_doc_set_root(doc, root);
    bool ok = absolute_path(file, &path, err);
    yyjson_mut_obj_add_strncpy(doc, root, "path", str_text(&path), path.length);
    str_free(&path);
    add_options(doc, root, options, json);
    if (!ok) {
        yyjson_mut_doc_free(doc);
        return false;
    }
    *ret = doc;
    return true;
}
