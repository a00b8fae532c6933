#include "retrieval/place.h"

#include <endian.h>
#include <string.h>
#include <strings.h>

enum {
    STEP = 16 * 1024, /* bytes of text after which an identical run gets a line number again */
    RUN_BYTES = 13,   /* of a stored run: three numbers and a flag */
    HEAD_BYTES = 16,  /* of a stored map: two lengths */
};

/* ---------------------------------------------------------------- counting lines */

static uint32_t count_newlines(const char *text, size_t length)
{
    uint32_t lines = 0;
    const char *end = text + length;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        lines++;
    return lines;
}

/* Counts the line ends of a file from front to back. */
struct line_counter {
    const char *bytes;
    size_t length;
    size_t at;
    size_t unit;   /* bytes of a code unit */
    bool little;   /* the low byte comes first */
    uint32_t line; /* of the byte `at` */
};

static void counter_init(struct line_counter *counter, const void *bytes, size_t length,
                         const char *charset)
{
    *counter = (struct line_counter){.bytes = bytes, .length = length, .unit = 1, .line = 1};
    const unsigned char *first = bytes;
    if (charset && strncasecmp(charset, "UTF-16", 6) == 0)
        counter->unit = 2;
    else if (charset && strncasecmp(charset, "UTF-32", 6) == 0)
        counter->unit = 4;
    if (counter->unit > 1) {
        bool mark = length >= 2 && first[0] == 0xFF && first[1] == 0xFE;
        counter->little = mark || strcasecmp(charset + 6, "LE") == 0;
    }
}

static bool is_newline_unit(const struct line_counter *counter, size_t at)
{
    for (size_t i = 0; i < counter->unit; i++) {
        bool low = counter->little ? i == 0 : i == counter->unit - 1;
        if (counter->bytes[at + i] != (low ? '\n' : '\0'))
            return false;
    }
    return true;
}

/* The line of the byte at `offset`, which is not before the last one asked for. */
static uint32_t counter_line(struct line_counter *counter, size_t offset)
{
    if (offset > counter->length)
        offset = counter->length;
    if (counter->unit == 1) {
        if (offset > counter->at)
            counter->line += count_newlines(counter->bytes + counter->at, offset - counter->at);
        counter->at = offset > counter->at ? offset : counter->at;
        return counter->line;
    }
    for (; counter->at + counter->unit <= offset; counter->at += counter->unit)
        counter->line += is_newline_unit(counter, counter->at);
    return counter->line;
}

/* ---------------------------------------------------------------- making a map */

struct builder {
    struct place_run *runs;
    size_t count;
    const char *text;
    struct line_counter *file; /* NULL: count in the text */
};

/* The line of a run: counted in the file or, without one, from the run before it in the text. */
static uint32_t line_of(struct builder *builder, uint32_t text_offset, uint32_t file_offset)
{
    if (builder->file)
        return counter_line(builder->file, file_offset);
    if (builder->count == 0)
        return 1 + count_newlines(builder->text, text_offset);
    const struct place_run *before = &builder->runs[builder->count - 1];
    return before->line +
           count_newlines(builder->text + before->text_offset, text_offset - before->text_offset);
}

/* Adds a run that covers text up to text_end, identical ones in steps. */
static void add_run(struct builder *builder, const struct text_run *run, size_t text_end)
{
    uint32_t text_offset = run->text_offset;
    uint32_t file_offset = run->file_offset;
    do {
        builder->runs[builder->count] =
            (struct place_run){.text_offset = text_offset,
                               .file_offset = file_offset,
                               .line = line_of(builder, text_offset, file_offset),
                               .identical = run->identical};
        builder->count++;
        text_offset += STEP;
        file_offset += STEP;
    } while (run->identical && text_offset < text_end);
}

/* The runs must ascend and lie within text and file; identical ones must fit the file. */
static bool check_runs(const struct text_run *runs, size_t count, size_t text_length,
                       size_t file_length, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t text_end = i + 1 < count ? runs[i + 1].text_offset : text_length;
        size_t file_end = i + 1 < count ? runs[i + 1].file_offset : file_length;
        bool ascending = runs[i].text_offset <= text_end && runs[i].file_offset <= file_end;
        bool fits = ascending && (!runs[i].identical ||
                                  text_end - runs[i].text_offset <= file_end - runs[i].file_offset);
        if (text_end > text_length || file_end > file_length || !fits ||
            (i == 0 && runs[i].text_offset != 0))
            return err_set(err, ERR_DOCUMENT,
                           "the parser's map from text to file is wrong at run %zu; please report "
                           "the file that causes this",
                           i);
    }
    return true;
}

bool place_map_make(const struct place_source *source, struct arena *arena, struct place_map *ret,
                    struct err *err)
{
    static const struct text_run whole = {.identical = true};
    struct place_source from = *source;
    if (from.run_count == 0) {
        from.runs = &whole;
        from.run_count = 1;
        from.file_length = from.text_length;
        from.file = NULL;
    }
    if (!check_runs(from.runs, from.run_count, from.text_length, from.file_length, err))
        return false;
    size_t most = from.run_count + from.text_length / STEP + 1;
    struct line_counter counter;
    struct builder builder = {.text = from.text};
    builder.runs = arena_array(arena, most, sizeof(*builder.runs));
    if (!builder.runs)
        return err_no_memory(err);
    if (from.file) {
        counter_init(&counter, from.file, from.file_length, from.charset);
        builder.file = &counter;
    }
    for (size_t i = 0; i < from.run_count; i++)
        add_run(&builder, &from.runs[i],
                i + 1 < from.run_count ? from.runs[i + 1].text_offset : from.text_length);
    *ret = (struct place_map){.runs = builder.runs,
                              .run_count = builder.count,
                              .text_length = from.text_length,
                              .file_length = from.file_length};
    return true;
}

