/* SPDX-License-Identifier: MIT */

/* API tokens. The secret is made here, shown once, and only its hash goes on; an admin token sees
 * and makes tokens of its own namespace only. */

#include "api/handlers.h"
#include "base/str.h"

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
        SessionManager *sessions;
        uint64_t namespace_id, wanted; /* 0: all */
        JsonWriter w;
        bool found;
} TokenWalk;

static void list_token(const TokenInfo *t, void *userdata) {
        TokenWalk *walk = userdata;

        if (walk->namespace_id && t->namespace_id != walk->namespace_id)
                return;
        json_w_object_begin(&walk->w);
        view_token(&walk->w, walk->sessions, t);
        json_w_object_end(&walk->w);
}

void api_token_list(ApiCall *c) {
        const InputToken *in = c->in;
        Buf body = BUF_INIT(API_REPLY_MAX);
        TokenWalk walk = { .sessions = c->api->sessions, .w = JSON_WRITER(&body) };

        if (api_namespace_filter(c, in->namespace, &walk.namespace_id) != 0)
                return;
        json_w_array_begin(&walk.w);
        session_token_foreach(c->api->sessions, list_token, &walk);
        json_w_array_end(&walk.w);
        api_reply(c, &body);
}

static void match_token(const TokenInfo *t, void *userdata) {
        TokenWalk *walk = userdata;

        if (t->id == walk->wanted && (!walk->namespace_id || t->namespace_id == walk->namespace_id))
                walk->found = true;
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
        if (!walk.found) {
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
