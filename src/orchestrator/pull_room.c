#include "orchestrator/pull_room.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/fs.h"

enum { SPARE_MIB = 512, BLOCK_BYTES = 512 };

static bool free_bytes(const struct pull_options *options, uint64_t *ret, struct err *err)
{
    struct statvfs status;
    if (options->disk_bytes > 0) {
        *ret = options->disk_bytes;
        return true;
    }
    if (statvfs(options->models_dir, &status) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot ask how much room \"%s\" has",
                             options->models_dir);
    *ret = (uint64_t)status.f_bavail * status.f_frsize;
    return true;
}

bool pull_check_room(const struct pull_options *options, uint64_t missing, struct err *err)
{
    uint64_t spare = options->spare_bytes ? options->spare_bytes : (uint64_t)SPARE_MIB << 20;
    uint64_t room = 0;
    if (!free_bytes(options, &room, err))
        return false;
    if (missing == 0 || missing + spare <= room)
        return true;
    return err_set(err, ERR_DISK_FULL,
                   "there is not enough room on the disk: %llu MiB are to be fetched, %llu MiB are "
                   "free below \"%s\" and %llu MiB of them stay free; delete something first",
                   (unsigned long long)(missing >> 20), (unsigned long long)(room >> 20),
                   options->models_dir, (unsigned long long)(spare >> 20));
}

bool pull_check_size(const struct pull_options *options, uint64_t bytes, struct err *err)
{
    if (options->max_bytes == 0 || bytes <= options->max_bytes)
        return true;
    return err_set(err, ERR_TOO_LARGE,
                   "the model has more than %llu MiB, which is the most that is fetched; raise "
                   "pull.max_gib for larger ones",
                   (unsigned long long)(options->max_bytes >> 20));
}

/* Bytes of a file that need no room any more: it is there, or has its place on the disk already. */
static uint64_t bytes_there(const char *path)
{
    struct stat status = {0};
    struct str part;
    str_init(&part, 8192);
    str_printf(&part, "%s.part", path);
    if (stat(path, &status) != 0 && stat(str_text(&part), &status) != 0)
        status.st_blocks = 0;
    str_free(&part);
    return (uint64_t)status.st_blocks * BLOCK_BYTES;
}

bool pull_check_plan(const struct pull_options *options, const struct pull_plan *plan,
                     uint64_t *ret_total, struct err *err)
{
    uint64_t missing = 0, total = 0;
    for (size_t i = 0; i < plan->count; i++) {
        const struct pull_item *item = &plan->items[i];
        char *path = fs_join(options->models_dir, item->to);
        if (!path)
            return err_no_memory(err);
        uint64_t there = bytes_there(path);
        free(path);
        total += item->bytes;
        missing += item->bytes > there ? item->bytes - there : 0;
    }
    if (!pull_check_size(options, total, err) || !pull_check_room(options, missing, err))
        return false;
    *ret_total = total;
    return true;
}
