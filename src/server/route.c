#include "server/route.h"

#include <stdio.h>
#include <string.h>

/* Bytes of the path before `tail`, which is to end it; 0: it does not. */
static size_t up_to(const char *path, const char *tail)
{
    size_t length = strlen(path), after = strlen(tail);
    return length > after && strcmp(path + length - after, tail) == 0 ? length - after : 0;
}

/* Compares path with pattern segment by segment; captured segments go to params. */
static bool matches(const char *pattern, const char *path, struct arena *arena,
                    const char *params[ROUTE_PARAMS_MAX])
{
    size_t captured = 0;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        const char *close = strchr(pattern, '}');
        bool to_the_end = close && close[-1] == '*';
        size_t length = to_the_end ? up_to(path, close + 1) : strcspn(path, "/");
        if (!close || length == 0 || captured == ROUTE_PARAMS_MAX)
            return false;
        params[captured] = arena_copy_n(arena, path, length);
        if (!params[captured++])
            return false;
        pattern = close + 1;
        path += length;
    }
    return *path == '\0';
}

static bool serves(const struct route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static void add_method(char allow[ROUTE_ALLOW_MAX], const char *method)
{
    size_t used = strlen(allow);
    snprintf(allow + used, ROUTE_ALLOW_MAX - used, "%s%s%s", used > 0 ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

bool route_find(const struct route *table, size_t count, const char *method, const char *path,
                struct arena *arena, struct route_match *ret, struct err *err)
{
    char allow[ROUTE_ALLOW_MAX] = "";
    for (size_t i = 0; i < count; i++) {
        struct route_match found = {.route = &table[i]};
        if (!matches(table[i].pattern, path, arena, found.params))
            continue;
        if (serves(&table[i], method)) {
            *ret = found;
            return true;
        }
        add_method(allow, table[i].method);
    }
    if (!arena_ok(arena))
        return err_no_memory(err);
    if (allow[0] == '\0')
        return err_set(err, ERR_NOT_FOUND,
                       "there is no \"%s\" here; docs/API.md lists what there is", path);
    snprintf(ret->allow, sizeof(ret->allow), "%s", allow);
    return err_set(err, ERR_METHOD, "\"%s\" does not take %s; it takes %s", path, method, allow);
}
