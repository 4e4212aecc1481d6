/* SPDX-License-Identifier: MIT */
#pragma once

/* The verbs' functions, as verbs.c lists them. Each returns the program's exit status. */

#include "cli/cli.h"

int verb_archive(Cli *c);
int verb_branches(Cli *c);
int verb_checkpoint(Cli *c);
int verb_checkpoints(Cli *c);
int verb_complete(Cli *c);
int verb_completion(Cli *c);
int verb_config(Cli *c);
int verb_create(Cli *c);
int verb_delete(Cli *c);
int verb_diff(Cli *c);
int verb_doctor(Cli *c);
int verb_events(Cli *c);
int verb_fork(Cli *c);
int verb_help(Cli *c);
int verb_kill(Cli *c);
int verb_list(Cli *c);
int verb_logs(Cli *c);
int verb_memory(Cli *c);
int verb_messages(Cli *c);
int verb_pause(Cli *c);
int verb_reload(Cli *c);
int verb_restart(Cli *c);
int verb_restore(Cli *c);
int verb_resume(Cli *c);
int verb_run(Cli *c);
int verb_runs(Cli *c);
int verb_send(Cli *c);
int verb_show(Cli *c);
int verb_start(Cli *c);
int verb_status(Cli *c);
int verb_stop(Cli *c);
int verb_stop_session(Cli *c);
int verb_token(Cli *c);
int verb_backup(Cli *c);
int verb_restore_backup(Cli *c);
int verb_fsck(Cli *c);
int verb_top(Cli *c);
int verb_tree(Cli *c);
int verb_variables(Cli *c);
int verb_version(Cli *c);

/* The parts of a verb that does two things. */
int start_daemon(Cli *c);
int stop_daemon(Cli *c);
int status_daemon(Cli *c);
int status_session(Cli *c, const char *ref);
/* Follows a session's output until it is interrupted. */
int logs_follow(Cli *c, const char *id);
