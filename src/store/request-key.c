/* SPDX-License-Identifier: MIT */

/* See request-key.h. Expired keys are removed by those that come after them, a few with each: what
 * is stored stays in proportion to what is asked, in batches that no other write notices, and an
 * idle daemon needs no timer. A key that nobody swept yet is told from a live one by its age.
 *
 * A table of its own database was rejected: its rows could not commit with the effect. */

#include "store/request-key.h"

#include "base/id.h"

#define EXPIRE_AT_ONCE 16
#define ANSWER_MAX     ((size_t) 1 << 30)

static StoreValue bytes(const Buf *b) {
        return STORE_BLOB(b->len > 0 ? b->data : NULL, b->len);
}

static void expire(StoreTxn *t, const RequestKeyStatements *s, const RequestKey *k) {
        STORE_ADD(t, s->expire, STORE_INT((int64_t) k->expired_before), STORE_INT(EXPIRE_AT_ONCE));
}

void request_key_add(StoreTxn *t, const RequestKeyStatements *s, const RequestKey *k, uint64_t id) {
        _cleanup_buf_ Buf answer = BUF_INIT(ANSWER_MAX);

        if (k->answer)
                k->answer(id, &answer, k->userdata);
        STORE_ADD(t, s->insert, STORE_ID(id_new()), STORE_BLOB(k->key, sizeof(k->key)),
                  STORE_BLOB(k->request, sizeof(k->request)), STORE_INT((int64_t) clock_realtime()),
                  STORE_INT(k->status), STORE_ID(id), bytes(&answer),
                  STORE_INT((int64_t) k->expired_before));
        expire(t, s, k);
}

void request_key_answer(StoreTxn *t,
                        const RequestKeyStatements *s,
                        const RequestKey *k,
                        unsigned status,
                        const Buf *answer) {
        STORE_ADD(t, s->answer, STORE_ID(id_new()), STORE_BLOB(k->key, sizeof(k->key)),
                  STORE_BLOB(k->request, sizeof(k->request)), STORE_INT((int64_t) clock_realtime()),
                  STORE_INT(status), bytes(answer), STORE_INT((int64_t) k->expired_before));
        expire(t, s, k);
}

int request_key_find(StoreReader *r,
                     const RequestKeyStatements *s,
                     const RequestKey *k,
                     RequestKeyRow *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        RequestKeyRow row = { .answer = BUF_INIT(ANSWER_MAX) };
        size_t n = 0;
        int q = STORE_QUERY(r, &c, s->one, STORE_BLOB(k->key, sizeof(k->key)));

        if (q >= 0)
                q = store_next(c);
        if (q <= 0)
                return q;
        const void *request = store_blob(c, 0, &n);
        if (!request || n != sizeof(row.request))
                return -EUCLEAN;
        memcpy(row.request, request, n);
        row.created_at = (usec_t) store_int(c, 1);
        row.status = (unsigned) store_int(c, 2);
        row.result = store_id(c, 3);
        const void *answer = store_blob(c, 4, &n);
        if (row.created_at < k->expired_before)
                return 0;
        if (answer)
                (void) buf_append(&row.answer, answer, n);
        if (buf_error(&row.answer) < 0)
                return buf_error(&row.answer);
        *ret = row;
        return 1;
}
