/* Each endpoint once, over the real socket, as a client sees it. */

#include "service.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct service *service = calloc(1, sizeof(*service));
    assert_non_null(service);
    service_open(service);
    service_start(service);
    *state = service;
    return 0;
}

static int teardown(void **state)
{
    service_close(*state);
    free(*state);
    return 0;
}

static void test_health(void **state)
{
    yyjson_doc *doc = service_json(*state, "GET", "/healthz", NULL, 200);
    assert_string_equal(service_text(doc, "/status"), "ok");
    yyjson_doc_free(doc);

    doc = service_json(*state, "GET", "/readyz", NULL, 200);
    assert_string_equal(service_text(doc, "/status"), "ready");
    assert_true(strstr(service_text(doc, "/missing/0"), "rerank"));
    yyjson_doc_free(doc);

    struct service *service = *state;
    fake_break_store(service->runtime);
    doc = service_json(*state, "GET", "/readyz", NULL, 503);
    assert_string_equal(service_text(doc, "/status"), "unavailable");
    yyjson_doc_free(doc);
    service_expect_error(service_json(*state, "GET", "/v1/vector_stores", NULL, 500),
                         "store_damaged");
}

static void test_fit(void **state)
{
    yyjson_doc *doc =
        service_json(*state, "POST", "/v1/models/org/m/fit",
                     "{\"context_length\":4096,\"parallel\":3,\"kv_type\":\"q8_0\"}", 200);
    assert_string_equal(service_text(doc, "/model"), "org/m");
    assert_string_equal(service_text(doc, "/kv_type"), "q8_0");
    assert_string_equal(service_text(doc, "/verdict"), "evict");
    assert_string_equal(service_text(doc, "/evict/0/model"), "other");
    assert_string_equal(service_text(doc, "/parts/0/part"), "weights");
    assert_int_equal(service_number(doc, "/context_length"), 4096);
    assert_int_equal(service_number(doc, "/parallel"), 3);
    assert_int_equal(service_number(doc, "/bound_bytes"), 330);
    yyjson_doc_free(doc);
    yyjson_doc_free(service_json(*state, "GET", "/v1/models/m/fit", NULL, 200));
    service_expect_error(
        service_json(*state, "POST", "/v1/models/m/fit", "{\"kv_type\":\"q1\"}", 400),
        "invalid_request");
    service_expect_error(service_json(*state, "POST", "/v1/models/m/fit", "{\"parallel\":0}", 400),
                         "invalid_request");
    service_expect_error(service_json(*state, "GET", "/v1/models/missing/fit", NULL, 404),
                         "model_not_found");
}

static void test_models(void **state)
{
    yyjson_doc *doc = service_json(*state, "GET", "/v1/models", NULL, 200);
    assert_string_equal(service_text(doc, "/data/0/id"), "jarvis");
    assert_string_equal(service_text(doc, "/data/1/id"), "tiny-chat");
    assert_string_equal(service_text(doc, "/data/1/jarvis/state"), "ready");
    assert_string_equal(service_text(doc, "/data/2/jarvis/role"), "embedding");
    yyjson_doc_free(doc);

    doc = service_json(*state, "GET", "/v1/models/jarvis", NULL, 200);
    assert_string_equal(service_text(doc, "/jarvis/chat_model"), "tiny-chat");
    yyjson_doc_free(doc);

    /* A name may hold a slash, written as it is or as %2F. */
    doc = service_json(*state, "GET", "/v1/models/org/tiny-embed", NULL, 200);
    assert_string_equal(service_text(doc, "/object"), "model");
    yyjson_doc_free(doc);
    yyjson_doc_free(service_json(*state, "GET", "/v1/models/org%2Ftiny-embed", NULL, 200));
    service_expect_error(service_json(*state, "GET", "/v1/models/none", NULL, 404),
                         "model_not_found");

    doc = service_json(*state, "POST", "/v1/models",
                       "{\"path\":\"/m/a.gguf\",\"name\":\"a\",\"role\":\"rerank\"}", 200);
    assert_string_equal(service_text(doc, "/id"), "a");
    assert_string_equal(service_text(doc, "/jarvis/role"), "rerank");
    yyjson_doc_free(doc);
    service_expect_error(
        service_json(*state, "POST", "/v1/models", "{\"path\":\"/broken.gguf\"}", 422),
        "model_invalid");
    yyjson_doc_free(service_json(*state, "DELETE", "/v1/models/a", NULL, 200));
    service_expect_error(service_json(*state, "DELETE", "/v1/models/missing", NULL, 404),
                         "model_not_found");
}

