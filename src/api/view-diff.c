/* SPDX-License-Identifier: MIT */

/* The parts of a comparison as JSON.
 *
 * Values are compared as they were written: 1 and 1.0 differ, and so do two spellings of one
 * object, because that is what clients get back. Names are compared decoded; a map of one side
 * makes it one pass over each however many there are. */

#include <stdio.h>

#include "api/api-internal.h"
#include "base/map.h"

/* ---- named values ---- */

typedef struct Member {
        char *name;
        JsonSpan key, value;
} Member;

typedef struct Members {
        Member *items;
        size_t n;
        StrMap *by_name;
} Members;

static void members_done(Members *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->items[i].name);
        free(l->items);
        strmap_free(l->by_name);
}

static int members_read(JsonSpan object, Members *ret) {
        JsonIter it = json_iter(object);
        JsonSpan key, value;

        ret->items = calloc(json_count(object) + 1, sizeof(Member));
        ret->by_name = strmap_new();
        if (!ret->items || !ret->by_name)
                return -ENOMEM;
        while (json_next(&it, &key, &value)) {
                Member *m = &ret->items[ret->n];
                int r = json_string_dup(key, &m->name, NULL);
                if (r < 0)
                        return r;
                m->key = key;
                m->value = value;
                ret->n++;
                r = strmap_put(ret->by_name, m->name, m);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void write_member(JsonWriter *w, const Member *m) {
        json_w_raw(w, m->key);
        (void) buf_putc(w->buf, ':');
        w->comma = false;
}

static void write_from_to(JsonWriter *w, JsonSpan from, JsonSpan to) {
        json_w_object_begin(w);
        json_w_kv_raw(w, "from", from);
        json_w_kv_raw(w, "to", to);
        json_w_object_end(w);
}

/* The members of a that b has not. */
static void write_only(JsonWriter *w, const char *name, const Members *a, const Members *b) {
        json_w_key(w, name);
        json_w_object_begin(w);
        for (size_t i = 0; i < a->n; i++)
                if (!strmap_get(b->by_name, a->items[i].name)) {
                        write_member(w, &a->items[i]);
                        json_w_raw(w, a->items[i].value);
                }
        json_w_object_end(w);
}

static bool spans_equal(JsonSpan a, JsonSpan b) {
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static void write_changed(JsonWriter *w, const Members *from, const Members *to) {
        json_w_key(w, "changed");
        json_w_object_begin(w);
        for (size_t i = 0; i < to->n; i++) {
                const Member *old = strmap_get(from->by_name, to->items[i].name);
                if (!old || spans_equal(old->value, to->items[i].value))
                        continue;
                write_member(w, &to->items[i]);
                write_from_to(w, old->value, to->items[i].value);
        }
        json_w_object_end(w);
}

int view_diff_values(JsonWriter *w, JsonSpan from, JsonSpan to) {
        _cleanup_(members_done) Members a = {}, b = {};
        int r = members_read(from, &a);

        if (r >= 0)
                r = members_read(to, &b);
        if (r < 0)
                return r;
        json_w_object_begin(w);
        write_only(w, "added", &b, &a);
        write_only(w, "removed", &a, &b);
        write_changed(w, &a, &b);
        json_w_object_end(w);
        return 0;
}

/* ---- points and configuration ---- */

void view_diff_point(JsonWriter *w, const SessionSide *side) {
        json_w_object_begin(w);
        json_w_kv_id_or_null(w, "checkpoint", side->checkpoint);
        json_w_kv_id_or_null(w, "branch", side->branch);
        json_w_kv_id_or_null(w, "node", side->node);
        json_w_kv_bool(w, "now", side->is_now);
        json_w_kv_id_or_null(w, "head", side->head);
        json_w_kv_uint(w, "message_count", side->message_count);
        json_w_kv_id(w, "variables_version", side->vars);
        view_tree(w, side->has_tree ? side->tree : NULL);
        json_w_object_end(w);
}

static void config_member(JsonWriter *w, const char *name, JsonSpan from, JsonSpan to) {
        if (spans_equal(from, to))
                return;
        json_w_key(w, name);
        write_from_to(w, from, to);
}

static void model_member(JsonWriter *w, const char *from, const char *to) {
        if (streq_ptr(from, to))
                return;
        json_w_key(w, "model");
        json_w_object_begin(w);
        json_w_kv_string(w, "from", from);
        json_w_kv_string(w, "to", to);
        json_w_object_end(w);
}

void view_diff_config(JsonWriter *w, const ConfigInfo *from, const ConfigInfo *to) {
        json_w_object_begin(w);
        model_member(w, from->model, to->model);
        config_member(w, "system_prompt", from->system_prompt, to->system_prompt);
        config_member(w, "tools", from->tools, to->tools);
        config_member(w, "agent", from->agent, to->agent);
        json_w_object_end(w);
}

/* ---- files ---- */

static void file_side(JsonWriter *w, const char *size, const char *mode, const WorkspaceSide *s) {
        char octal[8];

        (void) snprintf(octal, sizeof(octal), "%04o", s->mode & 07777);
        json_w_key(w, size);
        if (s->exists)
                json_w_uint(w, s->size_bytes);
        else
                json_w_null(w);
        json_w_kv_string(w, mode, !s->exists ? NULL : s->is_link ? "link" : octal);
}

static void view_file(JsonWriter *w, const WorkspaceChange *c) {
        static const char *const words[_WORKSPACE_CHANGE_KIND_MAX] = {
                [WORKSPACE_ADDED] = "added",
                [WORKSPACE_REMOVED] = "removed",
                [WORKSPACE_MODIFIED] = "modified",
        };

        json_w_object_begin(w);
        json_w_kv_string(w, "path", c->path);
        json_w_kv_string(w, "change", words[c->kind]);
        file_side(w, "from_size", "from_mode", &c->from);
        file_side(w, "to_size", "to_mode", &c->to);
        json_w_kv_string(w, "patch", c->patch);
        json_w_object_end(w);
}

void view_diff_files(JsonWriter *w, const SessionDiff *d) {
        const WorkspaceDiff *f = &d->files;
        uint64_t all = f->added + f->removed + f->modified, end = f->skip + f->n_changes;

        json_w_object_begin(w);
        json_w_kv_bool(w, "compared", d->has_files);
        json_w_kv_string(w, "reason", d->has_files ? NULL : d->no_files);
        json_w_kv_uint(w, "added", f->added);
        json_w_kv_uint(w, "removed", f->removed);
        json_w_kv_uint(w, "modified", f->modified);
        json_w_kv_uint(w, "unknown", f->unknown);
        json_w_key(w, "items");
        json_w_array_begin(w);
        for (size_t i = 0; i < f->n_changes; i++)
                view_file(w, &f->changes[i]);
        json_w_array_end(w);
        json_w_key(w, "next_skip");
        if (d->has_files && end < all)
                json_w_uint(w, end);
        else
                json_w_null(w);
        json_w_object_end(w);
}
