/* pull_plan.c - the hub's list of a repository's files, and the choice among them.
 *
 * The list is GET /api/models/OWNER/REPO/tree/main?recursive=true: an array of {"type", "path", "size"} where a large
 * file has "lfs": {"oid", "size"}, whose oid is the SHA-256 of its content. A list that is longer than a page names the
 * next one in a Link header.
 *
 * Without a wish Q4_K_M is taken, the usual balance of size and quality. When it is not there, or does not fit the
 * memory that models may take, the first of `preferred` that is there and fits.
 */
#include "orchestrator/pull_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/vec.h"

enum { NAMES_SHOWN_MAX = 400, MEMORY_EXTRA_MIB = 256 };

/* What is tried where nothing was asked for: the usual one, its neighbours, then larger and smaller ones. */
static const char *const preferred[] = {
    "Q4_K_M", "Q4_K_S", "IQ4_NL", "IQ4_XS", "Q4_0",   "Q5_K_M", "Q5_K_S", "Q5_0",  "Q6_K",
    "Q8_0",   "MXFP4",  "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M",  "IQ3_XS", "Q2_K",  "IQ2_M",
    "F16",    "BF16",   "FP16",   "F32",    "FP32",   "IQ2_XS", "TQ2_0",  "IQ1_M", "TQ1_0",
};

/* ---------------------------------------------------------------- choosing */

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), end = strlen(ending);
    return length >= end && strcasecmp(text + length - end, ending) == 0;
}

/* Whether a file is the (first) file of a model. Projectors of images ("mmproj-…") and importance matrices are none. */
static bool is_model(const char *path)
{
    unsigned part, parts;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!ends_with(name, ".gguf") || strcasestr(name, "mmproj") || strcasestr(name, "imatrix"))
        return false;
    return !pull_split_of(name, &part, &parts) || part == 1;
}

static bool find_path(const struct pull_listed *files, size_t count, const char *path, size_t *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(files[i].path, path) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

/* Bytes of the whole model that a first file begins; 0 when parts of it are missing. */
static uint64_t model_bytes(const struct pull_listed *files, size_t count, size_t first)
{
    unsigned part, parts;
    if (!pull_split_of(files[first].path, &part, &parts))
        return files[first].bytes;
    struct arena arena;
    arena_init(&arena, (size_t)PULL_SPLITS_MAX * 4096);
    uint64_t sum = 0;
    for (unsigned i = 1; i <= parts; i++) {
        size_t at;
        const char *name = pull_split_name(&arena, files[first].path, i);
        if (!name || !find_path(files, count, name, &at)) {
            sum = 0;
            break;
        }
        sum += files[at].bytes;
    }
    arena_free(&arena);
    return sum;
}

static bool fits(uint64_t bytes, uint64_t memory_bytes)
{
    return memory_bytes == 0 ||
           bytes + bytes / 8 + ((uint64_t)MEMORY_EXTRA_MIB << 20) <= memory_bytes;
}

/* The best file of a quantisation: whole, and the one with the shortest name, which has the fewest additions to it. */
static bool find_quant(const struct pull_listed *files, size_t count, const char *quant,
                       uint64_t memory_bytes, size_t *ret)
{
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        char of[PULL_QUANT_MAX];
        pull_quant_of(files[i].path, of);
        if (!is_model(files[i].path) || strcasecmp(of, quant) != 0)
            continue;
        uint64_t bytes = model_bytes(files, count, i);
        if (bytes == 0 || !fits(bytes, memory_bytes))
            continue;
        if (!found || strlen(files[i].path) < strlen(files[*ret].path))
            *ret = i;
        found = true;
    }
    return found;
}

/* "Q4_K_M, Q8_0", for a message: each once. */
static void list_quants(const struct pull_listed *files, size_t count, char out[NAMES_SHOWN_MAX])
{
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char quant[PULL_QUANT_MAX];
        pull_quant_of(files[i].path, quant);
        size_t used = strlen(out);
        const char *seen = *quant ? strstr(out, quant) : NULL;
        bool again = seen && (seen[strlen(quant)] == ',' || seen[strlen(quant)] == '\0');
        if (is_model(files[i].path) && *quant && !again)
            snprintf(out + used, NAMES_SHOWN_MAX - used, "%s%s", used ? ", " : "", quant);
    }
}

