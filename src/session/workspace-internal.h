/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the workspace files. A folder as it is, or as a tree says it was, is a WorkspaceList:
 * one entry per path, sorted; scanning makes one from a folder, loading makes one from a tree,
 * applying makes a folder like one. All of it runs in a pool thread and shares nothing between
 * operations. */

#include <sys/stat.h>

#include "base/buf.h"
#include "session/workspace-module.h"
#include "session/workspace.h"

/* Folders inside folders; what is deeper is skipped and listed. Each level costs a descriptor while
 * it is worked on. */
#define WORKSPACE_DEPTH_MAX 256
/* Paths of one workspace; more is -E2BIG. */
#define WORKSPACE_ENTRIES_MAX ((size_t) 2000000)
/* Temporary names of a restore begin so; such names are never recorded. */
#define WORKSPACE_TEMPORARY ".agentd-restore-"

/* ---- lists ---- */

typedef enum WorkspaceKind {
        WORKSPACE_FOLDER,
        WORKSPACE_FILE,
        WORKSPACE_LINK,
        WORKSPACE_SKIP, /* there, but not recorded */
        _WORKSPACE_KIND_MAX,
} WorkspaceKind;

typedef enum WorkspaceSkip {
        WORKSPACE_SKIP_IGNORED,
        WORKSPACE_SKIP_SIZE,
        WORKSPACE_SKIP_SOCKET,
        WORKSPACE_SKIP_FIFO,
        WORKSPACE_SKIP_DEVICE,
        WORKSPACE_SKIP_UNREADABLE,
        WORKSPACE_SKIP_DEEP,
        WORKSPACE_SKIP_MOUNT,
        WORKSPACE_SKIP_CHANGING,
        WORKSPACE_SKIP_OWN, /* the daemon's data folder */
        _WORKSPACE_SKIP_MAX,
        _WORKSPACE_SKIP_INVALID = -EINVAL,
} WorkspaceSkip;

typedef struct WorkspaceEntry {
        char *path;    /* relative, "" for the folder itself; any bytes but NUL */
        uint8_t kind;  /* WorkspaceKind */
        uint8_t skip;  /* WorkspaceSkip, of WORKSPACE_SKIP */
        bool foreign;  /* uid and gid are not the workspace's (the workspace: not the daemon's) */
        bool racy;     /* could change without its times changing: read it again next time */
        uint16_t mode; /* permissions; 0777 for files, 03777 for folders */
        uid_t uid;     /* valid if foreign */
        gid_t gid;
        uint8_t oid[WORKSPACE_OID_SIZE]; /* blob, of files and links */
        /* of files and links that were scanned, for the next scan */
        uint64_t size_bytes, inode;
        int64_t mtime_ns, ctime_ns;
} WorkspaceEntry;

typedef struct WorkspaceList {
        WorkspaceEntry *entries;
        size_t n, cap;
} WorkspaceList;

void workspace_list_done(WorkspaceList *l);
/* Appends a zeroed entry with a copy of path. The list is unsorted until it is sorted again. -E2BIG. */
int workspace_list_add(WorkspaceList *l, const char *path, WorkspaceKind kind, WorkspaceEntry **ret);
/* Order: a folder stands before what is in it, and that before everything else ('/' below all bytes). */
void workspace_list_sort(WorkspaceList *l);
int workspace_path_compare(const char *a, const char *b);
/* Of a sorted list; NULL: none. */
WorkspaceEntry *workspace_list_find(const WorkspaceList *l, const char *path);
/* The entry of kind WORKSPACE_SKIP for path or for a folder above it, or NULL. */
const WorkspaceEntry *workspace_list_skipped(const WorkspaceList *l, const char *path);

static inline bool workspace_entry_is_stored(const WorkspaceEntry *e) {
        return e->kind == WORKSPACE_FILE || e->kind == WORKSPACE_LINK;
}

/* ---- walking ---- */

/* Open folders along one path. Every step is an openat() with O_NOFOLLOW from the folder above, so
 * that no symbolic link, planted before or during the work, leads outside. */
typedef struct WorkspaceCursor {
        int fds[WORKSPACE_DEPTH_MAX + 1]; /* fds[0]: the workspace, not owned */
        size_t ends[WORKSPACE_DEPTH_MAX + 1];
        size_t depth;
        char *path; /* of the innermost */
} WorkspaceCursor;

