/* SPDX-License-Identifier: MIT */
#pragma once

/* For programs that look after databases which no Store of theirs has open. */

#include "store/store.h"

/* Copies the snapshot that r is in (store_read_begin()) to path, mode 0600, which must not be a
 * database; synced. Writers go on meanwhile. */
int store_copy_snapshot(StoreReader *r, const char *path);
/* Runs statements on a database of ours that nobody has open, as one synced transaction, and leaves
 * one file without a log. -EUCLEAN: damaged. */
int store_edit(const char *path, const char *sql);
/* The lock that a Store holds on path: *ret_fd until it is closed. -EBUSY: somebody has it. */
int store_lock_file(const char *path, int *ret_fd, char **ret_message);
/* Does somebody hold it? Is not taken for that, so a daemon that starts meanwhile is not turned away. */
bool store_is_in_use(const char *path);
