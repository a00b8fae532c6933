#include "engine/speech_check.h"

#include <fcntl.h>
#include <ggml.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAGIC = 0x67676d6c, /* "lmgg" in the file */
    VOCABULARY_MAX = 51866,
    STATE_MAX = 4096,
    LAYERS_MAX = 64,
    TEXT_CONTEXT_MAX = 4096,
    FILTER_BINS = 201, /* of a Fourier transform over 400 samples */
    WORD_MAX = 1024,   /* bytes of a token's text */
    NAME_MAX_BYTES = 127,
    DIMENSIONS_MAX = 3,
    SIDE_MAX = 1 << 24, /* of a tensor */
    TENSORS_MAX = 4096,
};

/* A file being walked. */
struct walk {
    FILE *file;
    const char *path;
    uint64_t left; /* bytes after the position */
};

static bool wrong(const struct walk *walk, const char *what, struct err *err)
{
    return err_set(err, ERR_MODEL_INVALID,
                   "the speech model %s is damaged or of another kind: its %s is wrong; fetch a "
                   "Whisper model in ggml's format",
                   walk->path, what);
}

static bool take(struct walk *walk, void *out, size_t size)
{
    if (size > walk->left || fread(out, 1, size, walk->file) != size)
        return false;
    walk->left -= size;
    return true;
}

static bool take_number(struct walk *walk, uint32_t *ret)
{
    return take(walk, ret, sizeof(*ret));
}

static bool pass(struct walk *walk, uint64_t size)
{
    if (size > walk->left || fseeko(walk->file, (off_t)size, SEEK_CUR) != 0)
        return false;
    walk->left -= size;
    return true;
}

/* ---------------------------------------------------------------- header, filters, vocabulary */

static bool check_header(struct walk *walk, struct speech_shape *shape, struct err *err)
{
    const struct {
        const char *name;
        uint32_t *value;
        uint32_t min;
        uint32_t max;
    } fields[] = {
        {"n_vocab", &shape->vocabulary, SPEECH_VOCABULARY_ENGLISH, VOCABULARY_MAX},
        {"n_audio_ctx", &shape->audio_context, SPEECH_POSITIONS, SPEECH_POSITIONS},
        {"n_audio_state", &shape->audio_state, 2, STATE_MAX},
        {"n_audio_head", &shape->audio_heads, 1, STATE_MAX},
        {"n_audio_layer", &shape->audio_layers, 1, LAYERS_MAX},
        {"n_text_ctx", &shape->text_context, 8, TEXT_CONTEXT_MAX},
        {"n_text_state", &shape->text_state, 2, STATE_MAX},
        {"n_text_head", &shape->text_heads, 1, STATE_MAX},
        {"n_text_layer", &shape->text_layers, 1, LAYERS_MAX},
        {"n_mels", &shape->mels, 80, 128},
        {"ftype", &shape->file_type, 0, 99999},
    };
    uint32_t magic = 0;
    if (!take_number(walk, &magic) || magic != MAGIC)
        return wrong(walk, "magic", err);
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (!take_number(walk, fields[i].value) || *fields[i].value < fields[i].min ||
            *fields[i].value > fields[i].max)
            return wrong(walk, fields[i].name, err);
    if (shape->mels != 80 && shape->mels != 128)
        return wrong(walk, "n_mels", err);
    if (shape->audio_state % shape->audio_heads != 0)
        return wrong(walk, "n_audio_head", err);
    /* The decoder looks at what the encoder made. */
    if (shape->text_state != shape->audio_state || shape->text_state % shape->text_heads != 0)
        return wrong(walk, "n_text_head", err);
    return true;
}

static bool check_filters(struct walk *walk, const struct speech_shape *shape, struct err *err)
{
    uint32_t mels = 0, bins = 0;
    bool ok = take_number(walk, &mels) && take_number(walk, &bins) && mels == shape->mels &&
              bins == FILTER_BINS && pass(walk, (uint64_t)mels * bins * sizeof(float));
    return ok || wrong(walk, "mel_filters", err);
}

