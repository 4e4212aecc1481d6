/* SPDX-License-Identifier: MIT */

/* The table of unit keys.
 *
 * One table for the unit file and for the API, because two lists drift apart. The API name is
 * written out and not derived: OOMPolicy, CPUQuota and LimitNOFILE have no spelling rule that people
 * would guess right. The defaults are text, as a person would write them, so that the manual shows what
 * the parser does; sup/test-spec.c parses each of them and compares with the defaults that the code has.
 *
 * Keys that are not built are here as well: the nearest-name search should find them, and `not built in
 * this version` is a better answer than `unknown key`.
 *
 * Rejected: a hash or gperf table. Eighty rows are scanned in less time than a request's JSON. */

#include "contract/unit-keys.h"

#include <strings.h>

#include "base/str.h"

#define ROW(s, n, a, t, v, f, d, b)                                                            \
        {                                                                                      \
                .section = (s), .name = (n), .api_name = (a), .loc = "agent." a,               \
                .type = UNIT_KEY_##t, .values = (v), .fallback = (f), .doc = (d), .built = (b) \
        }
#define KEY(s, n, a, t, f, d)  ROW(s, n, a, t, NULL, f, d, true)
#define WORD(s, n, a, v, f, d) ROW(s, n, a, WORD, v, f, d, true)
#define LATER(s, n, a, t, d)   ROW(s, n, a, t, NULL, NULL, d, false)

/* clang-format off */
const UnitKey unit_keys[] = {
        LATER("Unit", "Description", "description", TEXT, "what the agent is for"),
        LATER("Unit", "After", "after", LIST, "units that start before this one"),
        LATER("Unit", "Requires", "requires", LIST, "units that must run"),
        LATER("Unit", "Wants", "wants", LIST, "units that should run"),
        LATER("Unit", "Conflicts", "conflicts", LIST, "units that must not run"),
        LATER("Unit", "ConditionPathExists", "condition_path_exists", PATH, "start only if this exists"),

        KEY("Agent", "Exec", "exec", COMMAND, NULL, "the command line of the agent"),
        KEY("Agent", "ExecResume", "exec_resume", COMMAND, NULL, "the command line that goes on after an earlier run; else Exec= again"),
        LATER("Agent", "StateDir", "state_dir", TEXT, "variable that names the agent's own state folder"),
        LATER("Agent", "TranscriptIdPattern", "transcript_id_pattern", TEXT, "how to find the transcript's id in the output"),
        LATER("Agent", "Type", "type", WORD, "how the agent says that it is ready"),
        LATER("Agent", "Model", "model", TEXT, "the model, as PROVIDER/NAME"),
        LATER("Agent", "SystemPrompt", "system_prompt", TEXT, "the system prompt"),
        LATER("Agent", "Tools", "tools", LIST, "tools that the agent may use"),
        KEY("Agent", "Workspace", "workspace", PATH, NULL, "the folder whose files belong to the session"),
        KEY("Agent", "WorkingDirectory", "working_directory", PATH, NULL, "where the agent starts; else the workspace, else the home folder"),
        KEY("Agent", "Environment", "environment", ENVIRONMENT, NULL, "environment variables of the agent"),
        LATER("Agent", "EnvironmentFile", "environment_file", PATH, "file with environment variables"),
        LATER("Agent", "LoadCredential", "load_credential", LIST, "secrets given as files"),
        LATER("Agent", "Resume", "resume", WORD, "how the agent gets its history back"),

        WORD("Service", "Restart", "restart", "no|on-success|on-failure|on-abnormal|always", "on-failure", "after which ends the agent is started again"),
        KEY("Service", "RestartSec", "restart_sec", SPAN, "1s", "the first delay before a restart"),
        KEY("Service", "RestartMaxDelaySec", "restart_max_delay_sec", SPAN, "5min", "the longest delay before a restart"),
        KEY("Service", "RestartSteps", "restart_steps", COUNT, "8", "how many restarts it takes to reach the longest delay; 0: it does not grow"),
        KEY("Service", "StartLimitIntervalSec", "start_limit_interval_sec", SPAN, "10min", "the time that StartLimitBurst= counts in; 0: no limit"),
        KEY("Service", "StartLimitBurst", "start_limit_burst", COUNT, "10", "how many starts within that time before giving up; 0: no limit"),
        KEY("Service", "RestartPreventExitStatus", "restart_prevent_exit_status", EXIT_SET, NULL, "exit statuses and signals after which there is no restart"),
        KEY("Service", "SuccessExitStatus", "success_exit_status", EXIT_SET, NULL, "exit statuses and signals that count as success, beside 0"),
        KEY("Service", "TimeoutStartSec", "timeout_start_sec", SPAN, "90s", "how long the start may take; 0 or infinity: for ever"),
        KEY("Service", "TimeoutStopSec", "timeout_stop_sec", SPAN, "30s", "how long a stop may take before everything is killed; 0 or infinity: for ever"),
        KEY("Service", "KillSignal", "kill_signal", SIGNAL, "SIGTERM", "the signal that asks the agent to stop"),
        LATER("Service", "RuntimeMaxSec", "runtime_max_sec", SPAN, "how long a run may last"),
        LATER("Service", "WatchdogSec", "watchdog_sec", SPAN, "how often the agent must show that it lives"),
        LATER("Service", "ExecStartPre", "exec_start_pre", COMMAND, "command before the start"),
        LATER("Service", "ExecStartPost", "exec_start_post", COMMAND, "command after the start"),
        LATER("Service", "ExecStopPost", "exec_stop_post", COMMAND, "command after the end"),
        LATER("Service", "ExecHealth", "exec_health", COMMAND, "command that checks the agent's health"),
        LATER("Service", "HealthIntervalSec", "health_interval_sec", SPAN, "time between two health checks"),
        WORD("Service", "OnDaemonStop", "on_daemon_stop", "keep|stop", "keep", "whether the agent lives on when the daemon is stopped"),
        LATER("Service", "OnFailure", "on_failure", LIST, "units to start when this one fails"),
        LATER("Service", "OnStall", "on_stall", WORD, "what to do with an agent that makes no progress"),
        LATER("Service", "StallSec", "stall_sec", SPAN, "after what time without progress an agent is stalled"),

        LATER("Resources", "MemoryMax", "memory_max", SIZE, "the most memory"),
        LATER("Resources", "MemoryHigh", "memory_high", SIZE, "memory above which the agent is slowed down"),
        LATER("Resources", "CPUQuota", "cpu_quota", TEXT, "the most processor time, in percent of one"),
        LATER("Resources", "TasksMax", "tasks_max", COUNT, "the most processes and threads"),
        LATER("Resources", "IOWeight", "io_weight", COUNT, "share of the disk"),
        LATER("Resources", "OOMPolicy", "oom_policy", WORD, "what happens when memory runs out"),
        LATER("Resources", "Nice", "nice", TEXT, "scheduling priority"),
        LATER("Resources", "LimitNOFILE", "limit_nofile", COUNT, "the most open files"),
        LATER("Resources", "Enforce", "enforce", BOOL, "whether limits that cannot be set fail the start"),

        LATER("Sandbox", "Sandbox", "sandbox", WORD, "what the agent may touch"),
        LATER("Sandbox", "ReadWritePaths", "read_write_paths", LIST, "paths that stay writable"),
        LATER("Sandbox", "ReadOnlyPaths", "read_only_paths", LIST, "paths that become read-only"),
        LATER("Sandbox", "InaccessiblePaths", "inaccessible_paths", LIST, "paths that are hidden"),
        LATER("Sandbox", "Network", "network", WORD, "which network the agent sees"),
        LATER("Sandbox", "User", "user", TEXT, "the user that the agent runs as"),

        LATER("Budget", "Money", "money", TEXT, "the most money"),
        LATER("Budget", "Tokens", "tokens", TEXT, "the most tokens"),
        LATER("Budget", "Calls", "calls", COUNT, "the most model calls"),
        LATER("Budget", "Per", "per", WORD, "what the budget is counted for"),

        LATER("Timer", "OnCalendar", "on_calendar", TEXT, "start at these times"),
        LATER("Timer", "OnUnitActiveSec", "on_unit_active_sec", SPAN, "start this long after the last start"),
        LATER("Timer", "RandomizedDelaySec", "randomized_delay_sec", SPAN, "random delay of timers"),
        LATER("Timer", "Persistent", "persistent", BOOL, "catch up with missed times"),

        LATER("Trigger", "PathChanged", "path_changed", PATH, "start when this changes"),
        LATER("Trigger", "Webhook", "webhook", TEXT, "start when this hook is called"),
        LATER("Trigger", "Socket", "socket", TEXT, "start on a connection"),

        LATER("Install", "WantedBy", "wanted_by", LIST, "started with these"),
};
/* clang-format on */

