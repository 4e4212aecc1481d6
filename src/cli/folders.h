/* SPDX-License-Identifier: MIT */
#pragma once

/* The data folder and the runtime folder of a daemon that is to be started. */

#include "cli/cli.h"

/* Makes both, and says what is wrong with them or with the databases in them for the user that this
 * process is. An exit status. */
int folders_make(Cli *c);

/* "root", or the number of a user without an entry; lives as long as the Cli. */
const char *user_text(Cli *c, uid_t uid);
/* A file of the databases that is there and is not this user's, and whose it is; NULL: none. */
const char *database_file_of_other(Cli *c, uid_t uid, uid_t *ret_owner);
