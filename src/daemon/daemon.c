/* SPDX-License-Identifier: MIT */

/* Start: databases, what lives in memory, supervision, sessions, the API, and only then the listening
 * sockets, which the keeper has held open all along: whoever connected while no daemon was there is
 * simply answered now. Ready means: the keeper has listed its runs and every open run was adopted or
 * settled.
 *
 * Stop, whoever asks (POST /shutdown, SIGTERM, the keeper's TERMINATE): no longer ready; a
 * shutdown-checkpoint of every running session; the runs that may not outlive us are ended; answers
 * under way are finished; the keeper is told to stay for the kept runs or to leave; everything queued is
 * committed. Each step starts when the one before has called back, so nothing here blocks or polls. */

#include "daemon/daemon.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "api/api.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/obj.h"
#include "base/str.h"
#include "daemon/agents.h"
#include "daemon/reload.h"
#include "daemon/service.h"
#include "daemon/start-token.h"
#include "import/import.h"
#include "memory/memory.h"
#include "session/session.h"
#include "session/workspace.h"
#include "store/schema-memory.h"
#include "store/schema-state.h"
#include "sup/sup.h"

#define DAEMON_MAGIC 0x44414d4eU

struct Daemon {
        uint32_t magic;
        const DaemonArgs *args;
        DaemonConfig *config;
        sd_event *event;
        Store *state, *memory_store;
        WorkspaceManager *workspace;
        SessionManager *sessions;
        MemoryManager *memory;
        Agents *agents;
        SupManager *sup;
        unsigned n_recovered; /* runs that the daemon before left open */
        Api *api;
        sd_event_source *sigterm, *sigint, *sighup, *shutdown_source, *watchdog;
        char *log_dir, *socket_path, *keeper_path, *exec_path;
        char url[80];
        unsigned port;
        usec_t started_at;
        bool is_ready, is_stopping;
};

/* ---- stopping, step by step ---- */

static void on_drained(void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        /* Output that waits for the disk is worth a keeper that stays, but no container that does. */
        bool waits = sup_manager_n_held(d->sup) > 0 && !agents_all_end(d->agents);
        int r = sup_manager_quit(d->sup, sup_manager_n_alive(d->sup) > 0 || waits);
        if (r < 0)
                log_warning(r, "Cannot tell the keeper to leave");
        (void) sd_event_exit(d->event, 0);
}

static void on_agents_down(unsigned kept, void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        if (kept > 0)
                log_notice("Leaving %u agent%s running under the keeper", kept, kept == 1 ? "" : "s");
        api_quiesce(d->api);
        http_server_drain(api_server(d->api), on_drained, d);
}

static void on_checkpointed(int r, void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        if (r < 0)
                log_warning(r, "Cannot take all shutdown checkpoints");
        agents_shutdown(d->agents, on_agents_down, d);
}

static void daemon_stop(void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        if (d->is_stopping)
                return;
        d->is_stopping = true;
        d->is_ready = false;
        log_notice("Stopping");
        int r = session_manager_shutdown(d->sessions, on_checkpointed, d);
        if (r != 0)
                on_checkpointed(r, d);
}

static int on_stop_deferred(sd_event_source *source, void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        d->shutdown_source = sd_event_source_disable_unref(d->shutdown_source);
        daemon_stop(d);
        return 0;
}

/* From a request: after the loop has sent the reply on its way. */
static void daemon_stop_soon(void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        if (d->shutdown_source || d->is_stopping)
                return;
        if (sd_event_add_defer(d->event, &d->shutdown_source, on_stop_deferred, d) < 0)
                daemon_stop(d);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        daemon_stop(userdata);
        return 0;
}

/* ---- what the API may ask ---- */

static int api_next_config(DaemonConfig *ret, char **ret_message, void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        return config_read(d->args->source, ret, ret_message);
}

static int api_reload_config(DaemonConfig *ret_wanted,
                             ConfigChange changes[static CONFIG_KEYS_MAX],
                             char **ret_message,
                             void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        Reload reload = {
                .from = d->args->source,
                .config = d->config,
                .sessions = d->sessions,
                .memory = d->memory,
                .workspace = d->workspace,
                .sup = d->sup,
                .api = d->api,
        };
        return reload_config(&reload, ret_wanted, changes, ret_message);
}

/* Nobody is there to be answered; the log has it. */
static void daemon_reload(void *userdata) {
        _cleanup_(config_done) DaemonConfig wanted = {};
        _cleanup_free_ char *message = NULL;
        ConfigChange changes[CONFIG_KEYS_MAX];

        (void) api_reload_config(&wanted, changes, &message, userdata);
}

static int on_sighup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        daemon_reload(userdata);
        return 0;
}

static int api_kill(Session *s, int signo, void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        return agents_kill(d->agents, s, signo);
}

