#include "cli/answer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOURCE_INDENT = 6, SOURCE_TEXT_MAX = 256 * 1024 };

void answer_init(struct answer *answer)
{
    *answer = (struct answer){.category = "OK", .notice = ""};
    str_init(&answer->text, ANSWER_TEXT_MAX);
}

void answer_free(struct answer *answer)
{
    str_free(&answer->text);
    yyjson_doc_free(answer->last);
    answer->last = NULL;
    answer->extra = NULL;
}

/* --- the request --- */

static yyjson_mut_doc *make_request(const struct answer_request *request)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "model", request->model ? request->model : "jarvis");
    yyjson_mut_val *messages = yyjson_mut_obj_add_arr(doc, root, "messages");
    for (size_t i = 0; i < request->message_count; i++) {
        yyjson_mut_val *message = yyjson_mut_arr_add_obj(doc, messages);
        yyjson_mut_obj_add_str(doc, message, "role", request->messages[i].role);
        yyjson_mut_obj_add_str(doc, message, "content", request->messages[i].text);
    }
    yyjson_mut_obj_add_bool(doc, root, "stream", true);
    yyjson_mut_val *extra = yyjson_mut_obj_add_obj(doc, root, "jarvis");
    if (request->store_count > 0) {
        yyjson_mut_val *stores = yyjson_mut_obj_add_arr(doc, extra, "stores");
        for (size_t i = 0; i < request->store_count; i++)
            yyjson_mut_arr_add_str(doc, stores, request->stores[i]);
    }
    if (request->top_k > 0)
        yyjson_mut_obj_add_sint(doc, extra, "top_k", request->top_k);
    if (request->alpha >= 0)
        yyjson_mut_obj_add_real(doc, extra, "alpha", request->alpha);
    return doc;
}

/* --- the answer --- */

struct receiving {
    struct answer *answer;
    answer_text_handler *on_text;
    void *user;
};

static void keep_last(struct answer *answer, yyjson_doc *doc, yyjson_val *extra)
{
    yyjson_doc_free(answer->last);
    answer->last = doc;
    answer->extra = extra;
    const char *category = yyjson_get_str(yyjson_obj_get(extra, "category"));
    const char *notice = yyjson_get_str(yyjson_obj_get(extra, "notice"));
    answer->category = category ? category : "OK";
    answer->notice = notice ? notice : "";
}

static bool on_event(void *user, const struct event *event, struct err *err)
{
    struct receiving *receiving = user;
    struct answer *answer = receiving->answer;
    yyjson_doc *doc;
    if (!json_parse(event->data, event->length, "an event of the service", &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    yyjson_val *content = yyjson_obj_get(yyjson_obj_get(choice, "delta"), "content");
    bool ok = true;
    if (yyjson_get_len(content) > 0 && yyjson_is_str(content)) {
        str_append(&answer->text, yyjson_get_str(content), yyjson_get_len(content));
        ok = str_check(&answer->text, "the answer", err) &&
             receiving->on_text(receiving->user, yyjson_get_str(content), yyjson_get_len(content),
                                err);
    }
    if (yyjson_is_str(yyjson_obj_get(choice, "finish_reason")))
        answer->finished = true;
    yyjson_val *extra = yyjson_obj_get(root, "jarvis");
    if (yyjson_is_obj(extra))
        keep_last(answer, doc, extra);
    else
        yyjson_doc_free(doc);
    return ok;
}

bool answer_ask(struct client *client, const struct answer_request *request,
                answer_text_handler *on_text, void *user, struct answer *answer, struct err *err)
{
    struct receiving receiving = {.answer = answer, .on_text = on_text, .user = user};
    yyjson_mut_doc *body = make_request(request);
    bool ok = client_stream(client, "/v1/chat/completions", body, on_event, &receiving, err);
    yyjson_mut_doc_free(body);
    if (ok && !answer->finished)
        return err_set(err, ERR_UNAVAILABLE,
                       "the service went away in the middle of the answer; try again");
    return ok;
}

/* --- showing it --- */

bool answer_print_text(void *user, const char *text, size_t length, struct err *err)
{
    return flow_write(user, text, length, err);
}

const char *answer_short_path(const char *path)
{
    char directory[PATH_MAX];
    if (!getcwd(directory, sizeof(directory)))
        return path;
    size_t length = strlen(directory);
    bool below = length > 1 && strncmp(path, directory, length) == 0 && path[length] == '/';
    return below ? path + length + 1 : path;
}

static const char *text_of(yyjson_val *object, const char *key)
{
    const char *text = yyjson_get_str(yyjson_obj_get(object, key));
    return text ? text : "";
}

static void print_source(const struct term *term, yyjson_val *source)
{
    struct str line;
    struct str quote;
    str_init(&line, SOURCE_TEXT_MAX);
    str_init(&quote, SOURCE_TEXT_MAX);
    str_putc(&quote, '"');
    text_fit(&quote, text_of(source, "text"), SOURCE_TEXT_MAX, false, term->utf8);
    str_putc(&quote, '"');
    str_printf(&line, "  [%d] %s:%llu-%llu  ", yyjson_get_int(yyjson_obj_get(source, "number")),
               answer_short_path(text_of(source, "path")),
               (unsigned long long)yyjson_get_uint(yyjson_obj_get(source, "line_start")),
               (unsigned long long)yyjson_get_uint(yyjson_obj_get(source, "line_end")));
    size_t column = text_width(str_text(&line), line.length);
    if (term->tty)
        text_wrap(&line, str_text(&quote), (size_t)term->width - 1, column, SOURCE_INDENT);
    else
        str_puts(&line, str_text(&quote));
    term_write(term, str_text(&line), line.length);
    fputs("\n", term->file);
    str_free(&quote);
    str_free(&line);
}

void answer_print_sources(const struct term *term, enum lang lang, const struct answer *answer)
{
    yyjson_val *sources = yyjson_obj_get(answer->extra, "sources");
    if (yyjson_arr_size(sources) == 0)
        return;
    fprintf(term->file, "\n%s%s%s\n", term_on(term, STYLE_BOLD), TR(lang, "Sources:"),
            term_off(term));
    yyjson_arr_iter walk = yyjson_arr_iter_with(sources);
    yyjson_val *source;
    while ((source = yyjson_arr_iter_next(&walk)))
        print_source(term, source);
}

void answer_print_notice(const struct term *term, const char *notice)
{
    if (!*notice)
        return;
    struct str text;
    str_init(&text, SOURCE_TEXT_MAX);
    if (term->tty)
        text_wrap(&text, notice, (size_t)term->width - 1, 0, 0);
    else
        str_puts(&text, notice);
    fprintf(term->file, "\n%s", term_on(term, STYLE_YELLOW));
    term_write(term, str_text(&text), text.length);
    fprintf(term->file, "%s\n", term_off(term));
    str_free(&text);
}
