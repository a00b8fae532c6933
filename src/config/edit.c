/* edit.c - changing "models" in the text of the file, and nothing else.
 *
 * The file is parsed first (a broken one is not touched), the place is found with jsonc.h, a few bytes are cut and
 * put, and the result is parsed again before it replaces the file atomically. A lock on the folder makes one of
 * two commands that edit at the same time wait for the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "config/load.h"
#include "config/print.h"

enum { LOCK_WAIT_MS = 5000, LOCK_STEP_MS = 20, PATCHES_MAX = 3 };

/* Replaces text[begin..end) by `insert`. */
struct patch {
    size_t begin;
    size_t end;
    const char *insert;
};

struct edit {
    const char *text;
    size_t length;
    struct patch patches[PATCHES_MAX]; /* ascending */
    int count;
};

static void add_patch(struct edit *edit, size_t begin, size_t end, const char *insert)
{
    edit->patches[edit->count++] = (struct patch){begin, end, insert};
}

static void apply(const struct edit *edit, struct str *out)
{
    size_t at = 0;
    for (int i = 0; i < edit->count; i++) {
        const struct patch *patch = &edit->patches[i];
        str_append(out, edit->text + at, patch->begin - at);
        str_puts(out, patch->insert);
        at = patch->end;
    }
    str_append(out, edit->text + at, edit->length - at);
}

static size_t line_begin(const char *text, size_t at)
{
    while (at > 0 && text[at - 1] != '\n')
        at--;
    return at;
}

/* Number of blanks at the beginning of the line that `at` is on. */
static size_t line_indent(const char *text, size_t at)
{
    size_t begin = line_begin(text, at);
    size_t blanks = 0;
    while (begin + blanks < at && (text[begin + blanks] == ' ' || text[begin + blanks] == '\t'))
        blanks++;
    return blanks;
}

static bool first_on_line(const char *text, size_t at)
{
    return line_begin(text, at) + line_indent(text, at) == at;
}

static bool has_newline(const char *text, size_t begin, size_t end)
{
    return memchr(text + begin, '\n', end - begin) != NULL;
}

/* A container's items: the last one, if any, and where the closing bracket is. */
struct contents {
    struct jsonc_item last;
    bool any;
    size_t close;
};

static void read_contents(const struct edit *edit, size_t container, struct contents *ret)
{
    struct jsonc_walk walk;
    jsonc_open(&walk, edit->text, edit->length, container);
    ret->any = false;
    while (jsonc_next(&walk, &ret->last))
        ret->any = true;
    ret->close = walk.close;
}

/* Writes the text with `item` as the last of the container: on the same line where the container is on one, else on
 * a line of its own after every comment that is there. */
static void insert_last(struct edit *edit, size_t container, const char *item, struct str *out)
{
    const char *text = edit->text;
    struct contents in;
    read_contents(edit, container, &in);
    size_t at = jsonc_before_space(text, in.close);
    bool inline_item = in.any && !has_newline(text, container, in.close) && !strchr(item, '\n');
    size_t outer = line_indent(text, container);
    size_t inner = in.any && first_on_line(text, in.last.value.begin)
                       ? line_indent(text, in.last.value.begin)
                       : outer + 2;
    if (in.any && first_on_line(text, in.last.key.begin) && in.last.key.end > in.last.key.begin)
        inner = line_indent(text, in.last.key.begin);

    struct str insert;
    str_init(&insert, CONFIG_FILE_MAX);
    if (inline_item)
        str_printf(&insert, " %s", item);
    else
        str_printf(&insert, "\n%*s%s", (int)inner, "", item);
    if (!inline_item && !has_newline(text, at, in.close))
        str_printf(&insert, "\n%*s", (int)outer, "");
    if (in.any && in.last.comma == edit->length)
        add_patch(edit, in.last.value.end, in.last.value.end, ",");
    add_patch(edit, at, at, str_text(&insert));
    if (str_ok(&insert))
        apply(edit, out);
    else
        out->failed = true;
    str_free(&insert);
}

