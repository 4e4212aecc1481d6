/* SPDX-License-Identifier: MIT */

/* Lines of one run in the order in which their newlines arrived.
 *
 * The index says for each splice which file was filled up to where, and the order of its records is
 * the order of arrival. So a reader is four numbers: the next record, and per stream the begin of
 * the first line that was not delivered. That is also the cursor: nothing else must be remembered
 * to go on, in another process and years later, because files are only appended to.
 *
 * A crash between splice and record leaves bytes without a record. If the run goes on, the next
 * record covers them; if it does not, they come after all records with the file's time. A record
 * that was cut off by a power failure is not a record. A record that promises more than the file
 * has is cut to what is there.
 *
 * Rejected: prefixing every line in one file by stream and time as container runtimes do: then
 * every byte would have to pass through a process, and splice could not be used. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/id.h"
#include "base/str.h"
#include "sup/logs-internal.h"

#define END_MASK (KEEPER_INDEX_GAP - 1)

static int open_file(const char *folder, uint64_t run, const char *suffix, int *ret) {
        char id[ID_STRING_SIZE];
        _cleanup_free_ char *path = str_printf("%s/%s.%s", folder, id_format(run, id), suffix);

        if (!path)
                return -ENOMEM;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno_neg();
        *ret = fd;
        return 0;
}

static int open_files(LogRun *r, const char *folder) {
        unsigned missing = 0;
        int e = open_file(folder, r->id, "out", &r->stream[0].fd);

        missing += e == -ENOENT;
        if (e >= 0 || e == -ENOENT)
                e = open_file(folder, r->id, "err", &r->stream[1].fd);
        missing += e == -ENOENT;
        if (e >= 0 || e == -ENOENT)
                e = open_file(folder, r->id, "idx", &r->index_fd);
        missing += e == -ENOENT;
        if (e < 0 && e != -ENOENT)
                return e;
        return missing == 3 ? -ENOENT : 0;
}

int log_run_open(LogRun **ret, const char *folder, uint64_t run) {
        _cleanup_(log_run_freep) LogRun *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->id = run;
        r->index_fd = r->stream[0].fd = r->stream[1].fd = -EBADF;
        r->block = calloc(LOG_BLOCK_RECORDS, sizeof(*r->block));
        for (size_t i = 0; i < 2; i++)
                if (!(r->stream[i].buffer = malloc(LOG_BUFFER_BYTES)))
                        return -ENOMEM;
        if (!r->block)
                return -ENOMEM;
        int e = open_files(r, folder);
        if (e < 0)
                return e;
        *ret = TAKE_PTR(r);
        return 0;
}

LogRun *log_run_free(LogRun *r) {
        if (!r)
                return NULL;
        for (size_t i = 0; i < 2; i++) {
                fd_close(r->stream[i].fd);
                free(r->stream[i].buffer);
        }
        fd_close(r->index_fd);
        free(r->block);
        free(r);
        return NULL;
}

void log_run_set(LogRun *r, uint64_t out, uint64_t err, uint64_t record) {
        r->record = record;
        r->stream[0].pos = r->stream[0].scanned = out;
        r->stream[1].pos = r->stream[1].scanned = err;
}

/* ---- files ---- */

static ssize_t read_at(int fd, void *data, size_t n, uint64_t offset) {
        size_t done = 0;

        while (fd >= 0 && done < n) {
                ssize_t k = pread(fd, (char *) data + done, n - done, (off_t) (offset + done));
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno_neg();
                if (k == 0)
                        break;
                done += (size_t) k;
        }
        return (ssize_t) done;
}

/* 1 and the record, or 0: there is none (yet). Blocks are aligned, so walking backwards is served as well. */
static int get_record(LogRun *r, uint64_t i, KeeperIndexRecord *ret) {
        if (i < r->block_first || i >= r->block_first + r->block_n) {
                uint64_t first = i - i % LOG_BLOCK_RECORDS;
                ssize_t n = read_at(r->index_fd, r->block, LOG_BLOCK_RECORDS * sizeof(*r->block),
                                    first * sizeof(*r->block));
                if (n < 0)
                        return (int) n;
                r->block_first = first;
                r->block_n = (size_t) n / sizeof(*r->block);
                if (i >= first + r->block_n)
                        return 0;
        }
        *ret = r->block[i - r->block_first];
        return 1;
}

