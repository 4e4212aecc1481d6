/* SPDX-License-Identifier: MIT */

/* Bodies: the bytes of a message as they came. Content and tool calls are packed into one run of
 * bytes (a byte that says whether calls follow, then the content's length if so, then both texts),
 * so that a node has one body and both come back to the byte.
 *
 * Small ones (under 4 KiB) live in the node's row. Larger ones are rows of `bodies`, found by a
 * keyed BLAKE2b of namespace and bytes: the same text twice is stored once, but only within a
 * namespace, and nobody without the database's key can tell from a key which text it names. Above
 * 64 KiB they are compressed when that helps; what is still above 1 MiB then is a file beside the
 * database, written and synced, with its folder, before the transaction that names it is submitted.
 * A file whose transaction is lost is found again by its name when the same body comes again, else
 * by a sweep.
 *
 * body_store() is for any thread: append.c calls it in a pool when it may take long. A file or
 * folder that is there already is synced again before anybody relies on it: whoever made it may
 * have failed at its own sync, or not have come to it yet. */

#include <fcntl.h>
#include <sodium.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/session-internal.h"

#define INLINE_MAX ((size_t) 4 << 10)
#define PLAIN_MAX  ((size_t) 64 << 10)
#define ROW_MAX    ((size_t) 1 << 20)
#define ZSTD_LEVEL 3
#define BODY_MAX   ((size_t) 1 << 30)

enum {
        ENCODING_RAW,
        ENCODING_ZSTD,
        ENCODING_FILE,
        ENCODING_FILE_ZSTD,
};

enum {
        FORM_CONTENT,
        FORM_CONTENT_AND_CALLS, /* 4 bytes of the content's length, little endian, come first */
};

void body_done(Body *b) {
        buf_done(&b->raw);
        free(TAKE_PTR(b->packed));
}

/* ---- the key ---- */

static int key_store(SessionManager *m) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = session_txn_new(m, NULL, &t);

        if (r < 0)
                return r;
        randombytes_buf(m->body_key, sizeof(m->body_key));
        STORE_ADD(t->store, STATE_PROPERTY_SET, STORE_TEXT("body-key"),
                  STORE_BLOB(m->body_key, sizeof(m->body_key)));
        return session_txn_submit(TAKE_PTR(t), 0, NULL, NULL);
}

int body_keys_load(SessionManager *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        size_t n = 0;
        int r = STORE_QUERY(m->reader, &c, STATE_PROPERTY_GET, STORE_TEXT("body-key"));

        if (r >= 0)
                r = store_next(c);
        if (r < 0)
                return r;
        if (r == 0)
                return key_store(m);
        const void *key = store_blob(c, 0, &n);
        if (n != sizeof(m->body_key))
                return -EUCLEAN;
        memcpy(m->body_key, key, n);
        return 0;
}

static void body_key(const SessionManager *m,
                     uint64_t namespace_id,
                     const Buf *raw,
                     uint8_t ret[static HASH_SIZE]) {
        crypto_generichash_state state;

        crypto_generichash_init(&state, m->body_key, sizeof(m->body_key), HASH_SIZE);
        crypto_generichash_update(&state, (const uint8_t *) &namespace_id, sizeof(namespace_id));
        crypto_generichash_update(&state, (const uint8_t *) raw->data, raw->len);
        crypto_generichash_final(&state, ret, HASH_SIZE);
}

/* ---- files ---- */

/* DATA/bodies/ab and the name in it. */
static int file_path(const SessionManager *m,
                     const uint8_t key[static HASH_SIZE],
                     char **ret_dir,
                     char **ret_path) {
        char hex[2 * HASH_SIZE + 1];

        hex_encode(key, HASH_SIZE, hex);
        _cleanup_free_ char *dir = str_printf("%s/bodies/%.2s", m->data_dir, hex);
        char *path = dir ? str_printf("%s/%s", dir, hex + 2) : NULL;
        if (!path)
                return -ENOMEM;
        *ret_dir = TAKE_PTR(dir);
        *ret_path = path;
        return 0;
}

static int folder_make(const SessionManager *m, const char *dir) {
        _cleanup_free_ char *parent = path_join(m->data_dir, "bodies");
        int r = parent ? fs_mkdir_p(dir, 0700) : -ENOMEM;
        if (r >= 0)
                r = fs_sync_folder(parent);
        return r < 0 ? r : fs_sync_folder(m->data_dir);
}

