/* SPDX-License-Identifier: MIT */
#pragma once

/* What is done to the data of a daemon that is reached by its address. Exit statuses. */

#include "cli/cli.h"

int remote_backup(Cli *c, const char *file);
int remote_fsck(Cli *c);
