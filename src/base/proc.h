/* SPDX-License-Identifier: MIT */
#pragma once

/* What /proc says of one process, and of this boot. Nothing here allocates but what says so. A pid
 * may mean another process a moment later: whoever cares compares start times, or asks a pidfd
 * (base/pidfd.h) afterwards. */

#include "base/macro.h"

typedef struct ProcStat {
        char state; /* 'Z': zombie */
        pid_t ppid;
        unsigned threads;
        uint64_t start_time; /* field 22, clock ticks since boot */
        uint64_t cpu_usec;   /* user and system */
        int wait_status;     /* field 52, as of waitpid(); only a zombie's means anything */
        bool status_known;   /* the kernel let us see it */
} ProcStat;

/* /proc/PID/stat. -ESRCH: no such process. */
int proc_stat(pid_t pid, ProcStat *ret);
/* The text of such a file. -EBADMSG. */
int proc_stat_parse(const char *text, ProcStat *ret);

/* Its cgroup v2 path, as in /proc/PID/cgroup; the caller frees it. -ESRCH: no such process;
 * -ENOENT: it is in none. */
int proc_cgroup(pid_t pid, char **ret);
/* The same of the text of such a file. */
int proc_cgroup_parse(const char *text, char **ret);

#define PROC_BOOT_ID_SIZE 37

/* A UUID that names this boot of the machine. */
int proc_boot_id(char ret[static PROC_BOOT_ID_SIZE]);
