/* SPDX-License-Identifier: MIT */

/* Input rows of everything but the sessions themselves: messages, variables, checkpoints, logs,
 * events, memory and tokens. See inputs-session.c for what is decoded and what is kept as written.
 *
 * Lists that may hold large values have a small maximum of items, and the daemon may end a page
 * earlier: Link rel="next" is what tells whether there is more. */

#include "contract/inputs-internal.h"

static const FieldDef input_message_append_fields[] = {
        SESSION_ID(InputMessageAppend),
        BODY(InputMessageAppend,
             role,
             FIELD_STRING,
             .flags = FIELD_REQUIRED,
             .min = 1,
             .max = 64,
             .doc = "user, assistant, system, tool, …"),
        BODY(InputMessageAppend,
             content,
             FIELD_CONTENT,
             .flags = FIELD_REQUIRED | FIELD_NULLABLE,
             .doc = "text, or an array of content blocks; kept as written"),
        BODY(InputMessageAppend,
             tool_calls,
             FIELD_ARRAY,
             .flags = FIELD_NULLABLE,
             .ref = &output_tool_call,
             .doc = "tool calls with their results; kept as written"),
};
TABLE(input_message_append,
      "MessageAppend",
      "A message.",
      .example = EXAMPLE_MESSAGE_APPEND,
      .is_strict = true);

static const FieldDef input_message_list_fields[] = {
        SESSION_ID(InputMessageList),
        QUERY(InputMessageList,
              after,
              FIELD_ID,
              .doc = "only messages behind this one; 0000000000000000: from the first on"),
        QUERY(InputMessageList, before, FIELD_ID, .doc = "only messages ahead of this one"),
        QUERY(InputMessageList,
              limit,
              FIELD_INT,
              .min = 1,
              .max = PAGE_ITEMS_MAX,
              PAGE_DEFAULT,
              .doc = "at most so many: with after the first ones, and Link rel=next leads on; else the last ones"),
        QUERY(InputMessageList,
              branch,
              FIELD_STRING,
              .min = 1,
              .max = NAME_BYTES_MAX,
              .doc = "id or name of a branch; default: the current one"),
        QUERY(InputMessageList,
              wait,
              FIELD_INT,
              .min = 0,
              .max = WAIT_SECONDS_MAX,
              .fallback = "0",
              .doc = "if there is none, wait so many seconds for one behind after (or behind now)"),
};
TABLE(input_message_list, NULL, NULL);

#define VARIABLE_NAME PATH(InputVariable, name, "the variable's name")
#define IF_MATCH \
        HEADER(InputVariable, if_match, "If-Match", "the ETag that the variables must still have")

static const FieldDef input_variable_get_fields[] = {
        SESSION_ID(InputVariable),
        VARIABLE_NAME,
};
TABLE(input_variable_get, NULL, NULL);

static const FieldDef input_variable_put_fields[] = {
        SESSION_ID(InputVariable),
        VARIABLE_NAME,
        IF_MATCH,
        HEADER(InputVariable,
               if_none_match,
               "If-None-Match",
               "*: only if there is no such variable, else 412"),
        BODY(InputVariable,
             value,
             FIELD_JSON,
             .flags = FIELD_REQUIRED,
             .doc = "any JSON value; kept as written"),
};
TABLE(input_variable_put, NULL, "The variable's new value: any JSON value, kept as written.");

static const FieldDef input_variable_delete_fields[] = {
        SESSION_ID(InputVariable),
        VARIABLE_NAME,
        IF_MATCH,
};
TABLE(input_variable_delete, NULL, NULL);

#define CHECKPOINT_ID PATH(InputCheckpoint, cp, "the checkpoint's id")

static const FieldDef input_checkpoint_create_fields[] = {
        SESSION_ID(InputCheckpointCreate),
        QUERY(InputCheckpointCreate, label, FIELD_STRING, .max = NAME_BYTES_MAX, .doc = "for people"),
        { .name = "label",
          .type = FIELD_STRING,
          .place = FIELD_BODY,
          .flags = FIELD_NULLABLE,
          .max = NAME_BYTES_MAX,
          .offset = offsetof(InputCheckpointCreate, body_label),
          .doc = "for people; that of the query wins" },
};
TABLE(input_checkpoint_create,
      "CheckpointCreate",
      "The label; may be left out. Members that are not named here are ignored.",
      .example = EXAMPLE_CHECKPOINT_CREATE);

