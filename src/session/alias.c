/* SPDX-License-Identifier: MIT */

/* Names of ids, from the store into base/id.h. At every start, all of them: they are few (what an
 * import brought), and a name that was not known yet would be an id that nobody finds. */

#include "session/session-internal.h"

static int list_push(IdAlias **list, size_t *n, IdAlias a) {
        if ((*n & (*n - 1)) == 0) { /* a power of two: full */
                IdAlias *more = reallocarray(*list, *n ? *n * 2 : 1, sizeof(IdAlias));
                if (!more)
                        return -ENOMEM;
                *list = more;
        }
        (*list)[(*n)++] = a;
        return 0;
}

int session_aliases_load(Store *store) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        _cleanup_free_ IdAlias *list = NULL;
        size_t n = 0;
        int r = store_query(store_reader(store), &c, STATE_ALIAS_LIST, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0)
                r = list_push(&list, &n, (IdAlias){ store_id(c, 0), store_id(c, 1) });
        if (r < 0)
                return r;
        r = id_aliases_set(list, n);
        return r == -EEXIST ? -EUCLEAN : r;
}
