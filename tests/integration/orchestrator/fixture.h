/* fixture.h - a registry over fake workers, for the tests in this folder.
 *
 * Purpose: each test opens a registry with the memory it wants, makes "model files" that say how their worker shall
 *   behave (helper/fake_worker.c), and at the end the fixture checks that no process and no descriptor is left.
 * Owner:   the fixture owns the registry and the folder. Threads: fixture_* from the test's thread, but for
 *   fixture_wait(). Fails: by failing the test.
 */
#ifndef JARVIS_TESTS_ORCHESTRATOR_FIXTURE_H
#define JARVIS_TESTS_ORCHESTRATOR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helper/testing.h"
#include "orchestrator/registry.h"

#define MIB (UINT64_C(1) << 20)

enum { FIXTURE_WAIT_MS = 60000 };

struct fixture {
    char *folder;
    struct config *config;
    struct registry *registry;
    struct log *log;
    int descriptors; /* open before the registry was */
    struct arena arena;
};

/* What a test may change of the registry's options. */
struct fixture_options {
    uint64_t memory_mib; /* that the machine has; 0: 1024 */
    bool keep_spare;
    int64_t cancel_ms;
    int64_t heartbeat_ms;
    int64_t hang_ms;
    int64_t health_interval_ms;
    int64_t parse_ms;
    const char *program; /* NULL: the fake worker */
    const char *house_embedder;
    void (*on_use)(void *user, const char *model, uint64_t order);
    void *on_use_user;
    const char *config; /* JSON; NULL: {"memory.reserve_mib": 0, "worker.threads": 1} */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Opens the registry. Only once a test. */
void fixture_open(struct fixture *fixture, const struct fixture_options *options);

/* Makes the file NAME of `mib` MiB and the model of that name. */
void fixture_model(struct fixture *fixture, const char *name, enum model_role role, uint64_t mib,
                   const char *behaviour);

/* A file in the fixture's folder that keeps gates shut until it is removed: its path, valid until the end. */
const char *fixture_gate(struct fixture *fixture, const char *name);
void fixture_open_gate(const char *gate);

/* A wait of FIXTURE_WAIT_MS. */
struct wait fixture_wait(struct cancel *cancel);

/* A lease that must be had. */
struct lease *fixture_acquire(struct fixture *fixture, const char *name, enum model_role role);

/* The row of a model. */
struct model_status fixture_status(struct fixture *fixture, const char *name);

/* Whether the words of its last decision, in English, hold `part`. */
bool fixture_why_has(struct fixture *fixture, const char *name, const char *part);

/* Waits until the model is in that state, or until it has so many leases or waiters; fails the test after a minute. */
void fixture_await_state(struct fixture *fixture, const char *name, enum model_state state);

/* Calls `holds` until it is true; fails the test, naming `what`, after a minute. */
void fixture_until(bool (*holds)(void *user), void *user, const char *what);

/* Fails with the error's message unless `ok`. */
void assert_ok(bool ok, const struct err *err);

/* Processes whose parent is this one; *ret_pid (unless NULL) is one of them. */
int fixture_children(pid_t *ret_pid);

#endif
