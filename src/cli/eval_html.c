/* The page: a table, three plots as inline SVG, and the questions that went worst, to look at. Colours are variables
 * that a dark scheme replaces; each method also has its name beside its line or bar, so that colour is never alone. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "cli/eval.h"
#include "config.h"

enum {
    PAGE_MAX = 16 * 1024 * 1024,
    WIDTH = 760,
    LEFT = 120, /* of the plotting area, for labels */
    RIGHT = WIDTH - 90,
    BAR = 12,
    GROUP_GAP = 18,
    CURVE_HEIGHT = 260,
    WORST = 20, /* questions shown */
    TEXT_SHOWN = 160,
};

static const char style[] =
    ":root{--paper:#fff;--ink:#1c2024;--soft:#60646c;--line:#d9dce1;--m0:#8a6d00;--m1:#2563c9;"
    "--m2:#00775f;--m3:#a3309a}"
    "@media(prefers-color-scheme:dark){:root{--paper:#16181b;--ink:#e8eaed;--soft:#a0a6ae;"
    "--line:#34383e;--m0:#e0b840;--m1:#7aa8ff;--m2:#4fcba8;--m3:#e58ae0}}"
    "body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;"
    "max-width:820px;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem}p{color:var(--soft)}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem;"
    "font-variant-numeric:tabular-nums}"
    "th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid var(--line);"
    "vertical-align:top}td small{color:var(--soft);white-space:nowrap}"
    "svg{width:100%;height:auto;display:block}svg text{fill:var(--ink);font-size:12px}"
    "svg .soft{fill:var(--soft)}svg .grid{stroke:var(--line)}svg .whisker{stroke:var(--ink)}"
    ".m0{fill:var(--m0);stroke:var(--m0)}.m1{fill:var(--m1);stroke:var(--m1)}"
    ".m2{fill:var(--m2);stroke:var(--m2)}.m3{fill:var(--m3);stroke:var(--m3)}"
    "svg .bar{stroke:none}svg .curve{fill:none;stroke-width:2}"
    "svg .name{stroke:none}";

/* ---------------------------------------------------------------- pieces */

