/* SPDX-License-Identifier: MIT */
#pragma once

/* A manager with an owner that records what it is told, for the tests of this room. The keeper is
 * either the real one (AGENTD_KEEPER, AGENTD_EXEC name the programs) or played by the test on the
 * other end of the link. */

#include "base/test.h"
#include "keeper/protocol.h"
#include "sup/sup.h"

#define RIG_RUNS_MAX 256

typedef struct Rig Rig;

typedef struct RigRun {
        Rig *rig;
        SupRun *run;
        SupSpec *spec;
        uint64_t id;
        SupIdentity identity;
        SupExit exit;
        unsigned n_started, n_ended;
        bool keep; /* not released by ended() */
        bool freeze_answered;
        int freeze_error;
} RigRun;

struct Rig {
        char *folder;
        sd_event *event;
        SupManager *manager;
        int keeper_fd; /* our end, if the test plays the keeper */
        RigRun runs[RIG_RUNS_MAX];
        unsigned n_runs, n_ended, n_ready, n_terminate;
};

/* cgroup_root as in SupConfig. */
void rig_open(Rig *rig, const char *cgroup_root, bool real_keeper);
/* Ends the keeper and all that is left, removes the folder. */
void rig_close(Rig *rig);
SupConfig rig_config(const Rig *rig, const char *cgroup_root);
extern const SupOps rig_ops;
/* json: the agent object. */
RigRun *rig_add(Rig *rig, const char *json);
RigRun *rig_start(Rig *rig, const char *json);
/* Runs the loop until the condition is true. */
#define rig_wait(rig, condition)       \
        do {                           \
                while (!(condition))   \
                        rig_turn(rig); \
        } while (0)
void rig_turn(Rig *rig);
/* What the run has written so far, both streams merged, lines separated by `|`. */
char *rig_log(Rig *rig, RigRun *r);
bool rig_has_cgroups(void);

/* ---- playing the keeper ---- */

void rig_hello(Rig *rig, unsigned max_runs);
void rig_send(Rig *rig, const KeeperMsg *msg);
/* Runs the loop until the daemon has sent a packet of this type; its descriptors are closed. */
KeeperMsg rig_expect(Rig *rig, KeeperMsgType type);
/* A packet is there now? */
bool rig_pending(Rig *rig);
