/* SPDX-License-Identifier: MIT */

/* Objects as JSON, each by the rows of its table in contract/outputs.c (a test compares them).
 * Values that clients stored are written as they are. */

#include "api/api-internal.h"
#include "base/str.h"

void view_message(JsonWriter *w, const NodeInfo *n) {
        json_w_object_begin(w);
        json_w_kv_id(w, "id", n->id);
        json_w_kv_string(w, "role", n->role);
        json_w_kv_raw(w, "content", n->content);
        json_w_kv_raw(w, "tool_calls", n->calls.p ? n->calls : JSON_LITERAL("[]"));
        json_w_kv_time(w, "timestamp", n->time);
        json_w_kv_id_or_null(w, "parent", n->parent);
        json_w_kv_id_or_null(w, "run", n->run);
        json_w_object_end(w);
}

void view_tree(JsonWriter *w, const uint8_t *tree) {
        char text[2 * WORKSPACE_TREE_SIZE + 1];

        if (tree)
                hex_encode(tree, WORKSPACE_TREE_SIZE, text);
        json_w_kv_string(w, "workspace_tree", tree ? text : NULL);
}

void view_checkpoint(JsonWriter *w, const CheckpointInfo *i) {
        json_w_object_begin(w);
        json_w_kv_id(w, "checkpoint_id", i->id);
        json_w_kv_id(w, "session_id", i->session);
        json_w_kv_time(w, "created_at", i->created_at);
        json_w_kv_string(w, "label", i->label);
        json_w_kv_string(w, "kind", checkpoint_kind_to_string(i->kind));
        json_w_kv_bool(w, "pinned", i->pinned);
        json_w_kv_id(w, "branch", i->branch);
        json_w_kv_id_or_null(w, "node", i->node);
        json_w_kv_id_or_null(w, "run", i->run);
        json_w_kv_uint(w, "message_count", i->message_count);
        json_w_kv_uint(w, "tool_call_count", i->tool_call_count);
        view_tree(w, i->tree);
        json_w_kv_uint(w, "files_skipped", i->skipped);
        json_w_kv_string(w, "files_note", i->skipped_note);
        json_w_object_end(w);
}

void view_branch(JsonWriter *w, const BranchInfo *i) {
        json_w_object_begin(w);
        json_w_kv_id(w, "branch_id", i->id);
        json_w_kv_string(w, "name", i->name);
        json_w_kv_id_or_null(w, "head", i->head);
        json_w_kv_uint(w, "message_count", i->message_count);
        json_w_kv_bool(w, "current", i->is_current);
        json_w_kv_time(w, "created_at", i->created_at);
        json_w_kv_id_or_null(w, "origin_branch", i->origin_branch);
        json_w_kv_id_or_null(w, "origin_checkpoint", i->origin_checkpoint);
        json_w_kv_id_or_null(w, "origin_node", i->origin_node);
        json_w_kv_uint(w, "origin_message_count", i->origin_message_count);
        json_w_kv_id_or_null(w, "origin_session", i->origin_session);
        json_w_object_end(w);
}

void view_fork(JsonWriter *w, const ForkInfo *f, const SessionInfo *i) {
        json_w_object_begin(w);
        json_w_kv_id(w, "session_id", f->session);
        json_w_kv_id(w, "branch_id", f->branch);
        json_w_kv_string(w, "name", i->name);
        json_w_kv_string(w, "status", session_status_to_string(i->status));
        json_w_kv_time(w, "created_at", f->created_at);
        json_w_kv_id(w, "origin_branch", f->origin_branch);
        json_w_kv_id_or_null(w, "origin_checkpoint", f->origin_checkpoint);
        json_w_kv_id_or_null(w, "origin_node", f->origin_node);
        json_w_kv_uint(w, "origin_message_count", f->origin_message_count);
        json_w_object_end(w);
}

static const char *run_state_to_string(RunState s) {
        static const char *const words[_RUN_STATE_MAX] = {
                [RUN_INTENT] = "starting",
                [RUN_ALIVE] = "alive",
                [RUN_STOPPING] = "stopping",
                [RUN_ENDED] = "ended",
        };

        assert(s < _RUN_STATE_MAX);
        return words[s];
}

static void int_or_null(JsonWriter *w, const char *name, bool has, int64_t v) {
        if (has)
                json_w_kv_int(w, name, v);
        else
                json_w_kv_raw(w, name, JSON_NULL);
}

/* UINT64_MAX: not known. */
static void usage_or_null(JsonWriter *w, const char *name, const SupUsage *u, uint64_t v) {
        if (u && v != UINT64_MAX)
                json_w_kv_uint(w, name, v);
        else
                json_w_kv_raw(w, name, JSON_NULL);
}

static void output_held_or_null(JsonWriter *w, const SupRun *run) {
        usec_t since = 0;
        int error = run ? sup_run_held(run, &since) : 0;

        json_w_kv_string(w, "output_held", error ? strerror(error) : NULL);
        json_w_kv_time(w, "output_held_since", since);
}

