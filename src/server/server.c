#include "server/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/http.h"
#include "server/routes.h"

enum {
    THREAD_STACK = 1024 * 1024,
    LOG_LINE = 512,
    LAST_WORDS_MS = 2000, /* for cancelled requests to tell their clients */
};

struct server {
    struct http http;
    struct http_listener local;
    struct http_listener tcp;
    struct listen_unix socket;
};

/* ---------------------------------------------------------------- settings */

static void init_http(struct http *http, const struct server_options *options)
{
    const struct config *config = runtime_config(options->runtime);
    *http = (struct http){
        .runtime = options->runtime,
        .log = options->log,
        .routes = routes_table,
        .route_count = routes_count,
        .max_body = (size_t)config->server_max_body_mib << 20,
        .max_connections = (size_t)config->server_max_connections,
        .idle_timeout_s = (unsigned)config->server_idle_timeout_s,
        .request_timeout_s = (unsigned)config->server_request_timeout_s,
        .log_query_text = config->log_query_text,
        .on_shutdown = options->on_shutdown,
        .user = options->user,
        .start_ns = clock_now_ns(),
        .last_end_ns = clock_now_ns(),
    };
    mutex_init(&http->lock);
    cond_init(&http->done);
}

static bool open_guard(struct http *http, struct err *err)
{
    const char *key_file = runtime_config(http->runtime)->server_api_key_file;
    if (!key_file || *key_file == '\0')
        return true;
    return guard_load_key(&http->guard, key_file, err);
}

/* ---------------------------------------------------------------- libmicrohttpd */

static void on_log(void *cls, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

/* What libmicrohttpd has to say is about clients that leave or send nonsense: nothing to wake anybody for. */
static void on_log(void *cls, const char *format, va_list arguments)
{
    struct http_listener *listener = cls;
    char line[LOG_LINE];
    vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    log_write(listener->http->log, LOG_DEBUG, LOG_EVENT_SERVICE, NULL, NULL, 0, "http: %s", line);
}

/* Starts accepting on `fd`, which is the daemon's from then on. Signals stay with the thread that called. */
static bool start_daemon(struct http_listener *listener, int fd, struct err *err)
{
    const struct http *http = listener->http;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                     MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    listener->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, http_on_request, listener, MHD_OPTION_EXTERNAL_LOGGER, on_log,
        listener, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)http->max_connections + HTTP_SPARE_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        http->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_POOL,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK, MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
        MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, listener, MHD_OPTION_NOTIFY_CONNECTION,
        http_on_connection, listener, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (listener->daemon)
        return true;
    return err_set(err, ERR_IO,
                   "cannot start the HTTP server; look at the limits of processes and "
                   "open files");
}

/* ---------------------------------------------------------------- listeners */

static bool open_local(struct server *server, const char *path, struct err *err)
{
    if (!path)
        return true;
    return listen_unix_open(path, &server->socket, err) &&
           start_daemon(&server->local, server->socket.fd, err);
}

/* Who listens to the network must know who is talking. */
static bool allow_address(const struct http *http, const char *host, struct err *err)
{
    if (http->guard.has_key || guard_is_loopback(host))
        return true;
    return err_set(err, ERR_CONFIG,
                   "will not listen on %s without an API key, because other machines could use it: "
                   "write a key to a file and set server.api_key_file, or listen on 127.0.0.1",
                   host);
}

static bool open_tcp(struct server *server, const char *address, struct err *err)
{
    struct http *http = &server->http;
    char host[LISTEN_HOST_MAX];
    uint16_t port = 0;
    int fd = -1;
    if (*address == '\0')
        return true;
    if (!listen_parse(address, host, &port, err) || !allow_address(http, host, err) ||
        !listen_tcp_open(host, port, &fd, &port, err))
        return false;
    guard_set_host(&http->guard, host);
    snprintf(http->address, sizeof(http->address), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
             (unsigned)port);
    if (start_daemon(&server->tcp, fd, err))
        return true;
    close(fd);
    return false;
}

static void dispose(struct server *server)
{
    if (server->tcp.daemon)
        MHD_stop_daemon(server->tcp.daemon);
    if (server->local.daemon)
        MHD_stop_daemon(server->local.daemon);
    else if (server->socket.fd >= 0)
        close(server->socket.fd);
    listen_unix_close(&server->socket);
    watch_close(server->http.watch);
    guard_clear(&server->http.guard);
    cond_destroy(&server->http.done);
    mutex_destroy(&server->http.lock);
    free(server);
}

bool server_start(const struct server_options *options, struct server **ret, struct err *err)
{
    struct server *server = calloc(1, sizeof(*server));
    if (!server)
        return err_no_memory(err);
    struct http *http = &server->http;
    init_http(http, options);
    server->socket = (struct listen_unix){.fd = -1, .lock_fd = -1};
    server->local = (struct http_listener){.http = http, .local = true};
    server->tcp = (struct http_listener){.http = http};
    size_t connections = 2 * (http->max_connections + HTTP_SPARE_CONNECTIONS);
    const char *address =
        options->listen ? options->listen : runtime_config(options->runtime)->server_listen;
    if (!open_guard(http, err) || !watch_open(connections, &http->watch, err) ||
        !open_local(server, options->socket_path, err) ||
        !open_tcp(server, address ? address : "", err)) {
        dispose(server);
        return false;
    }
    log_write(http->log, LOG_INFO, LOG_EVENT_SERVICE, NULL, NULL, 0, "listening on %s%s%s",
              options->socket_path ? options->socket_path : "", http->address[0] ? " and " : "",
              http->address);
    *ret = server;
    return true;
}

/* ---------------------------------------------------------------- stopping */

static void stop_accepting(struct server *server)
{
    struct http *http = &server->http;
    mutex_lock(&http->lock);
    http->stopping = true;
    mutex_unlock(&http->lock);
    /* The name goes first: as long as it is there somebody must answer behind it. */
    listen_unix_remove(&server->socket);
    struct http_listener *listeners[] = {&server->local, &server->tcp};
    for (size_t i = 0; i < 2; i++) {
        MHD_socket fd =
            listeners[i]->daemon ? MHD_quiesce_daemon(listeners[i]->daemon) : MHD_INVALID_SOCKET;
        if (fd != MHD_INVALID_SOCKET)
            close(fd);
    }
}

static void wait_for_requests(struct http *http, int grace_ms)
{
    deadline until = deadline_in_ms(grace_ms);
    mutex_lock(&http->lock);
    while (http->running > 0 && cond_wait(&http->done, &http->lock, until))
        ;
    mutex_unlock(&http->lock);
}

void server_stop(struct server *server, int grace_ms)
{
    if (!server)
        return;
    stop_accepting(server);
    wait_for_requests(&server->http, grace_ms);
    watch_cancel_all(server->http.watch);
    wait_for_requests(&server->http, LAST_WORDS_MS);
    log_write(server->http.log, LOG_INFO, LOG_EVENT_SERVICE, NULL, NULL, 0, "stopped");
    dispose(server);
}

const char *server_address(const struct server *server)
{
    return server->http.address;
}

int64_t server_idle_ms(struct server *server)
{
    struct http *http = &server->http;
    mutex_lock(&http->lock);
    int64_t since = http->last_end_ns;
    bool running = http->running > 0;
    mutex_unlock(&http->lock);
    return running ? 0 : (int64_t)clock_ms_since(since);
}
