#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---------------------------------------------------------------- Unix socket */

static bool unix_address(const char *path, struct sockaddr_un *ret, struct err *err)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret->sun_path))
        return err_set(err, ERR_CONFIG,
                       "the socket path \"%s\" is longer than %zu bytes; set JARVIS_HOME to a "
                       "shorter directory",
                       path, sizeof(ret->sun_path) - 1);
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return true;
}

static bool take_lock(const char *path, int *ret_fd, struct err *err)
{
    char name[sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof(".lock")];
    snprintf(name, sizeof(name), "%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot open \"%s\"", name);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *ret_fd = fd;
        return true;
    }
    int problem = errno;
    close(fd);
    if (problem != EWOULDBLOCK)
        return err_set_errno(err, ERR_IO, problem, "cannot lock \"%s\"", name);
    return err_set(err, ERR_CONFLICT,
                   "a service is running already on \"%s\"; use it, or end it with \"jarvis stop\"",
                   path);
}

/* Whether somebody accepts on the socket: one without our lock, perhaps of another version. */
static bool answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool connected = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    bool busy = !connected && errno == EAGAIN;
    close(fd);
    return connected || busy;
}

static bool clear_stale(const struct sockaddr_un *address, struct err *err)
{
    struct stat found;
    if (lstat(address->sun_path, &found) != 0)
        return true;
    if (!S_ISSOCK(found.st_mode))
        return err_set(err, ERR_CONFLICT,
                       "\"%s\" exists and is not a socket; move it out of the way",
                       address->sun_path);
    if (answers(address))
        return err_set(err, ERR_CONFLICT,
                       "another program accepts connections on \"%s\"; end it first",
                       address->sun_path);
    if (unlink(address->sun_path) != 0 && errno != ENOENT)
        return err_set_errno(err, ERR_IO, errno, "cannot remove the old socket \"%s\"",
                             address->sun_path);
    return true;
}

static bool bind_unix(const struct sockaddr_un *address, int *ret_fd, struct err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot make a socket");
    /* On Linux the file that bind() makes has the mode of the socket: there is no moment at which others may enter. */
    if (fchmod(fd, 0600) == 0 &&
        bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0) {
        if (listen(fd, LISTEN_BACKLOG) == 0) {
            *ret_fd = fd;
            return true;
        }
        unlink(address->sun_path);
    }
    err_set_errno(err, ERR_IO, errno, "cannot listen on \"%s\"", address->sun_path);
    close(fd);
    return false;
}

bool listen_unix_open(const char *path, struct listen_unix *ret, struct err *err)
{
    struct sockaddr_un address;
    struct listen_unix opened = {.fd = -1, .lock_fd = -1};
    if (!unix_address(path, &address, err) || !take_lock(path, &opened.lock_fd, err))
        return false;
    if (!clear_stale(&address, err) || !bind_unix(&address, &opened.fd, err)) {
        close(opened.lock_fd);
        return false;
    }
    snprintf(opened.path, sizeof(opened.path), "%s", path);
    *ret = opened;
    return true;
}

void listen_unix_remove(struct listen_unix *listener)
{
    if (listener->path[0] != '\0')
        unlink(listener->path);
    listener->path[0] = '\0';
}

void listen_unix_close(struct listen_unix *listener)
{
    listen_unix_remove(listener);
    if (listener->lock_fd >= 0)
        close(listener->lock_fd);
    listener->lock_fd = -1;
}

/* ---------------------------------------------------------------- TCP */

static bool bad_address(const char *address, struct err *err)
{
    return err_set(err, ERR_CONFIG,
                   "\"%s\" is not an address to listen on; write it as 127.0.0.1:8317 or "
                   "[::1]:8317",
                   address);
}

static bool parse_port(const char *text, uint16_t *ret)
{
    char *end = NULL;
    long port = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || port > UINT16_MAX)
        return false;
    *ret = (uint16_t)port;
    return true;
}

bool listen_parse(const char *address, char ret_host[LISTEN_HOST_MAX], uint16_t *ret_port,
                  struct err *err)
{
    const char *begin = address;
    const char *colon = strrchr(address, ':');
    if (!colon)
        return bad_address(address, err);
    const char *end = colon;
    if (*begin == '[' && end > begin && end[-1] == ']') {
        begin++;
        end--;
    } else if (memchr(begin, ':', (size_t)(end - begin))) {
        return bad_address(address, err);
    }
    size_t length = (size_t)(end - begin);
    if (length == 0 || length >= LISTEN_HOST_MAX || !parse_port(colon + 1, ret_port))
        return bad_address(address, err);
    memcpy(ret_host, begin, length);
    ret_host[length] = '\0';
    return true;
}

union any_address {
    struct sockaddr sa;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

static bool resolve(const char *host, uint16_t port, union any_address *ret, socklen_t *ret_length,
                    struct err *err)
{
    *ret = (union any_address){0};
    const char *numeric = strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (inet_pton(AF_INET, numeric, &ret->four.sin_addr) == 1) {
        ret->four.sin_family = AF_INET;
        ret->four.sin_port = htons(port);
        *ret_length = sizeof(ret->four);
        return true;
    }
    if (inet_pton(AF_INET6, numeric, &ret->six.sin6_addr) == 1) {
        ret->six.sin6_family = AF_INET6;
        ret->six.sin6_port = htons(port);
        *ret_length = sizeof(ret->six);
        return true;
    }
    return err_set(err, ERR_CONFIG,
                   "cannot listen on \"%s\": give a numeric address such as 127.0.0.1, or "
                   "localhost",
                   host);
}

static uint16_t bound_port(int fd)
{
    union any_address address = {0};
    socklen_t length = sizeof(address);
    if (getsockname(fd, &address.sa, &length) != 0)
        return 0;
    return ntohs(address.sa.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

bool listen_tcp_open(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port,
                     struct err *err)
{
    union any_address address;
    socklen_t length = 0;
    if (!resolve(host, port, &address, &length, err))
        return false;
    int fd = socket(address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot make a socket for \"%s\"", host);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &address.sa, length) == 0 && listen(fd, LISTEN_BACKLOG) == 0) {
        *ret_fd = fd;
        *ret_port = bound_port(fd);
        return true;
    }
    int problem = errno;
    close(fd);
    if (problem == EADDRINUSE)
        return err_set(err, ERR_CONFLICT,
                       "port %u of %s is in use by another program; choose another with --listen "
                       "ADDRESS:PORT",
                       (unsigned)port, host);
    return err_set_errno(err, ERR_IO, problem, "cannot listen on port %u of %s", (unsigned)port,
                         host);
}