static int file_write(const SessionManager *m,
                      const uint8_t key[static HASH_SIZE],
                      const void *data,
                      size_t n) {
        _cleanup_free_ char *dir = NULL, *path = NULL;
        struct stat st;
        int r = file_path(m, key, &dir, &path);

        if (r < 0)
                return r;
        r = folder_make(m, dir);
        if (r < 0)
                return r;
        /* renamed into place only when it was whole and synced; its name may not be */
        if (stat(path, &st) == 0 && (size_t) st.st_size == n)
                return fs_sync_folder(dir);
        return fs_write_file_atomic(AT_FDCWD, path, data, n, 0600);
}

static int file_read(const SessionManager *m,
                     const uint8_t key[static HASH_SIZE],
                     char **ret,
                     size_t *ret_n) {
        _cleanup_free_ char *dir = NULL, *path = NULL;

        if (!m->data_dir)
                return -ENOENT;
        int r = file_path(m, key, &dir, &path);
        return r < 0 ? r : fs_read_file(AT_FDCWD, path, BODY_MAX, ret, ret_n);
}

int body_claim(SessionManager *m, const uint8_t key[static HASH_SIZE], uint64_t *ret) {
        uint64_t id = hash_key(key);
        uintptr_t n = (uintptr_t) map_get(m->body_files, id);
        int r = map_put(m->body_files, id, (void *) (n + 1));

        if (r >= 0)
                *ret = id;
        return MIN(r, 0);
}

void body_unclaim(SessionManager *m, uint64_t *claim) {
        if (*claim == 0)
                return;
        uintptr_t n = (uintptr_t) map_get(m->body_files, *claim);
        if (n > 1)
                (void) map_put(m->body_files, *claim, (void *) (n - 1));
        else
                (void) map_remove(m->body_files, *claim);
        *claim = 0;
}

bool body_file_is_there(const SessionManager *m, const Body *b) {
        _cleanup_free_ char *dir = NULL, *path = NULL;

        return file_path(m, b->key, &dir, &path) >= 0 && access(path, F_OK) == 0;
}

int body_file_remove(SessionManager *m, const uint8_t key[static HASH_SIZE]) {
        _cleanup_free_ char *dir = NULL, *path = NULL;

        if (!m->data_dir)
                return 0;
        if (map_get(m->body_files, hash_key(key)))
                return -EBUSY;
        int r = file_path(m, key, &dir, &path);
        if (r < 0)
                return r;
        return unlink(path) < 0 && errno != ENOENT ? errno_neg() : 0;
}

/* ---- writing ---- */

static int pack_bytes(JsonSpan content, JsonSpan calls, Buf *raw) {
        uint32_t n = (uint32_t) content.n;

        if (content.n + calls.n > BODY_MAX)
                return -E2BIG;
        buf_putc(raw, calls.p ? FORM_CONTENT_AND_CALLS : FORM_CONTENT);
        if (calls.p)
                buf_append(raw, &n, sizeof(n));
        buf_append(raw, content.p, content.n);
        if (calls.p)
                buf_append(raw, calls.p, calls.n);
        return buf_error(raw);
}

/* The compressed bytes, or NULL when that saves less than an eighth. */
static int compress(const Buf *raw, char **ret, size_t *ret_n) {
        size_t cap = ZSTD_compressBound(raw->len);
        _cleanup_free_ char *packed = malloc(cap);

        if (!packed)
                return -ENOMEM;
        size_t n = ZSTD_compress(packed, cap, raw->data, raw->len, ZSTD_LEVEL);
        if (ZSTD_isError(n))
                return -EIO;
        if (n < raw->len - raw->len / 8) {
                *ret = TAKE_PTR(packed);
                *ret_n = n;
        }
        return 0;
}

int body_pack(JsonSpan content, JsonSpan calls, Body *ret) {
        ret->raw = BUF_INIT(BODY_MAX + 16);

        int r = pack_bytes(content, calls, &ret->raw);
        ret->is_large = ret->raw.len >= INLINE_MAX;
        return r;
}

bool body_is_slow(const Body *b) {
        return b->raw.len > PLAIN_MAX;
}

static const void *stored_bytes(const Body *b, size_t *ret_n) {
        *ret_n = b->packed ? b->n_packed : b->raw.len;
        return b->packed ?: b->raw.data;
}

int body_store(const SessionManager *m, uint64_t namespace_id, Body *b) {
        size_t n;

        if (!b->is_large)
                return 0;
        body_key(m, namespace_id, &b->raw, b->key);
        int r = body_is_slow(b) && !b->packed ? compress(&b->raw, &b->packed, &b->n_packed) : 0;
        if (r < 0)
                return r;
        const void *data = stored_bytes(b, &n);
        b->is_file = n > ROW_MAX && m->data_dir;
        return b->is_file ? file_write(m, b->key, data, n) : 0;
}

