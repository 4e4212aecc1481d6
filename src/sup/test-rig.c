/* SPDX-License-Identifier: MIT */

/* The owner of a manager as a test needs it: it commits at once, in memory. */

#include "sup/test-rig.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/id.h"
#include "keeper/message.h"
#include "sup/cgroup-internal.h"
#include "sup/logs.h"

#define SESSION       7
#define PATIENCE_USEC USEC_PER_MINUTE

static void on_started(SupRun *run, const SupIdentity *id, void *userdata) {
        RigRun *r = sup_run_userdata(run);
        r->identity = *id;
        r->n_started++;
}

static void on_ended(SupRun *run, const SupExit *exit, void *userdata) {
        RigRun *r = sup_run_userdata(run);
        assert_int_equal(sup_run_state(run), SUP_RUN_ENDED);
        r->exit = *exit;
        r->n_ended++;
        r->rig->n_ended++;
        if (r->keep)
                return;
        r->run = NULL;
        sup_run_release(run);
}

static void on_ready(pid_t keeper_pid, void *userdata) {
        Rig *rig = userdata;
        assert_true(keeper_pid > 0);
        rig->n_ready++;
}

static void on_terminate(void *userdata) {
        Rig *rig = userdata;
        rig->n_terminate++;
}

const SupOps rig_ops = {
        .started = on_started,
        .ended = on_ended,
        .keeper_ready = on_ready,
        .terminate = on_terminate,
};

static const char *program(const char *variable) {
        const char *path = getenv(variable);
        if (!path)
                fail_msg("%s does not name the program", variable);
        return path;
}

/* What the keeper starts when this test dies in the middle: it ends the keeper, if that is still its parent. */
static char shell[] = "/bin/sh", shell_c[] = "-c";
static char script[] =
        "read name < /proc/$PPID/comm && [ \"$name\" = agentd-keeper ] && kill -KILL $PPID";
static char *daemon_argv[] = { shell, shell_c, script, NULL };

SupConfig rig_config(const Rig *rig, const char *cgroup_root) {
        static char runtime[256], logs[256];
        (void) snprintf(runtime, sizeof(runtime), "%s/run", rig->folder);
        (void) snprintf(logs, sizeof(logs), "%s/logs", rig->folder);
        return (SupConfig){
                .runtime_dir = runtime,
                .log_dir = logs,
                .cgroup_root = cgroup_root,
                .daemon_argv = daemon_argv,
        };
}

void rig_open(Rig *rig, const char *cgroup_root, bool real_keeper) {
        int pair[2];

        *rig = (Rig){ .keeper_fd = -EBADF };
        rig->folder = test_folder();
        assert_true(sd_event_new(&rig->event) >= 0);
        SupConfig config = rig_config(rig, cgroup_root);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        config.keeper_fd = pair[0];
        if (real_keeper) {
                config.keeper_path = program("AGENTD_KEEPER");
                config.exec_path = program("AGENTD_EXEC");
                (void) close(pair[1]); /* the keeper is dead: the manager starts one */
        } else
                rig->keeper_fd = pair[1];
        assert_int_equal(sup_manager_new(&rig->manager, rig->event, &config, &rig_ops, rig), 0);
        if (real_keeper)
                rig_wait(rig, rig->n_ready == 1);
}

void rig_close(Rig *rig) {
        pid_t keeper = sup_manager_keeper_pid(rig->manager);

        if (rig->keeper_fd < 0) {
                for (unsigned i = 0; i < rig->n_runs; i++)
                        if (rig->runs[i].run && sup_run_state(rig->runs[i].run) != SUP_RUN_ENDED)
                                (void) sup_run_kill_tree(rig->runs[i].run);
                rig_wait(rig, rig->n_ended == rig->n_runs);
                /* It would wait for its daemon, which is this process. */
                assert_int_equal(kill(keeper, SIGKILL), 0);
                assert_int_equal(waitpid(keeper, NULL, 0), keeper);
        }
        for (unsigned i = 0; i < rig->n_runs; i++)
                sup_spec_free(rig->runs[i].spec);
        sup_manager_free(rig->manager);
        rig->keeper_fd = fd_close(rig->keeper_fd);
        sd_event_unref(rig->event);
        test_folder_done(&rig->folder);
}

