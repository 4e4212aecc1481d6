/* SPDX-License-Identifier: MIT */

/* Output: from FIFOs to files by splice(), at explicit offsets.
 *
 * The bytes are in the pipe or in the file, never in this process: it may be killed between any two
 * instructions, and its successor goes on at the file's end. read() and write() were rejected for
 * exactly that window. After each splice one record (time, end) goes to the index; a record that a
 * killed keeper did not get to write is made up for when the run is adopted.
 *
 * An agent never waits for a disk: when the file refuses bytes they go to /dev/null, are counted,
 * and a gap record says how many, as soon as the index takes it. The pipe's other end is open
 * read-write in the agent, so EOF never comes while the tree lives; afterwards the FIFO hangs up,
 * and is no longer polled (it would be ready for ever), but still drained at FREE, for what may
 * have come in between.
 *
 * A record that the index does not take now is written later, once a second: without it nobody
 * would see the last lines of an agent that has fallen silent. */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "keeper/keeper-internal.h"

#define PIECE_BYTES (64U << 10)
#define TURN_BYTES  (1U << 20)
/* More than any pipe of an unprivileged user holds: an upper end for a writer that never stops. */
#define DRAIN_BYTES (4U << 20)

/* False when the index cannot be written now. */
static bool put_record(KeeperRun *r, uint64_t end) {
        KeeperIndexRecord record = { .time_usec = clock_realtime(), .end = end };

        if (pwrite(r->index_fd, &record, sizeof(record), (off_t) r->index_offset) !=
            (ssize_t) sizeof(record))
                return false; /* a part of it is overwritten by the next */
        r->index_offset += sizeof(record);
        return true;
}

static void put_gap(Keeper *k, KeeperRun *r, unsigned stream) {
        KeeperOutput *o = &r->out[stream];

        if (o->gap > 0 &&
            put_record(r, o->gap | KEEPER_INDEX_GAP | (stream ? KEEPER_INDEX_STREAM_ERR : 0)))
                o->gap = 0;
        k->index_behind |= o->gap > 0;
}

static void put_end(Keeper *k, KeeperRun *r, unsigned stream) {
        KeeperOutput *o = &r->out[stream];

        o->unrecorded = !put_record(r, o->offset | (stream ? KEEPER_INDEX_STREAM_ERR : 0));
        k->index_behind |= o->unrecorded;
}

static void put_missing(Keeper *k, KeeperRun *r) {
        for (unsigned stream = 0; r->index_fd >= 0 && stream < 2; stream++) {
                put_gap(k, r, stream);
                if (r->out[stream].unrecorded)
                        put_end(k, r, stream);
        }
}

void keeper_output_record(Keeper *k) {
        k->index_behind = false;
        for (unsigned i = 0; i < k->high; i++)
                if (k->runs[i].used)
                        put_missing(k, &k->runs[i]);
}

static int file_size(int fd, uint64_t *ret) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return errno_neg();
        *ret = (uint64_t) st.st_size;
        return 0;
}

static int open_stream(Keeper *k, KeeperRun *r, unsigned stream, bool adopting) {
        KeeperOutput *o = &r->out[stream];
        KeeperKey key = keeper_run_key(k, r, KEEPER_SOURCE_FIFO);
        int ret;

        if (fcntl(o->log, F_GETFL) & O_APPEND) /* splice() would refuse each time */
                return -EINVAL;
        ret = file_size(o->log, &o->offset);
        if (ret < 0)
                return ret;
        if (adopting && o->offset > 0)
                put_end(k, r, stream);
        key.stream = stream;
        ret = keeper_watch(k->outputs, o->fifo, EPOLLIN, key);
        o->watched = ret >= 0;
        return ret;
}

