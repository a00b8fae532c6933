#include "helper/whisper_make.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    TOKENS = 51865, /* the multilingual vocabulary */
    PLAIN = 50257,  /* tokens that are text */
    END = 50257,
    LANGUAGE_SPANISH = 50262,
    POSITIONS = 1500,
    TEXT_POSITIONS = 448,
    WIDTH = 32,
    MELS = 80,
    BINS = 201,
    FIRST_WORD = 1000,
    AT_LANGUAGE = 0, /* position of the decoder: after the begin token */
    AT_WORDS = 3,    /* after begin, language, task, no timestamps */
    STRONG = 8,
};

enum { TYPE_F32 = 0, TYPE_F16 = 1 };

static const char *const words[] = {" Una", " prueba", " de", " voz", "."};
enum { WORDS = sizeof(words) / sizeof(*words) };

/* One in IEEE 754 binary16. */
static const uint16_t half_one = 0x3c00;

static void put_number(FILE *file, uint32_t value)
{
    fwrite(&value, sizeof(value), 1, file);
}

static void put_text(FILE *file, const char *text, size_t length)
{
    put_number(file, (uint32_t)length);
    fwrite(text, 1, length, file);
}

static void put_header(FILE *file)
{
    const uint32_t header[] = {0x67676d6c,     TOKENS, POSITIONS, WIDTH, 1,    1,
                               TEXT_POSITIONS, WIDTH,  1,         1,     MELS, TYPE_F16};
    fwrite(header, sizeof(header), 1, file);
}

static void put_filters(FILE *file)
{
    put_number(file, MELS);
    put_number(file, BINS);
    for (int i = 0; i < MELS * BINS; i++) {
        float value = i / BINS == i % BINS * MELS / BINS ? 1 : 0;
        fwrite(&value, sizeof(value), 1, file);
    }
}

/* The bytes, then words that mean nothing, and a few that do. */
static void put_vocabulary(FILE *file)
{
    put_number(file, PLAIN);
    for (int i = 0; i < PLAIN; i++) {
        char text[32];
        int length = snprintf(text, sizeof(text), " t%d", i);
        if (i >= FIRST_WORD && i < FIRST_WORD + WORDS)
            length = snprintf(text, sizeof(text), "%s", words[i - FIRST_WORD]);
        if (i < 256) {
            text[0] = (char)i;
            length = 1;
        }
        put_text(file, text, (size_t)length);
    }
}

/* --- tensors: sides as ggml has them, the innermost first --- */

static void begin_tensor(FILE *file, const char *name, uint32_t type, int count,
                         const uint32_t *sides)
{
    put_number(file, (uint32_t)count);
    put_number(file, (uint32_t)strlen(name));
    put_number(file, type);
    for (int i = 0; i < count; i++)
        put_number(file, sides[i]);
    fwrite(name, 1, strlen(name), file);
}

static void put_zeros(FILE *file, const char *name, uint32_t type, int count, uint32_t a,
                      uint32_t b, uint32_t c)
{
    const uint32_t sides[] = {a, b, c};
    const char zeros[4] = {0};
    begin_tensor(file, name, type, count, sides);
    size_t elements = (size_t)a * b * c;
    for (size_t i = 0; i < elements; i++)
        fwrite(zeros, type == TYPE_F16 ? 2 : 4, 1, file);
}

static void put_vector(FILE *file, const char *name, float value)
{
    const uint32_t side = WIDTH;
    begin_tensor(file, name, TYPE_F32, 1, &side);
    for (int i = 0; i < WIDTH; i++)
        fwrite(&value, sizeof(value), 1, file);
}

static void put_norm(FILE *file, const char *prefix, const char *name, float weight)
{
    char full[96];
    snprintf(full, sizeof(full), "%s%s.weight", prefix, name);
    put_vector(file, full, weight);
    snprintf(full, sizeof(full), "%s%s.bias", prefix, name);
    put_vector(file, full, 0);
}

