/* SPDX-License-Identifier: MIT */
#pragma once

/* Looking whether the daemon is there, without complaining if it is not. */

#include "cli/ask.h"

#define PROBE_USEC (5 * USEC_PER_SEC)

/* GET path on the daemon that c means: 0 and the answer if it is a success, -EAGAIN if it is
 * another one, or why there is none, such as -ECONNREFUSED. */
int probe(Cli *c, const char *path, usec_t timeout_usec, Reply *ret);
/* Until GET /ready succeeds: 0; -ECHILD: the process of pidfd (-EBADF: none) ended; -ECONNREFUSED:
 * nobody listens any more; -ETIMEDOUT. */
int probe_ready(Cli *c, int pidfd, usec_t timeout_usec);
/* Does nobody listen? */
bool probe_gone_now(Cli *c);
/* Until nobody listens: true. */
bool probe_gone(Cli *c, usec_t timeout_usec);
