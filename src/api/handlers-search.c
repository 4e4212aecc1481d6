/* SPDX-License-Identifier: MIT */

/* Searching long-term memory. A session searches what it sees: its own entries, those of its name,
 * and its namespace's, unless one of them is named. The search runs in a pool; the call waits for
 * it as for a commit. */

#include <stdio.h>

#include "api/handlers.h"
#include "base/str.h"

#define LIMIT_DEFAULT 10
#define SUBJECT_MAX   320

static const char *const scope_words[] = { "namespace", "agent", "session" };

/* Which words of scope_words the search's scopes are: all, from the first, or the one that was named. */
static unsigned first_scope(const InputMemorySearch *in) {
        unsigned i = 0;

        while (in->scope.s && !streq(scope_words[i], in->scope.s))
                i++;
        return i;
}

static int fill_scopes(ApiCall *c, MemorySearch *s) {
        const InputMemorySearch *in = c->in;
        unsigned first = first_scope(in);
        size_t n = in->scope.s || !c->session ? 1 : ELEMENTSOF(scope_words);
        int r = 0;

        for (; r == 0 && s->n_scopes < n; s->n_scopes++)
                r = api_memory_scope(c, in->namespace, scope_words[first + s->n_scopes],
                                     &s->scopes[s->n_scopes]);
        return r;
}

/* "given" with 384 numbers */
static void fail_model(ApiCall *c, const MemorySearch *s) {
        char *text = field_arena_alloc(c->arena, SUBJECT_MAX);

        if (text)
                (void) snprintf(text, SUBJECT_MAX, "model '%s' with %zu numbers", s->model,
                                s->n_vector);
        c->subject = text ? text : "this model and length";
        api_fail(c, ERROR_NO_VECTORS);
}

static void on_found(int r, const SearchResult *result, void *userdata) {
        static const char *const modes[] = { "text", "vector", "hybrid" };
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);
        const InputMemorySearch *in = c->in;
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        if (r < 0) {
                api_fail_result(c, r);
                return;
        }
        json_w_object_begin(&w);
        json_w_key(&w, "results");
        json_w_array_begin(&w);
        for (size_t i = 0; i < result->n; i++)
                view_memory_hit(&w, &result->hits[i],
                                scope_words[first_scope(in) + result->hits[i].scope], in->explain.v);
        json_w_array_end(&w);
        json_w_kv_string(&w, "mode", modes[result->mode]);
        json_w_kv_bool(&w, "semantic", result->mode != SEARCH_TEXT);
        json_w_object_end(&w);
        api_reply(c, &body);
}

void api_memory_search(ApiCall *c) {
        const InputMemorySearch *in = c->in;
        char message[FILTER_MESSAGE_SIZE];
        MemorySearch s = {
                .text = streq_ptr(in->mode.s, "vector") ? NULL : in->query.s,
                .model = in->model.s ? in->model.s : MEMORY_MODEL_GIVEN,
                .limit = in->limit.set ? (size_t) in->limit.v : LIMIT_DEFAULT,
                .min_score = in->min_score.set ? in->min_score.v : -1,
                .has_filter = in->filter.p != NULL,
        };

        if (in->filter.p)
                (void) filter_parse(in->filter, &s.filter, message); /* it was checked */
        if (in->as_of.s)
                (void) clock_parse_rfc3339(in->as_of.s, &s.as_of);
        if (in->embedding.p && !streq_ptr(in->mode.s, "text")) {
                s.vector = api_embedding(c, in->embedding, &s.n_vector);
                if (!s.vector) {
                        api_fail_result(c, -ENOMEM);
                        return;
                }
        }
        if (fill_scopes(c, &s) != 0)
                return;
        int r = memory_search(c->api->memory, &s, on_found, c);
        if (r == MEMORY_E_MODEL)
                fail_model(c, &s);
        else
                api_submitted(c, r);
}

void api_namespace_memory_search(ApiCall *c) {
        api_memory_search(c);
}
