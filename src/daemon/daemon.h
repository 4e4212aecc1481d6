/* SPDX-License-Identifier: MIT */
#pragma once

/* The daemon: the only place that connects the rooms. daemon_new() opens everything in the order in which it
 * depends on each other, daemon_run() is the loop's life, daemon_free() closes in reverse. */

#include <systemd/sd-event.h>

#include "contract/config-keys.h"

typedef struct Daemon Daemon;

typedef struct DaemonArgs {
        DaemonConfig *config;              /* must live as long as the daemon, which changes it */
        const struct ConfigSource *source; /* where it came from; likewise */
        int keeper_fd;                     /* SEQPACKET to the keeper */
        const int *listen_fds;
        size_t n_listen_fds;
        char *const *argv; /* for a new keeper, to start us again */
} DaemonArgs;

/* What failed was logged. */
int daemon_new(Daemon **ret, const DaemonArgs *args);
Daemon *daemon_free(Daemon *d);
DEFINE_CLEANUP(Daemon *, daemon_free);
/* Until a graceful stop is complete. */
int daemon_run(Daemon *d);
