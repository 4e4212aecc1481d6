/* SPDX-License-Identifier: MIT */

/* Sessions. Ids of ours are drawn for all of them and for all checkpoints first, in order of
 * creation, because none may be equal to an old id of another one; the old ids become names
 * (base/id.h), so whoever has written one down finds the session under it and sees no other.
 *
 * A session that was running comes back stopped: the original kept nothing that could still run.
 * One that was stopped counts as stopped now, or the session timeout would archive it before
 * anybody has seen it. */

#include "base/id.h"
#include "base/log.h"
#include "import/import-internal.h"

#define PROGRESS_EVERY 1000

static void refs_done(Import *i) {
        for (size_t k = 0; k < i->n_sessions; k++)
                free(i->sessions[k].key);
        for (size_t k = 0; k < i->n_checkpoints; k++)
                free(i->checkpoints[k].key);
        free(i->sessions);
        free(i->checkpoints);
}

void import_done(Import *i) {
        refs_done(i);
        past_writer_free(i->writer);
        import_report_done(&i->report);
        store_reader_free(i->source);
}

/* ---- ids ---- */

static int session_push(Import *i, StrMap *keys, uint64_t row, const char *key) {
        if (!key || strmap_get(keys, key)) {
                import_report(&i->report, "sessions", key,
                              key ? "it is there twice" : "its id is no text", "it is left out");
                return 0;
        }
        SessionRef *more = reallocarray(i->sessions, i->n_sessions + 1, sizeof(SessionRef));
        if (!more)
                return -ENOMEM;
        i->sessions = more;
        char *copy = strdup(key);
        if (!copy)
                return -ENOMEM;
        i->sessions[i->n_sessions++] = (SessionRef){ .row = row, .key = copy };
        /* The place is kept as a number plus one: the array moves. */
        int r = strmap_put(keys, copy, (void *) (uintptr_t) i->n_sessions);
        return MIN(r, 0);
}

static int sessions_list(Import *i, StrMap *keys) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(i->source, &c, ORIGINAL_SESSION_IDS, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0)
                r = session_push(i, keys, store_id(c, 0), column_text(c, 1));
        return r;
}

static int compare_alias(const void *a, const void *b) {
        const IdAlias *x = a, *y = b;

        if (x->name != y->name)
                return x->name > y->name ? 1 : -1;
        return (x->id > y->id) - (x->id < y->id);
}

static bool is_name(const IdAlias *sorted, size_t n, uint64_t id) {
        size_t low = 0, high = n;

        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (sorted[mid].name < id)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < n && sorted[low].name == id;
}

/* The id of the n-th: sessions, then checkpoints. */
static uint64_t *ref_id(Import *i, size_t n) {
        return n < i->n_sessions ? &i->sessions[n].id : &i->checkpoints[n - i->n_sessions].id;
}

static void no_name(Import *i, size_t n) {
        bool is_session = n < i->n_sessions;
        char outcome[sizeof("its id is ") + ID_STRING_SIZE] = "its id is ";

        (void) id_format(*ref_id(i, n), outcome + strlen(outcome));
        import_report(&i->report, is_session ? "sessions" : "checkpoints",
                      is_session ? i->sessions[n].key : i->checkpoints[n - i->n_sessions].key,
                      "its id is not 16 hex digits of its own", outcome);
}

/* In the list only while it is being made: `id` is the number of the session or checkpoint. */
static size_t names_collect(Import *i, IdAlias *list) {
        size_t n = i->n_sessions + i->n_checkpoints, n_names = 0;

        for (size_t k = 0; k < n; k++) {
                const char *key = k < i->n_sessions ? i->sessions[k].key
                                                    : i->checkpoints[k - i->n_sessions].key;
                uint64_t name = original_id(key);
                if (name > 0)
                        list[n_names++] = (IdAlias){ .id = k, .name = name };
        }
        qsort(list, n_names, sizeof(IdAlias), compare_alias);
        return n_names;
}

static void ids_draw(Import *i, const IdAlias *names, size_t n_names) {
        for (size_t k = 0; k < i->n_sessions + i->n_checkpoints; k++)
                do
                        *ref_id(i, k) = id_new();
                while (is_name(names, n_names, *ref_id(i, k)));
}

/* Of several with one name the first keeps it. */
static size_t names_unique(Import *i, IdAlias *names, size_t n_names) {
        size_t n = 0;

        for (size_t k = 0; k < n_names; k++)
                if (n == 0 || names[n - 1].name != names[k].name)
                        names[n++] = names[k];
        for (size_t k = 0; k < n; k++)
                names[k].id = *ref_id(i, (size_t) names[k].id);
        return n;
}

static int names_write(Import *i, const IdAlias *names, size_t n) {
        for (size_t k = 0; k < n; k++) {
                int r = past_alias(i->writer, names[k].id, names[k].name);
                if (r < 0)
                        return r;
        }
        for (size_t k = 0; k < i->n_sessions + i->n_checkpoints; k++) {
                char id[ID_STRING_SIZE];
                const char *key = k < i->n_sessions ? i->sessions[k].key
                                                    : i->checkpoints[k - i->n_sessions].key;
                if (original_id(id_format(*ref_id(i, k), id)) != original_id(key))
                        no_name(i, k);
        }
        return 0;
}

static int names_make(Import *i) {
        size_t n = i->n_sessions + i->n_checkpoints;
        _cleanup_free_ IdAlias *names = reallocarray(NULL, n + 1, sizeof(IdAlias));

        if (!names)
                return -ENOMEM;
        size_t n_names = names_collect(i, names);
        ids_draw(i, names, n_names);
        n_names = names_unique(i, names, n_names);
        int r = id_aliases_set(names, n_names);
        return r < 0 ? r : names_write(i, names, n_names);
}