static bool choose_file(const struct pull_listed *files, size_t count,
                        const struct pull_source *source, size_t *ret, struct err *err)
{
    if (!find_path(files, count, source->file, ret))
        return err_set(err, ERR_NOT_FOUND, "there is no file \"%s\" in %s", source->file,
                       source->repo);
    unsigned part, parts;
    if (!pull_split_of(source->file, &part, &parts) || part == 1)
        return true;
    struct arena arena;
    arena_init(&arena, 64 * 1024);
    const char *first = pull_split_name(&arena, source->file, 1);
    bool ok = first && find_path(files, count, first, ret);
    arena_free(&arena);
    return ok || err_set(err, ERR_NOT_FOUND, "the first part of \"%s\" is missing in %s",
                         source->file, source->repo);
}

/* Nothing was asked for: a repository with one model needs no choice, whatever that is called. */
static bool choose_freely(const struct pull_listed *files, size_t count,
                          const struct pull_source *source, uint64_t memory_bytes, size_t *ret,
                          struct err *err)
{
    size_t models = 0, only = 0;
    uint64_t smallest = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = is_model(files[i].path) ? model_bytes(files, count, i) : 0;
        if (bytes == 0)
            continue;
        models++;
        only = i;
        smallest = bytes < smallest ? bytes : smallest;
    }
    for (size_t i = 0; i < sizeof(preferred) / sizeof(*preferred); i++)
        if (find_quant(files, count, preferred[i], memory_bytes, ret))
            return true;
    if (models == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "%s has no GGUF files; look for a repository with \"GGUF\" in its name",
                       source->repo);
    if (!fits(smallest, memory_bytes))
        return err_set(err, ERR_MODEL_TOO_LARGE,
                       "the smallest model of %s has %llu MiB and models may take %llu MiB here; "
                       "name one to fetch it all the same, or see: jarvis pull --recommend",
                       source->repo, (unsigned long long)(smallest >> 20),
                       (unsigned long long)(memory_bytes >> 20));
    if (models == 1) {
        *ret = only;
        return true;
    }
    return err_set(err, ERR_INVALID_REQUEST, "%s has %zu models; say which one: hf:%s/FILE.gguf",
                   source->repo, models, source->repo);
}

bool pull_choose(const struct pull_listed *files, size_t count, const struct pull_source *source,
                 uint64_t memory_bytes, size_t *ret, struct err *err)
{
    if (*source->file)
        return choose_file(files, count, source, ret, err);
    if (!*source->quant)
        return choose_freely(files, count, source, memory_bytes, ret, err);
    if (find_quant(files, count, source->quant, 0, ret))
        return true;
    char quants[NAMES_SHOWN_MAX];
    list_quants(files, count, quants);
    return err_set(err, ERR_NOT_FOUND, "%s has no %s; it has: %s", source->repo, source->quant,
                   *quants ? quants : "-");
}

/* ---------------------------------------------------------------- the hub's list */

struct listing {
    struct arena *arena;
    struct str body; /* of the page that is being read */
    struct pull_listed *files;
    size_t count;
    size_t capacity;
};

static bool on_bytes(void *user, const void *bytes, size_t length, struct err *err)
{
    struct listing *listing = user;
    str_append(&listing->body, bytes, length);
    return str_check(&listing->body, "the hub's list of files", err);
}

