/* SPDX-License-Identifier: MIT */

/* The program `agentd`: reads the command line, calls the verb, and makes sure that what was
 * printed has arrived, since a full disk behind a pipe must not look like success. */

#include <stdio.h>

#include "base/str.h"
#include "cli/cli.h"

static bool asks_version(int argc, char **argv) {
        return argc == 2 &&
               (streq(argv[1], "-v") || streq(argv[1], "-V") || streq(argv[1], "--version"));
}

static int print_help(const Cli *c, bool was_asked) {
        if (c->verb)
                help_print_verb(c->verb);
        else
                help_print();
        return was_asked ? CLI_OK : CLI_USAGE;
}

static int run(Cli *c, int argc, char **argv) {
        bool help = false;

        int r = cli_parse(c, argc, argv, &help);
        if (r != 0)
                return r;
        if (help)
                return print_help(c, cli_option(c, "help") != NULL);
        r = cli_configure(c);
        return r != 0 ? r : c->verb->run(c);
}

int main(int argc, char **argv) {
        Cli c;

        if (asks_version(argc, argv)) {
                (void) puts("agentd " AGENTD_VERSION);
                return CLI_OK;
        }
        cli_init(&c);
        int r = run(&c, argc, argv);
        if (fflush(stdout) != 0 || ferror(stdout))
                r = cli_error(&c, r ? r : CLI_FAILURE, "the output cannot be written");
        cli_done(&c);
        return r;
}
