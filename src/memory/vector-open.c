/* SPDX-License-Identifier: MIT */

/* Opening and closing. There are two files: PATH has the float32 rows and PATH.table all the rest;
 * they carry the same random stamp. Opening reads the table and looks at no row. What does not fit
 * together is emptied, and its owner puts everything again.
 *
 * After a crash rows may lie in the file that no table names, of vectors that may have been erased
 * from the database since: a mark in the rows' first page says so, and they are thrown away. */

#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "memory/vectors-internal.h"

#define SEED UINT64_C(0x6167656e7464)

static void segments_free(VectorIndex *v) {
        size_t cursor = 0;
        void *s;

        while (v->segments && map_next(v->segments, &cursor, &(uint64_t){ 0 }, &s))
                (void) vector_segment_free(v, s);
        v->segments = map_free(v->segments);
}

VectorIndex *vector_index_free(VectorIndex *v) {
        if (!v)
                return NULL;
        if (v->readers.next) {
                assert(list_is_empty(&v->readers));
                vector_reclaim(v);
        }
        segments_free(v);
        vector_slabs_done(v);
        vector_rows_done(&v->rows);
        vector_coder_done(&v->coder);
        (void) pthread_mutex_destroy(&v->lock);
        (void) pthread_mutex_destroy(&v->slab_lock);
        (void) pthread_mutex_destroy(&v->save_lock);
        (void) pthread_cond_destroy(&v->reader_left);
        free(v->places);
        free(v->free_numbers);
        free(v->ids);
        free(v->unit);
        free(v->rotated);
        free(v->code);
        free(v->path);
        free(v->table_path);
        free(v);
        return NULL;
}

static int new_head(const VectorIndex *v, VectorRowsHead *ret) {
        VectorRowsHead head = {
                .version = VECTOR_FORMAT,
                .byte_order = VECTOR_BYTE_ORDER,
                .dimensions = v->coder.dimensions,
        };

        memcpy(head.magic, vector_rows_magic, sizeof(head.magic));
        if (getrandom(&head.stamp, sizeof(head.stamp), 0) != sizeof(head.stamp))
                return errno_neg();
        *ret = head;
        return 0;
}

static bool head_is_ours(const VectorIndex *v, const VectorRowsHead *h) {
        return memcmp(h->magic, vector_rows_magic, sizeof(h->magic)) == 0 &&
               h->version == VECTOR_FORMAT && h->byte_order == VECTOR_BYTE_ORDER &&
               h->dimensions == v->coder.dimensions;
}

int vector_index_empty(VectorIndex *v) {
        int r;

        vector_reclaim(v);
        segments_free(v);
        v->segments = map_new();
        if (!v->segments)
                return -ENOMEM;
        if (v->ids)
                vector_ids_rebuild(v, 0);
        if (v->places)
                memset(v->places, 0, v->places_capacity * sizeof(*v->places));
        v->n = v->n_places = v->n_free = 0;
        r = new_head(v, &v->head);
        if (r < 0)
                return r;
        if (v->table_path && unlink(v->table_path) < 0 && errno != ENOENT)
                return errno_neg();
        return vector_rows_reset(&v->rows, &v->head);
}

static int read_table(VectorIndex *v, uint64_t *ret_sequence) {
        _cleanup_close_ int fd = open(v->table_path, O_RDONLY | O_CLOEXEC);
        struct stat st;

        if (fd < 0)
                return errno == ENOENT ? -EBADMSG : errno_neg();
        if (fstat(fd, &st) < 0)
                return errno_neg();
        if (st.st_size <= 0)
                return -EBADMSG;
        void *data = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
        if (data == MAP_FAILED)
                return errno_neg();
        int r = vector_table_read(v, data, (size_t) st.st_size, ret_sequence);
        (void) munmap(data, (size_t) st.st_size);
        return r;
}

/* Slots used of a block, dead ones too. */
static unsigned used_slots(const VectorBlock *b) {
        unsigned n = 0;

        while (n < VECTOR_BLOCK && b->ids[n] != 0)
                n++;
        return n;
}

/* What a save may not have come to wipe, and what was written since. */
static int clean_rows(VectorIndex *v) {
        for (size_t i = 0; i < v->n_places; i++) {
                VectorPlace *place = &v->places[i];
                int r = place->unwiped == 0
                                ? 0
                                : vector_rows_wipe(&v->rows, (uint32_t) i, place->unwiped);

                if (r < 0)
                        return r;
                place->unwiped = 0;
                if (v->head.is_dirty)
                        vector_rows_release(&v->rows, (uint32_t) i,
                                            place->block ? used_slots(place->block) : 0);
                if (!place->block)
                        v->free_numbers[v->n_free++] = (uint32_t) i;
        }
        return v->head.is_dirty ? vector_rows_truncate(&v->rows, v->n_places) : 0;
}

static int load(VectorIndex *v, const VectorRowsHead *head, uint64_t *ret_sequence) {
        if (!head_is_ours(v, head))
                return -EBADMSG;
        v->head = *head;
        int r = read_table(v, ret_sequence);
        return r < 0 ? r : clean_rows(v);
}

static int set_paths(VectorIndex *v, const char *path) {
        if (!path)
                return 0;
        _cleanup_free_ char *new_path = str_printf("%s.table.new", path);
        v->path = strdup(path);
        v->table_path = str_printf("%s.table", path);
        if (!v->path || !v->table_path || !new_path)
                return -ENOMEM;
        /* what a crash left of a save */
        return unlink(new_path) < 0 && errno != ENOENT ? errno_neg() : 0;
}

static int init(VectorIndex *v, const char *path, unsigned dimensions) {
        list_init(&v->readers);
        v->kernels = vector_kernels();
        v->rows.fd = -EBADF;
        v->large_from = VECTOR_LARGE_FROM;
        (void) pthread_mutex_init(&v->lock, NULL);
        (void) pthread_mutex_init(&v->slab_lock, NULL);
        (void) pthread_mutex_init(&v->save_lock, NULL);
        (void) pthread_cond_init(&v->reader_left, NULL);
        v->segments = map_new();
        int r = vector_coder_init(&v->coder, dimensions, SEED);
        if (r < 0)
                return r;
        v->unit = vector_alloc(v->coder.row * sizeof(float));
        v->rotated = vector_alloc(v->coder.width * sizeof(float));
        v->code = vector_alloc(v->coder.width);
        if (!v->segments || !v->unit || !v->rotated || !v->code)
                return -ENOMEM;
        return set_paths(v, path);
}

int vector_index_open(VectorIndex **ret, const char *path, unsigned dimensions, uint64_t *ret_sequence) {
        uint64_t sequence = 0;
        VectorRowsHead head;

        if (dimensions == 0 || dimensions > VECTOR_DIMENSIONS_MAX)
                return -EINVAL;
        _cleanup_(vector_index_freep) VectorIndex *v = calloc(1, sizeof(*v));
        if (!v)
                return -ENOMEM;
        int r = init(v, path, dimensions);
        if (r < 0)
                return r;
        r = vector_rows_open(&v->rows, path, v->coder.row * sizeof(float), &head);
        if (r < 0)
                return r;
        r = path ? load(v, &head, &sequence) : -EBADMSG;
        if (r == -EBADMSG) {
                sequence = 0;
                r = vector_index_empty(v);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        *ret_sequence = sequence;
        return 0;
}