static bool check_vocabulary(struct walk *walk, const struct speech_shape *shape, struct err *err)
{
    uint32_t count = 0;
    bool ok = take_number(walk, &count) && count > 0 && count <= shape->vocabulary;
    for (uint32_t i = 0; ok && i < count; i++) {
        uint32_t length = 0;
        ok = take_number(walk, &length) && length <= WORD_MAX && pass(walk, length);
    }
    return ok || wrong(walk, "vocab", err);
}

/* ---------------------------------------------------------------- tensors */

/* Whether a tensor of this type may be in a model file. */
static bool is_type(uint32_t type)
{
    return type < GGML_TYPE_COUNT && ggml_blck_size((enum ggml_type)type) > 0 &&
           ggml_type_size((enum ggml_type)type) > 0;
}

/* Reads a tensor's head; *ret_elements is the product of its sides. */
static bool take_sides(struct walk *walk, uint32_t dimensions, uint32_t type,
                       uint64_t *ret_elements, uint64_t *ret_bytes)
{
    uint64_t elements = 1;
    uint32_t first = 0;
    for (uint32_t i = 0; i < dimensions; i++) {
        uint32_t side = 0;
        if (!take_number(walk, &side) || side == 0 || side > SIDE_MAX ||
            elements > UINT64_C(1) << 40)
            return false;
        first = i == 0 ? side : first;
        elements *= side;
    }
    uint64_t block = (uint64_t)ggml_blck_size((enum ggml_type)type);
    if (first % block != 0)
        return false;
    *ret_elements = elements;
    *ret_bytes = elements / block * ggml_type_size((enum ggml_type)type);
    return true;
}

static bool check_tensor(struct walk *walk, struct speech_shape *shape)
{
    uint32_t dimensions = 0, length = 0, type = 0;
    uint64_t elements = 0, bytes = 0;
    char name[NAME_MAX_BYTES + 1];
    if (!take_number(walk, &dimensions) || dimensions == 0 || dimensions > DIMENSIONS_MAX ||
        !take_number(walk, &length) || length == 0 || length > NAME_MAX_BYTES ||
        !take_number(walk, &type) || !is_type(type) ||
        !take_sides(walk, dimensions, type, &elements, &bytes) || !take(walk, name, length))
        return false;
    for (uint32_t i = 0; i < length; i++)
        if (name[i] < '!' || name[i] > '~')
            return false;
    shape->parameters += elements;
    return pass(walk, bytes);
}

static bool check_tensors(struct walk *walk, struct speech_shape *shape, struct err *err)
{
    uint32_t count = 0;
    bool ok = walk->left > 0;
    while (ok && walk->left > 0)
        ok = ++count <= TENSORS_MAX && check_tensor(walk, shape);
    return ok || wrong(walk, "tensors", err);
}

/* ---------------------------------------------------------------- the file */

bool speech_file_is(const char *path)
{
    uint32_t magic = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool ok = pread(fd, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && magic == MAGIC;
    close(fd);
    return ok;
}

bool speech_check(int fd, const char *path, struct speech_shape *ret, struct err *err)
{
    struct stat status;
    int own = fstat(fd, &status) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    FILE *file = own >= 0 ? fdopen(own, "rb") : NULL;
    if (!file) {
        if (own >= 0)
            close(own);
        return err_set(err, ERR_IO, "cannot read the model file %s", path);
    }
    struct walk walk = {.file = file, .path = path, .left = (uint64_t)status.st_size};
    struct speech_shape shape = {.file_bytes = (uint64_t)status.st_size};
    bool ok = S_ISREG(status.st_mode) && fseeko(file, 0, SEEK_SET) == 0;
    ok = ok ? check_header(&walk, &shape, err) && check_filters(&walk, &shape, err) &&
                  check_vocabulary(&walk, &shape, err) && check_tensors(&walk, &shape, err)
            : err_set(err, ERR_IO, "cannot read the model file %s", path);
    fclose(file);
    if (ok)
        *ret = shape;
    return ok;
}
