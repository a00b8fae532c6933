#include "server/openai_parse.h"

#include <string.h>

#include "server/body.h"
#include "server/jarvis_parse.h"

/* Any JSON object; GBNF as libllama reads it. White space is kept short, so that a model cannot stall in it. */
static const char json_grammar[] =
    "root ::= object\n"
    "object ::= \"{\" ws (pair (\",\" ws pair)*)? \"}\" ws\n"
    "pair ::= string \":\" ws value\n"
    "array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n"
    "value ::= object | array | string | number | \"true\" ws | \"false\" ws | \"null\" ws\n"
    "string ::= \"\\\"\" char* \"\\\"\" ws\n"
    "char ::= [^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" hex hex hex hex)\n"
    "hex ::= [0-9a-fA-F]\n"
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]*) (\".\" [0-9]+)? ([eE] [-+]? [0-9]+)? ws\n"
    "ws ::= [ \\n]?\n";

/* ---------------------------------------------------------------- sampling */

static bool opt_float(yyjson_val *object, const char *key, double min, double max, float *value,
                      struct err *err)
{
    double number = (double)*value;
    if (!json_opt_double(object, key, min, max, &number, err))
        return false;
    *value = (float)number;
    return true;
}

static bool opt_count(yyjson_val *object, const char *key, int64_t min, int64_t max,
                      uint32_t *value, struct err *err)
{
    int64_t number = *value;
    if (!json_opt_int(object, key, min, max, &number, err))
        return false;
    *value = (uint32_t)number;
    return true;
}

static bool parse_stops(yyjson_val *root, struct arena *arena, struct sampling *ret,
                        struct err *err)
{
    size_t count = 0;
    yyjson_val *stop = body_field(root, "stop");
    if (!stop || (yyjson_is_arr(stop) && yyjson_arr_size(stop) == 0))
        return true;
    if (!body_need_text_or_texts(root, "stop", MSG_STOPS_MAX, arena, &ret->stops, &count, err))
        return false;
    ret->stop_count = (uint32_t)count;
    return true;
}

static bool parse_seed(yyjson_val *root, struct sampling *ret, struct err *err)
{
    int64_t seed = 0;
    if (!body_field(root, "seed"))
        return true;
    if (!json_opt_int(root, "seed", INT64_MIN, INT64_MAX, &seed, err))
        return false;
    ret->seed = (uint64_t)seed;
    ret->has_seed = true;
    return true;
}

/* "grammar" is ours (as llama-server has it); "response_format" is OpenAI's. */
static bool parse_grammar(yyjson_val *root, struct arena *arena, struct sampling *ret,
                          struct err *err)
{
    if (!body_text(root, "grammar", arena, &ret->grammar, err))
        return false;
    if (strlen(ret->grammar) > OPENAI_GRAMMAR_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "grammar",
                             "\"grammar\" is longer than %d bytes", OPENAI_GRAMMAR_MAX);
    yyjson_val *format = NULL;
    const char *type = "text";
    if (!body_opt_object(root, "response_format", &format, err))
        return false;
    if (format && !json_need_string(format, "type", &type, err))
        return false;
    if (strcmp(type, "text") == 0)
        return true;
    if (strcmp(type, "json_object") != 0)
        return err_set_param(err, ERR_UNSUPPORTED, "response_format",
                             "response_format \"%s\" is not supported; use \"text\" or "
                             "\"json_object\", or describe the form as a GBNF \"grammar\"",
                             type);
    if (*ret->grammar != '\0')
        return err_set_param(err, ERR_INVALID_REQUEST, "response_format",
                             "\"grammar\" and response_format \"json_object\" exclude each other");
    ret->grammar = json_grammar;
    return true;
}

static bool parse_sampling(yyjson_val *root, struct arena *arena, struct sampling *ret,
                           struct err *err)
{
    sampling_default(ret);
    return opt_float(root, "temperature", 0, 2, &ret->temperature, err) &&
           opt_float(root, "top_p", 0, 1, &ret->top_p, err) &&
           opt_float(root, "min_p", 0, 1, &ret->min_p, err) &&
           opt_count(root, "top_k", 0, 1000000, &ret->top_k, err) &&
           opt_count(root, "max_tokens", 1, OPENAI_TOKENS_MAX, &ret->max_tokens, err) &&
           opt_count(root, "max_completion_tokens", 1, OPENAI_TOKENS_MAX, &ret->max_tokens, err) &&
           opt_float(root, "repeat_penalty", 0.01, 10, &ret->repeat_penalty, err) &&
           opt_float(root, "frequency_penalty", -2, 2, &ret->frequency_penalty, err) &&
           opt_float(root, "presence_penalty", -2, 2, &ret->presence_penalty, err) &&
           parse_seed(root, ret, err) && parse_stops(root, arena, ret, err) &&
           parse_grammar(root, arena, ret, err);
}

/* ---------------------------------------------------------------- what cannot be done yet */

static bool asks_for_something(yyjson_val *value)
{
    if (!value || yyjson_is_null(value))
        return false;
    if (yyjson_is_num(value))
        return yyjson_get_num(value) != 0;
    return yyjson_is_bool(value) ? yyjson_get_bool(value) : yyjson_get_len(value) > 0;
}

/* Fields whose neglect would give a wrong answer: they are refused unless they ask for nothing. */
static bool refuse_unsupported(yyjson_val *root, struct err *err)
{
    static const char *const keys[] = {"logprobs",  "top_logprobs",  "logit_bias", "echo",
                                       "functions", "function_call", "suffix",     "audio"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        if (asks_for_something(yyjson_obj_get(root, keys[i])))
            return err_set_param(err, ERR_UNSUPPORTED, keys[i],
                                 "\"%s\" is not supported; leave it out", keys[i]);
    }
    static const char *const counts[] = {"n", "best_of"};
    for (size_t i = 0; i < 2; i++) {
        int64_t count = 1;
        if (!json_opt_int(root, counts[i], 1, 128, &count, err))
            return false;
        if (count != 1)
            return err_set_param(err, ERR_UNSUPPORTED, counts[i],
                                 "\"%s\" must be 1: one answer is made for a request", counts[i]);
    }
    return true;
}

/* ---------------------------------------------------------------- messages */

/* Joins the text parts of a content list; other kinds of parts are refused. */
static bool join_parts(yyjson_val *parts, struct arena *arena, const char **ret, struct err *err)
{
    size_t total = 0;
    yyjson_val *part;
    size_t i;
    size_t count;
    yyjson_arr_foreach(parts, i, count, part)
    {
        const char *type = yyjson_get_str(yyjson_obj_get(part, "type"));
        if (!type || strcmp(type, "text") != 0)
            return err_set_param(err, ERR_UNSUPPORTED, "messages",
                                 "message content of type \"%s\" is not supported; only \"text\" "
                                 "is",
                                 type ? type : "?");
        const char *text = NULL;
        if (!json_need_string(part, "text", &text, err))
            return false;
        total += strlen(text);
    }
    char *joined = arena_alloc(arena, total + 1);
    if (!joined)
        return err_no_memory(err);
    char *end = joined;
    yyjson_arr_foreach(parts, i, count, part)
    {
        yyjson_val *text = yyjson_obj_get(part, "text");
        memcpy(end, yyjson_get_str(text), yyjson_get_len(text));
        end += yyjson_get_len(text);
    }
    *ret = joined;
    return true;
}

static bool parse_content(yyjson_val *message, struct arena *arena, const char **ret,
                          struct err *err)
{
    yyjson_val *content = body_field(message, "content");
    if (!content)
        return err_set_param(err, ERR_INVALID_REQUEST, "messages", "a message has no \"content\"");
    if (yyjson_is_arr(content))
        return join_parts(content, arena, ret, err);
    return body_text(message, "content", arena, ret, err);
}

/* The role as chat templates know it: "developer" is today's word for "system". */
static bool parse_role(yyjson_val *message, const char **ret, struct err *err)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    const char *role = NULL;
    if (!json_need_string(message, "role", &role, err))
        return false;
    if (strcmp(role, "developer") == 0)
        role = "system";
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
        if (strcmp(role, roles[i]) == 0) {
            *ret = roles[i];
            return true;
        }
    }
    return err_set_param(err, ERR_UNSUPPORTED, "messages",
                         "messages of role \"%s\" are not supported; use \"system\", \"user\" or "
                         "\"assistant\"",
                         role);
}

