/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to agentd-keeper: one process, one thread, one Keeper. Everything it will ever need is
 * allocated before the loop begins; functions that return int give 0 or negative errno. */

#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/macro.h"
#include "keeper/message.h"
#include "keeper/protocol.h"

/* ---- options.c ---- */

typedef struct KeeperOptions {
        const char *runtime_dir;
        const char *daemon_path;
        char *const *daemon_args; /* behind the "--", NULL-terminated */
        const char *exec_path;    /* owned; agentd-exec */
        unsigned max_runs;
        unsigned n_listen;
        int adopt_fd;     /* or -EBADF */
        int daemon_pidfd; /* or -EBADF */
} KeeperOptions;

/* Says on stderr what is wrong. 1: --help or --version was answered. */
int keeper_options_parse(KeeperOptions *ret, int argc, char *argv[]);

/* ---- the loop's sources: what an epoll event is about ---- */

typedef enum KeeperSource {
        KEEPER_SOURCE_SIGNALS,
        KEEPER_SOURCE_LINK,
        KEEPER_SOURCE_DAEMON,  /* pidfd of an adopted daemon */
        KEEPER_SOURCE_STATUS,  /* status pipe of a run */
        KEEPER_SOURCE_LEADER,  /* pidfd of an adopted run */
        KEEPER_SOURCE_OUTPUTS, /* the inner epoll of all FIFOs */
        KEEPER_SOURCE_FIFO,    /* (in the inner epoll) index of the run, stream */
        KEEPER_SOURCE_LISTEN,  /* control socket */
        KEEPER_SOURCE_CONTROL, /* one connection to it */
} KeeperSource;

/* Events of one epoll_wait() may outlive the run they are about; the generation tells. */
typedef struct KeeperKey {
        KeeperSource source;
        unsigned index;
        unsigned generation; /* 20 bits count */
        unsigned stream;
} KeeperKey;

#define KEEPER_GENERATION_MASK 0xfffffU

uint64_t keeper_key_pack(KeeperKey key);
KeeperKey keeper_key_unpack(uint64_t packed);

/* ---- the table ---- */

typedef struct KeeperOutput {
        int fifo, log;
        bool watched;    /* in the inner epoll: there may be writers */
        int held;        /* why the log takes nothing now (errno): bytes wait in the FIFO; or 0 */
        uint64_t offset; /* of the log: its size */
        uint64_t gap;    /* lost bytes that have no record yet */
        bool unrecorded; /* the log has bytes that the index does not know */
} KeeperOutput;

typedef struct KeeperRun {
        KeeperSlot slot;
        bool used, child;
        bool leader_watched; /* adopted and in the epoll */
        bool pend_slot, pend_started, pend_output,
                pend_end; /* reports that the daemon has not got yet */
        unsigned generation;
        int pidfd, status_fd, index_fd;
        int index_error; /* why the index did not take its last record (errno), or 0 */
        uint64_t index_offset;
        int held_error;   /* as OUTPUT tells it */
        usec_t held_usec; /* realtime, since when */
        KeeperOutput out[2];
        uint64_t ended_usec;
        uint32_t fail_step;
        int32_t fail_error; /* != 0: the run failed to begin, and is to be reaped */
} KeeperRun;

typedef struct KeeperLink {
        int fd;
        bool writable; /* false: wait for EPOLLOUT */
        bool pend_hello, pend_end, pend_terminate, pend_reload, pend_refused;
        KeeperMsg refused; /* reading stops until it is sent */
        unsigned cursor;
} KeeperLink;

/* A later `agentd start` may bring the daemon another command line: room for it is taken at the start. */
#define KEEPER_DAEMON_WORDS 512
#define KEEPER_DAEMON_BYTES 65536

typedef struct KeeperDaemon {
        pid_t pid; /* 0: none; never used for anything but to recognise our child */
        int pidfd;
        bool child;
        usec_t started; /* monotonic */
        unsigned failures;
        usec_t start_at; /* monotonic; USEC_INFINITY: no start is due */
        usec_t kill_at;  /* monotonic; a daemon without a link, or one that does not stop */
        char **argv; /* with room for KEEPER_DAEMON_WORDS and the descriptors' numbers at the end */
        char listen_text[12];
        char words[KEEPER_DAEMON_BYTES]; /* its path; all of a command line that START brought */
} KeeperDaemon;

