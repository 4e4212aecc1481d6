/* SPDX-License-Identifier: MIT */
#pragma once

/* The daemon's configuration as a struct, and its table. CLI and daemon share it, so that both find
 * the same socket and the CLI can say what a value is and where it came from. */

#include "contract/contract.h"

typedef struct DaemonConfig {
        char *file;      /* AGENTD_CONFIG: the configuration file; it need not exist */
        char *db;        /* AGENT_RUNTIME_DB: path or URL of state.db */
        char *memory_db; /* AGENT_RUNTIME_MEMORY_DB */
        char *host;      /* AGENT_RUNTIME_HOST */
        uint64_t port;   /* AGENT_RUNTIME_PORT; 0: any free one */
        usec_t checkpoint_interval_usec;
        usec_t session_timeout_usec;
        char *data_dir;    /* default: the folder of db */
        char *runtime_dir; /* default: DATA/run */
        char *user;        /* whom root becomes; empty: nobody */
        char *cgroup_root; /* "auto", "none" or a path */
        uint64_t max_runs; /* 0: from RLIMIT_NOFILE */
        uint64_t start_parallel;
        char *log_disk_full; /* "wait" or "drop" */
        char *loopback;      /* "user" (same user may do everything) or "token" */
        bool first_token;    /* an API token is made and shown when there is none */
        char **hosts;        /* further names that the Host header may have */
        char **origins;      /* CORS */
        uint64_t body_max, body_memory_max;
        uint64_t connections_max, connections_per_ip;
        usec_t idle_timeout_usec, request_timeout_usec;
        uint64_t compress_max;
        usec_t idempotency_age_usec;
        uint64_t idempotency_answer_max;
        uint64_t memory_window, memory_versions, memory_text_max;
        usec_t memory_history_age_usec;
        uint64_t sessions_max;
        uint64_t message_max, message_threads, message_queue;
        uint64_t tokens_max, checkpoints_max, variables_max, variables_bytes_max;
        uint64_t events_max;
        usec_t events_age_usec;
        uint64_t workspace_file_max;
        usec_t collect_interval_usec;
        char *log_level; /* error warning notice info debug */

        char **sources; /* where each value came from, in the order of config_table: "default",
                         * "environment AGENT_RUNTIME_PORT", "option --port", "/path/agentd.conf:12" */
        char **files;   /* that were read; NULL: none */
} DaemonConfig;

extern const ConfigDef config_table[];
extern const size_t config_table_size;

/* -EINVAL if that name is no variable of ours. */
int config_index_by_env(const char *env, size_t *ret);

enum {
        /* What is wrong in a file is left out and everything else counts; for clients, which are
         * not to fail because of a file that the running daemon has not read yet. */
        CONFIG_LENIENT = 1 << 0,
};

/* Fills *ret. For each key the first of these that says something counts: options[i] (NULL: not
 * given; options may be NULL), in the order of config_table; the environment (an empty variable
 * counts as absent); the drop-ins FILE.d/?*.conf, in byte order, the last one first; the file; the
 * default. Lists of several files are one list, an empty value in a file takes back what was said
 * before.
 *
 * The file is that of --config or AGENTD_CONFIG, which must exist, else agentd.conf in:
 * CONFIGURATION_DIRECTORY if a service manager set it for agentd; ~/.agent_runtime; for root
 * without that one, /etc/agentd.
 *
 * -EINVAL with *ret_message naming the place and the value, -ENOMEM. With CONFIG_LENIENT
 * *ret_message may be set beside success. */
int config_load(DaemonConfig *ret, const char *const *options, unsigned flags, char **ret_message);
/* The same with another environment than our own ("NAME=value"; NULL: our own). */
int config_load_from(DaemonConfig *ret,
                     const char *const *options,
                     char *const *environment,
                     unsigned flags,
                     char **ret_message);
/* What config_write_json() wrote, instead of all places; what it does not name has its default.
 * -EINVAL: it is none. */
int config_load_json(DaemonConfig *ret, JsonSpan json);

typedef enum ConfigChange {
        CONFIG_SAME,
        CONFIG_APPLIED,
        CONFIG_WAITS, /* for a restart */
} ConfigChange;
#define CONFIG_KEYS_MAX 128

/* Takes up from next what may change while the daemon runs, and says for each key of config_table
 * what became of it. next gets the old values: config_done(). */
void config_take(DaemonConfig *running,
                 DaemonConfig *next,
                 ConfigChange changes[static CONFIG_KEYS_MAX]);

void config_done(DaemonConfig *c);
/* The value as text, as it would be written again; for `agentd config`. NULL: out of memory. */
char *config_value_to_string(const DaemonConfig *c, size_t index);
/* What kind of value it is, for people: "time", "bytes", "number", "path", "text", "words", "yes or no". */
const char *config_unit(const ConfigDef *k);
/* False also if memory is short. */
bool config_value_differs(const DaemonConfig *a, const DaemonConfig *b, size_t index);
/* {"file", "files", "error", "keys": [{"section", "key", "variable", "option", "value", "unit",
 * "origin", "default", "reload", "changed_to", "changed_by", "doc"}…]}. next: what a start would
 * use now (NULL: the same); error: why that cannot be said, or NULL. */
void config_write_json(JsonWriter *w,
                       const DaemonConfig *c,
                       const DaemonConfig *next,
                       const char *error);
/* agentd.conf with every key commented out. */
void config_write_example(Buf *out);
/* RUNTIME/agentd.sock */
char *config_socket_path(const DaemonConfig *c);
