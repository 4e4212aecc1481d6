/* SPDX-License-Identifier: MIT */
#pragma once

/* What a service manager is told of this daemon, and its watchdog's clock. */

#include "sup/sup.h"

/* Says READY, and from then on that the loop turns, as often as the manager wants to hear it.
 * *watchdog: NULL at first; to be freed by the caller. Without a manager nothing happens. */
void service_is_ready(sd_event *event, SupManager *sup, sd_event_source **watchdog);