static bool api_is_ready(void *userdata) {
        return OBJ_CAST(Daemon, userdata, DAEMON_MAGIC)->is_ready;
}

static void on_keeper_ready(pid_t keeper, void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        log_info("Keeper %d is there", (int) keeper);
        if (d->is_stopping)
                return;
        d->is_ready = true;
        service_is_ready(d->event, d->sup, &d->watchdog);
        if (d->api)
                api_became_ready(d->api);
}

static void on_store_failed(int error, void *userdata) {
        Daemon *d = OBJ_CAST(Daemon, userdata, DAEMON_MAGIC);
        log_error(error, "A write to the database failed");
        if (d->sessions)
                session_manager_reload(d->sessions);
}

/* ---- starting ---- */

static int helper_path(const char *name, char **ret) {
        _cleanup_free_ char *dir = NULL, *path = NULL;
        int r = path_of_program_dir(&dir);
        if (r < 0)
                return r;
        path = path_join(dir, name);
        if (path && access(path, X_OK) < 0) {
                free(path);
                path = path_join(AGENTD_HELPER_DIR, name);
        }
        if (!path)
                return -ENOMEM;
        *ret = TAKE_PTR(path);
        return 0;
}

/* The folder of a database that is a file; one that is there is left as it is. */
static int make_database_folder(const char *db) {
        const char *slash = strrchr(db, '/');
        if (db[0] != '/' || slash == db)
                return 0;
        _cleanup_free_ char *folder = strndup(db, (size_t) (slash - db));
        if (!folder)
                return log_error(-ENOMEM, "Cannot start");
        int r = fs_mkdir_p(folder, 0700);
        return r < 0 ? log_error(r, "Cannot create the folder %s", folder) : 0;
}

static int daemon_paths(Daemon *d) {
        const char *folders[] = { d->config->data_dir, d->config->runtime_dir };
        int r;

        ARRAY_FOREACH(f, folders) {
                r = fs_mkdir_p(*f, 0700);
                if (r < 0)
                        return log_error(r, "Cannot create the folder %s", *f);
        }
        /* Fails where the folder above is not ours to read; then it was not made by us either. */
        (void) fs_sync_parent(d->config->data_dir);
        r = make_database_folder(d->config->db);
        if (r >= 0)
                r = make_database_folder(d->config->memory_db);
        if (r < 0)
                return r;
        d->log_dir = path_join(d->config->data_dir, "logs");
        d->socket_path = config_socket_path(d->config);
        if (!d->log_dir || !d->socket_path)
                return log_error(-ENOMEM, "Cannot start");
        r = fs_mkdir_p(d->log_dir, 0700);
        if (r < 0)
                return log_error(r, "Cannot create the folder %s", d->log_dir);
        r = helper_path("agentd-keeper", &d->keeper_path);
        if (r >= 0)
                r = helper_path("agentd-exec", &d->exec_path);
        return r < 0 ? log_error(r, "Cannot find the helper programs") : 0;
}

/* What agents are told: the address of the first TCP socket, by loopback if it listens everywhere. */
static int daemon_find_url(Daemon *d) {
        for (size_t i = 0; i < d->args->n_listen_fds; i++) {
                union {
                        struct sockaddr sa;
                        struct sockaddr_in in;
                        struct sockaddr_in6 in6;
                } addr = {};
                char host[INET6_ADDRSTRLEN] = "127.0.0.1", literal[INET6_ADDRSTRLEN + 2] = "[";
                socklen_t n = sizeof(addr);

                if (getsockname(d->args->listen_fds[i], &addr.sa, &n) < 0)
                        return errno_neg();
                if (addr.sa.sa_family == AF_INET) {
                        d->port = ntohs(addr.in.sin_port);
                        if (addr.in.sin_addr.s_addr != htonl(INADDR_ANY))
                                (void) inet_ntop(AF_INET, &addr.in.sin_addr, host, sizeof(host));
                        (void) snprintf(d->url, sizeof(d->url), "http://%s:%u", host, d->port);
                        return 0;
                }
                if (addr.sa.sa_family == AF_INET6) {
                        d->port = ntohs(addr.in6.sin6_port);
                        if (!IN6_IS_ADDR_UNSPECIFIED(&addr.in6.sin6_addr)) {
                                (void) inet_ntop(AF_INET6, &addr.in6.sin6_addr, literal + 1,
                                                 sizeof(literal) - 2);
                                (void) strncat(literal, "]", sizeof(literal) - strlen(literal) - 1);
                        }
                        (void) snprintf(d->url, sizeof(d->url), "http://%s:%u",
                                        literal[1] ? literal : host, d->port);
                        return 0;
                }
        }
        return -ENOENT;
}

