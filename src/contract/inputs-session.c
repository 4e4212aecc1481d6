/* SPDX-License-Identifier: MIT */

/* Input rows of the routes that create, change and move sessions.
 *
 * Limits are in bytes. Text that clients get back as they wrote it (system prompt, tools, agent,
 * labels, variables) is kept as a span of the checked body; only what the daemon itself compares or
 * prints is decoded. Ids in bodies are strings here: an id that does not exist and a text that is
 * no id are the same mistake to a caller, and the original answers both alike. */

#include "contract/inputs-internal.h"

static const FieldDef input_session_fields[] = {
        SESSION_ID(InputSession),
};
TABLE(input_session, NULL, NULL);

static const FieldDef input_session_create_fields[] = {
        BODY(InputSessionCreate,
             name,
             FIELD_STRING,
             .flags = FIELD_REQUIRED,
             .min = 1,
             .max = NAME_BYTES_MAX,
             .doc = "what people call it"),
        BODY(InputSessionCreate,
             model,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = NAME_BYTES_MAX,
             .doc = "the model's name; required without agent"),
        BODY(InputSessionCreate,
             system_prompt,
             FIELD_JSON_STRING,
             .flags = FIELD_NULLABLE,
             .doc = "kept as written"),
        BODY(InputSessionCreate,
             tools,
             FIELD_STRINGS,
             .flags = FIELD_NULLABLE,
             .min = 0,
             .max = TOOLS_MAX,
             .doc = "names of tools, any strings"),
        BODY(InputSessionCreate,
             agent,
             FIELD_OBJECT,
             .flags = FIELD_NULLABLE,
             .doc = "the agent to run, by the keys of a unit file in snake_case (exec, restart, …); absent: a record "
                    "without a process"),
        BODY(InputSessionCreate,
             unit,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .max = NAME_BYTES_MAX,
             .doc = "name of a unit file; not built in this version"),
        BODY(InputSessionCreate,
             labels,
             FIELD_STRING_MAP,
             .flags = FIELD_NULLABLE,
             .min = 0,
             .max = LABELS_MAX,
             .doc = "for finding it again"),
        BODY(InputSessionCreate,
             variables,
             FIELD_OBJECT,
             .flags = FIELD_NULLABLE,
             .doc = "first values of the session's variables"),
        BODY(InputSessionCreate,
             workspace,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = PATH_BYTES_MAX,
             .doc = "absolute path of an existing folder that checkpoints record"),
        BODY(InputSessionCreate, start, FIELD_BOOL, .flags = FIELD_NULLABLE, .doc = "start it at once"),
        BODY(InputSessionCreate,
             namespace,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = 64,
             .doc = "its namespace; default: default"),
};
TABLE(input_session_create, "SessionCreate", "A new session.");

static const FieldDef input_session_list_fields[] = {
        QUERY(InputSessionList,
              status,
              FIELD_STRING,
              .values = "created|running|paused|stopped|error|archived",
              .doc = "only sessions of this status; archived ones show only so"),
        QUERY(InputSessionList,
              name,
              FIELD_STRING,
              .max = NAME_BYTES_MAX,
              .doc = "only sessions of this name"),
        QUERY(InputSessionList,
              label,
              FIELD_STRING,
              .min = 1,
              .max = TEXT_BYTES_MAX,
              .doc = "KEY=VALUE, or KEY: only sessions with this label"),
        QUERY(InputSessionList, namespace, FIELD_STRING, .min = 1, .max = 64, .doc = "only this namespace"),
        QUERY(InputSessionList,
              ref,
              FIELD_STRING,
              .min = 1,
              .max = NAME_BYTES_MAX,
              .doc = "an id, else the sessions of this name, else those whose id begins so; archived ones too"),
        QUERY(InputSessionList,
              messages,
              FIELD_STRING,
              .max = 20,
              .doc = "how many of the last messages each item carries: a number or all; default 0"),
        QUERY(InputSessionList, after, FIELD_ID, .doc = "only sessions behind this id"),
        LIMIT(InputSessionList, LIST_ITEMS_MAX),
};
TABLE(input_session_list, NULL, NULL);

