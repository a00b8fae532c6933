/* How it works. The order matters: landlock and seccomp both ask for no_new_privs, and seccomp comes last because
 * it forbids the calls that set up the rest. Whatever the list of calls below lacks fails with EPERM instead of
 * ending the process, so that a library which tries something optional (name a thread, read /sys) carries on. */
#include "engine/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

/* ---------------------------------------------------------------- limits */

enum { DESCRIPTORS_MAX = 64 };

static bool limit(int resource, rlim_t most, struct err *err)
{
    struct rlimit now;
    bool ok = getrlimit(resource, &now) == 0;
    if (ok && now.rlim_max != RLIM_INFINITY && now.rlim_max < most)
        most = now.rlim_max;
    struct rlimit next = {.rlim_cur = most, .rlim_max = most};
    if (!ok || setrlimit(resource, &next) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot limit the resources of a worker");
    return true;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* Limits the address space to what the process has now (a GPU's back end alone may have reserved more than the
 * limit) and SANDBOX_PARSER_MEMORY. Where /proc does not tell, there is no limit: landlock and seccomp still hold. */
static bool limit_memory(struct err *err)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return true;
    char line[128] = "";
    bool known = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    rlim_t now = (rlim_t)strtoull(line, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE);
    return !known || now == 0 || limit(RLIMIT_AS, now + SANDBOX_PARSER_MEMORY, err);
}
#else
static bool limit_memory(struct err *err)
{
    (void)err;
    return true;
}
#endif

static bool set_limits(enum sandbox_kind kind, struct err *err)
{
    /* GPU drivers hold a descriptor for each buffer that they share. */
    if (kind != SANDBOX_MODEL_GPU && !limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, err))
        return false;
    return kind != SANDBOX_PARSER || limit_memory(err);
}

/* ---------------------------------------------------------------- landlock */

/* How many rights over files each version of landlock can deny; each is one bit, from bit 0 on. */
static uint64_t file_rights(int abi)
{
    static const int counts[] = {0, 13, 14, 15, 15, 16};
    int newest = (int)(sizeof(counts) / sizeof(*counts)) - 1;
    return (UINT64_C(1) << counts[abi < newest ? abi : newest]) - 1;
}

/* The rules as Linux 6.12 has them: written out here, so that the program also builds with older headers. An older
 * kernel accepts the longer struct as long as what it does not know is zero. */
struct landlock_rules {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

enum {
    LANDLOCK_TCP_ALL = 3,       /* bind and connect */
    LANDLOCK_ABSTRACT_UNIX = 1, /* connecting to abstract Unix sockets of other processes */
    LANDLOCK_ALL_THREADS = 8,   /* a flag of landlock_restrict_self */
    LANDLOCK_ABI_TCP = 4,
    LANDLOCK_ABI_SCOPES = 6,
    LANDLOCK_ABI_ALL_THREADS = 8,
};

/* Allows reading below `fd`, which stands for a folder. */
static bool allow_reading(int ruleset, int fd)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
                                                                LANDLOCK_ACCESS_FS_READ_DIR,
                                              .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

/* Denies every access to files (but reading, when that is asked for) and, where the kernel can, TCP. Returns the
 * version in force, 0 for none. */
static int close_landlock(bool reading)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi <= 0)
        return 0;
    struct landlock_rules rules = {
        .files = file_rights((int)abi),
        .network = abi >= LANDLOCK_ABI_TCP ? LANDLOCK_TCP_ALL : 0,
        .scopes = abi >= LANDLOCK_ABI_SCOPES ? LANDLOCK_ABSTRACT_UNIX : 0,
    };
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
    int root = reading ? open("/", O_PATH | O_CLOEXEC) : -1;
    bool ready = ruleset >= 0 && (!reading || (root >= 0 && allow_reading(ruleset, root)));
    unsigned flags = abi >= LANDLOCK_ABI_ALL_THREADS ? LANDLOCK_ALL_THREADS : 0;
    if (ready)
        ready = syscall(SYS_landlock_restrict_self, ruleset, flags) == 0;
    if (root >= 0)
        close(root);
    if (ruleset >= 0)
        close(ruleset);
    return ready ? (int)abi : 0;
}