static int daemon_open_store(Daemon *d, const char *url, const StoreSchema *schema, Store **ret) {
        _cleanup_free_ char *message = NULL;
        StoreOptions options = { .on_failed = on_store_failed, .userdata = d };
        int r = store_open(ret, d->event, url, schema, &options, &message);
        if (r < 0 && message)
                return log_error(0, "%s%s", message,
                                 r == -EBUSY ? "; a second agentd needs a database of its own: --db FILE"
                                             : ""),
                       r;
        return r < 0 ? log_error(r, "Cannot open %s", url) : 0;
}

/* Databases of the original program are taken over first. */
static int daemon_import(const char *url, ImportKind kind) {
        _cleanup_free_ char *message = NULL, *path = NULL;
        int r = 0;

        if (streq(url, "memory:") || strstr(url, "://"))
                return 0; /* no file */
        r = path_absolute(url, &path);
        if (r >= 0)
                r = import_original(path, kind, &message);
        return r < 0 && message ? (log_error(0, "%s", message), r) : r;
}

static int daemon_open_databases(Daemon *d) {
        int r = daemon_import(d->config->db, IMPORT_STATE);
        if (r >= 0)
                r = daemon_open_store(d, d->config->db, &state_schema, &d->state);
        if (r < 0)
                return r;
        r = session_aliases_load(d->state);
        if (r < 0)
                return log_error(r, "Cannot read the names of what was imported");
        r = daemon_import(d->config->memory_db, IMPORT_MEMORY);
        return r < 0 ? r
                     : daemon_open_store(d, d->config->memory_db, &memory_schema, &d->memory_store);
}

static int daemon_open_stores(Daemon *d) {
        int r = daemon_open_databases(d);
        if (r < 0)
                return r;
        r = workspace_manager_new(&d->workspace, d->event, d->config->data_dir, NULL,
                                  d->config->workspace_file_max);
        if (r < 0)
                return log_error(r, "Cannot prepare workspaces");
        _cleanup_free_ char *vectors = path_join(d->config->data_dir, "vectors");
        if (!vectors)
                return log_error(-ENOMEM, "Cannot open the memory");
        MemoryLimits limits = memory_limits_of(d->config);
        r = memory_manager_new(&d->memory, d->event, d->memory_store, &limits, vectors);
        return r < 0 ? log_error(r, "Cannot open the memory") : 0;
}

static bool session_is_there(uint64_t session, void *userdata) {
        return session_get(userdata, session) != NULL;
}

static int daemon_open_sessions(Daemon *d) {
        SessionConfig config = session_config_of(d->config);

        config.workspace = d->workspace;
        int r = session_manager_new(&d->sessions, d->event, d->state, &config, &agents_session_ops,
                                    d->agents);
        if (r < 0)
                return log_error(r, "Cannot open the sessions");
        r = memory_collect(d->memory, session_is_there, d->sessions);
        return r < 0 ? log_error(r, "Cannot look through the memory") : 0;
}

static int daemon_open_sup(Daemon *d, bool under_service_manager) {
        AgentsConfig agents = {
                .event = d->event,
                .url = d->url,
                .socket_path = d->socket_path,
                .keep_means_stop = under_service_manager,
        };
        int r = agents_new(&d->agents, &agents);
        if (r < 0)
                return log_error(r, "Cannot start");
        agents_on_keeper_ready(d->agents, on_keeper_ready, d);
        agents_on_terminate(d->agents, daemon_stop, d);
        agents_on_reload(d->agents, daemon_reload, d);

        SupConfig config = {
                .runtime_dir = d->config->runtime_dir,
                .log_dir = d->log_dir,
                .keeper_path = d->keeper_path,
                .exec_path = d->exec_path,
                .cgroup_root = streq(d->config->cgroup_root, "auto") ? NULL : d->config->cgroup_root,
                .keeper_fd = d->args->keeper_fd,
                .listen_fds = d->args->listen_fds,
                .n_listen_fds = d->args->n_listen_fds,
                .daemon_argv = d->args->argv,
                .start_parallel = (unsigned) d->config->start_parallel,
                .max_runs = (unsigned) d->config->max_runs,
                .drop_output = streq(d->config->log_disk_full, "drop"),
        };
        r = sup_manager_new(&d->sup, d->event, &config, &agents_sup_ops, d->agents);
        return r < 0 ? log_error(r, "Cannot start the supervision") : 0;
}

static unsigned schema_version(const StoreSchema *s) {
        return s->migrations[s->n_migrations - 1].version;
}