void rig_turn(Rig *rig) {
        usec_t before = clock_monotonic();
        assert_true(sd_event_run(rig->event, PATIENCE_USEC) >= 0);
        if (clock_monotonic() - before >= PATIENCE_USEC)
                fail_msg("nothing has happened for a minute");
}

RigRun *rig_add(Rig *rig, const char *json) {
        FieldErrors errors = {};
        JsonSpan span;

        assert_true(rig->n_runs < RIG_RUNS_MAX);
        RigRun *r = &rig->runs[rig->n_runs++];
        *r = (RigRun){ .rig = rig, .id = id_new() };
        assert_int_equal(json_check(json, strlen(json), 16, &span, NULL), 0);
        int e = sup_spec_parse(span, &r->spec, &errors);
        if (e != 0)
                fail_msg("%s: %s", json, errors.items[0].msg);
        return r;
}

RigRun *rig_start(Rig *rig, const char *json) {
        RigRun *r = rig_add(rig, json);
        SupRunParams params = {
                .run = r->id, .session = SESSION, .spec = r->spec, .folder = rig->folder, .userdata = r
        };
        assert_int_equal(sup_run_start(rig->manager, &params, &r->run), 0);
        return r;
}

char *rig_log(Rig *rig, RigRun *r) {
        _cleanup_(sup_log_freep) SupLog *l = NULL;
        _cleanup_buf_ Buf b = BUF_INIT(1U << 20);
        SupLogOptions options = { .lines = -1, .run = r->id };
        SupConfig config = rig_config(rig, NULL);
        SupLogLine line;
        int e;

        assert_int_equal(sup_log_open(&l, config.log_dir, SESSION, &options), 0);
        assert_int_equal(buf_puts(&b, ""), 0);
        while ((e = sup_log_next(l, &line)) > 0) {
                assert_int_equal(buf_append(&b, line.text, line.n), 0);
                assert_int_equal(buf_putc(&b, '|'), 0);
        }
        assert_int_equal(e, 0);
        return buf_take(&b, NULL);
}

bool rig_has_cgroups(void) {
        _cleanup_(cgroups_freep) Cgroups *c = NULL;
        char *folder = test_folder();
        const char *why = "";

        int r = cgroups_open(&c, NULL, folder, &why);
        if (r < 0)
                print_message("skipped: %s\n", why);
        test_folder_done(&folder);
        return r >= 0;
}

/* ---- playing the keeper ---- */

void rig_send(Rig *rig, const KeeperMsg *msg) {
        assert_int_equal(keeper_msg_send(rig->keeper_fd, msg, NULL, 0), 0);
}

void rig_hello(Rig *rig, unsigned max_runs) {
        rig_send(rig, &(KeeperMsg){ .type = KEEPER_HELLO,
                                    .hello = { .version = KEEPER_PROTOCOL_VERSION,
                                               .pid = getpid(),
                                               .max_runs = max_runs } });
}

bool rig_pending(Rig *rig) {
        struct pollfd p = { .fd = rig->keeper_fd, .events = POLLIN };
        return poll(&p, 1, 0) > 0;
}

KeeperMsg rig_expect(Rig *rig, KeeperMsgType type) {
        int fds[_KEEPER_FD_SPAWN_MAX];
        KeeperMsg msg;
        size_t n;

        rig_wait(rig, rig_pending(rig));
        assert_int_equal(keeper_msg_recv(rig->keeper_fd, &msg, fds, ELEMENTSOF(fds), &n), 1);
        keeper_fds_close(fds, n);
        assert_int_equal(msg.type, type);
        return msg;
}
