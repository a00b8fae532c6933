/* A child of the test closes its sandbox and then tries what it must no longer do, and what it must still do. It
 * tells over a socketpair that it held before, so the messages themselves prove that the pair still works. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/sandbox.h"

enum { CHILD_DEADLINE_MS = 30000, THREADS = 4 };

/* What a child sees and how it tells what went wrong. */
struct child {
    enum sandbox_kind kind;
    int fd;      /* its end of the socketpair */
    int data;    /* a file that was open before */
    bool begins; /* only begins the sandbox */
    bool failed;
};

static void tell(struct child *child, int line, const char *what)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "line %d: %s (errno %d)\n", line, what, errno);
    child->failed = true;
    if (send(child->fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        _exit(99);
}

#define CHECK(child, condition)                \
    do {                                       \
        errno = 0;                             \
        if (!(condition))                      \
            tell(child, __LINE__, #condition); \
    } while (0)

static bool denied(long result)
{
    return result < 0 && (errno == EPERM || errno == EACCES);
}

typedef void child_body(struct child *child);

static void run_child(struct child *child, child_body *body)
{
    struct sandbox_report report = {.seccomp = true};
    struct err err;
    bool ok = child->begins ? sandbox_begin(&err) : sandbox_close(child->kind, &report, &err);
    if (!ok) {
        tell(child, __LINE__, err.message[LANG_EN]);
        _exit(1);
    }
    CHECK(child, report.seccomp);
    body(child);
    _exit(child->failed ? 1 : 0);
}

/* Everything that the child says until it ends, at most CHILD_DEADLINE_MS. */
static void collect(int fd, char *out, size_t size)
{
    deadline until = deadline_in_ms(CHILD_DEADLINE_MS);
    size_t length = 0;
    out[0] = '\0';
    while (length + 1 < size) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, deadline_left_ms(until)) <= 0)
            fail_msg("the child did not end in time; so far it said: %s", out);
        ssize_t got = recv(fd, out + length, size - 1 - length, 0);
        if (got <= 0)
            return;
        length += (size_t)got;
        out[length] = '\0';
    }
}