int body_add(SessionTxn *t, const Body *b) {
        int encoding = (b->is_file ? ENCODING_FILE : ENCODING_RAW) + (b->packed ? 1 : 0);
        int r = b->is_file ? body_claim(t->manager, b->key, &t->body_file) : 0;
        size_t n;
        const void *data = stored_bytes(b, &n);

        if (r < 0 || !b->is_large)
                return r;
        STORE_ADD(t->store, STATE_BODY_INSERT, STORE_ID(t->next.namespace_id),
                  STORE_BLOB(b->key, HASH_SIZE), STORE_INT(encoding),
                  STORE_INT((int64_t) b->raw.len), b->is_file ? (StoreValue){} : STORE_BLOB(data, n));
        return 0;
}

/* ---- reading ---- */

static int expand(const void *packed, size_t n, size_t size, char **ret) {
        _cleanup_free_ char *raw = size <= BODY_MAX ? malloc(size + 1) : NULL;

        if (!raw)
                return -ENOMEM;
        size_t got = ZSTD_decompress(raw, size, packed, n);
        if (ZSTD_isError(got) || got != size)
                return -EUCLEAN;
        *ret = TAKE_PTR(raw);
        return 0;
}

static int load_row(SessionManager *m,
                    StoreCursor *c,
                    const uint8_t key[static HASH_SIZE],
                    char **ret,
                    size_t *ret_n) {
        int64_t encoding = store_int(c, 0);
        size_t size = (size_t) store_int(c, 1), n = 0;
        const void *data = store_blob(c, 2, &n);
        _cleanup_free_ char *file = NULL;

        if (encoding >= ENCODING_FILE) {
                int r = file_read(m, key, &file, &n);
                if (r < 0)
                        return r;
                data = file;
        }
        *ret_n = size;
        if (encoding == ENCODING_ZSTD || encoding == ENCODING_FILE_ZSTD)
                return expand(data, n, size, ret);
        if (n != size)
                return -EUCLEAN;
        *ret = file ? TAKE_PTR(file) : malloc(size + 1);
        if (!*ret)
                return -ENOMEM;
        if (encoding == ENCODING_RAW)
                memcpy(*ret, data, size);
        return 0;
}

static int load_from(SessionManager *m,
                     uint64_t namespace_id,
                     const uint8_t key[static HASH_SIZE],
                     char **memory,
                     JsonSpan *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(m->reader, &c, STATE_BODY_ONE, STORE_ID(namespace_id),
                            STORE_BLOB(key, HASH_SIZE));

        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        r = load_row(m, c, key, memory, &ret->n);
        if (r >= 0)
                ret->p = *memory;
        return r;
}

int body_load(SessionManager *m, uint64_t namespace_id, StoreCursor *node, char **memory, JsonSpan *ret) {
        size_t n_key = 0;
        uint64_t id;
        void *value;
        int r = -ENOENT;

        if (!store_is_null(node, 10)) {
                ret->p = store_blob(node, 10, &ret->n);
                return 0;
        }
        const uint8_t *key = store_blob(node, 11, &n_key);
        if (n_key != HASH_SIZE)
                return -EUCLEAN;
        if (namespace_id > 0)
                r = load_from(m, namespace_id, key, memory, ret);
        /* The session where it was appended is deleted, and the node lives on in a fork: it is in
         * one of the namespaces, and the key holds only there. */
        for (size_t cursor = 0;
             r == -ENOENT && namespace_id == 0 && map_next(m->namespaces, &cursor, &id, &value);)
                r = load_from(m, id, key, memory, ret);
        return r == -ENOENT ? -EUCLEAN : r;
}

int body_unpack(JsonSpan raw, JsonSpan *ret_content, JsonSpan *ret_calls) {
        uint32_t n;

        *ret_calls = (JsonSpan){};
        if (raw.n < 1)
                return -EUCLEAN;
        if (raw.p[0] == FORM_CONTENT) {
                *ret_content = (JsonSpan){ raw.p + 1, raw.n - 1 };
                return 0;
        }
        if (raw.p[0] != FORM_CONTENT_AND_CALLS || raw.n < 1 + sizeof(n))
                return -EUCLEAN;
        memcpy(&n, raw.p + 1, sizeof(n));
        if (n > raw.n - 1 - sizeof(n))
                return -EUCLEAN;
        *ret_content = (JsonSpan){ raw.p + 1 + sizeof(n), n };
        *ret_calls = (JsonSpan){ raw.p + 1 + sizeof(n) + n, raw.n - 1 - sizeof(n) - n };
        return 0;
}
