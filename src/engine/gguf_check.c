/* The format is described at the top of gguf.h: a header, key-value pairs, a table of tensors, then their data. */
#include "engine/gguf_check.h"

#include <errno.h>
#include <fcntl.h>
#include <ggml.h>
#include <gguf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 64 * 1024,
    PAIRS_MAX = 4096, /* real models have less than a hundred; gguf.h compares each with each */
    TENSORS_MAX = 65536,
    KEY_BYTES_MAX = 65535,
    ALIGNMENT_MAX = 1 << 20,
};

/* Reads a file from front to back. */
struct reader {
    const char *path;
    struct err *err;
    uint8_t *buffer;
    uint64_t size;   /* of the file */
    uint64_t at;     /* where in the file the next byte comes from */
    uint64_t start;  /* where in the file the buffer was read from */
    uint64_t length; /* bytes in the buffer */
    int fd;
};

static bool damaged(const struct reader *in)
{
    return err_set(in->err, ERR_MODEL_INVALID,
                   "the model file %s is damaged near byte %zu; fetch it again", in->path,
                   (size_t)in->at);
}

static bool cut_off(const struct reader *in)
{
    return err_set(in->err, ERR_MODEL_INVALID,
                   "the model file %s has %zu bytes and says that it has more; its download was "
                   "probably interrupted: fetch it again",
                   in->path, (size_t)in->size);
}

static bool fill(struct reader *in)
{
    ssize_t count = pread(in->fd, in->buffer, BUFFER_BYTES, (off_t)in->at);
    if (count < 0)
        return err_set_errno(in->err, ERR_IO, errno, "cannot read the model file %s", in->path);
    if (count == 0)
        return cut_off(in);
    in->start = in->at;
    in->length = (uint64_t)count;
    return true;
}

static bool take(struct reader *in, void *out, size_t size)
{
    uint8_t *to = out;
    if (size > in->size - in->at)
        return cut_off(in);
    while (size > 0) {
        uint64_t offset = in->at - in->start;
        if (in->at < in->start || offset >= in->length) {
            if (!fill(in))
                return false;
            offset = 0;
        }
        size_t part = size < in->length - offset ? size : (size_t)(in->length - offset);
        memcpy(to, in->buffer + offset, part);
        to += part;
        in->at += part;
        size -= part;
    }
    return true;
}

static bool skip(struct reader *in, uint64_t size)
{
    if (size > in->size - in->at)
        return cut_off(in);
    in->at += size;
    return true;
}

static bool skip_string(struct reader *in)
{
    uint64_t length;
    return take(in, &length, sizeof(length)) && skip(in, length);
}

/* ---------------------------------------------------------------- key-value pairs */

/* Bytes of a value of a fixed size; 0 for strings, arrays and types that do not exist. */
static size_t value_size(uint32_t type)
{
    static const uint8_t sizes[GGUF_TYPE_COUNT] = {
        [GGUF_TYPE_UINT8] = 1,   [GGUF_TYPE_INT8] = 1,    [GGUF_TYPE_UINT16] = 2,
        [GGUF_TYPE_INT16] = 2,   [GGUF_TYPE_UINT32] = 4,  [GGUF_TYPE_INT32] = 4,
        [GGUF_TYPE_FLOAT32] = 4, [GGUF_TYPE_BOOL] = 1,    [GGUF_TYPE_UINT64] = 8,
        [GGUF_TYPE_INT64] = 8,   [GGUF_TYPE_FLOAT64] = 8,
    };
    return type < GGUF_TYPE_COUNT ? sizes[type] : 0;
}

static bool skip_array(struct reader *in)
{
    uint32_t type;
    uint64_t count;
    if (!take(in, &type, sizeof(type)) || !take(in, &count, sizeof(count)))
        return false;
    size_t size = value_size(type);
    if (type != GGUF_TYPE_STRING && size == 0)
        return damaged(in);
    /* Each string takes at least its length's bytes, so no count can make the loop longer than the file. */
    if (count > (in->size - in->at) / (size ? size : sizeof(uint64_t)))
        return cut_off(in);
    if (size > 0)
        return skip(in, count * size);
    for (uint64_t i = 0; i < count; i++)
        if (!skip_string(in))
            return false;
    return true;
}

/* One pair; the alignment of the tensors, when this pair says it, goes to *alignment. */
static bool check_pair(struct reader *in, uint32_t *alignment)
{
    uint64_t length;
    if (!take(in, &length, sizeof(length)))
        return false;
    if (length == 0 || length > KEY_BYTES_MAX)
        return damaged(in);
    char key[sizeof(GGUF_KEY_GENERAL_ALIGNMENT)] = "";
    bool is_alignment = length == sizeof(key) - 1;
    if (is_alignment ? !take(in, key, length) : !skip(in, length))
        return false;
    uint32_t type;
    if (!take(in, &type, sizeof(type)))
        return false;
    if (is_alignment && strcmp(key, GGUF_KEY_GENERAL_ALIGNMENT) == 0) {
        if (type != GGUF_TYPE_UINT32)
            return damaged(in);
        if (!take(in, alignment, sizeof(*alignment)))
            return false;
        bool power_of_two = *alignment != 0 && (*alignment & (*alignment - 1)) == 0;
        return power_of_two && *alignment <= ALIGNMENT_MAX ? true : damaged(in);
    }
    if (type == GGUF_TYPE_STRING)
        return skip_string(in);
    if (type == GGUF_TYPE_ARRAY)
        return skip_array(in);
    return value_size(type) > 0 ? skip(in, value_size(type)) : damaged(in);
}