static bool parse_messages(yyjson_val *root, struct arena *arena, struct chat_request *ret,
                           struct err *err)
{
    yyjson_val *array = body_field(root, "messages");
    if (!yyjson_is_arr(array) || yyjson_arr_size(array) == 0 ||
        yyjson_arr_size(array) > MSG_MESSAGES_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "messages",
                             "\"messages\" must be a list of 1 to %d messages", MSG_MESSAGES_MAX);
    struct msg_chat_message *messages =
        arena_array(arena, yyjson_arr_size(array), sizeof(*messages));
    if (!messages)
        return err_no_memory(err);
    yyjson_val *message;
    size_t i;
    size_t count;
    yyjson_arr_foreach(array, i, count, message)
    {
        if (!yyjson_is_obj(message))
            return err_set_param(err, ERR_INVALID_REQUEST, "messages",
                                 "message %zu is not an object", i + 1);
        if (!parse_role(message, &messages[i].role, err) ||
            !parse_content(message, arena, &messages[i].content, err))
            return false;
    }
    ret->messages = messages;
    ret->message_count = count;
    return true;
}

/* ---------------------------------------------------------------- documents */

/* {"type":"file_search","vector_store_ids":[…],"max_num_results":N} */
static bool parse_file_search(yyjson_val *tool, struct arena *arena, struct search_request *ret,
                              struct err *err)
{
    int64_t top_k = (int64_t)ret->top_k;
    if (!body_texts(tool, "vector_store_ids", OPENAI_STORES_MAX, arena, &ret->stores,
                    &ret->store_count, err) ||
        !json_opt_int(tool, "max_num_results", 1, 50, &top_k, err))
        return false;
    if (body_field(tool, "filters"))
        return err_set_param(err, ERR_UNSUPPORTED, "tools",
                             "\"filters\" of file_search are not supported; leave them out");
    ret->top_k = (size_t)top_k;
    return true;
}

