/* SPDX-License-Identifier: MIT */

/* `agentd doctor`: the folders and what was left in them.
 *
 * On a network file system a lock may be lost without a word and a sync may mean little, so it is a
 * warning wherever the databases are on one. Free space is judged by what the daemon needs to go on
 * (its write-ahead logs and checkpoints), not by per cent: five per cent of a large disk is plenty. */

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/doctor.h"
#include "cli/folders.h"
#include "cli/table.h"

#define SPACE_WARN ((uint64_t) 1 << 30)
#define SPACE_FAIL ((uint64_t) 64 << 20)

#define MAGIC_NFS   0x6969
#define MAGIC_CIFS  0xff534d42
#define MAGIC_SMB2  0xfe534d42
#define MAGIC_FUSE  0x65735546
#define MAGIC_9P    0x01021997
#define MAGIC_CEPH  0x00c36400
#define MAGIC_TMPFS 0x01021994

static const struct FileSystem {
        uint32_t magic;
        const char *name;
        bool network; /* else it forgets */
} file_systems[] = {
        { MAGIC_NFS, "NFS", true },      { MAGIC_CIFS, "CIFS", true }, { MAGIC_SMB2, "SMB", true },
        { MAGIC_FUSE, "FUSE", true },    { MAGIC_9P, "9P", true },     { MAGIC_CEPH, "Ceph", true },
        { MAGIC_TMPFS, "tmpfs", false },
};

static bool is_data(const Doctor *d, const char *path) {
        return streq(path, d->c->config.data_dir);
}

static void check_file_system(Doctor *d, const char *path) {
        Cli *c = d->c;
        struct statfs fs;
        char size[32];

        if (statfs(path, &fs) < 0)
                return;
        uint64_t space = (uint64_t) fs.f_bavail * (uint64_t) fs.f_bsize;
        (void) text_size(space, size, sizeof(size));
        if (is_data(d, path) && space < SPACE_WARN)
                doctor_say(
                        d, space < SPACE_FAIL ? DOCTOR_FAIL : DOCTOR_WARN, "space",
                        cli_text(c, "%s are free in %s", size, path),
                        "make room: a full disk stops every write; nothing that was acknowledged is lost");
        else if (is_data(d, path))
                doctor_say(d, DOCTOR_OK, "space", cli_text(c, "%s are free in %s", size, path), NULL);
        for (size_t i = 0; i < ELEMENTSOF(file_systems); i++) {
                const struct FileSystem *kind = &file_systems[i];

                if ((uint32_t) fs.f_type != kind->magic || (!kind->network && !is_data(d, path)))
                        continue;
                doctor_say(
                        d, DOCTOR_WARN, "folders", cli_text(c, "%s is on %s", path, kind->name),
                        kind->network
                                ? "locks and syncs of such file systems are not to be relied on: use a local disk"
                                : "everything in it is gone after a restart of the machine: use a disk");
        }
}

char *existing_folder(Cli *c, const char *path) {
        char *p = cli_text(c, "%s", path), *slash;

        while (access(p, F_OK) < 0 && (slash = strrchr(p, '/')) && slash != p)
                *slash = '\0';
        return p;
}

static bool check_folder(Doctor *d, const char *what, const char *path) {
        Cli *c = d->c;
        struct stat st;
        const char *have = existing_folder(c, path);
        bool is_there = streq(have, path);

        if (stat(have, &st) < 0)
                return true;
        if (!is_there && (!S_ISDIR(st.st_mode) || access(have, W_OK) < 0)) {
                doctor_say(d, DOCTOR_FAIL, "folders",
                           cli_text(c, "the %s folder %s does not exist and cannot be made in %s",
                                    what, path, have),
                           "make it, or choose another: agentd config shows the setting");
                return false;
        }
        if (!is_there)
                return true;
        if (!S_ISDIR(st.st_mode)) {
                doctor_say(d, DOCTOR_FAIL, "folders", cli_text(c, "%s is no folder", path),
                           "move it away, or choose another: agentd config shows the setting");
                return false;
        }
        if (st.st_uid != d->user && st.st_uid != 0) {
                doctor_say(d, DOCTOR_FAIL, "folders",
                           cli_text(c, "the %s folder %s belongs to user %s, %s user %s", what,
                                    path, user_text(c, st.st_uid),
                                    d->user == geteuid() ? "you are" : "agentd runs as",
                                    user_text(c, d->user)),
                           "be that user, chown the folder, or choose another");
                return false;
        }
        if ((st.st_mode & S_IRWXU) != S_IRWXU) {
                doctor_say(d, DOCTOR_FAIL, "folders",
                           cli_text(c, "the %s folder %s has mode %04o: its owner cannot use it",
                                    what, path, (unsigned) st.st_mode & 07777),
                           cli_text(c, "chmod 700 %s", path));
                return false;
        }
        if (st.st_mode & (S_IWGRP | S_IWOTH)) {
                doctor_say(d, DOCTOR_FAIL, "folders",
                           cli_text(c, "others may write to the %s folder %s", what, path),
                           cli_text(c, "chmod 700 %s", path));
                return false;
        }
        return true;
}

