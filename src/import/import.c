/* SPDX-License-Identifier: MIT */

/* The import from its beginning to its end; files.c says how it survives being killed. It starts
 * over instead of going on in the middle: ten thousand sessions take seconds, and what is half made
 * would have to be believed. */

#include <stdio.h>

#include "base/log.h"
#include "import/import-internal.h"
#include "store/schema-memory.h"
#include "store/schema-state.h"

static int open_target(const ImportFiles *f, const StoreSchema *schema, Store **ret, char **ret_message) {
        return store_open(ret, NULL, f->part, schema, NULL, ret_message);
}

/* ---- state.db ---- */

static int write_summary(Import *i) {
        _cleanup_buf_ Buf data = BUF_INIT((size_t) 1 << 10);
        JsonWriter w = JSON_WRITER(&data);

        json_w_object_begin(&w);
        json_w_kv_uint(&w, "sessions", i->n_written);
        json_w_kv_uint(&w, "checkpoints", i->n_checkpoints_written);
        json_w_kv_uint(&w, "messages", i->n_messages);
        json_w_kv_uint(&w, "problems", i->report.n);
        json_w_object_end(&w);
        if (buf_error(&data) < 0)
                return buf_error(&data);
        return past_writer_finish(i->writer, EVENT_IMPORTED, (JsonSpan){ data.data, data.len });
}

static int state_rows(Import *i) {
        int r = import_list(i);

        if (r >= 0)
                r = import_sessions(i);
        if (r >= 0)
                r = write_summary(i);
        if (r >= 0)
                log_notice("Imported %llu sessions with %llu messages and %llu checkpoints",
                           (unsigned long long) i->n_written, (unsigned long long) i->n_messages,
                           (unsigned long long) i->n_checkpoints_written);
        return r;
}

static int state_into(Import *i, Store *store) {
        _cleanup_(session_manager_freep) SessionManager *m = NULL;
        static const SessionConfig config = {};
        sd_event *event = NULL;
        int r = sd_event_new(&event);

        if (r >= 0)
                r = session_manager_new(&m, event, store, &config, NULL, NULL);
        if (r >= 0)
                r = session_manager_load(m, NULL, NULL);
        if (r >= 0)
                r = store_flush(store);
        if (r >= 0)
                r = past_writer_new(&i->writer, m);
        if (r >= 0)
                r = state_rows(i);
        i->writer = past_writer_free(i->writer);
        sd_event_unref(event);
        return r;
}

static int import_state(const ImportFiles *f, Import *i, char **ret_message) {
        Store *store = NULL;
        int r = open_target(f, &state_schema, &store, ret_message);

        if (r >= 0)
                r = state_into(i, store);
        store_free(store);
        return r;
}

static int import_memory_db(const ImportFiles *f, Import *i, char **ret_message) {
        _cleanup_(store_freep) Store *store = NULL;
        int r = open_target(f, &memory_schema, &store, ret_message);

        return r < 0 ? r : import_memory(i->source, store, &i->report);
}

/* ---- both ---- */

static int import_rows(const ImportFiles *f, ImportKind kind, Import *i, char **ret_message) {
        int r = kind == IMPORT_STATE ? import_state(f, i, ret_message)
                                     : import_memory_db(f, i, ret_message);
        if (r < 0)
                return r;
        if (import_report_sync(&i->report) < 0)
                log_warning(i->report.error, "Cannot write %s", f->report);
        if (i->report.n > 0)
                log_notice("%llu things in %s were not sound: see %s; the original is kept as %s",
                           (unsigned long long) i->report.n, f->path, f->report, f->original);
        return 0;
}

/* 0: it is not the original's. */
static int import_all(const ImportFiles *f, ImportKind kind, char **ret_message) {
        _cleanup_(import_done) Import i = { .report = { .path = f->report, .fd = -EBADF } };
        int r = store_foreign_open(&i.source, f->is_copied ? f->copy : f->path,
                                   &original_schema[kind], f->is_copied);

        if (r >= 0)
                r = original_check(i.source, kind);
        if (r <= 0)
                return r == -EUCLEAN ? 0 : r; /* who opens it says what is wrong with it */
        log_notice("Importing %s from the original AgentRuntime", f->path);
        r = store_read_begin(i.source);
        if (r < 0)
                return r;
        r = import_rows(f, kind, &i, ret_message);
        store_read_end(i.source);
        return r < 0 ? r : 1;
}

static int import_new(ImportFiles *f, ImportKind kind, char **ret_message) {
        int r = import_files_probe(f);

        if (r < 0 || (r > 0 && import_files_is_locked(f)))
                return r < 0 ? r : 0;
        import_files_clean(f); /* also behind the last step of one that was killed just there */
        if (r == 0)
                return 0;
        r = import_files_prepare(f, ret_message);
        if (r >= 0)
                r = import_all(f, kind, ret_message);
        if (r > 0) {
                r = import_files_complete(f);
                return r < 0 ? r : import_files_finish(f, ret_message);
        }
        import_files_clean(f);
        return r;
}

int import_original(const char *path, ImportKind kind, char **ret_message) {
        _cleanup_(import_files_done) ImportFiles f = {};
        int r = import_files_init(&f, path);

        if (r >= 0)
                r = import_files_finish(&f, ret_message);
        if (r == 0)
                r = import_new(&f, kind, ret_message);
        if (r < 0 && !*ret_message)
                *ret_message = str_printf("cannot import %s: %s", path, strerror(-r));
        return r;
}
