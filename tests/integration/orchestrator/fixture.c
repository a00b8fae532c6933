#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

enum { UNTIL_STEP_MS = 2, ARENA_MAX = 1 << 28 };

static int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    int count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->folder = testing_directory();
    arena_init(&fixture->arena, ARENA_MAX);
    *state = fixture;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    registry_close(fixture->registry);
    log_close(fixture->log);
    assert_int_equal(fixture_children(NULL), 0);
    if (fixture->descriptors > 0)
        assert_int_equal(count_descriptors(), fixture->descriptors);
    config_free(fixture->config);
    arena_free(&fixture->arena);
    testing_remove(fixture->folder);
    free(fixture);
    return 0;
}

void assert_ok(bool ok, const struct err *err)
{
    if (!ok)
        fail_msg("%s: %s", err_info(err->code)->name, err->message[LANG_EN]);
}

void fixture_open(struct fixture *fixture, const struct fixture_options *options)
{
    static const char usual[] = "{\"memory.reserve_mib\": 0, \"worker.threads\": 1}";
    const char *text = options->config ? options->config : usual;
    const char *program = options->program ? options->program : getenv("JARVIS_TEST_FAKE_WORKER");
    struct err err;
    assert_non_null(program);
    fixture->descriptors = count_descriptors();
    assert_ok(config_parse(text, strlen(text), "test", &fixture->config, &err), &err);
    if (getenv("JARVIS_TEST_LOG"))
        assert_true(log_open("-", LOG_DEBUG, &fixture->log, NULL));
    const struct registry_options wanted = {
        .program = program,
        .models_dir = fixture->folder,
        .config = fixture->config,
        .log = fixture->log,
        .house_embedder = options->house_embedder,
        .keep_spare = options->keep_spare,
        .available_bytes = (options->memory_mib ? options->memory_mib : 1024) * MIB,
        .exact_forecasts = true,
        .on_use = options->on_use,
        .on_use_user = options->on_use_user,
        .cancel_ms = options->cancel_ms,
        .heartbeat_ms = options->heartbeat_ms,
        .hang_ms = options->hang_ms,
        .health_interval_ms = options->health_interval_ms,
        .parse_ms = options->parse_ms,
    };
    assert_ok(registry_open(&wanted, &fixture->registry, &err), &err);
}

void fixture_model(struct fixture *fixture, const char *name, enum model_role role, uint64_t mib,
                   const char *behaviour)
{
    char *path = testing_path(fixture->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "fake %s\n", behaviour) > 0);
    if (mib > 0)
        assert_int_equal(ftruncate(fd, (off_t)(mib * MIB)), 0);
    close(fd);
    free(path);
    char *copy = strdup(name);
    const struct model_entry entry = {
        .name = copy, .path = copy, .role = role, .slots = 1, .gpu_layers = -1};
    struct err err;
    assert_ok(registry_add(fixture->registry, &entry, &err), &err);
    free(copy);
}

const char *fixture_gate(struct fixture *fixture, const char *name)
{
    char *path = testing_file(fixture->folder, name, "", 0);
    char *kept = arena_copy(&fixture->arena, path);
    free(path);
    assert_non_null(kept);
    return kept;
}

void fixture_open_gate(const char *gate)
{
    assert_int_equal(unlink(gate), 0);
}

struct wait fixture_wait(struct cancel *cancel)
{
    return (struct wait){.cancel = cancel, .until = deadline_in_ms(FIXTURE_WAIT_MS)};
}

struct lease *fixture_acquire(struct fixture *fixture, const char *name, enum model_role role)
{
    const struct wait wait = fixture_wait(NULL);
    struct lease *lease = NULL;
    struct err err;
    assert_ok(registry_acquire(fixture->registry, name, role, &wait, NULL, NULL, &lease, &err),
              &err);
    return lease;
}

struct model_status fixture_status(struct fixture *fixture, const char *name)
{
    enum { ROWS = 64 };
    struct model_status rows[ROWS];
    size_t count = registry_status(fixture->registry, rows, ROWS);
    for (size_t i = 0; i < count && i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i];
    fail_msg("no model \"%s\"", name);
    return rows[0];
}

bool fixture_why_has(struct fixture *fixture, const char *name, const char *part)
{
    struct model_status status = fixture_status(fixture, name);
    char words[WHY_TEXT_MAX];
    why_render(&status.why, LANG_EN, words);
    return strstr(words, part) != NULL;
}

void fixture_until(bool (*holds)(void *user), void *user, const char *what)
{
    deadline until = deadline_in_ms(FIXTURE_WAIT_MS);
    while (!holds(user)) {
        if (deadline_passed(until))
            fail_msg("waited in vain for: %s", what);
        poll(NULL, 0, UNTIL_STEP_MS);
    }
}

struct awaited {
    struct fixture *fixture;
    const char *name;
    enum model_state state;
};

static bool is_in_state(void *user)
{
    const struct awaited *awaited = user;
    return fixture_status(awaited->fixture, awaited->name).state == awaited->state;
}

void fixture_await_state(struct fixture *fixture, const char *name, enum model_state state)
{
    struct awaited awaited = {fixture, name, state};
    fixture_until(is_in_state, &awaited, model_state_name(state));
}

/* The processes that /proc says are ours, zombies included. */
int fixture_children(pid_t *ret_pid)
{
    DIR *directory = opendir("/proc");
    assert_non_null(directory);
    int count = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory))) {
        char path[300];
        char line[512];
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fgets(line, sizeof(line), file)) {
            const char *rest = strrchr(line, ')'); /* ") S PPID" */
            bool ours = rest && strtol(rest + 4, NULL, 10) == getpid();
            count += ours;
            if (ours && ret_pid)
                *ret_pid = (pid_t)strtol(entry->d_name, NULL, 10);
        }
        fclose(file);
    }
    closedir(directory);
    return count;
}
