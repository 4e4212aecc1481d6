/* SPDX-License-Identifier: MIT */

/* `agentd start --user NAME`: root prepares what only root can, and is gone.
 *
 * What only root can is to make the data folder in a place that is root's and to give it to the
 * user; a container's volume is the case. Nothing that comes later needs root: the keeper reaps and
 * signals processes of its own user, and a process of root that listens to a daemon which talks to
 * clients would be worth attacking. So the change happens here, before a socket is bound or a lock
 * taken, and keeper, daemon and agents need not know of it. A keeper that stays root and lets only
 * its children go was rejected for that, and because the keeper that a daemon starts for a dead one
 * could not be root any more: there would be two kinds.
 *
 * The tree is given once: its top folder is given last, so its owner is the note that all is done.
 * Only a folder that is new, empty or has our database in it is taken: `--data-dir /etc` must not
 * give /etc away.
 *
 * no_new_privs: what root started for a user shall not find its way back through a setuid program. */

#include "cli/become.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/folders.h"

#define ENTRY_BYTES 4096

typedef struct User {
        uid_t uid;
        gid_t gid;
        struct passwd entry;
        char text[ENTRY_BYTES]; /* of the entry */
        bool has_entry;
} User;

/* ---- who ---- */

/* -ERANGE: no user can have this number; -ENOENT: there is nobody of this name. */
static int look_up(const char *name, User *ret) {
        struct passwd *found = NULL;
        uint64_t number = 0;

        bool is_number = str_to_u64(name, &number) >= 0;
        if (is_number && number >= UINT32_MAX)
                return -ERANGE;
        int r = is_number ? getpwuid_r((uid_t) number, &ret->entry, ret->text, ENTRY_BYTES, &found)
                          : getpwnam_r(name, &ret->entry, ret->text, ENTRY_BYTES, &found);
        if (r != 0)
                return -r;
        if (!found && !is_number)
                return -ENOENT;
        ret->has_entry = found != NULL;
        ret->uid = found ? found->pw_uid : (uid_t) number;
        ret->gid = found ? found->pw_gid : (gid_t) number;
        return 0;
}

static int find_user(Cli *c, const char *name, User *ret) {
        int r = look_up(name, ret);

        if (r == -ERANGE)
                return cli_error(c, CLI_USAGE, "--user=%s: there are no such users", name);
        if (r == -ENOENT)
                return cli_error(c, CLI_USAGE,
                                 "there is no user '%s' on this machine; make one with useradd, or give "
                                 "a number",
                                 name);
        return r < 0 ? cli_error(c, CLI_FAILURE, "cannot look for the user %s: %s", name,
                                 strerror(-r))
                     : 0;
}

uid_t become_whom(Cli *c) {
        User u = {};

        if (geteuid() != 0 || str_isempty(c->config.user) || look_up(c->config.user, &u) < 0)
                return geteuid();
        return u.uid;
}

/* As su(1) does: `~` is that user's from here on. */
static int take_environment(Cli *c, const User *u) {
        const struct {
                const char *name, *value;
        } of_user[] = {
                { "HOME", u->entry.pw_dir },
                { "USER", u->entry.pw_name },
                { "LOGNAME", u->entry.pw_name },
                { "SHELL", u->entry.pw_shell },
        };

        char **env = strv_copy(environ); /* lives as long as the process */
        if (!env)
                cli_out_of_memory();
        for (size_t i = 0; u->has_entry && i < ELEMENTSOF(of_user); i++)
                if (strv_env_set(&env, of_user[i].name, of_user[i].value) < 0)
                        cli_out_of_memory();
        environ = env;
        config_done(&c->config);
        free(TAKE_PTR(c->socket_path));
        return cli_configure(c);
}

/* The daemon reads the file that was read here: the user would not look into /etc/agentd. */
static void keep_file(const Cli *c) {
        if (c->config.file && access(c->config.file, F_OK) >= 0 &&
            strv_env_set(&environ, "AGENTD_CONFIG", c->config.file) < 0)
                cli_out_of_memory();
}

/* ---- the folders ---- */

