/* SPDX-License-Identifier: MIT */
#pragma once

/* What the store's tests share: a small schema, a folder, and a place for completions. */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>

#include "store/store.h"

/* needs what stands above */
#include <cmocka.h>

typedef enum ItemStatement {
        ITEM_INSERT,      /* id, k (unique), v */
        ITEM_UPDATE,      /* id, v; expects the row */
        ITEM_GET,         /* id -> v */
        ITEM_LIST,        /* -> id, v */
        ITEM_COUNT,       /* -> count */
        ITEM_SUM,         /* -> sum of k */
        ITEM_PAGES_LIMIT, /* the database may not grow any more: a full disk as SQLite sees it */
        ITEM_PAGES_NOLIMIT,
        _ITEM_STATEMENT_MAX,
} ItemStatement;

extern const StoreSchema items_schema;     /* version 1 */
extern const StoreSchema items_schema_v2;  /* adds a column */
extern const StoreSchema items_schema_bad; /* its second migration has an error */

typedef struct Folder {
        char path[PATH_MAX - 16];
        char db[PATH_MAX];
} Folder;

/* cmocka set-up and tear-down: *state is a Folder. */
int folder_setup(void **state);
int folder_teardown(void **state);

/* Opens folder->db or fails the test. */
Store *open_items(const Folder *f, const StoreOptions *options);

/* Submits one insert. */
int insert(Store *s, int64_t id, int64_t k, StoreDoneFn done, void *userdata);
/* An insert whose v has n bytes. */
int insert_bytes(Store *s, int64_t id, size_t n, StoreDoneFn done, void *userdata);
int64_t query_int(StoreReader *r, unsigned statement);

/* Completions in the order in which they came. */
#define RESULTS_MAX 1024
typedef struct Results {
        size_t n;
        int r[RESULTS_MAX];
        uint64_t commit[RESULTS_MAX];
} Results;
void on_result(int r, uint64_t commit, void *userdata);

/* A whole file; the caller frees. */
char *read_all(const char *path, size_t *ret_n);
