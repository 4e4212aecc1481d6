/* SPDX-License-Identifier: MIT */
#pragma once

/* The exec job: what agentd-exec does before it becomes the agent. The daemon writes it into a
 * sealed memfd; the keeper passes it on without looking; agentd-exec finds it at fd 3 and a CLOEXEC
 * status pipe at fd 4.
 *
 * Format: a sequence of records {uint32 tag, uint32 n, n bytes}, native endian, strings without
 * NUL. Steps are applied in the order of ExecStep, whatever the order in the job. When one fails,
 * agentd-exec writes {uint32 step, int32 errno} to the status pipe and exits 127; when the exec
 * succeeds the pipe closes empty. */

#include <signal.h>

#include "base/buf.h"

#define EXEC_JOB_FD    3
#define EXEC_STATUS_FD 4
#define EXEC_JOB_MAX   (4U << 20)
/* As argument: it was born in TAG_CGROUP already. */
#define EXEC_IN_CGROUP "in-cgroup"

/* Beside the FIFO of stdout: "PID START_TIME\n" of the run's leader (field 22 of /proc/PID/stat), written
 * before the agent begins. With it a run is recognised whose keeper died before it had told anybody. */
#define EXEC_NOTE_NAME "leader"

typedef enum ExecStep {
        EXEC_STEP_JOB,     /* read and parse the job */
        EXEC_STEP_CGROUP,  /* "0" into TAG_CGROUP/cgroup.procs, before anything else */
        EXEC_STEP_SESSION, /* setsid, default signals and mask, umask 022 or TAG_UMASK */
        EXEC_STEP_SUBREAPER, /* TAG_SUBREAPER: stay as parent of the agent and end its descendants (no cgroup v2) */
        EXEC_STEP_OUTPUT, /* open the FIFOs read-write as stdout and stderr, /dev/null as stdin */
        EXEC_STEP_RLIMIT, /* TAG_NOFILE … */
        EXEC_STEP_NICE,
        EXEC_STEP_FOLDER,  /* chdir(TAG_FOLDER) */
        EXEC_STEP_PROGRAM, /* find argv[0] in the job's PATH, execve */
        _EXEC_STEP_MAX,
} ExecStep;

/* What comes through the status pipe when a step failed; never less than the whole struct. */
typedef struct ExecFailure {
        uint32_t step; /* ExecStep */
        int32_t error; /* errno, positive */
} ExecFailure;

/* To the leader of a TAG_SUBREAPER run (which is agentd-exec itself): SIGKILL every descendant
 * until none is left, then leave. SIGKILL to it would end the agent, but let the agent's
 * descendants escape. Every other signal is passed on to the agent. */
#define EXEC_SIGNAL_KILL_TREE (SIGRTMIN + 5)

/* "change to the folder", … for messages: "could not %s". Never NULL. */
const char *exec_step_to_string(ExecStep step);

typedef enum ExecTag {
        EXEC_TAG_ARG = 1, /* repeated, in order */
        EXEC_TAG_ENV,     /* NAME=value, repeated */
        EXEC_TAG_FOLDER,
        EXEC_TAG_CGROUP,    /* absolute path of the run's cgroup folder */
        EXEC_TAG_SUBREAPER, /* empty */
        EXEC_TAG_STDOUT,    /* path of the FIFO; /dev/null if there is none */
        EXEC_TAG_STDERR,
        EXEC_TAG_NOFILE, /* decimal */
        EXEC_TAG_NICE,   /* decimal */
        EXEC_TAG_UMASK,  /* octal */
        _EXEC_TAG_MAX,
} ExecTag;

typedef struct ExecJob {
        char **argv;
        char **env;
        char *folder, *cgroup, *stdout_path, *stderr_path;
        bool subreaper, has_nofile, has_nice, has_umask;
        uint64_t nofile;
        int nice;
        mode_t umask;
} ExecJob;

void exec_job_done(ExecJob *j);
/* -EBADMSG for anything malformed (unknown tags, wrong lengths, no argv, NUL inside a string). */
int exec_job_parse(const void *data, size_t n, ExecJob *ret);
int exec_job_serialize(const ExecJob *j, Buf *out);
/* A sealed memfd with the serialised job, or negative errno. */
int exec_job_to_memfd(const ExecJob *j);