static const FieldDef input_checkpoint_fields[] = {
        SESSION_ID(InputCheckpoint),
        CHECKPOINT_ID,
};
TABLE(input_checkpoint, NULL, NULL);

static const FieldDef input_checkpoint_patch_fields[] = {
        SESSION_ID(InputCheckpoint),
        CHECKPOINT_ID,
        BODY(InputCheckpoint,
             label,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .max = NAME_BYTES_MAX,
             .doc = "for people"),
        BODY(InputCheckpoint, pinned, FIELD_BOOL, .flags = FIELD_NULLABLE, .doc = "never pruned by age"),
};
TABLE(input_checkpoint_patch,
      "CheckpointPatch",
      "What is to be changed; members that are absent or null stay as they are.",
      .example = EXAMPLE_CHECKPOINT_PATCH,
      .is_strict = true);

static const FieldDef input_checkpoint_state_fields[] = {
        SESSION_ID(InputCheckpoint),
        CHECKPOINT_ID,
        MESSAGES(InputCheckpoint,
                 "\"all\"",
                 "how many of the last messages it carries: a number or all"),
};
TABLE(input_checkpoint_state, NULL, NULL);

static const FieldDef input_diff_fields[] = {
        SESSION_ID(InputDiff),
        QUERY(InputDiff,
              from,
              FIELD_STRING,
              .flags = FIELD_REQUIRED,
              .min = 1,
              .max = 64,
              .doc = "id of a checkpoint, a branch (its end) or a message; or now"),
        QUERY(InputDiff, to, FIELD_STRING, .min = 1, .max = 64, .fallback = "\"now\"", .doc = "the same"),
        QUERY(InputDiff,
              limit,
              FIELD_INT,
              .min = 1,
              .max = PAGE_ITEMS_MAX,
              .fallback = "100",
              .doc = "at most so many messages and so many files"),
        QUERY(InputDiff, after, FIELD_ID, .doc = "only messages behind this one of the list"),
        QUERY(InputDiff,
              files_skip,
              FIELD_INT,
              .min = 0,
              .max = INT64_C(1) << 32,
              .fallback = "0",
              .doc = "leave out so many files of the list; see next_skip"),
        QUERY(InputDiff, patch, FIELD_BOOL, .fallback = "false", .doc = "unified diffs of small text files"),
};
TABLE(input_diff, NULL, NULL);

static const FieldDef input_checkpoint_list_fields[] = {
        SESSION_ID(InputPage),
        QUERY(InputPage,
              limit,
              FIELD_INT,
              .min = 1,
              .max = LIST_ITEMS_MAX,
              .doc = "at most so many, default all; Link rel=next leads on if there is more"),
        QUERY(InputPage, after, FIELD_ID, .doc = "only those behind this id"),
};
TABLE(input_checkpoint_list, NULL, NULL);

static const FieldDef input_page_fields[] = {
        SESSION_ID(InputPage),
        LIMIT(InputPage, LIST_ITEMS_MAX, PAGE_DEFAULT),
        QUERY(InputPage, after, FIELD_ID, .doc = "only those behind this id"),
};
TABLE(input_page, NULL, NULL);

static const FieldDef input_run_fields[] = {
        SESSION_ID(InputRun),
        PATH(InputRun, run, "the run's id"),
};
TABLE(input_run, NULL, NULL);

static const FieldDef input_logs_fields[] = {
        SESSION_ID(InputLogs),
        QUERY(InputLogs,
              lines,
              FIELD_INT,
              .min = -1,
              .max = INT64_C(1) << 40,
              .doc = "only the last so many lines, -1: all; default all, with follow 10"),
        QUERY(InputLogs,
              since,
              FIELD_TIME,
              .doc = "only lines of this time and later; a + in a URL is written %2B"),
        QUERY(InputLogs, until, FIELD_TIME, .doc = "only lines before this time"),
        QUERY(InputLogs, stream, FIELD_STRING, .values = "stdout|stderr", .doc = "only this stream"),
        QUERY(InputLogs,
              grep,
              FIELD_STRING,
              .min = 1,
              .max = TEXT_BYTES_MAX,
              .doc = "only lines that contain this text"),
        QUERY(InputLogs, follow, FIELD_BOOL, .fallback = "false", .doc = "go on with what comes"),
        QUERY(InputLogs, run, FIELD_ID, .doc = "only this run"),
        QUERY(InputLogs,
              cursor,
              FIELD_STRING,
              .min = 1,
              .max = 128,
              .doc = "go on right behind this position: the id of an event of the text/event-stream"),
        HEADER(InputLogs, last_event_id, "Last-Event-ID", "the same, as browsers send it; wins"),
};
TABLE(input_logs, NULL, NULL);

