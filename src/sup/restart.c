/* SPDX-License-Identifier: MIT */

/* The restart policy: a pure function of the unit, of what has been, and of how the run ended; so it is
 * tested by calling it.
 *
 * Order of the questions, as in systemd's service_shall_restart(): was a stop asked for; is this status
 * excluded; what does the policy say of this class of end. Then the start limit, then the delay:
 *
 *     delay = first * (longest / first) ^ (restarts / steps)      (systemd's RestartSteps=)
 *
 * with up to 25 % added at random (Nomad's figure), so that a hundred agents that died of one
 * cause do not come back at one instant. Jitter is added and never taken away: RestartSec= is a minimum.
 *
 * The back-off forgets after ten good minutes: counters that never forget are what people complain of
 * most (systemd #43813). The start limit counts starts, the first one included, in a fixed window that
 * begins with its first start; a sliding window would need a list in the store. */

#include <math.h>

#include "sup/exit-set.h"

#define GOOD_RUN_USEC (10 * USEC_PER_MINUTE)

static bool is_abnormal(SupResult result) {
        switch (result) {
        case SUP_RESULT_SIGNAL:
        case SUP_RESULT_CORE_DUMP:
        case SUP_RESULT_TIMEOUT:
        case SUP_RESULT_LOST:
        case SUP_RESULT_UNKNOWN:
                return true;
        case SUP_RESULT_SUCCESS:
        case SUP_RESULT_EXIT_CODE:
        case SUP_RESULT_EXEC:
        case _SUP_RESULT_MAX:
        case _SUP_RESULT_INVALID:
                break;
        }
        return false;
}

/* Could not be started, for a reason that stands in the unit or in the file system and does not
 * pass by itself, as want of memory or of processes does. systemd makes no difference: it starts
 * such a unit (status 203/EXEC) again like one that crashed, until its start limit. Ten tries of a
 * misspelt command tell nobody more than one, and the reason is gone from sight meanwhile. */
static bool is_hopeless(const SupExit *exit) {
        static const int errors[] = { ENOENT, EACCES, EPERM, ENOEXEC,      ENOTDIR, EISDIR,
                                      ELOOP,  EINVAL, E2BIG, ENAMETOOLONG, ELIBBAD };

        if (exit->result != SUP_RESULT_EXEC)
                return false;
        ARRAY_FOREACH(e, errors)
                if (*e == exit->exec_error)
                        return true;
        return false;
}

static bool policy_wants(SupRestart policy, SupResult result) {
        assert(policy >= 0 && policy < _SUP_RESTART_MAX);
        switch (policy) {
        case SUP_RESTART_ON_SUCCESS:
                return result == SUP_RESULT_SUCCESS;
        case SUP_RESTART_ON_FAILURE:
                return result != SUP_RESULT_SUCCESS;
        case SUP_RESTART_ON_ABNORMAL:
                return is_abnormal(result);
        case SUP_RESTART_ALWAYS:
                return true;
        case SUP_RESTART_NO:
        case _SUP_RESTART_MAX:
        case _SUP_RESTART_INVALID:
                break;
        }
        return false;
}

/* Counts the start that would come now. */
static bool limit_hit(const SupSpec *spec, SupRestartState *state, usec_t started_at, usec_t now) {
        if (spec->start_limit_burst == 0 || spec->start_limit_interval_usec == 0)
                return false;
        if (state->window_start == 0 || state->window_count == 0) {
                state->window_start = started_at > 0 && started_at <= now ? started_at : now;
                state->window_count = 1;
        }
        if (now < state->window_start ||
            now - state->window_start >= spec->start_limit_interval_usec) {
                state->window_start = now;
                state->window_count = 0;
        }
        if (state->window_count >= spec->start_limit_burst)
                return true;
        state->window_count++;
        return false;
}

static usec_t back_off(const SupSpec *spec, unsigned restarts) {
        double first = (double) spec->restart_usec, longest = (double) spec->restart_max_delay_usec;

        if (spec->restart_steps == 0 || spec->restart_usec == 0 || longest <= first)
                return spec->restart_usec;
        if (restarts >= spec->restart_steps)
                return spec->restart_max_delay_usec;
        return (usec_t) (first * pow(longest / first, (double) restarts / spec->restart_steps));
}

static usec_t add_jitter(usec_t delay, uint64_t random) {
        usec_t range = delay / 4;
        return delay + (range > 0 ? random % (range + 1) : 0);
}

SupAction sup_restart_decide(const SupSpec *spec,
                             SupRestartState *state,
                             const SupExit *exit,
                             usec_t started_at,
                             usec_t now,
                             uint64_t random,
                             usec_t *ret_delay) {
        SupAction otherwise = exit->result == SUP_RESULT_SUCCESS ? SUP_ACTION_STOP : SUP_ACTION_FAIL;

        if (exit->stop_was_asked)
                return SUP_ACTION_STOP;
        if (sup_exit_set_matches(&spec->restart_prevent, exit))
                return otherwise;
        if (!policy_wants(spec->restart, exit->result))
                return otherwise;
        if (is_hopeless(exit))
                return SUP_ACTION_GIVE_UP;
        if (started_at > 0 && exit->time >= started_at && exit->time - started_at >= GOOD_RUN_USEC)
                state->restarts = 0;
        if (limit_hit(spec, state, started_at, now))
                return SUP_ACTION_START_LIMIT;
        *ret_delay = add_jitter(back_off(spec, state->restarts), random);
        state->restarts++;
        return SUP_ACTION_RESTART;
}
