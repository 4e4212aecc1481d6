/* SPDX-License-Identifier: MIT */

/* The environment of a run.
 *
 * An allow-list and not a block-list: the daemon's environment may hold provider keys, tokens and
 * database passwords under any name, and what an agent shall have of them is said by its unit.
 * Passed on is what describes the user and the machine: PATH, HOME, USER, LOGNAME, SHELL, language,
 * time zone, TMPDIR, the XDG folders, and what is needed to get out of a closed network (proxy
 * variables, CA certificates).
 *
 * Left out on purpose: SSH_AUTH_SOCK (the user's keys), DISPLAY and WAYLAND_DISPLAY (the user's
 * screen and input), DBUS_* (the user's session), LD_* (foreign code), everything of the daemon and
 * of a service manager (NOTIFY_SOCKET, LISTEN_FDS). A unit's environment= can give each of them.
 * TERM is `dumb`: output goes to a file, and programs that believe in a terminal fill it with
 * cursor movements. */

#include "sup/environment.h"

#include <pwd.h>

#include "base/str.h"

static const char *const passed[] = {
        "PATH",        "HOME",          "USER",         "LOGNAME",
        "SHELL",       "LANG",          "LANGUAGE",     "TZ",
        "TMPDIR",      "http_proxy",    "HTTP_PROXY",   "https_proxy",
        "HTTPS_PROXY", "all_proxy",     "ALL_PROXY",    "no_proxy",
        "NO_PROXY",    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
};

static bool is_passed(const char *name) {
        if (str_startswith(name, "LC_") || str_startswith(name, "XDG_"))
                return true;
        for (size_t i = 0; i < ELEMENTSOF(passed); i++)
                if (streq(passed[i], name))
                        return true;
        return false;
}

static int set_assignment(char ***env, const char *assignment, bool only_passed) {
        _cleanup_free_ char *name = NULL;
        const char *eq = strchr(assignment, '=');

        if (!eq || eq == assignment)
                return 0;
        name = strndup(assignment, (size_t) (eq - assignment));
        if (!name)
                return -ENOMEM;
        if (only_passed && !is_passed(name))
                return 0;
        return strv_env_set(env, name, eq + 1);
}

static int set_all(char ***env, char *const *from, bool only_passed) {
        int r = 0;
        for (char *const *v = from; r >= 0 && v && *v; v++)
                r = set_assignment(env, *v, only_passed);
        return r;
}

static int set_missing(char ***env, const char *name, const char *value) {
        return value && !strv_env_get(*env, name) ? strv_env_set(env, name, value) : 0;
}

static int set_defaults(char ***env) {
        struct passwd entry, *pw = NULL;
        char text[4096];

        /* Who has no entry, or an unreadable one, is nobody in particular. */
        (void) getpwuid_r(geteuid(), &entry, text, sizeof(text), &pw);
        const struct {
                const char *name, *value;
        } defaults[] = {
                { "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
                { "HOME", pw ? pw->pw_dir : "/" },
                { "USER", pw ? pw->pw_name : NULL },
                { "LOGNAME", pw ? pw->pw_name : NULL },
                { "SHELL", pw && pw->pw_shell[0] ? pw->pw_shell : "/bin/sh" },
                { "TERM", "dumb" },
        };
        int r = 0;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(defaults); i++)
                r = set_missing(env, defaults[i].name, defaults[i].value);
        return r;
}

int sup_environment_make(char *const *own, char *const *spec, char *const *extra, char ***ret) {
        _cleanup_strv_ char **env = NULL;

        int r = set_all(&env, own, true);
        if (r >= 0)
                r = set_defaults(&env);
        if (r >= 0)
                r = set_all(&env, spec, false);
        if (r >= 0)
                r = set_all(&env, extra, false);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(env);
        return 0;
}
