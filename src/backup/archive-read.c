/* SPDX-License-Identifier: MIT */

/* Reading a backup's file: strictly what archive-write.c writes (plain files with relative names),
 * because it may have been damaged or made by somebody else. Names are checked here, before anybody
 * makes a file of them: no absolute path, no `..`, no empty part. */

#include <zstd.h>

#include "backup/archive.h"

#define BLOCK 512

struct ArchiveReader {
        int fd;
        ZSTD_DCtx *zstd;
        char *in;
        size_t in_size;
        ZSTD_inBuffer input;
        bool is_begun, is_frame_complete;
        uint64_t left, padding; /* of the member */
        char name[ARCHIVE_NAME_MAX + 1];
};

int archive_reader_new(ArchiveReader **ret, int fd) {
        _cleanup_(archive_reader_freep) ArchiveReader *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        r->fd = fd;
        r->zstd = ZSTD_createDCtx();
        r->in_size = ZSTD_DStreamInSize();
        r->in = malloc(r->in_size);
        if (!r->zstd || !r->in)
                return -ENOMEM;
        r->input.src = r->in;
        *ret = TAKE_PTR(r);
        return 0;
}

ArchiveReader *archive_reader_free(ArchiveReader *r) {
        if (!r)
                return NULL;
        (void) ZSTD_freeDCtx(r->zstd);
        free(r->in);
        free(r);
        return NULL;
}

/* 0: the file ends. */
static int fill(ArchiveReader *r) {
        ssize_t n;

        if (r->input.pos < r->input.size)
                return 1;
        do
                n = read(r->fd, r->in, r->in_size);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno_neg();
        r->input.size = (size_t) n;
        r->input.pos = 0;
        return n > 0;
}

/* All n bytes of the uncompressed stream. */
static int take(ArchiveReader *r, void *data, size_t n) {
        ZSTD_outBuffer out = { data, n, 0 };

        while (out.pos < n) {
                int k = fill(r);
                if (k < 0)
                        return k;
                if (k == 0 && r->is_frame_complete)
                        return -EBADMSG; /* the file ends where it should, or earlier */
                size_t before = out.pos, at = r->input.pos;
                r->is_frame_complete = false;
                size_t left = ZSTD_decompressStream(r->zstd, &out, &r->input);
                if (ZSTD_isError(left))
                        return r->is_begun ? -EBADMSG : -EMEDIUMTYPE;
                r->is_frame_complete = left == 0;
                if (k == 0 && out.pos == before && r->input.pos == at)
                        return r->is_begun ? -EBADMSG : -EMEDIUMTYPE;
        }
        r->is_begun = true;
        return 0;
}

static int skip(ArchiveReader *r, uint64_t n) {
        char scratch[BLOCK * 8];

        while (n > 0) {
                size_t piece = (size_t) MIN(n, (uint64_t) sizeof(scratch));
                int k = take(r, scratch, piece);
                if (k < 0)
                        return k;
                n -= piece;
        }
        return 0;
}

static int number(const char *field, size_t n, uint64_t *ret) {
        bool is_binary = (unsigned char) field[0] & 0x80;
        uint64_t v = 0;

        for (size_t i = is_binary ? n - 8 : 0; i < n; i++) {
                if (!is_binary && (field[i] == '\0' || field[i] == ' '))
                        break;
                if (!is_binary && (field[i] < '0' || field[i] > '7'))
                        return -EBADMSG;
                v = is_binary ? v << 8 | (unsigned char) field[i]
                              : v << 3 | (uint64_t) (field[i] - '0');
        }
        *ret = v;
        return v > INT64_MAX ? -EBADMSG : 0;
}

static bool name_is_sound(const char *name) {
        if (name[0] == '\0' || name[0] == '/')
                return false;
        for (const char *p = name; *p; p += strspn(p, "/")) {
                size_t n = strcspn(p, "/");
                if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return false;
                p += n;
                if (p[0] == '/' && (p[1] == '/' || p[1] == '\0'))
                        return false;
        }
        return true;
}

static int header(ArchiveReader *r, const char h[static BLOCK]) {
        unsigned sum = 8 * ' ';
        uint64_t said;

        for (size_t i = 0; i < BLOCK; i++)
                sum += i >= 148 && i < 156 ? 0 : (unsigned char) h[i];
        if (number(h + 148, 8, &said) < 0 || said != sum || h[156] != '0' || h[99] != '\0')
                return -EBADMSG;
        memcpy(r->name, h, sizeof(r->name));
        if (!name_is_sound(r->name) || number(h + 124, 12, &r->left) < 0)
                return -EBADMSG;
        r->padding = (BLOCK - r->left % BLOCK) % BLOCK;
        return 1;
}

static bool is_zero(const char *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (p[i])
                        return false;
        return true;
}

/* Behind the last block the frame's checksum is verified. */
static int end(ArchiveReader *r) {
        char block[BLOCK], more;

        int k = take(r, block, sizeof(block));
        if (k < 0 || !is_zero(block, sizeof(block)))
                return k < 0 ? k : -EBADMSG;
        k = take(r, &more, 1);
        return k == -EBADMSG && r->is_frame_complete ? 0 : -EBADMSG;
}

int archive_next(ArchiveReader *r, const char **ret_name, uint64_t *ret_size) {
        char h[BLOCK];
        int k = skip(r, r->left + r->padding);

        r->left = r->padding = 0;
        if (k >= 0)
                k = take(r, h, sizeof(h));
        if (k < 0)
                return k;
        k = is_zero(h, sizeof(h)) ? end(r) : header(r, h);
        if (k > 0) {
                *ret_name = r->name;
                *ret_size = r->left;
        }
        return k;
}

ssize_t archive_read(ArchiveReader *r, void *data, size_t n) {
        size_t piece = (size_t) MIN((uint64_t) n, r->left);
        int k = piece > 0 ? take(r, data, piece) : 0;

        if (k < 0)
                return k;
        r->left -= piece;
        return (ssize_t) piece;
}
