/* SPDX-License-Identifier: MIT */
#pragma once

/* Supervision: runs of agents. A SupRun is one life of one command, from the wish to start it until
 * its whole process tree is dead and its end was committed by the owner. The room knows nothing of
 * sessions or of the store: the owner (src/daemon) writes its state down BEFORE it calls an action
 * here, and is told by SupOps what happened; it answers with sup_run_release() after it has
 * committed the end.
 *
 *   queued ─▶ spawning ─▶ alive ─▶ (stopping ─▶ killing) ─▶ ended ─release─▶ gone
 *                │           └──── leader exits: what is left of the tree is killed ──▶ ended
 *                └── a step failed ──▶ ended
 *   alive ◀─▶ frozen
 *
 * One function, sup_run_set_state(), changes a run's state, by a table of allowed transitions.
 * Identity: pid + pidfd inode + start time + boot id + cgroup inode; a pid alone is never trusted.
 * Everything runs on the loop thread. */

#include <systemd/sd-event.h>

#include "base/field.h"
#include "keeper/protocol.h"

/* ---- what a unit says (parsed from its keys) ---- */

typedef enum SupRestart {
        SUP_RESTART_NO,
        SUP_RESTART_ON_SUCCESS,
        SUP_RESTART_ON_FAILURE,
        SUP_RESTART_ON_ABNORMAL,
        SUP_RESTART_ALWAYS,
        _SUP_RESTART_MAX,
        _SUP_RESTART_INVALID = -EINVAL,
} SupRestart;

typedef struct SupExitSet { /* exit statuses 0..255 and signals 1..64 */
        uint64_t status[4];
        uint64_t signals;
} SupExitSet;

typedef struct SupSpec {
        char **exec;                      /* argv; never empty */
        char **exec_resume;               /* NULL: exec again */
        char *workspace;                  /* absolute folder, or NULL */
        char *working_directory;          /* absolute folder, or NULL: the workspace */
        char **environment;               /* NAME=value */
        SupRestart restart;               /* default: on-failure */
        usec_t restart_usec;              /* 1 s */
        usec_t restart_max_delay_usec;    /* 5 min */
        unsigned restart_steps;           /* 8 */
        usec_t start_limit_interval_usec; /* 10 min */
        unsigned start_limit_burst;       /* 10; 0: no limit */
        SupExitSet restart_prevent;
        SupExitSet success;        /* beside 0 */
        int kill_signal;           /* SIGTERM */
        usec_t timeout_start_usec; /* 90 s: exec must have happened */
        usec_t timeout_stop_usec;  /* 30 s */
        bool stop_with_daemon;     /* on_daemon_stop = stop; default keep */
} SupSpec;

/* From the `agent` object of a request or of a stored configuration, by the table of unit keys
 * (contract/unit-keys.h). 0 with *ret; or the number of errors added to e (> 0): unknown key (with the nearest
 * known one), a key that this version does not build yet (says so), a wrong value; or -ENOMEM. */
int sup_spec_parse(JsonSpan agent, SupSpec **ret, FieldErrors *e);
SupSpec *sup_spec_free(SupSpec *s);
DEFINE_CLEANUP(SupSpec *, sup_spec_free);

/* ---- how a run ended ---- */

typedef enum SupResult {
        SUP_RESULT_SUCCESS, /* exit 0 or one of success=; or ended by a stop that was asked for */
        SUP_RESULT_EXIT_CODE,
        SUP_RESULT_SIGNAL,
        SUP_RESULT_CORE_DUMP,
        SUP_RESULT_EXEC,    /* could not be started; reason says which step */
        SUP_RESULT_TIMEOUT, /* start timeout */
        SUP_RESULT_LOST,    /* gone without a trace (machine or keeper died) */
        SUP_RESULT_UNKNOWN, /* gone, status not known */
        _SUP_RESULT_MAX,
        _SUP_RESULT_INVALID = -EINVAL,
} SupResult;
const char *sup_result_to_string(SupResult r); /* "exit-code", … */

typedef struct SupExit {
        SupResult result;
        int exit_code;   /* or -1 */
        int exit_signal; /* or 0 */
        bool stop_was_asked;
        bool killed_after_timeout; /* TimeoutStopSec passed and the tree was killed */
        unsigned leftovers; /* processes of the tree that outlived the leader and were ended */
        bool never_began; /* LOST, and the keeper, who was there all the time, never heard of it */
        usec_t time;      /* realtime, of the leader's end */
        int exec_error;   /* EXEC: why, a positive errno; 0: not known */
        char reason[200]; /* for people: "could not change to the folder /x: No such file or directory" */
} SupExit;

