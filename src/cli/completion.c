/* SPDX-License-Identifier: MIT */

/* Completion: what may stand at the cursor, from the verb table; and the few lines that make bash,
 * zsh and fish ask.
 *
 * The shells get no copy of the table. Generating three scripts from it was rejected: that is the
 * same logic in three languages with three ways of quoting, tested three times; and session names
 * have to be asked for anyway. What asks is the program that will be run, so its answers are those
 * of its version. It costs one start of a small program for each Tab.
 *
 * `agentd __complete -- WORD…` gets the words behind `agentd` up to the cursor, the last one being
 * typed, and prints "WORD\tDESCRIPTION" lines. It says nothing on errors: a shell that waits for a
 * Tab wants no message about a daemon. */

#include <ctype.h>
#include <signal.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/probe.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define ASK_USEC   USEC_PER_SEC
#define TEXT_BYTES ((size_t) 64 * 1024)

typedef struct Line {
        Cli *cli;
        const Verb *verb;  /* NULL: none yet */
        const char *typed; /* the word at the cursor */
        const char *first; /* the verb's first argument, or NULL */
        size_t n_args;     /* before the cursor */
} Line;

static void offer(const Line *l, const char *word, const char *doc) {
        _cleanup_buf_ Buf safe = BUF_INIT(TEXT_BYTES);

        if (!str_startswith(word, l->typed) || str_has_control(word, strlen(word)))
                return;
        (void) str_put_clean(&safe, doc, strlen(doc), 0);
        (void) printf("%s\t%s\n", word, safe.data ? safe.data : "");
}

static void offer_values(const Line *l, const char *values) {
        char word[OPTION_WORD_SIZE];

        for (size_t i = 0; option_word(values, i, word); i++)
                if (!streq(word, "…"))
                        offer(l, word, "");
}

/* ---- what the daemon knows ---- */

static void offer_sessions(const Line *l) {
        _cleanup_reply_ Reply reply = {};
        Cli *c = l->cli;
        JsonSpan s;

        if (probe(c, "/sessions?limit=1000", ASK_USEC, &reply) < 0 ||
            !json_is(reply.json, JSON_KIND_ARRAY))
                return;
        JsonIter it = json_iter(reply.json);
        while (json_next(&it, NULL, &s)) {
                const char *id = cli_member(c, s, "session_id"), *name = cli_member(c, s, "name");

                offer(l, name, cli_text(c, "%s, %s", cli_member(c, s, "status"), id));
                /* Ids only for who types one: there are as many as names, and nobody reads them. */
                if (*l->typed)
                        offer(l, id, cli_text(c, "%s, %s", name, cli_member(c, s, "status")));
        }
}

static void offer_checkpoints(const Line *l) {
        _cleanup_reply_ Reply found = {}, reply = {};
        _cleanup_buf_ Buf path = BUF_INIT(TEXT_BYTES);
        Cli *c = l->cli;
        JsonSpan s = {}, cp;

        (void) buf_puts(&path, "/sessions");
        query_add(&path, "ref", l->first);
        if (!l->first || probe(c, path.data, ASK_USEC, &found) < 0 ||
            !json_is(found.json, JSON_KIND_ARRAY))
                return;
        JsonIter it = json_iter(found.json);
        if (!json_next(&it, NULL, &s) ||
            probe(c, cli_text(c, "/sessions/%s/checkpoints", cli_member(c, s, "session_id")),
                  ASK_USEC, &reply) < 0 ||
            !json_is(reply.json, JSON_KIND_ARRAY))
                return;
        it = json_iter(reply.json);
        while (json_next(&it, NULL, &cp))
                offer(l, cli_member(c, cp, "checkpoint_id"),
                      cli_text(c, "%s %s", cli_ago(c, cli_time(cp, "created_at")),
                               cli_member(c, cp, "label")));
}

/* ---- options ---- */

