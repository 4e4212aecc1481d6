/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the room share. Who does what:
 *
 *   manager.c   the object: maps, timers, the queue of starts, callbacks to the owner
 *   run.c       the state machine of a run and the verbs
 *   run-end.c   from the leader's exit to the proof that the tree is dead
 *   launch.c    cgroup, output, job: everything before SPAWN
 *   output.c    FIFOs and log files of a run
 *   held.c      output that no file takes now: of a run that lives, and of one that has ended
 *   link.c      packets from and to the keeper
 *   respawn.c   a new keeper for a dead one
 *   recover.c   what became of runs after a daemon's or a keeper's death */

#include <systemd/sd-event.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/obj.h"
#include "keeper/protocol.h"
#include "sup/cgroup-internal.h"
#include "sup/proc-internal.h"
#include "sup/sup.h"

#define SUP_MANAGER_MAGIC 0x5d9b2e01U
#define SUP_RUN_MAGIC     0x5d9b2e02U

/* ---- output of a run ---- */

typedef struct RunOutput {
        char *folder;  /* RUNTIME/runs/RUN */
        char *fifo[2]; /* paths in it: out, err */
        char *log[3];  /* LOGS/SESSION/RUN.out, .err, .idx */
        int fd[2]; /* read ends, so that bytes outlive a keeper that dies together with the agent */
} RunOutput;

#define RUN_OUTPUT_INIT ((RunOutput){ .fd = { -EBADF, -EBADF } })

/* Names only. */
int output_init(RunOutput *o, const SupManager *m, uint64_t session, uint64_t run);
void output_done(RunOutput *o);
/* Makes folder and FIFOs (existing ones are fine) and opens the read ends. */
int output_open(RunOutput *o, bool create);
/* Opens the files for the keeper in the order of KEEPER_FD_OUT…: fds[KEEPER_FD_OUT.._KEEPER_FD_MAX) are the caller's. */
int output_fds(const RunOutput *o, int fds[static _KEEPER_FD_MAX]);
/* Bytes that are in the FIFOs now. */
size_t output_left(const RunOutput *o);
/* Moves what is in the FIFOs to the logs: for a run that has no keeper. On failure the rest stays where it is. */
int output_drain(const RunOutput *o);
/* Removes folder and FIFOs. */
void output_remove(RunOutput *o);

/* ---- runs ---- */

struct SupRun {
        uint32_t magic;
        SupManager *manager;
        uint64_t id, session;
        const SupSpec *spec; /* NULL: stray */
        bool resume;
        usec_t created_at; /* expected: realtime, else 0 */
        char *folder;      /* working folder as asked for, or NULL */
        char **env;
        void *userdata;

        SupRunState state;
        bool begun;      /* counted in n_begun: left the queue, not yet released */
        ListLink queue;  /* manager->queue */
        ListLink notice; /* manager->notices: there is something to tell the owner */
        HeapItem timer;

        SupIdentity identity;
        int pidfd;
        char *cgroup; /* path, or NULL */
        sd_event_source *cgroup_source;
        RunOutput output;

        bool stray;     /* nobody expects it: killed, and then forgotten */
        bool confirmed; /* the owner was told that exec succeeded (by us or by an earlier daemon) */
        bool has_slot;  /* the keeper may have a slot for it */
        bool unlinked; /* what became of it must be found out once the keeper has listed its slots */
        bool expected;   /* from sup_run_expect(), not yet put back into its state */
        bool was_frozen; /* sup_run_expect(frozen) */
        bool leader_gone;
        bool rest_was_asked; /* to end, after the leader did */
        unsigned tries;      /* of removing the cgroup, of waiting for the output */

        bool freeze_pending;
        bool freeze_answered;
        int freeze_error;
        void (*freeze_done)(SupRun *r, int error, void *userdata);
        void *freeze_userdata;

        bool ended_due;
        SupExit exit;

        int held_error;    /* why its files take no output now, a positive errno; or 0 */
        usec_t held_since; /* realtime */
        bool lingers;      /* released by the owner, and kept for its output */
};

/* The one writer of the state. */
void sup_run_set_state(SupRun *r, SupRunState state);
bool sup_run_may_become(SupRunState from, SupRunState to);
int run_new(SupManager *m, const SupRunParams *params, SupRun **ret);
/* A run that nobody expects; known only to the manager. */
int run_new_stray(SupManager *m, uint64_t id, SupRun **ret);
SupRun *run_free(SupRun *r);
DEFINE_CLEANUP(SupRun *, run_free);
void run_set_timer(SupRun *r, usec_t delay);
void run_clear_timer(SupRun *r);
void run_on_timer(SupRun *r);
/* Sets cgroup path and id and watches it. A missing folder leaves the run without. */
int run_attach_cgroup(SupRun *r);
/* A pidfd of our own for exact signals and for the exit status if the keeper dies. */
void run_open_pidfd(SupRun *r);
/* The keeper's three reports. */
void run_on_started(SupRun *r, const KeeperSlot *slot);
void run_on_failed(SupRun *r, uint32_t step, int error);
void run_on_exited(SupRun *r, const KeeperSlot *slot);
void run_take_identity(SupRun *r, const KeeperSlot *slot);
void run_enter_alive(SupRun *r);
void run_answer_freeze(SupRun *r, int error);
void run_begin_stopping(SupRun *r);
int run_send_signal(SupRun *r, int signo);