void view_run(JsonWriter *w, const RunInfo *i, const SupUsage *usage, const SupRun *run) {
        bool ended = i->state == RUN_ENDED;

        json_w_object_begin(w);
        json_w_kv_id(w, "run_id", i->id);
        json_w_kv_id(w, "session_id", i->session);
        json_w_kv_uint(w, "number", i->number);
        json_w_kv_string(w, "state", run_state_to_string(i->state));
        int_or_null(w, "pid", i->pid > 0, i->pid);
        json_w_kv_time(w, "created_at", i->created_at);
        json_w_kv_time(w, "started_at", i->started_at);
        json_w_kv_time(w, "ended_at", i->ended_at);
        json_w_kv_string(w, "result",
                         ended && i->result >= 0 ? sup_result_to_string((SupResult) i->result)
                                                 : NULL);
        int_or_null(w, "exit_code", ended && i->exit_code >= 0, i->exit_code);
        int_or_null(w, "exit_signal", ended && i->exit_signal > 0, i->exit_signal);
        json_w_kv_uint(w, "leftovers", i->leftovers);
        json_w_kv_string(w, "reason", i->reason);
        usage_or_null(w, "tasks", usage, usage ? usage->tasks : 0);
        usage_or_null(w, "memory_bytes", usage, usage ? usage->memory_bytes : 0);
        usage_or_null(w, "cpu_usec", usage, usage ? usage->cpu_usec : 0);
        output_held_or_null(w, run);
        json_w_object_end(w);
}

void view_event(JsonWriter *w, const SessionManager *m, const EventInfo *e) {
        json_w_object_begin(w);
        json_w_kv_id(w, "id", e->id);
        json_w_kv_string(w, "type", session_event_to_string(e->type));
        json_w_kv_time(w, "time", e->time);
        json_w_kv_id_or_null(w, "session_id", e->session);
        json_w_kv_string(w, "namespace", session_namespace_name(m, e->namespace_id));
        json_w_kv_raw(w, "data", e->data.p ? e->data : JSON_LITERAL("{}"));
        json_w_object_end(w);
}

static void memory_members(JsonWriter *w, const MemoryEntry *e) {
        json_w_kv_string(w, "key", e->key);
        json_w_kv_raw(w, "value", e->value);
        json_w_kv_time(w, "timestamp", e->updated_at);
        json_w_kv_time(w, "created_at", e->created_at);
        json_w_kv_uint(w, "version", e->version);
        json_w_kv_uint(w, "access_count", e->access_count);
        json_w_kv_id_or_null(w, "session_id", e->session);
        json_w_kv_id_or_null(w, "run", e->run);
        if (e->node)
                json_w_kv_id(w, "node", e->node);
        if (e->text)
                json_w_kv_string(w, "text", e->text);
        if (e->context)
                json_w_kv_string(w, "context", e->context);
        if (e->metadata.p)
                json_w_kv_raw(w, "metadata", e->metadata);
        if (e->tags.p)
                json_w_kv_raw(w, "tags", e->tags);
        if (e->importance >= 0)
                json_w_kv_real(w, "importance", e->importance);
        if (e->expires_at)
                json_w_kv_time(w, "expires_at", e->expires_at);
}

void view_memory_entry(JsonWriter *w, const MemoryEntry *e) {
        json_w_object_begin(w);
        memory_members(w, e);
        json_w_object_end(w);
}

void view_memory_hit(JsonWriter *w, const SearchHit *hit, const char *scope, bool explain) {
        json_w_object_begin(w);
        memory_members(w, &hit->entry);
        json_w_kv_string(w, "scope", scope);
        json_w_kv_real(w, "score", hit->score);
        if (explain) {
                json_w_key(w, "explain");
                json_w_object_begin(w);
                if (hit->text_rank) {
                        json_w_kv_real(w, "bm25", hit->bm25);
                        json_w_kv_uint(w, "text_rank", hit->text_rank);
                }
                if (hit->vector_rank) {
                        json_w_kv_real(w, "cosine", hit->cosine);
                        json_w_kv_uint(w, "vector_rank", hit->vector_rank);
                }
                json_w_object_end(w);
        }
        json_w_object_end(w);
}

void view_memory_version(JsonWriter *w, const MemoryEntry *e) {
        static const char *const words[] = { NULL, "replaced", "deleted", "expired" };

        json_w_object_begin(w);
        memory_members(w, e);
        json_w_kv_time(w, "ended_at", e->ended_at);
        json_w_kv_string(w, "ended_by", words[e->ended_by]);
        json_w_object_end(w);
}

void view_token(JsonWriter *w, const SessionManager *m, const TokenInfo *t) {
        json_w_kv_id(w, "token_id", t->id);
        json_w_kv_string(w, "namespace", session_namespace_name(m, t->namespace_id));
        json_w_kv_string(w, "scope", t->scope);
        json_w_kv_string(w, "name", t->name);
        json_w_kv_time(w, "created_at", t->created_at);
        json_w_kv_time(w, "expires_at", t->expires_at);
}
