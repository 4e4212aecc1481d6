/* SPDX-License-Identifier: MIT */

/* Output: from FIFOs to files by splice(), at explicit offsets.
 *
 * The bytes are in the pipe or in the file, never in this process: it may be killed between any two
 * instructions, and its successor goes on at the file's end. read() and write() were rejected for
 * exactly that window. After each splice one record (time, end) goes to the index; a record that a
 * killed keeper did not get to write is made up for when the run is adopted.
 *
 * When the file takes no bytes for a reason that may pass (a full disk above all), they stay where
 * they are: a splice() that fails has taken nothing from the pipe, one that is short only what it
 * has written. The stream is held back: not polled, so that it costs nothing, and tried again once a
 * second with all others; the agent waits in its write() when its pipe is full. The daemon is told
 * when that begins and when it is over. Bytes are thrown away, counted, and told of by a gap record
 * only if that was asked for (CONFIGURE), if the error is for ever, or if the run is given up.
 *
 * The pipe's other end is open read-write in the agent, so EOF never comes while the tree lives;
 * afterwards the FIFO hangs up, and is no longer polled (it would be ready for ever), but still
 * drained at FREE, for what may have come in between.
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

/* ---- the index ---- */

static int put_record(KeeperRun *r, uint64_t end) {
        KeeperIndexRecord record = { .time_usec = clock_realtime(), .end = end };
        ssize_t n;

        n = pwrite(r->index_fd, &record, sizeof(record), (off_t) r->index_offset);
        if (n < 0)
                return errno_neg();
        if (n != (ssize_t) sizeof(record))
                return -ENOSPC; /* the part is overwritten by the next */
        r->index_offset += sizeof(record);
        return 0;
}

static bool put(Keeper *k, KeeperRun *r, unsigned stream, uint64_t end) {
        int ret = put_record(r, end | (stream ? KEEPER_INDEX_STREAM_ERR : 0));

        r->index_error = -ret;
        k->behind |= ret < 0;
        return ret >= 0;
}

static void put_gap(Keeper *k, KeeperRun *r, unsigned stream) {
        KeeperOutput *o = &r->out[stream];

        if (o->gap > 0 && put(k, r, stream, o->gap | KEEPER_INDEX_GAP))
                o->gap = 0;
}

static void put_end(Keeper *k, KeeperRun *r, unsigned stream) {
        r->out[stream].unrecorded = !put(k, r, stream, r->out[stream].offset);
}

static void put_missing(Keeper *k, KeeperRun *r) {
        for (unsigned stream = 0; r->index_fd >= 0 && stream < 2; stream++) {
                put_gap(k, r, stream);
                if (r->out[stream].unrecorded)
                        put_end(k, r, stream);
        }
}

/* ---- holding back ---- */

static bool may_pass(int error) {
        return error == ENOSPC || error == EDQUOT || error == EIO || error == EROFS ||
               error == ENOMEM;
}

/* Why the daemon is to know that not all of the output is where it can be read. */
static int why_held(const KeeperRun *r) {
        if (r->out[0].held || r->out[1].held)
                return r->out[0].held ? r->out[0].held : r->out[1].held;
        return may_pass(r->index_error) ? r->index_error : 0;
}

static void report(Keeper *k, KeeperRun *r) {
        int error = why_held(r);

        if (error == r->held_error)
                return;
        if (r->held_error == 0)
                r->held_usec = clock_realtime();
        r->held_error = error;
        keeper_run_pend(k, r, &r->pend_output, true);
}

static void unwatch(Keeper *k, KeeperOutput *o) {
        if (o->watched)
                keeper_unwatch(k->outputs, o->fifo);
        o->watched = false;
}

static int watch(Keeper *k, KeeperRun *r, unsigned stream) {
        KeeperKey key = keeper_run_key(k, r, KEEPER_SOURCE_FIFO);
        int ret;

        key.stream = stream;
        ret = keeper_watch(k->outputs, r->out[stream].fifo, EPOLLIN, key);
        r->out[stream].watched = ret >= 0;
        return ret;
}

static void hold(Keeper *k, KeeperOutput *o, int error) {
        unwatch(k, o);
        o->held = error;
        k->behind = true;
}

static void go_on(Keeper *k, KeeperRun *r, unsigned stream) {
        KeeperOutput *o = &r->out[stream];

        if (o->held == 0)
                return;
        if (watch(k, r, stream) < 0)
                k->behind = true; /* once a second is better than never */
        else
                o->held = 0;
}