static void offer_options(const Line *l) {
        const CliOption *lists[] = { l->verb ? l->verb->options : NULL, global_options };

        ARRAY_FOREACH(list, lists)
                for (const CliOption *o = *list; o && o->name; o++)
                        offer(l, cli_text(l->cli, "--%s", o->name), o->doc);
        for (size_t i = 0; l->verb && l->verb->flags & VERB_CONFIG && i < config_table_size; i++)
                if (config_table[i].option)
                        offer(l, config_table[i].option, config_table[i].doc);
}

static void offer_signals(const Line *l) {
        for (int i = 1; i < NSIG; i++)
                if (sigabbrev_np(i))
                        offer(l, sigabbrev_np(i), sigdescr_np(i) ?: "");
}

/* By the word that stands for the value in the help. */
static void offer_option_value(const Line *l, const char *value, const char *values) {
        if (values)
                offer_values(l, values);
        else if (streq(value, "SIGNAL"))
                offer_signals(l);
        else if (streq(value, "CHECKPOINT"))
                offer_checkpoints(l);
}

typedef struct Taken {
        const char *value, *values;
} Taken;

/* Does this word want a value behind it? "--name", "-n", but not "--name=x" nor "-n5". */
static bool takes_value(const Verb *v, const char *word, Taken *ret) {
        const CliOption *lists[] = { v ? v->options : NULL, global_options };

        if (word[0] != '-' || word[1] == '\0')
                return false;
        ARRAY_FOREACH(list, lists)
                for (const CliOption *o = *list; o && o->name; o++) {
                        bool same = word[1] == '-' ? streq(word + 2, o->name)
                                                   : word[1] == o->letter && word[2] == '\0';
                        if (!same || !o->value)
                                continue;
                        *ret = (Taken){ o->value, option_values(o) };
                        return true;
                }
        for (size_t i = 0; v && v->flags & VERB_CONFIG && i < config_table_size; i++)
                if (config_table[i].option && streq(word, config_table[i].option)) {
                        *ret = (Taken){ "", config_table[i].values };
                        return true;
                }
        return false;
}

/* ---- arguments ---- */

static bool is_alternatives(const char *p) {
        p += strspn(p, "[");
        return islower((unsigned char) *p) && strchr(p, '|');
}

/* The verbs' lines of arguments are made of words in capitals, one for each argument, and of
 * alternatives such as "create|list|revoke [TOKEN]", each beginning with the word to type. */
static void offer_argument(const Line *l) {
        _cleanup_free_ char *copy = strdup(l->verb->args);
        char *p = copy;

        for (size_t i = 0; p && i < l->n_args && *p && !is_alternatives(p); i++) {
                /* One that may be repeated stands for all behind it. */
                size_t n = strcspn(p, " ");
                if (n >= strlen("…") && strncmp(p + n - strlen("…"), "…", strlen("…")) == 0)
                        break;
                p += n + (p[n] == ' ');
        }
        if (!p || !*p)
                return;
        p += strspn(p, "[");
        if (islower((unsigned char) *p) && l->n_args <= (copy == p ? 0U : 1U)) {
                char *alternatives = NULL;

                for (char *a = strtok_r(p, "|", &alternatives); a;
                     a = strtok_r(NULL, "|", &alternatives)) {
                        a[strcspn(a, " ]")] = '\0';
                        offer(l, a, "");
                }
        } else if (str_startswith(p, "SESSION"))
                offer_sessions(l);
        else if (str_startswith(p, "CHECKPOINT") || str_startswith(p, "FROM") ||
                 str_startswith(p, "TO"))
                offer_checkpoints(l);
        else if (str_startswith(p, "VERB"))
                for (size_t i = 0; i < verb_table_size; i++)
                        offer(l, verb_table[i].name, verb_table[i].summary);
}

static void offer_verbs(const Line *l) {
        for (size_t i = 0; i < verb_table_size; i++) {
                const Verb *v = &verb_table[i];

                if (v->flags & VERB_HIDDEN)
                        continue;
                offer(l, v->name, v->summary);
                if (v->alias && *l->typed)
                        offer(l, v->alias, v->summary);
        }
}