static void put_attention(FILE *file, const char *prefix, const char *name)
{
    static const char *const parts[] = {"query", "key", "value", "out"};
    char full[96];
    for (int i = 0; i < 4; i++) {
        snprintf(full, sizeof(full), "%s%s.%s.weight", prefix, name, parts[i]);
        put_zeros(file, full, TYPE_F16, 2, WIDTH, WIDTH, 1);
        snprintf(full, sizeof(full), "%s%s.%s.bias", prefix, name, parts[i]);
        if (strcmp(parts[i], "key") != 0)
            put_vector(file, full, 0);
    }
}

static void put_layer(FILE *file, const char *prefix, bool decoder)
{
    char full[96];
    put_norm(file, prefix, "attn_ln", 1);
    put_attention(file, prefix, "attn");
    if (decoder) {
        put_norm(file, prefix, "cross_attn_ln", 1);
        put_attention(file, prefix, "cross_attn");
    }
    put_norm(file, prefix, "mlp_ln", 1);
    snprintf(full, sizeof(full), "%smlp.0.weight", prefix);
    put_zeros(file, full, TYPE_F16, 2, WIDTH, 4 * WIDTH, 1);
    snprintf(full, sizeof(full), "%smlp.0.bias", prefix);
    put_zeros(file, full, TYPE_F32, 1, 4 * WIDTH, 1, 1);
    snprintf(full, sizeof(full), "%smlp.2.weight", prefix);
    put_zeros(file, full, TYPE_F16, 2, 4 * WIDTH, WIDTH, 1);
    snprintf(full, sizeof(full), "%smlp.2.bias", prefix);
    put_vector(file, full, 0);
}

/* The axis that stands for a token; -1 for those that the model never says. */
static int axis_of(int token)
{
    if (token >= FIRST_WORD && token < FIRST_WORD + WORDS)
        return token - FIRST_WORD;
    return token == END ? WORDS : token == LANGUAGE_SPANISH ? WORDS + 1 : -1;
}

/* The token that wins at a position. */
static int token_at(int position)
{
    if (position == AT_LANGUAGE)
        return LANGUAGE_SPANISH;
    bool word = position >= AT_WORDS && position < AT_WORDS + WORDS;
    return word ? FIRST_WORD + position - AT_WORDS : END;
}

static void put_said(FILE *file)
{
    const uint32_t positions[] = {WIDTH, TEXT_POSITIONS}, tokens[] = {WIDTH, TOKENS};
    begin_tensor(file, "decoder.positional_embedding", TYPE_F32, 2, positions);
    for (int i = 0; i < TEXT_POSITIONS; i++)
        for (int j = 0; j < WIDTH; j++) {
            float value = j == axis_of(token_at(i)) ? STRONG : 0;
            fwrite(&value, sizeof(value), 1, file);
        }
    begin_tensor(file, "decoder.token_embedding.weight", TYPE_F16, 2, tokens);
    for (int i = 0; i < TOKENS; i++)
        for (int j = 0; j < WIDTH; j++) {
            uint16_t value = j == axis_of(i) ? half_one : 0;
            fwrite(&value, sizeof(value), 1, file);
        }
}

static void put_model(FILE *file)
{
    put_header(file);
    put_filters(file);
    put_vocabulary(file);
    put_zeros(file, "encoder.positional_embedding", TYPE_F32, 2, WIDTH, POSITIONS, 1);
    put_zeros(file, "encoder.conv1.weight", TYPE_F16, 3, 3, MELS, WIDTH);
    put_zeros(file, "encoder.conv1.bias", TYPE_F32, 2, 1, WIDTH, 1);
    put_zeros(file, "encoder.conv2.weight", TYPE_F16, 3, 3, WIDTH, WIDTH);
    put_zeros(file, "encoder.conv2.bias", TYPE_F32, 2, 1, WIDTH, 1);
    put_layer(file, "encoder.blocks.0.", false);
    put_norm(file, "", "encoder.ln_post", 1);
    put_said(file);
    put_layer(file, "decoder.blocks.0.", true);
    put_norm(file, "", "decoder.ln", STRONG);
}

bool whisper_make(const char *path, struct err *err)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return err_set_errno(err, ERR_IO, errno, "cannot write %s", path);
    put_model(file);
    bool ok = !ferror(file);
    ok = fclose(file) == 0 && ok;
    return ok || err_set_errno(err, ERR_IO, errno, "cannot write %s", path);
}
