/* SPDX-License-Identifier: MIT */

/* `agentd stop`: of a session, or of the daemon.
 *
 * The daemon's stop is over when nobody listens and its process has gone: what comes next (a start,
 * an upgrade, a copy of the data folder) may rely on that. Agents that live on are named, with what
 * to type to end them, because a person who types "stop" may expect the opposite. */

#include <poll.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/keeper-link.h"
#include "cli/probe.h"
#include "cli/verbs.h"

#define STOP_USEC   (10 * USEC_PER_MINUTE) /* checkpoints, and agents that stop with the daemon */
#define KEEPER_USEC (10 * USEC_PER_SEC)
#define NAMES_SHOWN 10
#define TEXT_BYTES  ((size_t) 64 * 1024)

static bool is_kept(Cli *c, JsonSpan s) {
        JsonSpan agent = json_get(s, "agent");
        const char *substate = cli_member(c, s, "substate");

        return json_is(agent, JSON_KIND_OBJECT) &&
               !streq(cli_member(c, agent, "on_daemon_stop"), "stop") &&
               !streq(substate, "backoff") && !streq(substate, "parked");
}

/* Adds the names of the sessions whose process will live on. */
static int find_kept(Cli *c, const char *status, Buf *names, size_t *n) {
        _cleanup_buf_ Buf buf = {};
        JsonSpan list, s;

        int r = ask_list(c, cli_text(c, "/sessions?status=%s", status), &buf, &list);
        if (r != 0)
                return r;
        JsonIter it = json_iter(list);
        while (json_next(&it, NULL, &s)) {
                if (!is_kept(c, s))
                        continue;
                if ((*n)++ < NAMES_SHOWN)
                        (void) buf_printf(names, "%s%s", names->len ? ", " : "",
                                          cli_member(c, s, "name"));
                else if (*n == NAMES_SHOWN + 1)
                        (void) buf_puts(names, ", …");
        }
        return 0;
}

static int stop_sessions(Cli *c, const char *status) {
        _cleanup_buf_ Buf buf = {};
        JsonSpan list, s;

        int r = ask_list(c, cli_text(c, "/sessions?status=%s", status), &buf, &list);
        if (r != 0)
                return r;
        JsonIter it = json_iter(list);
        size_t n = json_count(list);
        for (size_t i = 1; json_next(&it, NULL, &s); i++) {
                _cleanup_reply_ Reply reply = {};

                c->progress = cli_text(c, "%zu of %zu: %s", i, n, cli_member(c, s, "name"));
                r = ask(c, "POST", cli_text(c, "/sessions/%s/stop", cli_member(c, s, "session_id")),
                        NULL, &reply);
                if (r != 0)
                        return r;
                cli_say(c, "%s is stopped", cli_member(c, s, "name"));
        }
        c->progress = NULL;
        return 0;
}

/* The keeper leaves when nothing is left for it; a kept agent keeps it. */
static bool wait_keeper(Cli *c) {
        usec_t until = clock_monotonic() + KEEPER_USEC;
        pid_t keeper;

        while (keeper_find(c->config.runtime_dir, &keeper) > 0) {
                if (clock_monotonic() > until)
                        return false;
                (void) poll(NULL, 0, 10);
        }
        return true;
}

static void say_stopped(Cli *c, size_t n_kept, int64_t n_held, const char *names) {
        pid_t keeper;

        if (c->json && n_kept > 0)
                cli_note(c, "%zu agents were kept running: %s", n_kept, names);
        if (!c->url && n_kept == 0 && n_held > 0 && keeper_find(c->config.runtime_dir, &keeper) > 0)
                cli_note(c,
                         "the keeper (process %d) stays until the disk takes the last output of %d agents; "
                         "to give it up: kill %d",
                         (int) keeper, (int) n_held, (int) keeper);
        else if (!c->url && n_kept == 0 && !wait_keeper(c))
                cli_note(c, "agentd is stopped, its keeper is still busy ending processes");
        if (n_kept == 0 || (!c->url && keeper_find(c->config.runtime_dir, &keeper) == 0)) {
                cli_say(c, "agentd is stopped");
                return;
        }
        cli_say(c, "agentd is stopped; %zu agent%s %s kept running: %s", n_kept,
                n_kept == 1 ? "" : "s", n_kept == 1 ? "was" : "were", names);
        const char *where = where_options(c);
        cli_say(c, "To take them up again: agentd start --detach%s", where);
        cli_say(c, "To end them: agentd start --detach%s && agentd stop --all%s", where, where);
}

static int shut_down(Cli *c, JsonSpan version) {
        _cleanup_reply_ Reply reply = {};
        _cleanup_close_ int daemon = -EBADF;

        if (!c->url)
                daemon = process_open((pid_t) cli_number(version, "daemon_pid"), "agentd-daemon");
        int r = ask(c, "POST", "/shutdown", NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        if (!probe_gone(c, STOP_USEC) || (daemon >= 0 && !process_wait(daemon, STOP_USEC)))
                return cli_error(c, CLI_FAILURE,
                                 "agentd was told to stop and is still there; see its log");
        return 0;
}

int stop_daemon(Cli *c) {
        _cleanup_buf_ Buf names = BUF_INIT(TEXT_BYTES);
        _cleanup_reply_ Reply version = {}, health = {};
        size_t n_kept = 0;

        (void) buf_puts(&names, "");
        int r = ask(c, "GET", "/version", NULL, &version);
        if (r == 0 && cli_option(c, "all"))
                r = stop_sessions(c, "running") ?: stop_sessions(c, "paused");
        if (r == 0)
                r = find_kept(c, "running", &names, &n_kept);
        if (r == 0)
                r = find_kept(c, "paused", &names, &n_kept);
        if (r == 0)
                r = ask(c, "GET", "/health", NULL, &health);
        if (r == 0)
                r = shut_down(c, version.json);
        if (r != 0)
                return r;
        say_stopped(c, n_kept, cli_number(health.json, "outputs_held"), names.data);
        return 0;
}

int verb_stop(Cli *c) {
        if (c->n_args == 0)
                return stop_daemon(c);
        if (cli_option(c, "all"))
                return cli_usage(
                        c, "--all stops all sessions and the daemon, it goes without a session");
        return ask_session_verb(c, "stop", NULL);
}

int verb_stop_session(Cli *c) {
        return ask_session_verb(c, "stop", NULL);
}
