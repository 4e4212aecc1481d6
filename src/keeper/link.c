/* SPDX-License-Identifier: MIT */

/* The connection to the daemon.
 *
 * Nothing is queued: what is to be told stands as a flag in the table or here, and link_next()
 * turns the first flag into a message when the socket has room. A daemon that does not read costs
 * us nothing, and the send never blocks. Order: HELLO, the slots, SLOTS_END, then events; between
 * events of different runs there is none.
 *
 * Messages from the daemon are checked, not trusted: an unknown type, a missing descriptor or an
 * unknown run is logged and has no other effect. The one answer that belongs to no slot (SPAWN with
 * a full table) has one place; until it is sent, no further message is read. */

#include <signal.h>
#include <sys/pidfd.h>

#include "base/log.h"
#include "exec/job.h"
#include "keeper/keeper-internal.h"

#define MESSAGES_PER_TURN 64

static int watch(Keeper *k) {
        KeeperLink *l = &k->link;
        uint32_t events = (l->pend_refused ? 0 : EPOLLIN) | (l->writable ? 0 : EPOLLOUT);

        return keeper_watch(k->epoll, l->fd, events, (KeeperKey){ .source = KEEPER_SOURCE_LINK });
}

int keeper_link_open(Keeper *k, int fd) {
        int r;

        k->link = (KeeperLink){
                .fd = fd,
                .writable = true,
                .pend_hello = true,
                .pend_end = true,
                .pend_reload = k->link.pend_reload, /* asked for while nobody was there */
        };
        r = watch(k);
        if (r < 0) {
                k->link.fd = -EBADF;
                return r;
        }
        for (unsigned i = 0; i < k->high; i++) {
                KeeperRun *run = &k->runs[i];

                if (!run->used)
                        continue;
                keeper_run_pend(k, run, &run->pend_slot, true);
                keeper_run_pend(k, run, &run->pend_started, false);
                keeper_run_pend(k, run, &run->pend_output, run->held_error != 0);
                keeper_run_pend(k, run, &run->pend_end, run->slot.state == KEEPER_RUN_FAILED);
        }
        return 0;
}

void keeper_link_close(Keeper *k) {
        keeper_unwatch(k->epoll, k->link.fd);
        k->link.fd = fd_close(k->link.fd);
}

/* ---- to the daemon ---- */

typedef struct Item {
        KeeperMsg msg;
        KeeperRun *run; /* or NULL */
        bool *flag;     /* to clear when it is sent */
} Item;

static KeeperSlot slot_of(const KeeperRun *r) {
        KeeperSlot slot = r->slot;

        if (keeper_run_has_ended(r))
                slot.time_usec = r->ended_usec;
        return slot;
}

static Item hello(Keeper *k) {
        return (Item){
                .msg = { .type = KEEPER_HELLO,
                         .hello = { .version = KEEPER_PROTOCOL_VERSION,
                                    .pid = getpid(),
                                    .max_runs = k->max_runs,
                                    .n_slots = k->n_used,
                                    .started_usec = k->started_usec,
                                    .drop_output = k->drop_output } },
                .flag = &k->link.pend_hello,
        };
}

static Item run_item(KeeperRun *r) {
        if (r->pend_slot)
                return (Item){ .msg = { .type = KEEPER_SLOT, .slot = slot_of(r) },
                               .run = r,
                               .flag = &r->pend_slot };
        if (r->pend_started) {
                Item item = { .msg = { .type = KEEPER_STARTED, .slot = r->slot },
                              .run = r,
                              .flag = &r->pend_started };

                /* Even when it has ended since: that is said by the next message. */
                item.msg.slot.state = KEEPER_RUN_ALIVE;
                item.msg.slot.exit_code = -1;
                item.msg.slot.exit_signal = 0;
                return item;
        }
        if (r->pend_output)
                return (Item){ .msg = { .type = KEEPER_OUTPUT,
                                        .output = { .run = r->slot.run,
                                                    .error = r->held_error,
                                                    .since_usec = r->held_usec } },
                               .run = r,
                               .flag = &r->pend_output };
        if (r->slot.state == KEEPER_RUN_FAILED)
                return (Item){ .msg = { .type = KEEPER_FAILED,
                                        .failed = { .run = r->slot.run,
                                                    .step = r->fail_step,
                                                    .error = r->fail_error } },
                               .run = r,
                               .flag = &r->pend_end };
        return (Item){ .msg = { .type = KEEPER_EXITED, .slot = slot_of(r) },
                       .run = r,
                       .flag = &r->pend_end };
}

