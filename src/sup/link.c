/* SPDX-License-Identifier: MIT */

/* The daemon's end of the link to the keeper.
 *
 * Reading begins with the first turn of the loop after the manager was made: until then the owner
 * says by sup_run_expect() what it knows, and so HELLO and the slots always meet the complete list.
 *
 * Sending does not wait. What the socket does not take is queued with its descriptors; the queue is
 * short by nature, since a run sends a handful of packets in its life and starts are bounded. When
 * the keeper dies the queue is thrown away: recovery decides anew from what it finds, never from
 * what was under way. */

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include "base/fs.h"
#include "base/log.h"
#include "keeper/message.h"
#include "sup/sup-internal.h"

#define PACKETS_PER_TURN 256

struct LinkPacket {
        ListLink link;
        KeeperMsg msg;
        int fds[_KEEPER_FD_SPAWN_MAX];
        size_t n_fds;
};

static LinkPacket *packet_free(LinkPacket *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->n_fds; i++)
                fd_close(p->fds[i]);
        free(p);
        return NULL;
}
DEFINE_CLEANUP(LinkPacket *, packet_free);

/* ---- sending ---- */

static int packet_queue(KeeperLink *l, const KeeperMsg *msg, const int *fds, size_t n_fds) {
        _cleanup_(packet_freep) LinkPacket *p = calloc(1, sizeof(*p));

        assert(n_fds <= _KEEPER_FD_SPAWN_MAX);
        if (!p)
                return -ENOMEM;
        p->msg = *msg;
        for (; p->n_fds < n_fds; p->n_fds++) {
                p->fds[p->n_fds] = fcntl(fds[p->n_fds], F_DUPFD_CLOEXEC, 3);
                if (p->fds[p->n_fds] < 0)
                        return errno_neg();
        }
        LinkPacket *queued = TAKE_PTR(p);
        list_append(&l->out, &queued->link);
        return sd_event_source_set_io_events(l->source, EPOLLIN | EPOLLOUT);
}

static void flush_queue(KeeperLink *l) {
        while (!list_is_empty(&l->out)) {
                LinkPacket *p = LIST_ENTRY(l->out.next, LinkPacket, link);
                /* Any other error is the keeper's death, which reading will tell. */
                if (keeper_msg_is_later(keeper_msg_send(l->fd, &p->msg, p->fds, p->n_fds)))
                        return;
                list_remove(&p->link);
                packet_free(p);
        }
        (void) sd_event_source_set_io_events(l->source, EPOLLIN);
}

int link_send(SupManager *m, const KeeperMsg *msg, const int *fds, size_t n_fds) {
        KeeperLink *l = &m->link;

        if (l->fd < 0)
                return -ENOTCONN;
        if (list_is_empty(&l->out)) {
                int r = keeper_msg_send(l->fd, msg, fds, n_fds);
                if (!keeper_msg_is_later(r))
                        return r;
        }
        return packet_queue(l, msg, fds, n_fds);
}

int link_send_run(SupManager *m, KeeperMsgType type, uint64_t run) {
        KeeperMsg msg = { .type = type, .run.run = run };
        return link_send(m, &msg, NULL, 0);
}

int link_send_signal(SupManager *m, uint64_t run, int signo) {
        KeeperMsg msg = { .type = KEEPER_SIGNAL, .signal = { .run = run, .signo = signo } };
        return link_send(m, &msg, NULL, 0);
}

int link_flush(SupManager *m, usec_t timeout) {
        KeeperLink *l = &m->link;
        usec_t until = clock_monotonic() + timeout;

        while (l->fd >= 0 && !list_is_empty(&l->out)) {
                struct pollfd p = { .fd = l->fd, .events = POLLOUT };
                usec_t now = clock_monotonic();
                if (now >= until)
                        return -ETIMEDOUT;
                if (poll(&p, 1, (int) ((until - now) / USEC_PER_MSEC) + 1) < 0 && errno != EINTR)
                        return errno_neg();
                flush_queue(l);
        }
        return 0;
}

/* ---- receiving ---- */

