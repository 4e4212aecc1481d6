/* SPDX-License-Identifier: MIT */

/* A point to go back to or to fork from: what a checkpoint names; or a node, with the variables,
 * the configuration and the files of the newest checkpoint at or before it on its path (a node
 * itself has none of those; without such a checkpoint the present ones are kept); or now.
 *
 * A node may be gone to if it is on the path of one of the session's own branches. That it exists
 * is not enough: then anybody could read another session's messages by forking from a number. */

#include "session/session-internal.h"

static void point_of_info(const Session *s, Point *p) {
        *p = (Point){
                .node = s->info.head,
                .vars = s->info.vars,
                .config = s->info.config,
                .message_count = s->info.message_count,
                .tool_call_count = s->info.tool_call_count,
                .vars_since = s->vars_since,
                .has_agent = s->info.has_agent,
        };
}

static int take_checkpoint(const CheckpointInfo *c, void *userdata) {
        Point *p = userdata;

        *p = (Point){
                .checkpoint = c->id,
                .node = c->node,
                .vars = c->vars,
                .config = c->config,
                .message_count = c->message_count,
                .tool_call_count = c->tool_call_count,
                .has_tree = c->tree != NULL,
        };
        if (c->tree)
                memcpy(p->tree, c->tree, sizeof(p->tree));
        return 0;
}

static int complete(Session *s, Point *p) {
        _cleanup_(config_info_done) ConfigInfo config = {};
        int r = vars_since(s->manager, p->vars, &p->vars_since);

        if (r >= 0)
                r = session_config(s->manager, p->config, &config);
        if (r < 0)
                return r == -ENOENT ? -EUCLEAN : r;
        p->has_agent = config_has_command(config.agent);
        return 0;
}

/* ---- nodes ---- */

typedef struct Search {
        Session *session;
        uint64_t node;
        Point *point;
} Search;

static int branch_has_node(const BranchInfo *b, void *userdata) {
        Search *search = userdata;

        return node_is_on_path(search->session->manager, b->head, search->node);
}

static int node_is_ours(Session *s, uint64_t node) {
        NodeLight light;
        Search search = { .session = s, .node = node };
        int r = node_light(s->manager, node, &light);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (light.session == s->info.id)
                return 1;
        return session_branches(s, 0, SIZE_MAX, branch_has_node, &search);
}

/* 1: found in the list that comes newest first. */
static int nearest_checkpoint(Session *s, uint64_t node, uint64_t *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(s->manager->reader, &c, STATE_CHECKPOINT_LIST_NEWEST,
                            STORE_ID(s->info.id), STORE_ID(0), STORE_INT(-1));

        while (r >= 0 && (r = store_next(c)) > 0) {
                int on_path = node_is_on_path(s->manager, node, store_id(c, 3));
                if (on_path < 0)
                        return on_path;
                if (on_path > 0) {
                        *ret = store_id(c, 0);
                        return 1;
                }
        }
        return r;
}

/* With the checkpoint that the rest was taken from; 0: there is none and it is the present one. */
static int point_near_node(Session *s, uint64_t node, Point *ret) {
        uint64_t checkpoint;
        NodeLight light;
        Point p;
        int r = node_is_ours(s, node);

        if (r <= 0)
                return r < 0 ? r : SESSION_E_NO_NODE;
        r = node_light(s->manager, node, &light);
        if (r < 0)
                return r;
        point_of_info(s, &p);
        r = nearest_checkpoint(s, node, &checkpoint);
        if (r > 0)
                r = session_checkpoint_get(s, checkpoint, take_checkpoint, &p);
        if (r < 0)
                return r;
        p.node = node;
        p.message_count = light.depth;
        p.tool_call_count = light.tool_calls;
        r = complete(s, &p);
        if (r >= 0)
                *ret = p;
        return r;
}

static int point_of_node(Session *s, uint64_t node, Point *ret) {
        int r = point_near_node(s, node, ret);

        if (r == 0)
                ret->checkpoint = 0;
        return r;
}

int point_find(Session *s, uint64_t checkpoint, uint64_t node, Point *ret) {
        Point p;
        int r;

        if (!checkpoint && !node) {
                point_of_info(s, ret);
                return 0;
        }
        if (!checkpoint)
                return point_of_node(s, node, ret);
        r = session_checkpoint_get(s, checkpoint, take_checkpoint, &p);
        if (r == 0)
                r = complete(s, &p);
        if (r == 0)
                *ret = p;
        return r;
}

int point_of_branch(Session *s, uint64_t branch, Point *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        NodeLight head = {};
        int r = STORE_QUERY(s->manager->reader, &c, STATE_BRANCH_ONE, STORE_ID(branch));

        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        Point p = { .node = store_id(c, 3), .vars = store_id(c, 4), .config = store_id(c, 5) };
        r = p.node ? node_light(s->manager, p.node, &head) : 0;
        if (r < 0)
                return r;
        p.message_count = head.depth;
        p.tool_call_count = head.tool_calls;
        r = complete(s, &p);
        if (r >= 0)
                *ret = p;
        return r;
}

/* ---- sides of a comparison ---- */

static SessionSide side_of_now(const SessionInfo *now) {
        return (SessionSide){
                .is_now = true,
                .head = now->head,
                .vars = now->vars,
                .config = now->config,
                .message_count = now->message_count,
        };
}

static void side_take(SessionSide *side, const Point *p) {
        side->head = p->node;
        side->vars = p->vars;
        side->config = p->config;
        side->message_count = p->message_count;
        side->has_tree = p->has_tree;
        memcpy(side->tree, p->tree, sizeof(side->tree));
}

/* 1: the id is one of the session's branches. Its files are those of the last checkpoint on it. */
static int side_of_branch(Session *s, uint64_t id, SessionSide *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        Point end, near = {};
        int r = STORE_QUERY(s->manager->reader, &c, STATE_BRANCH_ONE, STORE_ID(id));

        if (r >= 0)
                r = store_next(c);
        if (r <= 0 || store_id(c, 1) != s->info.id)
                return MIN(r, 0);
        r = point_of_branch(s, id, &end);
        if (r >= 0 && end.node > 0)
                r = point_near_node(s, end.node, &near);
        if (r < 0)
                return r;
        end.has_tree = near.has_tree;
        memcpy(end.tree, near.tree, sizeof(end.tree));
        *ret = (SessionSide){ .branch = id };
        side_take(ret, &end);
        return 1;
}

static int side_of_node(Session *s, const SessionInfo *now, uint64_t id, SessionSide *ret) {
        Point p;
        int r = point_near_node(s, id, &p);

        if (r != 0)
                return r;
        if (p.checkpoint == 0) { /* the present ones, as far as they are on disk */
                p.vars = now->vars;
                p.config = now->config;
        }
        *ret = (SessionSide){ .node = id };
        side_take(ret, &p);
        return 0;
}

int session_point(Session *s, const SessionInfo *now, uint64_t id, SessionSide *ret) {
        Point p;

        OBJ_CHECK(s, SESSION_MAGIC);
        if (id == 0 || id == now->branch) {
                *ret = side_of_now(now);
                return 0;
        }
        int r = session_checkpoint_get(s, id, take_checkpoint, &p);
        if (r == 0) {
                *ret = (SessionSide){ .checkpoint = id };
                side_take(ret, &p);
        }
        if (r != SESSION_E_NO_CHECKPOINT)
                return r;
        r = side_of_branch(s, id, ret);
        return r != 0 ? MIN(r, 0) : side_of_node(s, now, id, ret);
}
