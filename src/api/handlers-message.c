/* SPDX-License-Identifier: MIT */

/* Messages: append, read, wait. Reading takes the head at the time of the request, so a page is of
 * one conversation whatever is appended or restored meanwhile.
 *
 * With `after` (or behind a page's end) the first messages there are read and Link leads on;
 * without it the last ones. A page ends early when it is large: Link says whether there is more. */

#include "api/handlers.h"
#include "api/wait.h"
#include "base/str.h"

#define PAGE_BYTES_MAX ((size_t) 8 << 20)
#define PAGE_DEFAULT   1000

/* ---- append ---- */

typedef struct Append {
        ApiCall *call;
        NodeInfo node;
} Append;

static void write_appended(uint64_t id, Buf *out, void *userdata) {
        const Append *a = userdata;
        JsonWriter w = JSON_WRITER(out);

        view_message(&w, &a->node);
}

static void on_appended(int r, Session *s, uint64_t id, void *userdata) {
        const Append *a = userdata;
        Buf body = BUF_INIT(API_REPLY_MAX);

        if (r != 0) {
                api_fail_result(a->call, r);
                return;
        }
        write_appended(id, &body, userdata);
        api_reply(a->call, &body);
}

/* The answer is written from the request, whose bytes are the node's: to read them back would be a
 * tenth of what an append costs. */
void api_message_append(ApiCall *c) {
        const InputMessageAppend *in = c->in;
        Append *a = field_arena_alloc(c->arena, sizeof(*a));

        if (!a) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        a->call = c;
        api_keyed_answer(c, write_appended, a);
        api_submitted(c, session_append_node(c->session, c->caller.run, in->role.s, in->content,
                                             in->tool_calls, &a->node, on_appended, a));
}

/* ---- read ---- */

typedef struct MessageList {
        ApiPull pull;
        MessageWalk walk;
        JsonWriter w;
        size_t page_end; /* a page that is made whole stops at this many bytes */
        bool is_begun;
} MessageList;

static int on_message(const NodeInfo *n, void *userdata) {
        MessageList *l = userdata;

        view_message(&l->w, n);
        return l->w.buf->len >= l->page_end;
}

static int message_list_next(ApiPull *p, Buf *out) {
        MessageList *l = container_of(p, MessageList, pull);

        l->w.buf = out;
        if (!l->is_begun)
                json_w_array_begin(&l->w);
        l->is_begun = true;
        int r = message_walk(&l->walk, on_message, l);
        if (r != 0)
                return r < 0 ? r : API_PULL_MORE;
        json_w_array_end(&l->w);
        return API_PULL_END;
}

static ApiPull *message_list_free(ApiPull *p) {
        free(container_of(p, MessageList, pull));
        return NULL;
}

static int is_there(const NodeInfo *n, void *userdata) {
        return 1;
}

/* Whole, because Link stands in front of it. */
static void reply_page(ApiCall *c, const MessageWalk *walk) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        MessageList l = { .walk = *walk, .w = JSON_WRITER(&body), .page_end = PAGE_BYTES_MAX };

        json_w_array_begin(&l.w);
        int r = message_walk(&l.walk, on_message, &l);
        json_w_array_end(&l.w);
        if (r >= 0 && l.walk.last)
                r = session_nodes(walk->sessions, walk->head, l.walk.last, walk->before, 1,
                                  is_there, NULL);
        if (r < 0) {
                buf_done(&body);
                api_fail_result(c, r);
                return;
        }
        if (r > 0)
                api_reply_next_id(c, "after", l.walk.last);
        api_reply(c, &body);
}

static void reply_last(ApiCall *c, const MessageWalk *walk) {
        MessageList *l = calloc(1, sizeof(*l));

        if (!l) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        *l = (MessageList){
                .pull = { .next = message_list_next, .destroy = message_list_free },
                .walk = *walk,
                .page_end = API_PIECE,
        };
        api_reply_pull(c, &l->pull, "application/json");
}

/* ---- which branch ---- */

typedef struct BranchSearch {
        const char *wanted;
        uint64_t id, head;
        bool found;
} BranchSearch;

static int match_branch(const BranchInfo *b, void *userdata) {
        BranchSearch *search = userdata;

        if (b->id != search->id && !streq(b->name, search->wanted))
                return 0;
        search->head = b->head;
        search->found = true;
        return 1;
}

/* The head to read from; 0 with *ret set, or answered and 1. */
static int find_head(ApiCall *c, FieldStr branch, uint64_t *ret) {
        BranchSearch search = { .wanted = branch.s, .id = api_id(branch) };

        if (!branch.s || search.id == c->info.branch) {
                *ret = c->info.head;
                return 0;
        }
        c->subject = branch.s;
        int r = session_branches(c->session, 0, SIZE_MAX, match_branch, &search);
        if (r < 0)
                api_fail_result(c, r);
        else if (!search.found)
                api_fail(c, ERROR_BRANCH_NOT_FOUND);
        *ret = search.head;
        return r < 0 || !search.found;
}

/* ---- list ---- */

/* `after` or `before` is not in this conversation. */
static void fail_position(ApiCall *c, const InputMessageList *in) {
        c->subject = http_query_value(c->req, in->before.set && !in->after.v ? "before" : "after");
        api_fail(c, ERROR_NODE_NOT_FOUND);
}

void api_message_list(ApiCall *c) {
        const InputMessageList *in = c->in;
        MessageWalk walk = {
                .sessions = c->api->sessions,
                .after = in->after.v,
                .before = in->before.v,
                .limit = in->limit.set ? (size_t) in->limit.v : PAGE_DEFAULT,
                .from_start = in->after.set,
        };

        if (find_head(c, in->branch, &walk.head) != 0)
                return;
        /* Behind now, if nothing else is said: there is nothing yet. */
        if (in->wait.v > 0 && !in->after.set) {
                walk.after = walk.head;
                walk.from_start = true;
        }
        int r = session_nodes(walk.sessions, walk.head, walk.after, walk.before, 1, is_there, NULL);
        if (r == -ENOENT)
                fail_position(c, in);
        else if (r < 0)
                api_fail_result(c, r);
        else if (r == 0 && in->wait.v > 0)
                api_wait_for_message(c, walk.after, (usec_t) in->wait.v * USEC_PER_SEC);
        else if (walk.from_start)
                reply_page(c, &walk);
        else
                reply_last(c, &walk);
}

void api_short_term(ApiCall *c) {
        const InputPage *in = c->in;
        MessageWalk walk = {
                .sessions = c->api->sessions,
                .head = c->info.head,
                .limit = in->limit.set ? (size_t) in->limit.v
                                       : (size_t) c->api->config.config->memory_window,
        };

        reply_last(c, &walk);
}

/* ---- after waiting ---- */

void api_message_reply_after(ApiCall *c) {
        const InputMessageList *in = c->in;
        MessageWalk walk = {
                .sessions = c->api->sessions,
                .head = c->info.head,
                .after = c->position,
                .limit = in->limit.set ? (size_t) in->limit.v : PAGE_DEFAULT,
                .from_start = true,
        };

        /* Restored to another branch meanwhile. */
        if (session_nodes(walk.sessions, walk.head, walk.after, 0, 1, is_there, NULL) == -ENOENT)
                fail_position(c, in);
        else
                reply_page(c, &walk);
}
