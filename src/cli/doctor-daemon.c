/* SPDX-License-Identifier: MIT */

/* `agentd doctor`: programs, the daemon and its keeper, the port, who gets in.
 *
 * Whose the port is comes from /proc: the socket's inode from /proc/net/tcp, then the process that
 * has it open. Other users' processes cannot be looked into; then it says that. */

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/doctor.h"
#include "cli/keeper-link.h"
#include "cli/launch.h"
#include "cli/probe.h"

#define PROC_BYTES   ((size_t) 16 * 1024 * 1024)
#define ANSWER_MSEC  5000
#define INODE_FIELDS 10
#define CLOCK_SLACK  USEC_PER_MINUTE

/* ---- programs ---- */

/* What `PROGRAM --version` prints first, or "" if it cannot be run or says nothing in time. */
static char *version_of(Cli *c, const char *path) {
        char *argv[] = { cli_text(c, "%s", path), cli_text(c, "--version"), NULL }, text[128] = "";
        posix_spawn_file_actions_t actions;
        int fds[2];
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return cli_text(c, "%s", "");
        (void) posix_spawn_file_actions_init(&actions);
        (void) posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
        (void) posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        int r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
        (void) posix_spawn_file_actions_destroy(&actions);
        (void) fd_close(fds[1]);
        struct pollfd p = { .fd = fds[0], .events = POLLIN };
        if (r == 0 && poll(&p, 1, ANSWER_MSEC) > 0 && read(fds[0], text, sizeof(text) - 1) > 0)
                text[strcspn(text, "\n")] = '\0';
        else if (r == 0)
                (void) kill(pid, SIGKILL);
        (void) fd_close(fds[0]);
        if (r == 0)
                (void) waitpid(pid, NULL, 0);
        return cli_text(c, "%s", text);
}

void doctor_programs(Doctor *d) {
        static const char *const names[] = { "agentd-daemon", "agentd-keeper", "agentd-exec" };
        Cli *c = d->c;
        size_t n_good = 0;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *path = NULL;
                const char *helpers;

                if (program_find(c, names[i], &path, &helpers) < 0) {
                        doctor_say(d, DOCTOR_FAIL, "programs",
                                   cli_text(c, "%s is neither beside this program nor in %s",
                                            names[i], helpers),
                                   "install agentd again, all of it");
                        continue;
                }
                const char *version = version_of(c, path);
                if (streq(version, cli_text(c, "%s " AGENTD_VERSION, names[i]))) {
                        n_good++;
                        continue;
                }
                doctor_say(d, DOCTOR_FAIL, "programs",
                           cli_text(c, "%s says it is '%s', this is " AGENTD_VERSION, path, version),
                           "install agentd again: its programs must be of one version");
        }
        if (n_good == ELEMENTSOF(names))
                doctor_say(d, DOCTOR_OK, "programs",
                           "daemon, keeper and exec are there, all " AGENTD_VERSION, NULL);
}

/* ---- the daemon ---- */