/* ---------------------------------------------------------------- seccomp */

/* Calls that are allowed with any arguments: they reach only memory and threads of this process, the clock, and
 * descriptors that are open already. */
static const int allowed_calls[] = {
    /* memory; mmap and mprotect are below */
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mincore),
    SCMP_SYS(mlock),
    SCMP_SYS(mremap),
    SCMP_SYS(msync),
    SCMP_SYS(munlock),
    SCMP_SYS(munmap),
    /* threads; clone is below */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(getcpu),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(membarrier),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(set_tid_address),
    /* signals to itself; tgkill is below */
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    /* time, randomness, what the process has used */
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(nanosleep),
    SCMP_SYS(sysinfo),
    SCMP_SYS(time),
    SCMP_SYS(times),
    SCMP_SYS(uname),
    /* descriptors that are open */
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(fsync),
    SCMP_SYS(getsockopt),
    SCMP_SYS(lseek),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(shutdown),
    SCMP_SYS(write),
    SCMP_SYS(writev),
};

/* A call that is allowed when one argument, masked, has a value. */
struct allowed_use {
    int call;
    unsigned argument;
    uint64_t mask;
    uint64_t value;
};

#define WHOLE \
    UINT64_C(0xffffffff) /* the arguments compared are int: the upper half may hold anything */

static const struct allowed_use allowed_uses[] = {
    /* a thread, never a process */
    {SCMP_SYS(clone), 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM},
    {SCMP_SYS(prctl), 0, WHOLE, PR_SET_NAME},
    {SCMP_SYS(prctl), 0, WHOLE, PR_GET_NAME},
    {SCMP_SYS(prctl), 0, WHOLE, PR_GET_NO_NEW_PRIVS},
    {SCMP_SYS(prctl), 0, WHOLE, PR_SET_VMA},
    {SCMP_SYS(fcntl), 1, WHOLE, F_GETFL},
    {SCMP_SYS(fcntl), 1, WHOLE, F_SETFL},
    {SCMP_SYS(fcntl), 1, WHOLE, F_GETFD},
    {SCMP_SYS(fcntl), 1, WHOLE, F_SETFD},
    /* reading limits: no new limit is given */
    {SCMP_SYS(prlimit64), 2, UINT64_MAX, 0},
};

/* Fails with -EDOM for calls that another architecture lacks, which is fine. */
static int allow(scmp_filter_ctx filter, int call)
{
    int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
    return failed == -EDOM ? 0 : failed;
}

static int allow_use(scmp_filter_ctx filter, const struct allowed_use *use)
{
    struct scmp_arg_cmp compare = {.arg = use->argument,
                                   .op = SCMP_CMP_MASKED_EQ,
                                   .datum_a = use->mask,
                                   .datum_b = use->value};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, use->call, 1, &compare);
}

/* What only some kinds may do. Descriptors of a GPU are driven by ioctl and wait on eventfds; drivers compile
 * shaders when they are first used, and those that run on the CPU put machine code into memory; buffers that they share
 * with a device are files without a name, which must be given a length. */
static int allow_by_kind(scmp_filter_ctx filter, enum sandbox_kind kind)
{
    if (kind == SANDBOX_MODEL_GPU) {
        const int calls[] = {SCMP_SYS(ioctl),       SCMP_SYS(eventfd2),  SCMP_SYS(mmap),
                             SCMP_SYS(mprotect),    SCMP_SYS(fallocate), SCMP_SYS(ftruncate),
                             SCMP_SYS(memfd_create)};
        int failed = 0;
        for (size_t i = 0; i < sizeof(calls) / sizeof(*calls) && !failed; i++)
            failed = allow(filter, calls[i]);
        return failed;
    }
    const struct allowed_use map = {SCMP_SYS(mmap), 2, PROT_EXEC, 0};
    const struct allowed_use protect = {SCMP_SYS(mprotect), 2, PROT_EXEC, 0};
    int failed = allow_use(filter, &map);
    return failed ? failed : allow_use(filter, &protect);
}

