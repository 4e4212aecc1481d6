/* SPDX-License-Identifier: MIT */

/* Lists of what belongs to one session: checkpoints, branches, forks, runs. The rows are committed
 * by nature, so a list needs no snapshot; it goes on behind the last id at each page, whatever is
 * added or deleted meanwhile.
 *
 * With a limit the whole page is made first, because Link must stand in front of it; without one it
 * is streamed. */

#include "api/api-internal.h"

#define PAGE 256

bool api_list_item(ApiList *l, uint64_t id) {
        if (l->remaining == 0) {
                l->more = true;
                return false;
        }
        if (l->remaining != SIZE_MAX)
                l->remaining--;
        l->after = id;
        l->n++;
        return true;
}

static int list_next(ApiPull *p, Buf *out) {
        ApiList *l = container_of(p, ApiList, pull);
        Session *s = session_get(l->sessions, l->session);
        size_t piece_end = out->len + API_PIECE; /* a whole page has earlier pieces in it */

        l->w.buf = out;
        if (!l->is_begun)
                json_w_array_begin(&l->w);
        l->is_begun = true;
        while (s && out->len < piece_end) {
                size_t want = MIN((size_t) PAGE,
                                  l->remaining == SIZE_MAX ? l->remaining : l->remaining + 1);
                l->n = 0;
                int r = l->page(l, s, want);
                if (r < 0)
                        return r;
                if (l->n < want) { /* the end, or the limit */
                        json_w_array_end(&l->w);
                        return API_PULL_END;
                }
        }
        if (s)
                return API_PULL_MORE;
        json_w_array_end(&l->w);
        return API_PULL_END;
}

static ApiPull *list_free(ApiPull *p) {
        free(container_of(p, ApiList, pull));
        return NULL;
}

static void reply_whole(ApiCall *c, ApiList *l) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        int r;

        while ((r = list_next(&l->pull, &body)) == API_PULL_MORE)
                ;
        if (r >= 0 && l->more)
                api_reply_next_id(c, "after", l->after);
        list_free(&l->pull);
        if (r >= 0) {
                api_reply(c, &body);
                return;
        }
        buf_done(&body);
        api_fail_result(c, r);
}

void api_reply_list(ApiCall *c, FieldInt limit, size_t fallback, FieldId after, ApiListPage page) {
        ApiList *l = calloc(1, sizeof(*l));

        if (!l) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        *l = (ApiList){
                .pull = { .next = list_next, .destroy = list_free },
                .sessions = c->api->sessions,
                .sup = c->api->config.sup,
                .session = c->session_id,
                .after = after.v,
                .page = page,
                .remaining = limit.set ? (size_t) limit.v : fallback,
        };
        if (l->remaining == SIZE_MAX)
                api_reply_pull(c, &l->pull, "application/json");
        else
                reply_whole(c, l);
}