#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]"

static void test_chat(void **state)
{
    yyjson_doc *doc = service_json(*state, "POST", "/v1/chat/completions",
                                   "{\"model\":\"tiny-chat\"," ASK "}", 200);
    assert_string_equal(service_text(doc, "/object"), "chat.completion");
    assert_string_equal(service_text(doc, "/model"), "tiny-chat");
    assert_string_equal(service_text(doc, "/choices/0/message/content"), "w0 w1 w2 w3 w4 ");
    assert_string_equal(service_text(doc, "/choices/0/finish_reason"), "stop");
    assert_true(service_number(doc, "/usage/prompt_tokens") == 7);
    assert_true(service_number(doc, "/usage/completion_tokens") == 5);
    assert_true(service_number(doc, "/usage/total_tokens") == 12);
    assert_string_equal(service_text(doc, "/jarvis/category"), "OK");
    assert_true(service_number(doc, "/jarvis/timings_ms/generate") >= 0);
    assert_true(service_number(doc, "/jarvis/timings_ms/total") >= 0);
    assert_int_equal(yyjson_arr_size(yyjson_doc_ptr_get(doc, "/jarvis/sources")), 0);
    yyjson_doc_free(doc);
}

/* Another model answered: the header and the body say so, streamed or not. */
static void test_degraded(void **state)
{
    yyjson_doc *doc = service_json(*state, "POST", "/v1/chat/completions",
                                   "{\"model\":\"elsewhere\"," ASK "}", 200);
    assert_string_equal(service_text(doc, "/model"), "tiny-chat");
    assert_string_equal(service_text(doc, "/jarvis/model"), "tiny-chat");
    assert_string_equal(service_text(doc, "/jarvis/degraded"), "upstream_failed");
    assert_string_equal(service_text(doc, "/jarvis/category"), "DEGRADED");
    yyjson_doc_free(doc);
    static const char *const names[] = {"tiny-chat", "elsewhere"};
    for (int i = 0; i < 4; i++) {
        char body[200];
        char header[100];
        snprintf(body, sizeof(body), "{\"model\":\"%s\",\"stream\":%s," ASK "}", names[i % 2],
                 i < 2 ? "true" : "false");
        int fd = service_unix(*state);
        struct raw_answer answer = raw_request(fd, "POST", "/v1/chat/completions", body);
        raw_header(&answer, "Jarvis-Degraded", header, sizeof(header));
        assert_string_equal(header, i % 2 ? "code=upstream_failed; model=tiny-chat" : "");
        raw_free(&answer);
        close(fd);
    }
}

static void test_chat_with_documents(void **state)
{
    yyjson_doc *doc = service_json(
        *state, "POST", "/v1/chat/completions",
        "{\"model\":\"tiny-chat\",\"max_tokens\":2,\"tools\":[{\"type\":\"file_search\","
        "\"vector_store_ids\":[\"vs_1\"]}]," ASK "}",
        200);
    assert_string_equal(service_text(doc, "/choices/0/finish_reason"), "length");
    assert_string_equal(service_text(doc, "/choices/0/message/annotations/0/type"),
                        "file_citation");
    assert_string_equal(service_text(doc, "/choices/0/message/annotations/0/file_id"), "file-1");
    assert_string_equal(service_text(doc, "/jarvis/sources/0/path"), "/docs/a.txt");
    assert_string_equal(service_text(doc, "/jarvis/sources/0/text"), "whole passage");
    assert_true(service_number(doc, "/jarvis/sources/0/offset") == 14);
    assert_true(service_number(doc, "/jarvis/sources/0/length") == 13);
    assert_true(service_number(doc, "/jarvis/sources/0/line_start") == 2);
    assert_true(service_number(doc, "/jarvis/sources/0/line_end") == 2);
    assert_true(service_number(doc, "/jarvis/sources/0/score") == 0.5);
    yyjson_doc_free(doc);

    doc = service_json(*state, "POST", "/v1/chat/completions", "{" ASK "}", 200);
    assert_int_equal(yyjson_arr_size(yyjson_doc_ptr_get(doc, "/jarvis/sources")), 1);
    yyjson_doc_free(doc);
}