#define AFTER_EVENT                         \
        QUERY(InputEvents, after, FIELD_ID, \
              .doc = "only events behind this id; absent: a list from the oldest kept on, a stream from now on")
#define LAST_EVENT_ID \
        HEADER(InputEvents, last_event_id, "Last-Event-ID", "the same, as browsers send it; wins")

static const FieldDef input_events_fields[] = {
        AFTER_EVENT,
        LIMIT(InputEvents, PAGE_ITEMS_MAX, PAGE_DEFAULT),
        QUERY(InputEvents, namespace, FIELD_STRING, .min = 1, .max = 64, .doc = "only this namespace"),
        LAST_EVENT_ID,
};
TABLE(input_events, NULL, NULL);

static const FieldDef input_session_events_fields[] = {
        SESSION_ID(InputEvents),
        AFTER_EVENT,
        LIMIT(InputEvents, PAGE_ITEMS_MAX, PAGE_DEFAULT),
        LAST_EVENT_ID,
};
TABLE(input_session_events, NULL, NULL);

#define NAMESPACE(S)                                                                      \
        QUERY(S, namespace, FIELD_STRING, .min = 1, .max = 64, .fallback = "\"default\"", \
              .doc = "the namespace")
#define KEY_QUERY(fl, text)                                                                  \
        QUERY(InputMemory, key, FIELD_STRING, .flags = (fl), .min = 1, .max = KEY_BYTES_MAX, \
              .doc = (text))
#define MEMORY_SCOPES "namespace|agent|session"
#define MEMORY_SCOPE_DOC                                                                            \
        "whose: namespace (the default: all sessions of the owner), agent (sessions of this one's " \
        "name), session"
#define SCOPE_QUERY                                                                \
        QUERY(InputMemory, scope, FIELD_STRING, .min = 1, .values = MEMORY_SCOPES, \
              .doc = MEMORY_SCOPE_DOC)
#define AS_OF_QUERY QUERY(InputMemory, as_of, FIELD_TIME, .doc = "what it was then; with key")
#define MEMORY_QUERY                                                           \
        KEY_QUERY(0, "the entry of this key; absent: a list"),                 \
                QUERY(InputMemory, prefix, FIELD_STRING, .max = KEY_BYTES_MAX, \
                      .doc = "only keys that begin so"),                       \
                QUERY(InputMemory, after, FIELD_STRING, .max = KEY_BYTES_MAX,  \
                      .doc = "only keys behind this one"),                     \
                QUERY(InputMemory, details, FIELD_BOOL, .fallback = "false",   \
                      .doc = "all of an entry; entries instead of keys"),      \
                AS_OF_QUERY, LIMIT(InputMemory, LIST_ITEMS_MAX)
#define MEMORY_BODY                                                                                                                               \
        BODY(InputMemory, key, FIELD_STRING, .flags = FIELD_REQUIRED, .min = 1,                                                                   \
             .max = KEY_BYTES_MAX, .doc = "any text without control characters"),                                                                 \
                BODY(InputMemory, value, FIELD_JSON, .flags = FIELD_REQUIRED,                                                                     \
                     .doc = "any JSON value; kept as written"),                                                                                   \
                BODY(InputMemory, text, FIELD_STRING, .flags = FIELD_NULLABLE | FIELD_ANY_TEXT,                                                   \
                     .max = MEMORY_TEXT_MAX,                                                                                                      \
                     .doc = "what it is found by; default: the strings and numbers of the value"),                                                \
                BODY(InputMemory, context, FIELD_STRING, .flags = FIELD_NULLABLE | FIELD_ANY_TEXT,                                                \
                     .max = MEMORY_TEXT_MAX,                                                                                                      \
                     .doc = "what was said around it; found too, with less weight"),                                                              \
                BODY(InputMemory, metadata, FIELD_OBJECT, .flags = FIELD_NULLABLE, .min = 0,                                                      \
                     .max = METADATA_MAX,                                                                                                         \
                     .doc = "a flat object of strings, numbers, booleans and nulls, to filter by"),                                               \
                BODY(InputMemory, tags, FIELD_STRINGS, .flags = FIELD_NULLABLE, .min = 0,                                                         \
                     .max = LABELS_MAX, .doc = "words to filter by"),                                                                             \
                BODY(InputMemory, importance, FIELD_REAL, .flags = FIELD_NULLABLE, .min = 0,                                                      \
                     .max = 1, .doc = "a bounded factor in ranking, if the search asks for it"),                                                  \
                BODY(InputMemory, ttl, FIELD_INT, .flags = FIELD_NULLABLE, .min = 1,                                                              \
                     .max = TTL_SECONDS_MAX, .doc = "seconds until it expires; default: never"),                                                  \
                BODY(InputMemory, node, FIELD_ID, .flags = FIELD_NULLABLE,                                                                        \
                     .doc = "the message that it comes from"),                                                                                    \
                BODY(InputMemory, embedding, FIELD_ARRAY, .flags = FIELD_NULLABLE, .min = 1,                                                      \
                     .max = EMBEDDING_MAX,                                                                                                        \
                     .doc = "a vector to be found by: numbers, not all 0; default: the former one, as long as what the entry is found by stays"), \
                BODY(InputMemory, model, FIELD_STRING, .flags = FIELD_NULLABLE, .min = 1,                                                         \
                     .max = NAME_BYTES_MAX,                                                                                                       \
                     .doc = "what made the embedding; only vectors of one model and length are compared; default: given"),                        \
                MEMORY_IF_MATCH,                                                                                                                  \
                HEADER(InputMemory, if_none_match, "If-None-Match",                                                                               \
                       "*: only if there is no such entry")