int keeper_output_open(Keeper *k, KeeperRun *r, const int *fds, bool adopting) {
        int ret;

        r->out[0].fifo = fds[0]; /* KEEPER_FD_OUT */
        r->out[1].fifo = fds[KEEPER_FD_ERR - KEEPER_FD_OUT];
        r->out[0].log = fds[KEEPER_FD_OUT_LOG - KEEPER_FD_OUT];
        r->out[1].log = fds[KEEPER_FD_ERR_LOG - KEEPER_FD_OUT];
        r->index_fd = fds[KEEPER_FD_INDEX - KEEPER_FD_OUT];

        ret = file_size(r->index_fd, &r->index_offset);
        if (ret < 0)
                return ret;
        r->index_offset -= r->index_offset % sizeof(KeeperIndexRecord);
        for (unsigned stream = 0; stream < 2; stream++) {
                ret = open_stream(k, r, stream, adopting);
                if (ret < 0)
                        return ret;
        }
        return 0;
}

static ssize_t drop(Keeper *k, KeeperRun *r, unsigned stream, int error) {
        KeeperOutput *o = &r->out[stream];
        ssize_t n;

        n = splice(o->fifo, NULL, k->null, NULL, PIECE_BYTES, SPLICE_F_NONBLOCK);
        if (n <= 0)
                return n;
        if (r->slot.dropped_bytes == 0)
                (void) log_warning(error, "run %016lx: output is lost", (unsigned long) r->slot.run);
        o->gap += (uint64_t) n;
        r->slot.dropped_bytes += (uint64_t) n;
        put_gap(k, r, stream);
        return n;
}

/* Bytes moved; 0: nobody writes any more and nothing is left; negative errno. */
static ssize_t move_piece(Keeper *k, KeeperRun *r, unsigned stream) {
        KeeperOutput *o = &r->out[stream];
        loff_t offset = (loff_t) o->offset;
        ssize_t n;

        n = splice(o->fifo, NULL, o->log, &offset, PIECE_BYTES, SPLICE_F_NONBLOCK);
        if (n > 0) {
                o->offset += (uint64_t) n;
                put_gap(k, r, stream);
                put_end(k, r, stream);
                return n;
        }
        /* No memory is no fault of the file: the bytes stay in the pipe for the next turn. */
        if (n == 0 || errno == EAGAIN || errno == ENOMEM)
                return n == 0 ? 0 : -EAGAIN;
        if (errno == EINTR)
                return -EINTR;
        n = drop(k, r, stream, errno);
        return n < 0 ? errno_neg() : n;
}

static void move(Keeper *k, KeeperRun *r, unsigned stream, size_t max) {
        KeeperOutput *o = &r->out[stream];
        ssize_t n = -EAGAIN;

        if (o->fifo < 0)
                return;
        for (size_t moved = 0; moved<max; moved += n> 0 ? (size_t) n : 0) {
                n = move_piece(k, r, stream);
                if (n <= 0 && n != -EINTR)
                        break;
        }
        if (n > 0 || n == -EAGAIN || n == -EINTR || !o->watched)
                return;
        /* Hung up, or broken in a way that will not get better. */
        if (n < 0)
                (void) log_error((int) n, "run %016lx: output cannot be read",
                                 (unsigned long) r->slot.run);
        keeper_unwatch(k->outputs, o->fifo);
        o->watched = false;
}

void keeper_output_turn(Keeper *k, KeeperRun *r, unsigned stream) {
        move(k, r, stream, TURN_BYTES);
}

void keeper_output_drain(Keeper *k, KeeperRun *r) {
        for (unsigned stream = 0; stream < 2; stream++)
                move(k, r, stream, DRAIN_BYTES);
        put_missing(k, r);
}

void keeper_output_close(Keeper *k, KeeperRun *r) {
        keeper_output_drain(k, r);
        for (unsigned stream = 0; stream < 2; stream++) {
                KeeperOutput *o = &r->out[stream];

                if (o->watched)
                        keeper_unwatch(k->outputs, o->fifo);
                o->watched = false;
                o->fifo = fd_close(o->fifo);
                o->log = fd_close(o->log);
        }
        r->index_fd = fd_close(r->index_fd);
}
