#include "orchestrator/pull_source.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SOURCE_MAX = 4096, SPLIT_DIGITS = 5 };

/* ---------------------------------------------------------------- names */

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), end = strlen(ending);
    return length >= end && strcasecmp(text + length - end, ending) == 0;
}

bool pull_path_safe(const char *path)
{
    if (*path == '\0' || strlen(path) >= SOURCE_MAX)
        return false;
    for (const char *segment = path;; segment++) {
        size_t length = strcspn(segment, "/");
        if (length == 0 || length > 255 || segment[0] == '.')
            return false;
        for (size_t i = 0; i < length; i++)
            if ((unsigned char)segment[i] < 0x20 || segment[i] == 0x7f || segment[i] == '\\')
                return false;
        segment += length;
        if (*segment == '\0')
            return true;
    }
}

const char *pull_file_name(struct arena *arena, const char *path)
{
    size_t length = strcspn(path, "?#");
    size_t begin = length;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    const char *name = arena_copy_n(arena, path + begin, length - begin);
    return name && pull_path_safe(name) ? name : "";
}

/* True for what quantisations are called: Q4_K_M, IQ2_XXS, TQ1_0, MXFP4, F16, BF16 …, with "UD-" and the like cut off. */
static bool is_quant(const char *word, size_t length)
{
    static const char *const floats[] = {"F16", "F32", "BF16", "FP16", "FP32", "MXFP4"};
    for (size_t i = 0; i < sizeof(floats) / sizeof(*floats); i++)
        if (length == strlen(floats[i]) && strncasecmp(word, floats[i], length) == 0)
            return true;
    size_t at = length > 2 && strchr("iItT", word[0]) ? 1 : 0;
    if (length < at + 2 || toupper((unsigned char)word[at]) != 'Q' ||
        !isdigit((unsigned char)word[at + 1]))
        return false;
    return length == at + 2 || word[at + 2] == '_';
}

static void copy_upper(const char *word, size_t length, char *out)
{
    for (size_t i = 0; i < length; i++)
        out[i] = (char)toupper((unsigned char)word[i]);
    out[length] = '\0';
}

void pull_quant_of(const char *name, char out[PULL_QUANT_MAX])
{
    out[0] = '\0';
    const char *slash = strrchr(name, '/');
    const char *at = slash ? slash + 1 : name;
    while (*at) {
        size_t length = strcspn(at, "-./: ");
        if (length < PULL_QUANT_MAX && is_quant(at, length))
            copy_upper(at, length, out); /* the last one counts */
        at += length + (at[length] != '\0');
    }
}

/* Where "-00002-of-00003.gguf" begins. */
static const char *split_suffix(const char *name)
{
    size_t length = strlen(name);
    size_t suffix = strlen("-00001-of-00001.gguf");
    return length > suffix && ends_with(name, ".gguf") ? name + length - suffix : NULL;
}

static bool read_digits(const char *text, unsigned *ret)
{
    unsigned number = 0;
    for (int i = 0; i < SPLIT_DIGITS; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *ret = number;
    return true;
}

bool pull_split_of(const char *name, unsigned *ret_part, unsigned *ret_count)
{
    const char *suffix = split_suffix(name);
    unsigned part, count;
    if (!suffix || suffix[0] != '-' || !read_digits(suffix + 1, &part) ||
        strncmp(suffix + 1 + SPLIT_DIGITS, "-of-", 4) != 0 ||
        !read_digits(suffix + 5 + SPLIT_DIGITS, &count))
        return false;
    if (part < 1 || part > count || count > PULL_SPLITS_MAX)
        return false;
    *ret_part = part;
    *ret_count = count;
    return true;
}

char *pull_split_name(struct arena *arena, const char *name, unsigned part)
{
    const char *suffix = split_suffix(name);
    if (!suffix)
        return arena_copy(arena, name);
    return arena_printf(arena, "%.*s-%05u%s", (int)(suffix - name), name, part,
                        suffix + 1 + SPLIT_DIGITS);
}

/* ---------------------------------------------------------------- addresses */

/* Whether the host of "http://HOST[:PORT][/…]" is this machine. */
static bool is_loopback(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        size_t length = strlen(names[i]);
        if (strncasecmp(host, names[i], length) == 0 &&
            (!host[length] || strchr(":/?#", host[length])))
            return true;
    }
    return false;
}