static void put_text(struct str *out, const char *text, size_t most)
{
    size_t length = strlen(text);
    size_t end = length > most ? most : length;
    while (end < length && end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--; /* not within a character */
    for (size_t i = 0; i < end; i++) {
        switch (text[i]) {
        case '&': str_puts(out, "&amp;"); break;
        case '<': str_puts(out, "&lt;"); break;
        case '>': str_puts(out, "&gt;"); break;
        case '"': str_puts(out, "&quot;"); break;
        default: str_putc(out, text[i]);
        }
    }
    if (end < length)
        str_puts(out, "…");
}

static void put_label(struct str *out, double x, double y, const char *attributes, const char *text)
{
    str_printf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    put_text(out, text, TEXT_SHOWN);
    str_puts(out, "</text>");
}

static void put_heading(struct str *out, const char *text)
{
    str_puts(out, "<h2>");
    put_text(out, text, TEXT_SHOWN);
    str_puts(out, "</h2>\n");
}

static void open_plot(struct str *out, int height, const char *label)
{
    str_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    put_text(out, label, TEXT_SHOWN);
    str_puts(out, "\">\n");
}

static size_t measured(const struct eval_result *result)
{
    size_t count = 0;
    for (size_t i = 0; i < EVAL_METHODS; i++)
        count += !result->methods[i].why;
    return count;
}

/* ---------------------------------------------------------------- the table */

static void put_row(struct str *out, const struct eval_method *method)
{
    str_puts(out, "<tr><th scope=\"row\">");
    put_text(out, method->name, TEXT_SHOWN);
    str_puts(out, "</th>");
    for (size_t i = 0; i < EVALUATE_COUNT; i++)
        str_printf(out, "<td>%.3f<br><small>%.3f–%.3f</small></td>", method->of[i].mean,
                   method->of[i].low, method->of[i].high);
    str_printf(out, "<td>%.1f ms<br><small>p95 %.1f ms</small></td></tr>\n", method->p50_ms,
               method->p95_ms);
}

static void put_table(struct str *out, enum lang lang, const struct eval_result *result)
{
    str_printf(out, "<div class=\"wide\"><table><thead><tr><th>%s</th>", TR(lang, "Method"));
    for (size_t i = 0; i < EVALUATE_COUNT; i++)
        str_printf(out, "<th>%s</th>", evaluate_name((enum evaluate_measure)i));
    str_printf(out, "<th>%s</th></tr></thead><tbody>\n", TR(lang, "Time (median)"));
    for (size_t i = 0; i < EVAL_METHODS; i++)
        if (!result->methods[i].why)
            put_row(out, &result->methods[i]);
    str_puts(out, "</tbody></table></div>\n");
    for (size_t i = 0; i < EVAL_METHODS; i++) {
        const struct eval_method *method = &result->methods[i];
        if (!method->why)
            continue;
        str_puts(out, "<p>");
        str_printf(out, TR(lang, "%s was not measured: %s"), method->name, "");
        put_text(out, method->why, PAGE_MAX);
        str_puts(out, "</p>\n");
    }
}

/* ---------------------------------------------------------------- quality, as bars */

static double bar_x(double value)
{
    return LEFT + value * (RIGHT - LEFT);
}

static void put_bar(struct str *out, size_t number, const struct evaluate_interval *value, double y)
{
    double middle = y + BAR / 2.0;
    str_printf(out,
               "<rect class=\"bar m%zu\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>"
               "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
               "<text x=\"%d\" y=\"%.1f\">%.3f</text>\n",
               number, LEFT, y, value->mean * (RIGHT - LEFT), BAR - 2, bar_x(value->low),
               bar_x(value->high), middle - 1, middle - 1, RIGHT + 8, middle + 3, value->mean);
}

static void put_legend(struct str *out, const struct eval_result *result)
{
    int x = LEFT;
    for (size_t i = 0; i < EVAL_METHODS; i++) {
        if (result->methods[i].why)
            continue;
        str_printf(out, "<rect class=\"bar m%zu\" x=\"%d\" y=\"4\" width=\"12\" height=\"12\"/>", i,
                   x);
        put_label(out, x + 18, 14, "", result->methods[i].name);
        x += 30 + 8 * (int)strlen(result->methods[i].name);
    }
}

static void put_quality(struct str *out, enum lang lang, const struct eval_result *result)
{
    int group = (int)measured(result) * BAR + GROUP_GAP;
    int height = 30 + group * EVALUATE_COUNT;
    put_heading(out, TR(lang, "Quality"));
    open_plot(out, height, TR(lang, "Quality"));
    put_legend(out, result);
    for (int tick = 0; tick <= 4; tick++)
        str_printf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"26\" y2=\"%d\"/>",
                   bar_x(tick / 4.0), bar_x(tick / 4.0), height - 6);
    for (size_t measure = 0; measure < EVALUATE_COUNT; measure++) {
        double y = 30 + (double)group * (double)measure;
        put_label(out, LEFT - 10, y + (group - GROUP_GAP) / 2.0 + 4, "text-anchor=\"end\"",
                  evaluate_name((enum evaluate_measure)measure));
        for (size_t i = 0; i < EVAL_METHODS; i++) {
            if (result->methods[i].why)
                continue;
            put_bar(out, i, &result->methods[i].of[measure], y);
            y += BAR;
        }
    }
    str_puts(out, "</svg>\n");
}

/* ---------------------------------------------------------------- recall by depth, as curves */