typedef struct SupIdentity {
        pid_t pid;
        uint64_t pidfd_id, start_time;
        uint64_t cgroup_id; /* 0: no cgroup */
        char boot_id[37];
} SupIdentity;

typedef enum SupRunState {
        SUP_RUN_QUEUED,
        SUP_RUN_SPAWNING,
        SUP_RUN_ALIVE,
        SUP_RUN_FROZEN,
        SUP_RUN_STOPPING,
        SUP_RUN_KILLING,
        SUP_RUN_ENDED,
        _SUP_RUN_STATE_MAX,
        _SUP_RUN_STATE_INVALID = -EINVAL,
} SupRunState;
const char *sup_run_state_to_string(SupRunState s);

/* ---- manager ---- */

typedef struct SupManager SupManager;
typedef struct SupRun SupRun;

typedef struct SupOps {
        /* The cgroup was made (id 0: none); called right before the job goes to the keeper. */
        /* exec succeeded */
        void (*started)(SupRun *run, const SupIdentity *id, void *userdata);
        /* The whole tree is dead. Commit, then sup_run_release(). */
        void (*ended)(SupRun *run, const SupExit *exit, void *userdata);
        /* Its output is held back from now on, since no file takes it (error: a positive errno),
         * or, with error 0, no longer. since: realtime, when that began. Nothing is lost by it. */
        void (*output)(SupRun *run, int error, usec_t since, void *userdata);
        /* Link up: all runs of this keeper are known now (after start and after a keeper's death). */
        void (*keeper_ready)(pid_t keeper_pid, void *userdata);
        /* Somebody asked the keeper to stop everything. */
        void (*terminate)(void *userdata);
        /* Somebody asked the keeper to have the configuration read again. */
        void (*reload)(void *userdata);
} SupOps;

typedef struct SupConfig {
        const char *runtime_dir;             /* FIFOs live in RUNTIME/runs/RUN/ */
        const char *log_dir;                 /* LOGS/SESSION/RUN.out, .err, .idx */
        const char *keeper_path, *exec_path; /* helper programs */
        const char *cgroup_root; /* NULL: found (see cgroup.h); "" or "none": do not use cgroups */
        int keeper_fd;           /* SEQPACKET to the keeper that started us */
        const int *listen_fds;   /* to hand to a new keeper */
        size_t n_listen_fds;
        char *const *daemon_argv; /* for a new keeper's --daemon PATH -- ARGS */
        unsigned start_parallel;  /* spawning at once; 0: 16 */
        unsigned max_runs;        /* 0: from RLIMIT_NOFILE */
        bool drop_output;         /* what a full disk does not take is dropped; else agents wait */
} SupConfig;

int sup_manager_new(SupManager **ret,
                    sd_event *event,
                    const SupConfig *config,
                    const SupOps *ops,
                    void *userdata);
SupManager *sup_manager_free(SupManager *m);
DEFINE_CLEANUP(SupManager *, sup_manager_free);
/* How many may be spawning at once from now on; 0: 16. */
void sup_manager_set_start_parallel(SupManager *m, unsigned n);
void sup_manager_set_drop_output(SupManager *m, bool drop);
pid_t sup_manager_keeper_pid(const SupManager *m);
unsigned sup_manager_n_alive(const SupManager *m);
/* Runs whose output no file takes now, those included that have ended and are kept for it. */
unsigned sup_manager_n_held(const SupManager *m);
bool sup_manager_has_cgroups(const SupManager *m);
/* Which run does a process in this cgroup (or below it) belong to? 0: none of ours. O(1) for known
 * ids. One that nobody expected counts until it is dead: its processes are an agent's. */
uint64_t sup_manager_run_of_cgroup(SupManager *m, uint64_t cgroup_id);
/* Tells the keeper that the daemon leaves for good; keep: runs live on under it. */
int sup_manager_quit(SupManager *m, bool keep);
/* Says to the service manager, through the keeper: KEEPER_NOTIFY_READY and its kin. */
int sup_manager_notify(SupManager *m, KeeperNotify what);

/* ---- runs ---- */