static const FieldDef input_session_get_fields[] = {
        SESSION_ID(InputSessionGet),
        QUERY(InputSessionGet,
              messages,
              FIELD_STRING,
              .max = 20,
              .doc = "how many of the last messages it carries: a number or all; default 50"),
};
TABLE(input_session_get, NULL, NULL);

static const FieldDef input_session_patch_fields[] = {
        SESSION_ID(InputSessionPatch),
        BODY(InputSessionPatch,
             name,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = NAME_BYTES_MAX,
             .doc = "what people call it"),
        BODY(InputSessionPatch,
             model,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = NAME_BYTES_MAX,
             .doc = "the model's name"),
        BODY(InputSessionPatch,
             system_prompt,
             FIELD_JSON_STRING,
             .flags = FIELD_NULLABLE,
             .doc = "kept as written"),
        BODY(InputSessionPatch,
             tools,
             FIELD_STRINGS,
             .flags = FIELD_NULLABLE,
             .min = 0,
             .max = TOOLS_MAX,
             .doc = "names of tools, any strings"),
        BODY(InputSessionPatch,
             agent,
             FIELD_OBJECT,
             .flags = FIELD_NULLABLE,
             .doc = "the agent to run, whole; takes effect at its next run"),
        BODY(InputSessionPatch,
             labels,
             FIELD_STRING_MAP,
             .flags = FIELD_NULLABLE,
             .min = 0,
             .max = LABELS_MAX,
             .doc = "all labels"),
};
TABLE(input_session_patch, "SessionPatch", "What is to be changed; absent members stay as they are.");

static const FieldDef input_session_delete_fields[] = {
        SESSION_ID(InputSessionDelete),
        QUERY(InputSessionDelete, force, FIELD_BOOL, .doc = "stop it first if it is running"),
};
TABLE(input_session_delete, NULL, NULL);

static const FieldDef input_session_resume_fields[] = {
        SESSION_ID(InputSessionResume),
        BODY(InputSessionResume,
             session_id,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .doc = "if given, the session's id as in the path"),
        BODY(InputSessionResume,
             checkpoint_id,
             FIELD_STRING,
             .flags = FIELD_NULLABLE | FIELD_ANY_TEXT,
             .doc = "restore this checkpoint first"),
};
TABLE(input_session_resume, "SessionResume", "Where to go on from; may be left out.");

static const FieldDef input_session_kill_fields[] = {
        SESSION_ID(InputSessionKill),
        BODY(InputSessionKill,
             signal,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = 16,
             .doc = "SIGTERM, TERM or 15; default SIGTERM"),
};
TABLE(input_session_kill, "SessionKill", "Which signal; may be left out.");

static const FieldDef input_session_fork_fields[] = {
        SESSION_ID(InputSessionFork),
        BODY(InputSessionFork,
             checkpoint_id,
             FIELD_STRING,
             .flags = FIELD_NULLABLE | FIELD_ANY_TEXT,
             .doc = "at this checkpoint"),
        BODY(InputSessionFork,
             node,
             FIELD_STRING,
             .flags = FIELD_NULLABLE | FIELD_ANY_TEXT,
             .doc = "at this message"),
        BODY(InputSessionFork,
             name,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = NAME_BYTES_MAX,
             .doc = "name of the new session; default NAME-fork"),
        BODY(InputSessionFork,
             workspace,
             FIELD_STRING,
             .flags = FIELD_NULLABLE,
             .min = 1,
             .max = PATH_BYTES_MAX,
             .doc = "absolute path of an empty or new folder for its files"),
};
TABLE(input_session_fork, "SessionFork", "Where to fork; nothing: now.");

static const FieldDef input_session_restore_fields[] = {
        SESSION_ID(InputSessionRestore),
        BODY(InputSessionRestore,
             checkpoint_id,
             FIELD_STRING,
             .flags = FIELD_NULLABLE | FIELD_ANY_TEXT,
             .doc = "to this checkpoint"),
        BODY(InputSessionRestore,
             node,
             FIELD_STRING,
             .flags = FIELD_NULLABLE | FIELD_ANY_TEXT,
             .doc = "to this message"),
};
TABLE(input_session_restore, "SessionRestore", "Exactly one of the two.");