static unsigned record_stream(const KeeperIndexRecord *record) {
        return (record->end & KEEPER_INDEX_STREAM_ERR) ? 1 : 0;
}

static bool record_is_gap(const KeeperIndexRecord *record) {
        return (record->end & KEEPER_INDEX_GAP) != 0;
}

static int count_records(const LogRun *r, uint64_t *ret) {
        struct stat st;

        if (r->index_fd < 0) {
                *ret = 0;
                return 0;
        }
        if (fstat(r->index_fd, &st) < 0)
                return errno_neg();
        *ret = (uint64_t) st.st_size / sizeof(KeeperIndexRecord);
        return 0;
}

/* ---- lines ---- */

/* Makes the buffer hold [pos, limit) as far as the file does; the new limit, or negative errno. */
static int64_t fill(LogStream *s, uint64_t limit) {
        if (s->pos < s->base || limit > s->base + s->n) {
                ssize_t n = read_at(s->fd, s->buffer, LOG_BUFFER_BYTES, s->pos);
                if (n < 0)
                        return n;
                s->base = s->pos;
                s->n = (size_t) n;
        }
        return (int64_t) MIN(limit, s->base + s->n);
}

static void deliver(LogStream *s, uint64_t end, uint64_t next, bool cut, SupLogLine *ret) {
        ret->text = s->buffer + (s->pos - s->base);
        ret->n = (size_t) (end - s->pos);
        ret->cut = cut;
        s->pos = s->scanned = next;
}

/* A line that ends before `end`, or with last also what is left at it. */
static int take_line(LogStream *s, uint64_t end, bool last, SupLogLine *ret) {
        if (s->pos >= end)
                return 0;
        int64_t k = fill(s, MIN(end, s->pos + SUP_LOG_LINE_MAX + 1));
        if (k < 0)
                return (int) k;
        uint64_t limit = (uint64_t) k;
        if (limit <= s->pos)
                return 0;
        uint64_t from = MIN(MAX(s->scanned, s->pos), limit);
        const char *newline = memchr(s->buffer + (from - s->base), '\n', (size_t) (limit - from));
        if (newline) {
                uint64_t at = s->base + (uint64_t) (newline - s->buffer);
                deliver(s, at, at + 1, false, ret);
        } else if (limit - s->pos > SUP_LOG_LINE_MAX)
                deliver(s, s->pos + SUP_LOG_LINE_MAX, s->pos + SUP_LOG_LINE_MAX, true, ret);
        else if (last)
                deliver(s, limit, limit, false, ret);
        else {
                s->scanned = limit;
                return 0;
        }
        return 1;
}

static int next_without_record(LogRun *r, SupLogLine *ret) {
        for (unsigned i = 0; i < 2; i++) {
                struct stat st;
                if (r->stream[i].fd < 0)
                        continue;
                if (fstat(r->stream[i].fd, &st) < 0)
                        return errno_neg();
                int k = take_line(&r->stream[i], (uint64_t) st.st_size, true, ret);
                if (k == 0)
                        continue;
                ret->stream = i + 1;
                ret->time = (usec_t) st.st_mtim.tv_sec * USEC_PER_SEC +
                            (usec_t) st.st_mtim.tv_nsec / NSEC_PER_USEC;
                return k;
        }
        return 0;
}

static int notice_gap(LogRun *r, const KeeperIndexRecord *record, SupLogLine *ret) {
        (void) snprintf(r->notice, sizeof(r->notice), "%llu bytes of std%s were lost",
                        (unsigned long long) (record->end & END_MASK),
                        record_stream(record) ? "err" : "out");
        *ret = (SupLogLine){
                .run = r->id, .time = record->time_usec, .text = r->notice, .n = strlen(r->notice)
        };
        r->record++;
        return 1;
}

