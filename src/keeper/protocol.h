/* SPDX-License-Identifier: MIT */
#pragma once

/* What daemon and keeper say to each other: one fixed-size struct a packet on a SOCK_SEQPACKET
 * pair, file descriptors beside it by SCM_RIGHTS. Both run on one machine; the version is checked
 * by HELLO because an upgrade may leave an old keeper with a new daemon.
 *
 * The keeper's life
 * - Started by `agentd start`: agentd-keeper --runtime DIR --max-runs N --listen-fds N --daemon
 * PATH -- ARGS… with the listening sockets at fds 3…; it locks DIR/keeper.lock (its pid inside),
 * becomes a subreaper, opens the control socket DIR/keeper.sock, and starts the daemon: PATH ARGS…
 * --keeper-fd 3 --listen-fds N, with the SEQPACKET pair's end at 3 and the listening sockets at 4….
 * When the daemon dies it starts it again at once (then 0.1 s, 0.2 s … 5 s when it keeps dying
 * within 5 s of its start). The exit status EX_CONFIG says that this cannot help: then the keeper
 * does as after QUIT with keep_runs, and ends with a status of 1.
 * - Started by a daemon whose keeper died: the same plus --adopt-fd FD (the pair's other end) and
 *   --daemon-pidfd FD (the daemon, adopted). It waits up to 5 s for DIR/keeper.lock.
 * - First packet on a link, keeper → daemon: HELLO, then one SLOT for each used slot, then
 * SLOTS_END. A freshly adopting keeper has none; the daemon sends ADOPT for each run it knows.
 * - QUIT by the daemon: the keeper closes the listening sockets, will not start the daemon again,
 * and leaves as soon as no run lives. Until then `agentd start` may say START on the control
 * socket, with new listening sockets and a new command line: the keeper starts the daemon again
 * with them. As PID 1 it leaves when the daemon has gone and all is empty. Ends that were not freed
 * by then are kept in DIR/keeper.exits, and the next keeper that is not an adopting one has them in
 * its slots.
 * - SIGHUP to the keeper: it sends RELOAD to the daemon, as soon as there is one.
 * - SIGTERM or SIGINT to the keeper: it sends TERMINATE to the daemon (or restarts nothing if there
 * is none), which does the graceful stop and answers with QUIT. A second one after 5 s, or a daemon
 * that does not answer within 90 s: the keeper ends the daemon and leaves; agents live on.
 *
 * - NOTIFY: the service manager (NOTIFY_SOCKET) knows the keeper as the service's main process and
 * listens to nobody else, since agents live in the same service; so what the daemon has to say goes
 * through the keeper. With WATCHDOG_USEC the daemon says WATCHDOG each quarter of it from when it
 * is ready; two that are missing end the daemon, and not the service with all its agents.
 *
 * - Output that the log file does not take (full disk) stays in the FIFO: OUTPUT says so, and when it
 * is over, once each. It comes before the run's EXITED, and again after the slots to a new daemon. FREE
 * of a run whose output is still held back gives it up: lost, counted, and said in the log. After QUIT
 * with keep_runs the keeper stays for it as for a run that lives, unless it is ended by a signal.
 *
 * A run's slot is freed only by FREE, which the daemon sends after it has committed the exit: so an
 * exit can be reported again to the next daemon. FREE for a run that has not ended is refused (and
 * logged).
 *
 * Rules that the daemon has to keep
 * - It holds the read end of each FIFO open itself until FREE: what is in a pipe is lost with its
 * last descriptor, and between two keepers the agent's may be the last. For the same reason it
 * keeps a pidfd per run: an exit between two keepers can be read only through one that was opened
 * before.
 * - The log files are not O_APPEND (splice refuses those), and nobody else writes to them.
 * - After HELLO and the slots, FAILED is sent again for each slot in KEEPER_RUN_FAILED (a SLOT has
 * no room for the step); an EXITED that was not sent yet arrives as a SLOT. Between STARTED, FAILED
 * and EXITED of one run the order is kept.
 * - SPAWN of a run that has a slot already only repeats the report. SPAWN without a free slot is
 * answered by FAILED with EXEC_STEP_JOB and ENOBUFS. ADOPT is answered only when the leader has
 * gone: by EXITED. */

#include "base/clock.h"

#define KEEPER_PROTOCOL_VERSION 1

typedef enum KeeperMsgType {
        /* keeper → daemon */
        KEEPER_HELLO = 1, /* hello */
        KEEPER_SLOT,      /* slot */
        KEEPER_SLOTS_END, /* – */
        KEEPER_STARTED,   /* slot: exec of the agent succeeded */
        KEEPER_FAILED, /* failed: the run never began; no EXITED follows; slot is in KEEPER_RUN_FAILED */
        KEEPER_EXITED,    /* slot: the leader is gone; what it wrote before is in the log files */
        KEEPER_TERMINATE, /* –: somebody asked the keeper to stop everything gracefully */
        KEEPER_RELOAD,    /* –: somebody asked the keeper to have the configuration read again */
        KEEPER_OUTPUT,    /* output: a run's output is held back from now on, or no longer */
        /* daemon → keeper */
        KEEPER_SPAWN = 32, /* run; fds: KEEPER_FD_* (job, and the output set) */
        KEEPER_SIGNAL, /* signal: to the leader by pidfd; SIGCONT follows SIGTERM-like ones by the daemon's choice */
        KEEPER_FREE,      /* run */
        KEEPER_ADOPT,     /* adopt; fds: pidfd and the output set */
        KEEPER_QUIT,      /* quit */
        KEEPER_NOTIFY,    /* notify: for the service manager, who listens to the keeper only */
        KEEPER_CONFIGURE, /* configure: what the daemon's configuration says of the keeper's work */
        /* control socket (agentd start → keeper, and answers) */
        KEEPER_START = 64, /* start; fds: listening sockets, and behind them a file with the daemon's
                            * command line if has_arguments: PATH and ARGS, NUL behind each. Answer:
                            * CONTROL_OK or CONTROL_BUSY (daemon runs), none if that file is wrong */
        KEEPER_CONTROL_OK,
        KEEPER_CONTROL_BUSY,
} KeeperMsgType;