static int daemon_open_api(Daemon *d) {
        ApiConfig config = {
                .sessions = d->sessions,
                .memory = d->memory,
                .sup = d->sup,
                .config = d->config,
                .state = d->state,
                .memory_store = d->memory_store,
                .url = d->url,
                .socket_path = d->socket_path,
                .log_dir = d->log_dir,
                .started_at = d->started_at,
                .port = d->port,
                .state_schema = schema_version(&state_schema),
                .memory_schema = schema_version(&memory_schema),
                .next_config = api_next_config,
                .reload = api_reload_config,
                .shutdown = daemon_stop_soon,
                .kill = api_kill,
                .is_ready = api_is_ready,
                .userdata = d,
        };
        int r = api_new(&d->api, d->event, &config);
        if (r < 0)
                return log_error(r, "Cannot start the API");
        for (size_t i = 0; i < d->args->n_listen_fds; i++) {
                r = http_server_listen(api_server(d->api), d->args->listen_fds[i]);
                if (r < 0)
                        return log_error(r, "Cannot listen");
        }
        return 0;
}

static int daemon_open_signals(Daemon *d) {
        int r = sd_event_add_signal(d->event, &d->sigterm, SIGTERM, on_signal, d);
        if (r >= 0)
                r = sd_event_add_signal(d->event, &d->sigint, SIGINT, on_signal, d);
        return r < 0 ? log_error(r, "Cannot watch signals") : 0;
}

static void raise_nofile(void) {
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
}

int daemon_new(Daemon **ret, const DaemonArgs *args) {
        _cleanup_(daemon_freep) Daemon *d = calloc(1, sizeof(*d));
        if (!d)
                return log_error(-ENOMEM, "Cannot start");
        d->magic = DAEMON_MAGIC;
        d->args = args;
        d->config = args->config;
        d->started_at = clock_realtime();
        raise_nofile();

        int r = sd_event_new(&d->event);
        if (r < 0)
                return log_error(r, "Cannot start the event loop");
        r = daemon_open_signals(d);
        if (r < 0)
                return r;
        r = daemon_paths(d);
        if (r < 0)
                return r;
        r = daemon_find_url(d);
        if (r < 0)
                return log_error(r, "Cannot find the address of the listening socket");
        r = daemon_open_stores(d);
        if (r < 0)
                return r;
        r = daemon_open_sup(d, getenv("NOTIFY_SOCKET"));
        if (r < 0)
                return r;
        r = daemon_open_sessions(d);
        if (r < 0)
                return r;
        agents_connect(d->agents, d->sessions, d->sup);
        r = session_manager_load(d->sessions, agents_found, d->agents);
        if (r >= 0)
                r = agents_found_all(d->agents);
        d->n_recovered = agents_count(d->agents);
        if (r >= 0)
                r = session_daemon_started(d->sessions, AGENTD_VERSION, d->n_recovered);
        if (r < 0)
                return log_error(r, "Cannot read the sessions");
        r = start_token_ensure(d->sessions, d->config);
        if (r < 0)
                return r;
        r = daemon_open_api(d);
        if (r < 0)
                return r;
        /* Only now: before, there is nothing that a reload could change. */
        r = sd_event_add_signal(d->event, &d->sighup, SIGHUP, on_sighup, d);
        if (r < 0)
                return log_error(r, "Cannot watch signals");
        config_remember(args->source, args->config);
        *ret = TAKE_PTR(d);
        return 0;
}

int daemon_run(Daemon *d) {
        if (d->n_recovered > 0)
                log_notice(
                        "%u runs were open when the last daemon ended: what lives goes on, what is gone "
                        "is ended as lost and its restart policy decides; `agentd events` has each",
                        d->n_recovered);
        log_info("Serving %s and %s; sessions: %zu", d->url, d->socket_path,
                 session_count(d->sessions, -1));
        int r = sd_event_loop(d->event);
        if (r < 0)
                return log_error(r, "The event loop failed");
        log_notice("Stopped");
        return 0;
}

Daemon *daemon_free(Daemon *d) {
        if (!d)
                return NULL;
        api_close(d->api);
        session_manager_close(d->sessions);
        workspace_manager_free(d->workspace); /* what it finishes now goes to sessions */
        /* Completions that are delivered while the stores close may still reach sessions. */
        if (d->state)
                (void) store_flush(d->state);
        if (d->memory_store)
                (void) store_flush(d->memory_store);
        session_manager_free(d->sessions); /* its last completions still reach agents */
        agents_free(d->agents);
        sup_manager_free(d->sup);
        memory_manager_free(d->memory);
        api_free(d->api);
        store_free(d->memory_store);
        store_free(d->state);
        sd_event_source_disable_unref(d->sigterm);
        sd_event_source_disable_unref(d->sigint);
        sd_event_source_disable_unref(d->sighup);
        sd_event_source_disable_unref(d->shutdown_source);
        sd_event_source_disable_unref(d->watchdog);
        sd_event_unref(d->event);
        free(d->log_dir);
        free(d->socket_path);
        free(d->keeper_path);
        free(d->exec_path);
        d->magic = 0;
        free(d);
        return NULL;
}
