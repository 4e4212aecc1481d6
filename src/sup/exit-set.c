/* SPDX-License-Identifier: MIT */

/* Exit statuses and signals as bit sets: membership is one shift, a set is forty bytes, and copying
 * it into a run's spec needs no memory.
 *
 * Numbers are exit statuses, names are signals, as systemd reads them: `SuccessExitStatus=9` is the
 * status 9 and not SIGKILL. Names of statuses (`TEMPFAIL`) are left out: a word that is no signal
 * is far more often a typo than sysexits.h. */

#include "sup/exit-set.h"

#include <signal.h>
#include <stdio.h>
#include <strings.h>

#include "base/str.h"

#define SIGNAL_MAX 64

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

int sup_signal_from_string(const char *s, int *ret) {
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

const char *sup_signal_to_string(int signo, char buf[static SUP_SIGNAL_NAME_SIZE]) {
        const char *name = sigabbrev_np(signo);
        if (name)
                (void) snprintf(buf, SUP_SIGNAL_NAME_SIZE, "SIG%s", name);
        else if (signo >= SIGRTMIN && signo <= SIGRTMAX)
                (void) snprintf(buf, SUP_SIGNAL_NAME_SIZE, "SIGRTMIN+%d", signo - SIGRTMIN);
        else
                (void) snprintf(buf, SUP_SIGNAL_NAME_SIZE, "signal %d", signo);
        return buf;
}

int sup_exit_set_add(SupExitSet *set, const char *word) {
        uint64_t n;
        int signo;

        if (str_to_u64(word, &n) == 0) {
                if (n > 255)
                        return -EINVAL;
                set->status[n / 64] |= UINT64_C(1) << (n % 64);
                return 0;
        }
        if (sup_signal_from_string(word, &signo) < 0)
                return -EINVAL;
        set->signals |= UINT64_C(1) << (signo - 1);
        return 0;
}

bool sup_exit_set_has_status(const SupExitSet *set, int status) {
        return status >= 0 && status <= 255 &&
               (set->status[status / 64] & (UINT64_C(1) << (status % 64))) != 0;
}

bool sup_exit_set_has_signal(const SupExitSet *set, int signo) {
        return signo >= 1 && signo <= SIGNAL_MAX &&
               (set->signals & (UINT64_C(1) << (signo - 1))) != 0;
}

bool sup_exit_set_matches(const SupExitSet *set, const SupExit *exit) {
        if (exit->exit_signal > 0)
                return sup_exit_set_has_signal(set, exit->exit_signal);
        return sup_exit_set_has_status(set, exit->exit_code);
}
