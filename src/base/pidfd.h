/* SPDX-License-Identifier: MIT */
#pragma once

/* What a pidfd knows of its process, also of one that has ended or is not our child. */

#include "base/macro.h"

/* True once the process has ended, reaped or not. */
bool pidfd_has_exited(int pidfd);
/* The wait status of a process that was reaped, by whoever (Linux 6.15). -ENODATA: not known here. */
int pidfd_wait_status(int pidfd, int *ret);
/* The id of its cgroup, which is the inode number of the cgroup's folder (Linux 6.13; of a process
 * that has ended 6.15). -ENODATA: not known here. */
int pidfd_cgroup_id(int pidfd, uint64_t *ret);
