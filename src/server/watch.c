#include "server/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_AT_ONCE = 64,
    LONGEST_NAP_MS = 60 * 1000, /* the thread looks at its table at least this often */
};

static const uint64_t wake_token = UINT64_MAX; /* epoll's data of the eventfd */

struct connection {
    int fd; /* -1: the slot is free */
    uint32_t generation;
    struct cancel *cancel; /* of the request in work; NULL between requests */
    deadline until;
    bool gone;      /* the client has left */
    bool cancelled; /* the deadline has passed once */
};

struct watch {
    struct mutex lock;
    pthread_t thread;
    int epoll_fd;
    int wake_fd;
    bool stopping;
    deadline planned; /* when the thread will look next by itself */
    size_t count;     /* of slots in the table */
    struct connection table[];
};

/* ---------------------------------------------------------------- slots */

static watch_slot slot_name(const struct watch *watch, size_t index)
{
    return (uint64_t)watch->table[index].generation << 32 | index;
}

/* The connection that a slot names, NULL if it has ended. The lock must be held. */
static struct connection *find(struct watch *watch, watch_slot slot)
{
    size_t index = slot & UINT32_MAX;
    if (index >= watch->count || watch->table[index].fd < 0)
        return NULL;
    return watch->table[index].generation == slot >> 32 ? &watch->table[index] : NULL;
}

/* Makes the thread look at the table when `until` comes before what it has planned. The lock must be held. */
static void plan(struct watch *watch, deadline until)
{
    if (until >= watch->planned)
        return;
    watch->planned = until;
    eventfd_write(watch->wake_fd, 1);
}

watch_slot watch_add(struct watch *watch, int fd, deadline until)
{
    watch_slot slot = WATCH_NONE;
    mutex_lock(&watch->lock);
    for (size_t i = 0; i < watch->count && slot == WATCH_NONE; i++) {
        struct connection *free_one = &watch->table[i];
        if (free_one->fd >= 0)
            continue;
        *free_one =
            (struct connection){.fd = fd, .generation = free_one->generation + 1, .until = until};
        slot = slot_name(watch, i);
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = slot};
        if (epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
            free_one->fd = -1;
            slot = WATCH_NONE;
            break;
        }
        plan(watch, until);
    }
    mutex_unlock(&watch->lock);
    return slot;
}

void watch_remove(struct watch *watch, watch_slot slot)
{
    mutex_lock(&watch->lock);
    struct connection *connection = find(watch, slot);
    if (connection) {
        epoll_ctl(watch->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
        connection->fd = -1;
        connection->cancel = NULL;
    }
    mutex_unlock(&watch->lock);
}

void watch_busy(struct watch *watch, watch_slot slot, struct cancel *cancel, deadline until)
{
    mutex_lock(&watch->lock);
    struct connection *connection = find(watch, slot);
    if (connection) {
        connection->cancel = cancel;
        connection->until = until;
        connection->cancelled = false;
        if (connection->gone)
            cancel_fire(cancel);
        plan(watch, until);
    }
    mutex_unlock(&watch->lock);
}

void watch_idle(struct watch *watch, watch_slot slot, deadline until)
{
    mutex_lock(&watch->lock);
    struct connection *connection = find(watch, slot);
    if (connection) {
        connection->cancel = NULL;
        connection->until = until;
        connection->cancelled = false;
        plan(watch, until);
    }
    mutex_unlock(&watch->lock);
}

void watch_cancel_all(struct watch *watch)
{
    mutex_lock(&watch->lock);
    for (size_t i = 0; i < watch->count; i++)
        if (watch->table[i].fd >= 0 && watch->table[i].cancel)
            cancel_fire(watch->table[i].cancel);
    mutex_unlock(&watch->lock);
}

/* ---------------------------------------------------------------- the thread */

/* The lock must be held here and below. */
static void hung_up(struct watch *watch, watch_slot slot)
{
    struct connection *connection = find(watch, slot);
    if (!connection)
        return;
    connection->gone = true;
    if (connection->cancel)
        cancel_fire(connection->cancel);
}

/* A request gets a warning first, and some time to say that it was too slow. */
static void too_late(struct connection *connection)
{
    if (connection->cancel && !connection->cancelled) {
        connection->cancelled = true;
        connection->until = deadline_in_ms(WATCH_GRACE_MS);
        cancel_fire(connection->cancel);
        return;
    }
    connection->until = deadline_in_ms(LONGEST_NAP_MS);
    shutdown(connection->fd, SHUT_RDWR);
}

/* Ends what is late, and plans the next look. */
static void look_at_deadlines(struct watch *watch)
{
    watch->planned = deadline_in_ms(LONGEST_NAP_MS);
    for (size_t i = 0; i < watch->count; i++) {
        struct connection *connection = &watch->table[i];
        if (connection->fd < 0)
            continue;
        if (deadline_passed(connection->until))
            too_late(connection);
        watch->planned = deadline_earlier(watch->planned, connection->until);
    }
}

static void *run(void *argument)
{
    struct watch *watch = argument;
    struct epoll_event events[EVENTS_AT_ONCE];
    mutex_lock(&watch->lock);
    while (!watch->stopping) {
        look_at_deadlines(watch);
        int nap_ms = deadline_left_ms(watch->planned);
        mutex_unlock(&watch->lock);
        int count = epoll_wait(watch->epoll_fd, events, EVENTS_AT_ONCE, nap_ms);
        mutex_lock(&watch->lock);
        for (int i = 0; i < count; i++) {
            eventfd_t ignored;
            if (events[i].data.u64 == wake_token)
                eventfd_read(watch->wake_fd, &ignored);
            else
                hung_up(watch, events[i].data.u64);
        }
    }
    mutex_unlock(&watch->lock);
    return NULL;
}

/* ---------------------------------------------------------------- opening and closing */

static void dispose(struct watch *watch)
{
    if (watch->epoll_fd >= 0)
        close(watch->epoll_fd);
    if (watch->wake_fd >= 0)
        close(watch->wake_fd);
    mutex_destroy(&watch->lock);
    free(watch);
}

bool watch_open(size_t max_connections, struct watch **ret, struct err *err)
{
    struct watch *watch = calloc(1, sizeof(*watch) + max_connections * sizeof(*watch->table));
    if (!watch)
        return err_no_memory(err);
    mutex_init(&watch->lock);
    watch->count = max_connections;
    for (size_t i = 0; i < max_connections; i++)
        watch->table[i].fd = -1;
    watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event wake = {.events = EPOLLIN, .data.u64 = wake_token};
    if (watch->epoll_fd < 0 || watch->wake_fd < 0 ||
        epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->wake_fd, &wake) != 0) {
        err_set_errno(err, ERR_IO, errno, "cannot watch connections");
        dispose(watch);
        return false;
    }
    if (!thread_start(&watch->thread, "watch", run, watch, err)) {
        dispose(watch);
        return false;
    }
    *ret = watch;
    return true;
}

void watch_close(struct watch *watch)
{
    if (!watch)
        return;
    mutex_lock(&watch->lock);
    watch->stopping = true;
    eventfd_write(watch->wake_fd, 1);
    mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    dispose(watch);
}
