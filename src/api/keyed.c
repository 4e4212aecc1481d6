/* SPDX-License-Identifier: MIT */

/* Idempotency-Key: a client that heard no answer asks again with the same key, and what it asked
 * for happens once. The key's row is written in the transaction of the effect, by the domain room;
 * here it is decided who may find it, what it holds, and who waits.
 *
 *   - The answer goes into that transaction when it is known by then (messages, memory, tokens).
 * What is known only afterwards (a session's state behind a verb) is added before it is sent: an
 * answer that somebody saw is one that can be given again. If the daemon dies in between nobody saw
 * one, and the row says what to make it from. So it is with answers that are too large to keep.
 *   - A failure after an effect is kept as well, one without an effect is not: the next try may go
 *     better. What the daemon itself failed at (5xx) is never kept.
 *   - Whoever comes while the first request is under way waits for its end and then asks again.
 *
 * Rows are found by a hash over caller and key, and answers are sealed with another one, so that
 * nobody, reader of the database file included, learns from them what he was not told: the answer
 * about a new token holds its secret. Rejected: keeping keys in memory (they would not outlive the
 * very crash they are for), and a row committed before the effect (a crash between the two either
 * loses the request or does it twice). */

#include <sodium.h>

#include "api/api-internal.h"
#include "base/id.h"
#include "base/str.h"

#define KEYED_MAGIC 0x4b455944U
#define KEY_MAX     255

struct ApiKeyed {
        uint32_t magic;
        ListLink link; /* in Api.keyed; not linked: the Api is gone */
        ListLink waiting;
        ApiCall *call;
        RequestKey key;
        uint8_t seal[crypto_secretbox_KEYBYTES];
        void (*write)(uint64_t id, Buf *out, void *userdata);
        void *write_userdata;
        bool is_told; /* the answer went along with the effect */
        unsigned status;
        const char *content_type;
        Buf body; /* is given when it is on disk */
};

/* ---- hashes ---- */

static void hash_text(crypto_generichash_state *h, const char *s) {
        crypto_generichash_update(h, (const unsigned char *) s, strlen(s) + 1);
}

/* The owner of keys: the daemon's own user, a token, or a session, whichever of its runs asks. */
static void hash_owner(const ApiCall *c, const char *what, uint8_t ret[static REQUEST_HASH_SIZE]) {
        const ApiCaller *caller = &c->caller;
        uint64_t owner[] = { caller->kind, caller->namespace_id,
                             caller->kind == CALLER_RUN ? caller->session : caller->token };
        crypto_generichash_state h;

        crypto_generichash_init(&h, NULL, 0, REQUEST_HASH_SIZE);
        hash_text(&h, what);
        crypto_generichash_update(&h, (const unsigned char *) owner, sizeof(owner));
        hash_text(&h, http_header(c->req, "Idempotency-Key"));
        crypto_generichash_final(&h, ret, REQUEST_HASH_SIZE);
}

static void hash_parameter(const char *key, const char *value, void *userdata) {
        hash_text(userdata, key);
        hash_text(userdata, value ? value : "");
}

static void hash_request(const ApiCall *c, uint8_t ret[static REQUEST_HASH_SIZE]) {
        JsonSpan body = http_body(c->req);
        crypto_generichash_state h;

        crypto_generichash_init(&h, NULL, 0, REQUEST_HASH_SIZE);
        hash_text(&h, c->route->method);
        hash_text(&h, http_path(c->req));
        http_query_foreach(c->req, hash_parameter, &h);
        hash_text(&h, "");
        crypto_generichash_update(&h, (const unsigned char *) body.p, body.n);
        crypto_generichash_final(&h, ret, REQUEST_HASH_SIZE);
}

/* ---- what is kept of an answer ---- */

/* What it is about is enough to make it again. */
static bool can_remake(const Route *r) {
        return r->out == &output_session || r->out == &output_message || r->out == &output_checkpoint;
}