#define WORKSPACE_CURSOR_INIT(root_fd) ((WorkspaceCursor){ .fds = { (root_fd) } })
void workspace_cursor_done(WorkspaceCursor *c);
/* The descriptor of the folder (owned by the cursor, valid until the next call), or negative.
 * -ENAMETOOLONG: too deep. */
int workspace_cursor_enter(WorkspaceCursor *c, const char *folder);
/* The same for the folder that holds path; *ret_name is the last part of path. */
int workspace_cursor_enter_parent(WorkspaceCursor *c, const char *path, const char **ret_name);
/* Closes all but the workspace itself: call it when a folder was replaced. */
void workspace_cursor_leave(WorkspaceCursor *c);

/* ---- .gitignore ---- */

typedef struct WorkspaceGlob WorkspaceGlob;

/* gitignore(5)'s patterns: `*` and `?` stop at a slash, `**` between slashes or at an end spans
 * folders. A pattern that can match nothing (open bracket) gives 0 and NULL. */
int workspace_glob_new(WorkspaceGlob **ret, const char *pattern, size_t n);
WorkspaceGlob *workspace_glob_free(WorkspaceGlob *g);
DEFINE_CLEANUP(WorkspaceGlob *, workspace_glob_free);
/* Time is O(pattern × text) whatever the pattern. */
bool workspace_glob_match(const WorkspaceGlob *g, const char *text);

typedef struct WorkspaceIgnore WorkspaceIgnore;

/* The patterns of one file; folder: where it is, relative to the workspace. parent: the patterns of
 * the nearest folder above, or NULL; must live longer. */
int workspace_ignore_new(WorkspaceIgnore **ret,
                         const WorkspaceIgnore *parent,
                         const char *folder,
                         const char *text,
                         size_t n);
WorkspaceIgnore *workspace_ignore_free(WorkspaceIgnore *i);
DEFINE_CLEANUP(WorkspaceIgnore *, workspace_ignore_free);
/* ignore may be NULL. path: relative to the workspace, in the folder of `ignore` or below it. */
bool workspace_ignore_match(const WorkspaceIgnore *ignore, const char *path, bool is_folder);

/* ---- reading a folder ---- */

typedef struct WorkspaceReader {
        const WorkspaceModule *module;
        WorkspaceStore *store;
        int root_fd;
        uint64_t file_size_max;
        /* What is known from last time: what still looks the same is not read. NULL: nothing. */
        const WorkspaceList *cache;
        /* Paths that are recorded even if ignored or too large: a restore will overwrite them. NULL: none. */
        const WorkspaceList *wanted;
        /* Temporary names with this suffix-less prefix are removed on the way; NULL: none. */
        const char *remove_prefix;
        /* The daemon's own folder, which is left out wherever it is. */
        dev_t own_device;
        ino_t own_inode;
} WorkspaceReader;

typedef enum WorkspaceReadCondition {
        WORKSPACE_READ_GONE = 1,
        WORKSPACE_READ_UNREADABLE,
        WORKSPACE_READ_CHANGING,
        WORKSPACE_READ_TOO_LARGE,
} WorkspaceReadCondition;

/* What an errno says about one path: a condition, or -errno for what concerns more than it (no
 * memory, no descriptors). */
int workspace_read_condition(int error);

/* Stores the blob of a regular file and fills e's oid and times; size_max in bytes. A file that
 * changes under our hands is read twice; then what was read stands and e is racy. Positive:
 * WorkspaceReadCondition. */
int workspace_read_file(const WorkspaceReader *rd,
                        int dir_fd,
                        const char *name,
                        uint64_t size_max,
                        WorkspaceEntry *e);
int workspace_read_link(const WorkspaceReader *rd, int dir_fd, const char *name, WorkspaceEntry *e);
void workspace_entry_set_stat(WorkspaceEntry *e, const struct stat *st);
bool workspace_entry_same_stat(const WorkspaceEntry *a, const WorkspaceEntry *b);

/* Reads the folder into a sorted list; objects are written but not flushed. */
int workspace_scan(const WorkspaceReader *rd, WorkspaceList *ret);

/* ---- trees ---- */

/* Writes the trees, the manifest and the wrapper of a sorted list. */
int workspace_tree_write(const WorkspaceModule *module,
                         WorkspaceStore *store,
                         const WorkspaceList *l,
                         uint8_t ret_oid[static WORKSPACE_OID_SIZE]);
