/* SPDX-License-Identifier: MIT */

/* `agentd doctor`: what the machine gives: kernel, cgroups, limits, clock, the user's services.
 *
 * Features are tried, not derived from the kernel's version: distributions port them back, and
 * containers take them away. */

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/pidfd.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/doctor.h"
#include "cli/folders.h"
#include "cli/launch.h"

#define PROC_BYTES  ((size_t) 1 << 20)
#define CLOCK_SLACK USEC_PER_DAY

static const char *kernel_name(Cli *c) {
        struct utsname u;

        return uname(&u) >= 0 ? cli_text(c, "Linux %s", u.release) : "this kernel";
}

void doctor_kernel(Doctor *d) {
        Cli *c = d->c;
        _cleanup_close_ int pidfd = pidfd_open(getpid(), 0);
        uint64_t cgroup;

        if (pidfd < 0) {
                doctor_say(d, DOCTOR_FAIL, "kernel",
                           cli_text(c, "%s has no pidfd_open", kernel_name(c)),
                           "Linux 5.3 or newer is needed, and a container that allows the call");
                return;
        }
        /* An empty clone_args is refused as such where there is the call. */
        if (syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS)
                doctor_say(d, DOCTOR_WARN, "kernel", cli_text(c, "%s has no clone3", kernel_name(c)),
                           "agents join their cgroup a moment after their start; Linux 5.7 is better");
        else if (pidfd_cgroup_id(pidfd, &cgroup) < 0)
                doctor_say(d, DOCTOR_WARN, "kernel",
                           cli_text(c, "%s has no PIDFD_GET_INFO", kernel_name(c)),
                           "the exit status of an agent that ends while its keeper is replaced may stay "
                           "unknown; Linux 6.15 knows it");
        else
                doctor_say(d, DOCTOR_OK, "kernel",
                           cli_text(c, "%s has pidfds with information, and clone3", kernel_name(c)),
                           NULL);
}

/* ---- cgroups ---- */

/* The folder of the keeper's cgroup, without one of our own, in the cgroup2 mount, or NULL. */
static char *daemon_cgroup(Doctor *d) {
        Cli *c = d->c;
        _cleanup_free_ char *text = NULL, *path = NULL;
        char *lines = NULL, *point = NULL;

        if (fs_read_file(AT_FDCWD, "/proc/self/mounts", PROC_BYTES, &text, NULL) < 0 ||
            proc_cgroup(d->keeper > 0 ? d->keeper : getpid(), &path) < 0)
                return NULL;
        for (char *line = strtok_r(text, "\n", &lines); line && !point;
             line = strtok_r(NULL, "\n", &lines)) {
                char *words = NULL, *where, *kind;

                (void) strtok_r(line, " ", &words);
                where = strtok_r(NULL, " ", &words);
                kind = strtok_r(NULL, " ", &words);
                if (kind && streq(kind, "cgroup2"))
                        point = where;
        }
        return point ? cli_text(c, "%s%s", point, streq(path, "/") ? "" : path) : NULL;
}

static char *missing_controllers(Cli *c, const char *folder) {
        static const char *const wanted[] = { "cpu", "memory", "pids" };
        _cleanup_free_ char *text = NULL;
        char *missing = cli_text(c, "%s", "");
        _cleanup_strv_ char **have = NULL;

        if (fs_read_file(AT_FDCWD, cli_text(c, "%s/cgroup.controllers", folder), PROC_BYTES, &text,
                         NULL) < 0 ||
            str_split_quoted(text, &have) < 0)
                return cli_text(c, "cpu, memory, pids");
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                if (!have || !strv_contains(have, wanted[i]))
                        missing = cli_text(c, "%s%s%s", missing, *missing ? ", " : "", wanted[i]);
        return missing;
}

/* Root may write everywhere, the user that its agentd becomes only to what is given to him. */
static bool may_write(const Doctor *d, const char *path) {
        struct stat st;

        if (d->user == geteuid())
                return access(path, W_OK) >= 0;
        return stat(path, &st) >= 0 &&
               ((st.st_uid == d->user && st.st_mode & S_IWUSR) || st.st_mode & S_IWOTH);
}