/* The next run with something pending (only a SLOT, if slots is set), from where the last search ended. */
static KeeperRun *next_run(Keeper *k, bool slots) {
        if (k->n_pending == 0)
                return NULL;
        for (unsigned n = 0; n < k->high; n++) {
                KeeperRun *r = &k->runs[k->link.cursor % k->high];

                if (r->used &&
                    (r->pend_slot || (!slots && (r->pend_started || r->pend_output || r->pend_end))))
                        return r;
                k->link.cursor = (k->link.cursor + 1) % k->high;
        }
        return NULL;
}

static bool link_next(Keeper *k, Item *ret) {
        KeeperLink *l = &k->link;
        KeeperRun *r;

        if (l->pend_hello) {
                *ret = hello(k);
                return true;
        }
        r = next_run(k, l->pend_end);
        if (l->pend_end && !r)
                *ret = (Item){ .msg = { .type = KEEPER_SLOTS_END }, .flag = &l->pend_end };
        else if (!l->pend_end && l->pend_terminate)
                *ret = (Item){ .msg = { .type = KEEPER_TERMINATE }, .flag = &l->pend_terminate };
        else if (!l->pend_end && l->pend_reload)
                *ret = (Item){ .msg = { .type = KEEPER_RELOAD }, .flag = &l->pend_reload };
        else if (!l->pend_end && l->pend_refused)
                *ret = (Item){ .msg = l->refused, .flag = &l->pend_refused };
        else if (r)
                *ret = run_item(r);
        else
                return false;
        return true;
}

static void sent(Keeper *k, const Item *item) {
        KeeperRun *r = item->run;

        if (!r) {
                *item->flag = false;
                return;
        }
        keeper_run_pend(k, r, item->flag, false);
        if (item->msg.type == KEEPER_SLOT) {
                /* It said all that the others would, but for a failure's step. */
                keeper_run_pend(k, r, &r->pend_started, false);
                if (r->slot.state != KEEPER_RUN_FAILED)
                        keeper_run_pend(k, r, &r->pend_end, false);
        }
}

void keeper_link_flush(Keeper *k) {
        KeeperLink *l = &k->link;
        bool reading = !l->pend_refused;
        Item item;
        int r = 0;

        if (l->fd < 0 || !l->writable)
                return;
        while (link_next(k, &item)) {
                r = keeper_msg_send(l->fd, &item.msg, NULL, 0);
                if (r < 0)
                        break;
                sent(k, &item);
        }
        if (keeper_msg_is_later(r))
                l->writable = false;
        /* Any other error: the other side is gone, which its hang-up will tell. */
        if (!l->writable || reading != !l->pend_refused)
                (void) watch(k);
}

/* ---- from the daemon ---- */

static void refuse(Keeper *k, uint64_t run, int error) {
        k->link.refused = (KeeperMsg){
                .type = KEEPER_FAILED,
                .failed = { .run = run, .step = EXEC_STEP_JOB, .error = error },
        };
        k->link.pend_refused = true;
        (void) watch(k);
}

static void repeat_report(Keeper *k, KeeperRun *r) {
        if (r->slot.state == KEEPER_RUN_ALIVE)
                keeper_run_pend(k, r, &r->pend_started, true);
        else if (keeper_run_has_ended(r))
                keeper_run_pend(k, r, &r->pend_end, true);
}

/* A new slot with its outputs; what went wrong is reported. NULL: there is nothing more to do. */
static KeeperRun *take_run(Keeper *k, uint64_t id, int *fds, size_t n_fds, bool adopting) {
        KeeperRun *r = keeper_run_find(k, id);
        int ret = -EBADMSG;

        if (r) {
                repeat_report(k, r);
                return NULL;
        }
        r = keeper_run_take(k, id);
        if (!r) {
                (void) log_error(0, "run %016lx: no free slot", (unsigned long) id);
                refuse(k, id, ENOBUFS);
                return NULL;
        }
        if (n_fds >= _KEEPER_FD_MAX) {
                ret = keeper_output_open(k, r, fds + KEEPER_FD_OUT, adopting);
                for (size_t i = KEEPER_FD_OUT; i < _KEEPER_FD_MAX; i++)
                        fds[i] = -EBADF;
        }
        if (ret >= 0)
                return r;
        (void) log_error(ret, "run %016lx: output cannot be recorded", (unsigned long) id);
        if (!adopting) {
                keeper_run_failed(k, r, EXEC_STEP_JOB, -ret);
                return NULL;
        }
        return r; /* better without its output than without a keeper */
}

