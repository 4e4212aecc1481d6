/* SPDX-License-Identifier: MIT */

/* Long-term memory on memory.db: what is written. Rows are the only truth: nothing is cached, a
 * write is one transaction, and the store's writer makes groups of them.
 *
 * A change names the entry's id and its next version itself, from the rows or, where a write of the
 * same key is still on its way, from that (flight.h): so an answer can say the version, If-Match is
 * decided when it is asked, and a change is a handful of statements without a condition. What was
 * is copied to `versions` by the same transaction, its search row and vectors with it, so that the
 * past can be read, listed and searched like the present. Rejected: one table with all versions
 * (every read of the present would step over the past), and deltas (values are small, the past is
 * read as a whole).
 *
 * What is read is counted without making every read a durable write: counts gather in memory and go
 * along with the next transaction, or alone when there are many. Counting in the row at each read
 * was rejected, because then sixty-four readers cost a disk sync; a timer, because an idle daemon
 * has none. */

#include "memory/memory.h"

#include <sodium.h>

#include "base/id.h"
#include "base/str.h"
#include "memory/memory-internal.h"
#include "memory/query.h"
#include "memory/words.h"

#define WRITE_MAGIC 0x4d575254U

/* One submitted change, until its commit. */
typedef struct Write {
        uint32_t magic;
        MemoryManager *m;
        AccessCounts *counts; /* NULL: carries none */
        MemoryChange change;
} Write;

MemoryScope memory_agent_scope(uint64_t namespace_id, const char *name) {
        crypto_generichash_state h;
        uint64_t id = 0;
        uint8_t hash[crypto_generichash_BYTES_MIN];

        (void) crypto_generichash_init(&h, NULL, 0, sizeof(hash));
        (void) crypto_generichash_update(&h, (const uint8_t *) &namespace_id, sizeof(namespace_id));
        (void) crypto_generichash_update(&h, (const uint8_t *) name, strlen(name));
        (void) crypto_generichash_final(&h, hash, sizeof(hash));
        memcpy(&id, hash, sizeof(id));
        /* positive, and above all ids of sessions before the year 2089 */
        id = (id & INT64_MAX) | UINT64_C(1) << 62;
        return (MemoryScope){ .namespace_id = namespace_id, .id = id, .agent = name };
}

static int set_id_floor(Store *store) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(store_reader(store), &c, MEMORY_MAX_ID, NULL, 0);

        if (r >= 0)
                r = store_next(c);
        if (r > 0)
                id_set_floor(store_id(c, 0));
        return MIN(r, 0);
}

int memory_manager_new(MemoryManager **ret,
                       sd_event *event,
                       Store *store,
                       const MemoryLimits *limits,
                       const char *vectors) {
        _cleanup_(memory_manager_freep) MemoryManager *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        *m = (MemoryManager){ .magic = MEMORY_MAGIC, .store = store, .event = event, .limits = *limits };
        m->flights = flights_new();
        int r = m->flights ? access_counts_new(&m->counts) : -ENOMEM;
        if (r >= 0)
                r = set_id_floor(store);
        if (r >= 0)
                r = meaning_new(&m->meaning, event, store, vectors);
        if (r >= 0)
                r = expiry_new(&m->expiry, m, event);
        if (r >= 0)
                r = catchup_new(&m->catchup, m, event);
        if (r >= 0 && event)
                r = searcher_new(&m->searcher, event, store);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

MemoryManager *memory_manager_free(MemoryManager *m) {
        if (!m)
                return NULL;
        m->searcher = searcher_free(m->searcher);
        m->expiry = expiry_free(m->expiry);
        m->catchup = catchup_free(m->catchup);
        m->collector = collector_free(m->collector);
        if (m->counts && access_counts_pending(m->counts) > 0) {
                StoreTxn *txn = store_txn_new(m->store);
                if (txn)
                        (void) memory_submit(m, txn, &(MemoryChange){});
        }
        (void) store_flush(m->store); /* what is under way ends here: it belongs to the flights */
        meaning_free(m->meaning);
        flights_free(m->flights);
        access_counts_unref(m->counts);
        m->magic = 0;
        free(m);
        return NULL;
}

void memory_set_limits(MemoryManager *m, const MemoryLimits *limits) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        m->limits = *limits;
        expiry_again(m->expiry);
}

/* ---- submitting ---- */

static void on_written(int r, uint64_t commit, void *userdata) {
        _cleanup_free_ Write *w = OBJ_CAST(Write, userdata, WRITE_MAGIC);
        MemoryChange *change = &w->change;

        if (w->counts)
                access_counts_written(w->counts, r);
        if (change->flight)
                flight_end(change->flight);
        if (change->vectors && r == 0)
                meaning_apply(w->m->meaning);
        w->magic = 0;
        if (change->done)
                change->done(r == STORE_E_CONFLICT ? MEMORY_E_VERSION : r, change->version,
                             change->userdata);
}

