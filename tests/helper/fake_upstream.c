#include "helper/fake_upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"

enum {
    PLANS_MAX = 64,
    CONNECTIONS_MAX = 256,
    REQUEST_MAX = 4 * 1024 * 1024,
    BODY_KEPT = 16384,
    KEY_KEPT = 512,
    PIECE = 4096,
    DRIP_MS = 5,
    AWAIT_MS = 60000,
    TOKENS = 3,
    HUGE_BYTES = 8 * 1024 * 1024,
};

struct fake_upstream {
    char url[64];
    uint16_t port;
    pthread_t acceptor;
    struct mutex lock;
    struct cond changed;
    int listener; /* -1: refusing */
    int alive;    /* connections */
    int sockets[CONNECTIONS_MAX];
    bool stop;
    struct fake_plan plans[PLANS_MAX];
    int plan_first, plan_count;
    int posts, checks, left, connections;
    char body[BODY_KEPT];
    char key[KEY_KEPT];
};

struct connection {
    struct fake_upstream *fake;
    int fd;
    char *request; /* REQUEST_MAX + 1 */
    size_t length;
};

/* ---------------------------------------------------------------- talking */

/* False: the client has left. */
static bool say(const struct connection *connection, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(connection->fd, text, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        text += sent;
        length -= (size_t)sent;
    }
    return true;
}

static bool say_head(const struct connection *connection, int status, const char *type,
                     const char *more)
{
    char head[512];
    int length = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Type: %s\r\n%s\r\n", status,
                          type, more);
    return say(connection, head, (size_t)length);
}

static bool say_chunk(const struct connection *connection, const char *text)
{
    char piece[PIECE];
    size_t length = strlen(text);
    int used = snprintf(piece, sizeof(piece), "%zx\r\n%s\r\n", length, text);
    return say(connection, piece, (size_t)used);
}

static bool say_whole(const struct connection *connection, int status, const char *more,
                      const char *body)
{
    char headers[256];
    snprintf(headers, sizeof(headers), "Content-Length: %zu\r\n%s", strlen(body), more);
    return say_head(connection, status, "application/json", headers) &&
           say(connection, body, strlen(body));
}

static bool is_stopping(struct fake_upstream *fake)
{
    mutex_lock(&fake->lock);
    bool stop = fake->stop;
    mutex_unlock(&fake->lock);
    return stop;
}

/* Waits until the client has closed, saying `drip` again and again. */
static void outwait(struct connection *connection, const char *drip)
{
    char none;
    for (;;) {
        struct pollfd fd = {.fd = connection->fd, .events = POLLIN};
        int ready = poll(&fd, 1, drip ? DRIP_MS : 1000);
        if (is_stopping(connection->fake))
            return;
        if (ready > 0 && recv(connection->fd, &none, 1, 0) <= 0)
            break;
        if (drip && !say_chunk(connection, drip))
            break;
    }
    mutex_lock(&connection->fake->lock);
    connection->fake->left++;
    cond_broadcast(&connection->fake->changed);
    mutex_unlock(&connection->fake->lock);
}

/* ---------------------------------------------------------------- answers */

static bool say_tokens(const struct connection *connection, int count)
{
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        char event[256];
        snprintf(event, sizeof(event),
                 ": ping\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"t%d \"},"
                 "\"text\":\"t%d \",\"finish_reason\":null}]}\n\n",
                 i, i);
        ok = say_chunk(connection, event);
    }
    return ok;
}

static bool say_huge_line(const struct connection *connection)
{
    char piece[PIECE];
    bool ok = say_chunk(connection, "data: {\"choices\":\"");
    memset(piece, 'x', sizeof(piece) - 16);
    piece[sizeof(piece) - 17] = '\0';
    for (size_t sent = 0; ok && sent < HUGE_BYTES; sent += sizeof(piece))
        ok = say_chunk(connection, piece);
    return ok;
}

