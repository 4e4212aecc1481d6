/* SPDX-License-Identifier: MIT */

/* Long-term memory on memory.db. Rows are the only truth: nothing is cached, reads are point
 * queries and ranges on the loop thread's read connection (microseconds each), writes are one
 * transaction each, and the store's writer makes groups of them.
 *
 * What is read is counted without making every read a durable write: counts gather here and go
 * along with the next transaction, or alone when there are many. Counting in the row at each read
 * was rejected, because then sixty-four readers cost a disk sync; a timer was rejected, because an
 * idle daemon has none. */

#include "memory/memory.h"

#include "base/id.h"
#include "base/obj.h"
#include "base/str.h"
#include "memory/access.h"
#include "store/schema-memory.h"

#define MEMORY_MAGIC    0x4d454d59U
#define WRITE_MAGIC     0x4d575254U
#define SCOPE_NAMESPACE 0

struct MemoryManager {
        uint32_t magic;
        Store *store;
        AccessCounts *counts;
        const RequestKey *request_key; /* of the call under way */
};

/* One submitted change, until its commit. */
typedef struct Write {
        uint32_t magic;
        AccessCounts *counts; /* NULL: carries none */
        MemoryDoneFn done;
        void *userdata;
} Write;

int memory_manager_new(MemoryManager **ret, sd_event *event, Store *store) {
        _cleanup_(memory_manager_freep) MemoryManager *m = calloc(1, sizeof(*m));
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        if (!m)
                return -ENOMEM;
        m->magic = MEMORY_MAGIC;
        m->store = store;
        int r = access_counts_new(&m->counts);
        if (r < 0)
                return r;
        r = store_query(store_reader(store), &c, MEMORY_MAX_ID, NULL, 0);
        if (r < 0)
                return r;
        r = store_next(c);
        if (r < 0)
                return r;
        if (r > 0)
                id_set_floor(store_id(c, 0));
        *ret = TAKE_PTR(m);
        return 0;
}

/* ---- writing ---- */

static void on_written(int r, uint64_t commit, void *userdata) {
        _cleanup_free_ Write *w = OBJ_CAST(Write, userdata, WRITE_MAGIC);

        if (w->counts)
                access_counts_written(w->counts, r);
        w->magic = 0;
        if (w->done)
                w->done(r == STORE_E_CONFLICT ? MEMORY_E_NOT_FOUND : r, w->userdata);
}

/* Takes txn over; the counts that wait go along. */
static int submit(MemoryManager *m, StoreTxn *txn, MemoryDoneFn done, void *userdata) {
        _cleanup_free_ Write *w = calloc(1, sizeof(*w));

        if (!w) {
                store_txn_free(txn);
                return -ENOMEM;
        }
        *w = (Write){ .magic = WRITE_MAGIC, .done = done, .userdata = userdata };
        if (access_counts_add_to(m->counts, txn))
                w->counts = access_counts_ref(m->counts);

        int r = store_submit(m->store, txn, on_written, w);
        if (r < 0 && w->counts)
                access_counts_written(w->counts, r);
        if (r >= 0)
                (void) TAKE_PTR(w);
        return r;
}

MemoryManager *memory_manager_free(MemoryManager *m) {
        if (!m)
                return NULL;
        if (m->counts && access_counts_pending(m->counts) > 0) {
                StoreTxn *txn = store_txn_new(m->store);
                if (txn)
                        (void) submit(m, txn, NULL, NULL);
        }
        access_counts_unref(m->counts);
        m->magic = 0;
        free(m);
        return NULL;
}

int memory_set(MemoryManager *m,
               uint64_t namespace_id,
               const char *key,
               JsonSpan value,
               uint64_t session,
               uint64_t run,
               MemoryDoneFn done,
               void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        StoreTxn *txn = store_txn_new(m->store);

        if (!txn)
                return -ENOMEM;
        STORE_ADD(txn, MEMORY_ENTRY_PUT, STORE_ID(id_new()), STORE_ID(namespace_id),
                  STORE_INT(SCOPE_NAMESPACE), STORE_TEXT(key), STORE_SPAN(value), STORE_ID(session),
                  STORE_ID(run), STORE_INT((int64_t) clock_realtime()));
        if (m->request_key)
                request_key_add(txn, &memory_request_keys, m->request_key, 0);
        return submit(m, txn, done, userdata);
}