/* Takes the next `data:` object out of a stream of events; NULL at [DONE] or the end. */
static yyjson_doc *next_event(const char **at)
{
    const char *data = strstr(*at, "data: ");
    if (!data)
        return NULL;
    data += strlen("data: ");
    const char *end = strstr(data, "\n\n");
    assert_non_null(end);
    *at = end + 2;
    if (strncmp(data, "[DONE]", 6) == 0)
        return NULL;
    yyjson_doc *doc = yyjson_read(data, (size_t)(end - data), 0);
    assert_non_null(doc);
    return doc;
}

static void test_chat_stream(void **state)
{
    int fd = service_unix(*state);
    struct raw_answer answer = raw_request(fd, "POST", "/v1/chat/completions",
                                           "{\"model\":\"jarvis\",\"stream\":true,"
                                           "\"stream_options\":{\"include_usage\":true}," ASK "}");
    char type[64];
    raw_header(&answer, "Content-Type", type, sizeof(type));
    assert_int_equal(answer.status, 200);
    assert_true(strncmp(type, "text/event-stream", 17) == 0);
    assert_non_null(strstr(answer.body, "data: [DONE]\n\n"));

    const char *at = answer.body;
    char text[128] = "";
    yyjson_doc *doc = next_event(&at);
    assert_string_equal(service_text(doc, "/choices/0/delta/role"), "assistant");
    assert_string_equal(service_text(doc, "/object"), "chat.completion.chunk");
    yyjson_doc_free(doc);
    for (int i = 0; i < FAKE_WORDS; i++) {
        doc = next_event(&at);
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s",
                 service_text(doc, "/choices/0/delta/content"));
        yyjson_doc_free(doc);
    }
    assert_string_equal(text, "w0 w1 w2 w3 w4 ");
    doc = next_event(&at);
    assert_string_equal(service_text(doc, "/choices/0/finish_reason"), "stop");
    assert_string_equal(service_text(doc, "/jarvis/sources/0/path"), "/docs/a.txt");
    yyjson_doc_free(doc);
    doc = next_event(&at);
    assert_int_equal(yyjson_arr_size(yyjson_doc_ptr_get(doc, "/choices")), 0);
    assert_true(service_number(doc, "/usage/total_tokens") == 12);
    yyjson_doc_free(doc);
    assert_null(next_event(&at));
    raw_free(&answer);

    /* The connection goes on after a stream. */
    answer = raw_request(fd, "GET", "/healthz", NULL);
    assert_int_equal(answer.status, 200);
    raw_free(&answer);
    close(fd);
}

static void test_stream_failure(void **state)
{
    int fd = service_unix(*state);
    struct raw_answer answer = raw_request(fd, "POST", "/v1/chat/completions",
                                           "{\"model\":\"dies\",\"stream\":true," ASK "}");
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "w1 "));
    assert_non_null(strstr(answer.body, "data: {\"error\":{"));
    assert_non_null(strstr(answer.body, "\"worker_died\""));
    assert_null(strstr(answer.body, "[DONE]"));
    raw_free(&answer);

    /* What fails before the first word has a status. */
    answer = raw_request(fd, "POST", "/v1/chat/completions",
                         "{\"model\":\"missing\",\"stream\":true," ASK "}");
    assert_int_equal(answer.status, 404);
    raw_free(&answer);

    answer = raw_request(fd, "POST", "/v1/chat/completions", "{\"model\":\"busy\"," ASK "}");
    char retry[16];
    raw_header(&answer, "Retry-After", retry, sizeof(retry));
    assert_int_equal(answer.status, 503);
    assert_string_equal(retry, "2");
    assert_non_null(strstr(answer.body, "\"TRANSIENT\""));
    raw_free(&answer);
    close(fd);
}

