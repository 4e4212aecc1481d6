/* SPDX-License-Identifier: MIT */
#pragma once

/* Becoming the keeper, or starting one in the background. */

#include "cli/listen.h"

typedef struct Launch {
        char *keeper; /* path */
        char **argv;  /* of the keeper */
        char **env;
        int lock_fd; /* is handed on, so that it stays locked as long as the keeper lives */
        char *log;   /* path; where a keeper in the background writes to */
} Launch;

/* A helper program, beside this one or where it is installed; or says that it is missing. */
int find_program(Cli *c, const char *name, char **ret);
/* A program of ours: beside this one, or in the helpers' folder, which is named in any case. -ENOENT. */
int program_find(Cli *c, const char *name, char **ret, const char **ret_helpers);
/* How many agents may be alive at once: what is wanted, or for 0 what the limit of open files allows. */
uint64_t launch_max_runs(uint64_t wanted);
/* The daemon's command line, as a keeper starts it: its path, the options that were given and what
 * the environment says, since a keeper that is there already has another environment. */
int launch_daemon_argv(Cli *c, char ***ret);
/* A start is to read the configuration anew and not to go on with what a daemon ran with that
 * crashed. Notes what agents that live on would miss. */
void launch_forget(Cli *c);
/* Finds the helper programs and writes the keeper's command line. */
int launch_prepare(Cli *c, const Listeners *l, Launch *ret);
void launch_done(Launch *l);
/* Returns only if it failed. */
int launch_exec(Cli *c, Launch *launch, Listeners *l);
/* Starts it in a session of its own; the listening sockets are closed here. */
int launch_spawn(Cli *c, Launch *launch, Listeners *l, pid_t *ret);
