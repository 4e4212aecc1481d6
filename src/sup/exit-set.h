/* SPDX-License-Identifier: MIT */
#pragma once

/* Sets of exit statuses and signals (SuccessExitStatus=, RestartPreventExitStatus=). */

#include "sup/sup.h"

/* Adds one word: a status 0..255 or a signal name. -EINVAL, set untouched. */
int sup_exit_set_add(SupExitSet *set, const char *word);
bool sup_exit_set_has_status(const SupExitSet *set, int status);
bool sup_exit_set_has_signal(const SupExitSet *set, int signo);
/* By exit->exit_signal, else by exit->exit_code; false if neither is known. */
bool sup_exit_set_matches(const SupExitSet *set, const SupExit *exit);
