#include "cli/progress.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"

enum {
    DRAW_EVERY_MS = 100,
    BAR_MIN = 10, /* columns; a narrower bar says nothing */
    BAR_MAX = 30,
    PATH_MIN = 12, /* columns; a shorter path is left out */
};

static const char *phase_name(enum lang lang, const char *phase)
{
    static const struct {
        const char *phase;
        const char *english;
    } names[] = {
        {"scan", N_("looking for files")},
        {"read", N_("reading")},
        {"embed", N_("embedding")},
        {"listen", N_("listening")},
        {"look", N_("asking what there is")},
        {"wait", N_("waiting for another download of it")},
        {"check", N_("checking")},
        {"download", N_("downloading")},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(phase, names[i].phase) == 0)
            return TR(lang, names[i].english);
    if (strcmp(phase, "search") == 0)
        return TR(lang, "searching");
    if (strcmp(phase, "rerank") == 0)
        return TR(lang, "reranking");
    if (strcmp(phase, "load") == 0)
        return TR(lang, "loading");
    if (strcmp(phase, "memory") == 0)
        return TR(lang, "waiting for memory");
    return phase;
}

void progress_begin(struct progress *progress, const struct term *term, enum lang lang)
{
    *progress = (struct progress){.term = term, .lang = lang, .tenth = -1};
}

static double fraction(const struct progress_state *state)
{
    if (state->total == 0)
        return 0;
    return state->done >= state->total ? 1 : (double)state->done / (double)state->total;
}

static void append_bar(struct str *out, double part, size_t columns, bool utf8)
{
    size_t full = (size_t)(part * (double)columns + 0.5);
    str_putc(out, utf8 ? ' ' : '[');
    for (size_t i = 0; i < columns; i++)
        str_puts(out, i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "-"));
    str_putc(out, utf8 ? ' ' : ']');
}

static void append_rate(struct str *out, enum lang lang, const struct progress_state *state,
                        double seconds)
{
    if (seconds < 0.05)
        return;
    str_puts(out, "  ");
    if (state->bytes_done > 0) {
        text_bytes(out, (uint64_t)((double)state->bytes_done / seconds));
        str_puts(out, "/s");
    } else {
        str_printf(out, TR(lang, "%.0f a second"), (double)state->done / seconds);
    }
}

static void append_amount(struct str *out, const struct progress_state *state, uint64_t amount)
{
    if (state->in_bytes)
        text_bytes(out, amount);
    else
        str_printf(out, "%llu", (unsigned long long)amount);
}

static size_t width_of(const struct str *text)
{
    return text_width(str_text(text), text->length);
}

/* Name, count and rate always stand in this order; the bar and the path get what is left, if it is
 * enough. */
void progress_render(const struct term *term, enum lang lang, const struct progress_state *state,
                     double seconds, struct str *out)
{
    const size_t width = (size_t)term->width - 1;
    struct str name;
    struct str count;
    struct str rate;
    str_init(&name, 256);
    str_init(&count, 256);
    str_init(&rate, 256);
    text_fit(&name, phase_name(lang, state->phase), width, false, term->utf8);
    append_amount(&count, state, state->done);
    if (state->total > 0) {
        str_putc(&count, '/');
        append_amount(&count, state, state->total);
        str_printf(&count, "  %3.0f%%", fraction(state) * 100);
    }
    append_rate(&rate, lang, state, seconds);

    size_t used = width_of(&name) + 1 + width_of(&count);
    if (used + width_of(&rate) <= width)
        used += width_of(&rate);
    else
        str_truncate(&rate, 0);
    size_t room = width > used ? width - used : 0;
    bool has_bar = state->total > 0 && room >= BAR_MIN + 1;
    bool has_path = *state->path && room >= BAR_MIN + 1 + PATH_MIN + 2;
    size_t bar = has_path ? room - PATH_MIN - 3 : has_bar ? room - 1 : 0;
    bar = bar > BAR_MAX ? BAR_MAX : bar;

    str_append(out, str_text(&name), name.length);
    if (has_bar)
        append_bar(out, fraction(state), bar, term->utf8);
    else
        str_putc(out, ' ');
    str_append(out, str_text(&count), used > width ? 0 : count.length);
    str_append(out, str_text(&rate), rate.length);
    if (has_path) {
        str_puts(out, "  ");
        text_fit(out, state->path, room - (has_bar ? bar + 1 : 0) - 2, true, term->utf8);
    }
    str_free(&name);
    str_free(&count);
    str_free(&rate);
}

static void draw(struct progress *progress, const struct progress_state *state)
{
    struct str line;
    str_init(&line, 4096);
    progress_render(progress->term, progress->lang, state,
                    clock_ms_since(progress->phase_start_ns) / 1000, &line);
    fputs("\r", progress->term->file);
    term_write(progress->term, line.data, line.length);
    fputs("\033[K", progress->term->file);
    fflush(progress->term->file);
    str_free(&line);
    progress->drawn_ns = clock_now_ns();
}

static void print_line(struct progress *progress, const struct progress_state *state)
{
    int tenth = (int)(fraction(state) * 10);
    if (tenth <= progress->tenth)
        return;
    progress->tenth = tenth;
    const char *name = phase_name(progress->lang, state->phase);
    struct str amount;
    str_init(&amount, 128);
    if (state->total > 0) {
        append_amount(&amount, state, state->done);
        str_putc(&amount, '/');
        append_amount(&amount, state, state->total);
        fprintf(progress->term->file, "%s: %s (%.0f%%)\n", name, str_text(&amount),
                fraction(state) * 100);
    } else {
        fprintf(progress->term->file, "%s\n", name);
    }
    str_free(&amount);
    fflush(progress->term->file);
}

void progress_show(struct progress *progress, const struct progress_state *state)
{
    bool new_phase = strcmp(progress->phase, state->phase) != 0;
    if (new_phase) {
        snprintf(progress->phase, sizeof(progress->phase), "%s", state->phase);
        progress->phase_start_ns = clock_now_ns();
        progress->tenth = -1;
    }
    if (!progress->term->tty) {
        print_line(progress, state);
        return;
    }
    bool last = state->total > 0 && state->done >= state->total;
    if (new_phase || last || clock_ms_since(progress->drawn_ns) >= DRAW_EVERY_MS)
        draw(progress, state);
}

void progress_end(struct progress *progress)
{
    if (progress->drawn_ns == 0)
        return;
    fputs("\r\033[K", progress->term->file);
    fflush(progress->term->file);
    progress->drawn_ns = 0;
}
