/* SPDX-License-Identifier: MIT */

/* Deaths of the daemon, alone and together with the keeper. A real keeper starts this program as
 * its daemon (argument `daemon`); the first life starts runs, writes their identities to a file and
 * kills itself; the next life expects them as the file says. What it is told goes to a second file,
 * which the test reads when the keeper has left. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "sup/proc-internal.h"
#include "sup/test-rig.h"

#define N_RUNS 4

typedef struct Life {
        Rig rig;
        char *store, *result;
        const char *scenario;
        bool with_cgroups;
} Life;

/* ---- the daemon ---- */

static const char *const agents[N_RUNS] = {
        "{\"exec\":[\"sh\",\"-c\",\"trap 'exit 41' USR1; echo up; while :; do sleep 0.01; done\"]}",
        "{\"exec\":[\"sh\",\"-c\",\"trap 'exit 42' USR1; echo up; while :; do sleep 0.01; done\"]}",
        "{\"exec\":[\"sh\",\"-c\",\"trap 'exit 43' USR1; echo up; while :; do sleep 0.01; done\"]}",
        "{\"exec\":[\"sh\",\"-c\",\"trap 'exit 44' USR1; echo up; while :; do sleep 0.01; done\"]}",
};

/* One row a run, the last field closes it: as a store would have it. */
static void save(Life *l) {
        FILE *f = fopen(l->store, "we");
        assert_non_null(f);
        for (unsigned i = 0; i < N_RUNS; i++) {
                const RigRun *r = &l->rig.runs[i];
                (void) fprintf(f, "%llu %d %llu %llu %llu %s\n", (unsigned long long) r->id,
                               r->identity.pid, (unsigned long long) r->identity.pidfd_id,
                               (unsigned long long) r->identity.start_time,
                               (unsigned long long) r->identity.cgroup_id, r->identity.boot_id);
        }
        assert_int_equal(fclose(f), 0);
}

static void load(Life *l) {
        FILE *f = fopen(l->store, "re");
        assert_non_null(f);
        for (unsigned i = 0; i < N_RUNS; i++) {
                RigRun *r = rig_add(&l->rig, agents[i]);
                unsigned long long id, pidfd_id, start, cgroup;
                /* NOLINTNEXTLINE(cert-err34-c): this test wrote it */
                assert_int_equal(fscanf(f, "%llu %d %llu %llu %llu %36s", &id, &r->identity.pid,
                                        &pidfd_id, &start, &cgroup, r->identity.boot_id),
                                 6);
                r->id = id;
                r->identity.pidfd_id = pidfd_id;
                r->identity.start_time = start;
                r->identity.cgroup_id = cgroup;
                if (i == N_RUNS - 1 && streq(l->scenario, "stray"))
                        continue; /* the store has forgotten it */
                SupRunParams params = { .run = r->id, .session = 7, .spec = r->spec, .userdata = r };
                assert_int_equal(sup_run_expect(l->rig.manager, &params, &r->identity, false, false,
                                                &r->run),
                                 0);
        }
        (void) fclose(f);
}

static void wait_up(Rig *rig, RigRun *r) {
        for (;;) {
                _cleanup_free_ char *log = rig_log(rig, r);
                if (strstr(log, "up|"))
                        return;
                (void) sd_event_run(rig->event, 10 * USEC_PER_MSEC);
        }
}

static _Noreturn void first_life(Life *l) {
        Rig *rig = &l->rig;

        for (unsigned i = 0; i < N_RUNS; i++)
                (void) rig_start(rig, agents[i]);
        for (unsigned i = 0; i < N_RUNS; i++) {
                rig_wait(rig, rig->runs[i].n_started == 1);
                wait_up(rig, &rig->runs[i]);
        }
        save(l);
        /* One ends while no daemon is there, by itself. */
        (void) sup_run_signal(rig->runs[0].run, SIGUSR1);
        if (streq(l->scenario, "both"))
                (void) kill(sup_manager_keeper_pid(rig->manager),
                            SIGKILL); /* our parent, alive until this */
        (void) kill(getpid(), SIGKILL);
        _exit(1);
}

static _Noreturn void second_life(Life *l) {
        Rig *rig = &l->rig;
        FILE *f = fopen(l->result, "we");
        bool stray = streq(l->scenario, "stray");
        unsigned n = stray ? N_RUNS - 1 : N_RUNS;

        assert_non_null(f);
        load(l);
        rig_wait(rig, rig->n_ready == 1);
        if (stray && sup_manager_has_cgroups(rig->manager)) /* until it is dead nobody else's */
                assert_true(sup_manager_run_of_cgroup(rig->manager, rig->runs[n].identity.cgroup_id) ==
                            rig->runs[n].id);
        rig_wait(rig, rig->runs[0].n_ended == 1);
        (void) fprintf(f, "alive %u\n", sup_manager_n_alive(rig->manager));
        for (unsigned i = 1; i < n; i++)
                (void) sup_run_signal(rig->runs[i].run, SIGUSR1);
        rig_wait(rig, rig->n_ended == n);
        for (unsigned i = 0; i < n; i++)
                (void) fprintf(f, "%u: started %u ended %u %s %d\n", i, rig->runs[i].n_started,
                               rig->runs[i].n_ended, sup_result_to_string(rig->runs[i].exit.result),
                               rig->runs[i].exit.exit_code);
        if (stray) /* its process is a zombie at most, and its slot free */
                rig_wait(rig, sup_manager_n_alive(rig->manager) == 0);
        (void) fprintf(f, "left %d\n", stray ? !proc_is_zombie(rig->runs[n].identity.pid) : 0);
        (void) fclose(f);
        (void) sup_manager_quit(rig->manager, false);
        sup_manager_free(rig->manager);
        _exit(0);
}

