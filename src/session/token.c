/* SPDX-License-Identifier: MIT */

/* The tokens of people and programs. Only hashes are kept: in memory in a map keyed by the hash's
 * first eight bytes (a hash is uniform already; those that share them are chained), with the whole
 * hash compared in constant time. A new token counts from its commit on, a revoked one is dead at
 * once, before the disk says so: of the two mistakes possible in between, letting somebody in is
 * the worse one. */

#include <sodium.h>

#include "session/session-internal.h"

typedef struct Token {
        TokenInfo info; /* strings are owned */
        uint8_t hash[HASH_SIZE];
        struct Token *next;
} Token;

uint64_t hash_key(const uint8_t hash[static HASH_SIZE]) {
        uint64_t key;

        memcpy(&key, hash, sizeof(key));
        return key ? key : 1;
}

static void token_free(Token *t) {
        free((void *) (uintptr_t) t->info.scope);
        free((void *) (uintptr_t) t->info.name);
        free(t);
}

static int token_new(const TokenInfo *info, const uint8_t hash[static HASH_SIZE], Token **ret) {
        Token *t = calloc(1, sizeof(Token));

        if (!t)
                return -ENOMEM;
        t->info = *info;
        t->info.scope = strdup(info->scope);
        t->info.name = info->name ? strdup(info->name) : NULL;
        memcpy(t->hash, hash, HASH_SIZE);
        if (!t->info.scope || (info->name && !t->info.name)) {
                token_free(t);
                return -ENOMEM;
        }
        *ret = t;
        return 0;
}

static int token_index(SessionManager *m, Token *t) {
        t->next = map_get(m->tokens, hash_key(t->hash));

        int r = map_put(m->tokens, hash_key(t->hash), t);
        return MIN(r, 0);
}

static void token_unindex(SessionManager *m, uint64_t id) {
        uint64_t key;
        void *value;

        for (size_t cursor = 0; map_next(m->tokens, &cursor, &key, &value);) {
                Token *first = value, **at = &first;
                while (*at && (*at)->info.id != id)
                        at = &(*at)->next;
                if (!*at)
                        continue;
                Token *found = *at;
                *at = found->next;
                if (first)
                        (void) map_put(m->tokens, key, first); /* replaces: needs no memory */
                else
                        map_remove(m->tokens, key);
                token_free(found);
                return;
        }
}

int tokens_load(SessionManager *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(m->reader, &c, STATE_TOKEN_LIST, NULL, 0);

        if (r < 0)
                return r;
        while ((r = store_next(c)) > 0) {
                size_t n = 0;
                const uint8_t *hash = store_blob(c, 1, &n);
                TokenInfo info = {
                        .id = store_id(c, 0),
                        .namespace_id = store_id(c, 2),
                        .scope = store_text(c, 3, NULL),
                        .name = store_text(c, 4, NULL),
                        .created_at = store_id(c, 5),
                        .expires_at = store_id(c, 6),
                };
                Token *t;
                if (n != HASH_SIZE)
                        return -EUCLEAN;
                r = token_new(&info, hash, &t);
                if (r < 0)
                        return r;
                r = token_index(m, t);
                if (r < 0) {
                        token_free(t);
                        return r;
                }
        }
        return r;
}

void tokens_free(SessionManager *m) {
        uint64_t key;
        void *value;

        if (!m->tokens)
                return;
        for (size_t cursor = 0; map_next(m->tokens, &cursor, &key, &value);)
                for (Token *t = value; t;) {
                        Token *next = t->next;
                        token_free(t);
                        t = next;
                }
        map_free(m->tokens);
}

/* Those that are being stored count too, of whatever namespace: they may come to belong to this one. */
static unsigned tokens_of(const SessionManager *m, uint64_t namespace_id) {
        unsigned n = m->n_pending_tokens;
        uint64_t key;
        void *value;

        for (size_t cursor = 0; map_next(m->tokens, &cursor, &key, &value);)
                for (const Token *t = value; t; t = t->next)
                        n += t->info.namespace_id == namespace_id;
        return n;
}

