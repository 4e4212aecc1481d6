/* SPDX-License-Identifier: MIT */
#pragma once

/* Cgroups of runs. One fresh cgroup a run, `ROOT/run-<16 hex digits>`, never used again: a cgroup
 * that was once killed may kill what is born into it later.
 *
 * Nothing here is asynchronous: notices of change are the caller's business (cgroup_watch()). */

#include <systemd/sd-event.h>

#include "base/buf.h"

typedef struct Cgroups {
        char *path;      /* of the root folder */
        int fd;          /* O_DIRECTORY|O_PATH of it */
        bool found;      /* our own choice: removed when it is empty and nobody needs it */
        bool can_freeze; /* cgroup.freeze is there */
} Cgroups;

/* root: a path to use as it is (made if missing); NULL: found below our own cgroup, named after the
 * runtime folder. -EOPNOTSUPP: there is no cgroup v2 that we could use; reason then says why, for
 * people. */
int cgroups_open(Cgroups **ret, const char *root, const char *runtime_dir, const char **ret_reason);
Cgroups *cgroups_free(Cgroups *c);
DEFINE_CLEANUP(Cgroups *, cgroups_free);
/* Our own cgroup v2 folder (mount point and path of /proc/self/cgroup). -EOPNOTSUPP: none. */
int cgroup_find_own(char **ret);
/* The cgroup v2 folder of a process. -EOPNOTSUPP, -ESRCH. */
int cgroup_find_of_pid(pid_t pid, char **ret);
/* Cuts the path behind its run-* component. -ENOENT: it has none. */
int cgroup_cut_to_run(char *path);
/* Calls fn with the id of each run-* folder below the root; stops at the first negative result. */
int cgroups_enumerate(const Cgroups *c, int (*fn)(uint64_t run, void *userdata), void *userdata);
/* How many cgroups are below the root, at any depth. */
int cgroups_count(const Cgroups *c, unsigned *ret);

#define CGROUP_RUN_PREFIX "run-"

/* Path of a run's folder. NULL: -ENOMEM. */
char *cgroup_run_path(const Cgroups *c, uint64_t run);
/* Makes the folder. -EEXIST: there is one. */
int cgroup_create(const char *path, uint64_t *ret_id);
/* The folder's inode, which is the kernel's id of the cgroup. -ENOENT. */
int cgroup_id(const char *path, uint64_t *ret);
/* 1: processes are in it or below; 0: none, or the folder is gone. */
int cgroup_populated(const char *path);
/* 1 or 0, as the kernel confirms in cgroup.events. */
int cgroup_frozen(const char *path);
int cgroup_freeze(const char *path, bool freeze);
/* SIGKILL to everything in it and below, atomically against forks. A missing folder is success. */
int cgroup_kill(const char *path);
/* Removes the folder and what is below. -EBUSY: processes are in it. A missing folder is success. */
int cgroup_remove(const char *path);
/* Pids in the folder and below, without zombies and without `except`. Returns how many; up to max
 * of them in pids (may be NULL when max is 0). */
int cgroup_pids(const char *path, pid_t except, pid_t *pids, unsigned max);
/* 1: the cgroup with this id is somewhere below the folder; 0: it is not. */
int cgroup_contains(const char *path, uint64_t id);
/* fn on each change of cgroup.events (and spuriously). */
int cgroup_watch(const char *path,
                 sd_event *event,
                 sd_event_source **ret,
                 sd_event_inotify_handler_t fn,
                 void *userdata);
/* A number in a file of the folder, or (key not NULL) behind `key ` in it. -ENOENT. */
int cgroup_read_u64(const char *path, const char *file, const char *key, uint64_t *ret);
/* The run that a cgroup path belongs to (a component run-<16 hex digits>), or 0. */
uint64_t cgroup_run_of_path(const char *path);
