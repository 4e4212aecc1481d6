/* SPDX-License-Identifier: MIT */

/* memory.db. Long-term entries keep their value's text, time and number of reads; they belong to
 * the default namespace, as the original had only one. Embeddings are not taken over: they are of
 * another program's model and can be computed again from the values; PATH.original has them.
 *
 * Short-term memory and consolidations are kept as two entries in the scope of their session,
 * "short-term" and "consolidations", each a list in order. The window that agents see is made from
 * the conversation and does not need them. */

#include <stdio.h>

#include "base/id.h"
#include "base/log.h"
#include "import/import-internal.h"
#include "store/schema-memory.h"

#define NAMESPACE_DEFAULT 1
#define LIST_BYTES_MAX    ((size_t) 512 << 20)
#define BATCH             1000
#define PROGRESS_EVERY    10000
#define PENDING_SEARCH    1 /* of entries.pending: the daemon makes it searchable */

typedef struct MemoryImport {
        StoreReader *source;
        Store *store;
        ImportReport *report;
        StoreTxn *txn;
        unsigned n;
        uint64_t n_entries;
        uint64_t id; /* of the last entry */
        int error;
} MemoryImport;

static void on_written(int r, uint64_t commit, void *userdata) {
        MemoryImport *m = userdata;

        (void) commit;
        if (r != 0 && m->error == 0)
                m->error = r < 0 ? r : -EIO;
}

static int batch_send(MemoryImport *m) {
        int r = m->txn ? store_submit(m->store, TAKE_PTR(m->txn), on_written, m) : 0;

        m->n = 0;
        if (r >= 0)
                r = store_flush(m->store);
        return r < 0 ? r : m->error;
}

static int put(MemoryImport *m, uint64_t scope, const char *key, JsonSpan value, usec_t time) {
        int r = m->n >= BATCH || value.n > (1 << 20) ? batch_send(m) : 0;

        if (r < 0)
                return r;
        if (!m->txn)
                m->txn = store_txn_new(m->store);
        if (!m->txn)
                return -ENOMEM;
        m->n++;
        m->id = id_new();
        STORE_ADD(m->txn, MEMORY_ENTRY_PUT, STORE_ID(NAMESPACE_DEFAULT), STORE_INT((int64_t) scope),
                  STORE_TEXT(key), STORE_ID(m->id), STORE_INT(1), STORE_INT((int64_t) time),
                  STORE_SPAN(value), STORE_ID(scope), STORE_ID(0), STORE_ID(0), STORE_TEXT(NULL),
                  STORE_TEXT(NULL), STORE_TEXT(NULL), STORE_TEXT(NULL), (StoreValue){},
                  (StoreValue){}, STORE_INT(PENDING_SEARCH));
        return 0;
}

/* ---- long term ---- */

/* 1: it was taken over. */
static int entry_write(MemoryImport *m, StoreCursor *c) {
        const char *key = column_text(c, 0);
        int64_t count = store_int(c, 3);
        JsonSpan value;

        if (str_isempty(key)) {
                import_report(m->report, "long_term_memory", NULL, "its key is no text",
                              "it is left out");
                return 0;
        }
        if (column_json(c, 1, &value) < 0) {
                import_report(m->report, "long_term_memory", key, "its value is no JSON",
                              "it is left out");
                return 0;
        }
        usec_t time = original_time(column_text(c, 2));
        if (time == 0)
                import_report(m->report, "long_term_memory", key, "it has no time",
                              "it got the present one");
        int r = put(m, 0, key, value, time ?: clock_realtime());
        if (r >= 0 && count > 0)
                STORE_ADD(m->txn, MEMORY_ENTRY_TOUCH, STORE_ID(m->id), STORE_INT(count));
        return r < 0 ? r : 1;
}

static int entry_import(MemoryImport *m, uint64_t row) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        char number[32];
        int r = STORE_QUERY(m->source, &c, ORIGINAL_LONG_TERM, STORE_ID(row));

        if (r >= 0)
                r = store_next(c);
        if (r > 0) {
                r = entry_write(m, c);
                m->n_entries += r > 0;
                return MIN(r, 0);
        }
        if (r < 0 && r != -EUCLEAN)
                return r;
        (void) snprintf(number, sizeof(number), "row %llu", (unsigned long long) row);
        import_report(m->report, "long_term_memory", number, "it is damaged", "it is left out");
        return 0;
}