/* The mean share of the relevant documents among the first `depth`. */
static double recall_at(const struct eval_result *result, const struct eval_method *method,
                        size_t depth)
{
    double sum = 0;
    for (size_t query = 0; query < result->queries.count; query++) {
        const struct eval_ranking *ranking = &method->rankings[query];
        size_t found = 0;
        for (size_t i = 0; i < ranking->count && i < depth; i++)
            found += dataset_grade(&result->answers[query], ranking->ranks[i].document) > 0;
        sum += (double)found / (double)result->answers[query].count;
    }
    return sum / (double)result->queries.count;
}

static double curve_y(double recall)
{
    return 20 + (1 - recall) * (CURVE_HEIGHT - 50);
}

static void put_axes(struct str *out)
{
    static const size_t depths[] = {1, 3, 10, 30, 100};
    for (int tick = 0; tick <= 4; tick++) {
        str_printf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                   RIGHT, curve_y(tick / 4.0), curve_y(tick / 4.0));
        str_printf(out, "<text class=\"soft\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.2f</text>",
                   LEFT - 10, curve_y(tick / 4.0) + 4, tick / 4.0);
    }
    for (size_t i = 0; i < sizeof(depths) / sizeof(*depths); i++)
        str_printf(out,
                   "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%zu</text>",
                   LEFT + (RIGHT - LEFT) * (double)i / 4, CURVE_HEIGHT - 8, depths[i]);
}

static void put_curves(struct str *out, enum lang lang, const struct eval_result *result)
{
    /* Steps of equal width on the page: about a third of a power of ten each. */
    static const size_t depths[] = {1, 2, 3, 5, 10, 20, 30, 50, 100};
    static const double places[] = {0, .63, 1, 1.42, 2, 2.63, 3, 3.42, 4};
    put_heading(out, TR(lang, "Relevant documents found, by how many are looked at"));
    open_plot(out, CURVE_HEIGHT, TR(lang, "Relevant documents found, by how many are looked at"));
    put_axes(out);
    for (size_t i = 0; i < EVAL_METHODS; i++) {
        const struct eval_method *method = &result->methods[i];
        if (method->why)
            continue;
        str_printf(out, "<polyline class=\"curve m%zu\" points=\"", i);
        for (size_t at = 0; at < sizeof(depths) / sizeof(*depths); at++)
            str_printf(out, "%.1f,%.1f ", LEFT + (RIGHT - LEFT) * places[at] / 4,
                       curve_y(recall_at(result, method, depths[at])));
        str_puts(out, "\"/>\n");
    }
    put_legend(out, result);
    str_puts(out, "</svg>\n");
}

/* ---------------------------------------------------------------- time, as bars */

static void put_times(struct str *out, enum lang lang, const struct eval_result *result)
{
    double longest = 0;
    for (size_t i = 0; i < EVAL_METHODS; i++)
        if (!result->methods[i].why && result->methods[i].p95_ms > longest)
            longest = result->methods[i].p95_ms;
    put_heading(out, TR(lang, "Time of a search: median (bar) and 95th percentile (line)"));
    open_plot(out, (int)measured(result) * 26 + 8, TR(lang, "Time of a search"));
    double y = 4;
    for (size_t i = 0; i < EVAL_METHODS; i++) {
        const struct eval_method *method = &result->methods[i];
        if (method->why)
            continue;
        put_label(out, LEFT - 10, y + 13, "text-anchor=\"end\"", method->name);
        double scale = longest > 0 ? (RIGHT - LEFT) / longest : 0;
        str_printf(out,
                   "<rect class=\"bar m%zu\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"16\"/>"
                   "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                   "<text x=\"%d\" y=\"%.1f\">%.1f ms</text>\n",
                   i, LEFT, y, method->p50_ms * scale, LEFT + method->p50_ms * scale,
                   LEFT + method->p95_ms * scale, y + 8, y + 8, RIGHT + 8, y + 13, method->p50_ms);
        y += 26;
    }
    str_puts(out, "</svg>\n");
}

/* ---------------------------------------------------------------- the worst questions */

struct bad {
    double value;
    size_t query;
};

