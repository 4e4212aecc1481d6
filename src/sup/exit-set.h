/* SPDX-License-Identifier: MIT */
#pragma once

/* Sets of exit statuses and signals (SuccessExitStatus=, RestartPreventExitStatus=), and signal names. */

#include "sup/sup.h"

/* "SIGTERM", "term", "RTMIN+3", "15" → 15. -EINVAL for anything else and for numbers outside 1..64. */
int sup_signal_from_string(const char *s, int *ret);
/* "SIGTERM", "SIGRTMIN+3"; static or in buf. */
#define SUP_SIGNAL_NAME_SIZE 24
const char *sup_signal_to_string(int signo, char buf[static SUP_SIGNAL_NAME_SIZE]);

/* Adds one word: a status 0..255 or a signal name. -EINVAL, set untouched. */
int sup_exit_set_add(SupExitSet *set, const char *word);
bool sup_exit_set_has_status(const SupExitSet *set, int status);
bool sup_exit_set_has_signal(const SupExitSet *set, int signo);
/* By exit->exit_signal, else by exit->exit_code; false if neither is known. */
bool sup_exit_set_matches(const SupExitSet *set, const SupExit *exit);