static bool is_kept(const ApiKeyed *k, size_t size) {
        return size <= k->call->api->config.config->idempotency_answer_max ||
               !can_remake(k->call->route);
}

static void seal(const ApiKeyed *k, const Buf *body, Buf *out) {
        size_t n = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + body->len;
        unsigned char *to = (unsigned char *) buf_reserve(out, n);

        if (!to)
                return;
        randombytes_buf(to, crypto_secretbox_NONCEBYTES);
        (void) crypto_secretbox_easy(to + crypto_secretbox_NONCEBYTES,
                                     (const unsigned char *) body->data, body->len, to, k->seal);
        out->len += n;
}

/* False: there is none, or it is damaged. */
static bool unseal(const ApiCall *c, const Buf *sealed, Buf *out) {
        const size_t extra = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
        const unsigned char *from = (const unsigned char *) sealed->data;
        uint8_t key[REQUEST_HASH_SIZE];

        if (sealed->len < extra)
                return false;
        unsigned char *to = (unsigned char *) buf_reserve(out, sealed->len - extra + 1);
        if (!to)
                return false;
        hash_owner(c, "agentd answer", key);
        if (crypto_secretbox_open_easy(to, from + crypto_secretbox_NONCEBYTES,
                                       sealed->len - crypto_secretbox_NONCEBYTES, from, key) != 0)
                return false;
        out->len += sealed->len - extra;
        out->data[out->len] = '\0';
        return true;
}

/* Called by the domain room while it builds its transaction. */
static void write_answer(uint64_t id, Buf *out, void *userdata) {
        ApiKeyed *k = OBJ_CAST(ApiKeyed, userdata, KEYED_MAGIC);
        _cleanup_buf_ Buf body = BUF_INIT(API_REPLY_MAX);

        k->write(id, &body, k->write_userdata);
        if (buf_error(&body) < 0 || !is_kept(k, body.len))
                return;
        seal(k, &body, out);
        k->is_told = true;
}

void api_keyed_answer(ApiCall *c,
                      void (*write)(uint64_t id, Buf *out, void *userdata),
                      void *userdata) {
        ApiKeyed *k = c->keyed;

        if (!k)
                return;
        k->write = write;
        k->write_userdata = userdata;
        k->key.answer = write_answer;
        k->key.userdata = k;
}

/* ---- giving an answer again ---- */

static int write_node(const NodeInfo *n, void *userdata) {
        view_message(userdata, n);
        return 0;
}

static void remake_message(ApiCall *c, uint64_t id) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);
        int r = session_node(c->api->sessions, id, write_node, &w);

        if (r >= 0) {
                api_reply(c, &body);
                return;
        }
        buf_done(&body);
        api_fail_result(c, r);
}

static void remake_session(ApiCall *c, uint64_t id) {
        Session *s = session_get(c->api->sessions, id);
        char text[ID_STRING_SIZE];

        if (s)
                api_done_session(0, s, id, c);
        else
                api_fail_request(c->req, ERROR_SESSION_NOT_FOUND, id_format(id, text), NULL);
}

/* What it is about, as it is now. */
static void remake(ApiCall *c, const RequestKeyRow *row) {
        if (c->route->out == &output_session)
                remake_session(c, row->result);
        else if (c->route->out == &output_message)
                remake_message(c, row->result);
        else if (c->route->out == &output_checkpoint)
                api_reply_checkpoint(
                        c, session_get(c->api->sessions, api_id(((const InputSession *) c->in)->id)),
                        row->result);
        else
                api_reply_status(c, "done");
}

static void replay(ApiCall *c, const RequestKeyRow *row) {
        Buf body = BUF_INIT(API_REPLY_MAX);

        http_reply_header(c->req, "Idempotency-Replayed", "true");
        http_reply_header(c->req, "Cache-Control", "no-store");
        if (unseal(c, &row->answer, &body)) {
                http_reply(c->req, row->status, "application/json", &body);
                return;
        }
        buf_done(&body);
        remake(c, row);
}

/* ---- the way of a call ---- */