/* Where "models" stands: its value, in the outermost object. */
static bool find_models(const struct edit *edit, struct jsonc_span *ret)
{
    static const char key[] = "\"models\"";
    struct jsonc_walk walk;
    struct jsonc_item item;
    jsonc_open(&walk, edit->text, edit->length, jsonc_root(edit->text, edit->length));
    while (jsonc_next(&walk, &item)) {
        if (item.key.end - item.key.begin == strlen(key) &&
            memcmp(edit->text + item.key.begin, key, strlen(key)) == 0) {
            *ret = item.value;
            return true;
        }
    }
    return false;
}

/* The entry at a position of the list, and the one before it (comma at edit->length when there is none). */
static bool find_item(const struct edit *edit, size_t list, size_t index, struct jsonc_item *ret,
                      struct jsonc_item *ret_previous)
{
    struct jsonc_walk walk;
    struct jsonc_item item = {.comma = edit->length};
    jsonc_open(&walk, edit->text, edit->length, list);
    for (size_t i = 0;; i++) {
        *ret_previous = item;
        if (!jsonc_next(&walk, &item))
            return false;
        if (i == index) {
            *ret = item;
            return true;
        }
    }
}

static void put_with_entry(struct edit *edit, const struct config *config,
                           const struct model_entry *entry, struct str *out)
{
    struct str item;
    str_init(&item, CONFIG_FILE_MAX);
    struct jsonc_span models;
    struct jsonc_item found;
    struct jsonc_item previous;
    const struct model_entry *same = config_model(config, entry->name);
    if (!find_models(edit, &models)) {
        str_puts(&item, "\"models\": [\n    ");
        model_entry_put(entry, &item);
        str_puts(&item, "\n  ]");
        insert_last(edit, jsonc_root(edit->text, edit->length), str_text(&item), out);
    } else if (edit->text[models.begin] != '[') { /* null */
        str_puts(&item, "[\n    ");
        model_entry_put(entry, &item);
        str_puts(&item, "\n  ]");
        add_patch(edit, models.begin, models.end, str_text(&item));
        apply(edit, out);
    } else if (same &&
               find_item(edit, models.begin, (size_t)(same - config->models), &found, &previous)) {
        model_entry_put(entry, &item);
        add_patch(edit, found.value.begin, found.value.end, str_text(&item));
        apply(edit, out);
    } else {
        model_entry_put(entry, &item);
        insert_last(edit, models.begin, str_text(&item), out);
    }
    out->failed = out->failed || item.failed;
    str_free(&item);
}

/* Cuts one entry with its comma, and the line when nothing else is on it. */
static void put_without_item(struct edit *edit, size_t list, size_t index, struct str *out)
{
    const char *text = edit->text;
    struct jsonc_item item;
    struct jsonc_item previous;
    if (!find_item(edit, list, index, &item, &previous)) {
        out->failed = true;
        return;
    }
    size_t begin = item.value.begin;
    size_t end = item.comma < edit->length ? item.comma + 1 : item.value.end;
    if (item.comma == edit->length && previous.comma < edit->length)
        add_patch(edit, previous.comma, previous.comma + 1, "");
    size_t after = end + strspn(text + end, " \t");
    if (first_on_line(text, begin) && text[after] == '\n') {
        begin = line_begin(text, begin);
        end = after + 1;
    } else if (!first_on_line(text, begin)) {
        end = after;
    }
    add_patch(edit, begin, end, "");
    apply(edit, out);
}

/* Locks the folder of the file; the descriptor is the lock. */
static bool lock_folder(const char *path, int *ret_fd, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *folder;
    if (!str_copy_n(slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1, &folder, err))
        return false;
    int fd = -1;
    bool ok = fs_make_dirs(folder, err);
    if (ok) {
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ok = fd >= 0 || err_set_errno(err, ERR_IO, errno, "cannot open the folder \"%s\"", folder);
    }
    deadline until = deadline_in_ms(LOCK_WAIT_MS);
    while (ok && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            break; /* a file system without locks: go on without */
        const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
        if (deadline_passed(until))
            ok = err_set(err, ERR_BUSY, "another program is changing \"%s\"; try again", path);
        else
            nanosleep(&step, NULL);
    }
    free(folder);
    if (!ok) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    *ret_fd = fd;
    return true;
}

