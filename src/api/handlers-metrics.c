/* SPDX-License-Identifier: MIT */

/* GET /metrics. Everything that is shown is a counter that somebody keeps anyway, or one small file
 * of /proc or of the agents' common cgroup: the answer costs the same with ten sessions and with a
 * hundred thousand, and no label names a session. */

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "api/handlers.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"

#define COUNTER "counter"
#define GAUGE   "gauge"

static double seconds(usec_t t) {
        return (double) t / (double) USEC_PER_SEC;
}

static void write_sessions(const Api *a, Buf *out) {
        SessionStats stats;
        char labels[64];

        session_stats(a->sessions, &stats);
        metrics_family(out, "agentd_sessions", GAUGE, "Sessions by status; archived ones apart.");
        for (int i = 0; i < _SESSION_STATUS_MAX; i++) {
                size_t n = session_count(a->sessions, i);
                if (i == SESSION_STOPPED)
                        n -= session_count_archived(a->sessions);
                (void) snprintf(labels, sizeof(labels), "status=\"%s\"",
                                session_status_to_string((SessionStatus) i));
                metrics_sample(out, "agentd_sessions", labels, (double) n);
        }
        metrics_sample(out, "agentd_sessions", "status=\"archived\"",
                       (double) session_count_archived(a->sessions));
        metrics_one(out, "agentd_runs_started_total", COUNTER, "Processes that came up.",
                    (double) stats.events[EVENT_RUN_STARTED]);
        metrics_one(out, "agentd_runs_ended_total", COUNTER, "Runs that ended.",
                    (double) stats.events[EVENT_RUN_ENDED]);
        metrics_one(out, "agentd_restarts_total", COUNTER,
                    "Runs started again by the restart policy.", (double) stats.restarts);
        metrics_family(out, "agentd_events_total", COUNTER, "Events by type.");
        for (unsigned i = 0; i < _SESSION_EVENT_MAX; i++) {
                (void) snprintf(labels, sizeof(labels), "type=\"%s\"", session_event_to_string(i));
                metrics_sample(out, "agentd_events_total", labels, (double) stats.events[i]);
        }
}

static void write_agents(const Api *a, Buf *out) {
        SupUsage u;

        if (!a->config.sup)
                return;
        metrics_one(out, "agentd_keeper_pid", GAUGE, "Process id of the keeper; 0: none.",
                    (double) sup_manager_keeper_pid(a->config.sup));
        metrics_one(out, "agentd_runs_alive", GAUGE, "Agents whose process tree is alive.",
                    (double) sup_manager_n_alive(a->config.sup));
        metrics_one(out, "agentd_runs_output_held", GAUGE,
                    "Runs whose output waits because their log cannot be written (disk full).",
                    (double) sup_manager_n_held(a->config.sup));
        if (sup_manager_usage(a->config.sup, &u) < 0)
                return;
        if (u.cpu_usec != UINT64_MAX)
                metrics_one(out, "agentd_agents_cpu_seconds_total", COUNTER,
                            "CPU time of all agents since their common cgroup was made.",
                            seconds(u.cpu_usec));
        if (u.memory_bytes != UINT64_MAX)
                metrics_one(out, "agentd_agents_memory_bytes", GAUGE, "Memory of all agents.",
                            (double) u.memory_bytes);
}

/* ---- databases ---- */

typedef struct StoreMetric {
        const char *name, *type, *help;
        double (*value)(const StoreStats *s);
} StoreMetric;

static double store_transactions(const StoreStats *s) {
        return (double) s->transactions;
}
static double store_commits(const StoreStats *s) {
        return (double) s->commits;
}
static double store_failures(const StoreStats *s) {
        return (double) s->failures;
}
static double store_sync(const StoreStats *s) {
        return seconds(s->sync_usec);
}
static double store_queued(const StoreStats *s) {
        return (double) s->queued;
}
static double store_bytes(const StoreStats *s) {
        return (double) s->db_bytes;
}
static double store_wal(const StoreStats *s) {
        return (double) s->wal_bytes;
}

static const StoreMetric store_metrics[] = {
        { "agentd_store_transactions_total", COUNTER, "Committed transactions.", store_transactions },
        { "agentd_store_commits_total", COUNTER,
          "Commits; each has one sync and many transactions.", store_commits },
        { "agentd_store_failures_total", COUNTER, "Commits that failed.", store_failures },
        { "agentd_store_sync_seconds_total", COUNTER, "Time spent in commits, syncs included.",
          store_sync },
        { "agentd_store_queue_transactions", GAUGE, "Transactions that wait for their commit.",
          store_queued },
        { "agentd_store_size_bytes", GAUGE, "Size of the database file.", store_bytes },
        { "agentd_store_wal_bytes", GAUGE, "Size of the write-ahead log.", store_wal },
};

