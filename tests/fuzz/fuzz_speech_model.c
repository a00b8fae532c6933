/* Fuzzes the check of Whisper model files: it reads nothing outside of them, and what it accepts has sane numbers. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "engine/speech_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct speech_shape shape;
    struct err err;
    int fd = memfd_create("model", MFD_CLOEXEC);
    if (fd < 0)
        return 0;
    if (fs_write_all(fd, data, size, &err) && speech_check(fd, "model.bin", &shape, &err) &&
        (shape.audio_heads == 0 || shape.audio_state % shape.audio_heads != 0 ||
         shape.vocabulary < SPEECH_VOCABULARY_ENGLISH || shape.file_bytes != size))
        abort();
    close(fd);
    return 0;
}
