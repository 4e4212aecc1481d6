/* SPDX-License-Identifier: MIT */

/* Rows of every reply. The API room's views write these members, a test checks each reply against its
 * table, and OpenAPI shows them. A row without FIELD_REQUIRED may be left out; with FIELD_NULLABLE it may be
 * null. The inherited shapes keep the original's names; what was added stands beside them. */

#include "contract/inputs-internal.h"

/* api/test-openapi.c holds them against the words of the rooms that they are of. */
#define SUBSTATES                                                                                           \
        "new|queued|starting|active|idle|waiting|backoff|stopping|frozen|parked|budget|credentials|exited|" \
        "archived|failed|oom|watchdog|sandbox|lost|quarantined"
#define RUN_RESULTS "success|exit-code|signal|core-dump|exec|timeout|lost|unknown"

#define R  FIELD_REQUIRED
#define RN (FIELD_REQUIRED | FIELD_NULLABLE)

static const FieldDef output_tool_call_fields[] = {
        OUT("name", FIELD_STRING, R, .doc = "the tool"),
        OUT("arguments", FIELD_JSON, 0, .doc = "any JSON value, as written"),
        OUT("result", FIELD_JSON, 0, .doc = "any JSON value, as written"),
};
TABLE(output_tool_call, "ToolCall", "A tool call and what came of it.");

static const FieldDef output_message_fields[] = {
        OUT("id", FIELD_ID, R, .doc = "its node"),
        OUT("role", FIELD_STRING, R),
        OUT("content", FIELD_CONTENT, RN, .doc = "as written"),
        OUT("tool_calls", FIELD_ARRAY, R, .ref = &output_tool_call),
        OUT("timestamp", FIELD_TIME, R),
        OUT("parent", FIELD_ID, RN, .doc = "the message before it"),
        OUT("run", FIELD_ID, RN, .doc = "the run that wrote it; null: somebody else"),
};
TABLE(output_message, "Message", "One message of a conversation.", .example = EXAMPLE_MESSAGE);

static const FieldDef output_session_fields[] = {
        OUT("session_id", FIELD_ID, R),
        OUT("name", FIELD_STRING, R),
        OUT("model", FIELD_STRING, RN),
        OUT("system_prompt", FIELD_STRING, RN),
        OUT("tools", FIELD_STRINGS, R),
        OUT("status",
            FIELD_STRING,
            R,
            .values = "created|running|paused|stopped|error",
            .doc = "an archived session is stopped, its substate is archived"),
        OUT("memory", FIELD_OBJECT, R, .doc = "the session's variables"),
        OUT("created_at", FIELD_TIME, R),
        OUT("updated_at", FIELD_TIME, R),
        OUT("substate", FIELD_STRING, R, .values = SUBSTATES, .doc = "the status in detail"),
        OUT("reason", FIELD_STRING, RN, .doc = "why it is in this state"),
        OUT("namespace", FIELD_STRING, R),
        OUT("labels", FIELD_STRING_MAP, R),
        OUT("workspace", FIELD_STRING, RN, .doc = "absolute path"),
        OUT("agent", FIELD_OBJECT, RN, .doc = "as written, see Agent; null: a record without a process"),
        OUT("branch", FIELD_ID, R, .doc = "the current branch"),
        OUT("run", FIELD_ID, RN, .doc = "the current or last run"),
        OUT("restarts", FIELD_INT, R, .doc = "in a row"),
        OUT("heartbeat_at", FIELD_TIME, RN),
        OUT("restart_at", FIELD_TIME, RN, .doc = "when the next run is due"),
        OUT("last_checkpoint", FIELD_ID, RN),
        OUT("message_count", FIELD_INT, R),
        OUT("tool_call_count", FIELD_INT, R),
        OUT("messages", FIELD_REFS, R, .ref = &output_message, .doc = "the last ones, oldest first"),
        OUT("tool_history", FIELD_REFS, R, .ref = &output_tool_call, .doc = "tool calls of these messages"),
};
TABLE(output_session, "SessionState", "A session with its state.", .example = EXAMPLE_SESSION);