#define MEMORY_IF_MATCH \
        HEADER(InputMemory, if_match, "If-Match", "the ETag that the entry must still have")
#define HISTORY_QUERY                                                             \
        KEY_QUERY(FIELD_REQUIRED, "the entry's key"),                             \
                QUERY(InputMemory, before, FIELD_INT, .min = 1, .max = INT64_MAX, \
                      .doc = "only versions before this one"),                    \
                LIMIT(InputMemory, PAGE_ITEMS_MAX)

static const FieldDef input_memory_get_fields[] = {
        SESSION_ID(InputMemory),
        MEMORY_QUERY,
        SCOPE_QUERY,
};
TABLE(input_memory_get, NULL, NULL);

static const FieldDef input_memory_set_fields[] = {
        SESSION_ID(InputMemory),
        MEMORY_BODY,
        BODY(InputMemory,
             scope,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .values = MEMORY_SCOPES,
             .doc = MEMORY_SCOPE_DOC),
};
TABLE(input_memory_set,
      "MemorySet",
      "A memory entry. Members that are not named here are ignored.",
      .example = EXAMPLE_MEMORY_SET);

static const FieldDef input_memory_delete_fields[] = {
        SESSION_ID(InputMemory),
        KEY_QUERY(FIELD_REQUIRED, "the entry's key"),
        SCOPE_QUERY,
        MEMORY_IF_MATCH,
};
TABLE(input_memory_delete, NULL, NULL);

static const FieldDef input_memory_history_fields[] = {
        SESSION_ID(InputMemory),
        HISTORY_QUERY,
        SCOPE_QUERY,
};
TABLE(input_memory_history, NULL, NULL);

#define SEARCH_BODY                                                                                   \
        BODY(InputMemorySearch, query, FIELD_STRING, .flags = FIELD_NULLABLE | FIELD_ANY_TEXT,        \
             .min = 1, .max = MEMORY_TEXT_MAX,                                                        \
             .doc = "what to look for, in any words; this or embedding or both"),                     \
                BODY(InputMemorySearch, embedding, FIELD_ARRAY, .flags = FIELD_NULLABLE, .min = 1,    \
                     .max = EMBEDDING_MAX, .doc = "a vector: the nearest entries are found"),         \
                BODY(InputMemorySearch, model, FIELD_STRING, .flags = FIELD_NULLABLE, .min = 1,       \
                     .max = NAME_BYTES_MAX, .doc = "what made the embedding; default: given"),        \
                BODY(InputMemorySearch, mode, FIELD_STRING, .flags = FIELD_NULLABLE,                  \
                     .values = "text|vector|hybrid",                                                  \
                     .doc = "by words, by the embedding, or by both; default: by all that is given"), \
                BODY(InputMemorySearch, limit, FIELD_INT, .flags = FIELD_NULLABLE, .min = 1,          \
                     .max = PAGE_ITEMS_MAX, .doc = "at most so many; default 10"),                    \
                BODY(InputMemorySearch, filter, FIELD_OBJECT, .flags = FIELD_NULLABLE,                \
                     .doc = "what must hold of an entry: prefix, tags, any_tags, since, until, "      \
                            "min_importance, metadata {name: value or {eq, ne, gt, gte, lt, "         \
                            "lte, in, nin, exists, contains}}"),                                      \
                BODY(InputMemorySearch, min_score, FIELD_REAL, .flags = FIELD_NULLABLE, .min = -1,    \
                     .max = 1, .doc = "nothing below this score"),                                    \
                BODY(InputMemorySearch, as_of, FIELD_TIME, .flags = FIELD_NULLABLE,                   \
                     .doc = "what would have been found then"),                                       \
                BODY(InputMemorySearch, explain, FIELD_BOOL, .flags = FIELD_NULLABLE,                 \
                     .doc = "with every part of each score")

