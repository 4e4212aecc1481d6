/* SPDX-License-Identifier: MIT */
#pragma once

/* How often entries were read since that was last written down. Reference-counted, because
 * transactions that carry counts may complete after the manager is gone. */

#include "store/store.h"

typedef struct AccessCounts AccessCounts;

int access_counts_new(AccessCounts **ret);
AccessCounts *access_counts_ref(AccessCounts *a);
AccessCounts *access_counts_unref(AccessCounts *a); /* NULL is fine */

/* 1 if so many wait now that they should be written, 0, or -ENOMEM. */
int access_counts_bump(AccessCounts *a, uint64_t entry);
/* Not written, or on their way. */
uint64_t access_counts_get(const AccessCounts *a, uint64_t entry);
/* Entries that wait to be written. */
size_t access_counts_pending(const AccessCounts *a);
/* Adds those that wait to a transaction. False: none were added. */
bool access_counts_add_to(AccessCounts *a, StoreTxn *txn);
/* The transaction that carried counts came to its end; with r != 0 they wait again. Drops one
 * reference: the one that was taken for it. */
void access_counts_written(AccessCounts *a, int r);