static const FieldDef output_checkpoint_fields[] = {
        OUT("checkpoint_id", FIELD_ID, R),
        OUT("session_id", FIELD_ID, R),
        OUT("created_at", FIELD_TIME, R),
        OUT("label", FIELD_STRING, RN),
        OUT("kind",
            FIELD_STRING,
            R,
            .values = "manual|auto|pause|stop|shutdown|pre-restore",
            .doc = "why it was taken"),
        OUT("pinned", FIELD_BOOL, R),
        OUT("branch", FIELD_ID, R),
        OUT("node", FIELD_ID, RN, .doc = "the last message"),
        OUT("run", FIELD_ID, RN),
        OUT("message_count", FIELD_INT, R),
        OUT("tool_call_count", FIELD_INT, R),
        OUT("workspace_tree", FIELD_STRING, RN, .doc = "the workspace's files, as a git tree id"),
        OUT("files_skipped", FIELD_INT, R, .doc = "files that were there and are not in it"),
        OUT("files_note",
            FIELD_STRING,
            RN,
            .doc = "the first of them with reasons, or why there are no files"),
};
TABLE(output_checkpoint, "Checkpoint", "A point that can be restored.", .example = EXAMPLE_CHECKPOINT);

static const FieldDef output_branch_fields[] = {
        OUT("branch_id", FIELD_ID, R),
        OUT("name", FIELD_STRING, R),
        OUT("head", FIELD_ID, RN, .doc = "the last message"),
        OUT("message_count", FIELD_INT, R),
        OUT("current", FIELD_BOOL, R),
        OUT("created_at", FIELD_TIME, R),
        OUT("origin_branch", FIELD_ID, RN),
        OUT("origin_checkpoint", FIELD_ID, RN),
        OUT("origin_node", FIELD_ID, RN),
        OUT("origin_message_count", FIELD_INT, R, .doc = "messages that it has from its origin"),
        OUT("origin_session", FIELD_ID, RN, .doc = "whose branch the origin is: of a fork another one"),
};
TABLE(output_branch, "Branch", "A line of a conversation.");

static const FieldDef output_fork_fields[] = {
        OUT("session_id", FIELD_ID, R),
        OUT("branch_id", FIELD_ID, R, .doc = "its branch that begins there; what after means"),
        OUT("name", FIELD_STRING, R),
        OUT("status", FIELD_STRING, R, .values = "created|running|paused|stopped|error"),
        OUT("created_at", FIELD_TIME, R),
        OUT("origin_branch", FIELD_ID, R, .doc = "the branch of this session that was the current one"),
        OUT("origin_checkpoint", FIELD_ID, RN),
        OUT("origin_node", FIELD_ID, RN, .doc = "the last message of both"),
        OUT("origin_message_count", FIELD_INT, R),
};
TABLE(output_fork, "Fork", "A session that began at a point of another one.");

static const FieldDef output_diff_point_fields[] = {
        OUT("checkpoint", FIELD_ID, RN, .doc = "that was asked for"),
        OUT("branch", FIELD_ID, RN, .doc = "whose end was asked for"),
        OUT("node", FIELD_ID, RN, .doc = "the message that was asked for"),
        OUT("now", FIELD_BOOL, R),
        OUT("head", FIELD_ID, RN, .doc = "the last message"),
        OUT("message_count", FIELD_INT, R),
        OUT("variables_version", FIELD_ID, R),
        OUT("workspace_tree", FIELD_STRING, RN, .doc = "the workspace's files, as a git tree id"),
};
TABLE(output_diff_point, "DiffPoint", "One of two points that are compared.");

static const FieldDef output_diff_message_fields[] = {
        OUT("change",
            FIELD_STRING,
            R,
            .values = "removed|added",
            .doc = "removed: only in from; added: only in to"),
        OUT("message", FIELD_REF, R, .ref = &output_message),
};
TABLE(output_diff_message, "DiffMessage", "A message of one point only.");

static const FieldDef output_diff_messages_fields[] = {
        OUT("ancestor", FIELD_ID, RN, .doc = "the last message of both"),
        OUT("common", FIELD_INT, R, .doc = "messages of both"),
        OUT("removed", FIELD_INT, R),
        OUT("added", FIELD_INT, R),
        OUT("items",
            FIELD_REFS,
            R,
            .ref = &output_diff_message,
            .doc = "the removed ones, then the added ones, oldest first; Link rel=next leads on"),
};
TABLE(output_diff_messages, "DiffMessages", "How the conversations differ.");

