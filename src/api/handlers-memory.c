/* SPDX-License-Identifier: MIT */

/* Long-term memory, of a session (by default what is its namespace's, as in the original) and of a
 * namespace. A session's run writes only as long as it is the current one: memory is another
 * database, so the fence is checked here, in the same turn of the loop in which the write is
 * submitted. The version of an entry is its ETag. */

#include <stdio.h>

#include "api/handlers.h"
#include "base/id.h"
#include "base/str.h"

/* ---- whose ---- */

int api_memory_scope(ApiCall *c, FieldStr namespace, const char *scope, MemoryScope *ret) {
        uint64_t namespace_id;

        if (!c->session) {
                int r = api_namespace(c, namespace, false, &namespace_id);
                if (r == 0)
                        *ret = memory_namespace_scope(namespace_id);
                return r;
        }
        const SessionInfo *i = session_info(c->session);
        *ret = memory_namespace_scope(i->namespace_id);
        if (streq_ptr(scope, "agent"))
                *ret = memory_agent_scope(i->namespace_id, i->name);
        else if (streq_ptr(scope, "session"))
                ret->id = i->id;
        return 0;
}

static int scope_of(ApiCall *c, MemoryScope *ret) {
        const InputMemory *in = c->in;

        return api_memory_scope(c, in->namespace, in->scope.s, ret);
}

/* False: the caller's run is over, and that was answered. */
static bool check_run(ApiCall *c) {
        if (c->caller.kind != CALLER_RUN ||
            session_of_run(c->api->sessions, c->caller.run) == c->session)
                return true;
        api_fail(c, ERROR_STALE_RUN);
        return false;
}

static void fail(ApiCall *c, int r) {
        c->subject = ((const InputMemory *) c->in)->key.s;
        if (r == MEMORY_E_NOT_FOUND)
                api_fail(c, ERROR_MEMORY_NOT_FOUND);
        else if (r == MEMORY_E_VERSION)
                api_fail(c, ERROR_MEMORY_VERSION);
        else
                api_fail_result(c, r);
}

float *api_embedding(ApiCall *c, JsonSpan numbers, size_t *ret_n) {
        JsonIter it = json_iter(numbers);
        size_t n = 0, count = json_count(numbers);
        float *v = field_arena_alloc(c->arena, (count + 1) * sizeof(float));
        JsonSpan number;
        double d = 0;

        while (v && json_next(&it, NULL, &number)) {
                (void) json_real(number, &d); /* it was checked */
                v[n++] = (float) d;
        }
        *ret_n = n;
        return v;
}

/* ---- reading ---- */

/* Without details it is the original's shape. */
typedef struct EntryReply {
        JsonWriter w;
        bool details;
        uint64_t version;
} EntryReply;

static int write_entry(const MemoryEntry *e, void *userdata) {
        EntryReply *reply = userdata;

        reply->version = e->version;
        if (reply->details) {
                view_memory_entry(&reply->w, e);
                return 0;
        }
        json_w_object_begin(&reply->w);
        json_w_kv_string(&reply->w, "key", e->key);
        json_w_kv_raw(&reply->w, "value", e->value);
        json_w_kv_time(&reply->w, "timestamp", e->updated_at);
        json_w_object_end(&reply->w);
        return 0;
}

static void reply_entry(ApiCall *c, MemoryScope scope) {
        const InputMemory *in = c->in;
        Buf body = BUF_INIT(API_REPLY_MAX);
        EntryReply reply = { .w = JSON_WRITER(&body), .details = in->details.v };
        char etag[ETAG_SIZE];
        usec_t as_of = 0;

        if (in->as_of.s)
                (void) clock_parse_rfc3339(in->as_of.s, &as_of); /* it was checked */
        int r = memory_get(c->api->memory, scope, in->key.s, as_of, write_entry, &reply);
        if (r == 0) {
                api_etag_version(reply.version, etag);
                if (!api_not_modified(c, etag)) {
                        api_reply(c, &body);
                        return;
                }
        } else
                fail(c, r);
        buf_done(&body);
}

void api_memory_get(ApiCall *c) {
        const InputMemory *in = c->in;
        MemoryScope scope;

        if (scope_of(c, &scope) != 0)
                return;
        if (in->key.s)
                reply_entry(c, scope);
        else
                api_memory_list(c, scope);
}

typedef struct HistoryReply {
        JsonWriter w;
        size_t limit, n;
        uint64_t last; /* the version of the last one that is in the page */
        bool more;
} HistoryReply;

static int write_version(const MemoryEntry *e, void *userdata) {
        HistoryReply *h = userdata;

        if (h->n == h->limit || h->w.buf->len > API_REPLY_MAX / 4) {
                h->more = true;
                return 1;
        }
        h->n++;
        h->last = e->version;
        view_memory_version(&h->w, e);
        return 0;
}

