#include "cli/interrupt.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

bool interrupt_begin(struct interrupt *interrupt, struct err *err)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    int fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot watch for Ctrl-C");
    pthread_sigmask(SIG_BLOCK, &wanted, &interrupt->before);
    interrupt->fd = fd;
    return true;
}

void interrupt_end(struct interrupt *interrupt)
{
    struct signalfd_siginfo pending;
    while (read(interrupt->fd, &pending, sizeof(pending)) > 0)
        continue;
    close(interrupt->fd);
    pthread_sigmask(SIG_SETMASK, &interrupt->before, NULL);
}
