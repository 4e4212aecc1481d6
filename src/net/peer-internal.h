/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the room: the two ways to know a peer. */

#include <sys/socket.h>

#include "net/http.h"

/* The owner of the other end of a TCP connection within this machine; both addresses AF_INET or
 * both AF_INET6. Sets the uid and the cgroup if the kernel vouches for them. */
void peer_ask_sock_diag(const struct sockaddr_storage *peer,
                        const struct sockaddr_storage *own,
                        Peer *ret);
/* The process at the other end of a unix socket. */
void peer_ask_credentials(int fd, Peer *ret);
