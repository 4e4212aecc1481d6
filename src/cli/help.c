/* SPDX-License-Identifier: MIT */

/* Help, from the tables alone, at most 80 columns wide. */

#include <stdio.h>

#include "base/str.h"
#include "cli/table.h"

#define WIDTH  80
#define COLUMN 28 /* where descriptions begin */

/* Words up to the width; further lines begin at the same column. */
static void print_wrapped(const char *text) {
        size_t at = COLUMN;

        while (*text) {
                size_t n = strcspn(text, " "), w;
                char *word = strndup(text, n);

                if (!word)
                        cli_out_of_memory();
                w = text_width(word);
                if (at > COLUMN && at + 1 + w > WIDTH) {
                        (void) printf("\n%*s", COLUMN, "");
                        at = COLUMN;
                } else if (at > COLUMN) {
                        (void) putchar(' ');
                        at++;
                }
                (void) fputs(word, stdout);
                free(word);
                at += w;
                text += n + (text[n] == ' ');
        }
        (void) putchar('\n');
}

static void print_row(const char *left, const char *text) {
        size_t w = text_width(left);

        (void) fputs(left, stdout);
        if (w + 2 > COLUMN) {
                (void) putchar('\n');
                w = 0;
        }
        (void) printf("%*s", (int) (COLUMN - w), "");
        print_wrapped(text);
}

static void print_option(char letter, const char *name, const char *value, const char *doc) {
        char left[128], short_form[8] = "    ";

        if (letter)
                (void) snprintf(short_form, sizeof(short_form), "-%c, ", letter);
        (void) snprintf(left, sizeof(left), "  %s--%s%s%s", short_form, name, value ? " " : "",
                        value ? value : "");
        print_row(left, doc);
}

static void print_options(const CliOption *options) {
        for (const CliOption *o = options; o && o->name; o++)
                print_option(o->letter, o->name, o->value, o->doc);
}

static const char *config_value_name(const ConfigDef *k) {
        switch (k->type) {
        case CONFIG_STRING:
                return k->values ? k->values : "TEXT";
        case CONFIG_PATH:
                return "PATH";
        case CONFIG_UINT:
                return "N";
        case CONFIG_SIZE:
                return "BYTES";
        case CONFIG_SPAN:
                return "TIME";
        case CONFIG_BOOL:
                return "yes|no";
        case CONFIG_LIST:
                return "WORDS";
        }
        return "VALUE";
}

static void print_config_options(void) {
        (void) puts("\nConfiguration of the daemon:");
        for (size_t i = 0; i < config_table_size; i++) {
                const ConfigDef *k = &config_table[i];
                if (k->option)
                        print_option(0, k->option + 2, config_value_name(k), k->doc);
        }
}

void help_print(void) {
        const char *group = "";

        (void) puts("agentd [OPTION…] VERB [ARGUMENT…]\n"
                    "\n"
                    "Starts AI agents, keeps them running, records what must not be lost, and brings\n"
                    "them back to any earlier point. A session is named by its id, the begin of its\n"
                    "id, or its name.");
        for (size_t i = 0; i < verb_table_size; i++) {
                const Verb *v = &verb_table[i];
                char left[64];

                if (v->flags & VERB_HIDDEN)
                        continue;
                if (!streq(group, v->group))
                        (void) printf("\n%s:\n", v->group);
                group = v->group;
                (void) snprintf(left, sizeof(left), "  %s%s%s", v->name, v->alias ? ", " : "",
                                v->alias ? v->alias : "");
                print_row(left, v->summary);
        }
        (void) puts("\nOptions of every verb:");
        print_options(global_options);
        print_option('v', "version", NULL, "print the version of this program");
        (void) puts("\n"
                    "The daemon is reached through the socket in its runtime folder, or by TCP with\n"
                    "--host, --port or AGENTD_URL (and AGENTD_TOKEN).\n"
                    "Exit status: 0 success, 1 failure, 2 wrong command line or input, 3 not found,\n"
                    "4 not running, 5 not permitted.\n"
                    "\n"
                    "Example: agentd run --name reader -- python3 reader.py\n"
                    "More:    agentd VERB --help");
}

void help_print_verb(const Verb *v) {
        (void) printf("agentd %s%s%s%s\n\n", v->name, v->options ? " [OPTION…]" : "",
                      *v->args ? " " : "", v->args);
        (void) printf("%c%s.\n",
                      v->summary[0] >= 'a' && v->summary[0] <= 'z' ? v->summary[0] - 'a' + 'A'
                                                                   : v->summary[0],
                      v->summary + 1);
        if (v->notes)
                (void) printf("%s\n", v->notes);
        if (v->alias)
                (void) printf("Also: agentd %s\n", v->alias);
        if (v->options) {
                (void) puts("\nOptions:");
                print_options(v->options);
        }
        if (v->flags & VERB_CONFIG)
                print_config_options();
        (void) puts("\nOptions of every verb: see agentd --help");
        (void) printf("\nExample:\n  %s\n", v->example);
}
