/* SPDX-License-Identifier: MIT */
#pragma once

/* What the workspace tests share: a temporary place with a data folder and a workspace, operations that wait for
 * their end, and a description of a folder that two folders have in common only if they are alike. */

#include <setjmp.h>
#include <stdarg.h>

#include "base/buf.h"
#include "session/workspace.h"

/* needs what stands above */
#include <cmocka.h>

typedef struct Place {
        char *root;   /* temporary; removed at the end */
        char *data;   /* root/data */
        char *folder; /* root/folder: the workspace */
        sd_event *event;
        WorkspaceManager *manager;
        /* of the last operation */
        int r;
        WorkspaceResult result;
        bool finished;
} Place;

typedef struct Tree {
        uint8_t id[WORKSPACE_TREE_SIZE];
} Tree;

int place_setup(void **state);
int place_teardown(void **state);
/* The daemon starts again: new manager and loop. */
void place_restart(Place *p, uint64_t file_size_max);

Tree take(Place *p);
int take_r(Place *p, const char *folder, Tree *ret);
void restore(Place *p, const Tree *t);
int restore_r(Place *p, const Tree *t);
int materialize_r(Place *p, const char *folder, const Tree *t);

/* Paths are relative to the workspace. Parents are made. */
void put(const Place *p, const char *path, const char *text);
void put_bytes(const Place *p, const char *path, const void *data, size_t n);
/* n small files in a hundred folders. */
void put_many(const Place *p, unsigned n);
void put_folder(const Place *p, const char *path);
void drop(const Place *p, const char *path);
bool exists(const Place *p, const char *path);
void assert_text(const Place *p, const char *path, const char *text);
char *at(const Place *p, const char *path); /* absolute; freed by the caller */

/* One line for each path but .git: kind, mode, name, content. Freed by the caller. */
char *describe(const char *folder);
/* Names of entries of a folder, but "." and "..". */
unsigned count_names(const char *folder);
/* Objects on disk, loose and packed, as a number that changes with every write. */
uint64_t repository_bytes(const Place *p);

#define assert_trees_equal(a, b)  assert_memory_equal((a).id, (b).id, WORKSPACE_TREE_SIZE)
#define assert_trees_differ(a, b) assert_memory_not_equal((a).id, (b).id, WORKSPACE_TREE_SIZE)
