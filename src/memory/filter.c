/* SPDX-License-Identifier: MIT */

/* Filters are checked once, when they come, so that holding is a question without errors; they stay
 * JSON, because an entry's metadata is JSON too and is looked at once per candidate. Compiling them
 * to SQL was rejected: candidates come from two indexes, neither of which SQL can look into, and a
 * client's names would have to be quoted into JSON paths. */

#include "memory/filter.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

typedef bool (*Operator)(JsonSpan value, JsonSpan operand);

static int fail(char *message, const char *format, ...) _printf_(2, 3);
static int fail(char *message, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(message, FILTER_MESSAGE_SIZE, format, ap);
        va_end(ap);
        return -EINVAL;
}

/* ---- comparing ---- */

/* Without a copy when neither has an escape, as nearly always. */
static bool same_text(JsonSpan a, JsonSpan b) {
        if (!memchr(a.p, '\\', a.n) && !memchr(b.p, '\\', b.n))
                return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
        _cleanup_buf_ Buf x = BUF_INIT(SIZE_MAX), y = BUF_INIT(SIZE_MAX);
        if (json_string_decode(a, &x) < 0 || json_string_decode(b, &y) < 0)
                return false;
        return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

/* -1, 0, 1; 2: they cannot be compared. */
static int compare(JsonSpan a, JsonSpan b) {
        JsonKind kind = json_kind(a);
        double x, y;

        if (kind != json_kind(b))
                return 2;
        if (kind == JSON_KIND_NUMBER)
                return json_real(a, &x) < 0 || json_real(b, &y) < 0 ? 2 : (x > y) - (x < y);
        if (kind == JSON_KIND_STRING) {
                _cleanup_buf_ Buf s = BUF_INIT(SIZE_MAX), t = BUF_INIT(SIZE_MAX);
                if (same_text(a, b))
                        return 0;
                if (json_string_decode(a, &s) < 0 || json_string_decode(b, &t) < 0)
                        return 2;
                int r = strcmp(s.data ? s.data : "", t.data ? t.data : "");
                return (r > 0) - (r < 0);
        }
        return a.n == b.n && memcmp(a.p, b.p, a.n) == 0 ? 0 : 2;
}

static bool is_equal(JsonSpan value, JsonSpan operand) {
        return value.p && compare(value, operand) == 0;
}

static bool is_unequal(JsonSpan value, JsonSpan operand) {
        return !is_equal(value, operand);
}

static bool is_greater(JsonSpan value, JsonSpan operand) {
        return value.p && compare(value, operand) == 1;
}

static bool is_at_least(JsonSpan value, JsonSpan operand) {
        return is_greater(value, operand) || is_equal(value, operand);
}

static bool is_less(JsonSpan value, JsonSpan operand) {
        return value.p && compare(value, operand) == -1;
}

static bool is_at_most(JsonSpan value, JsonSpan operand) {
        return is_less(value, operand) || is_equal(value, operand);
}

static bool is_in(JsonSpan value, JsonSpan list) {
        JsonIter it = json_iter(list);
        JsonSpan item;

        while (json_next(&it, NULL, &item))
                if (is_equal(value, item))
                        return true;
        return false;
}

static bool is_not_in(JsonSpan value, JsonSpan list) {
        return !is_in(value, list);
}

static bool exists(JsonSpan value, JsonSpan operand) {
        bool wanted = false;

        (void) json_bool(operand, &wanted);
        return (value.p != NULL) == wanted;
}

static bool contains(JsonSpan value, JsonSpan operand) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX), part = BUF_INIT(SIZE_MAX);

        if (!value.p || !json_is(value, JSON_KIND_STRING) || json_string_decode(value, &text) < 0 ||
            json_string_decode(operand, &part) < 0)
                return false;
        return part.len == 0 || (text.len > 0 && memmem(text.data, text.len, part.data, part.len));
}

