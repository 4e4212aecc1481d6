/* SPDX-License-Identifier: MIT */

/* The runtime folder's lock.
 *
 * One keeper a folder: an open-file-description lock on keeper.lock, which the kernel drops with
 * the process whatever kills it (a pid file would have to be believed). The pid inside is for
 * people and for the message only. A new keeper that takes over may find its predecessor still
 * dying, or one of its children between fork and exec with a copy of the descriptor: so it waits,
 * with an alarm instead of a poll. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/log.h"
#include "keeper/keeper-internal.h"

#define LOCK_WAIT_SEC 5

static void on_alarm(int signo _unused_) {}

static int lock_wait(int fd) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct sigaction action = { .sa_handler = on_alarm }, before;
        struct itimerval timer = { .it_value.tv_sec = LOCK_WAIT_SEC,
                                   .it_interval.tv_usec =
                                           100000 /* should the first come too early */ };
        struct itimerval off = {};
        int r = 0;

        if (sigaction(SIGALRM, &action, &before) < 0 || setitimer(ITIMER_REAL, &timer, NULL) < 0)
                return errno_neg();
        if (fcntl(fd, F_OFD_SETLKW, &lock) < 0)
                r = errno == EINTR ? -EAGAIN : errno_neg();
        (void) setitimer(ITIMER_REAL, &off, NULL);
        (void) sigaction(SIGALRM, &before, NULL);
        return r;
}

static int lock_now(int fd) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? errno_neg() : 0;
}

static int explain_busy(const Keeper *k) {
        char text[16] = "";
        ssize_t n;

        n = pread(k->lock, text, sizeof(text) - 1, 0);
        text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
        return log_error(-EBUSY, "keeper %s runs in %s already", text[0] ? text : "(unknown)",
                         k->options.runtime_dir);
}

int keeper_runtime_lock(Keeper *k) {
        char text[16];
        int r, n;

        k->dir = open(k->options.runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (k->dir < 0)
                return log_error(errno, "cannot open %s", k->options.runtime_dir);
        k->lock = openat(k->dir, "keeper.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (k->lock < 0)
                return log_error(errno, "cannot open %s/keeper.lock", k->options.runtime_dir);
        r = k->options.adopt_fd >= 0 ? lock_wait(k->lock) : lock_now(k->lock);
        if (r == -EAGAIN || r == -EACCES)
                return explain_busy(k);
        if (r < 0)
                return log_error(r, "cannot lock %s/keeper.lock", k->options.runtime_dir);
        n = snprintf(text, sizeof(text), "%d\n", (int) getpid());
        if (ftruncate(k->lock, 0) < 0 || pwrite(k->lock, text, (size_t) n, 0) != n)
                return log_error(errno, "cannot write %s/keeper.lock", k->options.runtime_dir);
        return 0;
}