int memory_delete(
        MemoryManager *m, uint64_t namespace_id, const char *key, MemoryDoneFn done, void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        StoreTxn *txn = store_txn_new(m->store);

        if (!txn)
                return -ENOMEM;
        STORE_ADD(txn, MEMORY_ENTRY_DELETE, STORE_ID(namespace_id), STORE_INT(SCOPE_NAMESPACE),
                  STORE_TEXT(key));
        return submit(m, txn, done, userdata);
}

void memory_request_key(MemoryManager *m, const RequestKey *key) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        m->request_key = key;
}

int memory_request_key_find(MemoryManager *m, const RequestKey *key, RequestKeyRow *ret) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        return request_key_find(store_reader(m->store), &memory_request_keys, key, ret);
}

/* ---- reading ---- */

static void read_entry(MemoryManager *m, uint64_t namespace_id, StoreCursor *c, MemoryEntry *ret) {
        *ret = (MemoryEntry){
                .key = store_text(c, 1, NULL),
                .value = store_span(c, 2),
                .session = store_id(c, 3),
                .run = store_id(c, 4),
                .created_at = (usec_t) store_int(c, 5),
                .updated_at = (usec_t) store_int(c, 6),
                .version = (uint64_t) store_int(c, 7),
                .access_count = (uint64_t) store_int(c, 8),
        };
        ret->access_count += access_counts_get(m->counts, namespace_id, ret->key);
}

/* A failure to count costs a number, not the answer. */
static void count_access(MemoryManager *m, uint64_t namespace_id, const char *key) {
        if (access_counts_bump(m->counts, namespace_id, key) <= 0)
                return;
        StoreTxn *txn = store_txn_new(m->store);
        if (txn)
                (void) submit(m, txn, NULL, NULL);
}

int memory_get(MemoryManager *m, uint64_t namespace_id, const char *key, MemoryFn fn, void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        MemoryEntry e;

        int r = STORE_QUERY(store_reader(m->store), &c, MEMORY_ENTRY_ONE, STORE_ID(namespace_id),
                            STORE_INT(SCOPE_NAMESPACE), STORE_TEXT(key));
        if (r < 0)
                return r;
        r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : MEMORY_E_NOT_FOUND;
        count_access(m, namespace_id, key);
        read_entry(m, namespace_id, c, &e);
        r = fn(&e, userdata);
        return MIN(r, 0);
}

/* The first text behind all that begin with prefix: its last byte plus one. UTF-8 has no byte 0xFF. */
static char *range_end(const char *prefix) {
        char *end = strdup(prefix);
        size_t n = strlen(prefix);

        if (end && n > 0)
                end[n - 1] = (char) ((unsigned char) end[n - 1] + 1);
        return end;
}

static int walk(MemoryManager *m,
                uint64_t namespace_id,
                StoreCursor *c,
                bool details,
                MemoryFn fn,
                void *userdata) {
        int r;

        while ((r = store_next(c)) > 0) {
                MemoryEntry e = {};

                if (details)
                        read_entry(m, namespace_id, c, &e);
                else
                        e.key = store_text(c, 0, NULL);
                r = fn(&e, userdata);
                if (r != 0)
                        return MIN(r, 0);
        }
        return r;
}

int memory_list(MemoryManager *m,
                uint64_t namespace_id,
                const char *prefix,
                const char *after,
                size_t limit,
                bool details,
                MemoryFn fn,
                void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        _cleanup_free_ char *end = NULL;

        if (!str_isempty(prefix)) {
                end = range_end(prefix);
                if (!end)
                        return -ENOMEM;
        }
        int r = STORE_QUERY(store_reader(m->store), &c,
                            details ? MEMORY_ENTRY_LIST_RANGE : MEMORY_KEY_LIST_RANGE,
                            STORE_ID(namespace_id), STORE_INT(SCOPE_NAMESPACE),
                            STORE_TEXT(prefix ? prefix : ""),
                            end ? STORE_TEXT(end) : STORE_BLOB("", 0), STORE_TEXT(after),
                            STORE_INT(limit > INT64_MAX ? -1 : (int64_t) limit));
        return r < 0 ? r : walk(m, namespace_id, c, details, fn, userdata);
}

uint64_t memory_count(MemoryManager *m, uint64_t namespace_id) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        int r = STORE_QUERY(store_reader(m->store), &c, MEMORY_ENTRY_COUNT, STORE_ID(namespace_id),
                            STORE_INT(SCOPE_NAMESPACE));
        return r >= 0 && store_next(c) > 0 ? (uint64_t) store_int(c, 0) : 0;
}
