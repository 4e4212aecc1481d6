/* SPDX-License-Identifier: MIT */

/* Which session is meant, and what it is now.
 *
 * The daemon looks a reference up (GET /sessions?ref=), so that all clients agree on what a name or
 * the begin of an id means. It costs a second request on a connection that stays open, and gives
 * the name for what is printed. */

#include "base/str.h"
#include "cli/ask.h"
#include "cli/probe.h"

#define PATH_MAX_BYTES ((size_t) 64 * 1024)
#define NAMES_MAX      1000
#define SUGGEST_USEC   (2 * USEC_PER_SEC)

static int ambiguous(Cli *c, const char *ref, JsonSpan list) {
        Buf b = BUF_INIT(PATH_MAX_BYTES);
        JsonIter it = json_iter(list);
        JsonSpan s;

        while (json_next(&it, NULL, &s) && b.len < 2000)
                (void) buf_printf(&b, "%s%s (%s, %s)", b.len ? ", " : "",
                                  cli_member(c, s, "session_id"), cli_member(c, s, "name"),
                                  cli_member(c, s, "status"));
        return cli_error(c, CLI_USAGE, "'%s' may mean %zu sessions, name one by its id: %s", ref,
                         json_count(list), cli_take(c, &b));
}

/* The nearest of the names there are, of the first thousand: more would be slow and hardly better. */
static int not_found(Cli *c, const char *ref) {
        _cleanup_reply_ Reply reply = {};
        const char *names[NAMES_MAX];
        size_t n = 0;
        JsonSpan s;

        if (probe(c, "/sessions?limit=1000", SUGGEST_USEC, &reply) >= 0 &&
            json_is(reply.json, JSON_KIND_ARRAY)) {
                JsonIter it = json_iter(reply.json);
                while (n < NAMES_MAX && json_next(&it, NULL, &s))
                        names[n++] = cli_member(c, s, "name");
        }
        const char *nearest = str_nearest(ref, names, n);
        if (nearest)
                return cli_error(c, CLI_NOT_FOUND, "there is no session '%s', did you mean '%s'?",
                                 ref, nearest);
        return cli_error(c, CLI_NOT_FOUND,
                         "there is no session '%s'; `agentd list` shows the sessions", ref);
}

int ask_session(Cli *c, const char *ref, SessionRef *ret) {
        _cleanup_buf_ Buf path = BUF_INIT(PATH_MAX_BYTES);
        _cleanup_reply_ Reply reply = {};
        JsonSpan s;

        if (str_isempty(ref))
                return cli_usage(c, "a session's id or name is needed");
        (void) buf_puts(&path, "/sessions");
        query_add(&path, "ref", ref);
        int r = ask(c, "GET", path.data, NULL, &reply);
        if (r != 0)
                return r;
        size_t n = json_is(reply.json, JSON_KIND_ARRAY) ? json_count(reply.json) : 0;
        if (n == 0)
                return not_found(c, ref);
        if (n > 1)
                return ambiguous(c, ref, reply.json);
        JsonIter it = json_iter(reply.json);
        (void) json_next(&it, NULL, &s);
        *ret = (SessionRef){
                .id = cli_member(c, s, "session_id"),
                .name = cli_member(c, s, "name"),
                .status = cli_member(c, s, "status"),
        };
        c->session_id = ret->id;
        c->session_name = ret->name;
        return 0;
}

char *session_state_text(Cli *c, JsonSpan session) {
        const char *status = cli_member(c, session, "status"),
                   *substate = cli_member(c, session, "substate");

        if (str_isempty(substate) || streq(substate, "new") || streq(substate, "exited"))
                return cli_text(c, "%s", status);
        return cli_text(c, "%s (%s)", status, substate);
}

char *session_state_brief(Cli *c, JsonSpan s) {
        static const char *const plain[] = { "new", "active", "idle", "exited", "failed", "" };
        const char *status = cli_member(c, s, "status"), *substate = cli_member(c, s, "substate");

        for (size_t i = 0; i < ELEMENTSOF(plain); i++)
                if (streq(substate, plain[i]))
                        return cli_text(c, "%s", status);
        return cli_text(c, "%s (%s)", status, substate);
}

const char *session_colour(Cli *c, JsonSpan session) {
        bool waits = streq(cli_member(c, session, "substate"), "backoff");

        return cli_status_colour(waits ? "paused" : cli_member(c, session, "status"));
}

void say_session(Cli *c, JsonSpan session, bool is_new) {
        if (c->json) {
                cli_print_json(session);
                return;
        }
        const char *id = cli_member(c, session, "session_id");
        if (c->names) {
                cli_say(c, "%s", cli_member(c, session, "name"));
                return;
        }
        if (is_new && c->quiet) {
                c->quiet = false;
                cli_say(c, "%s", id);
                return;
        }
        cli_say(c, "%s (%s) is %s", cli_member(c, session, "name"), id,
                cli_paint(c, session_colour(c, session), session_state_text(c, session)));
}

static int post_verb(Cli *c,
                     const char *ref,
                     const char *verb,
                     const char *body,
                     SessionRef *ret_session,
                     Reply *ret) {
        int r = ask_session(c, ref, ret_session);

        if (r != 0)
                return r;
        return ask(c, "POST", cli_text(c, "/sessions/%s/%s", ret_session->id, verb), body, ret);
}

/* One by one, up to the first that fails: what was said until then is done. */
static int each_session(Cli *c, const char *verb, const char *body, bool starts) {
        int r = 0;

        for (size_t i = 0; i < c->n_args && r == 0; i++) {
                _cleanup_reply_ Reply reply = {};
                SessionRef s = {};

                if (c->n_args > 1)
                        c->progress = cli_text(c, "%zu of %zu: %s", i + 1, c->n_args, c->args[i]);
                r = post_verb(c, c->args[i], verb, body, &s, &reply);
                if (r == 0 && starts)
                        r = ask_started(c, s.id, false);
                else if (r == 0)
                        say_session(c, reply.json, false);
        }
        c->progress = NULL;
        return r;
}

int ask_session_verb(Cli *c, const char *verb, const char *body) {
        return each_session(c, verb, body, false);
}

int ask_session_start(Cli *c, const char *verb, const char *body) {
        return each_session(c, verb, body, true);
}
