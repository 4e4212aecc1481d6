/* SPDX-License-Identifier: MIT */

/* Verbs that send one request about one session and say what the session is then. Those that do
 * more have files of their own. */

#include <ctype.h>
#include <signal.h>
#include <strings.h>

#include "base/signal-name.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/body.h"
#include "cli/verbs.h"

int verb_create(Cli *c) {
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};
        const char *name = cli_option(c, "name");

        if (!name || !cli_option(c, "model"))
                return cli_usage(c, "`agentd create` needs --name and --model");
        body_begin(&b);
        body_option(c, &b, "name", "name");
        int r = body_session(c, &b);
        if (r == 0)
                r = body_workspace(c, &b, true, NULL);
        if (r == 0)
                r = ask(c, "POST", "/sessions", body_text(&b), &reply);
        if (r != 0)
                return r;
        say_session(c, reply.json, true);
        return 0;
}

int verb_pause(Cli *c) {
        return ask_session_verb(c, "pause", NULL);
}

int verb_restart(Cli *c) {
        return ask_session_start(c, "restart", NULL);
}

int verb_archive(Cli *c) {
        return ask_session_verb(c, "archive", NULL);
}

/* ret_id: NULL is fine. */
static int body_checkpoint(Cli *c, Body *b, const SessionRef *s, const char *ref, char **ret_id) {
        char *id = NULL;

        int r = ask_checkpoint(c, s, ref, &id);
        if (r == 0)
                json_w_kv_string(&b->w, "checkpoint_id", id);
        if (r == 0 && ret_id)
                *ret_id = id;
        return r;
}

int verb_resume(Cli *c) {
        _cleanup_body_ Body b;
        SessionRef s;

        if (cli_option(c, "checkpoint-id") && c->n_args > 1)
                return cli_usage(c, "--checkpoint-id goes with one session");
        body_begin(&b);
        int r = cli_option(c, "checkpoint-id") ? ask_session(c, c->args[0], &s) : 0;
        if (r == 0 && cli_option(c, "checkpoint-id"))
                r = body_checkpoint(c, &b, &s, cli_option(c, "checkpoint-id"), NULL);
        return r == 0 ? ask_session_start(c, "resume", body_text(&b)) : r;
}

static int unknown_signal(Cli *c, const char *word) {
        const char *names[SIGNAL_MAX], *rest = strncasecmp(word, "SIG", 3) == 0 ? word + 3 : word;
        char *upper = cli_text(c, "%s", rest);
        size_t n = 0;

        for (char *p = upper; *p; p++)
                *p = (char) toupper((unsigned char) *p);
        for (int i = 1; i < SIGNAL_MAX; i++)
                if (sigabbrev_np(i))
                        names[n++] = sigabbrev_np(i);
        const char *nearest = str_nearest(upper, names, n);
        if (nearest)
                return cli_usage(c, "-s %s: there is no such signal, did you mean %s?", word,
                                 nearest);
        return cli_usage(
                c, "-s %s: there is no such signal; a name such as TERM or a number is expected",
                word);
}

int verb_kill(Cli *c) {
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};
        const char *signal = cli_option(c, "signal");
        SessionRef s;

        int signo;
        if (signal && signal_from_string(signal, &signo) < 0)
                return unknown_signal(c, signal);
        body_begin(&b);
        body_option(c, &b, "signal", "signal");
        int r = ask_session(c, c->args[0], &s);
        if (r == 0)
                r = ask(c, "POST", cli_text(c, "/sessions/%s/kill", s.id), body_text(&b), &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        cli_say(c, "%s (%s): the signal %s was sent", s.name, s.id, signal ? signal : "SIGTERM");
        return 0;
}

int verb_delete(Cli *c) {
        for (size_t i = 0; i < c->n_args; i++) {
                _cleanup_reply_ Reply reply = {};
                SessionRef s;

                c->progress = cli_text(c, "%zu of %zu", i + 1, c->n_args);
                int r = ask_session(c, c->args[i], &s);
                if (r == 0)
                        r = ask(c, "DELETE",
                                cli_text(c, "/sessions/%s%s", s.id,
                                         cli_option(c, "force") ? "?force=1" : ""),
                                NULL, &reply);
                if (r != 0)
                        return r;
                if (c->json)
                        cli_print_json(reply.json);
                cli_say(c, "%s (%s) is deleted", s.name, s.id);
        }
        return 0;
}

