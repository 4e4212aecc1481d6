/* SPDX-License-Identifier: MIT */

/* Prints agentd(1) in the language of scdoc, from the tables that the program itself reads: what
 * `agentd VERB --help` says and what the manual says cannot differ. Only the words around the
 * tables are here.
 *
 * scdoc and not troff: it is small, and it escapes what troff would act upon. */

#include "base/str.h"
#include "cli/cli.h"
#include "man/scdoc.h"

static void print_option(char letter, const char *name, const char *value, const char *doc) {
        if (letter)
                (void) printf("*\\-%c*, ", letter);
        (void) fputs("*\\-\\-", stdout);
        sc_text(name, 0);
        (void) putchar('*');
        if (value) {
                (void) putchar(' ');
                sc_underlined(value);
        }
        (void) fputs("\n\t", stdout);
        sc_sentence(doc, 1);
        (void) fputs("\n\n", stdout);
}

static void print_options(const CliOption *options) {
        for (const CliOption *o = options; o && o->name; o++)
                print_option(o->letter, o->name, o->value, o->doc);
}

static void print_verb(const Verb *v) {
        /* Headings are taken as they are. */
        (void) printf("## agentd %s%s%s%s\n\n", v->name,
                      v->options || v->flags & VERB_CONFIG ? " [OPTION…]" : "", *v->args ? " " : "",
                      v->args);
        sc_sentence(v->summary, 0);
        if (v->alias) {
                (void) fputs(" Also: ", stdout);
                sc_bold(v->alias);
                (void) putchar('.');
        }
        (void) fputs("\n\n", stdout);
        if (v->notes) {
                /* Broken into lines for a terminal: here it is one paragraph. */
                char *notes = strdup(v->notes);

                if (!notes)
                        cli_out_of_memory();
                for (char *p = notes; *p; p++)
                        if (*p == '\n')
                                *p = ' ';
                sc_text(notes, 0);
                (void) fputs("\n\n", stdout);
                free(notes);
        }
        print_options(v->options);
        if (v->flags & VERB_CONFIG)
                (void) puts("It takes the options of *CONFIGURATION OPTIONS*, too.\n");
        (void) puts("Example:\n");
        sc_literal(v->example);
}

static void print_verbs(void) {
        const char *group = "";

        for (size_t i = 0; i < verb_table_size; i++) {
                const Verb *v = &verb_table[i];

                if (v->flags & VERB_HIDDEN)
                        continue;
                if (!streq(group, v->group)) {
                        (void) fputs("# VERBS: ", stdout);
                        for (const char *p = v->group; *p; p++)
                                (void) putchar(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
                        (void) fputs("\n\n", stdout);
                }
                group = v->group;
                print_verb(v);
        }
}

static void print_configuration(void) {
        (void) puts("# CONFIGURATION OPTIONS\n");
        (void) puts(
                "Of the verbs that start or look at a daemon. Each has a variable in the environment.\n");
        for (size_t i = 0; i < config_table_size; i++) {
                const ConfigDef *k = &config_table[i];

                if (!k->option)
                        continue;
                sc_bold(k->option);
                (void) putchar(' ');
                sc_underlined(k->values && k->type == CONFIG_STRING ? k->values : "VALUE");
                (void) fputs(", ", stdout);
                sc_bold(k->env);
                (void) fputs("\n\t", stdout);
                sc_sentence(k->doc, 1);
                if (k->fallback) {
                        (void) fputs(" Default: ", stdout);
                        sc_text(*k->fallback ? k->fallback : "none", 1);
                }
                (void) fputs("\n\n", stdout);
        }
}

static const char head[] =
        "agentd(1) \"agentd " AGENTD_VERSION "\"\n\n"
        "# NAME\n\n"
        "agentd - start AI agents, keep them running, and bring them back to any point\n\n"
        "# SYNOPSIS\n\n"
        "*agentd* \\[_OPTION_…\\] _VERB_ \\[_ARGUMENT_…\\]\n\n"
        "# DESCRIPTION\n\n"
        "*agentd* runs AI agents as supervised processes and records what must not be lost: their sessions, with "
        "conversation, variables and checkpoints. The daemon is started with *agentd start*; all other verbs talk to "
        "it, through the socket in its runtime folder, or by TCP with *--host*, *--port* or AGENTD\\_URL.\n\n"
        "A session is named by its id, the begin of its id, or its name.\n\n";

static const char tail[] =
        "# EXIT STATUS\n\n"
        "*0*\n\tSuccess.\n\n"
        "*1*\n\tFailure; the daemon does not run.\n\n"
        "*2*\n\tWrong command line or input.\n\n"
        "*3*\n\tThere is no such session, checkpoint, …\n\n"
        "*4*\n\tThe session is not running.\n\n"
        "*5*\n\tNot permitted.\n\n"
        "# ENVIRONMENT\n\n"
        "*AGENTD\\_URL*\n\tThe daemon's address, as http://HOST:PORT, instead of its socket.\n\n"
        "*AGENTD\\_TOKEN*\n\tThe token to show to it.\n\n"
        "*NO\\_COLOR*, *CLICOLOR*, *CLICOLOR\\_FORCE*\n\tColours: the first, if set, means none; CLICOLOR=0 the same; "
        "CLICOLOR\\_FORCE=1 also where there is no terminal. *--color* decides over them.\n\n"
        "Those of the daemon's configuration are in *CONFIGURATION OPTIONS*.\n\n"
        "# FILES\n\n"
        "_~/.agent\\_runtime/_\n\tDatabases, logs, workspaces; in _run/_ the socket.\n\n"
        "# SEE ALSO\n\n"
        "*agentd-api*(7)\n";

int main(void) {
        (void) fputs(head, stdout);
        (void) puts("# OPTIONS OF EVERY VERB\n");
        print_options(global_options);
        print_option('v', "version", NULL, "print the version of this program");
        print_verbs();
        print_configuration();
        (void) fputs(tail, stdout);
        return fflush(stdout) == 0 ? 0 : 1;
}