/* -ENOENT: no such tree; -EBADMSG: not one of ours. */
int workspace_tree_read(const WorkspaceModule *module,
                        WorkspaceStore *store,
                        const uint8_t oid[static WORKSPACE_OID_SIZE],
                        WorkspaceList *ret);

/* What git's trees cannot say, as text; see workspace-manifest.c for the format. */
int workspace_manifest_write(const WorkspaceList *l, Buf *out);
/* Completes a sorted list and leaves it sorted. -EBADMSG. */
int workspace_manifest_read(WorkspaceList *l, const char *text, size_t n);
const char *workspace_skip_to_string(WorkspaceSkip s);

/* ---- the cache ---- */

/* An unreadable or damaged cache is an empty one. */
void workspace_cache_load(const char *path, WorkspaceList *ret);
int workspace_cache_save(const char *path, const WorkspaceList *l);
/* Files and links that were added, altered or removed. */
uint64_t workspace_list_changes(const WorkspaceList *before, const WorkspaceList *now);

/* ---- making a folder like a tree ---- */

typedef struct WorkspaceApply {
        const WorkspaceModule *module;
        WorkspaceStore *store;
        int root_fd;
        const WorkspaceList *before;  /* what may be removed when target lacks it */
        const WorkspaceList *current; /* how the folder is now */
        const WorkspaceList *target;
        const char *temporary; /* prefix for temporary names: WORKSPACE_TEMPORARY and something unique */
        uint64_t n_changed; /* files and links written, removed or given another mode */
        uint64_t bytes_written;
        uint64_t n_blocked; /* paths that could not be brought back */
        Buf *blocked;       /* their names, for people */
} WorkspaceApply;

int workspace_apply(WorkspaceApply *a);

/* ---- notes for a restart ---- */

typedef struct WorkspaceIntent {
        uint64_t namespace_id;
        const char *folder; /* absolute */
        char *memory;       /* owned; what folder points to after reading */
        uint8_t before[WORKSPACE_OID_SIZE], target[WORKSPACE_OID_SIZE];
        bool undo;  /* a failed one: bring `before` back and remove what `target` added */
        bool fresh; /* the folder was empty: `before` has no meaning */
} WorkspaceIntent;

void workspace_intent_done(WorkspaceIntent *i);
/* Durable on return. */
int workspace_intent_write(const char *path, const WorkspaceIntent *i);
int workspace_intent_read(const char *path, WorkspaceIntent *ret);
int workspace_intent_remove(const char *path);

/* ---- operations: blocking, in a pool thread ---- */

typedef struct WorkspaceOperation {
        const WorkspaceModule *module;
        uint64_t namespace_id;
        const char *repository, *folder; /* absolute */
        const char *data_dir;            /* of the daemon: never recorded */
        const char *cache_path, *intent_path;
        const char *temporary; /* unique to the folder, begins with WORKSPACE_TEMPORARY */
        uint64_t file_size_max;
        bool keeps_note;     /* of a materialization that is not settled yet */
        const char *step;    /* what was being done, for people, when it failed */
        bool store_grew;     /* tidying may be worth its while */
        WorkspaceDiff *diff; /* of a comparison */
        WorkspaceResult result;
} WorkspaceOperation;

int workspace_operation_snapshot(WorkspaceOperation *o);
int workspace_operation_restore(WorkspaceOperation *o,
                                const uint8_t target[static WORKSPACE_OID_SIZE]);
int workspace_operation_materialize(WorkspaceOperation *o,
                                    const uint8_t target[static WORKSPACE_OID_SIZE]);
/* Answers o->diff. */
int workspace_operation_diff(WorkspaceOperation *o);
/* The note of a materialization is removed; or followed, and then removed. */
int workspace_operation_settle(WorkspaceOperation *o);
int workspace_operation_take_back(WorkspaceOperation *o);
/* Finishes or takes back what an intent says, and removes it. 1: the folder is gone, nothing to do. */
int workspace_operation_recover(WorkspaceOperation *o, const WorkspaceIntent *intent);

/* ---- the module ---- */

/* Loads agentd-workspace.so: path, or beside the program and then the installed place. error: text for people. */
int workspace_module_load(const char *path, const WorkspaceModule **ret, char *error, size_t error_size);
