/* table.h - a small table for people: columns as wide as their widest cell, headings, cut to the
 * terminal.
 *
 * Owner:   the table owns copies of the cells; table_free() ends them. Threads: one.
 * Fails:   a cell that finds no memory makes table_print() report it; nothing is printed then.
 */
#ifndef JARVIS_CLI_TABLE_H
#define JARVIS_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "cli/term.h"

enum { TABLE_COLUMNS_MAX = 12, TABLE_CELLS_MAX = 100000 };

enum table_align { ALIGN_LEFT, ALIGN_RIGHT };

struct table {
    size_t columns;
    enum table_align align[TABLE_COLUMNS_MAX];
    char **cells; /* row by row, the headings first */
    size_t count;
    size_t capacity;
    struct err failure; /* code ERR_NONE: all is well */
};

void table_init(struct table *table);
void table_free(struct table *table);

/* Columns first, all of them, then the cells row by row. */
void table_column(struct table *table, const char *heading, enum table_align align);
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_cell_bytes(struct table *table, unsigned long long bytes); /* "-" for 0 */

/* The last column is cut where a row would be wider than the terminal; a file gets all of it. */
bool table_print(const struct table *table, const struct term *term, struct err *err);

#endif
