/* SPDX-License-Identifier: MIT */

/* Who is asking, in this order:
 *
 *   1. A process inside a run's cgroup is that run, whatever it presents: an agent must not become
 * "the same user" by leaving its token out, and not somebody else by presenting a token it found.
 *   2. A token decides: a run's, or an API token. A wrong one is refused even from the daemon's own
 * user, because who sends a token wants to be taken for its owner.
 *   3. The daemon's own user or root, by the kernel's word: over the unix socket always, over
 * loopback TCP unless the configuration closes that.
 *
 * Uids that were not known at accept are nobody's: a peer that already closed shows uid 0. */

#include "api/api-internal.h"

static bool is_own_uid(const Peer *p) {
        return (p->flags & PEER_HAS_UID) && (p->uid == 0 || p->uid == geteuid());
}

/* Where agents are known by their cgroup, who cannot be placed might be one. */
static bool is_surely_no_run(const Api *a, const Peer *p) {
        return (p->flags & PEER_HAS_CGROUP) || !a->config.sup ||
               !sup_manager_has_cgroups(a->config.sup);
}

static void be_run(const Session *s, uint64_t run, ApiCaller *ret) {
        const SessionInfo *i = session_info(s);

        *ret = (ApiCaller){
                .kind = CALLER_RUN,
                .session = i->id,
                .run = run,
                .namespace_id = i->namespace_id,
                .scope = ACCESS_WRITE,
        };
}

/* 1: it is in the cgroup of a run of ours. */
static int identify_cgroup(Api *a, const Peer *p, ApiCaller *ret, ErrorId *ret_error) {
        uint64_t run = 0;

        if ((p->flags & PEER_HAS_CGROUP) && a->config.sup)
                run = sup_manager_run_of_cgroup(a->config.sup, p->cgroup_id);
        if (run == 0)
                return 0;
        Session *s = session_of_run(a->sessions, run);
        if (!s) {
                *ret_error = ERROR_STALE_TOKEN;
                return -EACCES;
        }
        be_run(s, run, ret);
        return 1;
}

static RouteAccess scope_from_string(const char *s) {
        return streq(s, "admin") ? ACCESS_ADMIN : streq(s, "write") ? ACCESS_WRITE : ACCESS_READ;
}

/* The name is no session's: see check.c. */
static bool is_all(const Api *a, uint64_t namespace_id) {
        return streq_ptr(session_namespace_name(a->sessions, namespace_id), API_ALL_NAMESPACES);
}

static int identify_token(Api *a, const char *token, ApiCaller *ret, ErrorId *ret_error) {
        uint8_t hash[AUTH_HASH_BYTES];
        bool is_stale = false;
        uint64_t run = 0;
        TokenInfo t;

        auth_token_hash(token, hash);
        Session *s = session_run_token_find(a->sessions, hash, &run, &is_stale);
        if (s) {
                be_run(s, run, ret);
                return 1;
        }
        if (is_stale || !session_token_find(a->sessions, hash, &t)) {
                *ret_error = is_stale ? ERROR_STALE_TOKEN : ERROR_BAD_TOKEN;
                return -EACCES;
        }
        *ret = (ApiCaller){
                .kind = CALLER_TOKEN,
                .namespace_id = is_all(a, t.namespace_id) ? 0 : t.namespace_id,
                .scope = scope_from_string(t.scope),
                .token = t.id,
                .expires_at = t.expires_at,
        };
        return 1;
}

int api_identify(Api *a, HttpRequest *req, ApiCaller *ret, ErrorId *ret_error) {
        const Peer *p = http_peer(req);
        int r = identify_cgroup(a, p, ret, ret_error);

        if (r != 0)
                return MIN(r, 0);
        const char *token = auth_bearer(req);
        if (token)
                return MIN(identify_token(a, token, ret, ret_error), 0);

        bool may_local = p->kind == PEER_UNIX ||
                         (p->kind == PEER_LOCAL && streq(a->config.config->loopback, "user"));
        if (!may_local || !is_own_uid(p) || !is_surely_no_run(a, p)) {
                *ret_error = ERROR_UNAUTHORIZED;
                return -EACCES;
        }
        *ret = (ApiCaller){ .kind = CALLER_LOCAL, .scope = ACCESS_LOCAL };
        return 0;
}