int verb_show(Cli *c) {
        _cleanup_reply_ Reply reply = {};
        SessionRef s;

        int r = ask_session(c, c->args[0], &s);
        if (r == 0)
                r = ask(c, "GET", cli_text(c, "/sessions/%s", s.id), NULL, &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        else
                cli_print_json_pretty(reply.json);
        return 0;
}

int verb_fork(Cli *c) {
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};
        SessionRef s;

        if (cli_option(c, "checkpoint") && cli_option(c, "node"))
                return cli_usage(c, "--checkpoint and --node exclude each other");
        body_begin(&b);
        body_option(c, &b, "node", "node");
        body_option(c, &b, "name", "name");
        int r = body_workspace(c, &b, false, NULL);
        if (r == 0)
                r = ask_session(c, c->args[0], &s);
        if (r == 0 && cli_option(c, "checkpoint"))
                r = body_checkpoint(c, &b, &s, cli_option(c, "checkpoint"), NULL);
        if (r == 0)
                r = ask(c, "POST", cli_text(c, "/sessions/%s/fork", s.id), body_text(&b), &reply);
        if (r != 0)
                return r;
        if (c->json || c->quiet || c->names)
                say_session(c, reply.json, true);
        else
                cli_say(c, "%s (%s) is created; start it with: agentd start %s",
                        cli_member(c, reply.json, "name"), cli_member(c, reply.json, "session_id"),
                        cli_member(c, reply.json, "name"));
        return 0;
}

static bool has_files(Cli *c, const SessionRef *s, const char *checkpoint) {
        _cleanup_reply_ Reply reply = {};

        return checkpoint &&
               ask(c, "GET", cli_text(c, "/sessions/%s/checkpoints/%s", s->id, checkpoint), NULL,
                   &reply) == 0 &&
               *cli_member(c, reply.json, "workspace_tree");
}

/* to: "checkpoint before-lunch"; checkpoint: its id, or NULL. What was there is the newest checkpoint now. */
static void say_restored(
        Cli *c, const SessionRef *s, JsonSpan state, const char *to, const char *checkpoint) {
        const char *before = cli_member(c, state, "last_checkpoint");
        int64_t n = cli_number(state, "message_count");

        if (c->json)
                cli_print_json(state);
        if (c->json || c->quiet)
                return;
        cli_say(c, "%s (%s) is restored to %s: %lld message%s%s; go on with: agentd %s %s%s",
                s->name, s->id, to, (long long) n, n == 1 ? "" : "s",
                has_files(c, s, checkpoint) ? ", and the files of its workspace" : "",
                streq(s->status, "paused") ? "resume" : "start", c->args[0],
                *before ? cli_text(c, "; undo with: agentd restore %s %s", c->args[0], before) : "");
}

int verb_restore(Cli *c) {
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};
        const char *checkpoint = c->n_args > 1 ? c->args[1] : NULL, *node = cli_option(c, "node");
        char *id = NULL;
        SessionRef s;

        if (!checkpoint == !node)
                return cli_usage(c, "name a checkpoint, or a message with --node");
        body_begin(&b);
        if (node)
                json_w_kv_string(&b.w, "node", node);
        int r = ask_session(c, c->args[0], &s);
        if (r == 0 && checkpoint)
                r = body_checkpoint(c, &b, &s, checkpoint, &id);
        if (r == 0)
                r = ask(c, "POST", cli_text(c, "/sessions/%s/restore", s.id), body_text(&b), &reply);
        if (r != 0)
                return r;
        say_restored(c, &s, reply.json,
                     checkpoint ? cli_text(c, "checkpoint %s", checkpoint)
                                : cli_text(c, "message %s", node),
                     id);
        return 0;
}
