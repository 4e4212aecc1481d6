/* SPDX-License-Identifier: MIT */

/* Was it started? The daemon answers a start when the wish to start is on disk; the program is
 * executed after that, and may not exist. A person who typed the command wants to know which, so
 * this looks until the session has left `starting`. It asks again and again instead of reading
 * events: starting takes milliseconds, and the state says all there is to say, the reason included.
 *
 * Most programs that cannot work end at once (no such file, a wrong option), so for people it looks
 * once more after a tenth of a second; scripts (--quiet, --json) do not wait for that. */

#include <poll.h>

#include "base/str.h"
#include "cli/ask.h"

#define START_USEC      (2 * USEC_PER_MINUTE)
#define LIVES_MSEC      100
#define LOOK_FIRST_MSEC 5
#define LOOK_MAX_MSEC   200

static int wait_started(Cli *c, const char *id, Reply *ret) {
        usec_t until = clock_monotonic() + START_USEC;
        int wait_msec = LOOK_FIRST_MSEC;
        bool look_again = !c->quiet && !c->json;

        for (;;) {
                _cleanup_reply_ Reply reply = {};

                int r = ask(c, "GET", cli_text(c, "/sessions/%s?messages=0", id), NULL, &reply);
                if (r != 0)
                        return r;
                const char *substate = cli_member(c, reply.json, "substate");
                bool waits = streq(substate, "starting") || streq(substate, "queued");
                if (look_again && streq(substate, "active")) {
                        look_again = false;
                        (void) poll(NULL, 0, LIVES_MSEC);
                        continue;
                }
                if (!waits || clock_monotonic() > until) {
                        *ret = reply;
                        reply = (Reply){};
                        return 0;
                }
                (void) poll(NULL, 0, wait_msec);
                wait_msec = MIN(2 * wait_msec, LOOK_MAX_MSEC);
        }
}

/* What to do about a program that was never executed: it wrote nothing that could be looked at, and
 * who runs the command again once it is right does not want this session beside that one. */
static const char *about_program(Cli *c, const char *name, bool is_new) {
        bool typed = is_new && c->verb->flags & VERB_COMMAND && c->n_args > 0;
        const char *here = typed && !strchr(c->args[0], '/') && access(c->args[0], F_OK) == 0
                                   ? cli_text(c, "; for the file in this folder say ./%s", c->args[0])
                                   : "";

        return cli_text(c, "%s%s",
                        is_new ? cli_text(c, ", `agentd delete %s` removes it", name) : "", here);
}

static int ended_at_once(Cli *c, JsonSpan s, bool again, bool is_new) {
        const char *name = cli_member(c, s, "name"), *reason = cli_member(c, s, "reason");

        if (c->json)
                cli_print_json(s);
        const char *see = str_startswith(reason, "could not ")
                                  ? about_program(c, name, is_new)
                                  : cli_text(c, "; see: agentd logs %s", name);
        return cli_error(c, CLI_FAILURE, "%s (%s) ended at once: %s%s%s", name,
                         cli_member(c, s, "session_id"), *reason ? reason : "it failed",
                         again ? cli_text(c, "; it is tried again, `agentd stop %s` gives up", name)
                               : "",
                         see);
}

int ask_started(Cli *c, const char *id, bool is_new) {
        _cleanup_reply_ Reply reply = {};

        int r = wait_started(c, id, &reply);
        if (r != 0)
                return r;
        JsonSpan s = reply.json;
        const char *substate = cli_member(c, s, "substate");
        bool again = streq(substate, "backoff");
        if (again || streq(cli_member(c, s, "status"), "error"))
                return ended_at_once(c, s, again, is_new);
        if (c->json || c->quiet || c->names || !streq(substate, "active"))
                say_session(c, s, is_new);
        else
                cli_say(c, "%s (%s) is %s", cli_member(c, s, "name"), cli_member(c, s, "session_id"),
                        cli_paint(c, cli_status_colour("running"), "running"));
        return 0;
}
