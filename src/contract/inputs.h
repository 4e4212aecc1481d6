/* SPDX-License-Identifier: MIT */
#pragma once

/* What the fields of a request are parsed into: one struct per shape of input. Rows of inputs*.c name each
 * member's field, place and limits; routes.def says which route takes which. `id` is always the session's
 * part of the path as it was written: what is no id is an unknown session, not a wrong request. */

#include "contract/contract.h"

typedef struct InputSession {
        FieldStr id;
} InputSession;

typedef struct InputSessionCreate {
        FieldStr name, model;
        JsonSpan system_prompt, tools, agent, labels, variables;
        FieldStr unit, workspace, namespace;
        FieldBool start;
} InputSessionCreate;

typedef struct InputSessionList {
        FieldStr status, name, label, namespace, ref, messages;
        FieldInt limit;
        FieldId after;
} InputSessionList;

typedef struct InputSessionGet {
        FieldStr id, messages;
} InputSessionGet;

typedef struct InputSessionPatch {
        FieldStr id, name, model;
        JsonSpan system_prompt, tools, agent, labels;
} InputSessionPatch;

typedef struct InputSessionDelete {
        FieldStr id;
        FieldBool force;
} InputSessionDelete;

typedef struct InputSessionResume {
        FieldStr id, session_id, checkpoint_id;
} InputSessionResume;

typedef struct InputSessionKill {
        FieldStr id, signal;
} InputSessionKill;

typedef struct InputSessionFork {
        FieldStr id, checkpoint_id, node, name, workspace;
} InputSessionFork;

typedef struct InputSessionRestore {
        FieldStr id, checkpoint_id, node;
} InputSessionRestore;

typedef struct InputMessageAppend {
        FieldStr id, role;
        JsonSpan content, tool_calls;
} InputMessageAppend;

typedef struct InputMessageList {
        FieldStr id, branch;
        FieldId after, before;
        FieldInt limit, wait;
} InputMessageList;

typedef struct InputVariable {
        FieldStr id, name, if_match, if_none_match;
        JsonSpan value;
} InputVariable;

typedef struct InputCheckpointCreate {
        FieldStr id, label, body_label; /* the query's and the body's */
} InputCheckpointCreate;

typedef struct InputCheckpoint {
        FieldStr id, cp, label, messages;
        FieldBool pinned;
} InputCheckpoint;

typedef struct InputPage { /* lists of one session */
        FieldStr id;
        FieldInt limit;
        FieldId after;
} InputPage;

typedef struct InputDiff {
        FieldStr id, from, to;
        FieldInt limit, files_skip;
        FieldId after;
        FieldBool patch;
} InputDiff;

typedef struct InputRun {
        FieldStr id, run;
} InputRun;

typedef struct InputLogs {
        FieldStr id, since, until, stream, grep, cursor, last_event_id;
        FieldInt lines;
        FieldBool follow;
        FieldId run;
} InputLogs;

typedef struct InputEvents {
        FieldStr id, namespace, last_event_id;
        FieldId after;
        FieldInt limit;
} InputEvents;

typedef struct InputMemory { /* of a session or of a namespace */
        FieldStr id, namespace, key, prefix, after, scope, text, context, as_of, if_match,
                if_none_match, model;
        FieldInt limit, ttl, before;
        FieldBool details;
        FieldId node;
        FieldReal importance;
        JsonSpan value, metadata, tags, embedding;
} InputMemory;

typedef struct InputMemorySearch {
        FieldStr id, namespace, query, mode, scope, as_of, model;
        JsonSpan filter, embedding;
        FieldInt limit;
        FieldReal min_score;
        FieldBool explain;
} InputMemorySearch;

typedef struct InputBackup {
        FieldStr id; /* no route has it */
        FieldBool logs, verify;
} InputBackup;

typedef struct InputToken {
        FieldStr token, namespace, scope, name, expires;
        FieldInt limit;
        FieldId after;
} InputToken;

extern const FieldTable input_session, input_session_create, input_session_list, input_session_get,
        input_session_patch, input_session_delete, input_session_resume, input_session_kill,
        input_session_fork, input_session_restore, input_message_append, input_message_list,
        input_variable_get, input_variable_put, input_variable_delete, input_checkpoint_create,
        input_checkpoint, input_checkpoint_patch, input_checkpoint_state, input_diff, input_page,
        input_run, input_logs, input_events, input_session_events, input_memory_get,
        input_memory_set, input_memory_delete, input_memory_history, input_memory_search,
        input_namespace_memory_search, input_short_term, input_namespace_memory_get,
        input_namespace_memory_set, input_namespace_memory_delete, input_namespace_memory_history,
        input_token_create, input_token_list, input_token, input_checkpoint_list, input_agent,
        input_backup;

/* Replies; rows only, since views write them. */
extern const FieldTable output_session, output_message, output_tool_call, output_checkpoint,
        output_branch, output_fork, output_diff, output_run, output_event, output_log_line,
        output_memory, output_memory_entry, output_memory_history, output_memory_search,
        output_memory_stored, output_variables, output_variable, output_variable_stored,
        output_token, output_token_created, output_index, output_health, output_ready,
        output_version, output_config, output_config_key, output_config_change, output_reload,
        output_status, output_problem, output_error;