/* True: the connection can be used again. */
static bool answer_stream(struct connection *connection, const struct fake_plan *plan)
{
    bool well = plan->fault == FAKE_WELL || plan->fault == FAKE_NO_DONE;
    if (!say_head(connection, 200, "text/event-stream", "Transfer-Encoding: chunked\r\n") ||
        !say_tokens(connection, well ? TOKENS : plan->tokens))
        return false;
    switch (plan->fault) {
    case FAKE_HANG_LATER: outwait(connection, NULL); return false;
    case FAKE_DRIP: outwait(connection, ": drip\n\n"); return false;
    case FAKE_NO_JSON:
        return say_chunk(connection, "data: {no json\n\n") && say(connection, "0\r\n\r\n", 5);
    case FAKE_HUGE_LINE: return say_huge_line(connection) && false;
    case FAKE_ERROR_EVENT:
        return say_chunk(connection, "data: {\"error\":{\"message\":\"it broke\"}}\n\n") &&
               say(connection, "0\r\n\r\n", 5);
    case FAKE_CUT: return false;
    default: break;
    }
    bool ok = say_chunk(connection, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"text\":\"\","
                                    "\"finish_reason\":\"stop\"}]}\n\n");
    if (ok && plan->fault != FAKE_NO_DONE)
        ok = say_chunk(connection, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,"
                                   "\"completion_tokens\":3}}\n\n") &&
             say_chunk(connection, "data: [DONE]\n\n");
    return ok && say(connection, "0\r\n\r\n", 5);
}

/* Appends a value for each string of the first list after `key`: `format` gets its number and its length. */
static void for_texts(const char *body, const char *key, bool vectors, char *out, size_t size)
{
    size_t used = strlen(out);
    const char *at = strstr(body, key);
    at = at ? strchr(at, '[') : NULL;
    for (int i = 0; at && (at[0] == '[' || at[0] == ','); i++) {
        const char *text = at + 2;
        const char *end = strchr(text, '"');
        int length = end ? (int)(end - text) : 0;
        if (vectors)
            used += (size_t)snprintf(out + used, size - used,
                                     "%s{\"index\":%d,\"embedding\":[%d,%d,0,0]}", i ? "," : "", i,
                                     3 * length, 4 * length);
        else
            used += (size_t)snprintf(out + used, size - used,
                                     "%s{\"index\":%d,\"relevance_score\":%.2f}", i ? "," : "", i,
                                     length / 100.0);
        at = end ? end + 1 : NULL;
    }
}

static bool answer_list(struct connection *connection, const char *body, bool vectors)
{
    char *out = calloc(1, REQUEST_MAX);
    assert_non_null(out);
    snprintf(out, REQUEST_MAX, "{\"%s\":[", vectors ? "data" : "results");
    for_texts(body, vectors ? "\"input\"" : "\"documents\"", vectors, out, REQUEST_MAX - 64);
    size_t used = strlen(out);
    snprintf(out + used, REQUEST_MAX - used, "],\"usage\":{\"prompt_tokens\":5}}");
    bool ok = say_whole(connection, 200, "", out);
    free(out);
    return ok;
}

static bool answer_fault(struct connection *connection, const struct fake_plan *plan)
{
    char body[256];
    char retry[128] = "";
    switch (plan->fault) {
    case FAKE_STATUS:
        if (plan->retry_after)
            snprintf(retry, sizeof(retry), "Retry-After: %s\r\n", plan->retry_after);
        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"as planned\",\"code\":\"%s\"}}",
                 plan->code ? plan->code : "");
        return say_whole(connection, plan->status, retry, body);
    case FAKE_HANG: outwait(connection, NULL); return false;
    default: return false;
    }
}

static bool answer_post(struct connection *connection, const char *path, const char *body)
{
    struct fake_upstream *fake = connection->fake;
    struct fake_plan plan = {.fault = FAKE_WELL};
    mutex_lock(&fake->lock);
    fake->posts++;
    snprintf(fake->body, sizeof(fake->body), "%s", body);
    if (fake->plan_count > 0) {
        plan = fake->plans[fake->plan_first];
        fake->plan_first = (fake->plan_first + 1) % PLANS_MAX;
        fake->plan_count--;
    }
    cond_broadcast(&fake->changed);
    mutex_unlock(&fake->lock);
    if (plan.fault == FAKE_STATUS || plan.fault == FAKE_CUT_AT_ONCE || plan.fault == FAKE_HANG)
        return answer_fault(connection, &plan);
    if (strstr(path, "/completions"))
        return answer_stream(connection, &plan);
    if (plan.fault == FAKE_NO_JSON)
        return say_whole(connection, 200, "", "<html>sorry</html>");
    return answer_list(connection, body, strstr(path, "/embeddings") != NULL);
}

