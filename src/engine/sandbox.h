/* sandbox.h - what a worker gives up before and after it opens its model.
 *
 * Purpose: a worker reads files that nobody here wrote (a GGUF, a web page). Before it looks at a model file it gives up
 *   what no load needs: writing files, the network, other programs (sandbox_begin). When it has opened what it needs it
 *   closes the sandbox (sandbox_close), and from then on it can compute, allocate, start threads and talk over the
 *   descriptors that it holds, and nothing else: no file, no socket, no program, no new executable memory.
 * Layers:  no new privileges, not dumpable, no core file, few descriptors; landlock (every file access denied);
 *   seccomp with a list of allowed calls, every other call fails with EPERM. docs/SECURITY.md tells what each holds.
 * Owner:   nothing is allocated. There is no way back: the process lives with it until it ends.
 * Threads: call each once. Seccomp takes hold of every thread of the process; landlock of the calling thread and of
 *   those started later (of every thread from landlock's version 8 on), which is why seccomp denies the same.
 * Fails:   ERR_INTERNAL (a person must act) when seccomp or no_new_privs cannot be had: the worker should then
 *   refuse to work.
 *   A kernel without landlock is no failure; the report says so.
 *
 * Before closing, open what is needed later: /proc/self/statm to measure memory (pread stays allowed), the gconv
 * module of a charset (charset_open()), ggml's back ends. fork, and with it ggml's backtrace, does not work after.
 *
 * Builds with sanitizers: AddressSanitizer and ThreadSanitizer reserve terabytes of address space, so the limit on
 * it is left out. What their runtimes call while a program runs (mmap, madvise, futex, sched_yield) is on the list;
 * what they call to report is not, on purpose: a report comes without symbol names (the symbolizer would have to
 * be started), and since the leak check at exit would stop the process with ptrace, it runs when the sandbox begins.
 */
#ifndef JARVIS_ENGINE_SANDBOX_H
#define JARVIS_ENGINE_SANDBOX_H

#include <stdbool.h>

#include "base/err.h"
#include "ipc/protocol.h"

enum sandbox_kind {
    SANDBOX_MODEL, /* computes on the CPU */
    SANDBOX_MODEL_GPU, /* some layers on a GPU: its driver also needs ioctl, eventfd and code made at run time */
    SANDBOX_PARSER, /* as SANDBOX_MODEL, and at most SANDBOX_PARSER_MEMORY more than it holds now */
};

#define SANDBOX_PARSER_MEMORY (2ULL << 30) /* bytes of address space */

/* What is in force. */
struct sandbox_report {
    bool seccomp;
    bool landlock;
    int landlock_abi; /* of the kernel; 0 without landlock */
};

/* For the time in which a model file is read: files can be read and not written, no socket but socketpairs, no
 * program, no other process. Not with a GPU: its driver may want any of these. */
bool sandbox_begin(struct err *err);

bool sandbox_close(enum sandbox_kind kind, struct sandbox_report *ret, struct err *err);

/* Tries what a closed sandbox forbids and reports how it failed. Harmless when it is open: the file is closed
 * again, the socket too, and the program that it asks for does not exist (ENOENT instead of EPERM). */
void sandbox_probe(struct msg_probed *ret);

#endif