#define KEEPER_CONTROL_MAX 4

typedef struct Keeper {
        KeeperOptions options;
        int epoll, outputs, signals, null, exec, lock;
        int dir; /* the runtime folder */
        usec_t started_usec;
        struct rlimit nofile;   /* as it was, for the children; 0: not known */
        char oom_score_adj[16]; /* as it was; empty: not changed */

        KeeperRun *runs;
        unsigned max_runs, n_used, high; /* high: no run above */
        unsigned n_pending;              /* runs with a report pending */
        bool behind; /* to be tried again in a second: a held stream, a record, watching a leader */
        bool drop_output; /* instead of holding it back */

        KeeperLink link;
        KeeperDaemon daemon;
        int listen[KEEPER_MSG_FDS_MAX];
        unsigned n_listen;

        int control_listen, control[KEEPER_CONTROL_MAX];
        unsigned control_generation;

        enum { BIRTH_UNTRIED, BIRTH_WORKS, BIRTH_FAILS } birth; /* in a cgroup; see spawn.c */

        struct {
                usec_t interval; /* the service manager's patience; 0: it has no watchdog */
                usec_t next;     /* monotonic; our own word, while the daemon cannot give one */
                usec_t patience; /* monotonic; until when the daemon's next word is due */
        } watchdog;

        bool quitting;  /* the daemon will not be started again */
        bool gave_up;   /* because it said that it cannot run */
        bool keep_runs; /* leave only when no run lives */
        bool leave;     /* at once */
        usec_t term_at; /* monotonic; first SIGTERM, or USEC_INFINITY */
} Keeper;

/* ---- loop.c ---- */

int keeper_watch(int epoll, int fd, uint32_t events, KeeperKey key);
void keeper_unwatch(int epoll, int fd);
/* Until it is time to leave. */
int keeper_loop(Keeper *k);

/* ---- slots.c ---- */

/* NULL: no such run. */
KeeperRun *keeper_run_find(Keeper *k, uint64_t run);
KeeperRun *keeper_run_find_pid(Keeper *k, pid_t pid); /* our children only */
/* The run of an event, or NULL if it has been freed since. */
KeeperRun *keeper_run_of(Keeper *k, KeeperKey key);
KeeperKey keeper_run_key(const Keeper *k, const KeeperRun *r, KeeperSource source);
/* NULL: the table is full. */
KeeperRun *keeper_run_take(Keeper *k, uint64_t run);
void keeper_run_free(Keeper *k, KeeperRun *r);
bool keeper_run_has_ended(const KeeperRun *r);
bool keeper_any_run_lives(const Keeper *k);
/* The transitions. Each makes the report pending. */
void keeper_run_started(Keeper *k, KeeperRun *r);
void keeper_run_failed(Keeper *k, KeeperRun *r, uint32_t step, int error);
void keeper_run_exited(Keeper *k, KeeperRun *r, int code, int signo, bool core, KeeperExitSource source);
/* Sets or clears one of the pend_ flags and keeps count. */
void keeper_run_pend(Keeper *k, KeeperRun *r, bool *flag, bool value);

/* ---- spawn.c, adopt.c, exit.c ---- */

/* Forks and executes agentd-exec; the run's outputs are set up. Failures end in keeper_run_failed(). */
/* cgroup_fd: where to begin; negative: agentd-exec joins. */
void keeper_run_spawn(Keeper *k, KeeperRun *r, int job_fd, int cgroup_fd);
/* The status pipe has something to say. */
void keeper_run_status(Keeper *k, KeeperRun *r);
/* Our child is a zombie: reap it and report. */
void keeper_run_reap(Keeper *k, KeeperRun *r);
/* Takes over the leader behind pidfd (ownership passes) if it is the one that the message describes. */
void keeper_run_adopt(Keeper *k, KeeperRun *r, const KeeperMsg *m, int pidfd);
/* Tries again to watch those of which that failed (k->behind). */
void keeper_leaders_retry(Keeper *k);
/* The pidfd of an adopted run is ready: hangup says that the process was reaped. */
void keeper_run_leader_gone(Keeper *k, KeeperRun *r, bool hangup);

typedef struct KeeperExit {
        int code, signo;
        bool core;
        KeeperExitSource source;
} KeeperExit;

