#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/vec.h"
#include "cli/eval_speech.h"

enum {
    ITEMS_MAX = 1000 * 1000,
    FILE_MAX = 256 << 20,
    TEXT_MAX = 1 << 20,
    ARENA_MAX = 1 << 30,
};

static bool add(struct speech_set *set, const char *folder, const char *wav, const char *language,
                const char *text, struct err *err)
{
    if (!vec_reserve(&set->items, &set->capacity, set->count + 1, sizeof(*set->items), ITEMS_MAX,
                     err))
        return false;
    struct speech_item *item = &set->items[set->count];
    item->path = wav[0] == '/' ? arena_copy(&set->arena, wav)
                               : arena_printf(&set->arena, "%s/%s", folder, wav);
    item->text = arena_copy(&set->arena, text);
    bool known = language[0] && strcmp(language, "-") != 0;
    snprintf(item->language, sizeof(item->language), "%s", known ? language : "");
    if (!item->path || !item->text)
        return err_no_memory(err);
    set->count++;
    return true;
}

/* ---------------------------------------------------------------- manifest.tsv */

static bool read_line(struct speech_set *set, const char *folder, char *line, struct err *err)
{
    char *rest = line;
    const char *wav = strsep(&rest, "\t");
    const char *language = rest ? strsep(&rest, "\t") : NULL;
    const char *text = rest ? strsep(&rest, "\t") : NULL;
    if (!language || !text)
        return err_set(err, ERR_INVALID_REQUEST,
                       "a line of %s/manifest.tsv has no three columns: wav, language, text",
                       folder);
    return add(set, folder, wav, language, text, err);
}

static bool read_manifest(const char *folder, char *bytes, struct speech_set *set, struct err *err)
{
    bool ok = true;
    char *rest = bytes, *line;
    (void)strsep(&rest, "\n"); /* the names of the columns */
    while (ok && (line = strsep(&rest, "\n"))) {
        line[strcspn(line, "\r")] = '\0';
        ok = !line[0] || read_line(set, folder, line, err);
    }
    return ok;
}

/* ---------------------------------------------------------------- pairs */

static bool add_pair(struct speech_set *set, const char *folder, const char *wav, struct err *err)
{
    char *path = str_format(TEXT_MAX, "%s/%.*s.txt", folder, (int)(strlen(wav) - 4), wav);
    char *text;
    size_t length;
    if (!path)
        return err_no_memory(err);
    bool ok = true;
    if (fs_exists(path)) {
        ok = fs_read(path, TEXT_MAX, &text, &length, err);
        if (ok) {
            text[strcspn(text, "\r\n")] = '\0';
            ok = add(set, folder, wav, "", text, err);
            free(text);
        }
    }
    free(path);
    return ok;
}

static int is_wav(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".wav") == 0;
}

static bool read_pairs(const char *folder, struct speech_set *set, struct err *err)
{
    struct dirent **names = NULL;
    int count = scandir(folder, &names, is_wav, alphasort);
    if (count < 0)
        return err_set_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "cannot open \"%s\"", folder);
    bool ok = true;
    for (int i = 0; i < count; i++) {
        ok = ok && add_pair(set, folder, names[i]->d_name, err);
        free(names[i]);
    }
    free(names);
    return ok;
}

/* ---------------------------------------------------------------- the set */

/* Paths go to the service, which has another working directory. */
static bool read_set(const char *folder, struct speech_set *set, struct err *err)
{
    char *bytes;
    size_t length;
    char *path = fs_join(folder, "manifest.tsv");
    if (!path)
        return err_no_memory(err);
    bool ok;
    if (fs_exists(path)) {
        ok = fs_read(path, FILE_MAX, &bytes, &length, err);
        if (ok) {
            ok = read_manifest(folder, bytes, set, err);
            free(bytes);
        }
    } else {
        ok = read_pairs(folder, set, err);
    }
    free(path);
    return ok;
}

bool speech_set_read(const char *folder, struct speech_set *ret, struct err *err)
{
    struct speech_set set = {0};
    char *real;
    if (!fs_real_path(folder, &real, err))
        return false;
    arena_init(&set.arena, ARENA_MAX);
    bool ok = read_set(real, &set, err);
    free(real);
    if (ok && set.count == 0)
        ok = err_set(err, ERR_INVALID_REQUEST,
                     "%s holds no recordings: it needs manifest.tsv with the columns wav, language "
                     "and text, or pairs NAME.wav and NAME.txt",
                     folder);
    if (!ok) {
        speech_set_free(&set);
        return false;
    }
    *ret = set;
    return true;
}

void speech_set_free(struct speech_set *set)
{
    free(set->items);
    arena_free(&set->arena);
}
