/* SPDX-License-Identifier: MIT */

/* All goes through the keeper, which is the service's main process: see keeper/notify.c. The
 * watchdog's word comes from a timer of the very loop that does the work; a thread of its own for
 * it would go on saying that all is well while the loop hangs.
 *
 * sd_event_set_watchdog() was rejected: it talks to the manager itself, which does not listen to us. */

#include "daemon/service.h"

#include "base/log.h"
#include "base/str.h"

#define WORDS 4 /* in the manager's patience; the keeper counts on it */

/* 0: nobody asks. Our pid is not WATCHDOG_PID, which names the keeper. */
static usec_t watchdog_interval(void) {
        const char *text = getenv("WATCHDOG_USEC");
        usec_t usec;

        if (!text || !getenv("NOTIFY_SOCKET") || str_to_u64(text, &usec) < 0)
                return 0;
        return usec / WORDS;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) sup_manager_notify(userdata, KEEPER_NOTIFY_WATCHDOG); /* a new keeper will ask again */
        int r = sd_event_source_set_time_relative(source, watchdog_interval());
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void service_is_ready(sd_event *event, SupManager *sup, sd_event_source **watchdog) {
        int r = sup_manager_notify(sup, KEEPER_NOTIFY_READY);
        if (r >= 0 && watchdog_interval() > 0 && !*watchdog)
                r = sd_event_add_time_relative(event, watchdog, CLOCK_MONOTONIC, 0, 0, on_time, sup);
        if (r < 0)
                (void) log_warning(r, "Cannot tell the service manager that all is well");
}
