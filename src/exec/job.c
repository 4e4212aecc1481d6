/* SPDX-License-Identifier: MIT */

/* The exec job as bytes.
 *
 * Written by the daemon, read by agentd-exec, carried by a keeper that does not look inside: so the
 * format only has to be safe to read, not to be compatible between versions (agentd-exec is pinned
 * by the keeper, and an unknown tag is refused, never skipped: a limit that is not understood must
 * not be lost in silence). Tag-length-value was taken over JSON because arguments and environment
 * are bytes, not UTF-8, and because the reader runs between fork and exec of every agent.
 *
 * Reading and writing go through one table of tags, so that a new tag is one row and one member.
 * The serialised form is canonical: parsing it and serialising again gives the same bytes. */

#include "exec/job.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/str.h"

typedef enum TagKind {
        TAG_KIND_STRV,
        TAG_KIND_STRING,
        TAG_KIND_FLAG,
        TAG_KIND_NOFILE,
        TAG_KIND_NICE,
        TAG_KIND_UMASK,
} TagKind;

static const struct {
        TagKind kind;
        size_t offset; /* in ExecJob */
} tags[_EXEC_TAG_MAX] = {
        [EXEC_TAG_ARG] = { TAG_KIND_STRV, offsetof(ExecJob, argv) },
        [EXEC_TAG_ENV] = { TAG_KIND_STRV, offsetof(ExecJob, env) },
        [EXEC_TAG_FOLDER] = { TAG_KIND_STRING, offsetof(ExecJob, folder) },
        [EXEC_TAG_CGROUP] = { TAG_KIND_STRING, offsetof(ExecJob, cgroup) },
        [EXEC_TAG_SUBREAPER] = { TAG_KIND_FLAG, offsetof(ExecJob, subreaper) },
        [EXEC_TAG_STDOUT] = { TAG_KIND_STRING, offsetof(ExecJob, stdout_path) },
        [EXEC_TAG_STDERR] = { TAG_KIND_STRING, offsetof(ExecJob, stderr_path) },
        [EXEC_TAG_NOFILE] = { TAG_KIND_NOFILE, offsetof(ExecJob, has_nofile) },
        [EXEC_TAG_NICE] = { TAG_KIND_NICE, offsetof(ExecJob, has_nice) },
        [EXEC_TAG_UMASK] = { TAG_KIND_UMASK, offsetof(ExecJob, has_umask) },
};

static const char *const step_names[_EXEC_STEP_MAX] = {
        [EXEC_STEP_JOB] = "read the job",
        [EXEC_STEP_CGROUP] = "join the cgroup",
        [EXEC_STEP_SESSION] = "begin a session",
        [EXEC_STEP_SUBREAPER] = "stay as the parent of the agent",
        [EXEC_STEP_OUTPUT] = "open the output",
        [EXEC_STEP_RLIMIT] = "set the resource limits",
        [EXEC_STEP_NICE] = "set the nice level",
        [EXEC_STEP_FOLDER] = "change to the folder",
        [EXEC_STEP_PROGRAM] = "execute the program",
};

typedef struct Record {
        uint32_t tag;
        uint32_t n;
} Record;

const char *exec_step_to_string(ExecStep step) {
        if ((unsigned) step >= ELEMENTSOF(step_names))
                return "do an unknown step";
        return step_names[step];
}

void exec_job_done(ExecJob *j) {
        strv_free(j->argv);
        strv_free(j->env);
        free(j->folder);
        free(j->cgroup);
        free(j->stdout_path);
        free(j->stderr_path);
        *j = (ExecJob){};
}

/* Octal digits only, as chmod(1) takes them: "022". */
static int parse_umask(const char *text, mode_t *ret) {
        mode_t mask = 0;

        if (text[0] == '\0')
                return -EBADMSG;
        for (; *text; text++) {
                if (*text < '0' || *text > '7')
                        return -EBADMSG;
                mask = mask << 3 | (mode_t) (*text - '0');
                if (mask > 0777)
                        return -EBADMSG;
        }
        *ret = mask;
        return 0;
}

static int parse_number(ExecJob *j, TagKind kind, const char *text) {
        int64_t i = 0;

        if (kind == TAG_KIND_NOFILE) {
                j->has_nofile = true;
                return str_to_u64(text, &j->nofile) < 0 ? -EBADMSG : 0;
        }
        if (kind == TAG_KIND_UMASK) {
                j->has_umask = true;
                return parse_umask(text, &j->umask);
        }
        if (str_to_i64(text, &i) < 0 || i < -20 || i > 19)
                return -EBADMSG;
        j->has_nice = true;
        j->nice = (int) i;
        return 0;
}

