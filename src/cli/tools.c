/* SPDX-License-Identifier: MIT */

/* `agentd backup`, `agentd restore-backup` and `agentd fsck`: what is done to the data from
 * outside, by the daemon's program in a process of its own that takes this one's place. This
 * program itself never opens a database. With an address it is another machine's data: remote.c. */

#include "cli/tools.h"

#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/launch.h"
#include "cli/verbs.h"

/* Returns only if it failed. */
static int run_tool(Cli *c, const char *const *args) {
        _cleanup_free_ char *daemon = NULL;
        _cleanup_strv_ char **argv = NULL;
        int r = find_program(c, "agentd-daemon", &daemon);

        if (r != 0)
                return r;
        if (strv_extend(&argv, "agentd-daemon") < 0)
                cli_out_of_memory();
        for (; *args; args++)
                if (**args && strv_extend(&argv, *args) < 0)
                        cli_out_of_memory();
        (void) fflush(stdout);
        (void) execv(daemon, argv);
        return cli_error(c, CLI_FAILURE, "cannot start %s: %s", daemon, strerror(errno));
}

static char *absolute(Cli *c, const char *path) {
        char *full = NULL;

        if (path_absolute(path, &full) < 0)
                cli_out_of_memory();
        return cli_keep(c, full);
}

static const char *flag(const Cli *c, const char *name, const char *argument) {
        return cli_option(c, name) ? argument : "";
}

int verb_backup(Cli *c) {
        if (c->url)
                return remote_backup(c, absolute(c, c->args[0]));
        const char *const args[] = {
                "--tool=backup",
                c->config.db,
                c->config.memory_db,
                c->config.data_dir,
                absolute(c, c->args[0]),
                flag(c, "logs", "--logs"),
                flag(c, "verify", "--verify"),
                NULL,
        };

        return run_tool(c, args);
}

/* The parts of a backup lie in one folder; a configuration that spreads them has to say where to. */
static int restore_folder(Cli *c, const char **ret) {
        const char *to = cli_option(c, "to");
        const char *dir = to ? absolute(c, to) : c->config.data_dir;

        *ret = dir;
        if (to || (streq(c->config.db, cli_keep(c, path_join(dir, "state.db"))) &&
                   streq(c->config.memory_db, cli_keep(c, path_join(dir, "memory.db")))))
                return 0;
        return cli_usage(c,
                         "the databases are not in %s: say with --to which folder the backup goes to, "
                         "then put its parts where the configuration wants them",
                         dir);
}

int verb_restore_backup(Cli *c) {
        const char *file = absolute(c, c->args[0]), *dir;

        if (cli_option(c, "check")) {
                const char *const check[] = { "--tool=verify-backup", file, NULL };
                return run_tool(c, check);
        }
        int r = restore_folder(c, &dir);
        if (r != 0)
                return r;
        const char *const args[] = {
                "--tool=restore-backup",         dir, file, flag(c, "force", "--force"),
                flag(c, "stopped", "--stopped"), NULL
        };
        return run_tool(c, args);
}

int verb_fsck(Cli *c) {
        if (c->url)
                return remote_fsck(c);
        const char *const args[] = {
                "--tool=fsck",
                c->config.db,
                c->config.memory_db,
                c->config.data_dir,
                flag(c, "repair", "--repair"),
                c->json ? "--json" : "",
                NULL,
        };

        return run_tool(c, args);
}