static void in_child(struct child child, child_body *body)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int data = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    assert_true(data >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pair[0]);
        child.fd = pair[1];
        child.data = data;
        run_child(&child, body);
    }
    close(pair[1]);
    close(data);
    char said[4096];
    collect(pair[0], said, sizeof(said));
    close(pair[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_string_equal(said, "");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void in_sandbox(enum sandbox_kind kind, child_body *body)
{
    in_child((struct child){.kind = kind}, body);
}

/* ---------------------------------------------------------------- what must fail */

static void try_files(struct child *child)
{
    CHECK(child, denied(open("/etc/passwd", O_RDONLY | O_CLOEXEC)));
    CHECK(child, denied(open("/dev/null", O_RDWR | O_CLOEXEC)));
    CHECK(child, denied(open("/tmp/jarvis-sandbox-test", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
    CHECK(child, denied(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0)));
    CHECK(child, denied(syscall(SYS_open, "/etc/passwd", O_RDONLY)));
    CHECK(child, denied(unlink("/nonexistent/jarvis")));
    CHECK(child, denied(mkdir("/tmp/jarvis-sandbox-test", 0700)));
    CHECK(child, denied(rename("/tmp/a", "/tmp/b")));
    CHECK(child, denied(chmod("/tmp", 0777)));
    struct stat status;
    CHECK(child, denied(stat("/etc/passwd", &status)));
    CHECK(child, denied(access("/etc/passwd", R_OK)));
    char target[64];
    CHECK(child, denied(readlink("/proc/self/exe", target, sizeof(target))));
}

static void try_memory_files(struct child *child)
{
    CHECK(child, denied(memfd_create("jarvis", MFD_CLOEXEC)));
}

/* Drivers of devices that share the machine's memory make their buffers so. */
static void use_memory_file(struct child *child)
{
    int fd = memfd_create("jarvis", MFD_CLOEXEC);
    CHECK(child, fd >= 0);
    CHECK(child, ftruncate(fd, 4096) == 0);
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(child, memory != MAP_FAILED);
    memory[4095] = 1;
    CHECK(child, munmap(memory, 4096) == 0 && close(fd) == 0);
}

static void try_sockets(struct child *child)
{
    CHECK(child, denied(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    CHECK(child, denied(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)));
    CHECK(child, denied(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    CHECK(child, denied(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)));
    int pair[2];
    CHECK(child, denied(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)));
    CHECK(child, denied(syscall(SYS_io_uring_setup, 8, NULL)));
}

static void try_processes(struct child *child)
{
    char name[] = "/bin/true";
    char *const arguments[] = {name, NULL};
    CHECK(child, denied(execve(name, arguments, environ)));
    CHECK(child, denied(syscall(SYS_execveat, AT_FDCWD, name, arguments, environ, 0)));
    CHECK(child, denied(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)));
    CHECK(child,
          denied(syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL)));
    CHECK(child, syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
    CHECK(child, denied(ptrace(PTRACE_TRACEME, 0, NULL, NULL)));
    CHECK(child, denied(kill(1, 0)));
    CHECK(child, denied(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0)));
    CHECK(child, denied(syscall(SYS_bpf, 0, NULL, 0)));
    CHECK(child, denied(syscall(SYS_unshare, CLONE_NEWUSER)));
    CHECK(child, denied(setpriority(PRIO_PROCESS, 0, 1)));
    CHECK(child, denied(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)));
}

static void try_executable_memory(struct child *child)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(child, page != MAP_FAILED);
    CHECK(child, denied(mprotect(page, 4096, PROT_READ | PROT_EXEC)));
    CHECK(child, denied(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC)));
    CHECK(child, denied(syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    CHECK(child, denied(syscall(SYS_pkey_mprotect, page, 4096, PROT_EXEC, -1)));
    munmap(page, 4096);
}

static void test_files_are_denied(void **state)
{
    (void)state;
    in_sandbox(SANDBOX_PARSER, try_files);
    in_sandbox(SANDBOX_MODEL, try_files);
    in_sandbox(SANDBOX_MODEL_GPU, try_files);
    in_sandbox(SANDBOX_PARSER, try_memory_files);
    in_sandbox(SANDBOX_MODEL, try_memory_files);
    in_sandbox(SANDBOX_MODEL_GPU, use_memory_file);
}

static void test_sockets_are_denied(void **state)
{
    (void)state;
    in_sandbox(SANDBOX_PARSER, try_sockets);
    in_sandbox(SANDBOX_MODEL_GPU, try_sockets);
}

static void test_processes_are_denied(void **state)
{
    (void)state;
    in_sandbox(SANDBOX_PARSER, try_processes);
    in_sandbox(SANDBOX_MODEL_GPU, try_processes);
}

static void test_executable_memory_is_denied(void **state)
{
    (void)state;
    in_sandbox(SANDBOX_PARSER, try_executable_memory);
    in_sandbox(SANDBOX_MODEL, try_executable_memory);
}

/* ---------------------------------------------------------------- what must work */

/* Allocates, writes and adds up: enough to make malloc map and unmap. */
static void *work(void *argument)
{
    uint64_t *sum = argument;
    for (size_t round = 1; round <= 64; round++) {
        size_t size = round * 16384;
        unsigned char *bytes = malloc(size);
        if (!bytes)
            return NULL;
        memset(bytes, (int)round, size);
        for (size_t i = 0; i < size; i += 4096)
            *sum += bytes[i];
        free(bytes);
    }
    return sum;
}

static uint64_t expected_sum(void)
{
    uint64_t sum = 0;
    for (uint64_t round = 1; round <= 64; round++)
        sum += round * (round * 16384 / 4096);
    return sum;
}

static void use_threads(struct child *child)
{
    pthread_t threads[THREADS];
    uint64_t sums[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        CHECK(child, pthread_create(&threads[i], NULL, work, &sums[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        CHECK(child, pthread_join(threads[i], &result) == 0);
        CHECK(child, result && sums[i] == expected_sum());
    }
}

static void use_descriptors(struct child *child)
{
    char text[64];
    CHECK(child, pread(child->data, text, sizeof(text), 0) > 0);
    struct pollfd writable = {.fd = child->fd, .events = POLLOUT};
    CHECK(child, poll(&writable, 1, 1000) == 1);
    /* Nothing is waiting on the pair: the parent says nothing. */
    CHECK(child, recv(child->fd, text, sizeof(text), MSG_DONTWAIT) < 0 && errno == EAGAIN);
    CHECK(child, fcntl(child->fd, F_GETFL) >= 0);
    int64_t before = clock_now_ns();
    struct timespec moment = {.tv_nsec = 1000};
    /* allow(nanosleep): not to wait, but to see that the call is permitted */
    CHECK(child, nanosleep(&moment, NULL) == 0);
    CHECK(child, clock_now_ns() > before);
}

static void use_process(struct child *child)
{
    use_threads(child);
    use_descriptors(child);
    struct rlimit core;
    CHECK(child, getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0);
    CHECK(child, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(child, prctl(PR_SET_NAME, "closed") == 0);
}

static void test_computing_still_works(void **state)
{
    (void)state;
    in_sandbox(SANDBOX_PARSER, use_process);
    in_sandbox(SANDBOX_MODEL, use_process);
    in_sandbox(SANDBOX_MODEL_GPU, use_process);
}

/* A thread that was there before the sandbox was closed, and tries a file after. */
struct early {
    pthread_barrier_t closed;
    int open_errno;
};

static void *try_early(void *argument)
{
    struct early *early = argument;
    pthread_barrier_wait(&early->closed);
    struct msg_probed probed;
    sandbox_probe(&probed);
    early->open_errno = probed.open_errno;
    return NULL;
}

static void close_with_thread(int fd)
{
    struct child child = {.kind = SANDBOX_MODEL, .fd = fd};
    struct early early = {.open_errno = -1};
    pthread_t thread;
    struct sandbox_report report;
    pthread_barrier_init(&early.closed, NULL, 2);
    CHECK(&child, pthread_create(&thread, NULL, try_early, &early) == 0);
    CHECK(&child, sandbox_close(child.kind, &report, NULL));
    pthread_barrier_wait(&early.closed);
    pthread_join(thread, NULL);
    CHECK(&child, early.open_errno == EPERM || early.open_errno == EACCES);
    _exit(child.failed ? 1 : 0);
}

static void test_threads_of_before_are_closed_too(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pair[0]);
        close_with_thread(pair[1]);
    }
    close(pair[1]);
    char said[1024];
    collect(pair[0], said, sizeof(said));
    close(pair[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_string_equal(said, "");
}

/* ---------------------------------------------------------------- while a model is read */

static void try_begun(struct child *child)
{
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    char text[16];
    CHECK(child, fd >= 0 && read(fd, text, sizeof(text)) > 0);
    void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0); /* as dlopen() does */
    CHECK(child, map != MAP_FAILED);
    CHECK(child, denied(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    CHECK(child, denied(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)));
    struct msg_probed probed;
    sandbox_probe(&probed);
    CHECK(child, probed.exec_errno == EPERM && probed.no_new_privileges);
    use_threads(child);
}

static void try_writing_when_begun(struct child *child)
{
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) <= 0)
        return; /* nothing but landlock denies this */
    CHECK(child, denied(open("/tmp/jarvis-sandbox-test", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
    CHECK(child, denied(open("/dev/null", O_WRONLY | O_CLOEXEC)));
    CHECK(child, denied(mkdir("/tmp/jarvis-sandbox-test", 0700)));
}

static void close_after_begin(struct child *child)
{
    struct sandbox_report report;
    CHECK(child, sandbox_close(SANDBOX_MODEL, &report, NULL));
    try_files(child);
    use_process(child);
}

static void test_a_model_can_be_read_and_nothing_told(void **state)
{
    (void)state;
    in_child((struct child){.begins = true}, try_begun);
    in_child((struct child){.begins = true}, try_writing_when_begun);
    in_child((struct child){.begins = true}, close_after_begin);
}

/* ---------------------------------------------------------------- the probe */

static void probe_closed(struct child *child)
{
    struct msg_probed probed;
    sandbox_probe(&probed);
    CHECK(child, probed.open_errno == EPERM || probed.open_errno == EACCES);
    CHECK(child, probed.socket_errno == EPERM);
    CHECK(child, probed.exec_errno == EPERM);
    CHECK(child, probed.no_new_privileges);
}

static void test_probe_tells_open_from_closed(void **state)
{
    (void)state;
    struct msg_probed probed;
    sandbox_probe(&probed);
    assert_int_equal(probed.open_errno, 0);
    assert_int_equal(probed.exec_errno, ENOENT);
    in_sandbox(SANDBOX_PARSER, probe_closed);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void fill_memory(struct child *child)
{
    size_t total = 0;
    size_t step = (size_t)64 << 20;
    while (total < SANDBOX_PARSER_MEMORY * 2) {
        void *block = mmap(NULL, step, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (block == MAP_FAILED)
            break;
        total += step;
    }
    CHECK(child, total >= SANDBOX_PARSER_MEMORY / 2);
    CHECK(child, total <= SANDBOX_PARSER_MEMORY);
}

static void test_memory_of_a_parser_is_limited(void **state)
{
    (void)state;
    in_sandbox(SANDBOX_PARSER, fill_memory);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_denied),
        cmocka_unit_test(test_sockets_are_denied),
        cmocka_unit_test(test_processes_are_denied),
        cmocka_unit_test(test_executable_memory_is_denied),
        cmocka_unit_test(test_computing_still_works),
        cmocka_unit_test(test_a_model_can_be_read_and_nothing_told),
        cmocka_unit_test(test_threads_of_before_are_closed_too),
        cmocka_unit_test(test_probe_tells_open_from_closed),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_memory_of_a_parser_is_limited),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
