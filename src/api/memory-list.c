/* SPDX-License-Identifier: MIT */

/* Lists of long-term memory. Without a limit they are streamed in pieces, each a query of its own
 * that begins behind the last key, so that a list of any length takes bounded memory and a slow
 * reader holds no snapshot; what changes meanwhile is seen or not, but no key twice. With a limit
 * one page is answered, with a link to the next, and it ends early when it is large. */

#include "api/handlers.h"

#define PAGE           256
#define PAGE_BYTES_MAX ((size_t) 8 << 20)

typedef struct ListReply {
        ApiPull pull;
        MemoryManager *memory;
        MemoryScope scope;
        char *prefix, *after;
        bool details, is_begun, more;
        size_t remaining; /* SIZE_MAX: no limit */
        size_t bytes_max;
        size_t n; /* in the page */
        JsonWriter w;
} ListReply;

static ApiPull *memory_list_free(ApiPull *p) {
        ListReply *l = container_of(p, ListReply, pull);

        free(l->prefix);
        free(l->after);
        free(l);
        return NULL;
}

static int list_entry(const MemoryEntry *e, void *userdata) {
        ListReply *l = userdata;

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
        ListReply *l = container_of(p, ListReply, pull);

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
                MemoryList list = { l->scope, l->prefix, after, want, l->details };
                int r = memory_list(l->memory, &list, list_entry, l);
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
static void reply_page(ApiCall *c, ListReply *l) {
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

static int list_new(ApiCall *c, MemoryScope scope, ListReply **ret) {
        const InputMemory *in = c->in;
        ListReply *l = calloc(1, sizeof(*l));

        if (!l)
                return -ENOMEM;
        *l = (ListReply){
                .pull = { .next = memory_list_next, .destroy = memory_list_free },
                .memory = c->api->memory,
                .scope = { .namespace_id = scope.namespace_id, .id = scope.id },
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

void api_memory_list(ApiCall *c, MemoryScope scope) {
        ListReply *l;
        int r = list_new(c, scope, &l);

        if (r < 0)
                api_fail_result(c, r);
        else if (l->remaining == SIZE_MAX)
                api_reply_pull(c, &l->pull, "application/json");
        else
                reply_page(c, l);
}
