/* SPDX-License-Identifier: MIT */
#pragma once

/* The listening sockets that the daemon will get, bound by `agentd start` so that a port in use is
 * said to the person who typed it. */

#include "cli/cli.h"
#include "cli/keeper-link.h"

typedef struct Listeners {
        int fds[LISTEN_FDS_MAX];
        size_t n;
        uint16_t port;
        char *unix_temporary; /* the unix socket's path until listeners_publish() */
} Listeners;

/* Binds the TCP sockets and the unix socket, the latter under a temporary name. */
int listeners_open(Cli *c, Listeners *ret);
/* Puts the unix socket in its place, over what a dead keeper left there. */
int listeners_publish(Cli *c, Listeners *l);
/* Closes, and removes the temporary socket. */
void listeners_done(Listeners *l);