static int daemon_main(int keeper_fd, char **argv) {
        Life l = { .scenario = argv[2], .with_cgroups = streq(argv[3], "yes") };

        l.rig.folder = argv[4];
        l.rig.keeper_fd = -EBADF;
        l.store = path_join(argv[4], "store");
        l.result = path_join(argv[4], "result");
        SupConfig config = rig_config(&l.rig, l.with_cgroups ? NULL : "none");
        config.keeper_fd = keeper_fd;
        assert_true(sd_event_new(&l.rig.event) >= 0);
        assert_int_equal(sup_manager_new(&l.rig.manager, l.rig.event, &config, &rig_ops, &l.rig), 0);
        if (access(l.store, F_OK) == 0)
                second_life(&l);
        first_life(&l);
}

/* ---- the test ---- */

static pid_t start_keeper(const char *folder, const char *scenario, bool with_cgroups) {
        _cleanup_free_ char *runtime = str_printf("--runtime=%s/run", folder);
        _cleanup_free_ char *exec = str_printf("--exec=%s", getenv("AGENTD_EXEC"));
        _cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
        _cleanup_free_ char *daemon = str_printf("--daemon=%s", self);

        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        const char *keeper = getenv("AGENTD_KEEPER");
        assert(keeper);
        (void) execl(keeper, "agentd-keeper", runtime, exec, daemon, "--max-runs=20",
                     "--listen-fds=0", "--", "daemon", scenario, with_cgroups ? "yes" : "no",
                     folder, NULL);
        _exit(127);
}

static char *play(const char *scenario, bool with_cgroups) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *runtime = path_join(folder, "run"),
                            *result = path_join(folder, "result");
        char *text = NULL;
        int status;

        assert_int_equal(mkdir(runtime, 0700), 0);
        for (unsigned lives = 0; access(result, F_OK) < 0; lives++) {
                assert_true(lives < 2);
                pid_t pid = start_keeper(folder, scenario, with_cgroups);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                if (!streq(scenario, "both"))
                        assert_int_equal(status, 0);
        }
        assert_int_equal(fs_read_file(AT_FDCWD, result, 4096, &text, NULL), 0);
        return text;
}

static void test_runs_outlive_the_daemon(void **state) {
        _cleanup_free_ char *text = play("daemon", *(bool *) *state);
        assert_string_equal(text, "alive 3\n"
                                  "0: started 0 ended 1 exit-code 41\n"
                                  "1: started 0 ended 1 exit-code 42\n"
                                  "2: started 0 ended 1 exit-code 43\n"
                                  "3: started 0 ended 1 exit-code 44\n"
                                  "left 0\n");
}

/* The status of the first is known only as long as somebody holds it: here nobody does, and it is not guessed. */
static void test_runs_outlive_daemon_and_keeper_together(void **state) {
        _cleanup_free_ char *text = play("both", *(bool *) *state);
        const char *rest = strstr(text, "1: ");
        assert_non_null(rest);
        assert_true(strstr(text, "0: started 0 ended 1 lost -1\n") ||
                    strstr(text, "0: started 0 ended 1 exit-code 41\n"));
        assert_string_equal(rest, "1: started 0 ended 1 exit-code 42\n"
                                  "2: started 0 ended 1 exit-code 43\n"
                                  "3: started 0 ended 1 exit-code 44\n"
                                  "left 0\n");
}

static void test_a_run_that_the_store_does_not_know_is_ended(void **state) {
        _cleanup_free_ char *text = play("stray", *(bool *) *state);
        assert_non_null(strstr(text, "2: started 0 ended 1 exit-code 43\n"));
        assert_non_null(strstr(text, "left 0\n"));
}

int main(int argc, char **argv) {
        if (argc > 5 && streq(argv[1], "daemon")) /* … --keeper-fd 3 --listen-fds N */
                return daemon_main(3, argv);

        static bool yes = true, no = false;
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_prestate(test_runs_outlive_the_daemon, &no),
                cmocka_unit_test_prestate(test_runs_outlive_daemon_and_keeper_together, &no),
                cmocka_unit_test_prestate(test_a_run_that_the_store_does_not_know_is_ended, &no),
        };
        const struct CMUnitTest with_cgroups[] = {
                cmocka_unit_test_prestate(test_runs_outlive_the_daemon, &yes),
                cmocka_unit_test_prestate(test_runs_outlive_daemon_and_keeper_together, &yes),
                cmocka_unit_test_prestate(test_a_run_that_the_store_does_not_know_is_ended, &yes),
        };
        assert(getenv("AGENTD_KEEPER") && getenv("AGENTD_EXEC"));
        int r = cmocka_run_group_tests_name("without cgroups", tests, NULL, NULL);
        if (rig_has_cgroups())
                r += cmocka_run_group_tests_name("with cgroups", with_cgroups, NULL, NULL);
        return r;
}