static bool add_file(struct listing *listing, yyjson_val *entry, struct err *err)
{
    const char *path = yyjson_get_str(yyjson_obj_get(entry, "path"));
    const char *type = yyjson_get_str(yyjson_obj_get(entry, "type"));
    yyjson_val *lfs = yyjson_obj_get(entry, "lfs");
    const char *oid = yyjson_get_str(yyjson_obj_get(lfs, "oid"));
    yyjson_val *size = yyjson_obj_get(lfs ? lfs : entry, "size");
    if (!path || !pull_path_safe(path) || (type && strcmp(type, "file") != 0))
        return true;
    if (!vec_reserve(&listing->files, &listing->capacity, listing->count + 1,
                     sizeof(*listing->files), PULL_FILES_MAX, err))
        return false;
    struct pull_listed file = {.path = arena_copy(listing->arena, path),
                               .bytes = yyjson_get_uint(size)};
    if (oid && strncmp(oid, "sha256:", 7) == 0)
        oid += 7;
    if (oid && strspn(oid, "0123456789abcdefABCDEF") == PULL_SHA256_HEX - 1 &&
        strlen(oid) == PULL_SHA256_HEX - 1)
        memcpy(file.sha256, oid, PULL_SHA256_HEX);
    if (!file.path)
        return err_no_memory(err);
    listing->files[listing->count++] = file;
    return true;
}

