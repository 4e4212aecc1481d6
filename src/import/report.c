/* SPDX-License-Identifier: MIT */

/* What was not sound in the original, one line of JSON each, in a file beside the database: a log is
 * rotated away, and somebody may want to mend thousands of rows by a program. The first few are logged
 * too. A report that cannot be written does not stop the import (the original is kept); the log says so. */

#include <fcntl.h>

#include "base/fs.h"
#include "base/log.h"
#include "import/import-internal.h"

#define LOGGED_MAX 20

void import_report_done(ImportReport *r) {
        r->fd = fd_close(r->fd);
}

static int report_write(ImportReport *r, const Buf *line) {
        if (r->n == 0)
                r->fd = open(r->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (r->fd < 0)
                return errno_neg();
        return fd_write_all(r->fd, line->data, line->len);
}

void import_report(ImportReport *r,
                   const char *table,
                   const char *key,
                   const char *problem,
                   const char *outcome) {
        _cleanup_buf_ Buf line = BUF_INIT((size_t) 1 << 20);
        JsonWriter w = JSON_WRITER(&line);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "table", table);
        json_w_kv_string(&w, "key", key);
        json_w_kv_string(&w, "problem", problem);
        json_w_kv_string(&w, "outcome", outcome);
        json_w_object_end(&w);
        (void) buf_putc(&line, '\n');
        if (r->error == 0)
                r->error = buf_error(&line) < 0 ? buf_error(&line) : report_write(r, &line);
        if (r->n < LOGGED_MAX)
                log_notice("Import: %s %s: %s; %s", table, key ? key : "(without a key)", problem,
                           outcome);
        r->n++;
}

int import_report_sync(ImportReport *r) {
        if (r->error == 0 && r->fd >= 0 && fsync(r->fd) < 0)
                r->error = errno_neg();
        return r->error;
}