static void test_completion(void **state)
{
    yyjson_doc *doc =
        service_json(*state, "POST", "/v1/completions",
                     "{\"model\":\"tiny-chat\",\"prompt\":\"once\",\"max_tokens\":1}", 200);
    assert_string_equal(service_text(doc, "/object"), "text_completion");
    assert_string_equal(service_text(doc, "/choices/0/text"), "w0 ");
    yyjson_doc_free(doc);
}

static void test_embeddings(void **state)
{
    yyjson_doc *doc =
        service_json(*state, "POST", "/v1/embeddings", "{\"input\":[\"a\",\"b\"]}", 200);
    assert_string_equal(service_text(doc, "/model"), "tiny-embed");
    assert_int_equal(yyjson_arr_size(yyjson_doc_ptr_get(doc, "/data/1/embedding")),
                     FAKE_DIMENSIONS);
    assert_true((float)service_number(doc, "/data/1/embedding/2") == 0.8f);
    assert_true(service_number(doc, "/usage/total_tokens") == 6);
    yyjson_doc_free(doc);

    /* Cut to one number and normalised again. */
    doc = service_json(*state, "POST", "/v1/embeddings",
                       "{\"input\":\"a\",\"dimensions\":1,\"encoding_format\":\"float\"}", 200);
    assert_true(fabs(service_number(doc, "/data/0/embedding/0") - 1) < 1e-6);
    yyjson_doc_free(doc);

    /* 0.6f is 0x3f19999a, 0.8f is 0x3f4ccccd; little-endian. */
    doc = service_json(*state, "POST", "/v1/embeddings",
                       "{\"input\":\"a\",\"encoding_format\":\"base64\"}", 200);
    assert_true(strncmp(service_text(doc, "/data/0/embedding"), "mpkZP83MTD8AAAAA", 16) == 0);
    yyjson_doc_free(doc);

    service_expect_error(
        service_json(*state, "POST", "/v1/embeddings", "{\"input\":\"a\",\"dimensions\":9}", 400),
        "invalid_request");
}

static void test_rerank(void **state)
{
    yyjson_doc *doc = service_json(*state, "POST", "/v1/rerank",
                                   "{\"query\":\"q\",\"documents\":[\"aa\",{\"text\":\"aaaa\"},"
                                   "\"aaa\"],\"top_n\":2,\"return_documents\":true}",
                                   200);
    assert_int_equal(yyjson_arr_size(yyjson_doc_ptr_get(doc, "/results")), 2);
    assert_true(service_number(doc, "/results/0/index") == 1);
    assert_true(service_number(doc, "/results/1/index") == 2);
    assert_true(service_number(doc, "/results/0/relevance_score") == 4);
    assert_string_equal(service_text(doc, "/results/0/document/text"), "aaaa");
    yyjson_doc_free(doc);
}

/* Uploads a file and copies its id. */
static void upload(const struct service *service, const char *name, const char *content,
                   size_t length, char id[64])
{
    char body[4096];
    char head[512];
    int used = snprintf(body, sizeof(body),
                        "--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n"
                        "assistants\r\n--xyz\r\nContent-Disposition: form-data; name=\"file\"; "
                        "filename=\"%s\"\r\nContent-Type: text/plain\r\n\r\n",
                        name);
    memcpy(body + used, content, length);
    memcpy(body + used + length, "\r\n--xyz--\r\n", 11);
    size_t total = (size_t)used + length + 11;
    snprintf(head, sizeof(head),
             "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n"
             "Content-Type: multipart/form-data; boundary=xyz\r\n\r\n",
             total);
    int fd = service_unix(service);
    assert_true(raw_puts(fd, head) && raw_send(fd, body, total));
    struct raw_answer answer = raw_read(fd);
    close(fd);
    assert_int_equal(answer.status, 200);
    yyjson_doc *doc = yyjson_read(answer.body, answer.length, 0);
    snprintf(id, 64, "%s", service_text(doc, "/id"));
    assert_true(strncmp(id, "file-", 5) == 0);
    assert_true(service_number(doc, "/bytes") == (double)length);
    assert_string_equal(service_text(doc, "/purpose"), "assistants");
    yyjson_doc_free(doc);
    raw_free(&answer);
}