int memory_submit(MemoryManager *m, StoreTxn *txn, const MemoryChange *change) {
        _cleanup_free_ Write *w = calloc(1, sizeof(*w));
        int r = -ENOMEM;

        if (w) {
                *w = (Write){ .magic = WRITE_MAGIC, .m = m, .change = *change };
                if (access_counts_add_to(m->counts, txn))
                        w->counts = access_counts_ref(m->counts);
                r = store_submit(m->store, txn, on_written, w);
                if (r < 0 && w->counts)
                        access_counts_written(w->counts, r);
        } else
                store_txn_free(txn);
        if (r >= 0)
                (void) TAKE_PTR(w);
        else if (change->flight)
                flight_end(change->flight);
        return r;
}

static int query_state(MemoryManager *m, MemoryScope scope, const char *key, KeyState *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *live = NULL, *past = NULL;
        const StoreValue values[] = { STORE_ID(scope.namespace_id), STORE_INT((int64_t) scope.id),
                                      STORE_TEXT(key) };
        int r = store_query(store_reader(m->store), &live, MEMORY_ENTRY_STATE, values,
                            ELEMENTSOF(values));

        *ret = (KeyState){};
        if (r >= 0)
                r = store_next(live);
        if (r < 0)
                return r;
        if (r > 0) {
                *ret = (KeyState){
                        .id = store_id(live, 0),
                        .version = (uint64_t) store_int(live, 1),
                        .expires_at = (usec_t) store_int(live, 2),
                };
                return 0;
        }
        r = store_query(store_reader(m->store), &past, MEMORY_VERSION_LAST, values,
                        ELEMENTSOF(values));
        if (r >= 0)
                r = store_next(past);
        if (r > 0)
                ret->version = (uint64_t) store_int(past, 0);
        return MIN(r, 0);
}

int memory_key_state(MemoryManager *m, MemoryScope scope, const char *key, KeyState *ret) {
        int r = 0;

        if (!flights_get(m->flights, scope, key, ret))
                r = query_state(m, scope, key, ret);
        ret->is_there = ret->id != 0 && (ret->expires_at == 0 || ret->expires_at > clock_realtime());
        return r;
}

/* Makes a version of what the entry is now, which stays in the search table and has the vectors. */
static void add_version(MemoryManager *m,
                        StoreTxn *txn,
                        MemoryScope scope,
                        const char *key,
                        const KeyState *state,
                        int why) {
        uint64_t id = id_new();

        if (m->limits.versions_max > 0) {
                STORE_ADD(txn, MEMORY_VERSION_KEEP, STORE_ID(id), STORE_ID(state->id),
                          STORE_INT((int64_t) clock_realtime()), STORE_INT(why));
                STORE_ADD(txn, MEMORY_SEARCH_KEEP, STORE_ID(id), STORE_ID(state->id));
                STORE_ADD(txn, MEMORY_VECTORS_KEEP, STORE_ID(id), STORE_ID(state->id));
        }
        STORE_ADD(txn, MEMORY_SEARCH_DROP, STORE_ID(state->id));
        if (state->version <= m->limits.versions_max)
                return;
        const StoreValue old[] = { STORE_ID(scope.namespace_id), STORE_INT((int64_t) scope.id),
                                   STORE_TEXT(key),
                                   STORE_INT((int64_t) (state->version - m->limits.versions_max)) };
        store_txn_add(txn, MEMORY_TRIM_SEARCH, old, ELEMENTSOF(old));
        store_txn_add(txn, MEMORY_TRIM_VECTORS, old, ELEMENTSOF(old));
        store_txn_add(txn, MEMORY_TRIM_VERSIONS, old, ELEMENTSOF(old));
}

/* ---- storing ---- */

void memory_add_search(MemoryManager *m, StoreTxn *txn, const MemorySet *s, uint64_t row) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX), context = BUF_INIT(SIZE_MAX);
        char token[SCOPE_TOKEN_SIZE];
        size_t max = m->limits.text_max;

        if (s->text)
                words_append(&text, s->text, strlen(s->text), max);
        else
                words_of_value(&text, s->value, false, max);
        if (s->context) {
                words_append(&context, s->context, strlen(s->context), max);
                (void) buf_putc(&context, '\n');
        }
        words_append(&context, s->key, strlen(s->key), max);
        (void) buf_putc(&context, '\n');
        if (s->tags.p)
                words_of_value(&context, s->tags, false, max);
        words_of_value(&context, s->value, true, max);
        STORE_ADD(txn, MEMORY_SEARCH_PUT, STORE_ID(row),
                  STORE_TEXT_N(text.data ? text.data : "", text.len),
                  STORE_TEXT_N(context.data, context.len),
                  STORE_TEXT(scope_token(s->scope, false, token)));
}

