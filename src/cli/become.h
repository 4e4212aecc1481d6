/* SPDX-License-Identifier: MIT */
#pragma once

/* Leaving root behind. */

#include "cli/cli.h"

/* If the configuration names a user and this is root: its folders become the user's, and this
 * process becomes the user for good; the configuration is read again, as that user's. */
int become_user(Cli *c);