static void write_stores(const Api *a, Buf *out) {
        const Store *stores[] = { a->config.state, a->config.memory_store };
        static const char *const labels[] = { "database=\"state\"", "database=\"memory\"" };
        StoreStats stats[ELEMENTSOF(stores)] = {};

        for (size_t k = 0; k < ELEMENTSOF(stores); k++)
                if (stores[k])
                        store_stats(stores[k], &stats[k]);
        ARRAY_FOREACH(m, store_metrics) {
                metrics_family(out, m->name, m->type, m->help);
                for (size_t k = 0; k < ELEMENTSOF(stores); k++)
                        if (stores[k])
                                metrics_sample(out, m->name, labels[k], m->value(&stats[k]));
        }
}

/* ---- connections and the process ---- */

static void write_connections(const Api *a, Buf *out) {
        HttpStats s;

        http_server_stats(a->server, &s);
        metrics_one(out, "agentd_http_connections", GAUGE, "Open connections.", s.connections_now);
        metrics_one(out, "agentd_http_connections_total", COUNTER, "Accepted connections.",
                    (double) s.connections);
        metrics_one(out, "agentd_http_connections_refused_total", COUNTER,
                    "Connections over a limit.", (double) s.refused);
        metrics_one(out, "agentd_http_streams", GAUGE,
                    "Event streams, followed logs and waiting requests.", a->n_streams);
}

/* Linux 6.2 and newer say so in the folder's size; else it is counted. */
static double open_fds(void) {
        struct stat st;
        unsigned n = 0;

        if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
                return (double) st.st_size;
        _cleanup_(dir_closep) DIR *d = opendir("/proc/self/fd");
        if (!d)
                return 0;
        while (readdir(d))
                n++;
        return n > 3 ? n - 3 : 0; /* . and .. and itself */
}

static void write_memory(Buf *out) {
        FILE *f = fopen("/proc/self/statm", "re");
        char line[256] = "";
        double page = (double) sysconf(_SC_PAGESIZE);

        if (!f)
                return;
        bool is_read = fgets(line, sizeof(line), f) != NULL;
        (void) fclose(f);
        if (!is_read)
                return;
        char *second = line + strcspn(line, " ");
        uint64_t pages, resident;
        if (*second)
                *second++ = '\0';
        second[strcspn(second, " ")] = '\0';
        if (str_to_u64(line, &pages) < 0 || str_to_u64(second, &resident) < 0)
                return;
        metrics_one(out, "process_virtual_memory_bytes", GAUGE, "Virtual memory of the daemon.",
                    (double) pages * page);
        metrics_one(out, "process_resident_memory_bytes", GAUGE, "Resident memory of the daemon.",
                    (double) resident * page);
}

static void write_process(const Api *a, Buf *out) {
        struct rusage u;
        struct rlimit limit;

        if (getrusage(RUSAGE_SELF, &u) == 0)
                metrics_one(out, "process_cpu_seconds_total", COUNTER, "CPU time of the daemon.",
                            (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                                    (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
        write_memory(out);
        metrics_one(out, "process_open_fds", GAUGE, "Open file descriptors of the daemon.",
                    open_fds());
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                metrics_one(out, "process_max_fds", GAUGE, "Most file descriptors it may have.",
                            (double) limit.rlim_cur);
        metrics_one(out, "process_start_time_seconds", GAUGE,
                    "When the daemon was started, Unix time.", seconds(a->config.started_at));
}

void api_metrics(ApiCall *c) {
        const Api *a = c->api;
        Buf body = BUF_INIT(API_REPLY_MAX);

        metrics_family(&body, "agentd_build_info", GAUGE, "The version that runs.");
        metrics_sample(&body, "agentd_build_info", "version=\"" AGENTD_VERSION "\"", 1);
        write_sessions(a, &body);
        write_agents(a, &body);
        write_stores(a, &body);
        write_connections(a, &body);
        metrics_write_http(a, &body);
        write_process(a, &body);
        api_send(c, c->route->status, "text/plain; version=0.0.4; charset=utf-8", &body);
}