typedef struct TokenJob {
        SessionManager *manager;
        Token *token;
        SessionDoneFn done;
        void *userdata;
} TokenJob;

static void token_stored(int r, Session *s, uint64_t id, void *userdata) {
        _cleanup_free_ TokenJob *job = userdata;

        job->manager->n_pending_tokens--;
        if (r >= 0)
                r = token_index(job->manager, job->token);
        if (r < 0)
                token_free(job->token);
        if (job->done)
                job->done(r, s, id, job->userdata);
}

static int token_submit(SessionManager *m, const Token *token, TokenJob *job) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        const TokenInfo *i = &token->info;
        int r = session_txn_new(m, NULL, &t);

        if (r >= 0)
                r = namespace_use(t, i->namespace_id);
        if (r < 0)
                return r;
        STORE_ADD(t->store, STATE_TOKEN_INSERT, STORE_ID(i->id), STORE_BLOB(token->hash, HASH_SIZE),
                  STORE_ID(i->namespace_id), STORE_TEXT(i->scope), STORE_TEXT(i->name),
                  STORE_INT((int64_t) i->created_at), STORE_ID(i->expires_at));
        txn_request_key(t, i->id);
        return session_txn_submit(TAKE_PTR(t), i->id, token_stored, job);
}

int session_token_create(SessionManager *m,
                         uint64_t namespace_id,
                         const char *scope,
                         const char *name,
                         usec_t expires_at,
                         const uint8_t hash[static 32],
                         SessionDoneFn done,
                         void *userdata) {
        TokenInfo info = { id_new(), namespace_id, scope, name, clock_realtime(), expires_at };
        Token *token;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        if (m->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        if (tokens_of(m, namespace_id) >= m->config.tokens_max)
                return SESSION_E_TOKENS;
        _cleanup_free_ TokenJob *job = malloc(sizeof(TokenJob));
        int r = job ? token_new(&info, hash, &token) : -ENOMEM;
        if (r < 0)
                return r;
        *job = (TokenJob){ m, token, done, userdata };
        r = token_submit(m, token, job);
        if (r < 0) {
                token_free(token);
                return r;
        }
        m->n_pending_tokens++;
        (void) TAKE_PTR(job);
        return 0;
}

static bool token_exists(const SessionManager *m, uint64_t id) {
        uint64_t key;
        void *value;

        for (size_t cursor = 0; map_next(m->tokens, &cursor, &key, &value);)
                for (const Token *t = value; t; t = t->next)
                        if (t->info.id == id)
                                return true;
        return false;
}

int session_token_revoke(SessionManager *m, uint64_t token, SessionDoneFn done, void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        if (!token_exists(m, token))
                return SESSION_E_NOT_FOUND;
        int r = session_txn_new(m, NULL, &t);
        if (r < 0)
                return r;
        STORE_ADD(t->store, STATE_TOKEN_DELETE, STORE_ID(token));
        r = session_txn_submit(TAKE_PTR(t), token, done, userdata);
        if (r < 0)
                return r;
        /* At once, before it is on disk: who revokes wants it gone. Should the commit fail, the
         * token is back after a restart, and the caller was told of the failure. */
        token_unindex(m, token);
        return 0;
}

bool session_token_find(SessionManager *m, const uint8_t hash[static 32], TokenInfo *ret) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        for (Token *t = map_get(m->tokens, hash_key(hash)); t; t = t->next) {
                if (sodium_memcmp(t->hash, hash, HASH_SIZE) != 0)
                        continue;
                if (t->info.expires_at > 0 && t->info.expires_at <= clock_realtime())
                        return false;
                *ret = t->info;
                return true;
        }
        return false;
}

void session_token_foreach(SessionManager *m, void (*fn)(const TokenInfo *t, void *u), void *u) {
        uint64_t key;
        void *value;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        for (size_t cursor = 0; map_next(m->tokens, &cursor, &key, &value);)
                for (Token *t = value; t; t = t->next)
                        fn(&t->info, u);
}