const size_t n_unit_keys = ELEMENTSOF(unit_keys);

const UnitKey *unit_key_find(const char *api_name) {
        ARRAY_FOREACH(k, unit_keys)
                if (streq(k->api_name, api_name))
                        return k;
        return NULL;
}

/* `env` is a begun word and no misspelling: what alone goes on so, or NULL. */
static const char *begun(const char *word) {
        const char *found = NULL;

        for (size_t i = 0; strlen(word) >= 3 && i < ELEMENTSOF(unit_keys); i++)
                if (unit_keys[i].built && str_startswith(unit_keys[i].api_name, word)) {
                        if (found)
                                return NULL;
                        found = unit_keys[i].api_name;
                }
        return found;
}

const char *unit_key_nearest(const char *word) {
        const char *names[ELEMENTSOF(unit_keys)];

        for (size_t i = 0; i < ELEMENTSOF(unit_keys); i++) {
                if (strcasecmp(unit_keys[i].name, word) == 0)
                        return unit_keys[i].api_name;
                names[i] = unit_keys[i].api_name;
        }
        const char *near = str_nearest(word, names, ELEMENTSOF(names));

        return near ? near : begun(word);
}

const char *unit_key_type_to_string(UnitKeyType t) {
        static const char *const names[_UNIT_KEY_TYPE_MAX] = {
                [UNIT_KEY_COMMAND] = "a command line, or an array of strings",
                [UNIT_KEY_ENVIRONMENT] = "an object of strings, or NAME=value assignments",
                [UNIT_KEY_PATH] = "an absolute path",
                [UNIT_KEY_WORD] = "a word",
                [UNIT_KEY_SPAN] = "a number of seconds, or a duration such as '5min 30s'",
                [UNIT_KEY_COUNT] = "a number that is not negative",
                [UNIT_KEY_EXIT_SET] = "exit statuses from 0 to 255 and signal names",
                [UNIT_KEY_SIGNAL] = "a signal such as SIGTERM",
                [UNIT_KEY_SIZE] = "a number of bytes, with K, M, G or T",
                [UNIT_KEY_BOOL] = "true or false",
                [UNIT_KEY_TEXT] = "text",
                [UNIT_KEY_LIST] = "a list of words",
        };
        assert(t >= 0 && t < _UNIT_KEY_TYPE_MAX);
        return names[t];
}