/* ---------------------------------------------------------------- tensors */

/* Size in bytes of a tensor of these dimensions; false when there is no such tensor or no such size. */
static bool tensor_bytes(uint32_t type, const int64_t dimensions[GGML_MAX_DIMS], uint64_t *ret)
{
    if (type >= GGML_TYPE_COUNT)
        return false;
    int64_t block = ggml_blck_size((enum ggml_type)type);
    uint64_t block_bytes = ggml_type_size((enum ggml_type)type);
    if (block <= 0 || block_bytes == 0 || dimensions[0] % block != 0)
        return false;
    uint64_t bytes = block_bytes;
    for (int i = 0; i < GGML_MAX_DIMS; i++) {
        if (dimensions[i] <= 0)
            return false;
        uint64_t factor = (uint64_t)(i == 0 ? dimensions[0] / block : dimensions[i]);
        if (__builtin_mul_overflow(bytes, factor, &bytes))
            return false;
    }
    *ret = bytes;
    return bytes <= INT64_MAX;
}

/* Where in the data the tensors so far end, and where the next must begin. */
struct extent {
    uint64_t end;
    uint64_t next;
};

/* One row of the table. */
static bool check_tensor(struct reader *in, uint32_t alignment, struct extent *extent)
{
    uint64_t name_length;
    if (!take(in, &name_length, sizeof(name_length)))
        return false;
    if (name_length == 0 || name_length >= GGML_MAX_NAME)
        return damaged(in);
    uint32_t rank;
    if (!skip(in, name_length) || !take(in, &rank, sizeof(rank)))
        return false;
    if (rank == 0 || rank > GGML_MAX_DIMS)
        return damaged(in);
    int64_t dimensions[GGML_MAX_DIMS] = {1, 1, 1, 1};
    uint32_t type;
    uint64_t offset, bytes;
    if (!take(in, dimensions, rank * sizeof(dimensions[0])) || !take(in, &type, sizeof(type)) ||
        !take(in, &offset, sizeof(offset)))
        return false;
    if (!tensor_bytes(type, dimensions, &bytes) || offset != extent->next)
        return damaged(in);
    if (bytes > in->size || offset > in->size - bytes)
        return cut_off(in);
    extent->end = offset + bytes;
    extent->next = (extent->end + alignment - 1) / alignment * alignment;
    return true;
}

/* ---------------------------------------------------------------- the whole file */

static bool check_header(struct reader *in, uint64_t *ret_tensors, uint64_t *ret_pairs)
{
    char magic[4];
    uint32_t version;
    if (in->size < sizeof(magic) || !take(in, magic, sizeof(magic)) ||
        memcmp(magic, GGUF_MAGIC, sizeof(magic)) != 0)
        return err_set(in->err, ERR_MODEL_INVALID,
                       "%s is not a GGUF model file; give the path of one, which ends in .gguf",
                       in->path);
    if (!take(in, &version, sizeof(version)))
        return false;
    if (version != 2 && version != GGUF_VERSION)
        return err_set(in->err, ERR_MODEL_INVALID,
                       "the model file %s is of GGUF version %u, and only 2 and 3 can be read; "
                       "convert the model anew",
                       in->path, version);
    if (!take(in, ret_tensors, sizeof(*ret_tensors)) || !take(in, ret_pairs, sizeof(*ret_pairs)))
        return false;
    bool possible = *ret_tensors > 0 && *ret_tensors <= TENSORS_MAX && *ret_pairs <= PAIRS_MAX;
    return possible ? true : damaged(in);
}

static bool check_file(struct reader *in)
{
    uint64_t tensors = 0, pairs = 0;
    if (!check_header(in, &tensors, &pairs))
        return false;
    uint32_t alignment = GGUF_DEFAULT_ALIGNMENT;
    for (uint64_t i = 0; i < pairs; i++)
        if (!check_pair(in, &alignment))
            return false;
    struct extent extent = {0};
    for (uint64_t i = 0; i < tensors; i++)
        if (!check_tensor(in, alignment, &extent))
            return false;
    uint64_t data = (in->at + alignment - 1) / alignment * alignment;
    if (data > in->size || extent.end > in->size - data)
        return cut_off(in);
    return true;
}

static bool open_reader(struct reader *in)
{
    in->fd = open(in->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
    if (in->fd < 0)
        return err_set_errno(in->err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "cannot open the model file %s", in->path);
    struct stat status;
    if (fstat(in->fd, &status) != 0)
        return err_set_errno(in->err, ERR_IO, errno, "cannot read the model file %s", in->path);
    if (!S_ISREG(status.st_mode))
        return err_set(in->err, ERR_MODEL_INVALID,
                       "%s is not a GGUF model file; give the path of one, which ends in .gguf",
                       in->path);
    in->size = (uint64_t)status.st_size;
    in->buffer = malloc(BUFFER_BYTES);
    return in->buffer ? true : err_no_memory(in->err);
}

bool gguf_check(const char *path, uint64_t *ret_file_bytes, struct err *err)
{
    struct reader in = {.path = path, .err = err, .fd = -1};
    bool ok = open_reader(&in) && check_file(&in);
    if (ok)
        *ret_file_bytes = in.size;
    free(in.buffer);
    if (in.fd >= 0)
        close(in.fd);
    return ok;
}
