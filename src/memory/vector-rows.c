/* SPDX-License-Identifier: MIT */

/* The rows' file. It is written by pwrite(2) and read through a mapping: a store through the
 * mapping finds a full disk by SIGBUS, pwrite by an error that can be told to whoever wanted to
 * store something. The kernel shows both the same pages.
 *
 * It is mapped in pieces that are never moved, so that readers need not be told when it grows. A
 * piece may reach beyond the file's end: nobody reads a row before it is written. Rows of a block
 * that were never written take no space on the disk: a scope with a single vector costs a page. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "memory/vectors-internal.h"

#define HEAD_BYTES 4096

static off_t offset_of(const VectorRows *r, size_t number) {
        return (off_t) (HEAD_BYTES + number * r->block_bytes);
}

static int write_at(int fd, const void *data, size_t n, off_t at) {
        const uint8_t *p = data;

        while (n > 0) {
                ssize_t k = pwrite(fd, p, n, at);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        return k < 0 ? errno_neg() : -ENOSPC;
                p += k;
                at += k;
                n -= (size_t) k;
        }
        return 0;
}

int vector_rows_open(VectorRows *r, const char *path, size_t row_bytes, VectorRowsHead *ret_head) {
        VectorRowsHead head = {};

        *r = (VectorRows){ .fd = -EBADF,
                           .row_bytes = row_bytes,
                           .block_bytes = row_bytes * VECTOR_BLOCK };
        r->fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
                     : memfd_create("agentd-vectors", MFD_CLOEXEC);
        if (r->fd < 0)
                return errno_neg();
        ssize_t n = pread(r->fd, &head, sizeof(head), 0);
        if (n < 0)
                return errno_neg();
        *ret_head = n == (ssize_t) sizeof(head) ? head : (VectorRowsHead){};
        return 0;
}

static void unmap(VectorRows *r) {
        for (size_t i = 0; i < r->n_extents; i++)
                if (r->extents[i])
                        (void) munmap(r->extents[i], r->block_bytes * VECTOR_EXTENT_BLOCKS);
        free(r->extents);
        r->extents = NULL;
        r->n_extents = 0;
}

void vector_rows_done(VectorRows *r) {
        unmap(r);
        r->fd = fd_close(r->fd);
}

int vector_rows_write_head(VectorRows *r, const VectorRowsHead *head) {
        return write_at(r->fd, head, sizeof(*head), 0);
}

int vector_rows_reset(VectorRows *r, const VectorRowsHead *head) {
        unmap(r);
        if (ftruncate(r->fd, 0) < 0 || ftruncate(r->fd, HEAD_BYTES) < 0)
                return errno_neg();
        return vector_rows_write_head(r, head);
}

static int extents_reserve(VectorRows *r, size_t n) {
        if (n <= r->n_extents)
                return 0;
        void **grown = reallocarray(r->extents, n, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        memset(grown + r->n_extents, 0, (n - r->n_extents) * sizeof(*grown));
        r->extents = grown;
        r->n_extents = n;
        return 0;
}

int vector_rows_map(VectorRows *r, uint32_t number, const float **ret) {
        size_t i = number / VECTOR_EXTENT_BLOCKS;
        int k = extents_reserve(r, i + 1);

        if (k < 0)
                return k;
        if (!r->extents[i]) {
                void *p = mmap(NULL, r->block_bytes * VECTOR_EXTENT_BLOCKS, PROT_READ,
                               MAP_SHARED | MAP_NORESERVE, r->fd,
                               offset_of(r, i * VECTOR_EXTENT_BLOCKS));
                if (p == MAP_FAILED)
                        return errno_neg();
                r->extents[i] = p;
        }
        const uint8_t *at =
                (uint8_t *) r->extents[i] + number % VECTOR_EXTENT_BLOCKS * r->block_bytes;
        *ret = (const float *) (const void *) at;
        return 0;
}

int vector_rows_write(VectorRows *r, uint32_t number, unsigned slot, const float *row) {
        return write_at(r->fd, row, r->row_bytes,
                        offset_of(r, number) + (off_t) (slot * r->row_bytes));
}

/* Zeros are written where the row was; a hole would leave it on the disk. */
static int wipe_range(VectorRows *r, off_t at, size_t n) {
        static const uint8_t zeros[16384];

        for (size_t done = 0; done < n; done += MIN(n - done, sizeof(zeros))) {
                int k = write_at(r->fd, zeros, MIN(n - done, sizeof(zeros)), at + (off_t) done);
                if (k < 0)
                        return k;
        }
        return 0;
}

int vector_rows_wipe(VectorRows *r, uint32_t number, uint32_t mask) {
        for (unsigned slot = 0; slot < VECTOR_BLOCK; slot++) {
                unsigned first = slot;

                while (slot < VECTOR_BLOCK && mask >> slot & 1)
                        slot++;
                if (slot == first)
                        continue;
                int k = wipe_range(r, offset_of(r, number) + (off_t) (first * r->row_bytes),
                                   (slot - first) * r->row_bytes);
                if (k < 0)
                        return k;
        }
        return 0;
}

void vector_rows_release(VectorRows *r, uint32_t number, unsigned slot) {
        size_t skipped = slot * r->row_bytes;

        if (slot < VECTOR_BLOCK)
                (void) fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 offset_of(r, number) + (off_t) skipped,
                                 (off_t) (r->block_bytes - skipped));
}

int vector_rows_size(const VectorRows *r, uint64_t *ret) {
        struct stat st;

        if (fstat(r->fd, &st) < 0)
                return errno_neg();
        *ret = (uint64_t) st.st_size;
        return 0;
}

int vector_rows_truncate(VectorRows *r, size_t n_blocks) {
        off_t end = offset_of(r, n_blocks);
        uint64_t bytes;
        int k = vector_rows_size(r, &bytes);

        if (k < 0)
                return k;
        return bytes > (uint64_t) end && ftruncate(r->fd, end) < 0 ? errno_neg() : 0;
}

uint64_t vector_rows_end(const VectorRows *r, uint32_t number, unsigned n) {
        return (uint64_t) offset_of(r, number) + n * r->row_bytes;
}
