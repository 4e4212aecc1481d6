/* SPDX-License-Identifier: MIT */

/* `agentd token`. The secret is alone on stdout, so that it can go into a variable or a file; what
 * there is to say about it goes to stderr. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/body.h"
#include "cli/table.h"
#include "cli/verbs.h"

static int token_create(Cli *c) {
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};

        body_begin(&b);
        body_option(c, &b, "namespace", "namespace");
        body_option(c, &b, "scope", "scope");
        body_option(c, &b, "name", "name");
        body_option(c, &b, "expires", "expires");
        int r = ask(c, "POST", "/tokens", body_text(&b), &reply);
        if (r != 0)
                return r;
        if (c->json) {
                cli_print_json(reply.json);
                return 0;
        }
        (void) puts(cli_member(c, reply.json, "token"));
        cli_note(c, "Token %s: scope %s, namespace %s. It is shown this once.",
                 cli_member(c, reply.json, "token_id"), cli_member(c, reply.json, "scope"),
                 cli_member(c, reply.json, "namespace"));
        return 0;
}

static int token_list(Cli *c) {
        _cleanup_buf_ Buf path = BUF_INIT((size_t) 64 * 1024), buf = {};
        JsonSpan list, item;
        Table t;

        (void) buf_puts(&path, "/tokens");
        query_add(&path, "namespace", cli_option(c, "namespace"));
        int r = ask_list(c, path.data, &buf, &list);
        if (r != 0)
                return r;
        if (c->json) {
                cli_print_json(list);
                return 0;
        }
        JsonIter it = json_iter(list);
        if (c->quiet || c->names) {
                while (json_next(&it, NULL, &item))
                        (void) puts(cli_member(c, item, c->names ? "name" : "token_id"));
                return 0;
        }
        table_init(&t, c, "ID|NAME|NAMESPACE|SCOPE|CREATED|EXPIRES");
        while (json_next(&it, NULL, &item)) {
                const char *expires = cli_ago(c, cli_time(item, "expires_at"));
                table_add(&t, cli_member(c, item, "token_id"), NULL);
                table_add(&t, cli_member(c, item, "name"), NULL);
                table_add(&t, cli_member(c, item, "namespace"), NULL);
                table_add(&t, cli_member(c, item, "scope"), NULL);
                table_add(&t, cli_ago(c, cli_time(item, "created_at")), NULL);
                table_add(&t, *expires ? expires : "never", NULL);
        }
        table_print(&t);
        table_done(&t);
        return 0;
}

/* A name that one token alone has stands for its id; anything else is left to the daemon to refuse. */
static int token_of_name(Cli *c, const char **id) {
        _cleanup_buf_ Buf buf = {};
        const char *name = *id, *ids = "";
        JsonSpan list, item;
        size_t n = 0;

        int r = ask_list(c, "/tokens", &buf, &list);
        if (r != 0)
                return r;
        JsonIter it = json_iter(list);
        while (json_next(&it, NULL, &item)) {
                const char *own = cli_member(c, item, "token_id");

                if (streq(own, name))
                        return 0;
                if (!streq(cli_member(c, item, "name"), name))
                        continue;
                ids = cli_text(c, "%s%s%s", ids, n++ ? ", " : "", own);
        }
        if (n > 1)
                return cli_error(c, CLI_USAGE, "%zu tokens are called '%s', name one by its id: %s",
                                 n, name, ids);
        *id = n == 1 ? ids : name;
        return 0;
}

static int token_revoke(Cli *c, const char *id) {
        _cleanup_reply_ Reply reply = {};

        int r = token_of_name(c, &id);
        if (r != 0)
                return r;
        char *escaped = cli_keep(c, http_url_escape(id));
        r = ask(c, "DELETE", cli_text(c, "/tokens/%s", escaped), NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        cli_say(c, "token %s is revoked", id);
        return 0;
}

int verb_token(Cli *c) {
        static const char *const actions[] = { "create", "list", "revoke" };
        const char *action = c->args[0];
        bool revoke = streq(action, "revoke");

        if (revoke && c->n_args != 2)
                return cli_usage(c, "`agentd token revoke` takes a token's id or name");
        if (!revoke && c->n_args != 1)
                return cli_usage(c, "`agentd token %s` takes no argument", action);
        if (revoke)
                return token_revoke(c, c->args[1]);
        if (streq(action, "create"))
                return token_create(c);
        if (streq(action, "list") || streq(action, "ls"))
                return token_list(c);
        return cli_unknown_action(c, action, actions, ELEMENTSOF(actions));
}
