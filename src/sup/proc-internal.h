/* SPDX-License-Identifier: MIT */
#pragma once

/* What /proc and pidfds tell of processes, and the rule by which a process is recognised: a pid
 * alone is never trusted. */

#include "base/pidfd.h"
#include "base/proc.h"
#include "sup/sup.h"

/* True also when it is gone. */
bool proc_is_zombie(pid_t pid);
/* Resident bytes; 0 if not known. */
uint64_t proc_resident(pid_t pid);
/* Name of the program, for people. */
int proc_name(pid_t pid, char *buf, size_t size);

/* A pidfd of pid and what identifies the process behind it. -ESRCH. */
int proc_open(pid_t pid, int *ret_fd, uint64_t *ret_pidfd_id, uint64_t *ret_start_time);
/* A pidfd of the process that `id` describes: same boot, same pidfd inode, same start time, as far as these were
 * recorded (at least one must be). The process may be a zombie. -ESRCH: it is not there any more. */
int proc_open_identity(const SupIdentity *id, const char *boot_id, int *ret_fd);
/* The wait status of an exited process that need not be our child: by PIDFD_GET_INFO (Linux 6.15;
 * after it was reaped), else from the zombie's stat. -ENODATA: nobody knows it. */
int proc_exit_status(int pidfd, pid_t pid, int *ret_wait_status);
/* -ESRCH. */
int proc_signal(int pidfd, int signo);

/* The folders in /proc that are processes; stops at the first negative result of fn. */
int proc_each(int (*fn)(pid_t pid, void *userdata), void *userdata);
/* All living descendants of pid, without itself. Returns how many; up to max are stored. */
int proc_descendants(pid_t pid, pid_t *pids, unsigned max);
/* Processes that hold a file below the folder open as one of their fds 0..2 (deleted or not). Returns how many. */
int proc_holders(const char *folder, pid_t *pids, unsigned max);
bool proc_holds(pid_t pid, const char *folder);
