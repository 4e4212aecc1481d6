/* SPDX-License-Identifier: MIT */

/* One pattern of gitignore(5), compiled to a row of tokens and matched by following all
 * possibilities at once: a set of positions in the row, advanced by each byte of the text. The
 * usual backtracking matcher is shorter, but its time is exponential for patterns such as
 * `*a*a*a*a*b`, and the patterns come from an agent. libgit2's own matching was not used because it
 * needs a repository around the folder and reads configuration of whoever runs the daemon.
 *
 * Slashes follow git's wildmatch with WM_PATHNAME: only `**` standing alone between slashes or at
 * an end crosses them; anywhere else `**` is `*`. Matching is by bytes, as git's is; classes are
 * those of the C locale. */

#include <ctype.h>

#include "session/workspace-internal.h"

typedef enum TokenKind {
        TOKEN_BYTE,
        TOKEN_ANY,     /* ?: one byte, no slash */
        TOKEN_SET,     /* […]: one byte, no slash */
        TOKEN_STAR,    /* *: any bytes, no slash */
        TOKEN_FOLDERS, /* two stars and a slash: any number of folder names with their slashes */
        TOKEN_REST,    /* ** at the end: any bytes */
} TokenKind;

typedef struct Token {
        uint8_t kind, byte;
        uint16_t set; /* index */
} Token;

typedef struct Set {
        uint8_t bits[32];
} Set;

struct WorkspaceGlob {
        Token *tokens;
        size_t n_tokens;
        Set *sets;
        size_t n_sets;
};

WorkspaceGlob *workspace_glob_free(WorkspaceGlob *g) {
        if (!g)
                return NULL;
        free(g->tokens);
        free(g->sets);
        free(g);
        return NULL;
}

static void set_add(Set *s, uint8_t c) {
        s->bits[c / 8] |= (uint8_t) (1u << c % 8);
}

static bool set_has(const Set *s, uint8_t c) {
        return s->bits[c / 8] >> c % 8 & 1;
}

/* ---- compiling ---- */

typedef struct Compiler {
        WorkspaceGlob *glob;
        const char *start, *p, *end;
} Compiler;

