/* SPDX-License-Identifier: MIT */

/* Verbs about agentd itself that change nothing: version, config, help. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/verbs.h"

int verb_version(Cli *c) {
        _cleanup_reply_ Reply reply = {};

        cli_say(c, "agentd %s", AGENTD_VERSION);
        int r = ask(c, "GET", "/version", NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        cli_say(c, "daemon %s, pid %s, keeper pid %s", cli_member(c, reply.json, "version"),
                cli_member(c, reply.json, "daemon_pid"), cli_member(c, reply.json, "keeper_pid"));
        return 0;
}

static void config_json(Cli *c, const char **origins) {
        _cleanup_buf_ Buf b = BUF_INIT((size_t) 1 << 20);
        JsonWriter w = JSON_WRITER(&b);

        json_w_array_begin(&w);
        for (size_t i = 0; i < config_table_size; i++) {
                json_w_object_begin(&w);
                json_w_kv_string(&w, "variable", config_table[i].env);
                json_w_kv_string(&w, "value", cli_keep(c, config_value_to_string(&c->config, i)));
                json_w_kv_string(&w, "origin", origins[i]);
                json_w_object_end(&w);
        }
        json_w_array_end(&w);
        if (buf_error(&b) < 0)
                cli_out_of_memory();
        cli_print_json((JsonSpan){ b.data, b.len });
}

/* What a daemon that is started here would use. */
int verb_config(Cli *c) {
        _cleanup_free_ const char **origins = calloc(config_table_size, sizeof(*origins));
        _cleanup_free_ const char **options = calloc(config_table_size, sizeof(*options));
        _cleanup_(config_done) DaemonConfig again = {};
        Table t;

        if (!origins || !options)
                cli_out_of_memory();
        for (size_t i = 0; i < config_table_size; i++)
                if (config_table[i].option)
                        options[i] = cli_option(c, config_table[i].option + 2);
        if (config_load(&again, options, origins, NULL) < 0)
                cli_out_of_memory(); /* it was read before: nothing else can be wrong */
        if (c->json) {
                config_json(c, origins);
                return 0;
        }
        table_init(&t, c, "VARIABLE|VALUE|FROM|MEANING");
        for (size_t i = 0; i < config_table_size; i++) {
                table_add(&t, config_table[i].env, NULL);
                table_add(&t, cli_keep(c, config_value_to_string(&again, i)), NULL);
                table_add(&t, origins[i], streq(origins[i], "default") ? NULL : "32");
                table_add(&t, config_table[i].doc, NULL);
        }
        table_print(&t);
        table_done(&t);
        return 0;
}

int verb_help(Cli *c) {
        const Verb *v = c->n_args > 0 ? verb_find(c->args[0]) : NULL;

        if (c->n_args > 0 && !v)
                return cli_usage(c, "there is no verb '%s'", c->args[0]);
        if (v)
                help_print_verb(v);
        else
                help_print();
        return 0;
}