static void add_entry(StoreTxn *txn, const MemorySet *s, const KeyState *next) {
        if (s->scope.agent)
                STORE_ADD(txn, MEMORY_SCOPE_PUT, STORE_ID(s->scope.id),
                          STORE_ID(s->scope.namespace_id), STORE_TEXT(s->scope.agent));
        STORE_ADD(txn, MEMORY_ENTRY_PUT, STORE_ID(s->scope.namespace_id),
                  STORE_INT((int64_t) s->scope.id), STORE_TEXT(s->key), STORE_ID(next->id),
                  STORE_INT((int64_t) next->version), STORE_INT((int64_t) clock_realtime()),
                  STORE_SPAN(s->value), STORE_ID(s->session), STORE_ID(s->run), STORE_ID(s->node),
                  STORE_TEXT(s->text), STORE_TEXT(s->context), STORE_SPAN(s->metadata),
                  STORE_SPAN(s->tags),
                  s->importance < 0 ? (StoreValue){}
                                    : STORE_INT((int64_t) (s->importance * 1e6 + 0.5)),
                  STORE_ID(s->expires_at), STORE_INT(0));
}

static int submit_set(MemoryManager *m,
                      const MemorySet *s,
                      const KeyState *now,
                      MemoryDoneFn done,
                      void *userdata) {
        KeyState next = { .id = now->id ?: id_new(),
                          .version = now->version + 1,
                          .expires_at = s->expires_at };
        Flight *flight = flights_begin(m->flights, s->scope, s->key);

        if (!flight)
                return -ENOMEM;
        StoreTxn *txn = store_txn_new(m->store);
        if (now->id)
                add_version(m, txn, s->scope, s->key, now, MEMORY_REPLACED);
        int r = meaning_add_set(m->meaning, txn, s, next.id);
        add_entry(txn, s, &next);
        memory_add_search(m, txn, s, next.id);
        if (m->request_key)
                request_key_add(txn, &memory_request_keys, m->request_key, 0);
        MemoryChange change = { done, userdata, next.version, flight, meaning_is_used(m->meaning) };
        if (r < 0) {
                store_txn_free(txn);
                flight_end(flight);
                return r;
        }
        r = memory_submit(m, txn, &change);
        if (r < 0)
                return r;
        flight_set(flight, &next);
        if (s->expires_at)
                expiry_at(m->expiry, s->expires_at);
        return 0;
}

int memory_set(MemoryManager *m,
               const MemorySet *s,
               MemoryDoneFn done,
               void *userdata,
               uint64_t *ret_version) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        KeyState now;

        int r = memory_key_state(m, s->scope, s->key, &now);
        if (r < 0)
                return r;
        uint64_t version = now.is_there ? now.version : 0;
        if ((s->if_version && s->if_version != version) || (s->only_new && version)) {
                if (ret_version)
                        *ret_version = version;
                return MEMORY_E_VERSION;
        }
        return submit_set(m, s, &now, done, userdata);
}

/* ---- removing ---- */

void memory_add_removal(
        MemoryManager *m, StoreTxn *txn, MemoryScope scope, const char *key, const KeyState *state) {
        add_version(m, txn, scope, key, state, MEMORY_DELETED);
        STORE_ADD(txn, MEMORY_VECTORS_DROP, STORE_ID(state->id));
        STORE_ADD(txn, MEMORY_ENTRY_DELETE, STORE_ID(state->id));
        meaning_add_change(m->meaning, txn, scope, state->id);
}

int memory_delete(MemoryManager *m,
                  MemoryScope scope,
                  const char *key,
                  uint64_t if_version,
                  MemoryDoneFn done,
                  void *userdata,
                  uint64_t *ret_version) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        KeyState now;

        int r = memory_key_state(m, scope, key, &now);
        if (r < 0)
                return r;
        if (!now.is_there)
                return MEMORY_E_NOT_FOUND;
        if (if_version && if_version != now.version) {
                if (ret_version)
                        *ret_version = now.version;
                return MEMORY_E_VERSION;
        }
        Flight *flight = flights_begin(m->flights, scope, key);
        if (!flight)
                return -ENOMEM;
        StoreTxn *txn = store_txn_new(m->store);
        memory_add_removal(m, txn, scope, key, &now);
        r = memory_submit(m, txn, &(MemoryChange){ done, userdata, now.version, flight, true });
        if (r >= 0)
                flight_set(flight, &(KeyState){ .version = now.version });
        return r;
}

int memory_scope_delete(MemoryManager *m, MemoryScope scope, MemoryDoneFn done, void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        const StoreValue values[] = { STORE_ID(scope.namespace_id), STORE_INT((int64_t) scope.id) };
        StoreTxn *txn = store_txn_new(m->store);

        store_txn_add(txn, MEMORY_SCOPE_SEARCH, values, ELEMENTSOF(values));
        store_txn_add(txn, MEMORY_SCOPE_VECTORS, values, ELEMENTSOF(values));
        store_txn_add(txn, MEMORY_SCOPE_VERSIONS, values, ELEMENTSOF(values));
        store_txn_add(txn, MEMORY_SCOPE_ENTRIES, values, ELEMENTSOF(values));
        meaning_add_change(m->meaning, txn, scope, 0);
        return memory_submit(m, txn,
                             &(MemoryChange){ .done = done, .userdata = userdata, .vectors = true });
}

void memory_request_key(MemoryManager *m, const RequestKey *key) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        m->request_key = key;
}

int memory_request_key_find(MemoryManager *m, const RequestKey *key, RequestKeyRow *ret) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        return request_key_find(store_reader(m->store), &memory_request_keys, key, ret);
}
