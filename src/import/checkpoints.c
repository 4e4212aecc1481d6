/* SPDX-License-Identifier: MIT */

/* Checkpoints: each holds a whole state, which becomes a node that it shares with the states that begin
 * alike. All of them come pinned: the original never thinned, and the rules of ours (ten automatic ones,
 * five of an archived session) would take away in an hour what somebody has just brought over. */

#include "import/import-internal.h"

static int checkpoint_push(Import *i, CheckpointRef c, const char *key) {
        CheckpointRef *more;

        if ((i->n_checkpoints & (i->n_checkpoints - 1)) == 0) { /* a power of two: full */
                size_t n = i->n_checkpoints ? i->n_checkpoints * 2 : 1;
                more = reallocarray(i->checkpoints, n, sizeof(CheckpointRef));
                if (!more)
                        return -ENOMEM;
                i->checkpoints = more;
        }
        c.key = strdup(key);
        if (!c.key)
                return -ENOMEM;
        c.order = i->n_checkpoints;
        i->checkpoints[i->n_checkpoints++] = c;
        return 0;
}

static int checkpoint_list(Import *i, StrMap *sessions, StoreCursor *c) {
        const char *key = column_text(c, 1), *session = column_text(c, 2);
        size_t place = session ? (size_t) (uintptr_t) strmap_get(sessions, session) : 0;

        if (key && place > 0)
                return checkpoint_push(
                        i, (CheckpointRef){ .row = store_id(c, 0), .session = place - 1 }, key);
        import_report(&i->report, "checkpoints", key,
                      key ? "its session is not there" : "its id is no text", "it is left out");
        return 0;
}

static int compare_ref(const void *a, const void *b) {
        const CheckpointRef *x = a, *y = b;

        if (x->session != y->session)
                return x->session > y->session ? 1 : -1;
        return (x->order > y->order) - (x->order < y->order);
}

int import_checkpoints_list(Import *i, StrMap *sessions) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(i->source, &c, ORIGINAL_CHECKPOINT_IDS, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0)
                r = checkpoint_list(i, sessions, c);
        if (r >= 0 && i->n_checkpoints > 0)
                qsort(i->checkpoints, i->n_checkpoints, sizeof(CheckpointRef), compare_ref);
        return r;
}

static CheckpointKind kind_of(const char *label) {
        static const struct {
                const char *label;
                CheckpointKind kind;
        } kinds[] = {
                { "pause-checkpoint", CHECKPOINT_PAUSE },
                { "stop-checkpoint", CHECKPOINT_STOP },
                { "shutdown-checkpoint", CHECKPOINT_SHUTDOWN },
                { "auto-checkpoint", CHECKPOINT_AUTO },
        };

        for (size_t i = 0; label && i < ELEMENTSOF(kinds); i++)
                if (streq(kinds[i].label, label))
                        return kinds[i].kind;
        return CHECKPOINT_MANUAL;
}

static void state_of_json(JsonSpan json, usec_t time, OriginalState *ret) {
        JsonSpan prompt = json_get(json, "system_prompt");

        ret->model = member_text(json, "model");
        if (prompt.p && json_is(prompt, JSON_KIND_STRING))
                ret->prompt = strndup(prompt.p, prompt.n);
        ret->tools = json_get(json, "tools");
        ret->memory = json_get(json, "memory");
        ret->messages = json_get(json, "messages");
        ret->history = json_get(json, "tool_history");
        ret->time = time;
}

static int checkpoint_write(
        Import *i, const CheckpointRef *ref, PastSession *past, StoreCursor *c, JsonSpan json) {
        _cleanup_(original_state_done) OriginalState state = {};
        Origin o = { &i->report, "checkpoints", ref->key };
        PastCheckpoint row = {
                .id = ref->id,
                .label = column_text(c, 0),
                .created_at = original_time(column_text(c, 2)),
                .pinned = true,
        };
        uint64_t n = 0;
        PastState at;

        row.kind = kind_of(row.label);
        if (row.created_at == 0) {
                row.created_at = clock_realtime();
                origin_problem(&o, "it has no time", "it got the present one");
        }
        state_of_json(json, row.created_at, &state);
        int r = original_state_write(&o, past, &state, &at, &n);
        if (r >= 0)
                r = past_checkpoint(past, &row, &at);
        i->n_checkpoints_written += r >= 0;
        return r;
}

static int checkpoint_import(Import *i, const CheckpointRef *ref, PastSession *past) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        Origin o = { &i->report, "checkpoints", ref->key };
        JsonSpan json = {};
        int r = STORE_QUERY(i->source, &c, ORIGINAL_CHECKPOINT, STORE_ID(ref->row));

        if (r >= 0)
                r = store_next(c);
        if (r < 0 && r != -EUCLEAN)
                return r;
        if (r > 0 && column_json(c, 1, &json) == 0 && json_is(json, JSON_KIND_OBJECT))
                return checkpoint_write(i, ref, past, c, json);
        origin_problem(&o, r > 0 ? "its state is no JSON object" : "its row is damaged",
                       "it is left out");
        return 0;
}

int import_checkpoints(Import *i, PastSession *past, size_t n, size_t *at) {
        int r = 0;

        for (; r >= 0 && *at < i->n_checkpoints && i->checkpoints[*at].session == n; (*at)++) {
                const CheckpointRef *ref = &i->checkpoints[*at];
                if (past)
                        r = checkpoint_import(i, ref, past);
                else
                        import_report(&i->report, "checkpoints", ref->key, "its session is damaged",
                                      "it is left out");
        }
        return r;
}
