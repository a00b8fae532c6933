#include "helper/raw_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "raw_http: %s: %s\n", what, strerrordesc_np(errno));
    abort();
}

int raw_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die(path);
    return fd;
}

int raw_tcp(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[64];
    snprintf(host, sizeof(host), "%.*s", (int)strcspn(address, ":"), address);
    to.sin_port = htons((uint16_t)strtol(strchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        die(address);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

bool raw_send(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

bool raw_puts(int fd, const char *text)
{
    return raw_send(fd, text, strlen(text));
}

/* Some more bytes; 0 when the peer has closed (or reset). */
static size_t receive(int fd, char *out, size_t max)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (poll(&waiting, 1, RAW_WAIT_MS) != 1)
        die("nothing came");
    ssize_t got = recv(fd, out, max, 0);
    return got > 0 ? (size_t)got : 0;
}

/* What has been read of one answer. */
struct reader {
    int fd;
    char *data;
    size_t length;
    bool closed;
};

static bool more(struct reader *reader)
{
    if (reader->length >= RAW_MAX)
        die("an endless answer");
    size_t got = receive(reader->fd, reader->data + reader->length, RAW_MAX - reader->length);
    reader->length += got;
    reader->data[reader->length] = '\0';
    reader->closed = got == 0;
    return got > 0;
}

void raw_header(const struct raw_answer *answer, const char *name, char *out, size_t size)
{
    char line[128];
    snprintf(line, sizeof(line), "\r\n%s:", name);
    const char *found = strcasestr(answer->headers, line);
    out[0] = '\0';
    if (!found)
        return;
    found += strlen(line);
    found += strspn(found, " ");
    snprintf(out, size, "%.*s", (int)strcspn(found, "\r"), found);
}

/* Joins the chunks of reader->data[from..] into answer->body. */
static void read_chunks(struct reader *reader, size_t from, struct raw_answer *answer)
{
    size_t at = from;
    for (;;) {
        const char *end;
        while (!(end = strstr(reader->data + at, "\r\n")))
            if (!more(reader))
                return;
        size_t size = strtoul(reader->data + at, NULL, 16);
        size_t begin = (size_t)(end - reader->data) + 2;
        while (reader->length < begin + size + 2)
            if (!more(reader))
                return;
        memcpy(answer->body + answer->length, reader->data + begin, size);
        answer->length += size;
        at = begin + size + 2;
        if (size == 0)
            return;
    }
}

static void read_body(struct reader *reader, size_t from, struct raw_answer *answer)
{
    char value[64];
    raw_header(answer, "Transfer-Encoding", value, sizeof(value));
    if (strcasecmp(value, "chunked") == 0) {
        read_chunks(reader, from, answer);
        answer->closed = reader->closed;
        return;
    }
    raw_header(answer, "Content-Length", value, sizeof(value));
    size_t wanted = value[0] ? strtoul(value, NULL, 10) : RAW_MAX;
    while (reader->length < from + wanted && more(reader))
        ;
    answer->length = reader->length - from < wanted ? reader->length - from : wanted;
    memcpy(answer->body, reader->data + from, answer->length);
    answer->closed = value[0] && answer->length < wanted;
}

static struct raw_answer read_answer(int fd, bool head)
{
    struct raw_answer answer = {0};
    struct reader reader = {.fd = fd, .data = malloc(RAW_MAX + 1)};
    answer.body = calloc(1, RAW_MAX + 1);
    if (!reader.data || !answer.body)
        die("malloc");
    reader.data[0] = '\0';
    const char *end;
    while (!(end = strstr(reader.data, "\r\n\r\n")) && more(&reader))
        ;
    if (!end) {
        answer.closed = true;
        answer.headers = reader.data;
        return answer;
    }
    size_t from = (size_t)(end - reader.data) + 4;
    answer.headers = strndup(reader.data, from);
    answer.status = (int)strtol(reader.data + strcspn(reader.data, " "), NULL, 10);
    if (!head)
        read_body(&reader, from, &answer);
    answer.body[answer.length] = '\0';
    free(reader.data);
    return answer;
}

struct raw_answer raw_read(int fd)
{
    return read_answer(fd, false);
}

struct raw_answer raw_read_head(int fd)
{
    return read_answer(fd, true);
}

void raw_free(struct raw_answer *answer)
{
    free(answer->headers);
    free(answer->body);
    *answer = (struct raw_answer){0};
}

/* Byte by byte, so that nothing behind the text is taken. */
bool raw_wait_for(int fd, const char *text)
{
    char window[256];
    size_t wanted = strlen(text);
    size_t length = 0;
    if (wanted > sizeof(window))
        die("a text too long to wait for");
    for (;;) {
        if (length == sizeof(window)) {
            memmove(window, window + length - wanted, wanted);
            length = wanted;
        }
        if (receive(fd, window + length, 1) == 0)
            return false;
        length++;
        if (length >= wanted && memcmp(window + length - wanted, text, wanted) == 0)
            return true;
    }
}

bool raw_wait_closed(int fd)
{
    char dropped[4096];
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    for (;;) {
        if (poll(&waiting, 1, RAW_WAIT_MS) != 1)
            return false;
        if (recv(fd, dropped, sizeof(dropped), 0) <= 0)
            return true;
    }
}

struct raw_answer raw_request(int fd, const char *method, const char *path, const char *body)
{
    char head[1024];
    snprintf(head, sizeof(head),
             "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n",
             method, path, body ? strlen(body) : 0);
    raw_puts(fd, head);
    if (body)
        raw_puts(fd, body);
    return read_answer(fd, strcmp(method, "HEAD") == 0);
}