static int worse(const void *left, const void *right)
{
    const struct bad *a = left;
    const struct bad *b = right;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return a->query < b->query ? -1 : a->query > b->query;
}

static void put_document(struct str *out, const struct dataset_text *text)
{
    str_puts(out, "<td><small>");
    put_text(out, text->id, TEXT_SHOWN);
    str_puts(out, "</small> ");
    put_text(out, *text->title ? text->title : text->text, TEXT_SHOWN);
    str_puts(out, "</td>");
}

static void put_bad(struct str *out, const struct eval_result *result,
                    const struct eval_method *method, const struct bad *bad)
{
    size_t wanted = result->answers[bad->query].documents[0];
    const struct eval_ranking *ranking = &method->rankings[bad->query];
    str_printf(out, "<tr><td>%.2f</td><td>", bad->value);
    put_text(out, result->queries.items[bad->query].text, TEXT_SHOWN);
    str_puts(out, "</td>");
    if (wanted < result->corpus.count)
        put_document(out, &result->corpus.items[wanted]);
    else
        str_puts(out, "<td>–</td>");
    if (ranking->count > 0)
        put_document(out, &result->corpus.items[ranking->ranks[0].document]);
    else
        str_puts(out, "<td>–</td>");
    str_puts(out, "</tr>\n");
}

/* Of the best method that was measured: the questions that it answers worst. */
static bool put_worst(struct str *out, enum lang lang, const struct eval_result *result,
                      struct err *err)
{
    size_t last = 0;
    for (size_t i = 0; i < EVAL_METHODS; i++)
        if (!result->methods[i].why)
            last = i;
    const struct eval_method *method = &result->methods[last];
    size_t count = result->queries.count;
    struct bad *list = calloc(count, sizeof(*list));
    if (!list)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++)
        list[i] = (struct bad){method->values[i].of[EVALUATE_NDCG_10], i};
    qsort(list, count, sizeof(*list), worse);
    put_heading(out, TR(lang, "The questions that went worst"));
    str_printf(out,
               "<div class=\"wide\"><table><thead><tr><th>nDCG@10</th><th>%s</th><th>%s</th>"
               "<th>%s (%s)</th></tr></thead><tbody>\n",
               TR(lang, "Question"), TR(lang, "Wanted"), TR(lang, "Found first"), method->name);
    for (size_t i = 0; i < count && i < WORST; i++)
        put_bad(out, result, method, &list[i]);
    str_puts(out, "</tbody></table></div>\n");
    free(list);
    return true;
}

bool eval_write_html(const struct cli *cli, const struct eval_result *result, const char *path,
                     struct err *err)
{
    struct str out;
    str_init(&out, PAGE_MAX);
    str_printf(&out,
               "<!doctype html>\n<html lang=\"%s\"><meta charset=\"utf-8\">"
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
               "<meta name=\"color-scheme\" content=\"light dark\"><title>jarvis eval: ",
               lang_code(cli->lang));
    put_text(&out, result->name, TEXT_SHOWN);
    str_printf(&out, "</title><style>%s</style>\n<h1>", style);
    put_text(&out, result->name, TEXT_SHOWN);
    str_puts(&out, "</h1><p>");
    str_printf(&out, TR(cli->lang, "%zu documents in %zu passages, %zu questions; jarvis %s"),
               result->corpus.count, result->passages, result->queries.count, JARVIS_VERSION);
    str_puts(&out, "</p>\n");
    put_table(&out, cli->lang, result);
    put_quality(&out, cli->lang, result);
    put_curves(&out, cli->lang, result);
    put_times(&out, cli->lang, result);
    bool ok = put_worst(&out, cli->lang, result, err);
    str_puts(&out, "</html>\n");
    ok = ok && str_check(&out, "the report", err) &&
         fs_write_atomic(path, str_text(&out), out.length, 0644, err);
    str_free(&out);
    return ok;
}
