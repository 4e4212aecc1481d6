/* SPDX-License-Identifier: MIT */

/* `agentd config` and `agentd reload`: what a daemon runs with, or would, and making it read again.
 * What runs and what would run come as the same JSON, from GET /config or made here by the same
 * function, so there is one way to print it.
 *
 * With options of the configuration on the command line the question is what a start with them
 * would do, not what runs now; those that only say which daemon is meant (--db and the like) do not
 * count as such. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/probe.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define TEXT_BYTES ((size_t) 1 << 20)

static bool is_local(const Cli *c) {
        if (cli_option(c, "local"))
                return true;
        for (size_t i = 0; i < config_table_size; i++) {
                const char *option = config_table[i].option;
                if (option && !where_is_place(option + 2) && cli_option(c, option + 2))
                        return true;
        }
        return false;
}

/* What is in effect, and for what was changed since, what to do to have it. */
static char *note_of(Cli *c, JsonSpan key) {
        JsonSpan changed = json_get(key, "changed_to");
        bool reload = streq(cli_member(c, key, "reload"), "true");

        if (!json_is(changed, JSON_KIND_STRING))
                return cli_text(c, "%s", reload ? "" : "at a restart");
        return cli_text(c, "now %s (%s): %s", cli_value(c, changed), cli_member(c, key, "changed_by"),
                        reload ? "agentd reload" : "needs a restart");
}

static void print_table(Cli *c, JsonSpan config) {
        JsonSpan key;
        Table t;

        table_init(&t, c, "VARIABLE|VALUE|UNIT|FROM|CHANGES|MEANING");
        JsonIter it = json_iter(json_get(config, "keys"));
        while (json_next(&it, NULL, &key)) {
                char *from = cli_member(c, key, "origin");
                bool changed = json_is(json_get(key, "changed_to"), JSON_KIND_STRING);

                table_add(&t, cli_member(c, key, "variable"), NULL);
                table_add(&t, cli_member(c, key, "value"), NULL);
                table_add(&t, cli_member(c, key, "unit"), NULL);
                table_add(&t, from, streq(from, "default") ? NULL : "32");
                table_add(&t, note_of(c, key), changed ? "33" : NULL);
                table_add(&t, cli_member(c, key, "doc"), NULL);
        }
        table_print(&t);
        table_done(&t);
}

static void print_names(Cli *c, JsonSpan config) {
        JsonIter it = json_iter(json_get(config, "keys"));
        JsonSpan key;

        while (json_next(&it, NULL, &key))
                (void) puts(cli_member(c, key, "variable"));
}

static int print_config(Cli *c, JsonSpan config) {
        JsonSpan error = json_get(config, "error");

        if (c->json)
                cli_print_json(config);
        else if (c->quiet || c->names)
                print_names(c, config);
        else
                print_table(c, config);
        if (json_is(error, JSON_KIND_STRING))
                cli_note(c, "agentd: %s (not taken up)", cli_value(c, error));
        return 0;
}

/* file: NULL: that of the command line, the environment or the default place. */
static int load(Cli *c, const char *file, DaemonConfig *ret) {
        _cleanup_free_ const char **options = cli_config_options(c);
        _cleanup_free_ char *message = NULL;

        for (size_t i = 0; i < config_table_size; i++)
                if (file && config_table[i].option && streq(config_table[i].option, "--config"))
                        options[i] = file;
        if (config_load(ret, options, 0, &message) < 0)
                return cli_error(c, CLI_USAGE, "%s", message ? message : "out of memory");
        return 0;
}

static int show_local(Cli *c) {
        _cleanup_(config_done) DaemonConfig config = {};
        _cleanup_buf_ Buf b = BUF_INIT(TEXT_BYTES);
        JsonWriter w = JSON_WRITER(&b);

        int r = load(c, NULL, &config);
        if (r != 0)
                return r;
        config_write_json(&w, &config, NULL, NULL);
        if (buf_error(&b) < 0)
                cli_out_of_memory();
        return print_config(c, (JsonSpan){ b.data, b.len });
}

static int check(Cli *c) {
        _cleanup_(config_done) DaemonConfig config = {};

        int r = load(c, c->n_args > 0 ? c->args[0] : NULL, &config);
        if (r != 0)
                return r;
        for (char *const *f = config.files; f && *f; f++)
                cli_say(c, "%s is right", *f);
        if (!config.files)
                cli_say(c,
                        "There is no %s; everything comes from options, the environment and defaults",
                        config.file ? config.file : "agentd.conf");
        return 0;
}

static int print_example(void) {
        _cleanup_buf_ Buf b = BUF_INIT(TEXT_BYTES);

        config_write_example(&b);
        if (buf_error(&b) < 0)
                cli_out_of_memory();
        (void) fputs(b.data, stdout);
        return 0;
}

int verb_config(Cli *c) {
        _cleanup_reply_ Reply reply = {};

        if (cli_option(c, "example"))
                return print_example();
        if (cli_option(c, "check"))
                return check(c);
        if (c->n_args > 0)
                return cli_usage(
                        c,
                        "a FILE goes with --check; `agentd config --config FILE` shows what it makes");
        if (is_local(c))
                return show_local(c);
        if (!str_isempty(getenv("AGENTD_URL")))
                c->url = getenv("AGENTD_URL");
        else if (probe_gone_now(c))
                return show_local(c);
        int r = ask(c, "GET", "/config", NULL, &reply);
        return r != 0 ? r : print_config(c, reply.json);
}

static void say_changes(Cli *c, JsonSpan list, const char *how) {
        JsonIter it = json_iter(list);
        JsonSpan change;

        while (json_next(&it, NULL, &change)) {
                const char *wanted = cli_member(c, change, "wanted");

                cli_say(c, "%s = %s (%s)%s", cli_member(c, change, "key"),
                        *wanted ? wanted : "\"\"", cli_member(c, change, "origin"), how);
        }
}

int verb_reload(Cli *c) {
        _cleanup_reply_ Reply reply = {};

        int r = ask(c, "POST", "/reload", NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        JsonSpan applied = json_get(reply.json, "applied"), waiting = json_get(reply.json, "waiting");
        say_changes(c, applied, "");
        say_changes(c, waiting, " after a restart");
        if (json_count(waiting) > 0)
                cli_say(c,
                        "To restart: agentd stop && agentd start --detach; sessions and agents are kept");
        if (json_count(applied) == 0 && json_count(waiting) == 0)
                cli_say(c, "Nothing has changed");
        return 0;
}