static const FieldDef output_diff_values_fields[] = {
        OUT("added", FIELD_OBJECT, R, .doc = "names and values"),
        OUT("removed", FIELD_OBJECT, R, .doc = "names and values"),
        OUT("changed", FIELD_OBJECT, R, .doc = "names and {from, to}"),
};
TABLE(output_diff_values, "DiffValues", "How named values differ.");

static const FieldDef output_diff_file_fields[] = {
        OUT("path", FIELD_STRING, R, .doc = "relative to the workspace"),
        OUT("change", FIELD_STRING, R, .values = "added|removed|modified"),
        OUT("from_size", FIELD_INT, RN, .doc = "bytes; null: not there"),
        OUT("to_size", FIELD_INT, RN),
        OUT("from_mode", FIELD_STRING, RN, .doc = "permissions in octal digits, or link"),
        OUT("to_mode", FIELD_STRING, RN),
        OUT("patch", FIELD_STRING, RN, .doc = "unified diff; null: not asked for, no text, or too large"),
};
TABLE(output_diff_file, "DiffFile", "A file or link that differs.");

static const FieldDef output_diff_files_fields[] = {
        OUT("compared", FIELD_BOOL, R),
        OUT("reason", FIELD_STRING, RN, .doc = "why they could not be compared"),
        OUT("added", FIELD_INT, R),
        OUT("removed", FIELD_INT, R),
        OUT("modified", FIELD_INT, R),
        OUT("unknown", FIELD_INT, R, .doc = "left out by one of the two (too large, ignored, unreadable)"),
        OUT("items", FIELD_REFS, R, .ref = &output_diff_file, .doc = "in the order of paths"),
        OUT("next_skip", FIELD_INT, RN, .doc = "files_skip of the next part; null: that was all"),
};
TABLE(output_diff_files, "DiffFiles", "How the workspace's files differ.");

static const FieldDef output_diff_fields[] = {
        OUT("session_id", FIELD_ID, R),
        OUT("from", FIELD_REF, R, .ref = &output_diff_point),
        OUT("to", FIELD_REF, R, .ref = &output_diff_point),
        OUT("messages", FIELD_REF, R, .ref = &output_diff_messages),
        OUT("variables", FIELD_REF, R, .ref = &output_diff_values),
        OUT("configuration",
            FIELD_OBJECT,
            R,
            .doc = "what changed of model, system_prompt, tools and agent, each {from, to}"),
        OUT("files", FIELD_REF, R, .ref = &output_diff_files),
};
TABLE(output_diff, "Diff", "What differs between two points of a session.");

static const FieldDef output_run_fields[] = {
        OUT("run_id", FIELD_ID, R),
        OUT("session_id", FIELD_ID, R),
        OUT("number", FIELD_INT, R, .doc = "1 for the first"),
        OUT("state", FIELD_STRING, R, .values = "starting|alive|stopping|ended"),
        OUT("pid", FIELD_INT, RN),
        OUT("created_at", FIELD_TIME, R),
        OUT("started_at", FIELD_TIME, RN),
        OUT("ended_at", FIELD_TIME, RN),
        OUT("result", FIELD_STRING, RN, .values = RUN_RESULTS, .doc = "how it ended; null: it has not"),
        OUT("exit_code", FIELD_INT, RN, .doc = "null: no exit, or not known"),
        OUT("exit_signal", FIELD_INT, RN, .doc = "the number of the signal that killed it"),
        OUT("leftovers", FIELD_INT, R, .doc = "processes that outlived the main one and were ended"),
        OUT("reason", FIELD_STRING, RN, .doc = "the result in words"),
        OUT("tasks",
            FIELD_INT,
            RN,
            .doc = "threads and processes at the moment; null: not alive, or not known"),
        OUT("memory_bytes", FIELD_INT, RN, .doc = "at the moment"),
        OUT("cpu_usec", FIELD_INT, RN, .doc = "CPU time so far, of a living run"),
        OUT("output_held",
            FIELD_STRING,
            RN,
            .doc = "why its output waits instead of going to its log, e.g. No space left on device; null: it goes there"),
        OUT("output_held_since", FIELD_TIME, RN),
};
TABLE(output_run, "Run", "One life of a session's process.", .example = EXAMPLE_RUN);

