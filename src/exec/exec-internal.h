/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to agentd-exec. Each step takes the job and returns 0 or negative errno. */

#include "base/macro.h"
#include "exec/job.h"

typedef int (*ExecStepFn)(const ExecJob *job);

/* EXEC_STEP_SUBREAPER. Returns 0 in the agent-to-be (and in every case when the job does not ask
 * for it); the parent stays inside until the agent and all of its descendants are gone, and leaves
 * with the agent's status. */
int exec_subreaper(const ExecJob *job);

/* EXEC_STEP_PROGRAM. Returns only on failure. */
int exec_program(const ExecJob *job);

/* Sends a signal to every living descendant of this process; returns how many got it. Processes
 * that are born meanwhile may be missed: repeat. */
unsigned exec_signal_descendants(int signo);
