/* Fuzzes the check that stands before libllama: any bytes as a GGUF file are refused or taken, and nothing else. What it
 * takes is given to gguf.h's own reader, which must not die of it. */
#include <gguf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/gguf_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_file(const char *path, size_t size)
{
    uint64_t file_bytes = 0;
    if (!gguf_check(path, &file_bytes, NULL))
        return;
    if (file_bytes != size)
        abort();
    struct gguf_context *gguf =
        gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    if (gguf)
        gguf_free(gguf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("gguf", MFD_CLOEXEC);
    if (fd < 0)
        abort();
    if (write(fd, data, size) == (ssize_t)size) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        try_file(path, size);
    }
    close(fd);
    return 0;
}
