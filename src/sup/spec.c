/* SPDX-License-Identifier: MIT */

/* SupSpec from the `agent` object.
 *
 * Two tables meet here: contract/unit-keys says which keys there are and what each expects; the
 * table below says which function reads a key and into which member. test-spec.c checks that every
 * built key has a reader and that every default of the contract is the default of the code.
 *
 * A key that is not built is refused, never ignored: somebody who writes `memory_max` and is not
 * told would believe in a limit that is not there. A null value means that the key is absent.
 *
 * All errors of one object are reported at once, up to the maximum of FieldErrors, so that a person
 * corrects a unit in one round. */

#include <stdio.h>

#include "base/str.h"
#include "contract/unit-keys.h"
#include "sup/spec-internal.h"

typedef struct SpecKey {
        const char *api_name;
        SpecRead *read;
        size_t offset;
} SpecKey;

static const SpecKey spec_keys[] = {
        { "exec", spec_read_command, offsetof(SupSpec, exec) },
        { "exec_resume", spec_read_command_or_none, offsetof(SupSpec, exec_resume) },
        { "workspace", spec_read_path, offsetof(SupSpec, workspace) },
        { "working_directory", spec_read_path, offsetof(SupSpec, working_directory) },
        { "environment", spec_read_environment, offsetof(SupSpec, environment) },
        { "restart", spec_read_restart, offsetof(SupSpec, restart) },
        { "restart_sec", spec_read_delay, offsetof(SupSpec, restart_usec) },
        { "restart_max_delay_sec", spec_read_delay, offsetof(SupSpec, restart_max_delay_usec) },
        { "restart_steps", spec_read_count, offsetof(SupSpec, restart_steps) },
        { "start_limit_interval_sec", spec_read_delay, offsetof(SupSpec, start_limit_interval_usec) },
        { "start_limit_burst", spec_read_count, offsetof(SupSpec, start_limit_burst) },
        { "restart_prevent_exit_status", spec_read_exit_set, offsetof(SupSpec, restart_prevent) },
        { "success_exit_status", spec_read_exit_set, offsetof(SupSpec, success) },
        { "kill_signal", spec_read_signal, offsetof(SupSpec, kill_signal) },
        { "timeout_start_sec", spec_read_timeout, offsetof(SupSpec, timeout_start_usec) },
        { "timeout_stop_sec", spec_read_timeout, offsetof(SupSpec, timeout_stop_usec) },
        { "on_daemon_stop", spec_read_daemon_stop, offsetof(SupSpec, stop_with_daemon) },
};

static const SpecKey *spec_key_find(const char *api_name) {
        ARRAY_FOREACH(k, spec_keys)
                if (streq(k->api_name, api_name))
                        return k;
        return NULL;
}

SupSpec *sup_spec_free(SupSpec *s) {
        if (!s)
                return NULL;
        strv_free(s->exec);
        strv_free(s->exec_resume);
        free(s->workspace);
        free(s->working_directory);
        strv_free(s->environment);
        free(s);
        return NULL;
}

int spec_new(SupSpec **ret) {
        SupSpec *s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        *s = (SupSpec){
                .restart = SUP_RESTART_ON_FAILURE,
                .restart_usec = USEC_PER_SEC,
                .restart_max_delay_usec = 5 * USEC_PER_MINUTE,
                .restart_steps = 8,
                .start_limit_interval_usec = 10 * USEC_PER_MINUTE,
                .start_limit_burst = 10,
                .kill_signal = 15,
                .timeout_start_usec = 90 * USEC_PER_SEC,
                .timeout_stop_usec = 30 * USEC_PER_SEC,
        };
        *ret = s;
        return 0;
}

static int read_key(SupSpec *s, const char *name, JsonSpan value, FieldErrors *e) {
        char why[SPEC_WHY_SIZE] = "";
        const UnitKey *key = unit_key_find(name);

        if (!key) {
                const char *near = unit_key_nearest(name);
                field_errors_add(e, "unknown_key", "body", "agent", value,
                                 near ? "Unknown key '%.60s'; did you mean '%s'?"
                                      : "Unknown key '%.60s'; Agent in /openapi.json lists the keys%s",
                                 name, near ? near : "");
                return 0;
        }
        if (json_is(value, JSON_KIND_NULL))
                return 0;
        const SpecKey *spec_key = spec_key_find(name);
        if (!spec_key) {
                field_errors_add(e, "not_built", "body", key->loc, value,
                                 "The key '%s' is not built in this version", name);
                return 0;
        }
        int r = spec_key->read(value, (char *) s + spec_key->offset, why);
        if (r == -EINVAL)
                field_errors_add(e, "value_error", "body", key->loc, value, "Value error, %s",
                                 why[0] ? why : unit_key_type_to_string(key->type));
        return r == -EINVAL ? 0 : r;
}

static int read_object(SupSpec *s, JsonSpan agent, FieldErrors *e) {
        JsonIter it = json_iter(agent);
        JsonSpan key, value;

        while (json_next(&it, &key, &value)) {
                _cleanup_free_ char *name = NULL;
                int r = json_string_dup(key, &name, NULL);
                if (r == -ENOMEM)
                        return r;
                r = read_key(s, r < 0 ? "" : name, value, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

int sup_spec_parse(JsonSpan agent, SupSpec **ret, FieldErrors *e) {
        _cleanup_(sup_spec_freep) SupSpec *s = NULL;
        size_t before = e->n;

        if (!agent.p || !json_is(agent, JSON_KIND_OBJECT)) {
                field_errors_add(e, "dict_type", "body", "agent", agent,
                                 "Input should be a valid dictionary");
                return 1;
        }
        int r = spec_new(&s);
        if (r >= 0)
                r = read_object(s, agent, e);
        if (r < 0)
                return r;
        if (!s->exec && e->n == before)
                field_errors_add(e, "missing", "body", "agent.exec", agent, "Field required");
        if (e->n > before)
                return (int) (e->n - before);
        if (s->restart_max_delay_usec < s->restart_usec)
                s->restart_max_delay_usec = s->restart_usec;
        *ret = TAKE_PTR(s);
        return 0;
}