static const FieldDef output_event_fields[] = {
        OUT("id", FIELD_ID, R),
        OUT("type", FIELD_STRING, R, .doc = "listed in x-event-types; new versions may have more"),
        OUT("time", FIELD_TIME, R),
        OUT("session_id", FIELD_ID, RN, .doc = "null: the daemon"),
        OUT("namespace", FIELD_STRING, RN),
        OUT("data", FIELD_OBJECT, R, .doc = "its members by type: see x-event-types"),
};
TABLE(output_event, "Event", "Something that happened.", .example = EXAMPLE_EVENT);

static const FieldDef output_log_line_fields[] = {
        OUT("run", FIELD_ID, R),
        OUT("stream", FIELD_STRING, R, .values = "stdout|stderr|notice"),
        OUT("time", FIELD_TIME, RN),
        OUT("text", FIELD_STRING, R),
        OUT("cut", FIELD_BOOL, 0, .doc = "goes on in the next item"),
};
TABLE(output_log_line,
      "LogLine",
      "A line that a run wrote (application/x-ndjson, text/event-stream).",
      .example = EXAMPLE_LOG_LINE);

#define MEMORY_ENTRY(must)                                                                       \
        OUT("key", FIELD_STRING, (must)), OUT("value", FIELD_JSON, (must), .doc = "as written"), \
                OUT("timestamp", FIELD_TIME, (must), .doc = "of the last change"),               \
                OUT("created_at", FIELD_TIME, (must)),                                           \
                OUT("version", FIELD_INT, (must), .doc = "also the ETag, as 16 hex digits"),     \
                OUT("access_count", FIELD_INT, (must)),                                          \
                OUT("session_id", FIELD_ID, (must) | FIELD_NULLABLE, .doc = "who stored it"),    \
                OUT("run", FIELD_ID, (must) | FIELD_NULLABLE),                                   \
                OUT("node", FIELD_ID, 0, .doc = "the message that it comes from"),               \
                OUT("text", FIELD_STRING, 0), OUT("context", FIELD_STRING, 0),                   \
                OUT("metadata", FIELD_OBJECT, 0), OUT("tags", FIELD_STRINGS, 0),                 \
                OUT("importance", FIELD_REAL, 0), OUT("expires_at", FIELD_TIME, 0)

static const FieldDef output_memory_entry_fields[] = {
        MEMORY_ENTRY(R),
};
TABLE(output_memory_entry, "MemoryEntry", "A long-term memory entry.");

static const FieldDef output_memory_version_fields[] = {
        MEMORY_ENTRY(R),
        OUT("ended_at", FIELD_TIME, RN, .doc = "null: it is the live one"),
        OUT("ended_by", FIELD_STRING, RN, .values = "replaced|deleted|expired"),
};
TABLE(output_memory_version, "MemoryVersion", "An entry as it is or was.");

static const FieldDef output_memory_fields[] = {
        MEMORY_ENTRY(0),
        OUT("keys", FIELD_STRINGS, 0, .doc = "ascending"),
        OUT("entries", FIELD_REFS, 0, .ref = &output_memory_entry),
};
TABLE(output_memory,
      "Memory",
      "With key: key, value and timestamp, with details the entry. Without: keys, or with details entries.");

static const FieldDef output_memory_stored_fields[] = {
        OUT("status", FIELD_STRING, R, .values = "stored|deleted"),
        OUT("key", FIELD_STRING, R),
};
TABLE(output_memory_stored, "MemoryStored", NULL);

static const FieldDef output_memory_explain_fields[] = {
        OUT("bm25", FIELD_REAL, 0, .doc = "of the words, above 0"),
        OUT("text_rank", FIELD_INT, 0, .doc = "its place among those found by words"),
        OUT("cosine", FIELD_REAL, 0, .doc = "of the vectors"),
        OUT("vector_rank", FIELD_INT, 0, .doc = "its place among the nearest"),
};
TABLE(output_memory_explain, "MemoryExplain", "The parts of a score.");

static const FieldDef output_memory_hit_fields[] = {
        MEMORY_ENTRY(R),
        OUT("scope", FIELD_STRING, R, .values = "namespace|agent|session"),
        OUT("score", FIELD_REAL, R, .doc = "text, hybrid: between 0 and 1; vector: the cosine"),
        OUT("explain", FIELD_REF, 0, .ref = &output_memory_explain),
};
TABLE(output_memory_hit, "MemoryHit", "An entry that was found.");

