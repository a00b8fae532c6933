#include "assistant/tuning.h"
#include "server/handlers.h"
#include "server/jarvis_parse.h"

static bool answer_ranking(struct http_request *request, struct err *err)
{
    struct tuning tuning;
    struct writer writer;
    if (!tuning_get(request->runtime, &request->request, request->params[0], &tuning, err))
        return false;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_number(&writer, "alpha", tuning.alpha);
    writer_uint(&writer, "rerank_depth", tuning.rerank_depth);
    writer_bool(&writer, "chosen", tuning.chosen);
    writer_end(&writer);
    return true;
}

bool handle_ranking_get(struct http_request *request, struct err *err)
{
    return answer_ranking(request, err);
}

bool handle_ranking_set(struct http_request *request, struct err *err)
{
    struct tuning tuning;
    return tuning_get(request->runtime, &request->request, request->params[0], &tuning, err) &&
           jarvis_parse_ranking(request->body.data, request->body.length, &tuning, err) &&
           tuning_set(request->runtime, &request->request, request->params[0], &tuning, err) &&
           answer_ranking(request, err);
}

bool handle_ranking_clear(struct http_request *request, struct err *err)
{
    return tuning_clear(request->runtime, &request->request, request->params[0], err) &&
           answer_ranking(request, err);
}

bool handle_sample(struct http_request *request, struct err *err)
{
    struct jarvis_sample asked;
    struct tuning_passage *passages = NULL;
    size_t count = 0;
    struct writer writer;
    if (!jarvis_parse_sample(request->body.data, request->body.length, &asked, err) ||
        !tuning_sample(request->runtime, &request->request, request->params[0], asked.seed,
                       asked.count, &passages, &count, err))
        return false;
    writer_begin(&writer, &request->answer.body);
    writer_object(&writer, NULL);
    writer_array(&writer, "passages");
    for (size_t i = 0; i < count; i++) {
        writer_object(&writer, NULL);
        writer_text(&writer, "document_id", passages[i].document_id);
        writer_text(&writer, "path", passages[i].path);
        writer_uint(&writer, "offset", passages[i].offset);
        writer_uint(&writer, "length", passages[i].length);
        writer_uint(&writer, "siblings", passages[i].siblings);
        writer_text(&writer, "text", passages[i].text);
        writer_end(&writer);
    }
    writer_end(&writer);
    writer_end(&writer);
    return true;
}
