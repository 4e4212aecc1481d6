/* SPDX-License-Identifier: MIT */

/* GET /sessions. The sessions that fit are found in memory, a page of ids at a time; each page is
 * copied, settled and only then written, so that no item shows what is not on disk, and the list of
 * a hundred thousand sessions needs the memory of one page. With a limit the last id is found
 * first, by the filter alone, because Link stands in front of the body.
 *
 * ref is for people who type: an id, else all sessions of that name, else those whose id begins so.
 * What it means is found out once, before the first page. */

#include "api/handlers.h"
#include "base/id.h"
#include "base/str.h"

#define PAGE        64
#define RETRIES_MAX 5

typedef enum RefKind {
        REF_NONE,
        REF_ID,
        REF_NAME,
        REF_PREFIX,
} RefKind;

typedef struct Filter {
        const InputSessionList *in;
        uint64_t namespace_id; /* 0: all */
        uint64_t only;         /* the run's own session; 0: all */
        RefKind ref;
} Filter;

static bool status_matches(const Filter *f, const SessionInfo *i) {
        bool is_archived = i->substate == SUBSTATE_ARCHIVED;
        const char *wanted = f->in->status.s;

        if (!wanted)
                return !is_archived || f->ref != REF_NONE;
        if (streq(wanted, "archived"))
                return is_archived;
        return !is_archived && streq(wanted, session_status_to_string(i->status));
}

static bool ref_matches(const Filter *f, const SessionInfo *i, RefKind ref) {
        char id[ID_STRING_SIZE];

        switch (ref) {
        case REF_NONE:
                return true;
        case REF_ID:
                return i->id == api_id(f->in->ref);
        case REF_NAME:
                return streq(i->name, f->in->ref.s);
        case REF_PREFIX:
                return strncasecmp(id_format(i->id, id), f->in->ref.s, f->in->ref.n) == 0;
        }
        return false;
}

static bool is_visible(const Filter *f, const SessionInfo *i) {
        return (f->namespace_id == 0 || i->namespace_id == f->namespace_id) &&
               (f->only == 0 || i->id == f->only);
}

static bool matches(const Filter *f, const SessionInfo *i) {
        return is_visible(f, i) && ref_matches(f, i, f->ref) && status_matches(f, i) &&
               (!f->in->name.s || streq(f->in->name.s, i->name)) &&
               (!f->in->label.s || api_label_matches(i->labels, f->in->label.s));
}

/* The first kind of reference that anything visible fits. */
static RefKind resolve_ref(SessionManager *m, const Filter *f) {
        static const RefKind order[] = { REF_NAME, REF_PREFIX };

        if (!f->in->ref.s)
                return REF_NONE;
        Session *named = session_get(m, api_id(f->in->ref));
        if (named && is_visible(f, session_info(named)))
                return REF_ID;
        for (size_t k = 0; k < ELEMENTSOF(order); k++)
                for (Session *s = session_next(m, 0); s; s = session_next(m, session_info(s)->id))
                        if (is_visible(f, session_info(s)) &&
                            ref_matches(f, session_info(s), order[k]))
                                return order[k];
        return REF_ID;
}

static Session *next_match(SessionManager *m, const Filter *f, uint64_t after) {
        Session *s = session_next(m, after);

        while (s && !matches(f, session_info(s)))
                s = session_next(m, session_info(s)->id);
        return s;
}

/* ---- in pages ---- */

typedef struct SessionList {
        ApiPull pull;
        Api *api;
        Filter filter;
        uint64_t after, last; /* last: the end of what was asked for; UINT64_MAX: none */
        uint64_t page_after;  /* where the page begins */
        size_t messages;
        bool is_begun, has_items, is_waiting, is_settled, is_gone;
        unsigned retries;
        SessionInfo page[PAGE]; /* copies */
        char *texts[PAGE];      /* what they point to */
        size_t n, i;
        SessionView *view; /* of page[i] */
} SessionList;

static void page_clear(SessionList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->texts[i]);
        l->n = l->i = 0;
        l->view = session_view_free(l->view);
}

static ApiPull *session_list_free(ApiPull *p) {
        SessionList *l = container_of(p, SessionList, pull);

        page_clear(l);
        l->is_gone = true;
        if (!l->is_waiting) /* else the completion frees it */
                free(l);
        return NULL;
}

static const char *put(char **at, const char *s, size_t n) {
        char *to = *at;

        if (!s)
                return NULL;
        memcpy(to, s, n);
        to[n] = '\0';
        *at = to + n + 1;
        return to;
}

static size_t length(const char *s) {
        return s ? strlen(s) : 0;
}

