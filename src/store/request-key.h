/* SPDX-License-Identifier: MIT */
#pragma once

/* Idempotency-Key: the row that says a request had its effect. Whoever changes a database for a
 * request adds it to that very transaction, so there is no moment in which one is on disk without
 * the other. Both databases have the table, because a transaction has one database.
 *
 * Keys, requests and answers are bytes here; what they mean, and that nobody but the caller can
 * read an answer, is the API's business. */

#include "store/store.h"

#define REQUEST_HASH_SIZE 32

typedef struct RequestKey {
        uint8_t key[REQUEST_HASH_SIZE], request[REQUEST_HASH_SIZE];
        usec_t expired_before; /* keys made before may be used anew, and are removed */
        unsigned status;       /* of success */
        /* Appends what is kept of the answer to out; called while the transaction is built, with
         * the id of what it makes or changes. NULL: nothing is known yet. */
        void (*answer)(uint64_t id, Buf *out, void *userdata);
        void *userdata;
} RequestKey;

typedef struct RequestKeyRow {
        uint8_t request[REQUEST_HASH_SIZE];
        usec_t created_at;
        unsigned status;
        uint64_t result;
        Buf answer; /* empty: none was kept; owned */
} RequestKeyRow;

/* The schema's statements: see request-key-sql.h. */
typedef struct RequestKeyStatements {
        unsigned insert, answer, one, expire;
} RequestKeyStatements;

/* The transaction fails with STORE_E_CONFLICT if the key is taken already. A few expired keys go along. */
void request_key_add(StoreTxn *t, const RequestKeyStatements *s, const RequestKey *k, uint64_t id);
/* The answer that is about to be given, for a key that has none yet; a key that is not there is
 * added, for requests that change nothing. */
void request_key_answer(StoreTxn *t,
                        const RequestKeyStatements *s,
                        const RequestKey *k,
                        unsigned status,
                        const Buf *answer);
/* 1 and the row, 0: there is none that has not expired; or negative errno. Committed rows only. */
int request_key_find(StoreReader *r,
                     const RequestKeyStatements *s,
                     const RequestKey *k,
                     RequestKeyRow *ret);
