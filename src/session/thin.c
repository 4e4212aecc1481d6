/* SPDX-License-Identifier: MIT */

/* Which checkpoints are kept. Automatic ones: the newest few, then one an hour for a day, then one
 * a day for a month; the rule is applied when the next automatic one is taken, so it costs no timer
 * and a session never has more than some 70 of them. Those that somebody asked for, and pinned
 * ones, are never deleted by age. When a session is archived, only the newest five and the pinned
 * ones stay. */

#include "session/session-internal.h"

#define HOURLY_FOR USEC_PER_DAY
#define DAILY_FOR  (30 * USEC_PER_DAY)
#define LIST_MAX   512

typedef struct Old {
        uint64_t id;
        usec_t time;
} Old;

static void prune(SessionTxn *t, uint64_t id) {
        t->flags |= TXN_LITTER;
        STORE_ADD(t->store, STATE_CHECKPOINT_PRUNE, STORE_ID(id));
}

/* Among those of one slot (an hour or a day) the oldest stays; `list` goes from old to new. */
static usec_t slot_of(usec_t time, usec_t age) {
        if (age <= HOURLY_FOR)
                return 1 + time / USEC_PER_HOUR;
        return age <= DAILY_FOR ? (1 + time / USEC_PER_DAY) << 32 : 0;
}

static void thin(SessionTxn *t, const Old *list, size_t n, size_t kept) {
        usec_t last_slot = 0;

        for (size_t i = 0; i + kept < n; i++) {
                usec_t age = t->now > list[i].time ? t->now - list[i].time : 0;
                usec_t slot = slot_of(list[i].time, age);
                if (slot == 0 || slot == last_slot)
                        prune(t, list[i].id);
                last_slot = slot;
        }
}

int txn_thin_automatic(SessionTxn *t) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        size_t n = 0, kept = t->manager->config.auto_checkpoints_kept;
        Old list[LIST_MAX];
        int r = STORE_QUERY(t->manager->reader, &c, STATE_CHECKPOINT_LIST_PRUNABLE,
                            STORE_ID(t->next.id), STORE_INT(CHECKPOINT_AUTO), STORE_INT(LIST_MAX));

        while (r >= 0 && n < LIST_MAX && (r = store_next(c)) > 0)
                list[n++] = (Old){ store_id(c, 0), store_id(c, 1) };
        if (r < 0)
                return r;
        thin(t, list, n, kept - 1); /* the one that is being taken is the newest */
        return 0;
}

int txn_thin_to(SessionTxn *t, size_t keep) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(t->manager->reader, &c, STATE_CHECKPOINT_LIST_NEWEST,
                            STORE_ID(t->next.id), STORE_ID(0), STORE_INT(-1));

        while (r >= 0 && (r = store_next(c)) > 0)
                if (keep > 0)
                        keep--;
                else
                        prune(t, store_id(c, 0)); /* the statement spares pinned ones */
        return r;
}