static const struct {
        const char *name;
        int (*test)(int c);
} classes[] = {
        { "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank }, { "cntrl", iscntrl },
        { "digit", isdigit }, { "graph", isgraph }, { "lower", islower }, { "print", isprint },
        { "punct", ispunct }, { "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
};

/* p stands on "[:"; 1 and p behind ":]", 0 if it is no class after all, -EINVAL for an unknown one. */
static int compile_class(Compiler *c, Set *set) {
        const char *name = c->p + 2;
        const char *close = memchr(name, ']', (size_t) (c->end - name));

        if (!close)
                return -EINVAL;
        if (close == name || close[-1] != ':')
                return 0;
        size_t n = (size_t) (close - 1 - name);
        ARRAY_FOREACH(class, classes) {
                if (strlen(class->name) != n || memcmp(class->name, name, n) != 0)
                        continue;
                for (int ch = 0; ch < 128; ch++)
                        if (class->test(ch))
                                set_add(set, (uint8_t) ch);
                c->p = close + 1;
                return 1;
        }
        return -EINVAL;
}

/* One byte of a set, with its escape. */
static int compile_set_byte(Compiler *c, uint8_t *ret) {
        if (c->p < c->end && *c->p == '\\')
                c->p++;
        if (c->p >= c->end)
                return -EINVAL;
        *ret = (uint8_t) *c->p++;
        return 0;
}

/* A byte, a range or a class. */
static int compile_set_part(Compiler *c, Set *set) {
        uint8_t low, high;

        if (c->end - c->p >= 2 && c->p[0] == '[' && c->p[1] == ':') {
                int r = compile_class(c, set);
                if (r != 0)
                        return r;
        }
        int r = compile_set_byte(c, &low);
        if (r < 0)
                return r;
        high = low;
        if (c->end - c->p >= 2 && c->p[0] == '-' && c->p[1] != ']') {
                c->p++;
                r = compile_set_byte(c, &high);
                if (r < 0)
                        return r;
        }
        for (unsigned ch = low; ch <= high; ch++)
                set_add(set, (uint8_t) ch);
        return 0;
}

/* p stands behind the bracket. */
static int compile_set(Compiler *c, Set *set) {
        bool negated = c->p < c->end && (*c->p == '!' || *c->p == '^');

        if (negated)
                c->p++;
        /* a closing bracket in the first place stands for itself */
        for (bool first = true; first || c->p >= c->end || *c->p != ']'; first = false) {
                if (c->p >= c->end)
                        return -EINVAL;
                int r = compile_set_part(c, set);
                if (r < 0)
                        return r;
        }
        c->p++;
        for (size_t i = 0; negated && i < sizeof(set->bits); i++)
                set->bits[i] = (uint8_t) ~set->bits[i];
        set->bits['/' / 8] &= (uint8_t) ~(1u << '/' % 8);
        return 0;
}

/* p stands behind the first star. */
static TokenKind compile_stars(Compiler *c) {
        const char *first = c->p - 1;
        bool several = c->p < c->end && *c->p == '*';

        while (c->p < c->end && *c->p == '*')
                c->p++;
        if (!several || (first > c->start && first[-1] != '/'))
                return TOKEN_STAR;
        if (c->p == c->end)
                return TOKEN_REST;
        if (*c->p != '/')
                return TOKEN_STAR;
        c->p++;
        return TOKEN_FOLDERS;
}

static int compile_token(Compiler *c, Token *t) {
        WorkspaceGlob *g = c->glob;
        char ch = *c->p++;

        if (ch == '?')
                t->kind = TOKEN_ANY;
        else if (ch == '*')
                t->kind = (uint8_t) compile_stars(c);
        else if (ch == '[') {
                Set *grown = reallocarray(g->sets, g->n_sets + 1, sizeof(Set));
                if (!grown)
                        return -ENOMEM;
                g->sets = grown;
                if (g->n_sets > UINT16_MAX)
                        return -EINVAL;
                g->sets[g->n_sets] = (Set){};
                t->kind = TOKEN_SET;
                t->set = (uint16_t) g->n_sets;
                return compile_set(c, &g->sets[g->n_sets++]);
        } else {
                if (ch == '\\') {
                        if (c->p == c->end)
                                return -EINVAL;
                        ch = *c->p++;
                }
                t->kind = TOKEN_BYTE;
                t->byte = (uint8_t) ch;
        }
        return 0;
}

int workspace_glob_new(WorkspaceGlob **ret, const char *pattern, size_t n) {
        _cleanup_(workspace_glob_freep) WorkspaceGlob *g = calloc(1, sizeof(WorkspaceGlob));
        Compiler c = { .glob = g, .start = pattern, .p = pattern, .end = pattern + n };

        if (!g)
                return -ENOMEM;
        g->tokens = calloc(n + 1, sizeof(Token));
        if (!g->tokens)
                return -ENOMEM;
        while (c.p < c.end) {
                int r = compile_token(&c, &g->tokens[g->n_tokens++]);
                if (r == -EINVAL) {
                        *ret = NULL;
                        return 0;
                }
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(g);
        return 0;
}

/* ---- matching ---- */

/* Positions that are reached without consuming anything. at_name: at the start of the text or behind a slash. */
static void close_over(const WorkspaceGlob *g, uint8_t *now, bool at_name) {
        for (size_t i = 0; i < g->n_tokens; i++) {
                TokenKind kind = g->tokens[i].kind;
                if (now[i] &&
                    (kind == TOKEN_STAR || kind == TOKEN_REST || (kind == TOKEN_FOLDERS && at_name)))
                        now[i + 1] = 1;
        }
}

static void advance(const WorkspaceGlob *g, size_t i, uint8_t ch, uint8_t *next) {
        const Token *t = &g->tokens[i];

        switch ((TokenKind) t->kind) {
        case TOKEN_BYTE:
                next[i + 1] |= ch == t->byte;
                break;
        case TOKEN_ANY:
                next[i + 1] |= ch != '/';
                break;
        case TOKEN_SET:
                next[i + 1] |= set_has(&g->sets[t->set], ch);
                break;
        case TOKEN_STAR:
                next[i] |= ch != '/';
                break;
        case TOKEN_FOLDERS:
        case TOKEN_REST:
                next[i] = 1;
                break;
        }
}

static bool match_with(const WorkspaceGlob *g, const char *text, uint8_t *now, uint8_t *next) {
        size_t n = g->n_tokens;

        now[0] = 1;
        close_over(g, now, true);
        for (const char *p = text; *p != '\0'; p++) {
                memset(next, 0, n + 1);
                for (size_t i = 0; i < n; i++)
                        if (now[i])
                                advance(g, i, (uint8_t) *p, next);
                close_over(g, next, *p == '/');
                if (!memchr(next, 1, n + 1))
                        return false;
                uint8_t *swap = now;
                now = next;
                next = swap;
        }
        return now[n];
}

bool workspace_glob_match(const WorkspaceGlob *g, const char *text) {
        uint8_t small[512];
        size_t n = g->n_tokens + 1;

        if (2 * n <= sizeof(small)) {
                memset(small, 0, 2 * n);
                return match_with(g, text, small, small + n);
        }
        /* out of memory: not ignored, so rather too much is recorded than too little */
        _cleanup_free_ uint8_t *large = calloc(2, n);
        return large && match_with(g, text, large, large + n);
}
