/* SPDX-License-Identifier: MIT */

/* Writing a backup's file. An own ustar writer of a hundred lines instead of libarchive: that would
 * cost a megabyte of memory in a daemon that needs one of its thirty formats. The header is the one
 * of POSIX.1-1988, https://www.gnu.org/software/tar/manual/html_node/Standard.html. */

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zstd.h>

#include "backup/archive.h"
#include "base/fs.h"
#include "base/str.h"

#define BLOCK        512
#define PIECE        ((size_t) 256 << 10)
#define MANIFEST_MAX ((size_t) 1 << 30)
#define ZSTD_LEVEL   3

struct ArchiveWriter {
        int fd;
        ZSTD_CCtx *zstd;
        char *in, *out;
        size_t out_size;
        Buf files; /* the manifest's array, open */
        JsonWriter json;
};

int archive_writer_new(ArchiveWriter **ret, int fd) {
        _cleanup_(archive_writer_freep) ArchiveWriter *w = calloc(1, sizeof(*w));

        if (!w || sodium_init() < 0)
                return -ENOMEM;
        w->fd = fd;
        w->zstd = ZSTD_createCCtx();
        w->out_size = ZSTD_CStreamOutSize();
        w->in = malloc(PIECE);
        w->out = malloc(w->out_size);
        if (!w->zstd || !w->in || !w->out)
                return -ENOMEM;
        (void) ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
        (void) ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1);
        w->files = BUF_INIT(MANIFEST_MAX);
        w->json = JSON_WRITER(&w->files);
        json_w_array_begin(&w->json);
        *ret = TAKE_PTR(w);
        return 0;
}

ArchiveWriter *archive_writer_free(ArchiveWriter *w) {
        if (!w)
                return NULL;
        (void) ZSTD_freeCCtx(w->zstd);
        free(w->in);
        free(w->out);
        buf_done(&w->files);
        free(w);
        return NULL;
}

static int put(ArchiveWriter *w, const void *data, size_t n, ZSTD_EndDirective end) {
        ZSTD_inBuffer in = { data, n, 0 };
        size_t left;

        do {
                ZSTD_outBuffer out = { w->out, w->out_size, 0 };
                left = ZSTD_compressStream2(w->zstd, &out, &in, end);
                if (ZSTD_isError(left))
                        return -EIO;
                int r = fd_write_all(w->fd, w->out, out.pos);
                if (r < 0)
                        return r;
        } while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
        return 0;
}

static int put_padding(ArchiveWriter *w, uint64_t size) {
        static const char zeros[BLOCK];
        size_t rest = (size_t) (size % BLOCK);

        return rest > 0 ? put(w, zeros, BLOCK - rest, ZSTD_e_continue) : 0;
}

/* Octal, or base 256 with the top bit set when it does not fit. */
static void put_number(char *field, size_t n, uint64_t value) {
        if (value < UINT64_C(1) << (3 * (n - 1))) {
                (void) snprintf(field, n, "%0*llo", (int) n - 1, (unsigned long long) value);
                return;
        }
        memset(field, 0, n);
        for (size_t i = n; i-- > n - 8; value >>= 8)
                field[i] = (char) value;
        field[0] = (char) 0x80;
}

static int put_header(ArchiveWriter *w, const char *name, uint64_t size) {
        char h[BLOCK] = {};
        unsigned sum = 0;

        if (strlen(name) > ARCHIVE_NAME_MAX)
                return -ENAMETOOLONG;
        memcpy(h, name, strlen(name)); /* NOLINT(bugprone-not-null-terminated-result) */
        put_number(h + 100, 8, 0600);
        put_number(h + 108, 8, 0);
        put_number(h + 116, 8, 0);
        put_number(h + 124, 12, size);
        put_number(h + 136, 12, clock_realtime() / USEC_PER_SEC);
        memset(h + 148, ' ', 8);
        h[156] = '0';
        memcpy(h + 257, "ustar", sizeof("ustar"));
        h[263] = h[264] = '0'; /* the version has no end */
        for (size_t i = 0; i < sizeof(h); i++)
                sum += (unsigned char) h[i];
        (void) snprintf(h + 148, 8, "%06o", sum);
        return put(w, h, sizeof(h), ZSTD_e_continue);
}

static void note_file(ArchiveWriter *w, const char *name, uint64_t size, const uint8_t *hash) {
        char hex[2 * ARCHIVE_HASH_SIZE + 1];

        hex_encode(hash, ARCHIVE_HASH_SIZE, hex);
        json_w_object_begin(&w->json);
        json_w_kv_string(&w->json, "path", name);
        json_w_kv_uint(&w->json, "size", size);
        json_w_kv_string(&w->json, "blake2b", hex);
        json_w_object_end(&w->json);
}

int archive_add_file(ArchiveWriter *w,
                     const char *name,
                     int fd,
                     int (*on_bytes)(size_t n, void *userdata),
                     void *userdata) {
        crypto_generichash_state state;
        uint8_t hash[ARCHIVE_HASH_SIZE];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return errno_neg();
        uint64_t size = (uint64_t) st.st_size, left = size;
        int r = put_header(w, name, size);
        (void) crypto_generichash_init(&state, NULL, 0, sizeof(hash));
        while (r >= 0 && left > 0) {
                size_t n = (size_t) MIN(left, (uint64_t) PIECE);
                r = fd_read_exact(fd, w->in, n);
                if (r < 0)
                        return r;
                (void) crypto_generichash_update(&state, (const uint8_t *) w->in, n);
                r = put(w, w->in, n, ZSTD_e_continue);
                left -= n;
                if (r >= 0 && on_bytes)
                        r = on_bytes(n, userdata);
        }
        (void) crypto_generichash_final(&state, hash, sizeof(hash));
        if (r >= 0)
                r = put_padding(w, size);
        note_file(w, name, size, hash);
        return r >= 0 ? buf_error(&w->files) : r;
}

int archive_finish(ArchiveWriter *w, JsonSpan head) {
        static const char end[2 * BLOCK];
        _cleanup_buf_ Buf text = BUF_INIT(MANIFEST_MAX + 4096);

        json_w_array_end(&w->json);
        (void) buf_putc(&text, '{');
        (void) buf_append(&text, head.p, head.n);
        (void) buf_puts(&text, ",\"files\":");
        (void) buf_append(&text, w->files.data, w->files.len);
        (void) buf_puts(&text, "}\n");
        int r = buf_error(&w->files) < 0 ? buf_error(&w->files) : buf_error(&text);
        if (r >= 0)
                r = put_header(w, ARCHIVE_MANIFEST, text.len);
        if (r >= 0)
                r = put(w, text.data, text.len, ZSTD_e_continue);
        if (r >= 0)
                r = put_padding(w, text.len);
        return r < 0 ? r : put(w, end, sizeof(end), ZSTD_e_end);
}
