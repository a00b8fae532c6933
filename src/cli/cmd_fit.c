/* `jarvis models fit NAME`: what a model takes, part by part, and whether there is room for it. */
#include "cli/cmd_fit.h"

#include <string.h>

#include "cli/table.h"
#include "ipc/protocol.h"

enum { PATH_BYTES = 1024 };

static uint64_t number_of(yyjson_val *answer, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(answer, key));
}

/* A part as people call it. */
static const char *part_text(enum lang lang, const char *part)
{
    static const struct {
        enum memory_part part;
        const char *text;
    } texts[] = {
        {PART_WEIGHTS, N_("weights (pages of the file)")},
        {PART_REPACKED, N_("weights (copied for the processor)")},
        {PART_CACHE, N_("cache of the conversations")},
        {PART_COMPUTE, N_("buffers for computing")},
        {PART_PROCESS, N_("vocabulary and process")},
        {PART_LEARNED, N_("learned from earlier loads")},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strcmp(memory_part_name(texts[i].part), part) == 0)
            return TR(lang, texts[i].text);
    return part;
}

static bool print_parts(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    struct table table;
    table_init(&table);
    table_column(&table, TR(cli->lang, "MEMORY FOR"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "DEVICE"), ALIGN_LEFT);
    table_column(&table, TR(cli->lang, "SIZE"), ALIGN_RIGHT);
    yyjson_arr_iter walk = yyjson_arr_iter_with(yyjson_obj_get(answer, "parts"));
    yyjson_val *part;
    while ((part = yyjson_arr_iter_next(&walk))) {
        if (number_of(part, "bytes") == 0)
            continue;
        table_cell(&table, "%s",
                   part_text(cli->lang, yyjson_get_str(yyjson_obj_get(part, "part"))));
        table_cell(&table, "%s", yyjson_get_str(yyjson_obj_get(part, "device")));
        table_cell_bytes(&table, number_of(part, "bytes"));
    }
    table_cell(&table, "%s", TR(cli->lang, "predicted"));
    table_cell(&table, "CPU");
    table_cell_bytes(&table, number_of(answer, "predicted_bytes"));
    table_cell(&table, "%s", TR(cli->lang, "at most"));
    table_cell(&table, "CPU");
    table_cell_bytes(&table, number_of(answer, "bound_bytes"));
    bool ok = table_print(&table, &cli->out, err);
    table_free(&table);
    return ok;
}

static void print_heading(const struct cli *cli, yyjson_val *answer)
{
    fprintf(cli->out.file,
            TR(cli->lang, "%s, a context of %llu tokens, %llu at once, cache in %s:"),
            yyjson_get_str(yyjson_obj_get(answer, "model")),
            (unsigned long long)number_of(answer, "context_length"),
            (unsigned long long)number_of(answer, "parallel"),
            yyjson_get_str(yyjson_obj_get(answer, "kv_type")));
    fputs("\n\n", cli->out.file);
}

static void print_basis(const struct cli *cli, yyjson_val *answer)
{
    unsigned long long samples = number_of(answer, "samples");
    if (!yyjson_is_true(yyjson_obj_get(answer, "analysed")))
        fprintf(cli->out.file, "%s\n",
                TR(cli->lang, "The file could not be looked into: this is a rough rule."));
    else if (samples > 0) {
        fprintf(cli->out.file, TR(cli->lang, "Found by a dry run, and corrected by %llu loads."),
                samples);
        fputs("\n", cli->out.file);
    } else {
        fprintf(cli->out.file, "%s\n",
                TR(cli->lang, "Found by a dry run; it was never loaded so."));
    }
}

static void print_room(const struct cli *cli, yyjson_val *answer)
{
    struct str budget, used, unused;
    str_init(&budget, 64);
    str_init(&used, 64);
    str_init(&unused, 64);
    text_bytes(&budget, number_of(answer, "budget_bytes"));
    text_bytes(&used, number_of(answer, "used_bytes"));
    text_bytes(&unused, number_of(answer, "free_bytes"));
    fprintf(cli->out.file, TR(cli->lang, "Models may take %s; others use %s of it, %s are free."),
            str_text(&budget), str_text(&used), str_text(&unused));
    fputs("\n", cli->out.file);
    str_free(&budget);
    str_free(&used);
    str_free(&unused);
}

