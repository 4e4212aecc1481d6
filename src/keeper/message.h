/* SPDX-License-Identifier: MIT */
#pragma once

/* KeeperMsg on a SOCK_SEQPACKET socket, for both sides. */

#include "base/macro.h"
#include "keeper/protocol.h"

#define KEEPER_MSG_FDS_MAX 64

/* Sends one message with n_fds descriptors (at most KEEPER_MSG_FDS_MAX; they stay the caller's).
 * Never blocks, never raises SIGPIPE: -EAGAIN when the socket is full, -EPIPE or -ECONNRESET when
 * nobody is there. */
int keeper_msg_send(int fd, const KeeperMsg *msg, const int *fds, size_t n_fds);

/* Receives one message without blocking: 1, 0 at the end of the connection, -EAGAIN when there is
 * none, -EBADMSG when one of a wrong size came, or with more descriptors than max_fds or than this
 * process may have open (it is thrown away; the next can be read). The descriptors, CLOEXEC, belong
 * to the caller. */
int keeper_msg_recv(int fd, KeeperMsg *ret, int *ret_fds, size_t max_fds, size_t *ret_n_fds);

/* True if a send or receive that ended so can be repeated later, and nothing was lost: the socket
 * is full or empty, or the kernel is short of memory. Everything else but -EBADMSG is the end of
 * the connection. */
bool keeper_msg_is_later(int r);

void keeper_fds_close(int *fds, size_t n_fds);
