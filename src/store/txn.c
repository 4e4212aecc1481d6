/* SPDX-License-Identifier: MIT */

/* Building a transaction: statements and values laid one behind the other in one block of memory.
 *
 * A transaction crosses to another thread, so its values are copied. One allocation holds the head and
 * the first kilobyte, which is enough for most; a bigger one moves to a block that doubles. Values refer
 * to their bytes by offset, so moving the block costs a memcpy and nothing else. Rejected: binding the
 * values to statements here, on the loop thread (one statement per transaction under way), and an
 * allocation per value (ten times the cost, and a lock shared with the writer in every free). */

#include "store/store-internal.h"

#define TXN_MAGIC     0x53545854u /* "STXT" */
#define TXN_INITIAL   ((size_t) 1024)
#define TXN_MAX_BYTES ((size_t) 1000000000) /* SQLite's own limit of a value */

typedef struct TxnValue {
        int64_t i; /* the integer, or the offset of the bytes within the operation */
        uint32_t n;
        uint32_t type;
} TxnValue;

_Static_assert(sizeof(TxnOperation) % 8 == 0 && sizeof(TxnValue) % 8 == 0, "alignment");

StoreTxn *txn_new(const StoreSchema *schema) {
        StoreTxn *t = malloc(TXN_INITIAL);

        if (!t)
                return NULL;
        *t = (StoreTxn){
                .magic = TXN_MAGIC,
                .schema = schema,
                .cap = TXN_INITIAL - offsetof(StoreTxn, inline_data),
                .data = t->inline_data,
        };
        return t;
}

StoreTxn *store_txn_free(StoreTxn *t) {
        if (!t)
                return NULL;
        OBJ_CHECK(t, TXN_MAGIC);
        if (t->data != t->inline_data)
                free(t->data);
        t->magic = 0;
        free(t);
        return NULL;
}

size_t txn_size(const StoreTxn *t) {
        return t->data == t->inline_data ? TXN_INITIAL : TXN_INITIAL + t->cap;
}

static int make_room(StoreTxn *t, size_t n) {
        size_t cap = t->cap;
        char *data;

        if (n > TXN_MAX_BYTES || t->len + n > TXN_MAX_BYTES)
                return -E2BIG;
        if (t->len + n <= cap)
                return 0;
        while (cap < t->len + n)
                cap *= 2;
        data = realloc(t->data == t->inline_data ? NULL : t->data, cap);
        if (!data)
                return -ENOMEM;
        if (t->data == t->inline_data)
                memcpy(data, t->inline_data, t->len);
        t->data = data;
        t->cap = cap;
        return 0;
}

static bool has_bytes(const StoreValue *v) {
        return v->type == STORE_TYPE_TEXT || v->type == STORE_TYPE_BLOB;
}

/* Bytes of the operation, or more than the maximum if they cannot be counted. */
static size_t operation_size(const StoreValue *values, size_t n) {
        size_t size = sizeof(TxnOperation) + n * sizeof(TxnValue);

        for (size_t i = 0; i < n; i++) {
                if (!has_bytes(&values[i]))
                        continue;
                if (values[i].n > TXN_MAX_BYTES)
                        return SIZE_MAX;
                size += values[i].n;
        }
        return (size + 7) & ~(size_t) 7;
}

void store_txn_add(StoreTxn *t, unsigned statement, const StoreValue *values, size_t n) {
        size_t size, offset = sizeof(TxnOperation) + n * sizeof(TxnValue);
        char *start;

        if (!t)
                return;
        OBJ_CHECK(t, TXN_MAGIC);
        assert(statement < t->schema->n_statements);
        assert(n == t->schema->statements[statement].n_params);
        size = operation_size(values, n);
        if (t->error == 0)
                t->error = make_room(t, size);
        if (t->error != 0)
                return;
        start = t->data + t->len;
        *(TxnOperation *) (void *) start = (TxnOperation){
                .statement = statement,
                .n_values = (uint32_t) n,
                .size = size,
        };
        for (size_t i = 0; i < n; i++) {
                TxnValue *v = (TxnValue *) (void *) (start + sizeof(TxnOperation)) + i;

                *v = (TxnValue){ .i = values[i].i, .type = values[i].type };
                if (!has_bytes(&values[i]))
                        continue;
                v->i = (int64_t) offset;
                v->n = (uint32_t) values[i].n;
                if (v->n > 0)
                        memcpy(start + offset, values[i].p, v->n);
                offset += v->n;
        }
        t->len += size;
        t->n_operations++;
}

const TxnOperation *txn_next(TxnCursor *c) {
        const TxnOperation *op = (const TxnOperation *) (const void *) (c->txn->data + c->offset);

        if (c->offset == c->txn->len)
                return NULL;
        c->offset += op->size;
        return op;
}

StoreValue txn_value(const TxnOperation *op, unsigned i) {
        const TxnValue *v = (const TxnValue *) (const void *) (op + 1) + i;

        assert(i < op->n_values);
        if (v->type != STORE_TYPE_TEXT && v->type != STORE_TYPE_BLOB)
                return (StoreValue){ .type = v->type, .i = v->i };
        return (StoreValue){ .type = v->type, .p = (const char *) op + v->i, .n = v->n };
}

void txn_list_init(TxnList *l) {
        *l = (TxnList){ .tail = &l->head };
}

void txn_list_append(TxnList *l, StoreTxn *t) {
        t->next = NULL;
        *l->tail = t;
        l->tail = &t->next;
}

StoreTxn *txn_list_pop(TxnList *l) {
        StoreTxn *t = l->head;

        if (!t)
                return NULL;
        l->head = t->next;
        if (!l->head)
                l->tail = &l->head;
        return t;
}

void txn_list_splice(TxnList *to, TxnList *from) {
        if (!from->head)
                return;
        *to->tail = from->head;
        to->tail = from->tail;
        txn_list_init(from);
}
