/* SPDX-License-Identifier: MIT */

/* The table of a vector index, which is read when the daemon starts. The input is a table of eight
 * dimensions; what binds it to its rows (stamp, seed) and its checksum are made right, so that what
 * lies behind them is reached. What is accepted can be searched, changed, and written and read again. */

#include <stdio.h>
#include <sys/mman.h>

#include "memory/vectors-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DIMENSIONS = 8, BLOCKS = 16, IDS = 64, HITS = 50 };

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

/* An index with a file of rows behind it, and nothing in it. */
static VectorIndex *open_index(void) {
        VectorIndex *v = NULL;
        uint64_t sequence;
        float row[16] = {};

        require(vector_index_open(&v, NULL, DIMENSIONS, &sequence) == 0, "cannot open\n");
        v->large_from = VECTOR_BLOCK;
        for (uint32_t b = 0; b < BLOCKS; b++)
                for (unsigned slot = 0; slot < VECTOR_BLOCK; slot++) {
                        row[slot % DIMENSIONS] = 1;
                        require(vector_rows_write(&v->rows, b, slot, row) == 0, "no memory\n");
                        row[slot % DIMENSIONS] = 0;
                }
        return v;
}

static void search(VectorIndex *v, const VectorTableHead *head, bool is_exact) {
        const float x[DIMENSIONS] = { 1, -2, 3, -4, 5, -6, 7, -8 };
        const uint64_t scopes[] = { 1, 2, 3, head->sequence };
        VectorQuery q = { .vector = x,
                          .n = DIMENSIONS,
                          .scopes = scopes,
                          .n_scopes = head->sequence > 3 ? 4 : 3,
                          .limit = HITS,
                          .min_score = -1,
                          .exact = is_exact };
        VectorHit hits[HITS];
        size_t n = 0;

        require(vector_index_search(v, &q, hits, &n, NULL) == 0, "a search fails\n");
        for (size_t i = 0; i < n; i++) {
                require(hits[i].score >= -1 && hits[i].score <= 1, "no cosine\n");
                require(i == 0 || hits[i - 1].score >= hits[i].score, "not in order\n");
        }
}

static void change(VectorIndex *v) {
        float x[DIMENSIONS] = { 1 };

        for (uint64_t id = 1; id < IDS; id++) {
                if (id % 3 == 0)
                        (void) vector_index_erase(v, id);
                else
                        require(vector_index_put(v, 1 + id % 3, id, x) == 0, "a put fails\n");
                x[id % DIMENSIONS] += 0.5F;
        }
        vector_index_erase_scope(v, 2);
}

static void write_and_read(VectorIndex *v) {
        VectorPicture p;
        int fd = memfd_create("table", MFD_CLOEXEC);
        uint64_t sequence;

        require(vector_picture_take(v, 3, &p) == 0, "no picture\n");
        require(vector_table_write(v, &p, fd) == 0, "cannot write\n");
        vector_picture_done(v, &p);
        off_t n = lseek(fd, 0, SEEK_END);
        void *data = mmap(NULL, (size_t) n, PROT_READ, MAP_PRIVATE, fd, 0);
        require(data != MAP_FAILED, "cannot map\n");
        VectorIndex *again = open_index();
        /* it stands for the one whose files these are */
        again->head.stamp = v->head.stamp;
        uint64_t bytes = 0;
        require(vector_rows_size(&v->rows, &bytes) == 0, "no size\n");
        require(ftruncate(again->rows.fd, (off_t) bytes) == 0, "no size\n");
        require(vector_table_read(again, data, (size_t) n, &sequence) == 0,
                "what was written is refused\n");
        require(again->n == v->n && sequence == 3, "what was written is another\n");
        again = vector_index_free(again);
        (void) munmap(data, (size_t) n);
        (void) close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(vector_index_freep) VectorIndex *v = open_index();
        _cleanup_free_ uint8_t *copy = malloc(size + 1);
        VectorTableHead head = {};
        uint64_t sequence;

        require(copy != NULL, "no memory\n");
        memcpy(copy, data, size);
        if (size >= sizeof(head) + sizeof(uint64_t)) {
                memcpy(&head, copy, sizeof(head));
                head.stamp = v->head.stamp;
                head.seed = v->coder.seed;
                memcpy(copy, &head, sizeof(head));
                uint64_t checksum = vector_checksum(0, copy, size - sizeof(checksum));
                memcpy(copy + size - sizeof(checksum), &checksum, sizeof(checksum));
        }
        int r = vector_table_read(v, copy, size, &sequence);
        require(r == 0 || r == -EBADMSG, "an undocumented error\n");
        if (r < 0) {
                require(vector_index_empty(v) == 0, "cannot be emptied\n");
                return 0;
        }
        search(v, &head, false);
        search(v, &head, true);
        change(v);
        search(v, &head, false);
        write_and_read(v);
        return 0;
}
