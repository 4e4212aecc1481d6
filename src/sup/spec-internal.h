/* SPDX-License-Identifier: MIT */
#pragma once

/* Readers of single values of an `agent` object. Each takes a checked JSON value that is not null
 * and the address of its member of SupSpec. 0; -EINVAL with a phrase in why ("the quote is not
 * closed"), or with why left empty when the expectation of the key's type says enough; -ENOMEM. The
 * member is untouched on failure. */

#include "sup/sup.h"

#define SPEC_WHY_SIZE 120

typedef int SpecRead(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]);

SpecRead spec_read_command;         /* char ** */
SpecRead spec_read_command_or_none; /* char **; empty: NULL */
SpecRead spec_read_path;            /* char * */
SpecRead spec_read_environment;     /* char ** */
SpecRead spec_read_restart;         /* SupRestart */
SpecRead spec_read_delay;           /* usec_t, finite */
SpecRead spec_read_timeout;         /* usec_t; 0 and infinity: USEC_INFINITY */
SpecRead spec_read_count;           /* unsigned */
SpecRead spec_read_exit_set;        /* SupExitSet */
SpecRead spec_read_signal;          /* int */
SpecRead spec_read_daemon_stop;     /* bool */

/* A spec of defaults without a command. -ENOMEM. */
int spec_new(SupSpec **ret);
