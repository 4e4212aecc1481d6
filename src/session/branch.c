/* SPDX-License-Identifier: MIT */

/* Branches: named heads in the tree of nodes. A restore makes a new one and the old one stays as it
 * was, so nothing is overwritten and a restore can be undone by another. The row holds the head,
 * the variables and the configuration of the session as long as it is on that branch. */

#include "session/session-internal.h"

uint64_t branch_add(
        SessionTxn *t, uint64_t id, const char *name, const Point *origin, uint64_t origin_branch) {
        STORE_ADD(t->store, STATE_BRANCH_INSERT, STORE_ID(id), STORE_ID(t->next.id), STORE_TEXT(name),
                  STORE_ID(t->next.head), STORE_ID(t->next.vars), STORE_ID(t->next.config),
                  STORE_ID(origin ? origin->checkpoint : 0), STORE_ID(origin ? origin->node : 0),
                  STORE_ID(origin_branch), STORE_INT((int64_t) t->now));
        t->next.branch = id;
        return id;
}

static int depth_of(SessionManager *m, uint64_t node, uint64_t *ret) {
        NodeLight light = {};
        int r = node ? node_light(m, node, &light) : 0;

        if (r >= 0)
                *ret = light.depth;
        return r == -ENOENT ? -EUCLEAN : r;
}

/* 0 in *ret if there is no such branch any more. */
static int session_of_branch(SessionManager *m, uint64_t branch, uint64_t *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(m->reader, &c, STATE_BRANCH_ONE, STORE_ID(branch));

        *ret = 0;
        if (r >= 0)
                r = store_next(c);
        if (r > 0)
                *ret = store_id(c, 1);
        return MIN(r, 0);
}

static int emit(Session *s, StoreCursor *c, BranchFn fn, void *userdata) {
        BranchInfo b = {
                .id = store_id(c, 0),
                .session = store_id(c, 1),
                .name = store_text(c, 2, NULL),
                .head = store_id(c, 3),
                .vars = store_id(c, 4),
                .config = store_id(c, 5),
                .origin_checkpoint = store_id(c, 6),
                .origin_node = store_id(c, 7),
                .origin_branch = store_id(c, 8),
                .created_at = store_id(c, 9),
                .is_current = store_id(c, 0) == s->info.branch,
        };
        int r = depth_of(s->manager, b.head, &b.message_count);

        if (r >= 0)
                r = depth_of(s->manager, b.origin_node, &b.origin_message_count);
        if (r >= 0 && b.origin_branch > 0)
                r = session_of_branch(s->manager, b.origin_branch, &b.origin_session);
        return r < 0 ? r : fn(&b, userdata);
}

int session_branches(Session *s, uint64_t after, size_t limit, BranchFn fn, void *userdata) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        OBJ_CHECK(s, SESSION_MAGIC);
        int r = STORE_QUERY(s->manager->reader, &c, STATE_BRANCH_LIST, STORE_ID(s->info.id),
                            STORE_ID(after), STORE_INT((int64_t) MIN(limit, (size_t) INT64_MAX)));
        while (r >= 0 && (r = store_next(c)) > 0) {
                r = emit(s, c, fn, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

typedef struct Forks {
        ForkInfo *items;
        size_t n, room;
} Forks;

static void forks_done(Forks *f) {
        free(f->items);
}

static int forks_add(Forks *f, StoreCursor *c) {
        if (f->n == f->room) {
                size_t room = f->room > 0 ? 2 * f->room : 16;
                ForkInfo *more = reallocarray(f->items, room, sizeof(*more));
                if (!more)
                        return -ENOMEM;
                f->items = more;
                f->room = room;
        }
        f->items[f->n++] = (ForkInfo){
                .session = store_id(c, 0),
                .branch = store_id(c, 1),
                .origin_branch = store_id(c, 2),
                .origin_checkpoint = store_id(c, 3),
                .origin_node = store_id(c, 4),
                .created_at = store_id(c, 5),
        };
        return 0;
}

static int fork_compare(const void *a, const void *b) {
        const ForkInfo *x = a, *y = b;

        return x->branch < y->branch ? -1 : x->branch > y->branch;
}

/* The database has them by the branch they begin on, and no index gives their own order. */
static int forks_read(Session *s, uint64_t after, Forks *f) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(s->manager->reader, &c, STATE_BRANCH_LIST_FORKS, STORE_ID(s->info.id),
                            STORE_ID(after));

        while (r >= 0 && (r = store_next(c)) > 0)
                r = forks_add(f, c);
        if (r >= 0 && f->n > 0)
                qsort(f->items, f->n, sizeof(*f->items), fork_compare);
        return r;
}

int session_forks(Session *s, uint64_t after, size_t limit, ForkFn fn, void *userdata) {
        _cleanup_(forks_done) Forks forks = {};

        OBJ_CHECK(s, SESSION_MAGIC);
        int r = forks_read(s, after, &forks);
        for (size_t i = 0; r == 0 && i < MIN(limit, forks.n); i++) {
                ForkInfo *f = &forks.items[i];
                r = depth_of(s->manager, f->origin_node, &f->origin_message_count);
                if (r >= 0)
                        r = fn(f, userdata);
        }
        return r;
}
