/* SPDX-License-Identifier: MIT */

/* A tree of path segments. A path is walked depth first with literal segments before parameters
 * before "rest" parameters, and the walk goes back when a branch has no route for the method: with
 * "/units/reload" (POST) and "/units/{name}" (GET), "GET /units/reload" is the unit named reload.
 * A path has few segments and a node at most three ways on, so going back costs nothing that
 * matters; the walk keeps its own small stack and allocates nothing.
 *
 * Rejected: a hash of whole paths (parameters), regular expressions (no notion of the most specific
 * route, and Allow needs all methods of a path), a radix tree over bytes (splits "%2F" and literals
 * at arbitrary places for a gain that does not show beside the system calls of one request).
 *
 * All nodes hang in one chain besides the tree, so that freeing needs no recursion. */

#include "net/router.h"

#include "base/obj.h"
#include "net/uri.h"

#define ROUTER_MAGIC 0x52545201u
#define SEGMENTS_MAX 16
#define STACK_MAX    (2 * SEGMENTS_MAX + 4)

typedef struct Segment {
        const char *p;
        size_t n;
} Segment;

typedef struct Route {
        const void *data;
        size_t n_names;
        Segment names[HTTP_PATH_VALUES_MAX];
} Route;

typedef enum NodeKind {
        NODE_LITERAL,
        NODE_VALUE,
        NODE_REST,
} NodeKind;

typedef struct Node Node;
struct Node {
        Node *chain;
        NodeKind kind;
        Segment literal;
        Node *next; /* among the literals of one parent */
        Node *literals, *value, *rest;
        Route *routes[_HTTP_METHOD_MAX];
};

struct HttpRouter {
        uint32_t magic;
        Node *chain;
        Node *root;
};

