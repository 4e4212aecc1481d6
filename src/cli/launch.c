/* SPDX-License-Identifier: MIT */

/* From `agentd start` to the keeper: descriptors in the order that keeper/protocol.h asks for, the
 * command line, and exec.
 *
 * In the foreground this process becomes the keeper, so that whoever started it (a terminal, a
 * service manager, a container) has the pid that matters and no empty shell in between. In the
 * background it is posix_spawn() with a new session: a double fork would only hide the pid whose
 * death we want to notice while we wait.
 *
 * Paths are passed on absolute, whatever they came from: the keeper in the background lives in the
 * data folder and not where somebody typed. */

#include "cli/launch.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

#define FIRST_FD      3
#define SNAPSHOT_MAX  ((size_t) 4 << 20)
#define KEEPER_FDS    128 /* its own; see keeper/main.c, which lowers what is too much */
#define FDS_PER_RUN   7
#define RUNS_MAX_AUTO 65536

/* The helpers' folder. What was installed below another root (DESTDIR) and runs there finds its own. */
static const char *helper_dir(Cli *c, const char *program_dir) {
        size_t n = strlen(program_dir), bin = strlen(AGENTD_BIN_DIR);

        if (n <= bin || !streq(program_dir + n - bin, AGENTD_BIN_DIR))
                return AGENTD_HELPER_DIR;
        return cli_text(c, "%.*s%s", (int) (n - bin), program_dir, AGENTD_HELPER_DIR);
}

int program_find(Cli *c, const char *name, char **ret, const char **ret_helpers) {
        _cleanup_free_ char *dir = NULL, *path = NULL;

        if (path_of_program_dir(&dir) >= 0)
                path = path_join(dir, name);
        *ret_helpers = helper_dir(c, dir ?: "");
        if (!path || access(path, X_OK) < 0) {
                free(path);
                path = path_join(*ret_helpers, name);
        }
        if (!path || access(path, X_OK) < 0)
                return -ENOENT;
        *ret = TAKE_PTR(path);
        return 0;
}

int find_program(Cli *c, const char *name, char **ret) {
        const char *helpers;

        if (program_find(c, name, ret, &helpers) < 0)
                return cli_error(c, CLI_FAILURE,
                                 "%s is neither beside this program nor in %s; is agentd installed?",
                                 name, helpers);
        return 0;
}

uint64_t launch_max_runs(uint64_t wanted) {
        struct rlimit limit;

        if (wanted > 0)
                return wanted;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max == RLIM_INFINITY)
                return RUNS_MAX_AUTO;
        rlim_t spare = limit.rlim_max > KEEPER_FDS ? limit.rlim_max - KEEPER_FDS : 0;
        return MAX((uint64_t) 1, MIN((uint64_t) (spare / FDS_PER_RUN), (uint64_t) RUNS_MAX_AUTO));
}

static int add_two(char ***argv, const char *name, const char *value) {
        int r = strv_extend(argv, name);

        return r < 0 ? r : strv_extend(argv, value);
}

/* Absolute if it is a path, since the daemon lives in another folder. */
static int add_one(
        char ***argv, const ConfigDef *k, const char *name, const char *prefix, const char *text) {
        _cleanup_free_ char *path = NULL, *value = NULL;

        if (k->type == CONFIG_PATH && !strstr(text, "://") &&
            !(k->values && strstr(k->values, text))) {
                int r = path_absolute(text, &path);
                if (r < 0)
                        return r;
        }
        value = str_printf("%s%s", prefix, path ? path : text);
        return value ? add_two(argv, name, value) : -ENOMEM;
}

/* What was given on the command line and what the environment says. */
static int add_daemon_arguments(const Cli *c, char ***argv) {
        int r = 0;

        for (size_t i = 0; i < config_table_size && r >= 0; i++) {
                const ConfigDef *k = &config_table[i];
                const char *option = k->option ? cli_option(c, k->option + 2) : NULL;
                const char *env = getenv(k->env);
                _cleanup_free_ char *prefix = str_printf("%s=", k->env);

                if (!prefix)
                        return -ENOMEM;
                if (option)
                        r = add_one(argv, k, k->option, "", option);
                if (r >= 0 && !str_isempty(env))
                        r = add_one(argv, k, "--environment", prefix, env);
        }
        return r;
}

static char *snapshot_path(const Cli *c) {
        return path_join(c->config.runtime_dir, "config.running");
}

/* A port that was given to the daemon before and not to this one: agents that live on have the old
 * address in their environment. */
static void note_other_port(Cli *c, const char *snapshot) {
        _cleanup_(config_done) DaemonConfig before = {};
        _cleanup_free_ char *text = NULL;
        JsonSpan json;
        size_t n = 0;

        if (cli_option(c, "port") || fs_read_file(AT_FDCWD, snapshot, SNAPSHOT_MAX, &text, &n) < 0 ||
            json_check(text, n, JSON_DEPTH_MAX, &json, NULL) < 0 ||
            config_load_json(&before, json) < 0)
                return;
        unsigned was = (unsigned) before.port, is = (unsigned) c->config.port;
        if (was != is && was != 0 && is != 0)
                cli_note(c,
                         "agentd listened at port %u before and does at port %u now; agents that kept "
                         "running ask at the old one: `agentd start --port %u` keeps it",
                         was, is, was);
}

void launch_forget(Cli *c) {
        _cleanup_free_ char *snapshot = snapshot_path(c);

        if (!snapshot)
                cli_out_of_memory();
        note_other_port(c, snapshot);
        (void) unlink(snapshot);
}

