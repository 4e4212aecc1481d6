/* SPDX-License-Identifier: MIT */

/* The word to a service manager (sd_notify(3)), and its watchdog.
 *
 * The keeper is the service's main process and the only one that the manager shall listen to:
 * agents live in the same service, and what one of them sends to the manager's socket must count
 * for nothing. So the daemon's words come here first. They are an enum and not text: the daemon
 * talks to clients, and a text that goes on to the manager could move the main pid.
 *
 * The manager's watchdog ends the whole service, agents included. A daemon that hangs is no reason
 * for that: two of its words missing, and it is killed and started again like any dead daemon. The
 * manager's patience ends only when this process hangs. While a daemon is being started, which may
 * take as long as its database is large, we give the word for it.
 *
 * libsystemd was rejected here for its footprint; the protocol is one datagram. */

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/str.h"
#include "keeper/keeper-internal.h"

void keeper_notify(const char *text) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        _cleanup_close_ int fd = -EBADF;
        size_t n;

        if (!path || (path[0] != '/' && path[0] != '@'))
                return;
        n = strlen(path);
        if (n < 2 || n >= sizeof(address.sun_path))
                return;
        memcpy(address.sun_path, path, n);
        if (path[0] == '@')
                address.sun_path[0] = '\0';
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return;
        (void) sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                      (struct sockaddr *) &address,
                      (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n));
}

static void alive(Keeper *k) {
        k->watchdog.patience = clock_monotonic() + k->watchdog.interval / 2;
        k->watchdog.next = USEC_INFINITY;
        keeper_notify("WATCHDOG=1");
}

static bool is_leaving(const Keeper *k) {
        return k->quitting || k->term_at != USEC_INFINITY;
}

void keeper_notify_of_daemon(Keeper *k, uint32_t what) {
        char text[64];

        switch ((KeeperNotify) what) {
        case KEEPER_NOTIFY_READY:
                keeper_notify("READY=1");
                return;
        case KEEPER_NOTIFY_RELOADING: /* the time is for Type=notify-reload */
                (void) snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lu",
                                (unsigned long) clock_monotonic());
                keeper_notify(text);
                return;
        case KEEPER_NOTIFY_WATCHDOG:
                if (k->watchdog.interval > 0 && !is_leaving(k))
                        alive(k);
                return;
        }
        (void) log_error(0, "unknown word %u from the daemon", (unsigned) what);
}

void keeper_watchdog_init(Keeper *k) {
        const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
        uint64_t interval, whom = (uint64_t) getpid();

        k->watchdog.next = k->watchdog.patience = USEC_INFINITY;
        if (!usec || str_to_u64(usec, &interval) < 0 || interval == USEC_INFINITY)
                return;
        if (pid && (str_to_u64(pid, &whom) < 0 || whom != (uint64_t) getpid()))
                return; /* meant for whoever started us */
        k->watchdog.interval = interval;
}

void keeper_watchdog_rest(Keeper *k) {
        if (k->watchdog.interval == 0)
                return;
        k->watchdog.patience = USEC_INFINITY;
        k->watchdog.next = is_leaving(k) ? USEC_INFINITY : clock_monotonic();
}

usec_t keeper_watchdog_deadline(const Keeper *k) {
        return k->watchdog.interval > 0 ? MIN(k->watchdog.next, k->watchdog.patience) : USEC_INFINITY;
}

void keeper_watchdog_tick(Keeper *k, usec_t now) {
        if (k->watchdog.interval == 0)
                return;
        if (k->watchdog.patience <= now) {
                (void) log_warning(0, "the daemon hangs");
                k->daemon.kill_at = now;
                keeper_watchdog_rest(k);
        }
        if (k->watchdog.next <= now) {
                keeper_notify("WATCHDOG=1");
                k->watchdog.next = now + k->watchdog.interval / 4;
        }
}
