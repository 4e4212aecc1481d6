/* SPDX-License-Identifier: MIT */

/* Long-term memory, of a session (which is its namespace's, as in the original) and of a namespace.
 * A session's run writes only as long as it is the current one: memory is another database, so the
 * fence is checked here, in the same turn of the loop in which the write is submitted. */

#include "api/handlers.h"

#define PAGE           256
#define PAGE_BYTES_MAX ((size_t) 8 << 20)

/* The namespace that the route is about; or answered and 1. */
static int namespace_of(ApiCall *c, uint64_t *ret) {
        const InputMemory *in = c->in;

        if (!c->session)
                return api_namespace(c, in->namespace, false, ret);
        *ret = session_info(c->session)->namespace_id;
        return 0;
}

/* False: the caller's run is over, and that was answered. */
static bool check_run(ApiCall *c) {
        if (c->caller.kind != CALLER_RUN ||
            session_of_run(c->api->sessions, c->caller.run) == c->session)
                return true;
        api_fail(c, ERROR_STALE_RUN);
        return false;
}

/* ---- one entry ---- */

static int write_entry(const MemoryEntry *e, void *userdata) {
        JsonWriter *w = userdata;

        json_w_object_begin(w);
        json_w_kv_string(w, "key", e->key);
        json_w_kv_raw(w, "value", e->value);
        json_w_kv_time(w, "timestamp", e->updated_at);
        json_w_object_end(w);
        return 0;
}

static void reply_entry(ApiCall *c, uint64_t namespace_id, const char *key) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);
        int r = memory_get(c->api->memory, namespace_id, key, write_entry, &w);

        if (r == 0) {
                api_reply(c, &body);
                return;
        }
        buf_done(&body);
        c->subject = key;
        if (r == MEMORY_E_NOT_FOUND)
                api_fail(c, ERROR_MEMORY_NOT_FOUND);
        else
                api_fail_result(c, r);
}

/* ---- the list ---- */

typedef struct MemoryList {
        ApiPull pull;
        MemoryManager *memory;
        uint64_t namespace_id;
        char *prefix, *after;
        bool details, is_begun, more;
        size_t remaining; /* SIZE_MAX: no limit */
        size_t bytes_max;
        size_t n; /* in the page */
        JsonWriter w;
} MemoryList;

static ApiPull *memory_list_free(ApiPull *p) {
        MemoryList *l = container_of(p, MemoryList, pull);

        free(l->prefix);
        free(l->after);
        free(l);
        return NULL;
}

static int list_entry(const MemoryEntry *e, void *userdata) {
        MemoryList *l = userdata;

        if (l->remaining == 0 || l->w.buf->len >= l->bytes_max) {
                l->more = true;
                return 1;
        }
        char *after = strdup(e->key);
        if (!after)
                return -ENOMEM;
        free(l->after);
        l->after = after;
        if (l->remaining != SIZE_MAX)
                l->remaining--;
        l->n++;
        if (l->details)
                view_memory_entry(&l->w, e);
        else
                json_w_string(&l->w, e->key);
        return 0;
}

static int memory_list_next(ApiPull *p, Buf *out) {
        MemoryList *l = container_of(p, MemoryList, pull);

        l->w.buf = out;
        l->more = false;
        if (!l->is_begun) {
                json_w_object_begin(&l->w);
                json_w_key(&l->w, l->details ? "entries" : "keys");
                json_w_array_begin(&l->w);
        }
        l->is_begun = true;
        while (out->len < l->bytes_max && !l->more) {
                size_t want = MIN((size_t) PAGE,
                                  l->remaining == SIZE_MAX ? l->remaining : l->remaining + 1);
                l->n = 0;
                /* list_entry() moves `after` on while the query still uses the old text. */
                _cleanup_free_ char *after = l->after ? strdup(l->after) : NULL;
                if (l->after && !after)
                        return -ENOMEM;
                int r = memory_list(l->memory, l->namespace_id, l->prefix, after, want, l->details,
                                    list_entry, l);
                if (r < 0)
                        return r;
                if (l->n < want && !(l->more && l->remaining > 0)) {
                        json_w_array_end(&l->w);
                        json_w_object_end(&l->w);
                        return API_PULL_END;
                }
        }
        return API_PULL_MORE;
}

