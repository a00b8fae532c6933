#include "engine/device.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_MAX = 256, CONNECT_MS = 5000, NAMES_MAX = 512 };

/* ---------------------------------------------------------------- hosts */

/* Whether somebody accepts connections there. */
static bool answers(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    int problem = 0;
    socklen_t length = sizeof(problem);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    bool ok = connect(fd, address->ai_addr, address->ai_addrlen) == 0;
    if (!ok && errno == EINPROGRESS && poll(&wait, 1, CONNECT_MS) == 1)
        ok = getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &length) == 0 && problem == 0;
    close(fd);
    return ok;
}

/* "host:port" or "[::1]:port". */
static bool check_host(const char *host, struct err *err)
{
    char name[HOST_MAX];
    const char *colon = strrchr(host, ':');
    if (!colon || colon == host || !colon[1] || strlen(host) >= sizeof(name))
        return err_set_param(err, ERR_CONFIG, "worker.rpc_hosts",
                             "\"%s\" is not a host with its port; write for example "
                             "192.168.1.20:50052",
                             host);
    bool bracketed = host[0] == '[' && colon[-1] == ']';
    snprintf(name, sizeof(name), "%.*s", (int)(colon - host) - 2 * bracketed, host + bracketed);
    struct addrinfo *addresses = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    bool ok = false;
    if (getaddrinfo(name, colon + 1, &hints, &addresses) == 0)
        for (const struct addrinfo *at = addresses; at && !ok; at = at->ai_next)
            ok = answers(at);
    if (addresses)
        freeaddrinfo(addresses);
    return ok || err_set(err, ERR_UNAVAILABLE,
                         "the host %s does not answer; is ggml-rpc-server running there?", host);
}

typedef ggml_backend_reg_t add_server(const char *endpoint);

static bool add_host(const char *host, add_server *add, struct err *err)
{
    if (!check_host(host, err))
        return false;
    ggml_backend_reg_t found = add(host);
    if (!found)
        return err_set(err, ERR_UNAVAILABLE,
                       "the host %s does not speak the protocol of "
                       "ggml-rpc-server of this version",
                       host);
    ggml_backend_register(found);
    return true;
}

bool device_add_hosts(const char *hosts, struct err *err)
{
    if (!*hosts)
        return true;
    ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
    void *found =
        rpc ? ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_add_server") : NULL;
    add_server *add;
    memcpy(&add, &found, sizeof(add)); /* ISO C has no cast for this, POSIX says that it is one */
    if (!add)
        return err_set_param(err, ERR_CONFIG, "worker.rpc_hosts",
                             "ggml's RPC back end is not installed; install libggml0-backend-rpc");
    for (const char *at = hosts; *at;) {
        char host[HOST_MAX];
        size_t length = strcspn(at, ", ");
        snprintf(host, sizeof(host), "%.*s", (int)length, at);
        if (length > 0 && !add_host(host, add, err))
            return false;
        at += length + (at[length] != '\0');
    }
    return true;
}

/* ---------------------------------------------------------------- what there is */

static enum device_kind kind_of(ggml_backend_dev_t device)
{
    switch (ggml_backend_dev_type(device)) {
    case GGML_BACKEND_DEVICE_TYPE_CPU: return DEVICE_CPU;
    case GGML_BACKEND_DEVICE_TYPE_GPU: return DEVICE_GPU;
    case GGML_BACKEND_DEVICE_TYPE_IGPU: return DEVICE_INTEGRATED;
    default: return DEVICE_ACCELERATOR;
    }
}

bool device_list(struct arena *arena, struct msg_devices *ret, struct err *err)
{
    size_t count = ggml_backend_dev_count();
    count = count < MSG_DEVICES_MAX ? count : MSG_DEVICES_MAX;
    struct msg_device *devices = arena_array(arena, count + 1, sizeof(*devices));
    if (!devices)
        return err_no_memory(err);
    for (size_t i = 0; i < count; i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free_bytes = 0, total = 0;
        ggml_backend_dev_memory(device, &free_bytes, &total);
        devices[i] = (struct msg_device){
            .name = ggml_backend_dev_name(device),
            .description = ggml_backend_dev_description(device),
            .backend = ggml_backend_reg_name(ggml_backend_dev_backend_reg(device)),
            .kind = kind_of(device),
            .free_bytes = free_bytes,
            .total_bytes = total,
        };
    }
    *ret = (struct msg_devices){.devices = devices, .count = (uint32_t)count};
    return true;
}

/* ---------------------------------------------------------------- which are wanted */

static bool no_device(const char *name, struct err *err)
{
    char names[NAMES_MAX] = "";
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
                 ggml_backend_dev_name(ggml_backend_dev_get(i)));
    }
    return err_set_param(err, ERR_CONFIG, "devices", "there is no device \"%s\"; there are: %s",
                         name, names);
}

/* One "NAME" or "NAME:SHARE". */
static bool choose_one(const char *text, struct device_choice *choice, struct err *err)
{
    char name[HOST_MAX];
    snprintf(name, sizeof(name), "%s", text);
    char *colon = strrchr(name, ':');
    char *end = NULL;
    float share = colon ? strtof(colon + 1, &end) : 0;
    /* Names of RPC devices hold colons themselves: what stands after the last one is a share if it is a number and the
     * whole is not a name. */
    if (colon && (*end || share <= 0 || ggml_backend_dev_by_name(name)))
        share = 0;
    else if (colon)
        *colon = '\0';
    ggml_backend_dev_t device = ggml_backend_dev_by_name(name);
    if (!device)
        return no_device(name, err);
    if (choice->count == DEVICE_CHOSEN_MAX)
        return err_set_param(err, ERR_CONFIG, "devices", "a model can be split over %d devices",
                             DEVICE_CHOSEN_MAX);
    choice->devices[choice->count] = device;
    choice->shares[choice->count++] = share;
    return true;
}

bool device_choose(const char *wanted, struct device_choice *ret, struct err *err)
{
    struct device_choice choice = {0};
    bool some_share = false, all_share = true;
    for (const char *at = wanted; *at;) {
        char text[HOST_MAX];
        size_t length = strcspn(at, ", ");
        snprintf(text, sizeof(text), "%.*s", (int)length, at);
        if (length > 0 && !choose_one(text, &choice, err))
            return false;
        at += length + (at[length] != '\0');
    }
    for (size_t i = 0; i < choice.count; i++) {
        some_share = some_share || choice.shares[i] > 0;
        all_share = all_share && choice.shares[i] > 0;
    }
    if (some_share && !all_share)
        return err_set_param(err, ERR_CONFIG, "devices",
                             "\"%s\": give every device a share, or none", wanted);
    *ret = choice;
    return true;
}

uint64_t device_free_bytes(const struct device_choice *choice)
{
    uint64_t sum = 0;
    size_t count = choice->count ? choice->count : ggml_backend_dev_count();
    for (size_t i = 0; i < count; i++) {
        ggml_backend_dev_t device = choice->count ? choice->devices[i] : ggml_backend_dev_get(i);
        size_t free_bytes = 0, total = 0;
        enum device_kind kind = kind_of(device);
        if (kind == DEVICE_GPU || kind == DEVICE_INTEGRATED)
            ggml_backend_dev_memory(device, &free_bytes, &total);
        sum += free_bytes;
    }
    return sum;
}