/* Which of the two databases has it, nobody can tell from the key alone. */
static int find_row(const Api *a, const RequestKey *key, RequestKeyRow *ret) {
        int r = session_request_key_find(a->sessions, key, ret);

        return r == 0 ? memory_request_key_find(a->memory, key, ret) : r;
}

static ApiKeyed *find_underway(Api *a, const RequestKey *key) {
        LIST_FOREACH(l, &a->keyed) {
                ApiKeyed *k = LIST_ENTRY(l, ApiKeyed, link);
                if (memcmp(k->key.key, key->key, REQUEST_HASH_SIZE) == 0)
                        return k;
        }
        return NULL;
}

static void wait_for(ApiCall *c, ApiKeyed *k, const RequestKey *key) {
        if (memcmp(k->key.request, key->request, REQUEST_HASH_SIZE) != 0)
                api_fail(c, ERROR_KEY_REUSED);
        else if (c->api->is_quiescing)
                api_fail(c, ERROR_SHUTTING_DOWN);
        else
                list_append(&k->waiting, &c->keyed_link);
}

static void begin(ApiCall *c, const RequestKey *key) {
        ApiKeyed *k = field_arena_alloc(c->arena, sizeof(*k));

        if (!k) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        *k = (ApiKeyed){
                .magic = KEYED_MAGIC,
                .call = c,
                .key = *key,
                .body = BUF_INIT(API_REPLY_MAX),
        };
        hash_owner(c, "agentd answer", k->seal);
        list_init(&k->waiting);
        list_append(&c->api->keyed, &k->link);
        c->keyed = k;
        api_call_run(c);
}

int api_keyed_check(const ApiCall *c, FieldErrors *e) {
        const char *key = route_is_keyed(c->route) ? http_header(c->req, "Idempotency-Key") : NULL;

        if (!key || (*key != '\0' && strlen(key) <= KEY_MAX))
                return 0;
        field_errors_add(e, *key ? "string_too_long" : "string_too_short", "header",
                         "Idempotency-Key", JSON_NULL, "It must have 1 to %d bytes", KEY_MAX);
        return 0;
}

void api_keyed(ApiCall *c) {
        const Api *a = c->api;
        usec_t now = clock_realtime(), age = a->config.config->idempotency_age_usec;
        RequestKey key = { .expired_before = now - MIN(now, age), .status = c->route->status };
        RequestKeyRow row = {};

        if (!route_is_keyed(c->route) || !http_header(c->req, "Idempotency-Key")) {
                api_call_run(c);
                return;
        }
        hash_owner(c, "agentd key", key.key);
        hash_request(c, key.request);
        ApiKeyed *k = find_underway(c->api, &key);
        if (k) {
                wait_for(c, k, &key);
                return;
        }
        int r = find_row(a, &key, &row);
        if (r < 0)
                api_fail_result(c, r);
        else if (r == 0)
                begin(c, &key);
        else if (memcmp(row.request, key.request, REQUEST_HASH_SIZE) != 0)
                api_fail(c, ERROR_KEY_REUSED);
        else
                replay(c, &row);
        buf_done(&row.answer);
}

/* ---- around the handler ---- */

void api_keyed_enter(ApiCall *c) {
        if (!c->keyed)
                return;
        session_request_key(c->api->sessions, &c->keyed->key);
        memory_request_key(c->api->memory, &c->keyed->key);
}

void api_keyed_leave(Api *a) {
        session_request_key(a->sessions, NULL);
        memory_request_key(a->memory, NULL);
}

typedef struct First {
        ApiCall *call;
        ApiHandler fn;
} First;

static void on_first(int r, Session *s, uint64_t id, void *userdata) {
        const First *f = userdata;
        ApiCall *c = f->call;

        c->session = c->session_id ? session_get(c->api->sessions, c->session_id) : NULL;
        if (r != 0)
                api_fail_result(c, r);
        else if (c->session_id && !c->session)
                api_fail(c, ERROR_SESSION_NOT_FOUND);
        else
                f->fn(c);
}