static bool env_is_valid(const char *assignment) {
        const char *equals = strchr(assignment, '=');
        return equals && equals > assignment;
}

static int parse_record(ExecJob *j, uint32_t tag, const char *data, size_t n) {
        _cleanup_free_ char *text = NULL;

        if (tag == 0 || tag >= _EXEC_TAG_MAX || memchr(data, 0, n))
                return -EBADMSG;
        text = strndup(data, n);
        if (!text)
                return -ENOMEM;

        void *member = (char *) j + tags[tag].offset;
        switch (tags[tag].kind) {
        case TAG_KIND_STRV:
                if (tag == EXEC_TAG_ENV && !env_is_valid(text))
                        return -EBADMSG;
                return strv_extend(member, text);
        case TAG_KIND_STRING:
                if (n == 0 || *(char **) member)
                        return -EBADMSG;
                *(char **) member = TAKE_PTR(text);
                return 0;
        case TAG_KIND_FLAG:
                if (n != 0 || *(bool *) member)
                        return -EBADMSG;
                *(bool *) member = true;
                return 0;
        case TAG_KIND_NOFILE:
        case TAG_KIND_NICE:
        case TAG_KIND_UMASK:
                return *(bool *) member ? -EBADMSG : parse_number(j, tags[tag].kind, text);
        }
        return -EBADMSG;
}

int exec_job_parse(const void *data, size_t n, ExecJob *ret) {
        _cleanup_(exec_job_done) ExecJob j = {};
        const char *p = data;
        int r;

        if (n > EXEC_JOB_MAX)
                return -EBADMSG;
        while (n > 0) {
                Record record;

                if (n < sizeof(record))
                        return -EBADMSG;
                memcpy(&record, p, sizeof(record));
                p += sizeof(record);
                n -= sizeof(record);
                if (record.n > n)
                        return -EBADMSG;
                r = parse_record(&j, record.tag, p, record.n);
                if (r < 0)
                        return r;
                p += record.n;
                n -= record.n;
        }
        if (!j.argv || !j.argv[0])
                return -EBADMSG;
        *ret = j;
        j = (ExecJob){};
        return 0;
}

static void put_record(Buf *out, uint32_t tag, const char *text) {
        Record record = { .tag = tag, .n = (uint32_t) strlen(text) };

        (void) buf_append(out, &record, sizeof(record));
        (void) buf_append(out, text, record.n);
}

static void put_number(Buf *out, uint32_t tag, const ExecJob *j) {
        char text[32] = "";

        if (tags[tag].kind == TAG_KIND_NOFILE)
                (void) snprintf(text, sizeof(text), "%" PRIu64, j->nofile);
        else if (tags[tag].kind == TAG_KIND_NICE)
                (void) snprintf(text, sizeof(text), "%d", j->nice);
        else
                (void) snprintf(text, sizeof(text), "%o", (unsigned) j->umask);
        put_record(out, tag, text);
}

static void put_tag(Buf *out, uint32_t tag, const ExecJob *j) {
        const void *member = (const char *) j + tags[tag].offset;

        switch (tags[tag].kind) {
        case TAG_KIND_STRV:
                for (char *const *s = *(char *const *const *) member; s && *s; s++)
                        put_record(out, tag, *s);
                break;
        case TAG_KIND_STRING:
                if (*(char *const *) member)
                        put_record(out, tag, *(char *const *) member);
                break;
        case TAG_KIND_FLAG:
                if (*(const bool *) member)
                        put_record(out, tag, "");
                break;
        case TAG_KIND_NOFILE:
        case TAG_KIND_NICE:
        case TAG_KIND_UMASK:
                if (*(const bool *) member)
                        put_number(out, tag, j);
                break;
        }
}

int exec_job_serialize(const ExecJob *j, Buf *out) {
        if (!j->argv || !j->argv[0])
                return -EINVAL;
        for (uint32_t tag = 1; tag < _EXEC_TAG_MAX; tag++)
                put_tag(out, tag, j);
        return buf_error(out);
}

int exec_job_to_memfd(const ExecJob *j) {
        _cleanup_buf_ Buf out = BUF_INIT(EXEC_JOB_MAX);
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = exec_job_serialize(j, &out);
        if (r < 0)
                return r;
        fd = memfd_create("agentd-exec-job", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return errno_neg();
        r = fd_write_all(fd, out.data, out.len);
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return errno_neg();
        return TAKE_FD(fd);
}