/* ---------------------------------------------------------------- asking a map */

/* The last run that begins at or before `offset` of the text. */
static const struct place_run *run_at(const struct place_map *map, size_t offset)
{
    size_t low = 0;
    size_t high = map->run_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (map->runs[middle].text_offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return &map->runs[low];
}

/* The line of the text's byte at `offset`, which the run covers. */
static size_t line_within(const struct place_run *run, const char *text, size_t offset)
{
    if (!run->identical)
        return run->line;
    return run->line + count_newlines(text + run->text_offset, offset - run->text_offset);
}

/* Where the run ends that is not identical: the next run's place in the file, and the line before
 * it. */
static void end_of_run(const struct place_map *map, const struct place_run *run, const char *text,
                       struct place *place)
{
    const struct place_run *next = run + 1;
    if (next < map->runs + map->run_count) {
        bool new_line = next->text_offset > 0 && text[next->text_offset - 1] == '\n';
        place->length = next->file_offset - place->offset;
        place->line_end = next->line - (new_line && next->line > run->line);
        return;
    }
    size_t length = map->text_length - run->text_offset;
    place->length = map->file_length - place->offset;
    place->line_end = run->line + count_newlines(text + run->text_offset, length);
}

struct place place_find(const struct place_map *map, const char *text, size_t offset, size_t length)
{
    if (offset > map->text_length)
        offset = map->text_length;
    if (length > map->text_length - offset)
        length = map->text_length - offset;
    if (map->run_count == 0)
        return (struct place){.line_start = 1, .line_end = 1, .identical = true};
    const struct place_run *run = run_at(map, offset);
    struct place place = {.offset = run->file_offset, .line_start = line_within(run, text, offset)};
    if (run->identical)
        place.offset += offset - run->text_offset;
    place.line_end = place.line_start;
    place.identical = run->identical;
    if (length == 0)
        return place;
    size_t last = offset + length - 1;
    const struct place_run *end = run_at(map, last);
    if (end->identical) {
        place.length = end->file_offset + (last - end->text_offset) + 1 - place.offset;
        place.line_end = line_within(end, text, last);
    } else {
        end_of_run(map, end, text, &place);
    }
    for (const struct place_run *i = run; i <= end; i++)
        place.identical &= i->identical;
    place.identical &= place.length == length;
    return place;
}

/* ---------------------------------------------------------------- as bytes */

static void put_u32(struct str *out, uint32_t value)
{
    uint32_t bytes = htole32(value);
    str_append(out, &bytes, sizeof(bytes));
}

static uint32_t get_u32(const unsigned char *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return le32toh(value);
}

void place_map_write(const struct place_map *map, struct str *out)
{
    uint64_t lengths[2] = {htole64(map->text_length), htole64(map->file_length)};
    str_append(out, lengths, sizeof(lengths));
    for (size_t i = 0; i < map->run_count; i++) {
        put_u32(out, map->runs[i].text_offset);
        put_u32(out, map->runs[i].file_offset);
        put_u32(out, map->runs[i].line);
        str_putc(out, (char)map->runs[i].identical);
    }
}

static bool bad_map(struct err *err)
{
    return err_set(err, ERR_STORE,
                   "the store holds a damaged map of a document; ingest the document again");
}

bool place_map_read(const void *bytes, size_t length, struct arena *arena, struct place_map *ret,
                    struct err *err)
{
    if (length < HEAD_BYTES || (length - HEAD_BYTES) % RUN_BYTES != 0)
        return bad_map(err);
    uint64_t lengths[2];
    memcpy(lengths, bytes, sizeof(lengths));
    struct place_map map = {.run_count = (length - HEAD_BYTES) / RUN_BYTES,
                            .text_length = le64toh(lengths[0]),
                            .file_length = le64toh(lengths[1])};
    struct place_run *runs = arena_array(arena, map.run_count + 1, sizeof(*runs));
    if (!runs)
        return err_no_memory(err);
    const unsigned char *at = (const unsigned char *)bytes + HEAD_BYTES;
    for (size_t i = 0; i < map.run_count; i++, at += RUN_BYTES) {
        runs[i] = (struct place_run){.text_offset = get_u32(at),
                                     .file_offset = get_u32(at + 4),
                                     .line = get_u32(at + 8),
                                     .identical = at[12] != 0};
        if (runs[i].text_offset > map.text_length || runs[i].file_offset > map.file_length ||
            (i > 0 && (runs[i].text_offset < runs[i - 1].text_offset ||
                       runs[i].file_offset < runs[i - 1].file_offset)))
            return bad_map(err);
    }
    map.runs = runs;
    *ret = map;
    return true;
}