static bool parse_tools(yyjson_val *root, struct arena *arena, struct chat_request *ret,
                        struct err *err)
{
    yyjson_val *tools = body_field(root, "tools");
    const char *choice = yyjson_get_str(body_field(root, "tool_choice"));
    if (!tools || (choice && strcmp(choice, "none") == 0))
        return true;
    if (!yyjson_is_arr(tools))
        return err_set_param(err, ERR_INVALID_REQUEST, "tools", "\"tools\" must be a list");
    yyjson_val *tool;
    size_t i;
    size_t count;
    yyjson_arr_foreach(tools, i, count, tool)
    {
        const char *type = yyjson_get_str(yyjson_obj_get(tool, "type"));
        if (!type || strcmp(type, "file_search") != 0)
            return err_set_param(err, ERR_UNSUPPORTED, "tools",
                                 "tools of type \"%s\" are not supported; only \"file_search\" is",
                                 type ? type : "?");
        if (!parse_file_search(tool, arena, &ret->search, err))
            return false;
        ret->use_documents = true;
    }
    return true;
}

/* Our own extension: {"jarvis":{"stores":[…],"top_k":N,"alpha":X,"rerank":true,"documents":true}} */
static bool parse_jarvis(yyjson_val *root, struct arena *arena, struct chat_request *ret,
                         struct err *err)
{
    yyjson_val *object = NULL;
    if (!body_opt_object(root, "jarvis", &object, err))
        return false;
    if (!object)
        return true;
    ret->use_documents = true;
    return json_opt_bool(object, "documents", &ret->use_documents, err) &&
           jarvis_parse_search_fields(object, arena, &ret->search, err);
}

/* ---------------------------------------------------------------- chat and completions */

static bool parse_streaming(yyjson_val *root, struct openai_chat *ret, struct err *err)
{
    yyjson_val *options = NULL;
    return json_opt_bool(root, "stream", &ret->stream, err) &&
           body_opt_object(root, "stream_options", &options, err) &&
           json_opt_bool(options, "include_usage", &ret->include_usage, err);
}

/* What both kinds of generation have in common. */
static bool parse_generation(yyjson_val *root, struct arena *arena, struct openai_chat *ret,
                             struct err *err)
{
    ret->chat.search = jarvis_default_search();
    return body_text(root, "model", arena, &ret->chat.model, err) &&
           refuse_unsupported(root, err) && parse_streaming(root, ret, err) &&
           parse_sampling(root, arena, &ret->chat.sampling, err) &&
           parse_jarvis(root, arena, &ret->chat, err);
}

bool openai_parse_chat(const char *body, size_t length, struct arena *arena,
                       struct openai_chat *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct openai_chat parsed = {0};
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = parse_generation(root, arena, &parsed, err) &&
              parse_messages(root, arena, &parsed.chat, err) &&
              parse_tools(root, arena, &parsed.chat, err);
    yyjson_doc_free(doc);
    if (ok)
        *ret = parsed;
    return ok;
}

