/* SPDX-License-Identifier: MIT */

/* The configuration: what runs, what a start would use now, and taking up what may change. The files are read on
 * the loop thread: they are small, and the answer must be about the moment of the request. */

#include "api/handlers.h"
#include "base/log.h"

void api_config(ApiCall *c) {
        const ApiConfig *config = &c->api->config;
        _cleanup_(config_done) DaemonConfig next = {};
        _cleanup_free_ char *message = NULL;
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        int r = config->next_config(&next, &message, config->userdata);
        if (r < 0 && r != -EINVAL) {
                api_fail_result(c, r);
                return;
        }
        config_write_json(&w, config->config, r < 0 ? NULL : &next, message);
        api_reply(c, &body);
}

static void write_changes(JsonWriter *w,
                          const DaemonConfig *running,
                          const DaemonConfig *wanted,
                          const ConfigChange changes[static CONFIG_KEYS_MAX],
                          ConfigChange which) {
        json_w_array_begin(w);
        for (size_t i = 0; i < config_table_size; i++) {
                /* What was applied is in effect; in the other one is then what was before. */
                const DaemonConfig *read = which == CONFIG_APPLIED ? running : wanted;
                _cleanup_free_ char *value = NULL, *text = NULL;

                if (changes[i] != which)
                        continue;
                value = config_value_to_string(running, i);
                text = config_value_to_string(read, i);
                json_w_object_begin(w);
                json_w_kv_string(w, "section", config_table[i].section);
                json_w_kv_string(w, "key", config_table[i].name);
                json_w_kv_string(w, "variable", config_table[i].env);
                json_w_kv_string(w, "value", value ? value : "");
                json_w_kv_string(w, "wanted", text ? text : "");
                json_w_kv_string(w, "origin", read->sources[i]);
                json_w_object_end(w);
        }
        json_w_array_end(w);
}

static void reload(ApiCall *c) {
        const ApiConfig *config = &c->api->config;
        _cleanup_(config_done) DaemonConfig wanted = {};
        _cleanup_free_ char *message = NULL;
        ConfigChange changes[CONFIG_KEYS_MAX];
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        int r = config->reload(&wanted, changes, &message, config->userdata);
        if (r == -EINVAL && message) {
                c->subject = message;
                api_fail(c, ERROR_CONFIG_WRONG);
                return;
        }
        if (r < 0) {
                api_fail_result(c, r);
                return;
        }
        json_w_object_begin(&w);
        json_w_kv_string(&w, "status", "reloaded");
        json_w_key(&w, "files");
        json_w_array_begin(&w);
        for (char *const *f = config->config->files; f && *f; f++)
                json_w_string(&w, *f);
        json_w_array_end(&w);
        json_w_key(&w, "applied");
        write_changes(&w, config->config, &wanted, changes, CONFIG_APPLIED);
        json_w_key(&w, "waiting");
        write_changes(&w, config->config, &wanted, changes, CONFIG_WAITS);
        json_w_object_end(&w);
        api_reply(c, &body);
}

void api_reload(ApiCall *c) {
        api_keyed_first(c, reload);
}