static void test_files(void **state)
{
    char id[64];
    char other[64];
    char path[128];
    upload(*state, "../../etc/notas año.txt", "uno\0dos", 7, id);
    upload(*state, "b.txt", "second", 6, other);

    snprintf(path, sizeof(path), "/v1/files/%s", id);
    yyjson_doc *doc = service_json(*state, "GET", path, NULL, 200);
    assert_string_equal(service_text(doc, "/filename"), "notas año.txt");
    yyjson_doc_free(doc);

    doc = service_json(*state, "GET", "/v1/files?limit=1&order=asc", NULL, 200);
    assert_string_equal(service_text(doc, "/data/0/id"), id);
    assert_true(yyjson_is_true(yyjson_doc_ptr_get(doc, "/has_more")));
    yyjson_doc_free(doc);
    snprintf(path, sizeof(path), "/v1/files?order=asc&after=%s", id);
    doc = service_json(*state, "GET", path, NULL, 200);
    assert_string_equal(service_text(doc, "/data/0/id"), other);
    yyjson_doc_free(doc);

    int fd = service_unix(*state);
    snprintf(path, sizeof(path), "/v1/files/%s/content", id);
    struct raw_answer answer = raw_request(fd, "GET", path, NULL);
    close(fd);
    assert_int_equal(answer.length, 7);
    assert_memory_equal(answer.body, "uno\0dos", 7);
    raw_free(&answer);

    snprintf(path, sizeof(path), "/v1/files/%s", id);
    yyjson_doc_free(service_json(*state, "DELETE", path, NULL, 200));
    service_expect_error(service_json(*state, "GET", path, NULL, 404), "not_found");
}

static void test_vector_stores(void **state)
{
    char text[64];
    char binary[64];
    char store[64];
    char path[256];
    char body[512];
    upload(*state, "a.txt", "the blue whale", 14, text);
    upload(*state, "b.bin", "\0\1\2", 3, binary);

    /* A file without text fails alone. */
    snprintf(body, sizeof(body),
             "{\"name\":\"whales\",\"file_ids\":[\"%s\",\"%s\"],\"metadata\":{\"a\":\"b\"}}", text,
             binary);
    yyjson_doc *doc = service_json(*state, "POST", "/v1/vector_stores", body, 200);
    snprintf(store, sizeof(store), "%s", service_text(doc, "/id"));
    assert_true(service_number(doc, "/file_counts/completed") == 1);
    assert_true(service_number(doc, "/file_counts/failed") == 1);
    assert_string_equal(service_text(doc, "/metadata/a"), "b");
    yyjson_doc_free(doc);

    snprintf(path, sizeof(path), "/v1/vector_stores/%s/search", store);
    doc = service_json(*state, "POST", path, "{\"query\":[\"whale\",\"blue whale\"]}", 200);
    assert_string_equal(service_text(doc, "/object"), "vector_store.search_results.page");
    assert_string_equal(service_text(doc, "/data/0/file_id"), text);
    assert_string_equal(service_text(doc, "/data/0/filename"), "a.txt");
    assert_string_equal(service_text(doc, "/data/0/content/0/type"), "text");
    assert_true(service_number(doc, "/data/0/jarvis/sparse") == 2.5);
    yyjson_doc_free(doc);
    doc = service_json(*state, "POST", path,
                       "{\"query\":\"whale\",\"ranking_options\":{\"score_threshold\":1.5}}", 200);
    assert_int_equal(yyjson_arr_size(yyjson_doc_ptr_get(doc, "/data")), 0);
    yyjson_doc_free(doc);

    snprintf(path, sizeof(path), "/v1/vector_stores/%s/files/%s/content", store, text);
    doc = service_json(*state, "GET", path, NULL, 200);
    assert_string_equal(service_text(doc, "/data/0/text"), "the blue whale");
    yyjson_doc_free(doc);

    snprintf(path, sizeof(path), "/v1/vector_stores/%s/files", store);
    snprintf(body, sizeof(body), "{\"file_id\":\"%s\"}", binary);
    service_expect_error(service_json(*state, "POST", path, body, 422), "document_unreadable");
    doc = service_json(*state, "GET", path, NULL, 200);
    assert_string_equal(service_text(doc, "/data/0/object"), "vector_store.file");
    assert_string_equal(service_text(doc, "/data/0/vector_store_id"), store);
    yyjson_doc_free(doc);

    snprintf(path, sizeof(path), "/v1/vector_stores/%s/files/%s", store, text);
    yyjson_doc_free(service_json(*state, "DELETE", path, NULL, 200));
    service_expect_error(service_json(*state, "GET", path, NULL, 404), "not_found");

    snprintf(path, sizeof(path), "/v1/vector_stores/%s", store);
    doc = service_json(*state, "POST", path, "{\"name\":\"seals\"}", 200);
    assert_string_equal(service_text(doc, "/name"), "seals");
    yyjson_doc_free(doc);
    doc = service_json(*state, "DELETE", path, NULL, 200);
    assert_string_equal(service_text(doc, "/object"), "vector_store.deleted");
    yyjson_doc_free(doc);
    service_expect_error(service_json(*state, "GET", path, NULL, 404), "not_found");
}

