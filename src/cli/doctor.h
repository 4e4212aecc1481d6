/* SPDX-License-Identifier: MIT */
#pragma once

/* What `agentd doctor` finds. Each check says one line or several and never ends the program. */

#include "cli/ask.h"

typedef enum Verdict {
        DOCTOR_OK,
        DOCTOR_WARN, /* works, but not all of it, or not for long */
        DOCTOR_FAIL, /* does not work */
        _VERDICT_MAX,
} Verdict;

typedef struct Finding {
        Verdict verdict;
        const char *check;         /* one word */
        const char *text, *advice; /* what is so; what to do, or NULL */
} Finding;

typedef struct Doctor {
        Cli *c;
        Finding *findings;
        size_t n;
        bool has_daemon; /* it answered */
        Reply version;   /* of the daemon, if it answered */
        pid_t keeper;    /* 0: none, or not known */
        uid_t user;      /* as whom a daemon runs that is started here */
} Doctor;

/* text and advice must live as long as the Cli. */
void doctor_say(Doctor *d, Verdict verdict, const char *check, const char *text, const char *advice);

/* The folder, or the nearest one above it that exists. */
char *existing_folder(Cli *c, const char *path);

/* ---- the checks, in the order in which they are said ---- */

void doctor_programs(Doctor *d);
void doctor_daemon(Doctor *d); /* sets has_daemon, version, keeper */
void doctor_port(Doctor *d);
void doctor_folders(Doctor *d);
void doctor_leftovers(Doctor *d);
void doctor_access(Doctor *d);
void doctor_kernel(Doctor *d);
void doctor_cgroup(Doctor *d);
void doctor_limits(Doctor *d);
void doctor_clock(Doctor *d);
void doctor_linger(Doctor *d);
