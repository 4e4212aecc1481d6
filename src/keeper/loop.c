/* SPDX-License-Identifier: MIT */

/* The loop: plain epoll, level-triggered, one thread.
 *
 * libsystemd's event loop was rejected for its footprint: the keeper shall stay below a MiB of its
 * own. Events carry a packed key instead of a pointer, with the generation of the run's slot,
 * because a slot may be freed and taken again while later events of the same epoll_wait() still
 * wait for their turn.
 *
 * The FIFOs lie in an epoll of their own that is itself watched by the first: so a thousand
 * chatting agents are served in small portions, between which signals, exits and the daemon come
 * first. Level-triggered events are rotated by the kernel, so every FIFO gets its turn. */

#include "base/log.h"
#include "keeper/keeper-internal.h"

#define EVENTS_MAX        16
#define OUTPUT_EVENTS_MAX 8
#define RETRY_USEC        USEC_PER_SEC /* between two tries of what did not work (behind) */

uint64_t keeper_key_pack(KeeperKey key) {
        return (uint64_t) key.source << 56 | (uint64_t) (key.stream & 1) << 55 |
               (uint64_t) (key.generation & KEEPER_GENERATION_MASK) << 32 | key.index;
}

KeeperKey keeper_key_unpack(uint64_t packed) {
        return (KeeperKey){
                .source = (KeeperSource) (packed >> 56),
                .stream = (unsigned) (packed >> 55) & 1,
                .generation = (unsigned) (packed >> 32) & KEEPER_GENERATION_MASK,
                .index = (unsigned) packed,
        };
}

int keeper_watch(int epoll, int fd, uint32_t events, KeeperKey key) {
        struct epoll_event event = { .events = events, .data.u64 = keeper_key_pack(key) };

        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0)
                return 0;
        if (errno != EEXIST)
                return errno_neg();
        return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) < 0 ? errno_neg() : 0;
}

void keeper_unwatch(int epoll, int fd) {
        if (fd >= 0)
                (void) epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
}

static void outputs_event(Keeper *k) {
        struct epoll_event events[OUTPUT_EVENTS_MAX];
        int n;

        n = epoll_wait(k->outputs, events, OUTPUT_EVENTS_MAX, 0);
        for (int i = 0; i < n; i++) {
                KeeperKey key = keeper_key_unpack(events[i].data.u64);
                KeeperRun *r = keeper_run_of(k, key);

                if (r)
                        keeper_output_turn(k, r, key.stream);
        }
}

static void run_event(Keeper *k, KeeperKey key, uint32_t events) {
        KeeperRun *r = keeper_run_of(k, key);

        if (!r)
                return;
        if (key.source == KEEPER_SOURCE_STATUS)
                keeper_run_status(k, r);
        else
                keeper_run_leader_gone(k, r, events & EPOLLHUP);
}

static void dispatch(Keeper *k, KeeperKey key, uint32_t events) {
        switch (key.source) {
        case KEEPER_SOURCE_SIGNALS:
                keeper_signals_event(k);
                break;
        case KEEPER_SOURCE_LINK:
                keeper_link_event(k, events);
                break;
        case KEEPER_SOURCE_DAEMON:
                keeper_daemon_gone(k, -1);
                break;
        case KEEPER_SOURCE_STATUS:
        case KEEPER_SOURCE_LEADER:
                run_event(k, key, events);
                break;
        case KEEPER_SOURCE_OUTPUTS:
                outputs_event(k);
                break;
        case KEEPER_SOURCE_LISTEN:
                keeper_control_accept(k);
                break;
        case KEEPER_SOURCE_CONTROL:
                keeper_control_event(k, key);
                break;
        case KEEPER_SOURCE_FIFO: /* only in the inner epoll */
                break;
        }
}

/* Milliseconds, rounded up: a timer that fires early would spin until it is due. */
static int wait_msec(const Keeper *k, usec_t retry_at) {
        usec_t deadline = MIN(keeper_daemon_deadline(k), keeper_watchdog_deadline(k)), now;

        if (k->behind)
                deadline = MIN(deadline, retry_at);
        if (deadline == USEC_INFINITY)
                return -1;
        now = clock_monotonic();
        if (deadline <= now)
                return 0;
        return (int) MIN((deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC, (usec_t) 3600000);
}

static bool may_leave(const Keeper *k) {
        if (k->leave)
                return true;
        if (!k->quitting || k->daemon.pid != 0)
                return false;
        if (!k->keep_runs)
                return true;
        /* Whoever ends us by a signal shall not have to wait for a disk. */
        return !keeper_any_run_lives(k) &&
               (k->term_at != USEC_INFINITY || !keeper_output_any_held(k));
}

int keeper_loop(Keeper *k) {
        usec_t retry_at = 0;

        while (!may_leave(k)) {
                struct epoll_event events[EVENTS_MAX];
                int n;

                n = epoll_wait(k->epoll, events, EVENTS_MAX, wait_msec(k, retry_at));
                if (n < 0 && errno != EINTR)
                        return log_error(errno, "waiting for events failed");
                for (int i = 0; i < n; i++)
                        dispatch(k, keeper_key_unpack(events[i].data.u64), events[i].events);
                keeper_watchdog_tick(k, clock_monotonic());
                if (k->behind && clock_monotonic() >= retry_at) {
                        keeper_output_retry(k); /* clears it */
                        keeper_leaders_retry(k);
                        retry_at = clock_monotonic() + RETRY_USEC;
                }
                keeper_daemon_tick(k, clock_monotonic());
                keeper_link_flush(k);
        }
        return 0;
}