static int page_add(SessionList *l, const SessionInfo *i) {
        size_t n = length(i->name) + length(i->reason) + length(i->workspace) + i->labels.n + 4;
        char *text = malloc(n), *at = text;

        if (!text)
                return -ENOMEM;
        SessionInfo *copy = &l->page[l->n];
        *copy = *i;
        copy->name = put(&at, i->name, length(i->name));
        copy->reason = put(&at, i->reason, length(i->reason));
        copy->workspace = put(&at, i->workspace, length(i->workspace));
        copy->labels.p = put(&at, i->labels.p, i->labels.n);
        l->texts[l->n++] = text;
        return 0;
}

static int page_fill(SessionList *l) {
        Session *s;

        page_clear(l);
        l->page_after = l->after;
        while (l->n < PAGE && l->after < l->last &&
               (s = next_match(l->api->sessions, &l->filter, l->after))) {
                const SessionInfo *i = session_info(s);
                if (i->id > l->last)
                        break;
                int r = page_add(l, i);
                if (r < 0)
                        return r;
                l->after = i->id;
        }
        return 0;
}

static void on_page_settled(int r, Session *s, uint64_t id, void *userdata) {
        SessionList *l = userdata;

        l->is_waiting = false;
        if (l->is_gone) {
                free(l);
                return;
        }
        /* What the page shows never came to the disk, and was taken back from memory: read it again. */
        if (r < 0) {
                page_clear(l);
                l->after = l->page_after;
                l->retries++;
        }
        l->is_settled = true;
        api_pull_wake(&l->pull);
}

/* The next page. API_PULL_MORE: it is there; WAIT; END. */
static int page_next(SessionList *l) {
        int r = l->retries > RETRIES_MAX ? -EIO : page_fill(l);

        if (r < 0)
                return r;
        if (l->n == 0)
                return API_PULL_END;
        r = session_settle(l->api->sessions, NULL, on_page_settled, l);
        if (r == 0) {
                l->is_waiting = true;
                l->is_settled = false;
                return API_PULL_WAIT;
        }
        l->is_settled = true;
        return r < 0 ? r : API_PULL_MORE;
}

/* Writes what is left of the page, up to a piece. */
static int page_write(SessionList *l, Buf *out) {
        while (l->i < l->n && out->len < API_PIECE) {
                int r = 0;

                if (!l->view) {
                        if (l->has_items)
                                (void) buf_putc(out, ',');
                        r = session_view_new(&l->view, l->api->sessions, &l->page[l->i], l->messages);
                }
                if (r >= 0)
                        r = session_view_next(l->view, out);
                if (r < 0)
                        return r;
                if (r == API_PULL_END) {
                        l->view = session_view_free(l->view);
                        l->has_items = true;
                        l->i++;
                }
        }
        return 0;
}

static int session_list_next(ApiPull *p, Buf *out) {
        SessionList *l = container_of(p, SessionList, pull);

        if (!l->is_begun)
                (void) buf_putc(out, '[');
        l->is_begun = true;
        while (out->len < API_PIECE) {
                if (l->n > 0 && !l->is_settled)
                        return API_PULL_WAIT;
                int r = page_write(l, out);
                if (r == 0)
                        r = l->i == l->n && out->len < API_PIECE ? page_next(l) : API_PULL_MORE;
                if (r == API_PULL_END)
                        (void) buf_putc(out, ']');
                if (r != API_PULL_MORE)
                        return r;
        }
        return API_PULL_MORE;
}

/* The end of the page that was asked for, and Link if there is more behind it. */
static uint64_t find_last(ApiCall *c, const Filter *f, uint64_t after, size_t limit) {
        Session *s = next_match(c->api->sessions, f, after);
        uint64_t last = after;

        for (size_t n = 0; s && n < limit; n++) {
                last = session_info(s)->id;
                s = next_match(c->api->sessions, f, last);
        }
        if (s)
                api_reply_next_id(c, "after", last);
        return last;
}

void api_session_list(ApiCall *c) {
        const InputSessionList *in = c->in;
        Filter filter = { .in = in };

        if (c->caller.kind == CALLER_RUN)
                filter.only = c->caller.session;
        if (api_namespace_filter(c, in->namespace, &filter.namespace_id) != 0)
                return;
        SessionList *l = calloc(1, sizeof(*l));
        if (!l) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        filter.ref = resolve_ref(c->api->sessions, &filter);
        l->pull = (ApiPull){ .next = session_list_next, .destroy = session_list_free };
        l->api = c->api;
        l->filter = filter;
        l->after = in->after.v;
        l->last = in->limit.set ? find_last(c, &filter, in->after.v, (size_t) in->limit.v)
                                : UINT64_MAX;
        (void) api_message_limit(in->messages, 0, &l->messages);
        api_reply_pull(c, &l->pull, "application/json");
}
