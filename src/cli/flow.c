#include "cli/flow.h"

void flow_begin(struct flow *flow, const struct term *term)
{
    *flow = (struct flow){.term = term};
    str_init(&flow->word, FLOW_WORD_MAX);
}

static void print_blanks(struct flow *flow)
{
    for (; flow->blanks > 0; flow->blanks--, flow->column++)
        fputc(' ', flow->term->file);
}

/* The word in hand goes to this line, or to the next one where it would pass the edge. */
static void print_word(struct flow *flow)
{
    size_t width = text_width(str_text(&flow->word), flow->word.length);
    bool fits = flow->column + flow->blanks + width < (size_t)flow->term->width;
    if (!fits && flow->column > 0 && flow->blanks > 0) {
        fputc('\n', flow->term->file);
        flow->column = 0;
        flow->blanks = 0;
    }
    print_blanks(flow);
    term_write(flow->term, str_text(&flow->word), flow->word.length);
    flow->column += width;
    str_truncate(&flow->word, 0);
}

static void take(struct flow *flow, char c)
{
    if (c == ' ' || c == '\n' || c == '\t') {
        if (flow->word.length > 0)
            print_word(flow);
        if (c == '\n') {
            fputc('\n', flow->term->file);
            flow->column = 0;
            flow->blanks = 0;
        } else {
            flow->blanks += c == '\t' ? 4 : 1;
        }
        return;
    }
    if (flow->word.length == FLOW_WORD_MAX)
        print_word(flow);
    str_putc(&flow->word, c);
}

bool flow_write(struct flow *flow, const char *text, size_t length, struct err *err)
{
    if (!flow->term->tty)
        term_write(flow->term, text, length);
    for (size_t i = 0; flow->term->tty && i < length; i++)
        take(flow, text[i]);
    return term_flush(flow->term, err);
}

void flow_end(struct flow *flow)
{
    if (flow->word.length > 0)
        print_word(flow);
    str_free(&flow->word);
}