int launch_daemon_argv(Cli *c, char ***ret) {
        _cleanup_free_ char *daemon = NULL, *snapshot = snapshot_path(c);
        _cleanup_strv_ char **argv = NULL;

        int r = find_program(c, "agentd-daemon", &daemon);
        if (r != 0)
                return r;
        if (!snapshot || strv_extend(&argv, daemon) < 0 ||
            add_two(&argv, "--snapshot", snapshot) < 0 || add_daemon_arguments(c, &argv) < 0)
                cli_out_of_memory();
        *ret = TAKE_PTR(argv);
        return 0;
}

/* The environment with its paths absolute. */
static int make_environment(const Cli *c, char ***ret) {
        _cleanup_strv_ char **env = strv_copy(environ);

        if (!env)
                return -ENOMEM;
        for (size_t i = 0; i < config_table_size; i++) {
                const ConfigDef *k = &config_table[i];
                if (k->type != CONFIG_PATH || !str_startswith(c->config.sources[i], "environment "))
                        continue;
                _cleanup_free_ char *value = config_value_to_string(&c->config, i);
                int r = value ? strv_env_set(&env, k->env, value) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(env);
        return 0;
}

static int add_all(char ***argv, char *const *words) {
        int r = 0;

        for (; *words && r >= 0; words++)
                r = strv_extend(argv, *words);
        return r;
}

int launch_prepare(Cli *c, const Listeners *l, Launch *ret) {
        _cleanup_free_ char *keeper = NULL, *log = NULL;
        _cleanup_strv_ char **argv = NULL, **env = NULL, **daemon = NULL;

        int r = find_program(c, "agentd-keeper", &keeper);
        if (r == 0)
                r = launch_daemon_argv(c, &daemon);
        if (r != 0)
                return r;
        if (strv_extend(&argv, "agentd-keeper") < 0 ||
            strv_extendf(&argv, "--runtime=%s", c->config.runtime_dir) < 0 ||
            strv_extendf(&argv, "--max-runs=%llu",
                         (unsigned long long) launch_max_runs(c->config.max_runs)) < 0 ||
            strv_extendf(&argv, "--listen-fds=%zu", l->n) < 0 ||
            strv_extendf(&argv, "--daemon=%s", daemon[0]) < 0 || strv_extend(&argv, "--") < 0 ||
            add_all(&argv, daemon + 1) < 0 || make_environment(c, &env) < 0)
                cli_out_of_memory();
        log = path_join(c->config.data_dir, "agentd.log");
        if (!log)
                cli_out_of_memory();
        *ret = (Launch){
                .keeper = TAKE_PTR(keeper),
                .argv = TAKE_PTR(argv),
                .env = TAKE_PTR(env),
                .lock_fd = -EBADF,
                .log = TAKE_PTR(log),
        };
        return 0;
}

void launch_done(Launch *l) {
        free(l->keeper);
        strv_free(l->argv);
        strv_free(l->env);
        free(l->log);
        l->lock_fd = fd_close(l->lock_fd);
        *l = (Launch){ .lock_fd = -EBADF };
}

/* The listening sockets at 3…, the lock behind them, all to be inherited. First away from these
 * numbers, so that none is overwritten before it was moved. */
static int arrange(Launch *launch, Listeners *l) {
        int moved[LISTEN_FDS_MAX + 1];
        size_t n = l->n + 1;

        for (size_t i = 0; i < n; i++) {
                int from = i < l->n ? l->fds[i] : launch->lock_fd;
                moved[i] = fcntl(from, F_DUPFD_CLOEXEC, FIRST_FD + (int) n);
                if (moved[i] < 0)
                        return errno_neg();
        }
        for (size_t i = 0; i < n; i++) {
                int *fd = i < l->n ? &l->fds[i] : &launch->lock_fd;
                *fd = fd_close(*fd);
        }
        for (size_t i = 0; i < n; i++) {
                int to = FIRST_FD + (int) i;
                if (dup2(moved[i], to) < 0)
                        return errno_neg();
                (void) fd_close(moved[i]);
                if (i < l->n)
                        l->fds[i] = to;
                else
                        launch->lock_fd = to;
        }
        return 0;
}

static int failed(Cli *c, const Launch *launch, int error) {
        return cli_error(c, CLI_FAILURE, "cannot start %s: %s", launch->keeper, strerror(-error));
}

int launch_exec(Cli *c, Launch *launch, Listeners *l) {
        int r = arrange(launch, l);
        if (r < 0)
                return failed(c, launch, r);
        (void) fflush(stdout);
        (void) execve(launch->keeper, launch->argv, launch->env);
        return failed(c, launch, errno_neg());
}

static void file_actions_done(posix_spawn_file_actions_t *a) {
        (void) posix_spawn_file_actions_destroy(a);
}

static void attr_done(posix_spawnattr_t *a) {
        (void) posix_spawnattr_destroy(a);
}

/* posix_spawn_… return positive errors. */
static int spawn(const Cli *c, const Launch *launch, pid_t *ret) {
        _cleanup_(file_actions_done) posix_spawn_file_actions_t actions;
        _cleanup_(attr_done) posix_spawnattr_t attr;

        if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attr) != 0)
                cli_out_of_memory();
        int r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, launch->log,
                                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addchdir_np(&actions, c->config.data_dir);
        if (r == 0)
                r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
        if (r == 0)
                r = posix_spawn(ret, launch->keeper, &actions, &attr, launch->argv, launch->env);
        return -r;
}

int launch_spawn(Cli *c, Launch *launch, Listeners *l, pid_t *ret) {
        mode_t mask = umask(077);

        int r = arrange(launch, l);
        if (r >= 0)
                r = spawn(c, launch, ret);
        (void) umask(mask);
        listeners_done(l);
        launch->lock_fd = fd_close(launch->lock_fd);
        return r < 0 ? failed(c, launch, r) : 0;
}
