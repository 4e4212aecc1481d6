/* SPDX-License-Identifier: MIT */

/* A state of the original (a session's row, or the whole SessionState in a checkpoint) as what we keep:
 * messages are nodes, its memory is variables, the rest is a configuration.
 *
 * The original has the history of tool calls twice: in the messages and in a list of its own, and the
 * two need not agree. We read the history from the messages. Where a state's list says the same, nothing
 * is kept; where it does not, the list goes along in the state's configuration and counts instead.
 *
 * A part that is not sound is left out, reported, and costs only itself. */

#include "import/import-internal.h"

void origin_problem(const Origin *o, const char *problem, const char *outcome) {
        import_report(o->report, o->table, o->key, problem, outcome);
}

void original_state_done(OriginalState *s) {
        free(s->model);
        free(s->prompt);
}

/* ---- tool calls ---- */

static bool calls_are_sound(JsonSpan calls) {
        JsonIter it;
        JsonSpan call;

        if (!json_is(calls, JSON_KIND_ARRAY))
                return false;
        it = json_iter(calls);
        while (json_next(&it, NULL, &call))
                if (!json_is(call, JSON_KIND_OBJECT) || !json_get(call, "name").p ||
                    !json_is(json_get(call, "name"), JSON_KIND_STRING))
                        return false;
        return true;
}

static JsonSpan sound_calls(const Origin *o, JsonSpan calls) {
        if (!calls.p || json_is(calls, JSON_KIND_NULL))
                return (JsonSpan){};
        if (calls_are_sound(calls))
                return json_count(calls) > 0 ? calls : (JsonSpan){};
        origin_problem(o, "a message's tool calls are not a list of named calls",
                       "they are left out");
        return (JsonSpan){};
}

/* ---- messages ---- */

static bool content_is_sound(JsonSpan content) {
        return !content.p || json_is(content, JSON_KIND_STRING) ||
               json_is(content, JSON_KIND_ARRAY) || json_is(content, JSON_KIND_NULL);
}

static usec_t message_time(const Origin *o, JsonSpan message, usec_t before) {
        _cleanup_free_ char *text = member_text(message, "timestamp");
        usec_t t = original_time(text);

        if (t > 0)
                return t;
        origin_problem(o, "a message has no time", "it got that of the one before");
        return before;
}

static int message_write(
        const Origin *o, PastSession *past, JsonSpan message, PastNode **node, usec_t *time) {
        _cleanup_free_ char *role = NULL;
        JsonSpan content = {};

        if (json_is(message, JSON_KIND_OBJECT)) {
                role = member_text(message, "role");
                content = json_get(message, "content");
        }
        if (str_isempty(role) || !content_is_sound(content)) {
                origin_problem(o, "a message has no role, or a content that is no text",
                               "it is left out");
                return 0;
        }
        *time = message_time(o, message, *time);
        PastMessage m = {
                .role = role,
                .content = content.p ? content : JSON_NULL,
                .calls = sound_calls(o, json_get(message, "tool_calls")),
                .time = *time,
        };
        int r = past_message(past, *node, &m, node);
        return r < 0 ? r : 1;
}

static int messages_write(
        const Origin *o, PastSession *past, const OriginalState *s, PastNode **ret, uint64_t *n) {
        PastNode *node = NULL;
        usec_t time = s->time;
        JsonSpan message;

        if (!s->messages.p || !json_is(s->messages, JSON_KIND_ARRAY)) {
                origin_problem(o, "the messages are not a list", "it is taken over without messages");
                return 0;
        }
        JsonIter it = json_iter(s->messages);
        while (json_next(&it, NULL, &message)) {
                int r = message_write(o, past, message, &node, &time);
                if (r < 0)
                        return r;
                *n += (uint64_t) r;
        }
        *ret = node;
        return 0;
}

/* ---- the history ---- */

static bool next_call(JsonIter *messages, JsonIter *calls, JsonSpan *ret) {
        JsonSpan message, list;

        while (!json_next(calls, NULL, ret)) {
                if (!json_next(messages, NULL, &message))
                        return false;
                list = json_is(message, JSON_KIND_OBJECT) ? json_get(message, "tool_calls")
                                                          : (JsonSpan){};
                *calls = json_iter(list.p && json_is(list, JSON_KIND_ARRAY) ? list
                                                                            : JSON_LITERAL("[]"));
        }
        return true;
}

static bool history_is_that_of_messages(JsonSpan history, JsonSpan messages) {
        JsonIter all = json_iter(messages), calls = json_iter(JSON_LITERAL("[]")),
                 it = json_iter(history);
        JsonSpan ours, theirs;

        while (json_next(&it, NULL, &theirs))
                if (!next_call(&all, &calls, &ours) || ours.n != theirs.n ||
                    memcmp(ours.p, theirs.p, ours.n) != 0)
                        return false;
        return !next_call(&all, &calls, &ours);
}

static void history_write(const Origin *o, const OriginalState *s, PastNode *node, ConfigInfo *c) {
        if (!s->history.p || !calls_are_sound(s->history)) {
                origin_problem(o, "the tool history is not a list of named calls",
                               "that of the messages is used");
                return;
        }
        if (s->messages.p && json_is(s->messages, JSON_KIND_ARRAY) &&
            past_node_tool_calls(node) == json_count(s->history) &&
            history_is_that_of_messages(s->history, s->messages))
                return;
        if (past_node_tool_calls(node) == 0 && json_count(s->history) == 0)
                return;
        c->history = s->history;
        c->history_depth = past_node_depth(node);
        c->history_extra = (int64_t) json_count(s->history) - (int64_t) past_node_tool_calls(node);
}

/* ---- the rest ---- */

static bool is_strings(JsonSpan list) {
        JsonIter it;
        JsonSpan v;

        if (!list.p || !json_is(list, JSON_KIND_ARRAY))
                return false;
        it = json_iter(list);
        while (json_next(&it, NULL, &v))
                if (!json_is(v, JSON_KIND_STRING))
                        return false;
        return true;
}

int original_state_write(const Origin *o,
                         PastSession *past,
                         const OriginalState *s,
                         PastState *ret,
                         uint64_t *n_messages) {
        PastState state = { .time = s->time };
        int r = messages_write(o, past, s, &state.node, n_messages);

        if (r < 0)
                return r;
        if (s->memory.p && json_is(s->memory, JSON_KIND_OBJECT))
                state.variables = s->memory;
        else
                origin_problem(o, "the memory is not an object", "it is taken over without");
        state.config.model = s->model;
        if (s->prompt)
                state.config.system_prompt = (JsonSpan){ s->prompt, strlen(s->prompt) };
        if (is_strings(s->tools))
                state.config.tools = s->tools;
        else
                origin_problem(o, "the tools are not a list of texts", "it is taken over without");
        history_write(o, s, state.node, &state.config);
        *ret = state;
        return 0;
}
