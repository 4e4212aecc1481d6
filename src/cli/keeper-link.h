/* SPDX-License-Identifier: MIT */
#pragma once

/* What is known of keeper and daemon without asking the daemon. */

#include "base/macro.h"

#define LISTEN_FDS_MAX 8

/* Is there a keeper in this runtime folder? 1 and its pid (0 if it is not known), or 0. */
int keeper_find(const char *runtime_dir, pid_t *ret);
/* The same of the daemon that has this database open, by the database's lock, whoever its parent
 * is; -ENOENT: there is no lock that could be asked, as of a database in memory. */
int daemon_find(const char *db, pid_t *ret);
/* Is one of its children a daemon at this moment? True also if that cannot be seen. */
bool keeper_has_daemon(pid_t keeper);
/* Asks a keeper without a daemon to start one with these listening sockets and this command line.
 * 0; -EBUSY: it has one; -ENOENT or -ECONNREFUSED: nobody is there; -ETIMEDOUT. */
int keeper_start_daemon(const char *runtime_dir, const int *fds, size_t n_fds, char *const *argv);
/* A pidfd of the process if it exists and runs a program of this name, else -ESRCH (it may be a
 * number from another pid namespace). NULL: whatever it runs; for a child of ours. */
int process_open(pid_t pid, const char *program);
/* Waits until it has ended, at most so long. False: not yet. */
bool process_wait(int pidfd, uint64_t timeout_usec);