static const FieldDef input_memory_search_fields[] = {
        SESSION_ID(InputMemorySearch),
        SEARCH_BODY,
        BODY(InputMemorySearch,
             scope,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .values = MEMORY_SCOPES,
             .doc = "only this one; default: all that the session sees"),
};
TABLE(input_memory_search,
      "MemorySearch",
      "What to find in long-term memory.",
      .example = EXAMPLE_MEMORY_SEARCH);

static const FieldDef input_namespace_memory_search_fields[] = {
        NAMESPACE(InputMemorySearch),
        SEARCH_BODY,
};
TABLE(input_namespace_memory_search,
      "NamespaceMemorySearch",
      "What to find in a namespace's memory.",
      .example = EXAMPLE_MEMORY_SEARCH);

static const FieldDef input_short_term_fields[] = {
        SESSION_ID(InputPage),
        QUERY(InputPage,
              limit,
              FIELD_INT,
              .min = 1,
              .max = PAGE_ITEMS_MAX,
              .doc = "at most so many; default the window"),
};
TABLE(input_short_term, NULL, NULL);

static const FieldDef input_namespace_memory_get_fields[] = {
        NAMESPACE(InputMemory),
        MEMORY_QUERY,
};
TABLE(input_namespace_memory_get, NULL, NULL);

static const FieldDef input_namespace_memory_set_fields[] = {
        NAMESPACE(InputMemory),
        MEMORY_BODY,
};
TABLE(input_namespace_memory_set,
      "NamespaceMemorySet",
      "A memory entry of a namespace; its namespace stands in the query.",
      .example = EXAMPLE_MEMORY_SET,
      .is_strict = true);

static const FieldDef input_namespace_memory_delete_fields[] = {
        NAMESPACE(InputMemory),
        KEY_QUERY(FIELD_REQUIRED, "the entry's key"),
        MEMORY_IF_MATCH,
};
TABLE(input_namespace_memory_delete, NULL, NULL);

static const FieldDef input_namespace_memory_history_fields[] = {
        NAMESPACE(InputMemory),
        HISTORY_QUERY,
};
TABLE(input_namespace_memory_history, NULL, NULL);

static const FieldDef input_token_create_fields[] = {
        BODY(InputToken,
             namespace,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = 64,
             .fallback = "\"default\"",
             .doc = "the only namespace it may use, or * for all; of letters, digits and : _ . @ -"),
        BODY(InputToken,
             scope,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .values = "read|write|admin",
             .fallback = "\"write\"",
             .doc = "what it may do: see x-access of each operation"),
        BODY(InputToken,
             name,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .max = NAME_BYTES_MAX,
             .doc = "for people"),
        BODY(InputToken,
             expires,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = 64,
             .doc = "a span (12h, 30d) or an RFC 3339 time; default: never"),
};
TABLE(input_token_create,
      "TokenCreate",
      "A new API token.",
      .example = EXAMPLE_TOKEN_CREATE,
      .is_strict = true);

static const FieldDef input_token_list_fields[] = {
        QUERY(InputToken, namespace, FIELD_STRING, .min = 1, .max = 64, .doc = "only this namespace"),
        LIMIT(InputToken, LIST_ITEMS_MAX, PAGE_DEFAULT),
        QUERY(InputToken, after, FIELD_ID, .doc = "only those behind this id"),
};
TABLE(input_token_list, NULL, NULL);

static const FieldDef input_token_fields[] = {
        PATH(InputToken, token, "the token's id"),
};
TABLE(input_token, NULL, NULL);

static const FieldDef input_backup_fields[] = {
        QUERY(InputBackup, logs, FIELD_BOOL, .doc = "with what agents wrote"),
        QUERY(InputBackup, verify, FIELD_BOOL, .doc = "read it back and compare it before it is sent"),
};
TABLE(input_backup, NULL, NULL);