static void test_file_batch(void **state)
{
    char text[64];
    char store[64];
    char path[256];
    char body[256];
    upload(*state, "a.txt", "the blue whale", 14, text);
    yyjson_doc *doc = service_json(*state, "POST", "/v1/vector_stores", NULL, 200);
    snprintf(store, sizeof(store), "%s", service_text(doc, "/id"));
    yyjson_doc_free(doc);

    snprintf(path, sizeof(path), "/v1/vector_stores/%s/file_batches", store);
    snprintf(body, sizeof(body), "{\"file_ids\":[\"%s\"]}", text);
    doc = service_json(*state, "POST", path, body, 200);
    assert_string_equal(service_text(doc, "/status"), "completed");
    snprintf(path, sizeof(path), "/v1/vector_stores/%s/file_batches/%s", store,
             service_text(doc, "/id"));
    yyjson_doc_free(doc);
    doc = service_json(*state, "GET", path, NULL, 200);
    assert_true(service_number(doc, "/file_counts/completed") == 1);
    yyjson_doc_free(doc);
    snprintf(path, sizeof(path), "/v1/vector_stores/%s/file_batches/vsfb_nonsense", store);
    service_expect_error(service_json(*state, "GET", path, NULL, 404), "not_found");
}

static void test_jarvis_endpoints(void **state)
{
    yyjson_doc *doc =
        service_json(*state, "POST", "/v1/vector_stores", "{\"name\":\"default\"}", 200);
    yyjson_doc_free(doc);
    doc = service_json(*state, "POST", "/v1/jarvis/search", "{\"query\":\"x\"}", 200);
    assert_string_equal(service_text(doc, "/notice"), "no embedder");
    assert_true(yyjson_is_arr(yyjson_doc_ptr_get(doc, "/hits")));
    yyjson_doc_free(doc);

    doc = service_json(*state, "GET", "/v1/jarvis/status", NULL, 200);
    assert_true(service_number(doc, "/pid") == getpid());
    assert_true(service_number(doc, "/requests/in_flight") == 1);
    assert_string_equal(service_text(doc, "/stores/0/name"), "default");
    assert_string_equal(service_text(doc, "/models/0/id"), "tiny-chat");
    yyjson_doc_free(doc);

    doc = service_json(*state, "POST", "/v1/jarvis/probe", NULL, 200);
    assert_true(yyjson_is_true(yyjson_doc_ptr_get(doc, "/sandboxed")));
    yyjson_doc_free(doc);

    doc = service_json(*state, "GET", "/v1/jarvis/config/server.max_body_mib", NULL, 200);
    assert_string_equal(service_text(doc, "/value"), "64");
    yyjson_doc_free(doc);
    service_expect_error(service_json(*state, "GET", "/v1/jarvis/config/server.body", NULL, 404),
                         "not_found");
}