static const char *const method_names[_HTTP_METHOD_MAX] = {
        [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
        [HTTP_OPTIONS] = "OPTIONS",
};

const char *http_method_to_string(HttpMethod m) {
        return (int) m >= 0 && m < _HTTP_METHOD_MAX ? method_names[m] : NULL;
}

static Node *node_new(HttpRouter *r) {
        Node *n = calloc(1, sizeof(*n));

        if (!n)
                return NULL;
        n->chain = r->chain;
        r->chain = n;
        return n;
}

HttpRouter *http_router_new(void) {
        HttpRouter *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        r->magic = ROUTER_MAGIC;
        r->root = node_new(r);
        return r->root ? r : http_router_free(r);
}

HttpRouter *http_router_free(HttpRouter *r) {
        if (!r)
                return NULL;
        OBJ_CHECK(r, ROUTER_MAGIC);
        for (Node *n = r->chain, *next; n; n = next) {
                next = n->chain;
                for (size_t i = 0; i < _HTTP_METHOD_MAX; i++)
                        free(n->routes[i]);
                free(n);
        }
        r->magic = 0;
        free(r);
        return NULL;
}

/* Cuts the next segment off; *p is behind the '/' in front of it. NULL in *p after the last. */
static Segment segment_next(const char **p) {
        const char *end = strchrnul(*p, '/');
        Segment s = { *p, (size_t) (end - *p) };

        *p = *end ? end + 1 : NULL;
        return s;
}

static bool segment_is_parameter(Segment s) {
        return s.n > 2 && s.p[0] == '{' && s.p[s.n - 1] == '}';
}

static bool segment_is_rest(Segment s) {
        return segment_is_parameter(s) && s.n > 5 && memcmp(s.p + s.n - 4, "...}", 4) == 0;
}

static Node *node_literal(HttpRouter *r, Node *parent, Segment s) {
        for (Node *n = parent->literals; n; n = n->next)
                if (n->literal.n == s.n && memcmp(n->literal.p, s.p, s.n) == 0)
                        return n;

        Node *n = node_new(r);
        if (!n)
                return NULL;
        n->literal = s;
        n->next = parent->literals;
        parent->literals = n;
        return n;
}

static Node *node_child(HttpRouter *r, Node *parent, Segment s, Route *route) {
        bool is_rest = segment_is_rest(s);

        if (!segment_is_parameter(s))
                return node_literal(r, parent, s);

        assert(route->n_names < HTTP_PATH_VALUES_MAX);
        route->names[route->n_names++] = (Segment){ s.p + 1, s.n - (is_rest ? 5 : 2) };

        Node **child = is_rest ? &parent->rest : &parent->value;
        if (!*child)
                *child = node_new(r);
        if (*child)
                (*child)->kind = is_rest ? NODE_REST : NODE_VALUE;
        return *child;
}

int http_router_add(HttpRouter *r, HttpMethod method, const char *pattern, const void *data) {
        OBJ_CHECK(r, ROUTER_MAGIC);
        assert(pattern[0] == '/');
        assert((int) method >= 0 && method < _HTTP_METHOD_MAX && method != HTTP_HEAD);

        _cleanup_free_ Route *route = calloc(1, sizeof(*route));
        if (!route)
                return -ENOMEM;
        route->data = data;

        Node *n = r->root;
        unsigned depth = 0;
        for (const char *p = pattern[1] ? pattern + 1 : NULL; p;) {
                Segment s = segment_next(&p);

                assert(++depth < SEGMENTS_MAX);
                assert(!segment_is_rest(s) || !p);
                n = node_child(r, n, s, route);
                if (!n)
                        return -ENOMEM;
        }

        if (n->routes[method])
                return -EEXIST;
        n->routes[method] = TAKE_PTR(route);
        return 0;
}

/* ---- matching ---- */

typedef struct Frame {
        const Node *node;
        unsigned depth;    /* segments used up; for a "rest": the segment it begins with */
        unsigned n_values; /* values filled, this node's included */
} Frame;

typedef struct Walk {
        Segment segments[SEGMENTS_MAX];
        unsigned n_segments;
        const char *end;
        Frame stack[STACK_MAX];
        unsigned n_stack;
        Segment values[HTTP_PATH_VALUES_MAX];
} Walk;

/* Stops at SEGMENTS_MAX: no pattern is that deep, so only a "rest" can match, and that one looks at
 * the bytes from its first segment on. */
static void walk_split(Walk *w, const char *path) {
        w->n_segments = 0;
        w->end = path + strlen(path);
        for (const char *p = path[1] ? path + 1 : NULL; p && w->n_segments < SEGMENTS_MAX;)
                w->segments[w->n_segments++] = segment_next(&p);
}

static void walk_push(Walk *w, const Node *node, unsigned depth, unsigned n_values) {
        assert(w->n_stack < STACK_MAX);
        w->stack[w->n_stack++] = (Frame){ node, depth, n_values };
}

/* Pushes the ways on from a node, the preferred one last. */
static void walk_expand(Walk *w, Frame f) {
        Segment s = w->segments[f.depth];

        if (f.node->rest && s.p < w->end)
                walk_push(w, f.node->rest, f.depth, f.n_values + 1);
        if (s.n == 0)
                return;
        if (f.node->value)
                walk_push(w, f.node->value, f.depth + 1, f.n_values + 1);
        for (const Node *n = f.node->literals; n; n = n->next)
                if (uri_equals(s.p, s.n, n->literal.p, n->literal.n)) {
                        walk_push(w, n, f.depth + 1, f.n_values);
                        return;
                }
}

/* The value of a parameter is written when its frame is taken off the stack: branches walked before
 * may have used the same place. */
static void walk_take_value(Walk *w, Frame f) {
        if (f.node->kind == NODE_VALUE)
                w->values[f.n_values - 1] = w->segments[f.depth - 1];
        else if (f.node->kind == NODE_REST) {
                assert(f.depth < w->n_segments);
                const char *from = w->segments[f.depth].p;

                w->values[f.n_values - 1] = (Segment){ from, (size_t) (w->end - from) };
        }
}

static void match_fill(const Route *route, const Walk *w, HttpMatch *ret) {
        ret->data = route->data;
        ret->n_values = route->n_names;
        for (size_t i = 0; i < route->n_names; i++)
                ret->values[i] = (HttpPathValue){
                        .name = route->names[i].p,
                        .name_n = route->names[i].n,
                        .raw = w->values[i].p,
                        .raw_n = w->values[i].n,
                };
}

static unsigned node_methods(const Node *n) {
        unsigned bits = 0;

        for (unsigned m = 0; m < _HTTP_METHOD_MAX; m++)
                if (n->routes[m])
                        bits |= 1u << m;
        return bits & (1u << HTTP_GET) ? bits | 1u << HTTP_HEAD : bits;
}

int http_router_match(const HttpRouter *r,
                      HttpMethod method,
                      const char *path,
                      HttpMatch *ret,
                      unsigned *ret_allow) {
        Walk w;
        unsigned allow = 0;

        OBJ_CHECK(r, ROUTER_MAGIC);
        *ret_allow = 0;
        if (path[0] != '/')
                return HTTP_E_NO_ROUTE;
        if (method == HTTP_HEAD)
                method = HTTP_GET;

        walk_split(&w, path);
        w.n_stack = 0;
        walk_push(&w, r->root, 0, 0);
        while (w.n_stack > 0) {
                Frame f = w.stack[--w.n_stack];

                walk_take_value(&w, f);
                if (f.node->kind != NODE_REST && f.depth < w.n_segments) {
                        walk_expand(&w, f);
                        continue;
                }
                if ((int) method >= 0 && f.node->routes[method]) {
                        match_fill(f.node->routes[method], &w, ret);
                        return 0;
                }
                allow |= node_methods(f.node);
        }

        /* A catch-all for OPTIONS does not make every unknown path a known one. */
        if ((allow & ~(1u << HTTP_OPTIONS)) == 0)
                return HTTP_E_NO_ROUTE;
        *ret_allow = allow;
        return HTTP_E_NO_METHOD;
}