static void no_daemon(Doctor *d, int error) {
        Cli *c = d->c;
        pid_t daemon = 0;

        if (!c->url && d->keeper > 0 && error == -ETIMEDOUT && !keeper_has_daemon(d->keeper))
                doctor_say(d, DOCTOR_FAIL, "daemon",
                           cli_text(c, "the daemon ends whenever its keeper (pid %d) starts it",
                                    (int) d->keeper),
                           cli_text(c,
                                    "why is in its log, %s/agentd.log or that of the service; kill %d ends "
                                    "the keeper",
                                    c->config.data_dir, (int) d->keeper));
        else if (!c->url && d->keeper == 0 && daemon_find(c->config.db, &daemon) > 0)
                doctor_say(d, DOCTOR_FAIL, "daemon",
                           cli_text(c, "runs (pid %d), but its socket is not at %s", (int) daemon,
                                    c->socket_path),
                           cli_text(c,
                                    "the runtime folder was removed, or is another; agentd --port %u stop "
                                    "--all && agentd start --detach",
                                    (unsigned) c->config.port));
        else if (error == -EACCES)
                doctor_say(d, DOCTOR_FAIL, "daemon",
                           cli_text(c, "the socket %s belongs to another user", c->socket_path),
                           "be that user, or set AGENTD_URL and AGENTD_TOKEN");
        else if (error != -ECONNREFUSED && error != -ENOENT && error != -ENOTDIR)
                doctor_say(d, DOCTOR_FAIL, "daemon",
                           cli_text(c, "no good answer from %s: %s", c->url ?: c->socket_path,
                                    error == -EAGAIN ? "it refuses GET /version" : strerror(-error)),
                           cli_text(c, "look into its log, %s/agentd.log if it was started with --detach",
                                    c->config.data_dir));
        else if (d->keeper > 0)
                doctor_say(d, DOCTOR_FAIL, "daemon",
                           cli_text(c, "the keeper (pid %d) keeps agents running without a daemon",
                                    (int) d->keeper),
                           "start the daemon again: agentd start --detach");
        else
                doctor_say(d, DOCTOR_WARN, "daemon",
                           cli_text(c, "agentd is not running (no answer at %s)",
                                    c->url ?: c->socket_path),
                           "start it: agentd start --detach");
}

static void check_versions(Doctor *d) {
        Cli *c = d->c;
        const char *version = cli_member(c, d->version.json, "version");
        int64_t pid = cli_number(d->version.json, "daemon_pid");

        if (streq(version, AGENTD_VERSION))
                doctor_say(d, DOCTOR_OK, "daemon",
                           cli_text(c, "%s runs (pid %lld)", version, (long long) pid), NULL);
        else
                doctor_say(d, DOCTOR_WARN, "daemon",
                           cli_text(c, "the daemon that runs is %s, this program is " AGENTD_VERSION,
                                    version),
                           "agentd stop && agentd start --detach; agents are kept meanwhile");
        if (cli_number(d->version.json, "keeper_pid") > 0)
                doctor_say(d, DOCTOR_OK, "keeper",
                           cli_text(c, "runs (pid %s)", cli_member(c, d->version.json, "keeper_pid")),
                           NULL);
        else
                doctor_say(
                        d, DOCTOR_FAIL, "keeper", "the daemon has no keeper: no agent can be started",
                        "if it stays so: agentd stop && agentd start --detach, and look into the log");
}

static void check_ready(Doctor *d) {
        _cleanup_reply_ Reply reply = {};

        if (probe(d->c, "/ready", PROBE_USEC, &reply) >= 0)
                doctor_say(d, DOCTOR_OK, "store",
                           "the daemon is ready: its databases are read and written", NULL);
        else
                doctor_say(d, DOCTOR_FAIL, "store",
                           "the daemon is not ready: its databases cannot be written, or it still recovers",
                           "its log says why; a full disk is the most common cause");
}

void doctor_daemon(Doctor *d) {
        Cli *c = d->c;

        if (!c->url)
                (void) keeper_find(c->config.runtime_dir, &d->keeper);
        int r = probe(c, "/version", PROBE_USEC, &d->version);
        d->has_daemon = r >= 0;
        if (r < 0) {
                no_daemon(d, r);
                return;
        }
        check_versions(d);
        check_ready(d);
        usec_t started_at = cli_time(d->version.json, "started_at");
        if (started_at > clock_realtime() + CLOCK_SLACK)
                doctor_say(d, DOCTOR_FAIL, "clock", "the daemon was started in the future",
                           "the clock went back: set it (timedatectl), or timers and ages are wrong");
}

/* ---- the port ---- */

