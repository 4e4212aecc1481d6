/* SPDX-License-Identifier: MIT */

/* Reading entries and what they were: point queries and ranges on the loop thread's own read
 * connection, microseconds each. What has expired is not there, whether the timer has seen to it or
 * not. Every query names namespace and scope. */

#include "base/str.h"
#include "memory/memory-internal.h"

/* The columns of an entry, in the order of memory-statements.def. */
enum {
        COLUMN_ID,
        COLUMN_KEY,
        COLUMN_VALUE,
        COLUMN_SESSION,
        COLUMN_RUN,
        COLUMN_NODE,
        COLUMN_CREATED_AT,
        COLUMN_UPDATED_AT,
        COLUMN_ENDED_AT,
        COLUMN_ENDED_BY,
        COLUMN_VERSION,
        COLUMN_ACCESS_COUNT,
        COLUMN_TEXT,
        COLUMN_CONTEXT,
        COLUMN_METADATA,
        COLUMN_TAGS,
        COLUMN_IMPORTANCE,
        COLUMN_EXPIRES_AT,
};

void memory_read_entry(MemoryManager *m, StoreCursor *c, MemoryEntry *ret) {
        *ret = (MemoryEntry){
                .id = store_id(c, COLUMN_ID),
                .key = store_text(c, COLUMN_KEY, NULL),
                .value = store_span(c, COLUMN_VALUE),
                .session = store_id(c, COLUMN_SESSION),
                .run = store_id(c, COLUMN_RUN),
                .node = store_id(c, COLUMN_NODE),
                .created_at = (usec_t) store_int(c, COLUMN_CREATED_AT),
                .updated_at = (usec_t) store_int(c, COLUMN_UPDATED_AT),
                .ended_at = (usec_t) store_int(c, COLUMN_ENDED_AT),
                .ended_by = (unsigned) store_int(c, COLUMN_ENDED_BY),
                .version = (uint64_t) store_int(c, COLUMN_VERSION),
                .access_count = (uint64_t) store_int(c, COLUMN_ACCESS_COUNT),
                .text = store_text(c, COLUMN_TEXT, NULL),
                .context = store_text(c, COLUMN_CONTEXT, NULL),
                .metadata = store_span(c, COLUMN_METADATA),
                .tags = store_span(c, COLUMN_TAGS),
                .importance = store_is_null(c, COLUMN_IMPORTANCE)
                                      ? -1
                                      : (double) store_int(c, COLUMN_IMPORTANCE) / 1e6,
                .expires_at = (usec_t) store_int(c, COLUMN_EXPIRES_AT),
        };
        if (m)
                ret->access_count += access_counts_get(m->counts, ret->id);
}

static size_t text_size(const char *s) {
        return s ? strlen(s) + 1 : 0;
}

/* Moves a text or a span into the block that *to leads through. */
static const char *keep(char **to, const char *p, size_t n) {
        char *copy = *to;

        if (!p)
                return NULL;
        memcpy(copy, p, n);
        *to += n;
        return copy;
}

int memory_entry_copy(MemoryEntry *e, void **ret_block) {
        size_t size = text_size(e->key) + text_size(e->text) + text_size(e->context) + e->value.n +
                      e->metadata.n + e->tags.n;
        char *block = malloc(size), *to = block;

        if (!block)
                return -ENOMEM;
        e->key = keep(&to, e->key, text_size(e->key));
        e->text = keep(&to, e->text, text_size(e->text));
        e->context = keep(&to, e->context, text_size(e->context));
        e->value.p = keep(&to, e->value.p, e->value.n);
        e->metadata.p = keep(&to, e->metadata.p, e->metadata.n);
        e->tags.p = keep(&to, e->tags.p, e->tags.n);
        *ret_block = block;
        return 0;
}

/* A failure to count costs a number, not the answer. */
static void count_access(MemoryManager *m, uint64_t entry) {
        if (access_counts_bump(m->counts, entry) <= 0)
                return;
        StoreTxn *txn = store_txn_new(m->store);
        if (txn)
                (void) memory_submit(m, txn, &(MemoryChange){});
}

int memory_get(MemoryManager *m,
               MemoryScope scope,
               const char *key,
               usec_t as_of,
               MemoryFn fn,
               void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        MemoryEntry e;

        int r = STORE_QUERY(store_reader(m->store), &c, as_of ? MEMORY_ENTRY_AS_OF : MEMORY_ENTRY_ONE,
                            STORE_ID(scope.namespace_id), STORE_INT((int64_t) scope.id),
                            STORE_TEXT(key), STORE_INT((int64_t) (as_of ?: clock_realtime())));
        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : MEMORY_E_NOT_FOUND;
        if (as_of == 0)
                count_access(m, store_id(c, COLUMN_ID));
        memory_read_entry(m, c, &e);
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

/* *ret_n: rows that fn has seen. */
static int walk(
        MemoryManager *m, StoreCursor *c, bool details, MemoryFn fn, void *userdata, size_t *ret_n) {
        int r;

        while ((r = store_next(c)) > 0) {
                MemoryEntry e = {};

                if (details)
                        memory_read_entry(m, c, &e);
                else
                        e.key = store_text(c, 0, NULL);
                (*ret_n)++;
                r = fn(&e, userdata);
                if (r != 0)
                        return MIN(r, 0);
        }
        return r;
}

static StoreValue limit_value(size_t limit) {
        return STORE_INT(limit > INT64_MAX ? -1 : (int64_t) limit);
}

int memory_list(MemoryManager *m, const MemoryList *l, MemoryFn fn, void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        _cleanup_free_ char *end = NULL;
        size_t n = 0;

        if (!str_isempty(l->prefix)) {
                end = range_end(l->prefix);
                if (!end)
                        return -ENOMEM;
        }
        int r = STORE_QUERY(store_reader(m->store), &c,
                            l->details ? MEMORY_ENTRY_LIST_RANGE : MEMORY_KEY_LIST_RANGE,
                            STORE_ID(l->scope.namespace_id), STORE_INT((int64_t) l->scope.id),
                            STORE_TEXT(l->prefix ? l->prefix : ""),
                            end ? STORE_TEXT(end) : STORE_BLOB("", 0), STORE_TEXT(l->after),
                            limit_value(l->limit), STORE_INT((int64_t) clock_realtime()));
        return r < 0 ? r : walk(m, c, l->details, fn, userdata, &n);
}

int memory_history(MemoryManager *m,
                   MemoryScope scope,
                   const char *key,
                   uint64_t before_version,
                   size_t limit,
                   MemoryFn fn,
                   void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        size_t n = 0;
        int r = STORE_QUERY(store_reader(m->store), &c, MEMORY_HISTORY,
                            STORE_ID(scope.namespace_id), STORE_INT((int64_t) scope.id),
                            STORE_TEXT(key), STORE_ID(before_version), limit_value(limit));

        if (r >= 0)
                r = walk(m, c, true, fn, userdata, &n);
        return r < 0 || n > 0 || before_version ? r : MEMORY_E_NOT_FOUND;
}

uint64_t memory_count(MemoryManager *m, MemoryScope scope) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(store_reader(m->store), &c, MEMORY_ENTRY_COUNT,
                            STORE_ID(scope.namespace_id), STORE_INT((int64_t) scope.id),
                            STORE_INT((int64_t) clock_realtime()));

        return r >= 0 && store_next(c) > 0 ? (uint64_t) store_int(c, 0) : 0;
}
