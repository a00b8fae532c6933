#include "server/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fs.h"

bool guard_load_key(struct guard *guard, const char *key_file, struct err *err)
{
    char *text = NULL;
    size_t length = 0;
    if (!fs_read(key_file, GUARD_KEY_FILE_MAX, &text, &length, err))
        return false;
    const char *space = " \t\r\n";
    size_t begin = strspn(text, space);
    size_t end = strlen(text);
    while (end > begin && strchr(space, text[end - 1]))
        end--;
    bool ok = end - begin >= GUARD_KEY_MIN;
    if (ok) {
        guard->key = hash_bytes(text + begin, end - begin);
        guard->has_key = true;
    } else {
        err_set(err, ERR_CONFIG,
                "the API key in \"%s\" is shorter than %d characters; write a longer one", key_file,
                GUARD_KEY_MIN);
    }
    explicit_bzero(text, length);
    free(text);
    return ok;
}

void guard_set_host(struct guard *guard, const char *host)
{
    snprintf(guard->host, sizeof(guard->host), "%s", host);
    guard->any_host = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

void guard_clear(struct guard *guard)
{
    explicit_bzero(guard, sizeof(*guard));
}

bool guard_check_key(const struct guard *guard, const char *authorization, struct err *err)
{
    if (!guard->has_key)
        return true;
    const char *scheme = "Bearer ";
    if (!authorization || strncasecmp(authorization, scheme, strlen(scheme)) != 0)
        return err_set(err, ERR_UNAUTHORIZED,
                       "an API key is needed: send the header \"Authorization: Bearer KEY\"");
    const char *key = authorization + strlen(scheme);
    key += strspn(key, " ");
    /* Hashes are compared, so that neither the length nor the first difference shows in the time. */
    struct hash given = hash_bytes(key, strlen(key));
    if (!hash_secret_equal(&given, &guard->key, sizeof(given)))
        return err_set(err, ERR_UNAUTHORIZED,
                       "the API key is not the one in the file server.api_key_file");
    return true;
}

bool guard_is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* Takes "host", "host:port", "[v6]" or "[v6]:port" apart; false when it is none of them. */
static bool host_of(const char *authority, char out[GUARD_HOST_MAX])
{
    const char *begin = authority;
    size_t length = 0;
    const char *rest = "";
    if (*authority == '[') {
        begin++;
        length = strcspn(begin, "]");
        if (begin[length] != ']')
            return false;
        rest = begin + length + 1;
    } else {
        length = strcspn(begin, ":");
        rest = begin + length;
    }
    if (length == 0 || length >= GUARD_HOST_MAX)
        return false;
    if (*rest == ':')
        rest += 1 + strspn(rest + 1, "0123456789");
    memcpy(out, begin, length);
    out[length] = '\0';
    return *rest == '\0';
}

static bool host_is_ours(const struct guard *guard, const char *authority)
{
    char host[GUARD_HOST_MAX];
    return host_of(authority, host) &&
           (guard_is_loopback(host) || strcasecmp(host, guard->host) == 0);
}

bool guard_check_host(const struct guard *guard, const char *host, struct err *err)
{
    if (!host || guard->any_host || host_is_ours(guard, host))
        return true;
    return err_set(err, ERR_FORBIDDEN,
                   "the Host header \"%s\" is not an address of this service; use "
                   "http://127.0.0.1 or http://localhost",
                   host);
}

bool guard_check_origin(const struct guard *guard, const char *origin, struct err *err)
{
    if (!origin)
        return true;
    const char *authority = strstr(origin, "://");
    bool web = strncasecmp(origin, "http://", 7) == 0 || strncasecmp(origin, "https://", 8) == 0;
    if (web && host_is_ours(guard, authority + 3))
        return true;
    return err_set(err, ERR_FORBIDDEN,
                   "pages of \"%s\" may not use this service; only pages of this machine may",
                   origin);
}
