/* SPDX-License-Identifier: MIT */

/* Idempotency-Key in state.db: its row goes along with what the request does. The key is handed
 * over beside the call and not as a parameter: twelve functions take one and most of their callers
 * have none. Each function that takes one names the moment at which it does, so what happens
 * meanwhile on behalf of others (timers, other verbs of the same session) carries nobody's key. */

#include "session/session-internal.h"

void session_request_key(SessionManager *m, const RequestKey *key) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        m->request_key = key;
}

void txn_request_key(SessionTxn *t, uint64_t id) {
        const RequestKey *key = t->manager->request_key;

        if (key)
                request_key_add(t->store, &state_request_keys, key, id);
}

int session_request_key_commit(
        SessionManager *m, Session *s, const RequestKey *key, SessionDoneFn done, void *userdata) {
        uint64_t id = s ? s->info.id : 0;
        SessionTxn *t;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        int r = session_txn_new(m, s, &t);
        if (r < 0)
                return r;
        request_key_add(t->store, &state_request_keys, key, id);
        return session_txn_submit(t, id, done, userdata);
}

int session_request_key_answer(SessionManager *m,
                               const RequestKey *key,
                               unsigned status,
                               const Buf *answer,
                               SessionDoneFn done,
                               void *userdata) {
        SessionTxn *t;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        int r = session_txn_new(m, NULL, &t);
        if (r < 0)
                return r;
        request_key_answer(t->store, &state_request_keys, key, status, answer);
        return session_txn_submit(t, 0, done, userdata);
}

int session_request_key_find(SessionManager *m, const RequestKey *key, RequestKeyRow *ret) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        return request_key_find(m->reader, &state_request_keys, key, ret);
}