static int fill_filter(scmp_filter_ctx filter, enum sandbox_kind kind)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; i < sizeof(allowed_calls) / sizeof(*allowed_calls) && !failed; i++)
        failed = allow(filter, allowed_calls[i]);
    for (size_t i = 0; i < sizeof(allowed_uses) / sizeof(*allowed_uses) && !failed; i++)
        failed = allow_use(filter, &allowed_uses[i]);
    /* abort() */
    const struct allowed_use abort_self = {SCMP_SYS(tgkill), 0, WHOLE, (uint64_t)getpid()};
    if (!failed)
        failed = allow_use(filter, &abort_self);
    /* clone3 takes its flags by pointer, which a filter cannot follow: libc then falls back to clone. */
    if (!failed)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return failed ? failed : allow_by_kind(filter, kind);
}

/* Puts a filter in force and frees it; `failed` tells what went wrong while it was filled. */
static bool load_filter(scmp_filter_ctx filter, int failed, struct err *err)
{
    if (!failed)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    if (failed)
        return err_set_errno(err, ERR_INTERNAL, -failed,
                             "cannot close the sandbox of a worker; the kernel must allow seccomp "
                             "filters (CONFIG_SECCOMP_FILTER)");
    return true;
}

static bool close_seccomp(enum sandbox_kind kind, struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return err_no_memory(err);
    return load_filter(filter, fill_filter(filter, kind), err);
}

/* What no load of a model on the CPU calls; all else stays allowed until the sandbox closes. */
static const int denied_calls[] = {
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(add_key),
    SCMP_SYS(bind),
    SCMP_SYS(bpf),
    SCMP_SYS(chroot),
    SCMP_SYS(connect),
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(kexec_load),
    SCMP_SYS(keyctl),
    SCMP_SYS(kill),
    SCMP_SYS(listen),
    SCMP_SYS(mount),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(pivot_root),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(ptrace),
    SCMP_SYS(request_key),
    SCMP_SYS(setns),
    SCMP_SYS(socket),
    SCMP_SYS(umount2),
    SCMP_SYS(unshare),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(vfork),
};

static int fill_begin_filter(scmp_filter_ctx filter)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; i < sizeof(denied_calls) / sizeof(*denied_calls) && !failed; i++) {
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied_calls[i], 0);
        failed = failed == -EDOM ? 0 : failed;
    }
    struct scmp_arg_cmp no_thread = {.op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_THREAD};
    if (!failed)
        failed =
            seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, &no_thread);
    return failed ? failed : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static bool begin_seccomp(struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return err_no_memory(err);
    return load_filter(filter, fill_begin_filter(filter), err);
}

/* ---------------------------------------------------------------- the whole */

/* The leak check of AddressSanitizer does its work once: see the header. */
static void check_leaks(void)
{
#if defined(__SANITIZE_ADDRESS__)
    __lsan_do_leak_check();
#endif
}

static bool give_up_privileges(struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot give up the worker's privileges");
    return limit(RLIMIT_CORE, 0, err);
}

bool sandbox_begin(struct err *err)
{
    check_leaks();
    if (!give_up_privileges(err))
        return false;
    close_landlock(true);
    return begin_seccomp(err);
}

bool sandbox_close(enum sandbox_kind kind, struct sandbox_report *ret, struct err *err)
{
    check_leaks();
    if (!give_up_privileges(err) || !set_limits(kind, err))
        return false;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot give up the worker's privileges");
    int abi = close_landlock(false);
    if (!close_seccomp(kind, err))
        return false;
    *ret = (struct sandbox_report){.seccomp = true, .landlock = abi > 0, .landlock_abi = abi};
    return true;
}

static int probe_open(void)
{
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int probe_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int probe_exec(void)
{
    char name[] = "/nonexistent/jarvis-probe";
    char *const arguments[] = {name, NULL};
    char *const environment[] = {NULL};
    execve(name, arguments, environment);
    return errno;
}

void sandbox_probe(struct msg_probed *ret)
{
    *ret = (struct msg_probed){
        .open_errno = probe_open(),
        .socket_errno = probe_socket(),
        .exec_errno = probe_exec(),
        .no_new_privileges = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
    };
}