static void print_evictions(const struct cli *cli, yyjson_val *answer)
{
    fputs(TR(cli->lang, "It fits when these are unloaded, which then happens by itself:"),
          cli->out.file);
    yyjson_arr_iter walk = yyjson_arr_iter_with(yyjson_obj_get(answer, "evict"));
    yyjson_val *eviction;
    while ((eviction = yyjson_arr_iter_next(&walk))) {
        struct str bytes;
        str_init(&bytes, 64);
        text_bytes(&bytes, number_of(eviction, "bytes"));
        fprintf(cli->out.file, " %s (%s)", yyjson_get_str(yyjson_obj_get(eviction, "model")),
                str_text(&bytes));
        str_free(&bytes);
    }
    fputs("\n", cli->out.file);
}

static void print_verdict(const struct cli *cli, yyjson_val *answer)
{
    enum lang lang = cli->lang;
    const char *verdict = yyjson_get_str(yyjson_obj_get(answer, "verdict"));
    if (strcmp(verdict, "evict") == 0) {
        print_evictions(cli, answer);
        return;
    }
    const char *text = TR(lang, "It can never fit: use a smaller context, or a smaller model.");
    if (strcmp(verdict, "fits") == 0)
        text = TR(lang, "It fits.");
    else if (strcmp(verdict, "wait") == 0)
        text = TR(lang, "It fits once models that are in use now become idle.");
    else if (strcmp(verdict, "short") == 0)
        text = TR(lang, "It does not fit while other programs hold so much memory.");
    fprintf(cli->out.file, "%s\n", text);
}

static void print_largest(const struct cli *cli, yyjson_val *answer)
{
    unsigned long long largest = number_of(answer, "largest_context");
    unsigned long long trained = number_of(answer, "train_context");
    if (largest == 0)
        return;
    fprintf(cli->out.file,
            TR(cli->lang, "Largest context that fits: %llu tokens, of %llu that the model knows."),
            largest, trained);
    fputs("\n", cli->out.file);
}

static bool print_fit(const struct cli *cli, yyjson_val *answer, struct err *err)
{
    print_heading(cli, answer);
    if (!print_parts(cli, answer, err))
        return false;
    fputs("\n", cli->out.file);
    print_basis(cli, answer);
    print_room(cli, answer);
    print_verdict(cli, answer);
    print_largest(cli, answer);
    return true;
}

static yyjson_mut_doc *make_request(const struct options *options)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    if (options_has(options, "context"))
        yyjson_mut_obj_add_int(doc, root, "context_length", options_int(options, "context", 0));
    if (options_has(options, "parallel"))
        yyjson_mut_obj_add_int(doc, root, "parallel", options_int(options, "parallel", 0));
    if (options_has(options, "kv"))
        yyjson_mut_obj_add_str(doc, root, "kv_type", options_text(options, "kv", NULL));
    return doc;
}

bool fit_command(const struct cli *cli, struct client *client, const struct options *options,
                 struct err *err)
{
    struct str path;
    str_init(&path, PATH_BYTES);
    str_puts(&path, "/v1/models/");
    bool ok = client_escape(client, options->words[1], &path, err);
    str_puts(&path, "/fit");
    yyjson_mut_doc *request = make_request(options);
    yyjson_doc *answer = NULL;
    ok = ok && client_call(client, "POST", str_text(&path), request, &answer, err);
    yyjson_mut_doc_free(request);
    str_free(&path);
    if (!ok)
        return false;
    if (cli->json) {
        yyjson_mut_doc *copy = yyjson_doc_mut_copy(answer, NULL);
        ok = copy ? command_print_json(cli, copy, err) : err_no_memory(err);
        yyjson_mut_doc_free(copy);
    } else {
        ok = print_fit(cli, yyjson_doc_get_root(answer), err);
    }
    yyjson_doc_free(answer);
    return ok;
}