/* A page that Link may follow: it ends early when it is large. */
static void reply_page(ApiCall *c, MemoryList *l) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        int r = memory_list_next(&l->pull, &body);

        if (r == API_PULL_MORE) {
                json_w_array_end(&l->w);
                json_w_object_end(&l->w);
        }
        if (r >= 0 && (l->more || r == API_PULL_MORE))
                api_reply_next(c, "after", l->after);
        memory_list_free(&l->pull);
        if (r >= 0) {
                api_reply(c, &body);
                return;
        }
        buf_done(&body);
        api_fail_result(c, r);
}

static int list_new(ApiCall *c, uint64_t namespace_id, MemoryList **ret) {
        const InputMemory *in = c->in;
        MemoryList *l = calloc(1, sizeof(*l));

        if (!l)
                return -ENOMEM;
        *l = (MemoryList){
                .pull = { .next = memory_list_next, .destroy = memory_list_free },
                .memory = c->api->memory,
                .namespace_id = namespace_id,
                .prefix = in->prefix.s ? strdup(in->prefix.s) : NULL,
                .after = in->after.s ? strdup(in->after.s) : NULL,
                .details = in->details.v,
                .remaining = in->limit.set ? (size_t) in->limit.v : SIZE_MAX,
                .bytes_max = in->limit.set ? PAGE_BYTES_MAX : API_PIECE,
        };
        if ((in->prefix.s && !l->prefix) || (in->after.s && !l->after)) {
                memory_list_free(&l->pull);
                return -ENOMEM;
        }
        *ret = l;
        return 0;
}

static void reply_list(ApiCall *c, uint64_t namespace_id) {
        MemoryList *l;
        int r = list_new(c, namespace_id, &l);

        if (r < 0)
                api_fail_result(c, r);
        else if (l->remaining == SIZE_MAX)
                api_reply_pull(c, &l->pull, "application/json");
        else
                reply_page(c, l);
}

/* ---- routes ---- */

void api_memory_get(ApiCall *c) {
        const InputMemory *in = c->in;
        uint64_t namespace_id;

        if (namespace_of(c, &namespace_id) != 0)
                return;
        if (in->key.s)
                reply_entry(c, namespace_id, in->key.s);
        else
                reply_list(c, namespace_id);
}

static void write_changed(uint64_t id, Buf *out, void *userdata) {
        const InputMemory *in = ((const ApiCall *) userdata)->in;
        JsonWriter w = JSON_WRITER(out);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "status", in->value.p ? "stored" : "deleted");
        json_w_kv_string(&w, "key", in->key.s);
        json_w_object_end(&w);
}

static void on_changed(int r, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);
        const InputMemory *in = c->in;
        Buf body = BUF_INIT(API_REPLY_MAX);

        c->subject = in->key.s;
        if (r == MEMORY_E_NOT_FOUND) {
                api_fail(c, ERROR_MEMORY_NOT_FOUND);
                return;
        }
        if (r != 0) {
                api_fail_result(c, r);
                return;
        }
        write_changed(0, &body, c);
        api_reply(c, &body);
}

void api_memory_set(ApiCall *c) {
        const InputMemory *in = c->in;
        uint64_t namespace_id;

        if (namespace_of(c, &namespace_id) != 0 || !check_run(c))
                return;
        api_keyed_answer(c, write_changed, c);
        api_submitted(c, memory_set(c->api->memory, namespace_id, in->key.s, in->value,
                                    c->session_id, c->caller.run, on_changed, c));
}

void api_memory_delete(ApiCall *c) {
        const InputMemory *in = c->in;
        uint64_t namespace_id;

        if (namespace_of(c, &namespace_id) == 0 && check_run(c))
                api_submitted(c,
                              memory_delete(c->api->memory, namespace_id, in->key.s, on_changed, c));
}

void api_namespace_memory_get(ApiCall *c) {
        api_memory_get(c);
}

void api_namespace_memory_set(ApiCall *c) {
        api_memory_set(c);
}

void api_namespace_memory_delete(ApiCall *c) {
        api_memory_delete(c);
}
