/* SPDX-License-Identifier: MIT */

/* Reading the configuration again: `agentd reload`, POST /reload, SIGHUP to the daemon or to the keeper.
 *
 * Everything is read and checked before anything is taken up, so a mistake changes nothing. Then each room gets
 * its new values by one call that cannot fail; there is no state half-way. To begin anew (exec) with the new
 * configuration was rejected: it is what a restart does, and clients would notice.
 *
 * The snapshot is what makes a crash harmless here: the daemon that follows one runs with the same
 * configuration, whatever was edited since. It is not a place to look for values in: `agentd start`
 * removes it, and without it (a full disk) the next daemon reads the files as a start does. */

#include "daemon/reload.h"

#include <fcntl.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"

#define SNAPSHOT_MAX ((size_t) 4 << 20)

/* ---- from where ---- */

int config_read(const ConfigSource *from, DaemonConfig *ret, char **ret_message) {
        return config_load_from(ret, from->options, from->environment, 0, ret_message);
}

static int read_snapshot(const char *path, DaemonConfig *ret) {
        _cleanup_free_ char *text = NULL;
        JsonSpan json;
        size_t n = 0;

        int r = fs_read_file(AT_FDCWD, path, SNAPSHOT_MAX, &text, &n);
        if (r >= 0)
                r = json_check(text, n, JSON_DEPTH_MAX, &json, NULL);
        return r < 0 ? r : config_load_json(ret, json);
}

int config_open(const ConfigSource *from, DaemonConfig *ret, char **ret_message) {
        int r = from->snapshot ? read_snapshot(from->snapshot, ret) : -ENOENT;

        if (r >= 0 || r == -ENOMEM)
                return r;
        if (r != -ENOENT)
                log_warning(r, "Cannot use %s; the configuration is read anew", from->snapshot);
        return config_read(from, ret, ret_message);
}

/* JSON cannot hold a path that is no UTF-8; then there is no snapshot. */
static bool is_text(const DaemonConfig *config) {
        for (size_t i = 0; i < config_table_size; i++) {
                _cleanup_free_ char *value = config_value_to_string(config, i);
                if (!value || !utf8_is_valid(value, strlen(value)) ||
                    !utf8_is_valid(config->sources[i], strlen(config->sources[i])))
                        return false;
        }
        return true;
}

void config_remember(const ConfigSource *from, const DaemonConfig *config) {
        _cleanup_buf_ Buf b = BUF_INIT(SNAPSHOT_MAX);
        JsonWriter w = JSON_WRITER(&b);

        if (!from->snapshot)
                return;
        config_write_json(&w, config, NULL, NULL);
        int r = !is_text(config) ? -EILSEQ : buf_error(&b);
        if (r >= 0)
                r = fs_write_file_atomic(AT_FDCWD, from->snapshot, b.data, b.len, 0600);
        if (r >= 0)
                return;
        log_warning(r, "Cannot write %s; after a crash the configuration is read anew",
                    from->snapshot);
        (void) unlink(from->snapshot); /* an older one would be wrong */
}

/* ---- to the rooms ---- */

LogLevel log_level_of(const DaemonConfig *config) {
        static const char *const names[] = { "error", "warning", "notice", "info", "debug" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(names[i], config->log_level))
                        return (LogLevel) i;
        return LOG_LEVEL_INFO;
}

SessionConfig session_config_of(const DaemonConfig *config) {
        return (SessionConfig){
                .checkpoint_interval_usec = config->checkpoint_interval_usec,
                .session_timeout_usec = config->session_timeout_usec,
                .events_max = config->events_max,
                .events_age_usec = config->events_age_usec,
                .collect_interval_usec = config->collect_interval_usec,
                .sessions_max = (unsigned) config->sessions_max,
                .message_max = config->message_max,
                .append_threads = (unsigned) config->message_threads,
                .append_queue = (unsigned) config->message_queue,
                .tokens_max = (unsigned) config->tokens_max,
                .checkpoints_max = (unsigned) config->checkpoints_max,
                .variables_max = (unsigned) config->variables_max,
                .variables_bytes_max = config->variables_bytes_max,
                .data_dir = config->data_dir,
        };
}

MemoryLimits memory_limits_of(const DaemonConfig *config) {
        return (MemoryLimits){
                .versions_max = config->memory_versions,
                .history_age_usec = config->memory_history_age_usec ?: USEC_INFINITY,
                .text_max = config->memory_text_max,
        };
}

static void hand_on(const Reload *r) {
        SessionConfig sessions = session_config_of(r->config);
        MemoryLimits memory = memory_limits_of(r->config);

        log_set_level(log_level_of(r->config));
        session_manager_configure(r->sessions, &sessions);
        memory_set_limits(r->memory, &memory);
        workspace_manager_set_file_max(r->workspace, r->config->workspace_file_max);
        sup_manager_set_start_parallel(r->sup, (unsigned) r->config->start_parallel);
        sup_manager_set_drop_output(r->sup, streq(r->config->log_disk_full, "drop"));
        api_configure(r->api);
}

static void log_changes(const Reload *r,
                        const DaemonConfig *wanted,
                        const ConfigChange changes[static CONFIG_KEYS_MAX]) {
        size_t n = 0;

        for (size_t i = 0; i < config_table_size; i++) {
                const DaemonConfig *read = changes[i] == CONFIG_APPLIED ? r->config : wanted;
                _cleanup_free_ char *value = NULL;

                if (changes[i] == CONFIG_SAME)
                        continue;
                value = config_value_to_string(read, i);
                log_notice("%s is now %s (%s)%s", config_table[i].env, value ? value : "?",
                           read->sources[i], changes[i] == CONFIG_WAITS ? ", after a restart" : "");
                n++;
        }
        if (n == 0)
                log_notice("The configuration was read again; nothing has changed");
}

int reload_config(const Reload *r,
                  DaemonConfig *ret_wanted,
                  ConfigChange changes[static CONFIG_KEYS_MAX],
                  char **ret_message) {
        DaemonConfig next = {};

        (void) sup_manager_notify(r->sup, KEEPER_NOTIFY_RELOADING);
        int error = config_read(r->from, &next, ret_message);
        if (error >= 0) {
                config_take(r->config, &next, changes);
                hand_on(r);
                config_remember(r->from, r->config);
                log_changes(r, &next, changes);
                *ret_wanted = next;
        } else
                log_error(*ret_message ? 0 : error, "The configuration stays as it is: %s",
                          *ret_message ? *ret_message : "it cannot be read");
        (void) sup_manager_notify(r->sup, KEEPER_NOTIFY_READY);
        return error;
}
