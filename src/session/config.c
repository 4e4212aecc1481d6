/* SPDX-License-Identifier: MIT */

/* Configurations: model, system prompt, tools and unit keys, one immutable row for each version, so
 * that a checkpoint and a branch name the one they were made with. They are not kept in memory: a
 * thousand system prompts would be the largest thing in the daemon. Only whether there is a command
 * is known for each session.
 *
 * The few that were looked at lately are kept if they are small: every GET of a session shows its
 * configuration, and the query was a sixth of that request. A row never changes and its id is never
 * used again, so nothing has to be taken out for being old. */

#include "session/session-internal.h"

bool config_has_command(JsonSpan agent) {
        JsonSpan exec = agent.p && json_is(agent, JSON_KIND_OBJECT) ? json_get(agent, "exec")
                                                                    : (JsonSpan){};

        return exec.p && !json_is(exec, JSON_KIND_NULL);
}

void config_info_done(ConfigInfo *c) {
        free(c->model);
        free(c->memory);
        *c = (ConfigInfo){};
}

static void keep_span(char **at, JsonSpan from, JsonSpan *ret) {
        if (!from.p)
                return;
        memcpy(*at, from.p, from.n);
        *ret = (JsonSpan){ *at, from.n };
        *at += from.n;
}

static size_t spans_size(const ConfigInfo *c) {
        return c->system_prompt.n + c->tools.n + c->agent.n + c->history.n;
}

static int config_copy(const ConfigInfo *from, ConfigInfo *ret) {
        _cleanup_(config_info_done) ConfigInfo info = {};

        info.model = from->model ? strdup(from->model) : NULL;
        info.memory = malloc(spans_size(from) + 1);
        if (!info.memory || (from->model && !info.model))
                return -ENOMEM;
        char *at = info.memory;
        keep_span(&at, from->system_prompt, &info.system_prompt);
        keep_span(&at, from->tools, &info.tools);
        keep_span(&at, from->agent, &info.agent);
        keep_span(&at, from->history, &info.history);
        info.history_depth = from->history_depth;
        info.history_extra = from->history_extra;
        *ret = info;
        info = (ConfigInfo){};
        return 0;
}

/* ---- those that were looked at lately ---- */

static CachedConfig *cache_place(SessionManager *m, uint64_t config) {
        /* ids of one millisecond differ in their lowest bits, ids of different ones above bit 22 */
        return &m->config_cache[(config ^ config >> 22) % CONFIG_CACHE_PLACES];
}

/* Without memory for it there is just nothing kept. */
static void cached_config_make(uint64_t config, const ConfigInfo *info, CachedConfig *ret) {
        ConfigInfo copy;

        if (spans_size(info) > CONFIG_CACHE_BYTES_MAX || config_copy(info, &copy) < 0)
                return;
        config_info_done(&ret->info);
        *ret = (CachedConfig){ config, copy };
}

void config_committed(SessionTxn *t) {
        CachedConfig *place = cache_place(t->manager, t->config.id);

        if (t->config.id == 0)
                return;
        config_info_done(&place->info);
        *place = t->config;
        t->config = (CachedConfig){};
}

void config_cache_done(SessionManager *m) {
        ARRAY_FOREACH(place, m->config_cache)
                config_info_done(&place->info);
}

int session_config(SessionManager *m, uint64_t config, ConfigInfo *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        const char *model;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        const CachedConfig *place = cache_place(m, config);
        if (config != 0 && place->id == config)
                return config_copy(&place->info, ret);

        int r = STORE_QUERY(m->reader, &c, STATE_CONFIG_ONE, STORE_ID(config));
        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        model = store_text(c, 3, NULL);
        ConfigInfo row = {
                .model = (char *) (uintptr_t) model,
                .system_prompt = store_span(c, 4),
                .tools = store_span(c, 5),
                .agent = store_span(c, 6),
                .history = store_span(c, 7),
                .history_depth = (uint64_t) store_int(c, 8),
                .history_extra = store_int(c, 9),
        };
        cached_config_make(config, &row, cache_place(m, config));
        return config_copy(&row, ret);
}

uint64_t config_add(SessionTxn *t, uint64_t parent, const ConfigInfo *c) {
        uint64_t id = id_new();

        STORE_ADD(t->store, STATE_CONFIG_INSERT, STORE_ID(id), STORE_ID(t->next.id),
                  STORE_ID(parent), STORE_TEXT(c->model), STORE_SPAN(c->system_prompt),
                  STORE_SPAN(c->tools), STORE_SPAN(c->agent), STORE_SPAN(c->history),
                  STORE_INT((int64_t) c->history_depth), STORE_INT(c->history_extra));
        cached_config_make(id, c, &t->config);
        t->next.config = id;
        t->next.has_agent = config_has_command(c->agent);
        return id;
}

/* ---- editing ---- */

