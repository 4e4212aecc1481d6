/* SPDX-License-Identifier: MIT */
#pragma once

/* An intrusive doubly linked list with a head object; the link is a member of the element. */

#include "base/macro.h"

typedef struct ListLink {
        struct ListLink *next, *prev; /* both NULL: not in a list */
} ListLink;

#define LIST_INIT(l) ((ListLink){ &(l), &(l) })

static inline void list_init(ListLink *head) {
        head->next = head->prev = head;
}

static inline bool list_is_empty(const ListLink *head) {
        return !head->next || head->next == head;
}

static inline bool list_is_linked(const ListLink *l) {
        return l->next != NULL;
}

static inline void list_append(ListLink *head, ListLink *l) {
        assert(!l->next);
        l->prev = head->prev;
        l->next = head;
        head->prev->next = l;
        head->prev = l;
}

/* Takes l out of its list; nothing happens if it is in none. */
static inline void list_remove(ListLink *l) {
        if (!l->next)
                return;
        l->next->prev = l->prev;
        l->prev->next = l->next;
        l->next = l->prev = NULL;
}

#define LIST_ENTRY(link, type, member) container_of(link, type, member)

/* Safe against removal of the current element. */
/* NOLINTBEGIN(bugprone-macro-parentheses): l is declared here */
#define LIST_FOREACH(l, head)                                                               \
        for (ListLink *l = (head)->next, *_next_##l = l ? l->next : NULL; l && l != (head); \
             l = _next_##l, _next_##l = l->next)
/* NOLINTEND(bugprone-macro-parentheses) */
