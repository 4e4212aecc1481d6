/* SPDX-License-Identifier: MIT */

/* glibc knows the names, but not the way back, and neither way for real-time signals: their numbers
 * are known at run time only and are written from either end of the range, as kill(1) does. Names
 * are read in either case and with or without SIG, because people write all of it. */

#include "base/signal-name.h"

#include <signal.h>
#include <stdio.h>
#include <strings.h>

#include "base/str.h"

static int realtime_from_string(const char *s, int *ret) {
        bool from_max = strncasecmp(s, "RTMAX", 5) == 0;
        int base = from_max ? SIGRTMAX : SIGRTMIN;
        uint64_t offset = 0;

        if (!from_max && strncasecmp(s, "RTMIN", 5) != 0)
                return -EINVAL;
        s += 5;
        if (*s != '\0') {
                if (*s != (from_max ? '-' : '+') || str_to_u64(s + 1, &offset) < 0)
                        return -EINVAL;
                if (offset > (uint64_t) (SIGRTMAX - SIGRTMIN))
                        return -EINVAL;
        }
        *ret = from_max ? base - (int) offset : base + (int) offset;
        return 0;
}

int signal_from_string(const char *s, int *ret) {
        uint64_t n;

        if (str_to_u64(s, &n) == 0) {
                if (n < 1 || n > SIGNAL_MAX)
                        return -EINVAL;
                *ret = (int) n;
                return 0;
        }
        if (strncasecmp(s, "SIG", 3) == 0)
                s += 3;
        for (int i = 1; i < NSIG; i++) {
                const char *name = sigabbrev_np(i);
                if (name && strcasecmp(name, s) == 0) {
                        *ret = i;
                        return 0;
                }
        }
        return realtime_from_string(s, ret);
}

const char *signal_to_string(int signo, char buf[static SIGNAL_NAME_SIZE]) {
        const char *name = sigabbrev_np(signo);
        if (name)
                (void) snprintf(buf, SIGNAL_NAME_SIZE, "SIG%s", name);
        else if (signo >= SIGRTMIN && signo <= SIGRTMAX)
                (void) snprintf(buf, SIGNAL_NAME_SIZE, "SIGRTMIN+%d", signo - SIGRTMIN);
        else
                (void) snprintf(buf, SIGNAL_NAME_SIZE, "signal %d", signo);
        return buf;
}
