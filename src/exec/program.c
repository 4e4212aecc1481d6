/* SPDX-License-Identifier: MIT */

/* Finding and executing the program.
 *
 * execvpe() is not used: it searches the PATH of the caller, while the agent's own PATH (from its
 * job) is what its author reads and sets; and it runs a file without `#!` through sh, which hides a
 * broken installation behind the shell's message. A name with a slash is taken as it is, relative
 * to the job's folder. As in execvp(), a folder of PATH that cannot be used is passed over. Other
 * than there, EACCES is reported only of a file that was seen: a PATH that has root's folders in it,
 * with an agent that is not root, would else turn every misspelt name into "Permission denied". */

#include "base/str.h"
#include "exec/exec-internal.h"

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

static const char *env_path(char *const *env) {
        const char *path = strv_env_get(env, "PATH");
        return str_isempty(path) ? DEFAULT_PATH : path;
}

static int execute_in(const char *folder, size_t n, const ExecJob *job, char *const *env) {
        _cleanup_free_ char *path = NULL;

        /* An empty element of PATH is the working folder. */
        path = n == 0 ? str_printf("./%s", job->argv[0])
                      : str_printf("%.*s/%s", (int) n, folder, job->argv[0]);
        if (!path)
                return -ENOMEM;
        (void) execve(path, job->argv, env);
        int r = errno_neg();
        return r == -EACCES && access(path, F_OK) < 0 ? -ENOENT : r;
}

int exec_program(const ExecJob *job) {
        char *no_env[] = { NULL };
        char *const *env = job->env ?: no_env;
        int result = -ENOENT;

        if (job->argv[0][0] == '\0')
                return -ENOENT;
        if (strchr(job->argv[0], '/')) {
                (void) execve(job->argv[0], job->argv, env);
                return errno_neg();
        }
        for (const char *p = env_path(env);; p++) {
                size_t n = strcspn(p, ":");
                int r = execute_in(p, n, job, env);

                if (r == -EACCES)
                        result = r;
                else if (r != -ENOENT && r != -ENOTDIR && r != -ESTALE && r != -ENODEV &&
                         r != -ETIMEDOUT)
                        return r;
                p += n;
                if (*p == '\0')
                        return result;
        }
}
