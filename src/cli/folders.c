/* SPDX-License-Identifier: MIT */

/* The folders of a daemon, looked at before anything is started in them.
 *
 * The daemon would find out by itself, but then it is the keeper's child: the keeper starts it
 * again for ever, since a daemon that cannot begin for lack of something usually can a moment
 * later, and who typed the command waits for an answer that never comes. A file of another user
 * does not pass. It comes about when root worked in the folder of a service's user.
 *
 * Who may change the runtime folder can put a socket of his own in the place of ours, and is then
 * told what agents and clients are told, or handed the listening sockets. */

#include "cli/folders.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

#define ENTRY_BYTES 4096

const char *user_text(Cli *c, uid_t uid) {
        struct passwd entry, *found = NULL;
        char text[ENTRY_BYTES];

        if (getpwuid_r(uid, &entry, text, sizeof(text), &found) == 0 && found)
                return cli_text(c, "%s", found->pw_name);
        return cli_text(c, "%u", (unsigned) uid);
}

const char *database_file_of_other(Cli *c, uid_t uid, uid_t *ret_owner) {
        static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };
        const char *const databases[] = { c->config.db, c->config.memory_db };
        struct stat st;

        for (size_t i = 0; i < ELEMENTSOF(databases) * ELEMENTSOF(suffixes); i++) {
                const char *path = cli_text(c, "%s%s", databases[i / ELEMENTSOF(suffixes)],
                                            suffixes[i % ELEMENTSOF(suffixes)]);
                if (stat(path, &st) < 0 || st.st_uid == uid)
                        continue;
                *ret_owner = st.st_uid;
                return path;
        }
        return NULL;
}

static int check_runtime_folder(Cli *c) {
        const char *path = c->config.runtime_dir;
        struct stat st;

        if (stat(path, &st) < 0)
                return cli_error(c, CLI_FAILURE, "cannot look at the folder %s: %s", path,
                                 strerror(errno));
        if (st.st_uid != geteuid() && st.st_uid != 0)
                return cli_error(c, CLI_NOT_PERMITTED,
                                 "the runtime folder %s belongs to another user; choose another with "
                                 "AGENTD_RUNTIME_DIR",
                                 path);
        if (st.st_mode & (S_IWGRP | S_IWOTH))
                return cli_error(c, CLI_NOT_PERMITTED,
                                 "others may write to the runtime folder %s; chmod 700 it, or choose "
                                 "another with AGENTD_RUNTIME_DIR",
                                 path);
        return 0;
}

/* What may be done, not whose it is: a database on another file system may have any owner. */
static int check_data(Cli *c) {
        const char *dir = c->config.data_dir, *me = user_text(c, geteuid());
        const char *const databases[] = { c->config.db, c->config.memory_db };

        if (access(dir, R_OK | W_OK | X_OK) < 0)
                return cli_error(
                        c, CLI_NOT_PERMITTED,
                        "the data folder %s cannot be used by user %s (%s); as root: chown -R %s %s "
                        "&& chmod 700 %s",
                        dir, me, strerror(errno), me, dir, dir);
        ARRAY_FOREACH(path, databases)
                if (access(*path, R_OK | W_OK) < 0 && errno == EACCES)
                        return cli_error(
                                c, CLI_NOT_PERMITTED,
                                "the database %s may not be read and written by user %s; as root: "
                                "chown -R %s %s",
                                *path, me, me, dir);
        return 0;
}

/* Before anything is made: the folder beside a database that is none would be the wrong one. */
static int check_database(Cli *c) {
        const char *path = c->config.db;
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
                return 0;
        return cli_error(c, CLI_USAGE,
                         "the database %s is a folder; name the file in it: --db %s/state.db", path,
                         path);
}

static int make(Cli *c, const char *path) {
        int r = fs_mkdir_p(path, 0700);

        if (r >= 0)
                return 0;
        return cli_error(c, r == -EACCES ? CLI_NOT_PERMITTED : CLI_FAILURE,
                         "cannot make the folder %s: %s; choose another place with --db FILE "
                         "(AGENT_RUNTIME_DB)",
                         path, strerror(-r));
}

int folders_make(Cli *c) {
        int r = check_database(c);

        if (r == 0)
                r = make(c, c->config.data_dir);
        if (r == 0)
                r = check_data(c);
        if (r == 0)
                r = make(c, c->config.runtime_dir);
        return r == 0 ? check_runtime_folder(c) : r;
}
