/* SPDX-License-Identifier: MIT */

/* Large messages: each is found by a keyed hash of its bytes (session/body.c), so whether it is what it
 * was is the hash made again. One that is not is taken out, its file goes to lost+found, and the messages
 * that name it get a note in its place. Files in bodies/ that no row knows go to lost+found too. */

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <zstd.h>

#include "base/fs.h"
#include "fsck/fsck-internal.h"

#define HASH_SIZE      32
#define ON_ITS_WAY_SEC 60
#define BODY_MAX       ((size_t) 1 << 30)

enum { RAW, PACKED, RAW_FILE, PACKED_FILE }; /* bodies.encoding */

static void name_of(const uint8_t *key, char ret[static 80]) {
        char hex[2 * HASH_SIZE + 1];

        hex_encode(key, HASH_SIZE, hex);
        (void) snprintf(ret, 80, "bodies/%.2s/%s", hex, hex + 2);
}

static int read_file(Fsck *f, const uint8_t *key, char **ret, size_t *ret_n) {
        char name[80];

        name_of(key, name);
        _cleanup_free_ char *path = path_join(f->places->data_dir, name);
        return path ? fs_read_file(AT_FDCWD, path, BODY_MAX, ret, ret_n) : -ENOMEM;
}

static int unpack(const void *packed, size_t n, size_t size, char **ret) {
        char *raw = size <= BODY_MAX ? malloc(size + 1) : NULL;
        size_t got = raw ? ZSTD_decompress(raw, size, packed, n) : 0;

        if (raw && !ZSTD_isError(got) && got == size) {
                *ret = raw;
                return 0;
        }
        free(raw);
        return -EUCLEAN;
}

static bool hash_agrees(
        const uint8_t *secret, uint64_t namespace_id, const char *raw, size_t n, const uint8_t *key) {
        crypto_generichash_state state;
        uint8_t hash[HASH_SIZE];

        (void) crypto_generichash_init(&state, secret, HASH_SIZE, HASH_SIZE);
        (void) crypto_generichash_update(&state, (const uint8_t *) &namespace_id,
                                         sizeof(namespace_id));
        (void) crypto_generichash_update(&state, (const uint8_t *) raw, n);
        (void) crypto_generichash_final(&state, hash, HASH_SIZE);
        return memcmp(hash, key, HASH_SIZE) == 0;
}

/* NULL, or what is wrong. */
static const char *body_fault(Fsck *f, StoreCursor *c, const uint8_t *key, const uint8_t *secret) {
        _cleanup_free_ char *file = NULL, *raw = NULL;
        int64_t encoding = store_int(c, 2);
        size_t size = (size_t) store_int(c, 3), n = 0;
        const char *data = store_blob(c, 4, &n);

        if (encoding < RAW || encoding > PACKED_FILE)
                return "it is stored in no way that is known";
        if (encoding >= RAW_FILE) {
                if (read_file(f, key, &file, &n) < 0)
                        return "its file is gone";
                data = file;
        }
        if (encoding == PACKED || encoding == PACKED_FILE) {
                if (unpack(data, n, size, &raw) < 0)
                        return "it cannot be unpacked";
                data = raw;
                n = size;
        }
        return n == size && hash_agrees(secret, store_id(c, 0), data, n, key)
                       ? NULL
                       : "its bytes have changed";
}

static int lose_file(Fsck *f, const char *name) {
        return strv_extend(&f->lost, name);
}

static int body_check(Fsck *f, StoreCursor *c, const uint8_t *secret) {
        size_t n = 0;
        const uint8_t *key = store_blob(c, 1, &n);
        char hex[2 * HASH_SIZE + 1], name[80];

        if (n != HASH_SIZE) {
                fsck_problem(f, "text", "?", "its key is none", NULL);
                return 0;
        }
        const char *fault = body_fault(f, c, key, secret);
        if (!fault)
                return 0;
        hex_encode(key, HASH_SIZE, hex);
        fsck_problem(f, "text", hex, fault, "take it out, put a note into the messages that had it");
        (void) buf_printf(&f->state_edits, "DELETE FROM bodies WHERE key = X'%s';", hex);
        name_of(key, name);
        return store_int(c, 2) >= RAW_FILE ? lose_file(f, name) : 0;
}

static int secret_load(Fsck *f, uint8_t ret[static HASH_SIZE]) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        size_t n = 0;
        int r = store_query(f->state, &c, FSCK_BODY_KEY, NULL, 0);

        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r;
        const void *key = store_blob(c, 0, &n);
        if (n != HASH_SIZE)
                return 0;
        memcpy(ret, key, n);
        return 1;
}

/* ---- files that nobody knows ---- */

static int file_is_known(Fsck *f, const uint8_t *key) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(f->now, &c, FSCK_BODY_FILE, STORE_BLOB(key, HASH_SIZE));

        return r < 0 ? r : store_next(c);
}

/* A daemon that runs writes the file first, and the row that names it a moment later. */
static bool is_on_its_way(Fsck *f, const char *name) {
        _cleanup_free_ char *path = f->is_live ? path_join(f->places->data_dir, name) : NULL;
        struct stat st;

        return path && (stat(path, &st) < 0 || st.st_mtime >= time(NULL) - ON_ITS_WAY_SEC);
}

static int file_check(Fsck *f, const char *folder, const char *entry) {
        _cleanup_free_ char *hex = str_printf("%s%s", folder, entry);
        _cleanup_free_ char *name = str_printf("bodies/%s/%s", folder, entry);
        uint8_t key[HASH_SIZE];
        int r = 0;

        if (!hex || !name)
                return -ENOMEM;
        if (strlen(hex) == 2 * HASH_SIZE && hex_decode(hex, strlen(hex), key) == 0)
                r = file_is_known(f, key);
        if (r != 0 || is_on_its_way(f, name))
                return MIN(r, 0);
        fsck_problem(f, "file", name, "no message has it", "move it to lost+found");
        return lose_file(f, name);
}

typedef int (*EntryFn)(Fsck *f, const char *folder, const char *entry);

static int each_entry(Fsck *f, const char *path, const char *folder, EntryFn fn) {
        _cleanup_(dir_closep) DIR *d = opendir(path);
        struct dirent *e;
        int r = 0;

        while (d && r >= 0 && (e = readdir(d)))
                if (e->d_name[0] != '.')
                        r = fn(f, folder, e->d_name);
        return r;
}

static int folder_check(Fsck *f, const char *bodies, const char *entry) {
        _cleanup_free_ char *path = path_join(bodies, entry);

        return path ? each_entry(f, path, entry, file_check) : -ENOMEM;
}

int fsck_bodies(Fsck *f) {
        _cleanup_free_ char *bodies = path_join(f->places->data_dir, "bodies");
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        uint8_t secret[HASH_SIZE] = {};
        int r = bodies && sodium_init() >= 0 ? secret_load(f, secret) : -ENOMEM;

        if (r == 0)
                return 0; /* no daemon has started on it yet */
        if (r > 0)
                r = store_query(f->state, &c, FSCK_BODIES, NULL, 0);
        while (r >= 0 && (r = store_next(c)) > 0)
                r = body_check(f, c, secret);
        return r < 0 ? r : each_entry(f, bodies, bodies, folder_check);
}