void api_memory_history(ApiCall *c) {
        const InputMemory *in = c->in;
        Buf body = BUF_INIT(API_REPLY_MAX);
        HistoryReply h = { .w = JSON_WRITER(&body),
                           .limit = in->limit.set ? (size_t) in->limit.v : 100 };
        MemoryScope scope;
        char last[32];

        if (scope_of(c, &scope) != 0)
                return;
        json_w_object_begin(&h.w);
        json_w_kv_string(&h.w, "key", in->key.s);
        json_w_key(&h.w, "versions");
        json_w_array_begin(&h.w);
        int r = memory_history(c->api->memory, scope, in->key.s, (uint64_t) in->before.v,
                               h.limit + 1, write_version, &h);
        json_w_array_end(&h.w);
        json_w_object_end(&h.w);
        if (r != 0) {
                buf_done(&body);
                fail(c, r);
                return;
        }
        (void) snprintf(last, sizeof(last), "%llu", (unsigned long long) h.last);
        if (h.more)
                api_reply_next(c, "before", last);
        api_reply(c, &body);
}

/* ---- writing ---- */

/* If-Match as a version: 0 any. False: it can match nothing, and that was answered. */
static bool parse_if_match(ApiCall *c, uint64_t *ret) {
        const FieldStr header = ((const InputMemory *) c->in)->if_match;
        char id[ID_STRING_SIZE] = "";

        *ret = 0;
        if (!header.s || streq(header.s, "*"))
                return true;
        size_t quoted = header.n == ID_STRING_SIZE + 1 && header.s[0] == '"';
        if (header.n - 2 * quoted == ID_STRING_SIZE - 1)
                memcpy(id, header.s + quoted, ID_STRING_SIZE - 1);
        if (id_parse(id, ret) == 0 && *ret != 0)
                return true;
        fail(c, MEMORY_E_VERSION);
        return false;
}

static void write_changed(uint64_t version, Buf *out, void *userdata) {
        const ApiCall *c = userdata;
        const InputMemory *in = c->in;
        JsonWriter w = JSON_WRITER(out);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "status", in->value.p ? "stored" : "deleted");
        json_w_kv_string(&w, "key", in->key.s);
        json_w_object_end(&w);
}

static void on_changed(int r, uint64_t version, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);
        Buf body = BUF_INIT(API_REPLY_MAX);

        if (r != 0) {
                fail(c, r);
                return;
        }
        write_changed(version, &body, c);
        if (((const InputMemory *) c->in)->value.p)
                api_reply_etag(c, version);
        api_reply(c, &body);
}

/* 0: on_changed() will answer. A condition is answered at once, with the ETag of what is there. */
static void submitted(ApiCall *c, int r, uint64_t version) {
        if (r <= 0) {
                api_submitted(c, r);
                return;
        }
        if (r == MEMORY_E_VERSION && version != 0)
                api_reply_etag(c, version);
        fail(c, r);
}

void api_memory_set(ApiCall *c) {
        const InputMemory *in = c->in;
        MemorySet set = {
                .key = in->key.s,
                .value = in->value,
                .text = in->text.s,
                .context = in->context.s,
                .metadata = in->metadata,
                .tags = in->tags,
                .importance = in->importance.set ? in->importance.v : -1,
                .expires_at = in->ttl.set ? clock_realtime() + (usec_t) in->ttl.v * USEC_PER_SEC : 0,
                .session = c->session_id,
                .run = c->caller.run,
                .node = in->node.v,
                .only_new = in->if_none_match.s != NULL,
        };
        uint64_t version = 0;

        if (in->embedding.p) {
                set.model = in->model.s ? in->model.s : MEMORY_MODEL_GIVEN;
                set.embedding = api_embedding(c, in->embedding, &set.n_embedding);
                if (!set.embedding) {
                        api_fail_result(c, -ENOMEM);
                        return;
                }
        }
        if (scope_of(c, &set.scope) != 0 || !check_run(c) || !parse_if_match(c, &set.if_version))
                return;
        api_keyed_answer(c, write_changed, c);
        int r = memory_set(c->api->memory, &set, on_changed, c, &version);
        submitted(c, r, version);
}

void api_memory_delete(ApiCall *c) {
        const InputMemory *in = c->in;
        uint64_t if_version, version = 0;
        MemoryScope scope;

        if (scope_of(c, &scope) != 0 || !check_run(c) || !parse_if_match(c, &if_version))
                return;
        int r = memory_delete(c->api->memory, scope, in->key.s, if_version, on_changed, c, &version);
        submitted(c, r, version);
}

/* ---- the same of a namespace ---- */

void api_namespace_memory_get(ApiCall *c) {
        api_memory_get(c);
}

void api_namespace_memory_set(ApiCall *c) {
        api_memory_set(c);
}

void api_namespace_memory_delete(ApiCall *c) {
        api_memory_delete(c);
}

void api_namespace_memory_history(ApiCall *c) {
        api_memory_history(c);
}