typedef enum KeeperNotify {
        KEEPER_NOTIFY_READY = 1, /* also: has been read again */
        KEEPER_NOTIFY_RELOADING,
        KEEPER_NOTIFY_WATCHDOG, /* the daemon's loop turns */
} KeeperNotify;

typedef enum KeeperRunState {
        KEEPER_RUN_SPAWNING, /* forked, exec not yet confirmed */
        KEEPER_RUN_ALIVE,
        KEEPER_RUN_EXITED,
        KEEPER_RUN_FAILED,
} KeeperRunState;

/* How an exit status became known. */
typedef enum KeeperExitSource {
        KEEPER_EXIT_REAPED,  /* our child: waitid() */
        KEEPER_EXIT_PIDFD,   /* PIDFD_GET_INFO with EXIT */
        KEEPER_EXIT_ZOMBIE,  /* /proc/PID/stat of the zombie, field exit_code */
        KEEPER_EXIT_UNKNOWN, /* gone, nobody knows how */
} KeeperExitSource;

/* Descriptors that come with SPAWN (all) and ADOPT (pidfd instead of the job), in this order. */
enum {
        KEEPER_FD_JOB = 0, /* SPAWN: sealed memfd with the exec job; ADOPT: pidfd of the leader */
        KEEPER_FD_OUT,     /* FIFO of stdout, read end */
        KEEPER_FD_ERR,
        KEEPER_FD_OUT_LOG, /* file that stdout's bytes are spliced to, at its end */
        KEEPER_FD_ERR_LOG,
        KEEPER_FD_INDEX, /* file of KeeperIndexRecord, appended */
        _KEEPER_FD_MAX,
        /* SPAWN may bring one more: the run's cgroup folder, to begin in. See keeper/spawn.c */
        KEEPER_FD_CGROUP = _KEEPER_FD_MAX,
        _KEEPER_FD_SPAWN_MAX,
};

typedef struct KeeperSlot {
        uint64_t run;
        int32_t pid;
        uint32_t state;      /* KeeperRunState */
        uint64_t pidfd_id;   /* inode of the pidfd: unique for a process's life */
        uint64_t start_time; /* /proc/PID/stat field 22 */
        int32_t exit_code;   /* exit status, or -1 when killed or unknown */
        int32_t exit_signal; /* or 0 */
        uint32_t core_dumped;
        uint32_t exit_source;   /* KeeperExitSource */
        uint64_t time_usec;     /* realtime of start or exit */
        uint64_t dropped_bytes; /* output thrown away because the log could not be written */
} KeeperSlot;

typedef struct KeeperMsg {
        uint32_t type;
        uint32_t reserved;
        union {
                struct {
                        uint32_t version;
                        int32_t pid;
                        uint32_t max_runs;
                        uint32_t n_slots;
                        uint64_t started_usec; /* realtime */
                        uint32_t drop_output;  /* as CONFIGURE said last */
                        uint32_t reserved;
                } hello;
                KeeperSlot slot;
                struct {
                        uint64_t run;
                        uint32_t step; /* ExecStep (exec/job.h) */
                        int32_t error; /* errno, positive */
                } failed;
                struct {
                        uint64_t run;
                } run;
                struct {
                        uint64_t run;
                        int32_t signo;
                } signal;
                struct {
                        uint64_t run;
                        int32_t pid;
                        int32_t held_error; /* what the last OUTPUT of the keeper before said */
                        uint64_t pidfd_id;
                        uint64_t start_time;
                } adopt;
                struct {
                        uint32_t has_arguments;
                } start;
                struct {
                        uint32_t keep_runs; /* 0: the daemon has ended all runs, leave at once */
                } quit;
                struct {
                        uint32_t what; /* KeeperNotify */
                } notify;
                struct {
                        uint64_t run;
                        int32_t error; /* errno, positive: why the files take nothing; 0: all is moved */
                        uint32_t reserved;
                        uint64_t since_usec; /* realtime: since when, or, if it is over, was it so */
                } output;
                struct {
                        uint32_t drop_output; /* what a full disk does not take is dropped; else it waits */
                } configure;
        };
} KeeperMsg;

/* One record per splice: stream's file is filled up to `end` at `time`. 16 bytes, native endian.
 * A gap (bytes dropped because the file did not take them) has the GAP bit and counts the lost
 * bytes in `end`; it lies before the stream's next record. A keeper that adopts a run begins with
 * one record per stream for what the files hold, since its predecessor may have died between a
 * splice and its record: so a record may add no bytes. */
#define KEEPER_INDEX_STREAM_ERR (UINT64_C(1) << 63)
#define KEEPER_INDEX_GAP        (UINT64_C(1) << 62)
typedef struct KeeperIndexRecord {
        uint64_t time_usec; /* realtime */
        uint64_t end;       /* offset, with the bits above */
} KeeperIndexRecord;