/* Root who worked in another's folder leaves such files. */
static bool check_databases(Doctor *d) {
        Cli *c = d->c;
        uid_t owner = 0;
        const char *path = database_file_of_other(c, d->user, &owner);

        if (!path)
                return true;
        doctor_say(
                d, DOCTOR_FAIL, "folders",
                cli_text(c, "%s belongs to user %s, %s user %s", path, user_text(c, owner),
                         d->user == geteuid() ? "you are" : "agentd runs as", user_text(c, d->user)),
                cli_text(c, "as root: chown -R %s %s", user_text(c, d->user), c->config.data_dir));
        return false;
}

/* "yours alone", or whose. */
static const char *folders_text(Doctor *d) {
        Cli *c = d->c;
        const char *data = c->config.data_dir, *runtime = c->config.runtime_dir;

        if (access(data, F_OK) < 0)
                return cli_text(c, "%s does not exist yet; `agentd start` makes it", data);
        return cli_text(c, "%s%s%s %s alone", data,
                        access(runtime, F_OK) < 0 ? "" : cli_text(c, " and %s", runtime),
                        access(runtime, F_OK) < 0 ? " is" : " are",
                        d->user == geteuid() ? "yours"
                                             : cli_text(c, "for user %s", user_text(c, d->user)));
}

void doctor_folders(Doctor *d) {
        Cli *c = d->c;

        if (c->url)
                return;
        bool good = check_folder(d, "data", c->config.data_dir);
        good = check_folder(d, "runtime", c->config.runtime_dir) && good;
        if (good && check_databases(d))
                doctor_say(d, DOCTOR_OK, "folders", folders_text(d), NULL);
        if (streq(existing_folder(c, c->config.data_dir), c->config.data_dir))
                check_file_system(d, c->config.data_dir);
        if (streq(existing_folder(c, c->config.runtime_dir), c->config.runtime_dir))
                check_file_system(d, c->config.runtime_dir);
}

/* ---- leftovers ---- */

/* agentd.sock.PID is where a start binds its socket first. */
static bool is_dead_socket(const char *name) {
        const char *text = str_startswith(name, "agentd.sock.");
        ProcStat stat;
        uint64_t pid;

        return text && str_to_u64(text, &pid) >= 0 && pid <= INT32_MAX &&
               proc_stat((pid_t) pid, &stat) == -ESRCH;
}

static size_t count_names(const char *path, bool (*claim)(const char *name)) {
        size_t n = 0;
        _cleanup_(dir_closep) DIR *dir = opendir(path);

        for (struct dirent *e; dir && (e = readdir(dir));)
                n += e->d_name[0] != '.' && claim(e->d_name);
        return n;
}

static bool is_any(const char *name) {
        return true;
}

void doctor_leftovers(Doctor *d) {
        Cli *c = d->c;
        const char *runtime = c->config.runtime_dir;

        if (c->url)
                return;
        size_t sockets = count_names(runtime, is_dead_socket);
        size_t pipes = d->has_daemon || d->keeper > 0
                               ? 0
                               : count_names(cli_text(c, "%s/runs", runtime), is_any);
        if (sockets > 0)
                doctor_say(d, DOCTOR_WARN, "leftovers",
                           cli_text(c, "%zu socket%s of starts that died in %s", sockets,
                                    sockets == 1 ? "" : "s", runtime),
                           cli_text(c, "harmless; they may be removed: rm %s/agentd.sock.*", runtime));
        if (pipes > 0)
                doctor_say(d, DOCTOR_WARN, "leftovers",
                           cli_text(c, "pipes of %zu run%s in %s/runs, and nobody is there to read them",
                                    pipes, pipes == 1 ? "" : "s", runtime),
                           "agentd start --detach takes up or ends what they belong to");
        if (sockets + pipes == 0)
                doctor_say(d, DOCTOR_OK, "leftovers", "none in the runtime folder", NULL);
}