bool pull_url_allowed(const char *url)
{
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7f || *c == '\\')
            return false;
    size_t authority = 0;
    if (strncasecmp(url, "https://", 8) == 0)
        authority = 8;
    else if (strncasecmp(url, "http://", 7) == 0 && is_loopback(url + 7))
        authority = 7;
    const char *host = url + authority;
    size_t length = strcspn(host, "/?#");
    return authority > 0 && length > 0 && !memchr(host, '@', length);
}

/* ---------------------------------------------------------------- sources */

/* OWNER, REPO and files consist of letters, digits and -_. like the hub's own names. */
static bool is_hub_name(const char *name, size_t length)
{
    if (length == 0 || length > 96 || name[0] == '.' || name[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    return true;
}

static bool parse_hub(const char *text, struct arena *arena, struct pull_source *ret,
                      struct err *err)
{
    size_t owner = strcspn(text, "/:");
    const char *repo = text + owner + (text[owner] == '/');
    size_t repo_length = strcspn(repo, "/:");
    const char *rest = repo + repo_length;
    if (text[owner] != '/' || !is_hub_name(text, owner) || !is_hub_name(repo, repo_length))
        return err_set_param(err, ERR_INVALID_REQUEST, "source",
                             "\"hf:%s\" does not name a repository; write hf:OWNER/REPO or "
                             "hf:OWNER/REPO:Q4_K_M",
                             text);
    *ret = (struct pull_source){.kind = PULL_HUB, .file = "", .quant = ""};
    ret->repo = arena_copy_n(arena, text, (size_t)(rest - text));
    if (*rest == ':')
        ret->quant = arena_copy(arena, rest + 1);
    else if (*rest == '/')
        ret->file = arena_copy(arena, rest + 1);
    if (!ret->repo || !ret->quant || !ret->file)
        return err_no_memory(err);
    if (*rest == ':' && !is_hub_name(ret->quant, strlen(ret->quant)))
        return err_set_param(err, ERR_INVALID_REQUEST, "source",
                             "\"%s\" is not the name of a quantisation; write for example "
                             "hf:%s:Q4_K_M",
                             ret->quant, ret->repo);
    if (*rest == '/' && !pull_path_safe(ret->file))
        return err_set_param(err, ERR_INVALID_REQUEST, "source",
                             "\"%s\" is not the name of a file in a repository", ret->file);
    return true;
}

static bool parse_file(const char *path, struct arena *arena, struct pull_source *ret,
                       struct err *err)
{
    if (strncmp(path, "//", 2) == 0) /* file:///path */
        path += 2;
    if (*path != '/')
        return err_set_param(err, ERR_INVALID_REQUEST, "source",
                             "\"file:%s\" must name the file from / on", path);
    *ret = (struct pull_source){.kind = PULL_FILE, .path = arena_copy(arena, path)};
    return ret->path || err_no_memory(err);
}

static bool parse_url(const char *url, struct arena *arena, struct pull_source *ret,
                      struct err *err)
{
    if (!pull_url_allowed(url))
        return err_set_param(
            err, ERR_INVALID_REQUEST, "source",
            "\"%s\" cannot be fetched from: only https:// addresses are, without a "
            "password in them",
            url);
    *ret = (struct pull_source){.kind = PULL_URL, .url = arena_copy(arena, url)};
    if (!ret->url)
        return err_no_memory(err);
    if (*pull_file_name(arena, strstr(url, "://") + 3) == '\0' ||
        !strchr(strstr(url, "://") + 3, '/'))
        return err_set_param(err, ERR_INVALID_REQUEST, "source",
                             "the address \"%s\" does not end in the name of a file", url);
    return true;
}

bool pull_source_parse(const char *text, struct arena *arena, struct pull_source *ret,
                       struct err *err)
{
    if (strlen(text) >= SOURCE_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "source",
                             "the source is longer than %d characters", SOURCE_MAX - 1);
    if (strncmp(text, "hf:", 3) == 0)
        return parse_hub(text + 3, arena, ret, err);
    if (strncmp(text, "file:", 5) == 0)
        return parse_file(text + 5, arena, ret, err);
    if (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0)
        return parse_url(text, arena, ret, err);
    return err_set_param(err, ERR_INVALID_REQUEST, "source",
                         "\"%s\" is no source of models; write hf:OWNER/REPO, https://… or "
                         "file:/…, or see: jarvis pull --recommend",
                         text);
}
