/* SPDX-License-Identifier: MIT */

/* `agentd run`: a session with a command, started.
 *
 * It should do what typing the command would: so it runs where it was typed, and with a workspace,
 * the words of the command that name files from here still name them. Only words with a slash are
 * looked at: `reader.py` may be a module, a branch or a message, `examples/reader.py` that exists
 * here and not there is a file. And the program is looked for in the PATH of whoever typed it: a
 * daemon that a service manager started has none of ~/.local/bin and the like, and a script that
 * begins with `#!/usr/bin/env node` needs more than its own absolute path.
 *
 * It answers when the program was executed or could not be: "is running" is not said before that.
 */

#include "base/fs.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/body.h"
#include "cli/verbs.h"
#include "contract/unit-keys.h"

#define NAMES_MAX 10000

static char *here(Cli *c) {
        char *cwd = get_current_dir_name();

        return cwd ? cli_keep(c, cwd) : cli_text(c, "/");
}

static const char *command_word(Cli *c, const char *word, const char *workspace) {
        if (!workspace || word[0] == '/' || !strchr(word, '/') || access(word, F_OK) < 0)
                return word;
        char *inside = cli_keep(c, path_join(workspace, word)), *absolute;
        if (access(inside, F_OK) >= 0 || path_absolute(word, &absolute) < 0)
                return word;
        return cli_keep(c, absolute);
}

static void write_command(Cli *c, Body *b, const char *workspace) {
        json_w_key(&b->w, "exec");
        json_w_array_begin(&b->w);
        for (size_t i = 0; i < c->n_args; i++)
                json_w_string(&b->w, command_word(c, c->args[i], workspace));
        json_w_array_end(&b->w);
        if (!workspace)
                json_w_kv_string(&b->w, "working_directory", here(c));
        body_option(c, b, "restart", "restart");
        body_option(c, b, "exec-resume", "exec_resume");
}

/* --property KEY=VALUE: any key of a unit, by its name in the API or in unit files. */
static int write_properties(Cli *c, Body *b) {
        const char *text;
        size_t cursor = 0;

        while ((text = cli_option_next(c, "property", &cursor))) {
                const char *value = strchr(text, '=');
                if (!value)
                        return cli_usage(c, "-p %s: KEY=VALUE is expected", text);
                char *name = cli_text(c, "%.*s", (int) (value - text), text);
                const UnitKey *key = unit_key_find(name);
                const char *nearest = key ? NULL : unit_key_nearest(name);
                if (!key && nearest)
                        return cli_usage(c, "-p %s: unknown key, did you mean %s?", name, nearest);
                if (!key)
                        return cli_usage(c, "-p %s: unknown key", name);
                json_w_key(&b->w, key->api_name);
                uint64_t number;
                if (key->type == UNIT_KEY_COUNT && str_to_u64(value + 1, &number) >= 0)
                        json_w_uint(&b->w, number);
                else
                        json_w_string(&b->w, value + 1);
        }
        return 0;
}

static int name_is_taken(Cli *c, const char *name, bool *ret) {
        _cleanup_buf_ Buf path = BUF_INIT((size_t) 64 * 1024);
        _cleanup_reply_ Reply reply = {};

        (void) buf_puts(&path, "/sessions");
        query_add(&path, "name", name);
        query_add(&path, "limit", "1");
        int r = ask(c, "GET", path.data, NULL, &reply);
        if (r == 0)
                *ret = json_is(reply.json, JSON_KIND_ARRAY) && json_count(reply.json) > 0;
        return r;
}

/* The program's name, with a number behind it if that is taken. */
static int default_name(Cli *c, char **ret) {
        const char *slash = strrchr(c->args[0], '/'), *base = slash ? slash + 1 : c->args[0];
        char *name = cli_text(c, "%s", *base ? base : "agent");
        bool taken = true;

        for (unsigned i = 2; i < NAMES_MAX; i++) {
                int r = name_is_taken(c, name, &taken);
                if (r != 0)
                        return r;
                if (!taken)
                        break;
                name = cli_text(c, "%s-%u", *base ? base : "agent", i);
        }
        *ret = name;
        return 0;
}

/* PATH=… as it is here; NULL where the command line says otherwise, or the daemon may be elsewhere. */
static const char *path_from_here(Cli *c) {
        const char *path = getenv("PATH"), *pair;
        size_t cursor = 0;

        while ((pair = cli_option_next(c, "env", &cursor)))
                if (strncmp(pair, "PATH=", 5) == 0)
                        return NULL;
        return c->url || str_isempty(path) ? NULL : cli_text(c, "PATH=%s", path);
}

/* Names need not be unique, as in the original, but who gives one twice seldom means it. */
static int note_taken(Cli *c, const char *name) {
        bool taken = false;

        if (c->quiet || c->json)
                return 0;
        int r = name_is_taken(c, name, &taken);
        if (r == 0 && taken)
                cli_note(c,
                         "there is another session '%s': `agentd list` has the ids, by which each can be "
                         "named",
                         name);
        return r;
}

static int write_body(Cli *c, Body *b) {
        const char *workspace;
        char *name = NULL;

        body_begin(b);
        int r = body_workspace(c, b, true, &workspace);
        if (r == 0)
                r = body_session(c, b);
        if (r == 0)
                r = cli_option(c, "name") ? note_taken(c, cli_option(c, "name"))
                                          : default_name(c, &name);
        if (r != 0)
                return r;
        json_w_kv_string(&b->w, "name", name ? name : cli_option(c, "name"));
        json_w_kv_bool(&b->w, "start", true);
        json_w_key(&b->w, "agent");
        json_w_object_begin(&b->w);
        write_command(c, b, workspace);
        r = body_pairs(c, b, "env", "environment", path_from_here(c));
        if (r == 0)
                r = write_properties(c, b);
        json_w_object_end(&b->w);
        return r;
}

int verb_run(Cli *c) {
        _cleanup_reply_ Reply created = {};
        _cleanup_body_ Body b;

        int r = write_body(c, &b);
        if (r == 0)
                r = ask(c, "POST", "/sessions", body_text(&b), &created);
        if (r != 0)
                return r;
        const char *id = cli_member(c, created.json, "session_id");
        r = ask_started(c, id, true);
        return r == 0 && cli_option(c, "follow") ? logs_follow(c, id) : r;
}