static bool read_page(struct listing *listing, struct err *err)
{
    yyjson_doc *doc;
    if (!json_parse(str_text(&listing->body), listing->body.length, "the hub's list of files", &doc,
                    err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok =
        yyjson_is_arr(root) || err_set(err, ERR_PROTOCOL,
                                       "the hub's list of files is not a list; is pull.hub_url "
                                       "the address of a hub?");
    yyjson_arr_iter walk = yyjson_arr_iter_with(root);
    yyjson_val *entry;
    while (ok && (entry = yyjson_arr_iter_next(&walk)))
        ok = add_file(listing, entry, err);
    yyjson_doc_free(doc);
    str_truncate(&listing->body, 0);
    return ok;
}

/* Reads all pages. A page at another host is none of the hub's. */
static bool read_list(const struct pull_options *options, const char *repo, struct pull_http *http,
                      const struct wait *wait, struct listing *listing, struct err *err)
{
    const char *url = arena_printf(listing->arena, "%s/api/models/%s/tree/main?recursive=true",
                                   options->hub_url, repo);
    for (int page = 0; page < PULL_PAGES_MAX; page++) {
        struct pull_reply reply;
        const struct pull_get get = {
            .url = url, .token = options->token, .bytes = on_bytes, .user = listing};
        if (!url)
            return err_no_memory(err);
        if (!pull_http_get(http, &get, wait, &reply, err) || !read_page(listing, err))
            return false;
        if (strncmp(reply.next, options->hub_url, strlen(options->hub_url)) != 0)
            return true;
        url = arena_copy(listing->arena, reply.next);
    }
    return err_set(err, ERR_TOO_LARGE, "%s has too many files to list them; name one: hf:%s/FILE",
                   repo, repo);
}

/* ---------------------------------------------------------------- plans */

static bool hub_item(const struct pull_options *options, const char *repo,
                     const struct pull_listed *file, struct arena *arena, struct pull_item *ret,
                     struct err *err)
{
    struct str url;
    str_init(&url, 8192);
    str_printf(&url, "%s/%s/resolve/main/", options->hub_url, repo);
    bool ok = pull_http_escape(file->path, &url, err);
    struct pull_item item = {.bytes = file->bytes};
    memcpy(item.sha256, file->sha256, sizeof(item.sha256));
    item.from = ok ? arena_copy(arena, str_text(&url)) : NULL;
    item.to = arena_printf(arena, "%s/%s", repo, file->path);
    str_free(&url);
    if (!ok)
        return false;
    *ret = item;
    return (item.from && item.to) || err_no_memory(err);
}

static bool plan_hub_items(const struct pull_options *options, const struct pull_source *source,
                           const struct listing *listing, size_t first, struct pull_plan *plan,
                           struct err *err)
{
    struct arena *arena = listing->arena;
    const struct pull_listed *file = &listing->files[first];
    unsigned part, parts = 1;
    bool split = pull_split_of(file->path, &part, &parts);
    char quant[PULL_QUANT_MAX];
    pull_quant_of(file->path, quant);
    plan->quant = arena_copy(arena, quant);
    plan->items = arena_array(arena, parts, sizeof(*plan->items));
    if (!plan->quant || !plan->items)
        return err_no_memory(err);
    for (plan->count = 0; plan->count < parts; plan->count++) {
        size_t at = first;
        const char *name =
            split ? pull_split_name(arena, file->path, (unsigned)plan->count + 1) : file->path;
        if (!name || !find_path(listing->files, listing->count, name, &at))
            return err_set(err, ERR_NOT_FOUND, "part %zu of \"%s\" is missing in %s",
                           plan->count + 1, file->path, source->repo);
        if (!hub_item(options, source->repo, &listing->files[at], arena, &plan->items[plan->count],
                      err))
            return false;
    }
    return true;
}

static bool plan_hub(const struct pull_options *options, const struct pull_source *source,
                     struct pull_http *http, const struct wait *wait, struct arena *arena,
                     struct pull_plan *plan, struct err *err)
{
    struct listing listing = {.arena = arena};
    str_init(&listing.body, PULL_LIST_MAX);
    size_t first;
    bool ok =
        (pull_url_allowed(options->hub_url) ||
         err_set_param(err, ERR_CONFIG, "pull.hub_url",
                       "pull.hub_url must be an https:// address, and is \"%s\"",
                       options->hub_url)) &&
        read_list(options, source->repo, http, wait, &listing, err) &&
        pull_choose(listing.files, listing.count, source, options->memory_bytes, &first, err) &&
        plan_hub_items(options, source, &listing, first, plan, err);
    str_free(&listing.body);
    free(listing.files);
    return ok;
}

/* The folder for what comes from an address: its host, without the port's colon. */
static const char *host_folder(struct arena *arena, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    char *folder = arena_copy_n(arena, host, strcspn(host, "/?#"));
    for (char *c = folder; c && *c; c++)
        if (*c == ':' || *c == '[' || *c == ']')
            *c = '-';
    return folder && pull_path_safe(folder) ? folder : "web";
}

/* `from` with the name at its end, up to a '?', replaced. */
static const char *with_name(struct arena *arena, const char *from, const char *name)
{
    size_t path = strcspn(from, "?#");
    size_t begin = path;
    while (begin > 0 && from[begin - 1] != '/')
        begin--;
    return arena_printf(arena, "%.*s%s%s", (int)begin, from, name, from + path);
}

/* One address or path, and the other parts when it is one of several. */
static bool plan_named(const char *from, const char *folder, struct arena *arena,
                       struct pull_plan *plan, struct err *err)
{
    const char *name = pull_file_name(arena, from);
    unsigned part, parts = 1;
    bool split = pull_split_of(name, &part, &parts);
    char quant[PULL_QUANT_MAX];
    pull_quant_of(name, quant);
    plan->quant = arena_copy(arena, quant);
    plan->items = arena_array(arena, parts, sizeof(*plan->items));
    if (!plan->quant || !plan->items)
        return err_no_memory(err);
    if (!*name)
        return err_set_param(err, ERR_INVALID_REQUEST, "source",
                             "\"%s\" does not end in the name of a file", from);
    for (plan->count = 0; plan->count < parts; plan->count++) {
        struct pull_item *item = &plan->items[plan->count];
        const char *of = split ? pull_split_name(arena, name, (unsigned)plan->count + 1) : name;
        item->from = of ? with_name(arena, from, of) : NULL;
        item->to = of ? arena_printf(arena, "%s/%s", folder, of) : NULL;
        if (!item->from || !item->to)
            return err_no_memory(err);
    }
    return true;
}

bool pull_plan_make(const struct pull_options *options, const struct pull_source *source,
                    struct pull_http *http, const struct wait *wait, struct arena *arena,
                    struct pull_plan *ret, struct err *err)
{
    struct pull_plan plan = {.kind = source->kind};
    bool ok = false;
    switch (source->kind) {
    case PULL_HUB: ok = plan_hub(options, source, http, wait, arena, &plan, err); break;
    case PULL_URL:
        ok = plan_named(source->url, host_folder(arena, source->url), arena, &plan, err);
        break;
    case PULL_FILE: ok = plan_named(source->path, "local", arena, &plan, err); break;
    }
    if (ok)
        *ret = plan;
    return ok;
}