/* How did a process that is not our child end? -EAGAIN: it is a zombie whose status we may not
 * read; wait until it is reaped (only if reaped is false). Source UNKNOWN is a success. */
int keeper_exit_of(int pidfd, pid_t pid, uint64_t start_time, bool reaped, KeeperExit *ret);
/* In a fresh child: what must not be inherited from the keeper. Async-signal-safe. */
void keeper_child_reset(const Keeper *k);

/* ---- exits.c ---- */

/* What ended and was not freed, from and to the runtime folder. */
void keeper_exits_load(Keeper *k);
void keeper_exits_save(Keeper *k);

/* ---- output.c ---- */

/* Takes the five descriptors from KEEPER_FD_OUT on; they belong to the run even on failure. */
int keeper_output_open(Keeper *k, KeeperRun *r, const int *fds, bool adopting);
/* Moves at most one turn's worth. */
void keeper_output_turn(Keeper *k, KeeperRun *r, unsigned stream);
/* Tries again what files did not take (k->behind). */
void keeper_output_retry(Keeper *k);
/* Moves what is in the FIFOs now, as far as the files take it. */
void keeper_output_drain(Keeper *k, KeeperRun *r);
/* For a run that was taken over, of which the daemon believes this: it is told if that is wrong now. */
void keeper_output_adopted(Keeper *k, KeeperRun *r, int held_error);
bool keeper_output_any_held(const Keeper *k);
/* The same as draining, and what the files do not take is lost, counted and said. */
void keeper_output_give_up(Keeper *k, KeeperRun *r);
/* Gives up, and closes. */
void keeper_output_close(Keeper *k, KeeperRun *r);

/* ---- link.c ---- */

/* Takes fd; everything is listed anew. */
int keeper_link_open(Keeper *k, int fd);
void keeper_link_close(Keeper *k);
void keeper_link_event(Keeper *k, uint32_t events);
/* Sends what is pending, as far as the socket takes it. */
void keeper_link_flush(Keeper *k);
/* One message from the daemon; takes the descriptors. */
void keeper_link_message(Keeper *k, const KeeperMsg *msg, int *fds, size_t n_fds);

/* ---- daemon.c ---- */

#define KEEPER_STOP_USEC (90 * USEC_PER_SEC) /* for a daemon that was told to stop */

int keeper_daemon_init(Keeper *k);
/* Another command line from now on: PATH and ARGS in a file, NUL behind each. A negative errno changes nothing. */
int keeper_daemon_take_arguments(Keeper *k, int fd);
/* The daemon that started us. */
int keeper_daemon_adopt(Keeper *k, int pidfd);
void keeper_daemon_start(Keeper *k);
/* Reaped, or seen to be gone. status as of waitpid(), or -1. */
void keeper_daemon_gone(Keeper *k, int status);
/* The link broke while the daemon lives. */
void keeper_daemon_link_lost(Keeper *k);
usec_t keeper_daemon_deadline(const Keeper *k);
void keeper_daemon_tick(Keeper *k, usec_t now);
/* How long to wait before the next start, after so many short lives in a row. */
usec_t keeper_daemon_backoff(unsigned failures);
void keeper_listen_close(Keeper *k);

/* ---- signals.c ---- */

int keeper_signals_open(Keeper *k);
void keeper_signals_event(Keeper *k);
/* Every zombie that is there: ours by their slots, the others because we are their reaper. */
void keeper_reap(Keeper *k);

/* ---- control.c, runtime.c ---- */

int keeper_control_open(Keeper *k);
void keeper_control_close(Keeper *k);
void keeper_control_accept(Keeper *k);
void keeper_control_event(Keeper *k, KeeperKey key);
/* Opens and locks the runtime folder; waits up to 5 s for the lock when adopting. -EBUSY was explained. */
int keeper_runtime_lock(Keeper *k);

/* ---- notify.c ---- */

/* To the service manager, if there is one. */
void keeper_notify(const char *text);
/* The same for the daemon. */
void keeper_notify_of_daemon(Keeper *k, uint32_t what);
void keeper_watchdog_init(Keeper *k);
/* The daemon gives no word now: it is being started, or stopped. */
void keeper_watchdog_rest(Keeper *k);
usec_t keeper_watchdog_deadline(const Keeper *k);
void keeper_watchdog_tick(Keeper *k, usec_t now);