static bool is_empty(int fd) {
        int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(dir_closep) DIR *d = own < 0 ? NULL : fdopendir(own);
        const struct dirent *e;
        bool empty = true;

        if (!d) {
                (void) fd_close(own);
                return false;
        }
        while (empty && (e = readdir(d)))
                empty = streq(e->d_name, ".") || streq(e->d_name, "..") ||
                        streq(e->d_name, "lost+found");
        return empty;
}

static int give(Cli *c, const char *path, int fd, const char *mark, const User *u) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return cli_error(c, CLI_FAILURE, "cannot look at %s: %s", path, strerror(errno));
        if (st.st_uid == u->uid)
                return 0;
        if (!is_empty(fd) && faccessat(fd, mark, F_OK, 0) < 0)
                return cli_error(c, CLI_NOT_PERMITTED,
                                 "%s belongs to another user and is no folder of agentd's; chown it to "
                                 "%u:%u if it shall be one",
                                 path, (unsigned) u->uid, (unsigned) u->gid);
        /* Closed to everybody else first, so that nobody changes the tree while it is walked. */
        int r = fchmod(fd, 0700) < 0 ? errno_neg() : fs_chown_tree(fd, u->uid, u->gid);
        if (r < 0)
                return cli_error(c, CLI_FAILURE, "cannot give the folder %s to user %u: %s", path,
                                 (unsigned) u->uid, strerror(-r));
        cli_note(c, "agentd: gave the folder %s to user %s", path, user_text(c, u->uid));
        return 0;
}

/* The folder that path is in, if it is root's: what is somebody else's is not touched as root. */
static int open_parent_of_root(Cli *c, const char *path) {
        const char *slash = strrchr(path, '/');
        char *parent = cli_text(c, "%.*s", slash > path ? (int) (slash - path) : 1, path);
        struct stat st;

        _cleanup_close_ int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 && fstat(fd, &st) >= 0 && st.st_uid == 0 ? TAKE_FD(fd) : -EBADF;
}

/* mark: a file that only a folder of this kind has. What cannot be done here is tried again as that
 * user, and said then. */
static int give_folder(Cli *c, const char *path, const char *mark, const User *u) {
        _cleanup_close_ int parent = open_parent_of_root(c, path), fd = -EBADF;
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

        if (parent < 0 || (mkdirat(parent, name, 0700) < 0 && errno != EEXIST))
                return 0;
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return cli_error(c, CLI_FAILURE, "cannot open the folder %s: %s", path,
                                 strerror(errno));
        return give(c, path, fd, mark, u);
}

static int give_folders(Cli *c, const User *u) {
        const char *slash = strrchr(c->config.db, '/');

        int r = give_folder(c, c->config.data_dir, slash ? slash + 1 : "state.db", u);
        return r == 0 ? give_folder(c, c->config.runtime_dir, "keeper.lock", u) : r;
}

/* ---- the change ---- */

static int drop(const User *u) {
        int r = u->has_entry ? initgroups(u->entry.pw_name, u->gid) : setgroups(0, NULL);

        if (r < 0 || setresgid(u->gid, u->gid, u->gid) < 0 ||
            setresuid(u->uid, u->uid, u->uid) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return errno_neg();
        return setresuid((uid_t) -1, 0, (uid_t) -1) == 0 ? -EPERM : 0; /* no way back */
}

int become_user(Cli *c) {
        const char *name = c->config.user;
        User u = {};

        if (str_isempty(name))
                return 0;
        int r = find_user(c, name, &u);
        if (r != 0)
                return r;
        if (geteuid() == u.uid)
                return 0;
        if (geteuid() != 0)
                return !cli_option(c, "user")
                               ? 0 /* the variable says what root becomes */
                               : cli_error(c, CLI_NOT_PERMITTED,
                                           "only root can start agentd as another user; leave --user "
                                           "out, or use sudo");
        r = take_environment(c, &u);
        if (r == 0)
                r = give_folders(c, &u);
        if (r != 0)
                return r;
        keep_file(c);
        r = drop(&u);
        return r < 0 ? cli_error(c, CLI_FAILURE, "cannot become user %s: %s", name, strerror(-r)) : 0;
}
