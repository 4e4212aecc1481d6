/* SPDX-License-Identifier: MIT */

/* What one database says of the other: memory belongs to a namespace, and namespaces are rows of
 * state.db. Without its row nobody can name the entries any more, so the namespace gets a name
 * again; its own is lost. The two commit apart, which is why such a row may be missing at all: an
 * older state.db beside a newer memory.db.
 *
 * Who stored an entry is not looked at: sessions may be deleted, what they remembered stays. */

#include "fsck/fsck-internal.h"

static int has_namespace(Fsck *f, uint64_t id) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(f->now, &c, FSCK_NAMESPACE, STORE_ID(id));

        return r < 0 ? r : store_next(c);
}

int fsck_references(Fsck *f) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(f->memory, &c, FSCK_MEMORY_NAMESPACES, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0) {
                uint64_t id = store_id(c, 0);
                r = has_namespace(f, id);
                if (r != 0)
                        continue;
                fsck_problem_id(f, "memory", id, "the namespace of these entries is gone",
                                "name it lost-N");
                (void) buf_printf(
                        &f->state_edits,
                        "INSERT OR IGNORE INTO namespaces (id, name) VALUES (%lld, 'lost-%lld');",
                        (long long) id, (long long) id);
        }
        return r;
}