void api_keyed_first(ApiCall *c, ApiHandler fn) {
        First *f;

        if (!c->keyed) {
                fn(c);
                return;
        }
        f = field_arena_alloc(c->arena, sizeof(*f));
        if (!f) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        *f = (First){ c, fn };
        int r = session_request_key_commit(c->api->sessions, c->session, &c->keyed->key, on_first, f);
        if (r != 0)
                api_fail_result(c, r);
}

/* ---- the answer ---- */

static void on_stored(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);
        ApiKeyed *k = c->keyed;

        /* The effect is on disk in any case; without its answer it is told from the state. */
        http_reply(c->req, k->status, k->content_type, &k->body);
}

static bool must_store(const ApiKeyed *k, unsigned status, const Buf *body) {
        RequestKeyRow row = {};
        int r;

        if (status >= 500 || buf_error(body) < 0 || !is_kept(k, body->len))
                return false;
        if (status < 400)
                return !k->is_told;
        r = find_row(k->call->api, &k->key, &row);
        buf_done(&row.answer);
        return r > 0;
}

bool api_keyed_store(ApiCall *c, unsigned status, const char *content_type, Buf *body) {
        ApiKeyed *k = c->keyed;
        _cleanup_buf_ Buf sealed = BUF_INIT(API_REPLY_MAX);

        if (!k || !must_store(k, status, body))
                return false;
        seal(k, body, &sealed);
        if (buf_error(&sealed) < 0)
                return false;
        k->status = status;
        k->content_type = content_type;
        int r = session_request_key_answer(c->api->sessions, &k->key, status, &sealed, on_stored, c);
        if (r != 0)
                return false;
        k->body = *body;
        *body = BUF_INIT(body->max);
        return true;
}

static int on_again(sd_event_source *source, void *userdata) {
        Api *a = OBJ_CAST(Api, userdata, API_MAGIC);
        ListLink again;

        /* Some may have to wait once more, for the first of them. */
        list_init(&again);
        LIST_FOREACH(l, &a->keyed_again) {
                list_remove(l);
                list_append(&again, l);
        }
        LIST_FOREACH(l, &again) {
                list_remove(l);
                api_keyed(LIST_ENTRY(l, ApiCall, keyed_link));
        }
        return 0;
}

static void refuse_all(ListLink *list, ErrorId error) {
        LIST_FOREACH(l, list) {
                list_remove(l);
                api_fail(LIST_ENTRY(l, ApiCall, keyed_link), error);
        }
}

/* In a turn of its own: this is called from within the answer to another. */
static void ask_again(Api *a) {
        int r = a->keyed_source ? sd_event_source_set_enabled(a->keyed_source, SD_EVENT_ONESHOT)
                                : sd_event_add_defer(a->event, &a->keyed_source, on_again, a);

        if (r < 0)
                refuse_all(&a->keyed_again, ERROR_NO_MEMORY);
}

void api_keyed_done(ApiCall *c) {
        ApiKeyed *k = c->keyed;
        Api *a = c->api;

        list_remove(&c->keyed_link);
        if (!k)
                return;
        c->keyed = NULL;
        buf_done(&k->body);
        if (!list_is_linked(&k->link))
                return;
        list_remove(&k->link);
        if (list_is_empty(&k->waiting))
                return;
        LIST_FOREACH(l, &k->waiting) {
                list_remove(l);
                list_append(&a->keyed_again, l);
        }
        ask_again(a);
}

void api_keyed_drop(Api *a, bool forget) {
        refuse_all(&a->keyed_again, ERROR_SHUTTING_DOWN);
        LIST_FOREACH(l, &a->keyed) {
                refuse_all(&LIST_ENTRY(l, ApiKeyed, link)->waiting, ERROR_SHUTTING_DOWN);
                if (forget)
                        list_remove(l);
        }
        if (forget)
                a->keyed_source = sd_event_source_disable_unref(a->keyed_source);
}