static void handle_spawn(Keeper *k, const KeeperMsg *msg, int *fds, size_t n_fds) {
        KeeperRun *r = take_run(k, msg->run.run, fds, n_fds, false);

        if (r)
                keeper_run_spawn(k, r, fds[KEEPER_FD_JOB],
                                 n_fds > KEEPER_FD_CGROUP ? fds[KEEPER_FD_CGROUP] : -EBADF);
}

static void handle_adopt(Keeper *k, const KeeperMsg *msg, int *fds, size_t n_fds) {
        KeeperRun *r = take_run(k, msg->adopt.run, fds, n_fds, true);

        if (!r)
                return;
        keeper_run_adopt(k, r, msg, n_fds > 0 ? TAKE_FD(fds[KEEPER_FD_JOB]) : -EBADF);
        keeper_output_adopted(k, r, msg->adopt.held_error);
}

static void handle_signal(Keeper *k, const KeeperMsg *msg) {
        KeeperRun *r = keeper_run_find(k, msg->signal.run);

        if (!r || keeper_run_has_ended(r) || r->pidfd < 0)
                return; /* it ended while the message was under way */
        if (pidfd_send_signal(r->pidfd, msg->signal.signo, NULL, 0) < 0 && errno != ESRCH)
                (void) log_warning(errno, "run %016lx: signal %d could not be sent",
                                   (unsigned long) r->slot.run, msg->signal.signo);
}

static void handle_free(Keeper *k, const KeeperMsg *msg) {
        KeeperRun *r = keeper_run_find(k, msg->run.run);

        if (!r)
                return;
        if (keeper_run_has_ended(r))
                keeper_run_free(k, r);
        else
                (void) log_error(0, "run %016lx lives and is not freed", (unsigned long) r->slot.run);
}

static void handle_quit(Keeper *k, const KeeperMsg *msg) {
        k->quitting = true;
        k->keep_runs = msg->quit.keep_runs;
        keeper_listen_close(k);
        keeper_watchdog_rest(k);
        keeper_notify("STOPPING=1");
}

void keeper_link_message(Keeper *k, const KeeperMsg *msg, int *fds, size_t n_fds) {
        switch (msg->type) {
        case KEEPER_SPAWN:
                handle_spawn(k, msg, fds, n_fds);
                break;
        case KEEPER_ADOPT:
                handle_adopt(k, msg, fds, n_fds);
                break;
        case KEEPER_SIGNAL:
                handle_signal(k, msg);
                break;
        case KEEPER_FREE:
                handle_free(k, msg);
                break;
        case KEEPER_QUIT:
                handle_quit(k, msg);
                break;
        case KEEPER_CONFIGURE:
                k->drop_output = msg->configure.drop_output != 0;
                break;
        case KEEPER_NOTIFY:
                keeper_notify_of_daemon(k, msg->notify.what);
                break;
        default:
                (void) log_error(0, "unknown message %u from the daemon", (unsigned) msg->type);
        }
        keeper_fds_close(fds, n_fds);
}

static void lost(Keeper *k) {
        keeper_link_close(k);
        keeper_daemon_link_lost(k);
}

void keeper_link_event(Keeper *k, uint32_t events) {
        KeeperLink *l = &k->link;

        if (events & EPOLLOUT) {
                l->writable = true;
                (void) watch(k);
        }
        /* Before a hang-up is believed, everything that the daemon said is read. */
        for (unsigned i = 0; i < MESSAGES_PER_TURN && !l->pend_refused && l->fd >= 0; i++) {
                KeeperMsg msg;
                int fds[_KEEPER_FD_SPAWN_MAX];
                size_t n_fds = 0;
                int r = keeper_msg_recv(l->fd, &msg, fds, ELEMENTSOF(fds), &n_fds);

                if (keeper_msg_is_later(r))
                        return;
                if (r == -EBADMSG)
                        (void) log_error(r, "message from the daemon refused");
                else if (r <= 0)
                        lost(k);
                else
                        keeper_link_message(k, &msg, fds, n_fds);
        }
        if (l->pend_refused && (events & (EPOLLHUP | EPOLLERR)))
                lost(k);
}
