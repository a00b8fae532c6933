/* Fuzzes the reader of the house embedder's files: any bytes are refused or taken, and what is taken embeds any text
 * (here: the bytes themselves) to a vector of unit length or of zeros. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/static_embed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void embed(const struct static_embed *model, const char *text, size_t length)
{
    float *vector = malloc(model->dimensions * sizeof(*vector));
    if (!vector)
        abort();
    size_t pieces = static_embed_text(model, text, length, vector);
    double sum = 0;
    for (uint32_t i = 0; i < model->dimensions; i++)
        sum += (double)vector[i] * vector[i];
    if (!(sum == 0 || fabs(sum - 1) < 1e-2) || (sum > 0 && pieces == 0))
        abort();
    free(vector);
}

static void try_file(const char *path, const uint8_t *data, size_t size)
{
    static const char text[] = "A house, una casa: 42 ñandúes & \xff.";
    struct static_embed model;
    if (!static_embed_open(path, &model, NULL))
        return;
    if (!static_embed_is(path) || model.dimensions == 0 || model.pieces == 0)
        abort();
    embed(&model, text, sizeof(text) - 1);
    embed(&model, (const char *)data, size);
    static_embed_close(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("static", MFD_CLOEXEC);
    if (fd < 0)
        abort();
    if (write(fd, data, size) == (ssize_t)size) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        try_file(path, data, size);
    }
    close(fd);
    return 0;
}
