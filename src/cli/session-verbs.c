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

static int body_checkpoint(Cli *c, Body *b, const SessionRef *s, const char *ref) {
        char *id = NULL;

        int r = ask_checkpoint(c, s, ref, &id);
        if (r == 0)
                json_w_kv_string(&b->w, "checkpoint_id", id);
        return r;
}

int verb_resume(Cli *c) {
        _cleanup_body_ Body b;
        SessionRef s;

        body_begin(&b);
        int r = cli_option(c, "checkpoint-id") ? ask_session(c, c->args[0], &s) : 0;
        if (r == 0 && cli_option(c, "checkpoint-id"))
                r = body_checkpoint(c, &b, &s, cli_option(c, "checkpoint-id"));
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
                r = body_checkpoint(c, &b, &s, cli_option(c, "checkpoint"));
        if (r == 0)
                r = ask(c, "POST", cli_text(c, "/sessions/%s/fork", s.id), body_text(&b), &reply);
        if (r != 0)
                return r;
        say_session(c, reply.json, true);
        return 0;
}

int verb_restore(Cli *c) {
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};
        const char *checkpoint = c->n_args > 1 ? c->args[1] : NULL, *node = cli_option(c, "node");
        SessionRef s;

        if (!checkpoint == !node)
                return cli_usage(c, "name a checkpoint, or a message with --node");
        body_begin(&b);
        if (node)
                json_w_kv_string(&b.w, "node", node);
        int r = ask_session(c, c->args[0], &s);
        if (r == 0 && checkpoint)
                r = body_checkpoint(c, &b, &s, checkpoint);
        if (r == 0)
                r = ask(c, "POST", cli_text(c, "/sessions/%s/restore", s.id), body_text(&b), &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        cli_say(c, "%s (%s) is restored to %s %s: %lld messages; go on with: agentd %s %s", s.name,
                s.id, checkpoint ? "checkpoint" : "message", checkpoint ? checkpoint : node,
                (long long) cli_number(reply.json, "message_count"),
                streq(s.status, "paused") ? "resume" : "start", s.name);
        return 0;
}