static const struct {
        const char *name;
        Operator holds;
        JsonKind kind; /* of the operand; _JSON_KIND_INVALID: any but lists and objects */
} operators[] = {
        { "eq", is_equal, _JSON_KIND_INVALID },   { "ne", is_unequal, _JSON_KIND_INVALID },
        { "gt", is_greater, _JSON_KIND_INVALID }, { "gte", is_at_least, _JSON_KIND_INVALID },
        { "lt", is_less, _JSON_KIND_INVALID },    { "lte", is_at_most, _JSON_KIND_INVALID },
        { "in", is_in, JSON_KIND_ARRAY },         { "nin", is_not_in, JSON_KIND_ARRAY },
        { "exists", exists, JSON_KIND_BOOL },     { "contains", contains, JSON_KIND_STRING },
};

static size_t find_operator(JsonSpan name) {
        size_t i = 0;

        while (i < ELEMENTSOF(operators) && !json_string_equals(name, operators[i].name))
                i++;
        return i;
}

/* ---- parsing ---- */

static bool is_scalar(JsonSpan v) {
        return !json_is(v, JSON_KIND_OBJECT) && !json_is(v, JSON_KIND_ARRAY);
}

static int check_operators(JsonSpan name, JsonSpan object, char *message) {
        JsonIter it = json_iter(object);
        JsonSpan key, operand;

        while (json_next(&it, &key, &operand)) {
                size_t i = find_operator(key);
                if (i == ELEMENTSOF(operators))
                        return fail(message,
                                    "metadata %.*s: %.*s is no operator; use eq, ne, gt, gte, lt, lte, in, "
                                    "nin, exists or contains",
                                    (int) MIN(name.n, 40U), name.p, (int) MIN(key.n, 40U), key.p);
                if (operators[i].kind < 0 ? !is_scalar(operand)
                                          : !json_is(operand, operators[i].kind))
                        return fail(message, "metadata %.*s: %s takes %s", (int) MIN(name.n, 40U),
                                    name.p, operators[i].name,
                                    operators[i].kind == JSON_KIND_ARRAY    ? "a list"
                                    : operators[i].kind == JSON_KIND_BOOL   ? "true or false"
                                    : operators[i].kind == JSON_KIND_STRING ? "text"
                                                                            : "a single value");
        }
        return 0;
}

static int check_metadata(JsonSpan v, char *message) {
        JsonIter it = json_iter(v);
        JsonSpan name, wanted;
        int r = 0;

        while (r == 0 && json_next(&it, &name, &wanted)) {
                if (json_is(wanted, JSON_KIND_ARRAY))
                        return fail(message,
                                    "metadata %.*s: for one of several values write {\"in\": […]}",
                                    (int) MIN(name.n, 40U), name.p);
                if (json_is(wanted, JSON_KIND_OBJECT))
                        r = check_operators(name, wanted, message);
        }
        return r;
}

static int take_prefix(MemoryFilter *f, JsonSpan v, char *message) {
        _cleanup_buf_ Buf b = BUF_INIT(sizeof(f->prefix) - 1);

        if (!json_is(v, JSON_KIND_STRING) || json_string_decode(v, &b) < 0 ||
            (b.len > 0 && memchr(b.data, '\0', b.len)))
                return fail(message, "prefix is no text, or longer than a key can be");
        memcpy(f->prefix, b.data ? b.data : "", b.len);
        f->prefix[b.len] = '\0';
        return 0;
}

static int take_words(JsonSpan *to, JsonSpan v, const char *name, char *message) {
        JsonIter it = json_iter(v);
        JsonSpan item;

        if (!json_is(v, JSON_KIND_ARRAY))
                return fail(message, "%s is no list of words", name);
        while (json_next(&it, NULL, &item))
                if (!json_is(item, JSON_KIND_STRING))
                        return fail(message, "%s is no list of words", name);
        *to = v;
        return 0;
}

