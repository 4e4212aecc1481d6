/* SPDX-License-Identifier: MIT */
#pragma once

/* For tests of the real programs: a temp folder, a keeper, and this process in the daemon's place.
 *
 * The test is a subreaper: orphans of a killed keeper become its children, as they become init's
 * otherwise. Everything here asserts; there are no errors to return. Nothing waits for time, but
 * every wait has an upper end. */

#include <stdio.h>

#include "base/test.h"
#include "exec/job.h"
#include "keeper/message.h"

#define RIG_PATIENCE_MSEC 60000

typedef struct Rig {
        char *dir;      /* of this rig, removed at the end */
        char *programs; /* the build root */
        pid_t keeper;
        int link;
        int self; /* pidfd */
        unsigned max_runs;
        unsigned n_agents;
        /* With rig_serve(): */
        int door; /* where stub daemons come in */
        int stub_pidfd;
        pid_t stub;
        int listening[2]; /* what the last stub was given */
        int n_listening;
} Rig;

typedef struct Agent {
        uint64_t run;
        char *dir;
        int fifo[2]; /* held open, as a daemon must */
        int pidfd;
        KeeperSlot slot; /* from STARTED */
        ExecJob job;     /* change it between agent_init() and agent_spawn() */
} Agent;

int rig_setup(void **state);
int rig_teardown(void **state);
/* A keeper of which this process is the adopted daemon. Reads HELLO up to SLOTS_END, and expects no slots. */
void rig_adopt(Rig *rig);
/* The same without reading anything. */
void rig_adopt_only(Rig *rig);
/* A keeper that starts stub daemons; rig_enter() waits for the next one and takes its place. n sockets listen. */
void rig_serve(Rig *rig, int n_listen);
void rig_enter(Rig *rig);
/* … or the program of a daemon that is no stub; args are copied for the call only. */
void rig_serve_program(Rig *rig, const char *path, const char *const *args);
void rig_kill_stub(Rig *rig);
/* SIGKILL, reaped. */
void rig_kill_keeper(Rig *rig);
/* Waits until the keeper leaves; its exit status. */
int rig_wait_keeper(Rig *rig);

/* The keeper's child, as soon as it has one. */
pid_t rig_only_child(Rig *rig);

void rig_send(Rig *rig, KeeperMsg msg);
/* The next message. */
KeeperMsg rig_recv(Rig *rig);
/* The next message, which must be of this type (and about this run, unless 0). */
KeeperMsg rig_expect(Rig *rig, KeeperMsgType type, uint64_t run);
/* The number behind a word in a text that has it. */
int64_t number_after(const char *text, const char *word);
/* How many names a folder has. */
size_t count_names(const char *path);
/* Waits until fd is readable. */
void wait_readable(int fd);
/* Waits until the process behind the pidfd is gone. */
void wait_gone(int pidfd);

void agent_init(Rig *rig, Agent *a, const char *script); /* sh -c SCRIPT */
void agent_init_argv(Rig *rig, Agent *a, const char *const *argv);
void agent_send_spawn(Rig *rig, Agent *a);
/* … and waits for STARTED. */
void agent_spawn(Rig *rig, Agent *a);
void agent_adopt(Rig *rig, Agent *a);
void agent_signal(Rig *rig, Agent *a, int signo);
void agent_release(Rig *rig, Agent *a); /* FREE */
void agent_done(Agent *a);
/* A line on stdout arrives in the log: until then. */
void agent_wait_output(Agent *a, const char *text);
char *agent_log(Agent *a, unsigned stream, size_t *ret_n);
char *agent_path(const Agent *a, const char *name);
/* Waits until a file has this text in it; returns it. */
char *wait_text(const char *path, const char *text);
bool process_exists(pid_t pid);
