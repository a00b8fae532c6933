/* Pulls as the service does, with pauses and limits that a test chooses, and tells as JSON what came of it: the result
 * on standard output, {"error": code, "message": …} there too, and each phase as a line on standard error.
 *
 * usage: pull_try MODELS_DIR HUB_URL SOURCE [key=value …]
 * keys: memory, disk, spare, max (bytes), silence (seconds), retry, deadline (milliseconds), token, sha256
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/pull.h"

enum { DEADLINE_MS = 60000, ARENA_BYTES = 1 << 26 };

static const char *option(int argc, char **argv, const char *key)
{
    size_t length = strlen(key);
    for (int i = 4; i < argc; i++)
        if (strncmp(argv[i], key, length) == 0 && argv[i][length] == '=')
            return argv[i] + length + 1;
    return NULL;
}

static uint64_t number(int argc, char **argv, const char *key, uint64_t otherwise)
{
    const char *text = option(argc, argv, key);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void on_progress(void *user, const struct pull_progress *progress)
{
    (void)user;
    fprintf(stderr, "%s %s %llu/%llu\n", progress->phase, progress->file,
            (unsigned long long)progress->done, (unsigned long long)progress->total);
}

static void print_error(const struct err *err)
{
    struct str text;
    const char *message = err_message(err, LANG_EN);
    str_init(&text, 8192);
    str_json(&text, message, strlen(message));
    printf("{\"error\": \"%s\", \"message\": \"%s\"}\n", err_info(err->code)->name,
           str_text(&text));
    str_free(&text);
}

static void print_result(const struct pull_result *result)
{
    struct str path;
    str_init(&path, 8192);
    str_json(&path, result->path, strlen(result->path));
    printf("{\"path\": \"%s\", \"files\": %zu, \"bytes\": %llu, \"fetched\": %llu, "
           "\"quant\": \"%s\", \"verified\": %s}\n",
           str_text(&path), result->files, (unsigned long long)result->bytes,
           (unsigned long long)result->fetched, result->quant, result->verified ? "true" : "false");
    str_free(&path);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const struct pull_options options = {
        .models_dir = argv[1],
        .hub_url = argv[2],
        .token = option(argc, argv, "token"),
        .max_bytes = number(argc, argv, "max", 0),
        .memory_bytes = number(argc, argv, "memory", 0),
        .retry_ms = (int64_t)number(argc, argv, "retry", 1),
        .silence_s = (uint32_t)number(argc, argv, "silence", 30),
        .spare_bytes = number(argc, argv, "spare", 1),
        .disk_bytes = number(argc, argv, "disk", 0),
    };
    const struct pull_request request = {
        .source = argv[3], .sha256 = option(argc, argv, "sha256"), .progress = on_progress};
    const struct wait wait = {
        .until = deadline_in_ms((int64_t)number(argc, argv, "deadline", DEADLINE_MS))};
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    struct pull_result result;
    struct err err;
    bool ok = pull_run(&options, &request, &wait, &arena, &result, &err);
    if (ok)
        print_result(&result);
    else
        print_error(&err);
    arena_free(&arena);
    return ok ? 0 : 1;
}
