/* SPDX-License-Identifier: MIT */

/* A save, in the order that a power cut at any instant leaves whole: rows to the disk; the table
 * beside, to the disk; its name; only then are the rows of the dead overwritten, for until then the
 * table before might still be the one that is found, and it names them. The new table lists them:
 * who opens it wipes them again. A place in the file is given out again when its wiping is done.
 *
 * The old table is overwritten as well if something died since: its codes tell nearly what the rows
 * told. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "memory/vectors-internal.h"

void vector_picture_done(VectorIndex *v, VectorPicture *p) {
        vector_reader_end(v, &p->reader);
        free(p->segments);
        free(p->unwiped);
        p->segments = NULL;
        p->unwiped = NULL;
}

static void note_unwiped(const VectorIndex *v, VectorPicture *p) {
        for (size_t i = 0; i < v->n_places; i++)
                if (v->places[i].unwiped != 0)
                        p->unwiped[p->head.n_unwiped++] = (VectorTableUnwiped){
                                .number = (uint32_t) i,
                                .mask = v->places[i].unwiped,
                        };
}

static void note_segments(const VectorIndex *v, VectorPicture *p) {
        size_t cursor = 0;
        void *value;

        while (map_next(v->segments, &cursor, &(uint64_t){ 0 }, &value)) {
                const VectorSegment *s = value;

                if (s->n_alive == 0)
                        continue;
                /* a block that was added and not yet put to is none */
                size_t n_blocks = s->tail > 0 ? s->n_blocks : s->n_blocks - 1;
                p->segments[p->head.n_segments++] = (struct VectorPictureSegment){
                        .list = s->list,
                        .head = { .scope = s->scope,
                                  .n_blocks = n_blocks,
                                  .tail = s->tail > 0 ? s->tail : VECTOR_BLOCK,
                                  .is_large = s->is_large,
                                  .candidates = s->candidates,
                                  .tuned_at = s->tuned_at },
                };
        }
}

/* Under the lock. */
static int note_all(VectorIndex *v, VectorPicture *p) {
        p->segments = calloc(MAX(map_size(v->segments), (size_t) 1), sizeof(*p->segments));
        p->unwiped = calloc(MAX(v->n_places, (size_t) 1), sizeof(*p->unwiped));
        if (!p->segments || !p->unwiped)
                return -ENOMEM;
        vector_reader_begin(v, &p->reader);
        note_segments(v, p);
        note_unwiped(v, p);
        p->n_changes = v->n_changes;
        return 0;
}

int vector_picture_take(VectorIndex *v, uint64_t sequence, VectorPicture *ret) {
        *ret = (VectorPicture){
                .head = { .version = VECTOR_FORMAT,
                          .byte_order = VECTOR_BYTE_ORDER,
                          .dimensions = v->coder.dimensions,
                          .stamp = v->head.stamp,
                          .sequence = sequence,
                          .seed = v->coder.seed },
        };
        memcpy(ret->head.magic, vector_table_magic, sizeof(ret->head.magic));
        (void) pthread_mutex_lock(&v->lock);
        int r = note_all(v, ret);
        (void) pthread_mutex_unlock(&v->lock);
        if (r < 0)
                vector_picture_done(v, ret);
        return r;
}

static int overwrite(int fd) {
        static const uint8_t zeros[16384];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return errno_neg();
        for (off_t at = 0; at < st.st_size; at += (off_t) sizeof(zeros)) {
                size_t n = MIN(sizeof(zeros), (size_t) (st.st_size - at));
                if (pwrite(fd, zeros, n, at) != (ssize_t) n)
                        return errno_neg();
        }
        return fdatasync(fd) < 0 ? errno_neg() : 0;
}

static int write_new_table(VectorIndex *v, const VectorPicture *p, const char *path) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0)
                return errno_neg();
        int r = vector_table_write(v, p, fd);
        if (r == 0 && fsync(fd) < 0)
                r = errno_neg();
        return r;
}

static int replace_table(VectorIndex *v, const VectorPicture *p) {
        _cleanup_free_ char *new_path = str_printf("%s.new", v->table_path);
        _cleanup_close_ int old = open(v->table_path, O_WRONLY | O_CLOEXEC);

        if (!new_path)
                return -ENOMEM;
        if (fdatasync(v->rows.fd) < 0)
                return errno_neg();
        int r = write_new_table(v, p, new_path);
        if (r == 0 && rename(new_path, v->table_path) < 0)
                r = errno_neg();
        if (r < 0) {
                (void) unlink(new_path);
                return r;
        }
        r = fs_sync_parent(v->table_path);
        if (r == 0 && old >= 0 && p->head.n_unwiped > 0)
                r = overwrite(old);
        return r;
}

static int wipe_dead_rows(VectorIndex *v, const VectorPicture *p) {
        for (size_t i = 0; i < p->head.n_unwiped; i++) {
                int r = vector_rows_wipe(&v->rows, p->unwiped[i].number, p->unwiped[i].mask);
                if (r < 0)
                        return r;
        }
        return p->head.n_unwiped > 0 && fdatasync(v->rows.fd) < 0 ? errno_neg() : 0;
}

/* The rows are wiped and no table names them: their places may be used again. */
static int settle(VectorIndex *v, const VectorPicture *p) {
        int r = 0;

        (void) pthread_mutex_lock(&v->lock);
        for (size_t i = 0; i < p->head.n_unwiped; i++) {
                uint32_t number = p->unwiped[i].number;
                VectorPlace *place = &v->places[number];

                place->unwiped &= ~p->unwiped[i].mask;
                if (place->block || place->unwiped != 0)
                        continue;
                vector_rows_release(&v->rows, number, 0);
                v->free_numbers[v->n_free++] = number;
        }
        if (v->n_changes == p->n_changes && v->head.is_dirty) {
                v->head.is_dirty = 0;
                r = vector_rows_write_head(&v->rows, &v->head);
        }
        (void) pthread_mutex_unlock(&v->lock);
        return r;
}

static int save(VectorIndex *v, uint64_t sequence) {
        VectorPicture p;
        int r = vector_tune(v);

        if (r < 0)
                return r;
        r = vector_picture_take(v, sequence, &p);
        if (r < 0)
                return r;
        if (v->path)
                r = replace_table(v, &p);
        uint64_t clock = p.reader.clock;
        vector_reader_end(v, &p.reader);
        if (r == 0) {
                vector_readers_wait(v, clock);
                r = wipe_dead_rows(v, &p);
        }
        if (r == 0)
                r = settle(v, &p);
        vector_picture_done(v, &p);
        return r;
}

int vector_index_save(VectorIndex *v, uint64_t sequence) {
        (void) pthread_mutex_lock(&v->save_lock);
        int r = save(v, sequence);
        (void) pthread_mutex_unlock(&v->save_lock);
        return r;
}