static void on_hello(SupManager *m, const KeeperMsg *msg) {
        KeeperLink *l = &m->link;

        if (msg->hello.version != KEEPER_PROTOCOL_VERSION) {
                (void) log_error(0, "The keeper speaks version %u of the protocol, this daemon %u",
                                 msg->hello.version, (unsigned) KEEPER_PROTOCOL_VERSION);
                (void) sd_event_exit(m->event, -EPROTONOSUPPORT);
                return;
        }
        l->hello = true;
        l->pid = msg->hello.pid;
        l->max_runs = msg->hello.max_runs;
        l->started_at = msg->hello.started_usec;
        if ((msg->hello.drop_output != 0) != m->drop_output)
                manager_configure_keeper(m);
}

static void on_slots_end(SupManager *m) {
        KeeperLink *l = &m->link;

        recover_all(m);
        l->ready = l->ever_ready = true;
        if (m->ops.keeper_ready)
                m->ops.keeper_ready(l->pid, m->userdata);
        manager_wake(m);
}

static void on_event(SupManager *m, const KeeperMsg *msg) {
        SupRun *r;

        switch (msg->type) {
        case KEEPER_STARTED:
                r = map_get(m->runs, msg->slot.run);
                if (r)
                        run_on_started(r, &msg->slot);
                break;
        case KEEPER_FAILED:
                r = map_get(m->runs, msg->failed.run);
                if (r)
                        run_on_failed(r, msg->failed.step, msg->failed.error);
                break;
        case KEEPER_EXITED:
                r = map_get(m->runs, msg->slot.run);
                if (r)
                        run_on_exited(r, &msg->slot);
                break;
        case KEEPER_OUTPUT:
                r = map_get(m->runs, msg->output.run);
                if (r)
                        run_on_output(r, msg->output.error, msg->output.since_usec);
                break;
        case KEEPER_TERMINATE:
                if (m->ops.terminate)
                        m->ops.terminate(m->userdata);
                break;
        case KEEPER_RELOAD:
                if (m->ops.reload)
                        m->ops.reload(m->userdata);
                break;
        default:
                log_debug("Unknown packet %u from the keeper", msg->type);
        }
}

static void dispatch(SupManager *m, const KeeperMsg *msg) {
        KeeperLink *l = &m->link;

        if (msg->type == KEEPER_HELLO)
                on_hello(m, msg);
        else if (!l->hello)
                log_debug("Packet %u before the keeper's greeting", msg->type);
        else if (msg->type == KEEPER_SLOT)
                recover_slot(m, &msg->slot);
        else if (msg->type == KEEPER_SLOTS_END)
                on_slots_end(m);
        else
                on_event(m, msg);
}

static int on_link(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        SupManager *m = OBJ_CAST(SupManager, userdata, SUP_MANAGER_MAGIC);

        if (revents & EPOLLOUT)
                flush_queue(&m->link);
        for (unsigned i = 0; i < PACKETS_PER_TURN && m->link.fd >= 0; i++) {
                int fds[_KEEPER_FD_MAX];
                size_t n_fds = 0;
                KeeperMsg msg;

                int r = keeper_msg_recv(m->link.fd, &msg, fds, ELEMENTSOF(fds), &n_fds);
                if (keeper_msg_is_later(r))
                        break;
                if (r == -EBADMSG) {
                        log_debug("Malformed packet from the keeper");
                        continue;
                }
                if (r <= 0) {
                        link_lost(m);
                        break;
                }
                keeper_fds_close(fds, n_fds);
                dispatch(m, &msg);
        }
        return 0;
}

/* ---- open and close ---- */

int link_open(SupManager *m, int fd) {
        KeeperLink *l = &m->link;

        assert(l->fd < 0);
        int r = fd_set_nonblock(fd, true);
        if (r < 0)
                return r;
        r = sd_event_add_io(m->event, &l->source, fd, EPOLLIN, on_link, m);
        if (r < 0)
                return r;
        l->fd = fd;
        l->hello = l->ready = false;
        return 0;
}

void link_close(SupManager *m) {
        KeeperLink *l = &m->link;

        l->source = sd_event_source_disable_unref(l->source);
        l->fd = fd_close(l->fd);
        l->hello = l->ready = false;
        l->pid = 0;
        while (!list_is_empty(&l->out)) {
                LinkPacket *p = LIST_ENTRY(l->out.next, LinkPacket, link);
                list_remove(&p->link);
                packet_free(p);
        }
}
