/* SPDX-License-Identifier: MIT */

/* `agentd backup` and `agentd fsck` of a daemon that is reached by its address (--host, --port,
 * AGENTD_URL): it does the work and sends what comes of it, since its data may be on another
 * machine. The file gets its name as the one that is made here does: when it is complete and on
 * disk. */

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/tools.h"

#define REFUSAL_MAX ((size_t) 64 * 1024)
#define SHOW_USEC   (USEC_PER_SEC / 5)

/* Of fsck(8). */
enum { FSCK_CLEAN = 0, FSCK_LEFT = 4, FSCK_FAILED = 8 };

typedef struct Download {
        Cli *c;
        int fd;
        uint64_t bytes;
        usec_t shown;
        long status;
        Buf refusal; /* the body of an answer that is none */
} Download;

static char *bytes_text(Cli *c, uint64_t n) {
        char text[32];

        return cli_text(c, "%s", text_size(n, text, sizeof(text)));
}

static void show(Download *d) {
        usec_t now = clock_monotonic();
        char text[32];

        if (d->c->quiet || !isatty(STDERR_FILENO) || now - d->shown < SHOW_USEC)
                return;
        d->shown = now;
        (void) fprintf(stderr, "\r%s\x1b[K", text_size(d->bytes, text, sizeof(text)));
}

static int on_data(long status, const char *data, size_t n, void *userdata) {
        Download *d = userdata;

        d->status = status;
        if (status != 200) {
                (void) buf_append(&d->refusal, data, n);
                return 0;
        }
        d->bytes += n;
        show(d);
        return fd_write_all(d->fd, data, n);
}

static int download(Download *d, const char *path) {
        HttpClient *client = NULL;
        Cli *c = d->c;

        int r = ask_client(c, &client);
        if (r != 0)
                return r;
        r = http_client_stream(client, "GET", path, "application/zstd", NULL, on_data, d);
        if (d->shown > 0)
                (void) fputs("\r\x1b[K", stderr);
        if (d->status != 0 && d->status != 200)
                return ask_refused(c, d->status, d->refusal.data ?: "", d->refusal.len);
        if (r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -EFBIG)
                return cli_error(c, CLI_FAILURE, "cannot write the file: %s", strerror(-r));
        if (r < 0 && d->bytes > 0)
                return cli_error(c, CLI_FAILURE,
                                 "the backup broke off after %s (%s): nothing was kept; try again",
                                 bytes_text(c, d->bytes), strerror(-r));
        return r < 0 ? ask_no_answer(c, r) : 0;
}

/* A link and no rename: a file of that name is never replaced. */
static int give_name(Cli *c, int fd, const char *part, const char *file) {
        int r = fsync(fd) < 0 || link(part, file) < 0 ? errno_neg() : fs_sync_parent(file);

        if (r == -EEXIST)
                return cli_error(c, CLI_FAILURE, "%s is there already: choose another name", file);
        return r < 0 ? cli_error(c, CLI_FAILURE, "cannot write %s: %s", file, strerror(-r)) : 0;
}

int remote_backup(Cli *c, const char *file) {
        const char *part = cli_text(c, "%s.part", file);
        _cleanup_buf_ Buf path = BUF_INIT(1024);

        if (access(file, F_OK) == 0)
                return cli_error(c, CLI_FAILURE, "%s is there already: choose another name", file);
        _cleanup_close_ int fd =
                open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return cli_error(c, CLI_FAILURE, "cannot write %s: %s", part, strerror(errno));
        (void) buf_puts(&path, "/backup");
        query_add(&path, "logs", cli_option(c, "logs") ? "true" : NULL);
        query_add(&path, "verify", cli_option(c, "verify") ? "true" : NULL);
        Download d = { .c = c, .fd = fd, .refusal = BUF_INIT(REFUSAL_MAX) };
        int r = download(&d, path.data);
        buf_done(&d.refusal);
        if (r == 0)
                r = give_name(c, fd, part, file);
        (void) unlink(part);
        if (r == 0)
                cli_say(c, "%s: %s from %s%s", file, bytes_text(c, d.bytes), c->url,
                        cli_option(c, "verify") ? ", verified there" : "");
        return r;
}

static void print_problem(Cli *c, JsonSpan p) {
        const char *repair = cli_member(c, p, "repair");

        (void) printf("%s %s: %s%s%s\n", cli_member(c, p, "what"), cli_member(c, p, "id"),
                      cli_member(c, p, "problem"), *repair ? "; --repair would: " : "", repair);
}

int remote_fsck(Cli *c) {
        _cleanup_reply_ Reply reply = {};
        JsonSpan problem;
        size_t n = 0;

        if (cli_option(c, "repair")) {
                (void) cli_error(
                        c, CLI_FAILURE,
                        "a repair wants agentd stopped: run `agentd fsck --repair` on its machine");
                return FSCK_FAILED;
        }
        if (ask(c, "GET", "/fsck", NULL, &reply) != 0)
                return FSCK_FAILED;
        for (JsonIter it = json_iter(reply.json); json_next(&it, NULL, &problem); n++)
                if (c->json)
                        cli_print_json(problem);
                else
                        print_problem(c, problem);
        if (!c->json)
                (void) printf(n == 0 ? "clean\n" : "%zu found, %zu left\n", n, n);
        return n > 0 ? FSCK_LEFT : FSCK_CLEAN;
}
