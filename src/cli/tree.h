/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to tree.c, which reads, and tree-draw.c, which draws. */

#include "cli/ask.h"

typedef enum MarkKind {
        MARK_CHECKPOINT,
        MARK_FORK,  /* another session begins here */
        MARK_CHILD, /* a branch begins here */
} MarkKind;

typedef struct TreeBranch TreeBranch;

/* Something at a place of a branch: behind its first `depth` messages, the last one being `node`. */
typedef struct TreeMark {
        MarkKind kind;
        uint64_t depth;
        const char *node; /* "" for the beginning */
        const char *id;   /* in the order of time */
        JsonSpan item;    /* of a checkpoint or fork */
        TreeBranch *child;
} TreeMark;

struct TreeBranch {
        const char *id, *name;
        JsonSpan item;
        uint64_t from, to; /* messages at its beginning and at its end */
        const char *origin_node;
        TreeBranch *parent; /* NULL: the first one */
        bool is_current;
        bool leads_to_current; /* it, or a branch that begins on it, is the current one */
        TreeMark *marks;       /* in the order of depth */
        size_t n_marks;
};

typedef struct Tree {
        Cli *cli;
        SessionRef session;
        TreeBranch *branches;
        size_t n;
        size_t width; /* of the terminal; 0: any */
        int status;   /* of the program, once asking failed */
} Tree;

/* Prints the tree; t->status says whether all could be asked for. */
void tree_draw(Tree *t);
