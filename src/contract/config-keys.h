/* SPDX-License-Identifier: MIT */
#pragma once

/* The daemon's configuration as a struct, and its table. CLI and daemon share it, so that both find
 * the same socket and the CLI can say what a value is and where it came from. */

#include "contract/contract.h"

typedef struct DaemonConfig {
        char *db;        /* AGENT_RUNTIME_DB: path or URL of state.db */
        char *memory_db; /* AGENT_RUNTIME_MEMORY_DB */
        char *host;      /* AGENT_RUNTIME_HOST */
        uint64_t port;   /* AGENT_RUNTIME_PORT; 0: any free one */
        usec_t checkpoint_interval_usec;
        usec_t session_timeout_usec;
        char *data_dir;    /* default: the folder of db */
        char *runtime_dir; /* default: DATA/run */
        char *cgroup_root; /* "auto", "none" or a path */
        uint64_t max_runs; /* 0: from RLIMIT_NOFILE */
        uint64_t start_parallel;
        char *loopback; /* "user" (same user may do everything) or "token" */
        char **hosts;   /* further names that the Host header may have */
        char **origins; /* CORS */
        uint64_t body_max, body_memory_max;
        uint64_t connections_max, connections_per_ip;
        usec_t idle_timeout_usec, request_timeout_usec;
        usec_t idempotency_age_usec;
        uint64_t idempotency_answer_max;
        uint64_t memory_window;
        uint64_t sessions_max;
        uint64_t message_max;
        uint64_t events_max;
        usec_t events_age_usec;
        uint64_t workspace_file_max;
        char *log_level; /* error warning notice info debug */
} DaemonConfig;

extern const ConfigDef config_table[];
extern const size_t config_table_size;

/* -EINVAL if that name is no variable of ours. */
int config_index_by_env(const char *env, size_t *ret);

/* Fills *ret from defaults and the environment (an empty variable counts as absent); options[i]
 * (NULL: not given) wins, in the order of config_table. origins[i] (may be NULL) is set to
 * "default", "environment" or "option". -EINVAL with *ret_message naming the value. */
int config_load(DaemonConfig *ret, const char *const *options, const char **origins, char **ret_message);
void config_done(DaemonConfig *c);
/* The value as text, as it would be written again; for `agentd config`. NULL: out of memory. */
char *config_value_to_string(const DaemonConfig *c, size_t index);
/* RUNTIME/agentd.sock */
char *config_socket_path(const DaemonConfig *c);