/* One prompt; a list of one is OpenAI's other way to write it. Token numbers mean nothing across models. */
static bool parse_prompt(yyjson_val *root, struct arena *arena, const char **ret, struct err *err)
{
    yyjson_val *prompt = body_field(root, "prompt");
    yyjson_val *first = yyjson_is_arr(prompt) ? yyjson_arr_get_first(prompt) : prompt;
    if (yyjson_is_num(first) || yyjson_is_arr(first))
        return err_set_param(err, ERR_UNSUPPORTED, "prompt",
                             "\"prompt\" as token numbers is not supported; send text");
    if (yyjson_is_arr(prompt) && yyjson_arr_size(prompt) > 1)
        return err_set_param(err, ERR_UNSUPPORTED, "prompt",
                             "\"prompt\" holds %zu texts; send one in a request",
                             yyjson_arr_size(prompt));
    const char *const *list = NULL;
    size_t count = 0;
    if (!body_need_text_or_texts(root, "prompt", 1, arena, &list, &count, err))
        return false;
    *ret = list[0];
    return true;
}

bool openai_parse_completion(const char *body, size_t length, struct arena *arena,
                             struct openai_chat *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct openai_chat parsed = {0};
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = parse_generation(root, arena, &parsed, err) &&
              parse_prompt(root, arena, &parsed.chat.prompt, err);
    yyjson_doc_free(doc);
    if (ok)
        *ret = parsed;
    return ok;
}

/* ---------------------------------------------------------------- embeddings */

static bool parse_encoding(yyjson_val *root, bool *ret_base64, struct err *err)
{
    const char *format = "float";
    if (!json_opt_string(root, "encoding_format", &format, err))
        return false;
    *ret_base64 = strcmp(format, "base64") == 0;
    if (!*ret_base64 && strcmp(format, "float") != 0)
        return err_set_param(err, ERR_INVALID_REQUEST, "encoding_format",
                             "\"encoding_format\" must be \"float\" or \"base64\"");
    return true;
}

static bool parse_inputs(yyjson_val *root, struct arena *arena, struct openai_embeddings *ret,
                         struct err *err)
{
    yyjson_val *input = body_field(root, "input");
    yyjson_val *first = yyjson_is_arr(input) ? yyjson_arr_get_first(input) : input;
    if (yyjson_is_num(first) || yyjson_is_arr(first))
        return err_set_param(err, ERR_UNSUPPORTED, "input",
                             "\"input\" as token numbers is not supported; send text");
    return body_need_text_or_texts(root, "input", OPENAI_INPUTS_MAX, arena, &ret->inputs,
                                   &ret->count, err);
}

bool openai_parse_embeddings(const char *body, size_t length, struct arena *arena,
                             struct openai_embeddings *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct openai_embeddings parsed = {0};
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_text(root, "model", arena, &parsed.model, err) &&
              parse_inputs(root, arena, &parsed, err) &&
              parse_encoding(root, &parsed.base64, err) &&
              opt_count(root, "dimensions", 1, 1 << 20, &parsed.dimensions, err);
    yyjson_doc_free(doc);
    if (ok)
        *ret = parsed;
    return ok;
}

/* ---------------------------------------------------------------- rerank */

/* Strings, or objects with a "text". */
static bool parse_documents(yyjson_val *root, struct arena *arena, struct openai_rerank *ret,
                            struct err *err)
{
    yyjson_val *array = body_field(root, "documents");
    size_t size = yyjson_arr_size(array);
    if (!yyjson_is_arr(array) || size == 0 || size > OPENAI_DOCUMENTS_MAX)
        return err_set_param(err, ERR_INVALID_REQUEST, "documents",
                             "\"documents\" must be a list of 1 to %d texts", OPENAI_DOCUMENTS_MAX);
    const char **list = arena_array(arena, size, sizeof(*list));
    if (!list)
        return err_no_memory(err);
    yyjson_val *document;
    size_t i;
    size_t count;
    yyjson_arr_foreach(array, i, count, document)
    {
        yyjson_val *text = yyjson_is_obj(document) ? yyjson_obj_get(document, "text") : document;
        if (!body_element(text, "documents", arena, &list[i], err))
            return false;
    }
    ret->documents = list;
    ret->count = size;
    return true;
}

bool openai_parse_rerank(const char *body, size_t length, struct arena *arena,
                         struct openai_rerank *ret, struct err *err)
{
    yyjson_doc *doc = NULL;
    struct openai_rerank parsed = {0};
    int64_t top_n = INT64_MAX;
    if (!body_object(body, length, &doc, err))
        return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = body_text(root, "model", arena, &parsed.model, err) &&
              body_need_text(root, "query", arena, &parsed.query, err) &&
              parse_documents(root, arena, &parsed, err) &&
              json_opt_int(root, "top_n", 1, INT64_MAX, &top_n, err) &&
              json_opt_bool(root, "return_documents", &parsed.return_documents, err);
    yyjson_doc_free(doc);
    if (!ok)
        return false;
    parsed.top_n = (uint64_t)top_n < parsed.count ? (size_t)top_n : parsed.count;
    *ret = parsed;
    return true;
}
