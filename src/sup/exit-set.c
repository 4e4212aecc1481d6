/* SPDX-License-Identifier: MIT */

/* Exit statuses and signals as bit sets: membership is one shift, a set is forty bytes, and copying
 * it into a run's spec needs no memory.
 *
 * Numbers are exit statuses, names are signals, as systemd reads them: `SuccessExitStatus=9` is the
 * status 9 and not SIGKILL. Names of statuses (`TEMPFAIL`) are left out: a word that is no signal
 * is far more often a typo than sysexits.h. */

#include "sup/exit-set.h"

#include "base/signal-name.h"
#include "base/str.h"

int sup_exit_set_add(SupExitSet *set, const char *word) {
        uint64_t n;
        int signo;

        if (str_to_u64(word, &n) == 0) {
                if (n > 255)
                        return -EINVAL;
                set->status[n / 64] |= UINT64_C(1) << (n % 64);
                return 0;
        }
        if (signal_from_string(word, &signo) < 0)
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