static const FieldDef output_memory_search_fields[] = {
        OUT("results", FIELD_REFS, R, .ref = &output_memory_hit, .doc = "best first"),
        OUT("mode", FIELD_STRING, R, .values = "text|vector|hybrid", .doc = "how they were found"),
        OUT("semantic", FIELD_BOOL, R, .doc = "by meaning too, not by words alone"),
};
TABLE(output_memory_search, "MemorySearchResult", NULL);

static const FieldDef output_memory_history_fields[] = {
        OUT("key", FIELD_STRING, R),
        OUT("versions", FIELD_REFS, R, .ref = &output_memory_version, .doc = "newest first"),
};
TABLE(output_memory_history, "MemoryHistory", "What an entry was.");

static const FieldDef output_variables_fields[] = {
        OUT("version", FIELD_ID, R, .doc = "also the ETag"),
        OUT("variables", FIELD_OBJECT, R),
};
TABLE(output_variables, "Variables", "All variables of a session.");

static const FieldDef output_variable_fields[] = {
        OUT("name", FIELD_STRING, R),
        OUT("value", FIELD_JSON, R, .doc = "as written"),
        OUT("version", FIELD_ID, R, .doc = "also the ETag"),
};
TABLE(output_variable, "Variable", "One variable.");

static const FieldDef output_variable_stored_fields[] = {
        OUT("status", FIELD_STRING, R, .values = "stored|deleted"),
        OUT("name", FIELD_STRING, R),
        OUT("version", FIELD_ID, R, .doc = "also the ETag"),
};
TABLE(output_variable_stored, "VariableStored", NULL);

#define TOKEN_ROWS                                                               \
        OUT("token_id", FIELD_ID, R), OUT("namespace", FIELD_STRING, R),         \
                OUT("scope", FIELD_STRING, R, .values = "read|write|admin"),     \
                OUT("name", FIELD_STRING, RN), OUT("created_at", FIELD_TIME, R), \
                OUT("expires_at", FIELD_TIME, RN, .doc = "null: never")

static const FieldDef output_token_fields[] = {
        TOKEN_ROWS,
};
TABLE(output_token, "Token", "An API token, without its secret.");

static const FieldDef output_token_created_fields[] = {
        TOKEN_ROWS,
        OUT("token", FIELD_STRING, R, .doc = "the secret"),
};
TABLE(output_token_created, "TokenCreated", "An API token; the secret is shown this once.");

static const FieldDef output_index_fields[] = {
        OUT("name", FIELD_STRING, R, .values = "agentd"),
        OUT("version", FIELD_STRING, R),
        OUT("docs", FIELD_STRING, R, .doc = "every route, for people"),
        OUT("openapi", FIELD_STRING, R, .doc = "the same for programs"),
        OUT("health", FIELD_STRING, R),
        OUT("metrics", FIELD_STRING, R),
};
TABLE(output_index, "Index", "What this is and where to look on.");

static const FieldDef output_health_fields[] = {
        OUT("status", FIELD_STRING, R, .values = "healthy"),
        OUT("uptime_seconds", FIELD_REAL, R),
        OUT("active_sessions", FIELD_INT, R, .doc = "sessions that are running"),
        OUT("error_sessions", FIELD_INT, R, .doc = "sessions that failed and are not tried again"),
        OUT("oldest_heartbeat", FIELD_TIME, RN, .doc = "of the running sessions"),
        OUT("outputs_held",
            FIELD_INT,
            R,
            .doc = "runs whose output waits because their log cannot be written"),
};
TABLE(output_health, "Health", NULL);

static const FieldDef output_ready_fields[] = {
        OUT("status", FIELD_STRING, R, .values = "ready"),
};
TABLE(output_ready, "Ready", NULL);

static const FieldDef output_version_fields[] = {
        OUT("version", FIELD_STRING, R),
        OUT("daemon_pid", FIELD_INT, R),
        OUT("keeper_pid", FIELD_INT, RN),
        OUT("started_at", FIELD_TIME, R),
        OUT("port", FIELD_INT, RN, .doc = "of the TCP socket"),
        OUT("urls", FIELD_STRINGS, R, .doc = "where the daemon listens; unix: a socket"),
        OUT("state_schema", FIELD_INT, R, .doc = "number of state.db's schema"),
        OUT("memory_schema", FIELD_INT, R, .doc = "number of memory.db's schema"),
};
TABLE(output_version, "Version", NULL);

