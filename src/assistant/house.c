#include "assistant/house.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "config.h"

/* directory[0..length) + models + file, when that exists; takes links and dots out. */
static char *look_in(const char *directory, size_t length, const char *models, const char *file)
{
    enum { PATH_BYTES_MAX = 4096 };
    struct str path;
    str_init(&path, PATH_BYTES_MAX);
    str_append(&path, directory, length);
    str_puts(&path, models);
    str_puts(&path, file);
    char *real = NULL;
    struct err ignored;
    if (str_ok(&path) && fs_exists(str_text(&path)))
        fs_real_path(str_text(&path), &real, &ignored);
    str_free(&path);
    return real;
}

char *house_model(const char *program, const char *file)
{
    const char *slash = strrchr(program, '/');
    size_t folder = slash ? (size_t)(slash - program) : 0;
    char *found = slash ? look_in(program, folder, "/../share/jarvis/models/", file) : NULL;
    if (!found && slash)
        found = look_in(program, folder, "/../models/", file);
    if (!found)
        found = look_in(JARVIS_DATADIR, strlen(JARVIS_DATADIR), "/models/", file);
    return found;
}
