/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of this room share:
 *   files      names, locks, copies, the renames at the end
 *   original   what the original's databases look like, as a schema
 *   report     what was not sound
 *   text       reading its columns
 *   state      its JSON states as nodes, variables and configurations
 *   sessions, checkpoints, memory      its tables
 *   import     from the beginning to the end */

#include "base/map.h"
#include "base/str.h"
#include "import/import.h"
#include "session/past.h"
#include "store/offline.h"
#include "store/store.h"

/* ---- files.c ---- */

typedef struct ImportFiles {
        char *path, *original, *part, *done, *copy, *report;
        bool is_copied; /* read `copy`, not `path` */
} ImportFiles;
int import_files_init(ImportFiles *f, const char *path);
void import_files_done(ImportFiles *f);
/* 1: a foreign SQLite database lies at path. */
int import_files_probe(const ImportFiles *f);
/* An agentd has it open, or is about to make it its own. */
bool import_files_is_locked(const ImportFiles *f);
/* Removes what an import that was killed left. */
void import_files_clean(const ImportFiles *f);
/* Nobody else uses it, nothing is in the way; makes the copy if there is a journal. */
int import_files_prepare(ImportFiles *f, char **ret_message);
/* part becomes done. */
int import_files_complete(const ImportFiles *f);
/* 1: an import was complete and took its place; 0: there was none. */
int import_files_finish(const ImportFiles *f, char **ret_message);

/* ---- original.c ---- */

typedef enum OriginalStatement {
        ORIGINAL_COLUMNS,     /* 0 table, 1 column; of all tables, ascending */
        ORIGINAL_SESSION_IDS, /* 0 rowid, 1 session_id; in order of creation */
        ORIGINAL_SESSION, /* ?1 rowid. 0 name, 1 model, 2 system_prompt, 3 tools, 4 status, 5 memory_json,
                             6 messages_json, 7 tool_history_json, 8 created_at, 9 updated_at */
        ORIGINAL_CHECKPOINT_IDS, /* 0 rowid, 1 checkpoint_id, 2 session_id; in order of creation */
        ORIGINAL_CHECKPOINT,     /* ?1 rowid. 0 label, 1 state_json, 2 created_at */
        ORIGINAL_LONG_TERM_IDS,  /* 0 rowid; in order of their times */
        ORIGINAL_LONG_TERM, /* ?1 rowid. 0 key, 1 value_json, 2 timestamp, 3 access_count, 4 has an embedding */
        ORIGINAL_SHORT_TERM, /* 0 session_id, 1 role, 2 content, 3 timestamp; in order of sessions and ids */
        ORIGINAL_CONSOLIDATIONS, /* 0 session_id, 1 summary, 2 from_count, 3 created_at; likewise */
        _ORIGINAL_MAX,
} OriginalStatement;
extern const StoreSchema original_schema[2]; /* by ImportKind */
/* 1: exactly the original's tables. */
int original_check(StoreReader *r, ImportKind kind);

/* ---- report.c ---- */

typedef struct ImportReport {
        const char *path;
        int fd;
        uint64_t n;
        int error;
} ImportReport;
void import_report_done(ImportReport *r);
/* key and outcome may hold any bytes; the first few are logged too. */
void import_report(ImportReport *r,
                   const char *table,
                   const char *key,
                   const char *problem,
                   const char *outcome);
/* On disk; 0 if there was nothing to report. */
int import_report_sync(ImportReport *r);

/* ---- text.c ---- */

/* Text of a column without NUL bytes and of valid UTF-8, or NULL. It lives as long as the row. */
const char *column_text(StoreCursor *c, unsigned col);
/* JSON of a column: 0, -ENOENT (NULL), or -EINVAL. */
int column_json(StoreCursor *c, unsigned col, JsonSpan *ret);
/* 0 if it is no time. */
usec_t original_time(const char *text);
/* 16 hex digits that are not all 0; 0: no such id. Not id_parse(), which would read aliases. */
uint64_t original_id(const char *text);
/* A string of a JSON object, fresh; NULL if it is no text. */
char *member_text(JsonSpan object, const char *name);

/* ---- state.c ---- */

/* Where a state is from, for the report. */
typedef struct Origin {
        ImportReport *report;
        const char *table, *key;
} Origin;
void origin_problem(const Origin *o, const char *problem, const char *outcome);

typedef struct OriginalState {
        char *model;  /* owned */
        char *prompt; /* owned, JSON, or NULL */
        JsonSpan tools, memory, messages,
                history; /* as they are there; absent: not sound or not there */
        usec_t time;
} OriginalState;
void original_state_done(OriginalState *s);
/* Its messages become nodes; *ret borrows from s. */
int original_state_write(const Origin *o,
                         PastSession *past,
                         const OriginalState *s,
                         PastState *ret,
                         uint64_t *n_messages);

/* ---- sessions.c, checkpoints.c, memory.c ---- */

typedef struct SessionRef {
        uint64_t row, id;
        char *key;
} SessionRef;

typedef struct CheckpointRef {
        uint64_t row, id;
        size_t session, order;
        char *key;
} CheckpointRef;

typedef struct Import {
        StoreReader *source;
        ImportReport report;
        PastWriter *writer;
        SessionRef *sessions;
        size_t n_sessions;
        CheckpointRef *checkpoints; /* by session, then by age */
        size_t n_checkpoints;
        uint64_t n_written, n_checkpoints_written, n_messages;
} Import;
void import_done(Import *i);
/* Every session and checkpoint gets an id of ours, and its old one as a name. */
int import_list(Import *i);
int import_sessions(Import *i);
int import_checkpoints_list(Import *i, StrMap *sessions);
/* Those of sessions[n]; *at is the first of them and moves behind. */
int import_checkpoints(Import *i, PastSession *past, size_t n, size_t *at);
int import_memory(StoreReader *source, Store *store, ImportReport *report);
