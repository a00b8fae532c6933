#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

enum { CELL_MAX = 8192, GAP = 2 };

void table_init(struct table *table)
{
    *table = (struct table){0};
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    table_init(table);
}

/* Takes `text` over. */
static void add(struct table *table, char *text)
{
    struct err *failure = &table->failure;
    if (!text)
        err_no_memory(failure);
    if (failure->code != ERR_NONE ||
        !vec_reserve(&table->cells, &table->capacity, table->count + 1, sizeof(*table->cells),
                     TABLE_CELLS_MAX, failure)) {
        free(text);
        return;
    }
    table->cells[table->count++] = text;
}

void table_column(struct table *table, const char *heading, enum table_align align)
{
    table->align[table->columns++] = align;
    add(table, str_format(CELL_MAX, "%s", heading));
}

void table_cell(struct table *table, const char *format, ...)
{
    struct str text;
    str_init(&text, CELL_MAX);
    va_list arguments;
    va_start(arguments, format);
    str_vprintf(&text, format, arguments);
    va_end(arguments);
    add(table, str_take(&text));
    str_free(&text);
}

void table_cell_bytes(struct table *table, unsigned long long bytes)
{
    struct str text;
    str_init(&text, CELL_MAX);
    if (bytes == 0)
        str_putc(&text, '-');
    else
        text_bytes(&text, bytes);
    add(table, str_take(&text));
    str_free(&text);
}

static size_t cell_width(const struct table *table, size_t index)
{
    const char *text = table->cells[index];
    return text_width(text, strlen(text));
}

static size_t column_width(const struct table *table, size_t column)
{
    size_t widest = 0;
    for (size_t i = column; i < table->count; i += table->columns)
        widest = cell_width(table, i) > widest ? cell_width(table, i) : widest;
    return widest;
}

static void append_row(const struct table *table, const struct term *term, size_t first,
                       const size_t *widths, struct str *out)
{
    size_t at = 0;
    for (size_t column = 0; column < table->columns; column++) {
        const char *text = table->cells[first + column];
        size_t blanks = widths[column] - cell_width(table, first + column);
        bool last = column + 1 == table->columns;
        bool right = table->align[column] == ALIGN_RIGHT;
        if (right)
            text_pad(out, blanks);
        size_t room = (size_t)term->width > at + 1 ? (size_t)term->width - at - 1 : 1;
        if (last && term->tty)
            text_fit(out, text, room, false, term->utf8);
        else
            str_puts(out, text);
        if (!right && !last)
            text_pad(out, blanks);
        if (!last)
            text_pad(out, GAP);
        at += widths[column] + GAP;
    }
    str_putc(out, '\n');
}

bool table_print(const struct table *table, const struct term *term, struct err *err)
{
    if (table->failure.code != ERR_NONE) {
        *err = table->failure;
        return false;
    }
    size_t widths[TABLE_COLUMNS_MAX];
    for (size_t column = 0; column < table->columns; column++)
        widths[column] = column_width(table, column);
    for (size_t first = 0; first < table->count; first += table->columns) {
        struct str line;
        str_init(&line, (size_t)CELL_MAX * TABLE_COLUMNS_MAX);
        append_row(table, term, first, widths, &line);
        fputs(first == 0 ? term_on(term, STYLE_BOLD) : "", term->file);
        term_write(term, str_text(&line), line.length);
        fputs(first == 0 ? term_off(term) : "", term->file);
        str_free(&line);
    }
    return term_flush(term, err);
}
