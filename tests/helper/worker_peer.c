#include "helper/worker_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

void worker_peer_start(struct worker_peer *peer, const char *program)
{
    *peer = (struct worker_peer){.next_id = 1};
    arena_init(&peer->arena, 64 << 20);
    /* As the service starts its workers. allow(setenv): tests start workers from their only thread */
    setenv("OMP_WAIT_POLICY", "passive", 1);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pair[1], 3);
    char *const arguments[] = {(char *)(uintptr_t)program, (char *)(uintptr_t) "worker", NULL};
    int failed = posix_spawn(&peer->pid, program, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    if (failed)
        fail_msg("cannot start %s: %s", program, strerror(failed));
    peer->fd = pair[0];
    struct frame frame;
    struct msg_hello hello;
    worker_peer_expect(peer, FRAME_HELLO, 0, &frame);
    assert_true(msg_get_hello(frame.payload, frame.length, &peer->arena, &hello, NULL));
    assert_int_equal(hello.pid, peer->pid);
    frame_free(&frame);
}

int worker_peer_wait(struct worker_peer *peer)
{
    int status = 0;
    while (waitpid(peer->pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    peer->pid = 0;
    return status;
}

int worker_peer_stop(struct worker_peer *peer)
{
    int status = 0;
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
    if (peer->pid > 0) {
        kill(peer->pid, SIGKILL);
        status = worker_peer_wait(peer);
    }
    arena_free(&peer->arena);
    return status;
}

uint64_t worker_peer_send(struct worker_peer *peer, uint8_t type, struct str *payload)
{
    struct err err;
    uint64_t id = peer->next_id++;
    assert_true(!payload || str_ok(payload));
    if (!frame_write(peer->fd, type, id, payload ? payload->data : NULL,
                     payload ? payload->length : 0, deadline_in_ms(WORKER_PEER_WAIT_MS), &err))
        fail_msg("sending: %s", err.message[LANG_EN]);
    if (payload)
        str_free(payload);
    return id;
}

void worker_peer_cancel(struct worker_peer *peer, uint64_t id)
{
    assert_true(frame_write(peer->fd, FRAME_CANCEL, id, NULL, 0,
                            deadline_in_ms(WORKER_PEER_WAIT_MS), NULL));
}

bool worker_peer_receive(struct worker_peer *peer, struct frame *ret)
{
    struct err err;
    if (frame_read(peer->fd, ret, deadline_in_ms(WORKER_PEER_WAIT_MS), &err))
        return true;
    if (err.code != ERR_WORKER_DIED)
        fail_msg("receiving: %s", err.message[LANG_EN]);
    return false;
}

void worker_peer_expect(struct worker_peer *peer, uint8_t type, uint64_t id, struct frame *ret)
{
    struct frame frame;
    while (worker_peer_receive(peer, &frame)) {
        if (frame.id == id && frame.type == type) {
            *ret = frame;
            return;
        }
        if (frame.id == id && frame.type == FRAME_ERROR) {
            struct err error = {0};
            assert_true(msg_get_err(frame.payload, frame.length, &error, NULL));
            fail_msg("expected a frame of type %d, got: %s", type, error.message[LANG_EN]);
        }
        frame_free(&frame);
    }
    fail_msg("the worker ended where a frame of type %d was expected", type);
}

struct msg_loaded worker_peer_load(struct worker_peer *peer, enum model_role role, const char *path,
                                   uint32_t slots)
{
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_load(&payload, &(struct msg_load){.role = role,
                                              .path = path,
                                              .slots = slots,
                                              .threads = WORKER_PEER_THREADS,
                                              .gpu_layers = -1,
                                              .charset = ""});
    struct frame frame;
    struct msg_loaded loaded;
    worker_peer_expect(peer, FRAME_LOADED, worker_peer_send(peer, FRAME_LOAD, &payload), &frame);
    assert_true(msg_get_loaded(frame.payload, frame.length, &peer->arena, &loaded, NULL));
    frame_free(&frame);
    return loaded;
}