static void test_ingest(void **state)
{
    struct service *service = *state;
    int fd = service_unix(service);
    fake_hold(service->runtime);
    raw_puts(fd, "POST /v1/jarvis/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n"
                 "{\"paths\":[\"/docs\"]}");
    assert_true(raw_wait_for(fd, "event: progress\n"));
    fake_allow(service->runtime, 3);
    assert_true(raw_wait_for(fd, "event: done\n"));
    close(fd);

    fake_allow(service->runtime, 3);
    fd = service_unix(service);
    struct raw_answer answer =
        raw_request(fd, "POST", "/v1/jarvis/ingest", "{\"paths\":[\"/docs\"]}");
    const char *done = strstr(answer.body, "event: done\n");
    assert_int_equal(answer.status, 200);
    assert_non_null(done);
    yyjson_doc *doc = next_event(&done);
    assert_true(service_number(doc, "/added") == 2);
    assert_string_equal(service_text(doc, "/failures/0/path"), "/b.bin");
    yyjson_doc_free(doc);
    raw_free(&answer);

    /* What fails at once has a status. */
    answer = raw_request(fd, "POST", "/v1/jarvis/ingest", "{\"paths\":[\"/missing\"]}");
    assert_int_equal(answer.status, 404);
    raw_free(&answer);
    close(fd);
}

static void test_headers(void **state)
{
    int fd = service_unix(*state);
    raw_puts(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\ntraceparent: "
                 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
    struct raw_answer answer = raw_read(fd);
    char value[256];
    raw_header(&answer, "X-Request-Id", value, sizeof(value));
    assert_string_equal(value, "0af7651916cd43dd8448eb211c80319c");
    raw_header(&answer, "traceparent", value, sizeof(value));
    assert_true(strncmp(value, "00-0af7651916cd43dd8448eb211c80319c-", 36) == 0);
    assert_null(strstr(value, "b7ad6b7169203331"));
    raw_header(&answer, "Server-Timing", value, sizeof(value));
    assert_non_null(strstr(value, "total;dur="));
    raw_header(&answer, "Content-Type", value, sizeof(value));
    assert_string_equal(value, "application/json");
    raw_free(&answer);

    answer = raw_request(fd, "HEAD", "/v1/models", NULL);
    raw_header(&answer, "Content-Length", value, sizeof(value));
    assert_int_equal(answer.status, 200);
    assert_true(strtol(value, NULL, 10) > 100);
    raw_free(&answer);

    answer = raw_request(fd, "DELETE", "/v1/chat/completions", NULL);
    raw_header(&answer, "Allow", value, sizeof(value));
    assert_int_equal(answer.status, 405);
    assert_string_equal(value, "POST");
    raw_free(&answer);

    answer = raw_request(fd, "GET", "/v2/nothing", NULL);
    assert_int_equal(answer.status, 404);
    assert_non_null(strstr(answer.body, "/v2/nothing"));
    raw_free(&answer);

    raw_puts(fd, "GET /v2/nada HTTP/1.1\r\nHost: x\r\nAccept-Language: es-ES,en;q=0.5\r\n\r\n");
    answer = raw_read(fd);
    assert_non_null(strstr(answer.body, "no hay"));
    raw_free(&answer);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_health, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_models, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chat, setup, teardown),
        cmocka_unit_test_setup_teardown(test_degraded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chat_with_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chat_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_completion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_embeddings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rerank, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vector_stores, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_jarvis_endpoints, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ingest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
    };
    return cmocka_run_group_tests_name("server_api", tests, NULL, NULL);
}