static int take_time(usec_t *to, JsonSpan v, const char *name, char *message) {
        _cleanup_free_ char *s = NULL;

        if (!json_is(v, JSON_KIND_STRING) || json_string_dup(v, &s, NULL) < 0 ||
            clock_parse_rfc3339(s, to) < 0)
                return fail(message, "%s is no RFC 3339 time", name);
        return 0;
}

static int take_member(MemoryFilter *f, JsonSpan key, JsonSpan v, char *message) {
        if (json_string_equals(key, "prefix"))
                return take_prefix(f, v, message);
        if (json_string_equals(key, "tags"))
                return take_words(&f->tags, v, "tags", message);
        if (json_string_equals(key, "any_tags"))
                return take_words(&f->any_tags, v, "any_tags", message);
        if (json_string_equals(key, "since"))
                return take_time(&f->since, v, "since", message);
        if (json_string_equals(key, "until"))
                return take_time(&f->until, v, "until", message);
        if (json_string_equals(key, "min_importance"))
                return !json_is(v, JSON_KIND_NUMBER) || json_real(v, &f->min_importance) < 0
                               ? fail(message, "min_importance is no number")
                               : 0;
        if (!json_string_equals(key, "metadata"))
                return fail(message,
                            "%.*s is no part of a filter; use prefix, tags, any_tags, since, until, "
                            "min_importance, metadata",
                            (int) MIN(key.n, 40U), key.p);
        if (!json_is(v, JSON_KIND_OBJECT))
                return fail(message, "metadata is no object");
        f->metadata = v;
        return check_metadata(v, message);
}

int filter_parse(JsonSpan json, MemoryFilter *ret, char message[static FILTER_MESSAGE_SIZE]) {
        MemoryFilter f = { .min_importance = -1 };
        JsonIter it = json_iter(json);
        JsonSpan key, value;
        int r = 0;

        while (r == 0 && json_next(&it, &key, &value))
                r = take_member(&f, key, value, message);
        if (r == 0)
                *ret = f;
        return r;
}

/* ---- holding ---- */

static size_t count_tags(JsonSpan wanted, JsonSpan has, size_t *ret_found) {
        JsonIter it = json_iter(wanted);
        JsonSpan word;
        size_t n = 0;

        *ret_found = 0;
        for (; json_next(&it, NULL, &word); n++)
                *ret_found += has.p && is_in(word, has);
        return n;
}

static bool member_holds(JsonSpan value, JsonSpan wanted) {
        JsonIter it = json_iter(wanted);
        JsonSpan key, operand;

        if (!json_is(wanted, JSON_KIND_OBJECT))
                return is_equal(value, wanted);
        while (json_next(&it, &key, &operand))
                if (!operators[find_operator(key)].holds(value, operand))
                        return false;
        return true;
}

static bool metadata_holds(JsonSpan wanted, JsonSpan metadata) {
        JsonIter it = json_iter(wanted);
        JsonSpan name, value;

        while (json_next(&it, &name, &value)) {
                _cleanup_free_ char *s = NULL;
                size_t n;
                JsonSpan has = {};
                if (metadata.p && json_string_dup(name, &s, &n) >= 0)
                        has = json_get(metadata, s);
                if (!member_holds(has, value))
                        return false;
        }
        return true;
}

bool filter_holds(const MemoryFilter *f, const MemoryEntry *e) {
        size_t found;

        if (strncmp(e->key, f->prefix, strlen(f->prefix)) != 0)
                return false;
        if ((f->since && e->updated_at < f->since) || (f->until && e->updated_at >= f->until))
                return false;
        if (f->min_importance >= 0 && e->importance < f->min_importance)
                return false;
        if (f->tags.p && count_tags(f->tags, e->tags, &found) != found)
                return false;
        if (f->any_tags.p && count_tags(f->any_tags, e->tags, &found) > 0 && found == 0)
                return false;
        return !f->metadata.p || metadata_holds(f->metadata, e->metadata);
}