static int entries_import(MemoryImport *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(m->source, &c, ORIGINAL_LONG_TERM_IDS, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0) {
                r = entry_import(m, store_id(c, 0));
                if (r >= 0 && m->n_entries > 0 && m->n_entries % PROGRESS_EVERY == 0)
                        log_notice("Imported %llu memory entries", (unsigned long long) m->n_entries);
        }
        return r;
}

/* ---- lists of sessions ---- */

typedef struct List {
        MemoryImport *m;
        const char *table, *entry;
        OriginalStatement statement;
        void (*item)(JsonWriter *w, StoreCursor *c);
        char *session;
        Buf json;
        JsonWriter w;
        usec_t time;
} List;

static void text_member(JsonWriter *w, const char *name, StoreCursor *c, unsigned col) {
        size_t n = 0;
        const char *text = store_text(c, col, &n);

        json_w_key(w, name);
        if (text)
                json_w_string_n(w, text, n);
        else
                json_w_null(w);
}

static void time_member(JsonWriter *w, const char *name, StoreCursor *c, unsigned col) {
        json_w_kv_time(w, name, original_time(column_text(c, col)));
}

static void short_term_item(JsonWriter *w, StoreCursor *c) {
        text_member(w, "role", c, 1);
        text_member(w, "content", c, 2);
        time_member(w, "timestamp", c, 3);
}

static void consolidation_item(JsonWriter *w, StoreCursor *c) {
        text_member(w, "summary", c, 1);
        json_w_kv_int(w, "from_count", store_int(c, 2));
        time_member(w, "created_at", c, 3);
}

static int list_end(List *l) {
        uint64_t id = original_id(l->session);
        char text[ID_STRING_SIZE];

        if (!l->session)
                return 0;
        json_w_array_end(&l->w);
        int r = buf_error(&l->json);
        /* A session that was imported has an id of ours under that name. */
        if (r == 0 && id > 0 &&
            (id_parse(l->session, &id) < 0 || original_id(id_format(id, text)) == id))
                id = 0;
        if (r == 0 && id > 0)
                r = put(l->m, id, l->entry, (JsonSpan){ l->json.data, l->json.len }, l->time);
        else
                import_report(l->m->report, l->table, l->session,
                              r < 0 ? "it is too large" : "its session is not there",
                              "it is left out");
        free(TAKE_PTR(l->session));
        buf_clear(&l->json);
        return r == -E2BIG ? 0 : r;
}

static int list_begin(List *l, const char *session) {
        l->session = strdup(session);
        l->w = JSON_WRITER(&l->json);
        json_w_array_begin(&l->w);
        return l->session ? 0 : -ENOMEM;
}

static int list_row(List *l, StoreCursor *c) {
        const char *session = column_text(c, 0);
        int r = 0;

        if (!session) {
                import_report(l->m->report, l->table, NULL, "its session is no text",
                              "it is left out");
                return 0;
        }
        if (!streq_ptr(l->session, session)) {
                r = list_end(l);
                if (r >= 0)
                        r = list_begin(l, session);
        }
        l->time = original_time(column_text(c, 3)) ?: clock_realtime();
        json_w_object_begin(&l->w);
        l->item(&l->w, c);
        json_w_object_end(&l->w);
        return r;
}

static int list_import(List *l) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(l->m->source, &c, l->statement, NULL, 0);

        l->json = BUF_INIT(LIST_BYTES_MAX);
        while (r >= 0 && (r = store_next(c)) > 0)
                r = list_row(l, c);
        if (r == -EUCLEAN) {
                import_report(l->m->report, l->table, NULL, "the table is damaged",
                              "what is behind that place is left out");
                r = 0;
        }
        if (r >= 0)
                r = list_end(l);
        free(l->session);
        buf_done(&l->json);
        return r;
}

int import_memory(StoreReader *source, Store *store, ImportReport *report) {
        MemoryImport m = { .source = source, .store = store, .report = report };
        List lists[] = {
                { .m = &m,
                  .table = "short_term_memory",
                  .entry = "short-term",
                  .statement = ORIGINAL_SHORT_TERM,
                  .item = short_term_item },
                { .m = &m,
                  .table = "memory_consolidations",
                  .entry = "consolidations",
                  .statement = ORIGINAL_CONSOLIDATIONS,
                  .item = consolidation_item },
        };
        int r = entries_import(&m);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(lists); i++)
                r = list_import(&lists[i]);
        if (r >= 0)
                r = batch_send(&m);
        store_txn_free(m.txn);
        if (r >= 0)
                log_notice("Imported %llu memory entries", (unsigned long long) m.n_entries);
        return r;
}