/* The file's text, or the text of a new one. */
static bool read_text(const char *path, char **ret, size_t *ret_length, struct err *err)
{
    struct err failed;
    if (fs_read(path, CONFIG_FILE_MAX, ret, ret_length, &failed))
        return true;
    if (failed.code != ERR_NOT_FOUND) {
        if (err)
            *err = failed;
        return false;
    }
    struct str skeleton;
    str_init(&skeleton, CONFIG_FILE_MAX);
    config_put_skeleton(lang_from_environment(), &skeleton);
    size_t length = skeleton.length;
    char *text = str_take(&skeleton);
    if (!text)
        return err_no_memory(err);
    *ret = text;
    *ret_length = length;
    return true;
}

static bool edit_text(struct edit *edit, const char *path, const struct model_entry *add,
                      const char *remove, struct str *out, struct err *err)
{
    struct config *config;
    if (!config_parse(edit->text, edit->length, path, &config, err))
        return false;
    bool ok = true;
    struct jsonc_span models;
    const struct model_entry *found = remove ? config_model(config, remove) : NULL;
    if (add)
        put_with_entry(edit, config, add, out);
    else if (found && find_models(edit, &models))
        put_without_item(edit, models.begin, (size_t)(found - config->models), out);
    else
        ok = err_set_param(err, ERR_MODEL_NOT_FOUND, "model", "%s names no model \"%s\"", path,
                           remove);
    config_free(config);
    return ok && str_check(out, path, err);
}

/* The edited text must say what was asked, before it may replace the file. */
static bool verify(const struct str *edited, const char *path, const char *name, bool present,
                   struct err *err)
{
    struct config *config;
    if (!config_parse(str_text(edited), edited->length, path, &config, err))
        return false;
    bool ok = (config_model(config, name) != NULL) == present;
    config_free(config);
    return ok || err_set(err, ERR_INTERNAL,
                         "could not change the models in \"%s\"; edit the file by hand", path);
}

static bool edit_locked(const char *path, const struct model_entry *add, const char *remove,
                        struct err *err)
{
    char *text;
    size_t length;
    if (!read_text(path, &text, &length, err))
        return false;
    struct stat info;
    unsigned mode = stat(path, &info) == 0 ? info.st_mode & 0777 : 0600;
    struct edit edit = {.text = text, .length = length};
    struct str edited;
    str_init(&edited, CONFIG_FILE_MAX);
    bool ok = edit_text(&edit, path, add, remove, &edited, err) &&
              verify(&edited, path, add ? add->name : remove, add != NULL, err) &&
              fs_write_atomic(path, str_text(&edited), edited.length, mode, err);
    str_free(&edited);
    free(text);
    return ok;
}

/* A link to the file (as people have who keep their settings elsewhere) stays a link. */
static bool edit_file(const char *path, const struct model_entry *add, const char *remove,
                      struct err *err)
{
    char *real = NULL;
    if (!fs_real_path(path, &real, NULL) && !str_copy(path, &real, err))
        return false;
    int lock;
    bool ok = lock_folder(real, &lock, err);
    if (ok) {
        ok = edit_locked(real, add, remove, err);
        close(lock);
    }
    free(real);
    return ok;
}

bool config_add_model(const char *path, const struct model_entry *entry, struct err *err)
{
    if (!model_name_check(entry->name, path, err) || !model_path_check(entry->path, path, err))
        return false;
    return edit_file(path, entry, NULL, err);
}

bool config_remove_model(const char *path, const char *name, struct err *err)
{
    return edit_file(path, NULL, name, err);
}