/* ---- the end ---- */

void run_leader_gone(SupRun *r, SupResult result, int code, int signo, bool core, const char *reason);
/* From a wait status, or from nothing (known false): LOST if lost, else UNKNOWN. */
void run_leader_gone_status(
        SupRun *r, bool known, int wait_status, SupResult otherwise, const char *reason);
/* Never began, or must not go on. */
void run_fail(SupRun *r, SupResult result, const char *format, ...) _printf_(3, 4);
/* Kills the tree; goes to KILLING. */
void run_kill(SupRun *r);
/* Looks whether the tree is dead by now, and ends the run then. */
void run_check(SupRun *r);
void run_release(SupRun *r);
/* Frees the slot, the FIFO folder and r, whatever is in them. */
void run_forget(SupRun *r);

/* ---- output that is held back ---- */

/* The keeper says so; error 0: no longer. */
void run_on_output(SupRun *r, int error, usec_t since);
/* Is there output that is not in the files yet, and may get there? Without a keeper for it, it is tried now. */
bool run_output_waits(SupRun *r);
/* Keeps a run that was released, for its output: run_forget() when that is in its files. */
void run_linger(SupRun *r);
void run_linger_check(SupRun *r);
/* Gives up the output of the run that has lingered longest. False: there is none. */
bool manager_forget_lingering(SupManager *m);
/* For run_free(). */
void run_held_done(SupRun *r);
/* What the keeper is to do with output that no file takes. */
void manager_configure_keeper(SupManager *m);

/* ---- launch ---- */

/* Everything up to SPAWN; on failure the run is ended with a reason. */
void run_launch(SupRun *r);

/* ---- keeper ---- */

typedef struct LinkPacket LinkPacket;

typedef struct KeeperLink {
        int fd;
        sd_event_source *source;
        ListLink out; /* LinkPacket: what could not be sent yet */
        bool hello, ready;
        bool ever_ready;
        pid_t pid;
        unsigned max_runs;
        usec_t started_at; /* realtime, the keeper's */
        /* a keeper that we started */
        int child_pidfd;
        sd_event_source *child_source;
        sd_event_source *retry_source; /* made at the start, so that arming it needs no memory */
        bool is_retrying;
        usec_t delay, spawned_at;
} KeeperLink;

int link_init(SupManager *m);
int link_open(SupManager *m, int fd);
void link_close(SupManager *m);
/* Sends or queues; fds (may be NULL) are borrowed. Without a link: -ENOTCONN. */
int link_send(SupManager *m, const KeeperMsg *msg, const int *fds, size_t n_fds);
int link_send_run(SupManager *m, KeeperMsgType type, uint64_t run);
int link_send_signal(SupManager *m, uint64_t run, int signo);
/* Waits until all is sent. -ETIMEDOUT. */
int link_flush(SupManager *m, usec_t timeout);
void link_done(SupManager *m);
/* The keeper is gone: marks the runs and starts a new one. */
void link_lost(SupManager *m);

/* ---- recovery ---- */

/* A slot that the keeper lists after HELLO. */
void recover_slot(SupManager *m, const KeeperSlot *slot);
/* After SLOTS_END: decides for every run that is unlinked, and ends what nobody expects. */
void recover_all(SupManager *m);

/* ---- manager ---- */

struct SupManager {
        uint32_t magic;
        sd_event *event;
        SupOps ops;
        void *userdata;

        char *runtime_dir, *log_dir, *keeper_path, *exec_path;
        char **daemon_argv;
        int *listen_fds;
        size_t n_listen_fds;
        unsigned start_parallel, max_runs;
        char boot_id[37];

        Cgroups *cgroups; /* NULL: none */
        KeeperLink link;
        Map *runs;                    /* id → SupRun */
        Map *by_cgroup;               /* cgroup id → SupRun */
        uint64_t foreign_cgroups[64]; /* see sup_manager_run_of_cgroup() */
        ListLink queue, notices;
        Heap timers;
        sd_event_source *timer_source, *work_source;
        unsigned n_spawning, n_alive, n_begun, n_held, n_lingering;
        bool drop_output;
        bool quitting, in_work;
};

/* Calls of the owner come from the loop only: asks for one. */
void manager_wake(SupManager *m);
void manager_notice(SupRun *r);
int manager_add_cgroup(SupManager *m, uint64_t cgroup_id, SupRun *run);
int manager_set_timer(SupManager *m, HeapItem *item, usec_t deadline);
void manager_clear_timer(SupManager *m, HeapItem *item);
