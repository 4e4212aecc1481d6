/* SPDX-License-Identifier: MIT */

/* A clock that can be put forward, for tests: loaded into the daemon by LD_PRELOAD.
 *
 * FAKE_CLOCK names a file of eight bytes, nanoseconds in the machine's own order, which are added
 * to every clock that the daemon reads. Timers at an absolute time are armed at the time that they
 * really have. What was armed before a jump is late by it, but sd-event looks at all its timers
 * whenever it wakes up: so whoever puts the clock forward sends a request afterwards. Other
 * programs that inherit the environment are left alone.
 *
 * A faster clock instead of jumps was rejected: time-outs of a few seconds would end requests that
 * are under way, and how far the work got would depend on the machine. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000LL

static const _Atomic int64_t *ahead;

__attribute__((constructor)) static void begin(void) {
        const char *path = getenv("FAKE_CLOCK");

        if (!path || strcmp(program_invocation_short_name, "agentd-daemon") != 0)
                return;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
                abort();
        ahead = p;
        close(fd);
}

static struct timespec moved(struct timespec t, int64_t nsec) {
        int64_t all = t.tv_sec * NSEC_PER_SEC + t.tv_nsec + nsec;

        return (struct timespec){ .tv_sec = all / NSEC_PER_SEC, .tv_nsec = all % NSEC_PER_SEC };
}

int clock_gettime(clockid_t id, struct timespec *t) {
        int r = (int) syscall(SYS_clock_gettime, id, t);

        if (r == 0 && ahead && id != CLOCK_PROCESS_CPUTIME_ID && id != CLOCK_THREAD_CPUTIME_ID)
                *t = moved(*t, *ahead);
        return r;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
        struct timespec now;

        (void) zone;
        clock_gettime(CLOCK_REALTIME, &now);
        *t = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
        return 0;
}

time_t time(time_t *t) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        if (t)
                *t = now.tv_sec;
        return now.tv_sec;
}

/* An absolute time in the past fires at once, as it should; zero would disarm. */
int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old) {
        struct itimerspec real = *new;
        bool armed = new->it_value.tv_sec != 0 || new->it_value.tv_nsec != 0;

        if (ahead && (flags & TFD_TIMER_ABSTIME) && armed) {
                real.it_value = moved(real.it_value, -*ahead);
                if (real.it_value.tv_sec < 0 ||
                    (real.it_value.tv_sec == 0 && real.it_value.tv_nsec <= 0))
                        real.it_value = (struct timespec){ .tv_nsec = 1 };
        }
        return (int) syscall(SYS_timerfd_settime, fd, flags, &real, old);
}