typedef struct SupRunParams {
        uint64_t run, session; /* ids */
        const SupSpec *spec;   /* must live as long as the run */
        bool resume;           /* use exec_resume if there is one */
        const char *folder; /* the workspace or NULL; spec->working_directory wins; else the user's home */
        char *const *env;  /* AGENTD_… and the like, wins over spec->environment */
        usec_t created_at; /* for expect: realtime, when its row was written */
        void *userdata;    /* the owner's */
} SupRunParams;

/* Queues the start. The owner has committed the run's row before. -ENOMEM, -EEXIST. */
int sup_run_start(SupManager *m, const SupRunParams *params, SupRun **ret);
/* At start-up, before keeper_ready: a run that the store says was begun and not ended. Once the
 * keeper has listed its slots the room decides: adopts the living tree (started() is NOT called
 * again unless exec was never confirmed), or reports ended() with the status the keeper kept, or
 * with LOST/UNKNOWN after making sure that the tree is dead. stop_asked: the stop was already under
 * way. frozen: it was paused. id may have zeros for what was never recorded. Trees and slots of
 * runs that nobody expects are killed. */
int sup_run_expect(SupManager *m,
                   const SupRunParams *params,
                   const SupIdentity *id,
                   bool stop_asked,
                   bool frozen,
                   SupRun **ret);

SupRun *sup_run_find(SupManager *m, uint64_t run_id);
uint64_t sup_run_id(const SupRun *r);
SupRunState sup_run_state(const SupRun *r);
pid_t sup_run_pid(const SupRun *r);
void *sup_run_userdata(const SupRun *r);
/* Why its output is held back (a positive errno) and since when (realtime); 0: it is not. Also of a
 * run that was released: sup_run_find() finds it as long as that lasts. */
int sup_run_held(const SupRun *r, usec_t *ret_since);
/* kill_signal to the leader (and SIGCONT, thawing first), later the tree; ended() comes.
 * Idempotent. In QUEUED: ended() at once (from the loop). */
int sup_run_stop(SupRun *r);
/* cgroup.kill now. */
int sup_run_kill_tree(SupRun *r);
/* A signal to the leader. -ESRCH if it is gone. */
int sup_run_signal(SupRun *r, int signo);
/* done(r, 0 or -errno) when cgroup.events says frozen; -EOPNOTSUPP without cgroups (then SIGSTOP is not pretended). */
int sup_run_freeze(SupRun *r, void (*done)(SupRun *r, int error, void *userdata), void *userdata);
int sup_run_thaw(SupRun *r);
/* After the end was committed: frees the slot, the FIFO folder, the cgroup and r; if output of it
 * is held back, as soon as it is in its files. r, spec and userdata are the owner's no longer. */
void sup_run_release(SupRun *r);

typedef struct SupUsage {
        unsigned tasks;
        uint64_t memory_bytes, cpu_usec; /* UINT64_MAX: not known */
} SupUsage;
/* Of all runs together, from their common cgroup: two files, however many there are. -EOPNOTSUPP without one. */
int sup_manager_usage(const SupManager *m, SupUsage *ret);
/* From the cgroup where it tells, else summed over /proc of its processes. */
int sup_run_usage(const SupRun *r, SupUsage *ret);

/* ---- restart policy: a pure function ---- */

typedef struct SupRestartState { /* the owner keeps it in the store */
        unsigned restarts;       /* in a row, for the back-off */
        usec_t window_start;     /* realtime; start limit */
        unsigned window_count;
} SupRestartState;

typedef enum SupAction {
        SUP_ACTION_STOP,    /* ends in stopped/exited */
        SUP_ACTION_FAIL,    /* ends in error/failed */
        SUP_ACTION_GIVE_UP, /* would restart, but cannot be started as it is: error/failed at once */
        SUP_ACTION_START_LIMIT, /* would restart, but too often: error/failed with that reason */
        SUP_ACTION_RESTART,     /* after *ret_delay */
} SupAction;
/* started_at 0: it never began. random: any 64 bits, for the 25 % jitter. A run of ten good minutes resets the
 * back-off (so does progress, which the owner signals by restarts = 0). Updates *state. */
SupAction sup_restart_decide(const SupSpec *spec,
                             SupRestartState *state,
                             const SupExit *exit,
                             usec_t started_at,
                             usec_t now,
                             uint64_t random,
                             usec_t *ret_delay);
