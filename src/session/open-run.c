/* SPDX-License-Identifier: MIT */

/* Open runs by id and by the hash of their token. A run's token is forgotten with its run; the last
 * few are remembered as stale, so that a survivor of an old run hears "your run is over" and not
 * "who are you". A session object with a run inside was rejected: most sessions have none, and a
 * new run is indexed before the old one's end is committed with it. */

#include <sodium.h>

#include "base/str.h"
#include "session/session-internal.h"

void token_of_run_new(char ret[static RUN_TOKEN_SIZE], uint8_t ret_hash[static HASH_SIZE]) {
        uint8_t secret[32];

        randombytes_buf(secret, sizeof(secret));
        memcpy(ret, "agd_", 4); /* NOLINT(bugprone-not-null-terminated-result): the next line does */
        hex_encode(secret, sizeof(secret), ret + 4);
        explicit_bzero(secret, sizeof(secret));
        /* As every token is hashed: plain BLAKE2b-256 of its text. */
        crypto_generichash(ret_hash, HASH_SIZE, (const uint8_t *) ret, strlen(ret), NULL, 0);
}

int open_run_index(SessionManager *m, OpenRun *run) {
        uint64_t key = hash_key(run->hash);
        int r = map_put(m->by_run, run->id, run);

        if (r < 0)
                return r;
        run->hash_next = map_get(m->run_tokens, key);
        r = map_put(m->run_tokens, key, run);
        if (r < 0)
                map_remove(m->by_run, run->id);
        return MIN(r, 0);
}

void open_run_unindex(SessionManager *m, OpenRun *run) {
        uint64_t key = hash_key(run->hash);
        OpenRun *first = map_get(m->run_tokens, key), **at = &first;

        map_remove(m->by_run, run->id);
        while (*at && *at != run)
                at = &(*at)->hash_next;
        if (*at)
                *at = run->hash_next;
        if (first)
                (void) map_put(m->run_tokens, key, first); /* replaces: needs no memory */
        else
                map_remove(m->run_tokens, key);
}

void open_run_remove(Session *s) {
        SessionManager *m = s->manager;
        OpenRun *run = TAKE_PTR(s->open_run);

        if (!run)
                return;
        open_run_unindex(m, run);
        memcpy(m->stale_tokens[m->n_stale_tokens++ % STALE_TOKENS], run->hash, HASH_SIZE);
        free(run);
}

static bool token_is_stale(const SessionManager *m, const uint8_t hash[static HASH_SIZE]) {
        size_t n = MIN(m->n_stale_tokens, (size_t) STALE_TOKENS);

        for (size_t i = 0; i < n; i++)
                if (sodium_memcmp(m->stale_tokens[i], hash, HASH_SIZE) == 0)
                        return true;
        return false;
}

Session *session_run_token_find(SessionManager *m,
                                const uint8_t hash[static 32],
                                uint64_t *ret_run,
                                bool *ret_stale) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        *ret_stale = false;
        for (OpenRun *r = map_get(m->run_tokens, hash_key(hash)); r; r = r->hash_next)
                if (sodium_memcmp(r->hash, hash, HASH_SIZE) == 0) {
                        *ret_run = r->id;
                        return r->session;
                }
        *ret_stale = token_is_stale(m, hash);
        return NULL;
}

Session *session_of_run(SessionManager *m, uint64_t run) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);

        OpenRun *r = map_get(m->by_run, run);
        return r ? r->session : NULL;
}