void doctor_cgroup(Doctor *d) {
        Cli *c = d->c;
        const char *setting = c->config.cgroup_root,
                   *without = "limits and freezing do not work, and an agent's "
                              "children are found through /proc";

        if (streq(setting, "none")) {
                doctor_say(d, DOCTOR_WARN, "cgroup", cli_text(c, "switched off: %s", without),
                           "AGENTD_CGROUP=auto switches it on");
                return;
        }
        const char *folder = streq(setting, "auto") ? daemon_cgroup(d) : existing_folder(c, setting);
        if (!folder) {
                doctor_say(d, DOCTOR_WARN, "cgroup",
                           cli_text(c, "no cgroup v2 is mounted: %s", without),
                           "in a container: mount it (--cgroupns=private, writable)");
                return;
        }
        if (d->user != geteuid() && d->keeper == 0 && streq(setting, "auto")) {
                doctor_say(d, DOCTOR_OK, "cgroup",
                           cli_text(c, "looked at when agentd runs as user %s", user_text(c, d->user)),
                           NULL);
                return;
        }
        if (!may_write(d, folder) || !may_write(d, cli_text(c, "%s/cgroup.procs", folder))) {
                doctor_say(
                        d, streq(setting, "auto") ? DOCTOR_WARN : DOCTOR_FAIL, "cgroup",
                        cli_text(c, "%s is not %s to write to: %s", folder,
                                 d->user == geteuid()
                                         ? "ours"
                                         : cli_text(c, "for user %s", user_text(c, d->user)),
                                 without),
                        "as a service: Delegate=yes; for a user: systemd-run --user --scope -p Delegate=yes");
                return;
        }
        const char *missing = missing_controllers(c, folder);
        if (*missing)
                doctor_say(
                        d, DOCTOR_WARN, "cgroup",
                        cli_text(c, "%s has no controllers for: %s", folder, missing),
                        "agents are kept apart, but limits of these are not enforced; Delegate=yes gives them");
        else
                doctor_say(d, DOCTOR_OK, "cgroup",
                           cli_text(c, "%s is writable and has cpu, memory and pids", folder), NULL);
}

/* ---- limits, clock, linger ---- */

void doctor_limits(Doctor *d) {
        Cli *c = d->c;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        uint64_t possible = launch_max_runs(0), wanted = c->config.max_runs;
        const char *text =
                cli_text(c, "%llu open files allow %llu agents at once",
                         (unsigned long long) limit.rlim_max, (unsigned long long) possible);
        if (wanted > possible)
                doctor_say(
                        d, DOCTOR_FAIL, "limits",
                        cli_text(c, "%s, max_runs is %llu", text, (unsigned long long) wanted),
                        "raise the hard limit (ulimit -Hn, LimitNOFILE=), or lower AGENTD_MAX_RUNS");
        else if (possible < 64)
                doctor_say(d, DOCTOR_WARN, "limits", text,
                           "raise the hard limit (ulimit -Hn, LimitNOFILE=) for more");
        else
                doctor_say(d, DOCTOR_OK, "limits", text, NULL);
}

/* This program cannot be younger than now. */
void doctor_clock(Doctor *d) {
        struct stat st;

        if (stat("/proc/self/exe", &st) < 0)
                return;
        usec_t made = (usec_t) st.st_mtime * USEC_PER_SEC, now = clock_realtime();
        if (made > now + CLOCK_SLACK)
                doctor_say(d, DOCTOR_FAIL, "clock", "it is earlier than when this program was made",
                           "set the clock (timedatectl): ids, ages and timers go by it");
        else
                doctor_say(d, DOCTOR_OK, "clock", "is not behind this program", NULL);
}

/* A user's services end with the last login unless the user lingers. */
void doctor_linger(Doctor *d) {
        struct passwd entry, *found = NULL;
        char text[4096];

        if (geteuid() == 0 || access("/run/systemd/system", F_OK) < 0 ||
            getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) != 0 || !found)
                return;
        if (access(cli_text(d->c, "/var/lib/systemd/linger/%s", found->pw_name), F_OK) >= 0)
                doctor_say(d, DOCTOR_OK, "linger", "your services go on when you log out", NULL);
        else
                doctor_say(d, DOCTOR_WARN, "linger",
                           "your user services, and agents in them, end when you log out",
                           "loginctl enable-linger");
}
