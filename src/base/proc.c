/* SPDX-License-Identifier: MIT */

/* Reading /proc/PID/stat and /proc/PID/cgroup.
 *
 * stat is walked field by field: the format of scanf() for 52 fields is harder to check than a loop
 * that counts, and it says nothing of numbers that do not fit. It is read onto the stack, because
 * the keeper, which may not allocate, reads it too.
 *
 * How a zombie ended is field 52, which the kernel prints as 0 to those who may not know. Field 35
 * (wchan) is hidden by the same rule and is 1 for a process that does not run: it tells "ended with
 * 0" and "not to be seen" apart. */

#include "base/proc.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fs.h"

#define STAT_MAX   4096
#define CGROUP_MAX (64 * 1024)

enum {
        FIELD_STATE = 3,
        FIELD_PPID,
        FIELD_UTIME = 14,
        FIELD_STIME,
        FIELD_THREADS = 20,
        FIELD_START_TIME = 22,
        FIELD_WCHAN = 35,
        FIELD_EXIT_CODE = 52,
};

/* The digits that begin here; what is no number, or negative, is 0. */
static uint64_t leading_number(const char *p) {
        uint64_t n = 0;

        for (; *p >= '0' && *p <= '9'; p++)
                n = n * 10 + (uint64_t) (*p - '0');
        return n;
}

int proc_stat_parse(const char *text, ProcStat *ret) {
        uint64_t fields[FIELD_EXIT_CODE + 1] = {};
        unsigned field = FIELD_STATE;

        /* The name (field 2) may hold anything, parentheses and spaces too: the last one ends it. */
        const char *p = strrchr(text, ')');
        if (!p || p[1] != ' ' || p[2] == '\0')
                return -EBADMSG;
        char state = p[2];
        for (p = strchr(p + 2, ' '); p && field < FIELD_EXIT_CODE; p = strchr(p + 1, ' '))
                fields[++field] = leading_number(p + 1);
        if (field < FIELD_EXIT_CODE)
                return -EBADMSG;
        *ret = (ProcStat){
                .state = state,
                .ppid = (pid_t) fields[FIELD_PPID],
                .threads = (unsigned) fields[FIELD_THREADS],
                .start_time = fields[FIELD_START_TIME],
                .cpu_usec = (fields[FIELD_UTIME] + fields[FIELD_STIME]) * USEC_PER_SEC /
                            (uint64_t) sysconf(_SC_CLK_TCK),
                .wait_status = (int) fields[FIELD_EXIT_CODE],
                .status_known = fields[FIELD_EXIT_CODE] != 0 || fields[FIELD_WCHAN] != 0,
        };
        return 0;
}

int proc_stat(pid_t pid, ProcStat *ret) {
        char path[64], text[STAT_MAX];

        (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : errno_neg();
        ssize_t n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return errno_neg();
        text[n] = '\0';
        return proc_stat_parse(text, ret);
}

int proc_cgroup_parse(const char *text, char **ret) {
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                const char *path = str_startswith(line, "0::");
                if (!path)
                        continue;
                char *copy = strndup(path, strcspn(path, "\n"));
                if (!copy)
                        return -ENOMEM;
                *ret = copy;
                return 0;
        }
        return -ENOENT;
}

int proc_cgroup(pid_t pid, char **ret) {
        _cleanup_free_ char *text = NULL;
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%d/cgroup", (int) pid);
        int r = fs_read_file(AT_FDCWD, path, CGROUP_MAX, &text, NULL);
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;
        return proc_cgroup_parse(text, ret);
}

int proc_boot_id(char ret[static PROC_BOOT_ID_SIZE]) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        int r = fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, &n);
        if (r < 0)
                return r;
        if (n < PROC_BOOT_ID_SIZE - 1)
                return -EBADMSG;
        memcpy(ret, text, PROC_BOOT_ID_SIZE - 1);
        ret[PROC_BOOT_ID_SIZE - 1] = '\0';
        return 0;
}
