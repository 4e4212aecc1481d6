/* SPDX-License-Identifier: MIT */

/* The workspaces of checkpoints: every object that a checkpoint's tree reaches is read and compared
 * with its hash (session/workspace-check.h). A daemon that runs meanwhile may remove a checkpoint
 * of our snapshot and then its objects, or put packs together while we read one: so what looks
 * wrong is read again from the beginning, and then only told if the checkpoint is still there.
 *
 * A checkpoint whose tree is gone can still be restored without files once it says so. One with a
 * damaged file cannot be repaired: to forget its tree would let what is left of it be collected. */

#include "fsck/fsck-internal.h"
#include "session/workspace-check.h"

typedef struct Pinned {
        uint64_t id, namespace_id;
        uint8_t tree[WORKSPACE_TREE_SIZE];
} Pinned;

typedef struct Pins {
        Pinned *items;
        size_t n, room;
} Pins;

static void pins_done(Pins *p) {
        free(p->items);
}

static int pins_add(Pins *p, StoreCursor *c, const void *tree) {
        if (p->n == p->room) {
                size_t room = p->room > 0 ? 2 * p->room : 256;
                Pinned *more = reallocarray(p->items, room, sizeof(*more));
                if (!more)
                        return -ENOMEM;
                p->items = more;
                p->room = room;
        }
        Pinned *new = &p->items[p->n++];
        *new = (Pinned){ .id = store_id(c, 0), .namespace_id = store_id(c, 2) };
        memcpy(new->tree, tree, sizeof(new->tree));
        return 0;
}

/* Of what is committed by now. */
static int is_still_there(Fsck *f, const Pinned *p) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(f->now, &c, FSCK_CHECKPOINT_TREE, STORE_ID(p->id),
                            STORE_BLOB(p->tree, WORKSPACE_TREE_SIZE));

        return r < 0 ? r : store_next(c);
}

static void tell(Fsck *f, const Pinned *p, int fault) {
        if (fault == WORKSPACE_DAMAGED) {
                fsck_problem_id(f, "checkpoint", p->id,
                                "some of its files are gone or damaged: restore a backup, or delete it",
                                NULL);
                return;
        }
        fsck_problem_id(f, "checkpoint", p->id, "its files are gone",
                        "keep the rest of it and note that");
        (void) buf_printf(&f->state_edits,
                          "UPDATE checkpoints SET tree = NULL, skipped_note = 'its files were lost: "
                          "agentd fsck' WHERE id = %llu;",
                          (unsigned long long) p->id);
}

static int check(Fsck *f, WorkspaceCheck *w, const Pinned *p) {
        int fault = workspace_check_tree(w, p->namespace_id, p->tree, false);

        if (fault > 0 && f->is_live)
                fault = workspace_check_tree(w, p->namespace_id, p->tree, true);
        if (fault <= 0)
                return fault;
        int r = f->is_live ? is_still_there(f, p) : 1;
        if (r > 0)
                tell(f, p, fault);
        return MIN(r, 0);
}

static int pins_read(Fsck *f, Pins *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(f->now, &c, FSCK_TREES, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0) {
                size_t n = 0;
                const void *tree = store_blob(c, 1, &n);
                if (n == WORKSPACE_TREE_SIZE)
                        r = pins_add(ret, c, tree);
                else
                        fsck_problem_id(f, "checkpoint", store_id(c, 0), "its tree's id is none",
                                        NULL);
        }
        return r;
}

int fsck_trees(Fsck *f) {
        _cleanup_(workspace_check_freep) WorkspaceCheck *w = NULL;
        _cleanup_(pins_done) Pins pins = {};
        int r = pins_read(f, &pins);

        if (r >= 0 && pins.n > 0)
                r = workspace_check_new(&w, f->places->data_dir, &f->message);
        for (size_t i = 0; r >= 0 && i < pins.n; i++)
                r = check(f, w, &pins.items[i]);
        return r;
}