/* ---------------------------------------------------------------- connections */

/* Reads one request: its head and its body. False: the client has left. */
static bool read_request(struct connection *connection, char **ret_body)
{
    connection->length = 0;
    for (;;) {
        connection->request[connection->length] = '\0';
        char *end = strstr(connection->request, "\r\n\r\n");
        const char *length = strcasestr(connection->request, "Content-Length:");
        size_t wanted = length ? (size_t)strtoul(length + 15, NULL, 10) : 0;
        if (end && (size_t)(connection->request + connection->length - (end + 4)) >= wanted) {
            *ret_body = end + 4;
            end[2] = '\0';
            return true;
        }
        ssize_t got = recv(connection->fd, connection->request + connection->length,
                           REQUEST_MAX - connection->length, 0);
        if (got <= 0)
            return false;
        connection->length += (size_t)got;
    }
}

static void keep_key(struct fake_upstream *fake, const char *head)
{
    const char *key = strcasestr(head, "Authorization:");
    mutex_lock(&fake->lock);
    size_t length = key ? strcspn(key + 15, "\r") : 0;
    snprintf(fake->key, sizeof(fake->key), "%.*s", (int)length, key ? key + 15 : "");
    mutex_unlock(&fake->lock);
}

static void *serve_connection(void *argument)
{
    struct connection *connection = argument;
    struct fake_upstream *fake = connection->fake;
    char *body;
    bool again = true;
    while (again && read_request(connection, &body)) {
        bool get = strncmp(connection->request, "GET ", 4) == 0;
        keep_key(fake, connection->request);
        if (get) {
            mutex_lock(&fake->lock);
            fake->checks++;
            cond_broadcast(&fake->changed);
            mutex_unlock(&fake->lock);
            again = say_whole(connection, 200, "", "{\"object\":\"list\",\"data\":[]}");
        } else {
            char path[256];
            snprintf(path, sizeof(path), "%.*s", (int)strcspn(connection->request + 5, " "),
                     connection->request + 5);
            again = answer_post(connection, path, body);
        }
    }
    mutex_lock(&fake->lock);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (fake->sockets[i] == connection->fd)
            fake->sockets[i] = -1;
    close(connection->fd);
    fake->alive--;
    cond_broadcast(&fake->changed);
    mutex_unlock(&fake->lock);
    free(connection->request);
    free(connection);
    return NULL;
}

static void take_connection(struct fake_upstream *fake, int fd)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    pthread_t thread;
    assert_non_null(connection);
    connection->request = calloc(1, REQUEST_MAX + 1);
    assert_non_null(connection->request);
    connection->fake = fake;
    connection->fd = fd;
    int slot = 0;
    while (fake->sockets[slot] >= 0)
        slot++;
    fake->sockets[slot] = fd;
    fake->alive++;
    fake->connections++;
    assert_true(thread_start(&thread, "fake-upstream", serve_connection, connection, NULL));
    pthread_detach(thread);
}

static void *accept_connections(void *argument)
{
    struct fake_upstream *fake = argument;
    mutex_lock(&fake->lock);
    while (!fake->stop) {
        if (fake->listener < 0) {
            cond_wait(&fake->changed, &fake->lock, INT64_MAX);
            continue;
        }
        struct pollfd fd = {.fd = fake->listener, .events = POLLIN};
        mutex_unlock(&fake->lock);
        int ready = poll(&fd, 1, DRIP_MS * 4);
        mutex_lock(&fake->lock);
        struct sockaddr_in from;
        socklen_t size = sizeof(from);
        int taken = -1;
        if (ready > 0 && fake->listener == fd.fd)
            taken = accept4(fd.fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC);
        if (taken >= 0)
            take_connection(fake, taken);
    }
    mutex_unlock(&fake->lock);
    return NULL;
}