static int patch_config(SessionTxn *t, const SessionPatch *p) {
        _cleanup_(config_info_done) ConfigInfo old = {};

        if (!p->model && !p->system_prompt.p && !p->tools.p && !p->agent.p)
                return 0;
        int r = session_config(t->manager, t->next.config, &old);
        if (r < 0)
                return r;
        ConfigInfo edited = old; /* borrows: freed once, as old */
        if (p->model)
                edited.model = (char *) (uintptr_t) p->model;
        edited.system_prompt = p->system_prompt.p ? p->system_prompt : old.system_prompt;
        edited.tools = p->tools.p ? p->tools : old.tools;
        edited.agent = p->agent.p ? p->agent : old.agent;
        config_add(t, t->next.config, &edited);
        t->flags |= TXN_BRANCH;
        return 0;
}

static int patch_strings(SessionTxn *t, const SessionPatch *p) {
        if (p->name) {
                char *name = strdup(p->name);
                if (!name)
                        return -ENOMEM;
                txn_set_string(t, &t->next.name, t->session->info.name, name);
                t->flags |= TXN_NAME;
        }
        if (p->labels.p) {
                char *labels = strndup(p->labels.p, p->labels.n);
                if (!labels)
                        return -ENOMEM;
                txn_set_string(t, &t->next.labels.p, t->session->info.labels.p, labels);
                t->next.labels.n = p->labels.n;
        }
        return 0;
}

static void patch_event(SessionTxn *t, const SessionPatch *p) {
        const struct {
                const char *name;
                bool is_set;
        } fields[] = {
                { "name", p->name },
                { "model", p->model },
                { "system_prompt", p->system_prompt.p },
                { "tools", p->tools.p },
                { "agent", p->agent.p },
                { "labels", p->labels.p },
        };
        JsonWriter w = txn_event_data(t);

        json_w_key(&w, "fields");
        json_w_array_begin(&w);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (fields[i].is_set)
                        json_w_string(&w, fields[i].name);
        json_w_array_end(&w);
        txn_event(t, EVENT_SESSION_CHANGED, &w);
}

static int patch_txn(SessionTxn *t, const SessionPatch *p) {
        int r = patch_config(t, p);

        if (r >= 0)
                r = patch_strings(t, p);
        if (r < 0)
                return r;
        t->next.updated_at = t->now;
        t->flags |= TXN_ROW | TXN_CHANGED;
        patch_event(t, p);
        return 0;
}

static int patch_now(Session *s, const SessionPatch *p, SessionDoneFn done, void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = session_txn_new(s->manager, s, &t);

        if (r >= 0)
                r = patch_txn(t, p);
        return r < 0 ? r : session_txn_submit(TAKE_PTR(t), s->info.id, done, userdata);
}

/* ---- while the configuration that is to be edited is on its way to the disk ---- */

typedef struct PatchJob {
        SessionPatch patch; /* everything owned */
        SessionDoneFn done;
        void *userdata;
} PatchJob;

static void patch_job_free(PatchJob *job) {
        SessionPatch *p = &job->patch;
        const char *const owned[] = { p->name,    p->model,   p->system_prompt.p,
                                      p->tools.p, p->agent.p, p->labels.p };

        ARRAY_FOREACH(text, owned)
                free((void *) (uintptr_t) *text);
        free(job);
}

static void patch_job_freep(PatchJob **job) {
        if (*job)
                patch_job_free(*job);
}

static int copy_span(JsonSpan from, JsonSpan *ret) {
        if (!from.p)
                return 0;
        ret->p = strndup(from.p, from.n);
        ret->n = from.n;
        return ret->p ? 0 : -ENOMEM;
}

static int patch_copy(const SessionPatch *p, SessionPatch *ret) {
        int r = copy_span(p->system_prompt, &ret->system_prompt);

        if (r >= 0)
                r = copy_span(p->tools, &ret->tools);
        if (r >= 0)
                r = copy_span(p->agent, &ret->agent);
        if (r >= 0)
                r = copy_span(p->labels, &ret->labels);
        ret->name = p->name ? strdup(p->name) : NULL;
        ret->model = p->model ? strdup(p->model) : NULL;
        if ((p->name && !ret->name) || (p->model && !ret->model))
                return -ENOMEM;
        return r;
}

static void patch_later(int r, Session *s, uint64_t id, void *userdata) {
        _cleanup_(patch_job_freep) PatchJob *job = userdata;

        (void) id;
        if (r >= 0)
                r = s ? session_patch(s, &job->patch, job->done, job->userdata) : SESSION_E_NOT_FOUND;
        if (r != 0 && job->done)
                job->done(r, s, 0, job->userdata);
}

static int patch_queue(Session *s, const SessionPatch *p, SessionDoneFn done, void *userdata) {
        _cleanup_(patch_job_freep) PatchJob *job = calloc(1, sizeof(PatchJob));

        if (!job)
                return -ENOMEM;
        job->done = done;
        job->userdata = userdata;
        int r = patch_copy(p, &job->patch);
        if (r >= 0)
                r = session_txn_barrier(s->manager, s, 0, patch_later, job);
        if (r >= 0)
                (void) TAKE_PTR(job);
        return r;
}

int session_patch(Session *s, const SessionPatch *p, SessionDoneFn done, void *userdata) {
        OBJ_CHECK(s, SESSION_MAGIC);
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;

        int r = patch_now(s, p, done, userdata);
        return r == -ENOENT && s->inflight > 0 ? patch_queue(s, p, done, userdata) : r;
}