/* ---- opening ---- */

static int file_size(int fd, uint64_t *ret) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return errno_neg();
        *ret = (uint64_t) st.st_size;
        return 0;
}

static int open_stream(Keeper *k, KeeperRun *r, unsigned stream, bool adopting) {
        KeeperOutput *o = &r->out[stream];
        int ret;

        if (fcntl(o->log, F_GETFL) & O_APPEND) /* splice() would refuse each time */
                return -EINVAL;
        ret = file_size(o->log, &o->offset);
        if (ret < 0)
                return ret;
        if (adopting && o->offset > 0)
                put_end(k, r, stream);
        return watch(k, r, stream);
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

/* ---- moving ---- */

static ssize_t drop(Keeper *k, KeeperRun *r, unsigned stream, int error) {
        KeeperOutput *o = &r->out[stream];
        ssize_t n;

        n = splice(o->fifo, NULL, k->null, NULL, PIECE_BYTES, SPLICE_F_NONBLOCK);
        if (n <= 0)
                return n < 0 ? errno_neg() : 0;
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
        if (n == 0)
                return 0;
        if (errno == EAGAIN || errno == EINTR)
                return errno_neg();
        /* No memory is no fault of the file: these bytes are not what the user gives up. */
        if (may_pass(errno) && (!k->drop_output || errno == ENOMEM))
                return errno_neg();
        return drop(k, r, stream, errno);
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
        if (n > 0 || n == -EAGAIN || n == -EINTR)
                go_on(k, r, stream);
        else if (n < 0 && may_pass((int) -n))
                hold(k, o, (int) -n);
        else { /* hung up, or broken in a way that will not get better */
                if (n < 0 && o->watched)
                        (void) log_error((int) n, "run %016lx: output cannot be read",
                                         (unsigned long) r->slot.run);
                unwatch(k, o);
                o->held = 0;
        }
        report(k, r);
}

void keeper_output_turn(Keeper *k, KeeperRun *r, unsigned stream) {
        move(k, r, stream, TURN_BYTES);
}

static void retry(Keeper *k, KeeperRun *r) {
        for (unsigned stream = 0; stream < 2; stream++)
                if (r->out[stream].held)
                        move(k, r, stream, TURN_BYTES);
        put_missing(k, r);
        report(k, r);
}

void keeper_output_retry(Keeper *k) {
        k->behind = false;
        for (unsigned i = 0; i < k->high; i++)
                if (k->runs[i].used)
                        retry(k, &k->runs[i]);
}

void keeper_output_drain(Keeper *k, KeeperRun *r) {
        for (unsigned stream = 0; stream < 2; stream++)
                move(k, r, stream, DRAIN_BYTES);
        put_missing(k, r);
        report(k, r);
}

void keeper_output_adopted(Keeper *k, KeeperRun *r, int held_error) {
        r->held_error = held_error;
        r->held_usec = clock_realtime();
        for (unsigned stream = 0; stream < 2; stream++)
                move(k, r, stream, TURN_BYTES);
        report(k, r);
}

bool keeper_output_any_held(const Keeper *k) {
        for (unsigned i = 0; i < k->high; i++)
                if (k->runs[i].used && k->runs[i].held_error != 0)
                        return true;
        return false;
}

void keeper_output_give_up(Keeper *k, KeeperRun *r) {
        keeper_output_drain(k, r);
        for (unsigned stream = 0; stream < 2; stream++) {
                uint64_t before = r->slot.dropped_bytes;
                int error = r->out[stream].held;

                while (error != 0 && drop(k, r, stream, error) > 0)
                        ;
                if (r->slot.dropped_bytes > before)
                        (void) log_warning(error, "run %016lx: %lu bytes of output are lost",
                                           (unsigned long) r->slot.run,
                                           (unsigned long) (r->slot.dropped_bytes - before));
                r->out[stream].held = 0;
        }
}

void keeper_output_close(Keeper *k, KeeperRun *r) {
        keeper_output_give_up(k, r);
        for (unsigned stream = 0; stream < 2; stream++) {
                KeeperOutput *o = &r->out[stream];

                unwatch(k, o);
                o->fifo = fd_close(o->fifo);
                o->log = fd_close(o->log);
        }
        r->index_fd = fd_close(r->index_fd);
}