/* Listens on the port, or on any when it is 0 yet. */
static int listen_on(struct fake_upstream *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(fake->port)};
    socklen_t size = sizeof(address);
    const int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    fake->port = ntohs(address.sin_port);
    return fd;
}

struct fake_upstream *fake_upstream_start(void)
{
    struct fake_upstream *fake = calloc(1, sizeof(*fake));
    assert_non_null(fake);
    mutex_init(&fake->lock);
    cond_init(&fake->changed);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        fake->sockets[i] = -1;
    fake->listener = listen_on(fake);
    snprintf(fake->url, sizeof(fake->url), "http://127.0.0.1:%u/v1", fake->port);
    assert_true(thread_start(&fake->acceptor, "fake-accept", accept_connections, fake, NULL));
    return fake;
}

/* With the lock. */
static void shut_connections(struct fake_upstream *fake)
{
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (fake->sockets[i] >= 0)
            shutdown(fake->sockets[i], SHUT_RDWR);
}

void fake_upstream_stop(struct fake_upstream *fake)
{
    if (!fake)
        return;
    mutex_lock(&fake->lock);
    fake->stop = true;
    cond_broadcast(&fake->changed);
    mutex_unlock(&fake->lock);
    pthread_join(fake->acceptor, NULL);
    mutex_lock(&fake->lock);
    shut_connections(fake);
    while (fake->alive > 0)
        assert_true(cond_wait(&fake->changed, &fake->lock, deadline_in_ms(AWAIT_MS)));
    mutex_unlock(&fake->lock);
    if (fake->listener >= 0)
        close(fake->listener);
    cond_destroy(&fake->changed);
    mutex_destroy(&fake->lock);
    free(fake);
}

const char *fake_upstream_url(const struct fake_upstream *fake)
{
    return fake->url;
}

void fake_upstream_plan(struct fake_upstream *fake, const struct fake_plan *plan)
{
    mutex_lock(&fake->lock);
    assert_true(fake->plan_count < PLANS_MAX);
    fake->plans[(fake->plan_first + fake->plan_count++) % PLANS_MAX] = *plan;
    mutex_unlock(&fake->lock);
}

void fake_upstream_refuse(struct fake_upstream *fake, bool refuse)
{
    mutex_lock(&fake->lock);
    if (refuse && fake->listener >= 0) {
        close(fake->listener);
        fake->listener = -1;
        shut_connections(fake);
    } else if (!refuse && fake->listener < 0) {
        fake->listener = listen_on(fake);
    }
    cond_broadcast(&fake->changed);
    mutex_unlock(&fake->lock);
}

static int read_counter(struct fake_upstream *fake, const int *counter)
{
    mutex_lock(&fake->lock);
    int value = *counter;
    mutex_unlock(&fake->lock);
    return value;
}

int fake_upstream_posts(struct fake_upstream *fake)
{
    return read_counter(fake, &fake->posts);
}

int fake_upstream_checks(struct fake_upstream *fake)
{
    return read_counter(fake, &fake->checks);
}

int fake_upstream_left(struct fake_upstream *fake)
{
    return read_counter(fake, &fake->left);
}

int fake_upstream_connections(struct fake_upstream *fake)
{
    return read_counter(fake, &fake->connections);
}

void fake_upstream_await_left(struct fake_upstream *fake, int count)
{
    deadline until = deadline_in_ms(AWAIT_MS);
    mutex_lock(&fake->lock);
    while (fake->left < count)
        if (!cond_wait(&fake->changed, &fake->lock, until))
            break;
    int left = fake->left;
    mutex_unlock(&fake->lock);
    assert_true(left >= count);
}

void fake_upstream_last(struct fake_upstream *fake, char *body, size_t body_size, char *key,
                        size_t key_size)
{
    mutex_lock(&fake->lock);
    snprintf(body, body_size, "%s", fake->body);
    snprintf(key, key_size, "%s", fake->key);
    mutex_unlock(&fake->lock);
}
