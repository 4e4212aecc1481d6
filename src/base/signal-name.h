/* SPDX-License-Identifier: MIT */
#pragma once

/* Names of signals. */

#include "base/macro.h"

#define SIGNAL_MAX 64 /* the largest number, on every Linux that we know */

/* "SIGTERM", "term", "RTMIN+3", "15" → 15. -EINVAL for anything else and for numbers outside 1..64. */
int signal_from_string(const char *s, int *ret);
/* "SIGTERM", "SIGRTMIN+3", "signal 33"; written to buf. */
#define SIGNAL_NAME_SIZE 24
const char *signal_to_string(int signo, char buf[static SIGNAL_NAME_SIZE]);