/* "  1: 0100007F:2211 00000000:0000 0A … inode": the inode of who listens at this port, or 0. */
static uint64_t listening_inode(const char *text, unsigned port) {
        _cleanup_free_ char *copy = strdup(text);
        char *lines = NULL;

        for (char *line = copy ? strtok_r(copy, "\n", &lines) : NULL; line;
             line = strtok_r(NULL, "\n", &lines)) {
                char *words = NULL, *field[INODE_FIELDS] = {};
                uint64_t inode;

                for (size_t i = 0; i < INODE_FIELDS; i++)
                        field[i] = strtok_r(i == 0 ? line : NULL, " ", &words);
                const char *colon = field[1] ? strrchr(field[1], ':') : NULL;
                uint8_t bytes[2];
                if (!colon || !field[INODE_FIELDS - 1] || !streq(field[3], "0A") ||
                    hex_decode(colon + 1, 4, bytes) < 0 || (bytes[0] << 8 | bytes[1]) != (int) port)
                        continue;
                if (str_to_u64(field[INODE_FIELDS - 1], &inode) >= 0)
                        return inode;
        }
        return 0;
}

static bool has_socket(const char *pid, uint64_t inode) {
        char path[64], target[64], wanted[64];
        bool found = false;

        (void) snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
        (void) snprintf(wanted, sizeof(wanted), "socket:[%llu]", (unsigned long long) inode);
        _cleanup_(dir_closep) DIR *dir = opendir(path);
        for (struct dirent *e; dir && !found && (e = readdir(dir));) {
                ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = '\0';
                found = streq(target, wanted);
        }
        return found;
}

/* "python3 (pid 17)", or that it is not to be seen. */
static char *owner_of(Cli *c, uint64_t inode) {
        char *found = NULL;
        _cleanup_(dir_closep) DIR *dir = opendir("/proc");

        for (struct dirent *e; dir && !found && (e = readdir(dir));) {
                _cleanup_free_ char *comm = NULL, *path = NULL;

                if (e->d_name[0] < '0' || e->d_name[0] > '9' || !has_socket(e->d_name, inode))
                        continue;
                path = str_printf("/proc/%s/comm", e->d_name);
                if (path && fs_read_file(AT_FDCWD, path, 64, &comm, NULL) >= 0)
                        comm[strcspn(comm, "\n")] = '\0';
                found = cli_text(c, "%s (pid %s)", comm ?: "a process", e->d_name);
        }
        return found ?: cli_text(c, "a process of another user");
}

void doctor_port(Doctor *d) {
        static const char *const tables[] = { "/proc/net/tcp", "/proc/net/tcp6" };
        Cli *c = d->c;
        unsigned port = (unsigned) c->config.port;
        uint64_t inode = 0;

        if (d->has_daemon || c->url || port == 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(tables) && inode == 0; i++) {
                _cleanup_free_ char *text = NULL;
                if (fs_read_file(AT_FDCWD, tables[i], PROC_BYTES, &text, NULL) >= 0)
                        inode = listening_inode(text, port);
        }
        if (inode == 0)
                doctor_say(d, DOCTOR_OK, "port", cli_text(c, "%u is free", port), NULL);
        else
                doctor_say(d, DOCTOR_FAIL, "port",
                           cli_text(c, "%u is in use by %s", port, owner_of(c, inode)),
                           "end that, or choose another: --port, or AGENT_RUNTIME_PORT");
}

/* ---- who gets in ---- */

static bool is_loopback(const char *host) {
        return str_startswith(host, "127.") || streq(host, "::1") || streq(host, "localhost");
}

void doctor_access(Doctor *d) {
        Cli *c = d->c;
        _cleanup_reply_ Reply tokens = {};

        if (c->url)
                return;
        if (is_loopback(c->config.host)) {
                doctor_say(d, DOCTOR_OK, "access",
                           cli_text(c, "listens at %s: only this machine reaches it", c->config.host),
                           NULL);
                return;
        }
        if (!d->has_daemon || probe(c, "/tokens", PROBE_USEC, &tokens) < 0 ||
            !json_is(tokens.json, JSON_KIND_ARRAY))
                return;
        if (json_count(tokens.json) > 0)
                doctor_say(d, DOCTOR_OK, "access",
                           cli_text(c, "listens at %s, others need one of %zu tokens",
                                    c->config.host, json_count(tokens.json)),
                           NULL);
        else
                doctor_say(d, DOCTOR_WARN, "access",
                           cli_text(c, "listens at %s, and there is no token: others reach it and are all refused",
                                    c->config.host),
                           "agentd token create, or --host 127.0.0.1 if only this machine is meant");
}