int verb_complete(Cli *c) {
        Line l = { .cli = c, .typed = c->args[c->n_args - 1] };
        Taken taken;
        bool wants_value = false, ended = false;

        for (size_t i = 0; i + 1 < c->n_args; i++) {
                const char *word = c->args[i];

                /* bash makes three words of --status=x. */
                if (wants_value && streq(word, "="))
                        continue;
                if (wants_value)
                        wants_value = false;
                else if (!ended && streq(word, "--"))
                        ended = true;
                else if (!ended && word[0] == '-')
                        wants_value = takes_value(l.verb, word, &taken);
                else if (!l.verb) {
                        if (!(l.verb = verb_find(word)))
                                return 0;
                } else {
                        ended = ended || l.verb->flags & VERB_COMMAND;
                        l.first = l.n_args++ == 0 ? word : l.first;
                }
        }
        const char *equals = !ended && l.typed[0] == '-' ? strchr(l.typed, '=') : NULL;
        if (wants_value) {
                if (streq(l.typed, "="))
                        l.typed = "";
                offer_option_value(&l, taken.value, taken.values);
        } else if (equals) {
                char *option = cli_text(c, "%.*s", (int) (equals - l.typed), l.typed),
                     word[OPTION_WORD_SIZE];
                if (takes_value(l.verb, option, &taken))
                        for (size_t i = 0; option_word(taken.values, i, word); i++)
                                offer(&l, cli_text(c, "%s=%s", option, word), "");
        } else if (!ended && l.typed[0] == '-')
                offer_options(&l);
        else if (!l.verb)
                offer_verbs(&l);
        else if (!ended || !(l.verb->flags & VERB_COMMAND))
                offer_argument(&l);
        return 0;
}

/* ---- the shells ---- */

static const char bash_script[] =
        "# bash completion for agentd; asks agentd itself what may stand at the cursor.\n"
        "_agentd() {\n"
        "        local line\n"
        "        COMPREPLY=()\n"
        "        while IFS= read -r line; do\n"
        "                COMPREPLY+=(\"$(printf %q \"${line%%$'\\t'*}\")\")\n"
        "        done < <(\"${COMP_WORDS[0]}\" __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
        "}\n"
        "complete -o default -F _agentd agentd\n";
static const char zsh_script[] =
        "#compdef agentd\n"
        "# zsh completion for agentd; asks agentd itself what may stand at the cursor.\n"
        "_agentd() {\n"
        "        local -a found\n"
        "        local line word\n"
        "        while IFS= read -r line; do\n"
        "                word=${line%%$'\\t'*}\n"
        "                found+=(\"${word//:/\\\\:}:${line#*$'\\t'}\")\n"
        "        done < <($words[1] __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\n"
        "        if (( $#found )); then\n"
        "                _describe agentd found\n"
        "        else\n"
        "                _files\n"
        "        fi\n"
        "}\n"
        "if [[ $funcstack[1] == _agentd ]]; then\n"
        "        _agentd \"$@\"\n"
        "else\n"
        "        compdef _agentd agentd\n"
        "fi\n";
static const char fish_script[] =
        "# fish completion for agentd; asks agentd itself what may stand at the cursor.\n"
        "function __agentd_complete\n"
        "        set -l words (commandline -opc)\n"
        "        set -l found ($words[1] __complete -- $words[2..-1] (commandline -ct) 2>/dev/null)\n"
        "        if test (count $found) -gt 0\n"
        "                printf '%s\\n' $found\n"
        "        else\n"
        "                __fish_complete_path (commandline -ct)\n"
        "        end\n"
        "end\n"
        "complete -c agentd -f -a '(__agentd_complete)'\n";

int verb_completion(Cli *c) {
        static const struct {
                const char *shell, *script;
        } scripts[] = { { "bash", bash_script }, { "zsh", zsh_script }, { "fish", fish_script } };
        const char *names[ELEMENTSOF(scripts)];

        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                names[i] = scripts[i].shell;
                if (!streq(c->args[0], scripts[i].shell))
                        continue;
                (void) fputs(scripts[i].script, stdout);
                return 0;
        }
        return cli_unknown_action(c, c->args[0], names, ELEMENTSOF(names));
}
