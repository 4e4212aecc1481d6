/* SPDX-License-Identifier: MIT */

/* Names of ids. Ids ascend, and much is built on that: keys at the right edge of their trees, lists in
 * order of creation, a newest checkpoint that is the largest. What is taken over from another program
 * has random ids that its users know by heart. So it gets an id of ours, and the old one is its name
 * wherever an id is written or read as text: in one place, id.c, and nobody else knows of it.
 *
 * Two arrays of 16 bytes an entry, one sorted each way: a million names are 32 MB and a look-up is
 * twenty comparisons; nearly everybody has none and pays one test of a length. A hash map would cost
 * twice the memory for what is never changed after the start. */

#include "base/id-internal.h"

static IdAlias *by_id, *by_name;
static size_t n_aliases;

static int compare_id(const void *a, const void *b) {
        const IdAlias *x = a, *y = b;

        return (x->id > y->id) - (x->id < y->id);
}

static int compare_name(const void *a, const void *b) {
        const IdAlias *x = a, *y = b;

        return (x->name > y->name) - (x->name < y->name);
}

typedef int (*CompareFn)(const void *, const void *);

static int sorted_copy(const IdAlias *list, size_t n, CompareFn compare, IdAlias **ret) {
        _cleanup_free_ IdAlias *copy = reallocarray(NULL, n, sizeof(IdAlias));

        if (!copy)
                return -ENOMEM;
        memcpy(copy, list, n * sizeof(IdAlias));
        qsort(copy, n, sizeof(IdAlias), compare);
        for (size_t i = 0; i < n; i++)
                if (copy[i].id == 0 || copy[i].name == 0 ||
                    (i > 0 && compare(copy + i - 1, copy + i) == 0))
                        return -EEXIST;
        *ret = TAKE_PTR(copy);
        return 0;
}

int id_aliases_set(const IdAlias *list, size_t n) {
        _cleanup_free_ IdAlias *ids = NULL, *names = NULL;
        int r = n > 0 ? sorted_copy(list, n, compare_id, &ids) : 0;

        if (r == 0 && n > 0)
                r = sorted_copy(list, n, compare_name, &names);
        if (r < 0)
                return r;
        free(by_id);
        free(by_name);
        by_id = TAKE_PTR(ids);
        by_name = TAKE_PTR(names);
        n_aliases = n;
        return 0;
}

static const IdAlias *find(const IdAlias *list, IdAlias key, CompareFn compare) {
        return n_aliases > 0 ? bsearch(&key, list, n_aliases, sizeof(IdAlias), compare) : NULL;
}

uint64_t id_alias_name(uint64_t id) {
        const IdAlias *a = find(by_id, (IdAlias){ .id = id }, compare_id);

        return a ? a->name : id;
}

uint64_t id_alias_id(uint64_t name) {
        const IdAlias *a = find(by_name, (IdAlias){ .name = name }, compare_name);

        return a ? a->id : name;
}

bool id_alias_is_name(uint64_t id) {
        return find(by_name, (IdAlias){ .name = id }, compare_name) != NULL;
}