int import_list(Import *i) {
        _cleanup_(strmap_freep) StrMap *keys = strmap_new();

        if (!keys)
                return -ENOMEM;
        int r = sessions_list(i, keys);
        if (r >= 0)
                r = import_checkpoints_list(i, keys);
        return r < 0 ? r : names_make(i);
}

/* ---- rows ---- */

static void row_problem(const Origin *o, const char *problem) {
        origin_problem(o, problem, "it is left out");
}

static JsonSpan row_json(StoreCursor *c, unsigned col) {
        JsonSpan v = {};

        (void) column_json(c, col, &v);
        return v;
}

static int copy_text(const char *text, char **ret) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

static int prompt_json(const char *text, char **ret) {
        _cleanup_buf_ Buf b = BUF_INIT((size_t) 1 << 30);
        JsonWriter w = JSON_WRITER(&b);

        if (!text)
                return 0;
        json_w_string(&w, text);
        *ret = buf_take(&b, NULL);
        return *ret ? 0 : -ENOMEM;
}

static int row_state(StoreCursor *c, usec_t time, OriginalState *ret) {
        int r = copy_text(column_text(c, 1), &ret->model);

        if (r >= 0)
                r = prompt_json(column_text(c, 2), &ret->prompt);
        ret->tools = row_json(c, 3);
        ret->memory = row_json(c, 5);
        ret->messages = row_json(c, 6);
        ret->history = row_json(c, 7);
        ret->time = time;
        return r;
}

static const struct {
        const char *word;
        SessionSubstate substate;
        const char *reason;
} statuses[] = {
        { "created", SUBSTATE_NEW, NULL },
        { "running", SUBSTATE_EXITED, "it was running when it was imported; resume goes on" },
        { "paused", SUBSTATE_PARKED, NULL },
        { "stopped", SUBSTATE_EXITED, NULL },
        { "error", SUBSTATE_FAILED, "it had failed when it was imported" },
};

static void row_status(const Origin *o, const char *word, PastSessionRow *row) {
        for (size_t i = 0; word && i < ELEMENTSOF(statuses); i++)
                if (streq(statuses[i].word, word)) {
                        row->substate = statuses[i].substate;
                        row->reason = statuses[i].reason;
                        return;
                }
        row->substate = SUBSTATE_EXITED;
        row->reason = "its status was not known when it was imported";
        origin_problem(o, "its status is none", "it is stopped");
}

static usec_t row_time(const Origin *o, StoreCursor *c, unsigned col, usec_t else_time) {
        usec_t t = original_time(column_text(c, col));

        if (t > 0)
                return t;
        origin_problem(o, "it has no time", "it got another");
        return else_time;
}

static int label_of_id(const char *key, Buf *b, JsonSpan *ret) {
        JsonWriter w = JSON_WRITER(b);

        if (original_id(key) > 0)
                return 0;
        json_w_object_begin(&w);
        json_w_kv_string(&w, "original-id", key);
        json_w_object_end(&w);
        *ret = (JsonSpan){ b->data, b->len };
        return buf_error(b);
}

static int row_write(
        const Origin *o, PastSession *past, StoreCursor *c, const PastState *state, usec_t created) {
        _cleanup_buf_ Buf labels = BUF_INIT((size_t) 1 << 20);
        const char *name = column_text(c, 0);
        PastSessionRow row = {
                .name = str_isempty(name) ? o->key : name,
                .created_at = created,
                .updated_at = row_time(o, c, 9, created),
        };

        if (str_isempty(name))
                origin_problem(o, "its name is no text", "its name is its id");
        row_status(o, column_text(c, 4), &row);
        if (row.substate == SUBSTATE_EXITED)
                row.stopped_at = clock_realtime();
        int r = label_of_id(o->key, &labels, &row.labels);
        return r < 0 ? r : past_session_end(past, &row, state);
}

static int session_write(Import *i, const SessionRef *s, PastSession *past, StoreCursor *c) {
        _cleanup_(original_state_done) OriginalState state = {};
        Origin o = { &i->report, "sessions", s->key };
        usec_t created = row_time(&o, c, 8, clock_realtime());
        PastState at;

        int r = row_state(c, created, &state);
        if (r >= 0)
                r = original_state_write(&o, past, &state, &at, &i->n_messages);
        return r < 0 ? r : row_write(&o, past, c, &at, created);
}

/* 0: the row cannot be read. */
static int session_import(Import *i, const SessionRef *s, PastSession *past) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        Origin o = { &i->report, "sessions", s->key };
        int r = STORE_QUERY(i->source, &c, ORIGINAL_SESSION, STORE_ID(s->row));

        if (r >= 0)
                r = store_next(c);
        if (r == -EUCLEAN || r == 0) {
                row_problem(&o, "its row is damaged");
                return 0;
        }
        if (r > 0)
                r = session_write(i, s, past, c);
        return r < 0 ? r : 1;
}

static int session_with_checkpoints(Import *i, size_t n, size_t *at) {
        _cleanup_(past_session_freep) PastSession *past = NULL;
        int r = past_session_begin(i->writer, i->sessions[n].id, &past);

        if (r >= 0)
                r = session_import(i, &i->sessions[n], past);
        if (r < 0)
                return r;
        i->n_written += (uint64_t) r;
        return import_checkpoints(i, r > 0 ? past : NULL, n, at);
}

int import_sessions(Import *i) {
        size_t at = 0;

        for (size_t n = 0; n < i->n_sessions; n++) {
                int r = session_with_checkpoints(i, n, &at);
                if (r < 0)
                        return r;
                if ((n + 1) % PROGRESS_EVERY == 0)
                        log_notice("Imported %zu of %zu sessions", n + 1, i->n_sessions);
        }
        return 0;
}