int log_run_next(LogRun *r, bool complete, SupLogLine *ret) {
        KeeperIndexRecord record = {};
        SupLogLine line = { .run = r->id };
        int k;

        while ((k = get_record(r, r->record, &record)) > 0) {
                if (record_is_gap(&record))
                        return notice_gap(r, &record, ret);
                unsigned i = record_stream(&record);
                k = take_line(&r->stream[i], record.end & END_MASK, false, &line);
                if (k != 0) {
                        line.stream = i + 1;
                        line.time = record.time_usec;
                        break;
                }
                r->record++;
        }
        if (k == 0 && complete)
                k = next_without_record(r, &line);
        if (k > 0)
                *ret = line;
        return k;
}

/* ---- seeking ---- */

/* The begin of the line that `offset` lies in; of an overlong one, some place in it. */
static int line_begin(LogStream *s, uint64_t offset, uint64_t *ret) {
        uint64_t low = offset > SUP_LOG_LINE_MAX ? offset - SUP_LOG_LINE_MAX : 0;

        ssize_t n = read_at(s->fd, s->buffer, (size_t) (offset - low), low);
        if (n < 0)
                return (int) n;
        s->base = low;
        s->n = (size_t) n;
        const char *newline = n > 0 ? memrchr(s->buffer, '\n', (size_t) n) : NULL;
        *ret = newline ? low + (uint64_t) (newline - s->buffer) + 1 : low;
        return 0;
}

/* Where a record says that its stream's file ended. A damaged index, or a file that a power cut
 * made shorter, may name a place that is not there: then it is the file's end. */
static int record_end(const LogRun *r, const KeeperIndexRecord *record, uint64_t *ret) {
        int fd = r->stream[record_stream(record)].fd;
        struct stat st = {};

        if (fd >= 0 && fstat(fd, &st) < 0)
                return errno_neg();
        *ret = MIN(record->end & END_MASK, (uint64_t) st.st_size);
        return 0;
}

/* How far the stream's file was filled when `record` was about to be written. */
static int filled_before(LogRun *r, unsigned stream, uint64_t record, uint64_t *ret) {
        KeeperIndexRecord k = {};

        for (uint64_t i = record; i > 0; i--) {
                int e = get_record(r, i - 1, &k);
                if (e < 0)
                        return e;
                if (e > 0 && !record_is_gap(&k) && record_stream(&k) == stream)
                        return record_end(r, &k, ret);
        }
        *ret = 0;
        return 0;
}

int log_run_seek_record(LogRun *r, uint64_t record) {
        uint64_t begin[2];

        for (unsigned i = 0; i < 2; i++) {
                int e = filled_before(r, i, record, &begin[i]);
                if (e >= 0)
                        e = line_begin(&r->stream[i], begin[i], &begin[i]);
                if (e < 0)
                        return e;
        }
        log_run_set(r, begin[0], begin[1], record);
        return 0;
}

int log_run_seek_back(LogRun *r, uint64_t bytes) {
        uint64_t high[2] = {}, low[2] = {}, n;
        KeeperIndexRecord k = {};

        int e = count_records(r, &n);
        while (e >= 0 && n > 0 && high[0] - low[0] + high[1] - low[1] < bytes) {
                e = get_record(r, n - 1, &k);
                if (e <= 0)
                        break;
                n--;
                if (record_is_gap(&k))
                        continue;
                unsigned i = record_stream(&k);
                e = record_end(r, &k, &low[i]);
                high[i] = MAX(high[i], low[i]);
        }
        if (e < 0)
                return e;
        if (n == 0) {
                log_run_set(r, 0, 0, 0);
                return 1;
        }
        return log_run_seek_record(r, n);
}

int log_run_seek_time(LogRun *r, usec_t since) {
        uint64_t low = 0, high;
        KeeperIndexRecord k = {};

        int e = count_records(r, &high);
        if (e < 0)
                return e;
        while (low < high) {
                uint64_t middle = low + (high - low) / 2;
                e = get_record(r, middle, &k);
                if (e < 0)
                        return e;
                if (e > 0 && k.time_usec < since)
                        low = middle + 1;
                else
                        high = middle;
        }
        return log_run_seek_record(r, low);
}
