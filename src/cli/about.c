/* SPDX-License-Identifier: MIT */

/* Verbs about agentd itself that change nothing: version, help. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
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

int verb_help(Cli *c) {
        const Verb *v = c->n_args > 0 ? verb_find(c->args[0]) : NULL;

        if (c->n_args > 0 && !v)
                return cli_unknown_verb(c, c->args[0]);
        if (v)
                help_print_verb(v);
        else
                help_print();
        return 0;
}
