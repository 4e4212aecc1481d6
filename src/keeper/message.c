/* SPDX-License-Identifier: MIT */

/* Fixed-size packets with descriptors beside them.
 *
 * SOCK_SEQPACKET keeps message boundaries, so a message is a struct and reading needs no parser, no
 * buffer and no allocation; a stream with length prefixes was rejected for needing all three. What
 * is not exactly one struct is refused as a whole, with its descriptors closed: there is nothing to
 * resynchronise. */

#include "keeper/message.h"

#include <sys/socket.h>

typedef union Control {
        struct cmsghdr header; /* for the alignment */
        char space[CMSG_SPACE(sizeof(int) * KEEPER_MSG_FDS_MAX)];
} Control;

void keeper_fds_close(int *fds, size_t n_fds) {
        for (size_t i = 0; i < n_fds; i++)
                fds[i] = fd_close(fds[i]);
}

int keeper_msg_send(int fd, const KeeperMsg *msg, const int *fds, size_t n_fds) {
        KeeperMsg copy = *msg;
        struct iovec iov = { .iov_base = &copy, .iov_len = sizeof(copy) };
        struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
        Control control = {};

        assert(n_fds <= KEEPER_MSG_FDS_MAX);
        if (n_fds > 0) {
                header.msg_control = &control;
                header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                struct cmsghdr *c = CMSG_FIRSTHDR(&header);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        while (sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                if (errno != EINTR)
                        return errno_neg();
        return 0;
}

bool keeper_msg_is_later(int r) {
        return r == -EAGAIN || r == -ENOBUFS || r == -ENOMEM || r == -ETOOMANYREFS;
}

static size_t take_fds(struct msghdr *header, int fds[static KEEPER_MSG_FDS_MAX]) {
        size_t n = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                assert(n <= KEEPER_MSG_FDS_MAX);
                memcpy(fds, CMSG_DATA(c), n * sizeof(int));
        }
        return n;
}

int keeper_msg_recv(int fd, KeeperMsg *ret, int *ret_fds, size_t max_fds, size_t *ret_n_fds) {
        KeeperMsg msg = {};
        struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
        Control control = {};
        struct msghdr header = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        int fds[KEEPER_MSG_FDS_MAX];
        ssize_t n;

        do
                n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno_neg();
        size_t n_fds = take_fds(&header, fds);
        if (n == 0 && n_fds == 0)
                return 0;
        if (n != (ssize_t) sizeof(msg) || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
            n_fds > max_fds) {
                keeper_fds_close(fds, n_fds);
                return -EBADMSG;
        }
        *ret = msg;
        if (n_fds > 0)
                memcpy(ret_fds, fds, n_fds * sizeof(int));
        *ret_n_fds = n_fds;
        return 1;
}
