/* SPDX-License-Identifier: MIT */
#pragma once

/* Leaving root behind. */

#include "cli/cli.h"

/* If the configuration names a user and this is root: its folders become the user's, and this
 * process becomes the user for good; the configuration is read again, as that user's. */
int become_user(Cli *c);
/* As whom a daemon that is started here runs: the configuration's user if this is root, else this one. */
uid_t become_whom(Cli *c);