static const FieldDef output_config_key_fields[] = {
        OUT("section", FIELD_STRING, RN, .doc = "of agentd.conf; null: cannot be said there"),
        OUT("key", FIELD_STRING, R),
        OUT("variable", FIELD_STRING, R, .doc = "of the environment"),
        OUT("option", FIELD_STRING, RN, .doc = "of agentd start"),
        OUT("value", FIELD_STRING, R, .doc = "in effect"),
        OUT("unit", FIELD_STRING, R),
        OUT("origin",
            FIELD_STRING,
            R,
            .doc = "default, environment VARIABLE, option --NAME, or FILE:LINE"),
        OUT("default", FIELD_STRING, RN, .doc = "null: derived from others"),
        OUT("reload", FIELD_BOOL, R, .doc = "false: a change needs a restart"),
        OUT("changed_to", FIELD_STRING, RN, .doc = "what a start would use now, if it is another value"),
        OUT("changed_by", FIELD_STRING, RN, .doc = "the origin of that"),
        OUT("doc", FIELD_STRING, R),
};
TABLE(output_config_key, "ConfigKey", "One setting.");

static const FieldDef output_config_fields[] = {
        OUT("file", FIELD_STRING, RN, .doc = "where agentd.conf is looked for"),
        OUT("files", FIELD_STRINGS, R, .doc = "that were read"),
        OUT("error", FIELD_STRING, RN, .doc = "what is wrong on disk now"),
        OUT("keys", FIELD_REFS, R, .ref = &output_config_key),
};
TABLE(output_config, "Config", NULL);

static const FieldDef output_config_change_fields[] = {
        OUT("section", FIELD_STRING, RN),
        OUT("key", FIELD_STRING, R),
        OUT("variable", FIELD_STRING, R),
        OUT("value", FIELD_STRING, R, .doc = "in effect"),
        OUT("wanted", FIELD_STRING, R, .doc = "what was read"),
        OUT("origin", FIELD_STRING, R, .doc = "of what was read"),
};
TABLE(output_config_change, "ConfigChange", NULL);

static const FieldDef output_reload_fields[] = {
        OUT("status", FIELD_STRING, R, .values = "reloaded"),
        OUT("files", FIELD_STRINGS, R, .doc = "that were read"),
        OUT("applied", FIELD_REFS, R, .ref = &output_config_change, .doc = "in effect from now on"),
        OUT("waiting",
            FIELD_REFS,
            R,
            .ref = &output_config_change,
            .doc = "in effect after a restart: agentd stop, agentd start; sessions are kept"),
};
TABLE(output_reload, "Reload", NULL);

static const FieldDef output_status_fields[] = {
        OUT("status", FIELD_STRING, R, .values = "deleted|revoked|stopping|done", .doc = "what was done"),
};
TABLE(output_status, "Status", NULL);

static const FieldDef output_problem_fields[] = {
        OUT("what", FIELD_STRING, R, .doc = "message, checkpoint, file …"),
        OUT("id", FIELD_STRING, R, .doc = "as people know it"),
        OUT("problem", FIELD_STRING, R),
        OUT("repair",
            FIELD_STRING,
            RN,
            .doc = "what `agentd fsck --repair` does; null: nothing that it could"),
};
TABLE(output_problem, "Problem", "Something that is stored and not what it should be.");

static const FieldDef output_validation_error_fields[] = {
        OUT("type",
            FIELD_STRING,
            R,
            .doc = "a stable word, as of pydantic: missing, string_type, extra_forbidden, …"),
        OUT("loc", FIELD_ARRAY, R, .doc = "where: body, query, path or header, then names and indexes"),
        OUT("msg", FIELD_STRING, R, .doc = "what is wrong, for people"),
        OUT("input", FIELD_JSON, R, .doc = "what was there; null if it is long"),
};
TABLE(output_validation_error,
      "ValidationError",
      "One fault of a request.",
      .example = EXAMPLE_VALIDATION_ERROR);

static const FieldDef output_error_fields[] = {
        OUT("detail",
            FIELD_CONTENT,
            R,
            .ref = &output_validation_error,
            .doc = "a sentence; with validation_failed the faults"),
        OUT("code",
            FIELD_STRING,
            R,
            .doc = "a stable word, listed in x-error-codes; new versions may have more"),
        OUT("hint", FIELD_STRING, RN, .doc = "what to do"),
};
TABLE(output_error, "Error", "What went wrong.", .example = EXAMPLE_ERROR);
