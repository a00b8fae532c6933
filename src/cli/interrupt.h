/* interrupt.h - Ctrl-C as something to wait for, instead of the end of the program.
 *
 * Between begin and end SIGINT makes `fd` readable and does nothing else.
 * Owner:   the caller, who ends what it began. Threads: the main thread, which is the only one with
 *   signals open.
 * Fails:   begin only, when descriptors run out; nothing has changed then.
 */
#ifndef JARVIS_CLI_INTERRUPT_H
#define JARVIS_CLI_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

#include "base/err.h"

struct interrupt {
    int fd;
    sigset_t before;
};

bool interrupt_begin(struct interrupt *interrupt, struct err *err);

/* Forgets a Ctrl-C that nobody has looked at. */
void interrupt_end(struct interrupt *interrupt);

#endif
