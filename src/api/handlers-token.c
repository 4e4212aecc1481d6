/* SPDX-License-Identifier: MIT */

/* API tokens. The secret is made here, shown once, and only its hash goes on; an admin token sees
 * and makes tokens of its own namespace only. */

#include "api/handlers.h"
#include "base/str.h"

#define TOKENS_PAGE 1000 /* if no limit is said */

typedef struct NewToken {
        char secret[AUTH_TOKEN_SIZE];
        TokenInfo info;
        ApiCall *call;
} NewToken;

static void write_created(uint64_t id, Buf *out, void *userdata) {
        NewToken *t = userdata;
        JsonWriter w = JSON_WRITER(out);

        t->info.id = id;
        json_w_object_begin(&w);
        view_token(&w, t->call->api->sessions, &t->info);
        json_w_kv_string(&w, "token", t->secret);
        json_w_object_end(&w);
}

static void on_created(int r, Session *s, uint64_t id, void *userdata) {
        const NewToken *t = userdata;
        Buf body = BUF_INIT(API_REPLY_MAX);

        if (r != 0) {
                api_fail_result(t->call, r);
                return;
        }
        write_created(id, &body, userdata);
        http_reply_header(t->call->req, "Cache-Control", "no-store");
        api_reply(t->call, &body);
}

void api_token_create(ApiCall *c) {
        const InputToken *in = c->in;
        uint8_t hash[AUTH_HASH_BYTES];
        NewToken *t = field_arena_alloc(c->arena, sizeof(*t));

        if (!t) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        t->call = c;
        t->info = (TokenInfo){
                .scope = in->scope.s ? in->scope.s : "write",
                .name = in->name.s,
                .created_at = clock_realtime(),
        };
        if (in->expires.s)
                (void) api_expiry(in->expires.s, &t->info.expires_at);
        if (api_namespace(c, in->namespace, true, &t->info.namespace_id) != 0)
                return;
        auth_token_new(t->secret);
        auth_token_hash(t->secret, hash);
        api_keyed_answer(c, write_created, t);
        api_submitted(c, session_token_create(c->api->sessions, t->info.namespace_id, t->info.scope,
                                              t->info.name, t->info.expires_at, hash, on_created, t));
}

typedef struct TokenWalk {
        uint64_t namespace_id, wanted; /* 0: all */
        uint64_t after;
        const TokenInfo **found;
        size_t n, room;
        bool is_there, failed;
} TokenWalk;

static bool is_visible(const TokenWalk *walk, const TokenInfo *t) {
        return walk->namespace_id == 0 || t->namespace_id == walk->namespace_id;
}

static void collect_token(const TokenInfo *t, void *userdata) {
        TokenWalk *walk = userdata;

        if (!is_visible(walk, t) || t->id <= walk->after || walk->failed)
                return;
        if (walk->n == walk->room) {
                size_t room = walk->room > 0 ? 2 * walk->room : 64;
                void *more = reallocarray(walk->found, room, sizeof(TokenInfo *));
                walk->failed = !more;
                if (!more)
                        return;
                walk->found = more;
                walk->room = room;
        }
        walk->found[walk->n++] = t;
}

static int by_id(const void *a, const void *b) {
        uint64_t x = (*(const TokenInfo *const *) a)->id, y = (*(const TokenInfo *const *) b)->id;

        return x < y ? -1 : x > y;
}

/* They are kept by their hashes, so all are sorted for a page; AGENTD_TOKENS_MAX bounds that. */
static void list_tokens(ApiCall *c, TokenWalk *walk, size_t limit) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);
        size_t n = MIN(walk->n, limit);

        if (walk->n > 0)
                qsort(walk->found, walk->n, sizeof(TokenInfo *), by_id);
        json_w_array_begin(&w);
        for (size_t i = 0; i < n; i++) {
                json_w_object_begin(&w);
                view_token(&w, c->api->sessions, walk->found[i]);
                json_w_object_end(&w);
        }
        json_w_array_end(&w);
        if (walk->n > n)
                api_reply_next_id(c, "after", walk->found[n - 1]->id);
        api_reply(c, &body);
}

void api_token_list(ApiCall *c) {
        const InputToken *in = c->in;
        TokenWalk walk = { .after = in->after.v };

        if (api_namespace_filter(c, in->namespace, &walk.namespace_id) != 0)
                return;
        session_token_foreach(c->api->sessions, collect_token, &walk);
        if (walk.failed)
                api_fail_result(c, -ENOMEM);
        else
                list_tokens(c, &walk, in->limit.set ? (size_t) in->limit.v : TOKENS_PAGE);
        free((void *) walk.found);
}

static void match_token(const TokenInfo *t, void *userdata) {
        TokenWalk *walk = userdata;

        if (t->id == walk->wanted && is_visible(walk, t))
                walk->is_there = true;
}

static void on_revoked(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);

        if (r != 0)
                api_fail_result(c, r);
        else
                api_reply_status(c, "revoked");
}

void api_token_delete(ApiCall *c) {
        const InputToken *in = c->in;
        Api *a = c->api;
        TokenWalk walk = { .namespace_id = c->caller.namespace_id, .wanted = api_id(in->token) };

        c->subject = in->token.s;
        session_token_foreach(c->api->sessions, match_token, &walk);
        if (!walk.is_there) {
                api_fail(c, ERROR_TOKEN_NOT_FOUND);
                return;
        }
        /* The revocation counts from here on, also if its commit fails: see session/token.c. */
        int r = session_token_revoke(c->api->sessions, walk.wanted, on_revoked, c);
        if (r == 0)
                api_streams_end_of_token(a, walk.wanted);
        else
                api_fail_result(c, r);
}
