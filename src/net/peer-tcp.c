/* SPDX-License-Identifier: MIT */

/* The owner of a loopback TCP connection. The peer's own socket is on this machine, so sock_diag(7)
 * can be asked for it by the exact 4-tuple, seen from its side. The answer names its owner and the
 * cgroup (v2) of the process that made it.
 *
 * A socket that its process has closed lives on in the kernel with uid 0 and inode 0. Believing
 * that uid would make everybody root who sends a request and closes at once. So an answer counts
 * only if the socket is ESTABLISHED and has an inode. The query by tuple also falls back to
 * listening sockets, which the state excludes as well.
 *
 * The netlink socket stays open: it is asked once for each connection, and the kernel puts the
 * answer into it before sendto() returns. Reading /proc/net/tcp instead was rejected: it prints all
 * sockets of the machine for each question. */

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "net/peer-internal.h"

typedef struct DiagQuery {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
} DiagQuery;

static int diag_fd = -EBADF;
static uint32_t diag_sequence;

static int diag_open(void) {
        if (diag_fd < 0)
                diag_fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                 NETLINK_SOCK_DIAG);
        return diag_fd < 0 ? errno_neg() : diag_fd;
}

static void set_end(const struct sockaddr_storage *addr, __be16 *port, __be32 ip[static 4]) {
        struct sockaddr_in in;
        struct sockaddr_in6 in6;

        if (addr->ss_family == AF_INET) {
                memcpy(&in, addr, sizeof(in));
                *port = in.sin_port;
                ip[0] = in.sin_addr.s_addr;
        } else {
                memcpy(&in6, addr, sizeof(in6));
                *port = in6.sin6_port;
                memcpy(ip, &in6.sin6_addr, sizeof(in6.sin6_addr));
        }
}

static void diag_fill(DiagQuery *q,
                      const struct sockaddr_storage *peer,
                      const struct sockaddr_storage *own) {
        struct inet_diag_sockid *id = &q->body.id;

        *q = (DiagQuery){
                .header = { .nlmsg_len = sizeof(*q),
                            .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                            .nlmsg_flags = NLM_F_REQUEST,
                            .nlmsg_seq = ++diag_sequence },
                .body = { .sdiag_family = (uint8_t) peer->ss_family,
                          .sdiag_protocol = IPPROTO_TCP,
                          .idiag_states = 1u << TCP_ESTABLISHED },
        };
        id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
        set_end(peer, &id->idiag_sport, id->idiag_src);
        set_end(own, &id->idiag_dport, id->idiag_dst);
}

static void take_cgroup(const struct nlmsghdr *h, Peer *ret) {
        const size_t head = NLMSG_LENGTH(sizeof(struct inet_diag_msg));
        const struct rtattr *a = (const void *) ((const char *) h + NLMSG_ALIGN(head));
        size_t left = h->nlmsg_len > NLMSG_ALIGN(head) ? h->nlmsg_len - NLMSG_ALIGN(head) : 0;

        while (left >= sizeof(*a) && a->rta_len >= sizeof(*a) && a->rta_len <= left) {
                size_t step = RTA_ALIGN(a->rta_len);

                if (a->rta_type == INET_DIAG_CGROUP_ID &&
                    a->rta_len == RTA_LENGTH(sizeof(ret->cgroup_id))) {
                        memcpy(&ret->cgroup_id, (const char *) a + RTA_LENGTH(0),
                               sizeof(ret->cgroup_id));
                        ret->flags |= PEER_HAS_CGROUP;
                        return;
                }
                if (step >= left)
                        return;
                left -= step;
                a = (const void *) ((const char *) a + step);
        }
}

static void take_answer(const struct nlmsghdr *h, const DiagQuery *q, Peer *ret) {
        const struct inet_diag_msg *m = (const void *) ((const char *) h + NLMSG_HDRLEN);

        if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
                return;
        if (m->idiag_state != TCP_ESTABLISHED || m->idiag_inode == 0)
                return;
        if (m->id.idiag_sport != q->body.id.idiag_sport || m->id.idiag_dport != q->body.id.idiag_dport)
                return;
        ret->uid = m->idiag_uid;
        ret->flags |= PEER_HAS_UID;
        take_cgroup(h, ret);
}

void peer_ask_sock_diag(const struct sockaddr_storage *peer,
                        const struct sockaddr_storage *own,
                        Peer *ret) {
        const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        union {
                struct nlmsghdr h;
                char bytes[8192];
        } answer;
        DiagQuery q;

        int fd = diag_open();
        if (fd < 0)
                return;
        diag_fill(&q, peer, own);
        if (sendto(fd, &q, sizeof(q), MSG_DONTWAIT, (const struct sockaddr *) &kernel,
                   sizeof(kernel)) < 0)
                return;

        /* Answers to earlier questions that were not read are passed over. */
        for (;;) {
                ssize_t n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);

                if (n < (ssize_t) sizeof(answer.h) || answer.h.nlmsg_len > (size_t) n)
                        return;
                if (answer.h.nlmsg_seq != q.header.nlmsg_seq)
                        continue;
                take_answer(&answer.h, &q, ret);
                return;
        }
}
