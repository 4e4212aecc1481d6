/* SPDX-License-Identifier: MIT */

/* GET /docs: the table of routes for people, one page that needs nothing from anywhere else. It is
 * made from the rows that the daemon routes and parses by, once, when first asked for.
 *
 * Style and script stand in the page, and its Content-Security-Policy allows exactly these two, by
 * their hashes: were a text of the table ever to come from outside, it could not run. Without the
 * script the page is whole, only the search is missing. A bundled viewer of OpenAPI was rejected:
 * megabytes of other people's script for what is a list. */

#include <sodium.h>
#include <stdio.h>

#include "api/api-internal.h"
#include "api/openapi-parts.h"
#include "base/str.h"
#include "contract/unit-keys.h"

static const char style[] =
#include "api/docs.css.inc"
        ;
static const char script[] =
#include "api/docs.js.inc"
        ;

/* ---- text ---- */

static void put_text_n(Buf *b, const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                switch (s[i]) {
                case '&':
                        (void) buf_puts(b, "&amp;");
                        break;
                case '<':
                        (void) buf_puts(b, "&lt;");
                        break;
                case '>':
                        (void) buf_puts(b, "&gt;");
                        break;
                case '"':
                        (void) buf_puts(b, "&quot;");
                        break;
                default:
                        (void) buf_putc(b, s[i]);
                }
}

static void put_text(Buf *b, const char *s) {
        put_text_n(b, s, strlen(s));
}

/* before, the text, after; the first and the last are ours. */
static void put(Buf *b, const char *before, const char *text, const char *after) {
        (void) buf_puts(b, before);
        put_text(b, text);
        (void) buf_puts(b, after);
}

/* ---- fields ---- */

static const char *type_word(const FieldDef *f) {
        static const char *const words[] = {
                [FIELD_STRING] = "text",        [FIELD_JSON_STRING] = "text",
                [FIELD_JSON] = "any JSON",      [FIELD_CONTENT] = "text or blocks",
                [FIELD_OBJECT] = "object",      [FIELD_STRINGS] = "list of texts",
                [FIELD_ARRAY] = "list",         [FIELD_STRING_MAP] = "object of texts",
                [FIELD_INT] = "integer",        [FIELD_REAL] = "number",
                [FIELD_BOOL] = "true or false", [FIELD_ID] = "id",
                [FIELD_TIME] = "time",          [FIELD_REF] = "object",
                [FIELD_REFS] = "list",
        };

        return words[f->type];
}

static void write_field(Buf *b, const FieldDef *f, const char *place, bool is_required) {
        put(b, "<tr><td><code>", f->name, "</code></td><td>");
        put_text(b, type_word(f));
        put(b, "</td><td>", place, is_required ? ", required</td><td>" : "</td><td>");
        if (f->doc)
                put_text(b, f->doc);
        if (f->values) {
                (void) buf_puts(b, f->doc ? ": <code>" : "<code>");
                put_text(b, f->values);
                (void) buf_puts(b, "</code>");
        }
        if (f->fallback)
                put(b, f->doc || f->values ? "; default <code>" : "default <code>", f->fallback,
                    "</code>");
        (void) buf_puts(b, "</td></tr>\n");
}

/* What can be said of an agent. */
static void write_keys(Buf *b, const char *name) {
        for (size_t i = 0; i < n_unit_keys; i++) {
                const UnitKey *k = &unit_keys[i];
                if (!k->built)
                        continue;
                put(b, "<tr><td><code>", name, ".");
                put(b, "", k->api_name, "</code></td><td>");
                put(b, "", k->values ? k->values : unit_key_type_to_string(k->type),
                    "</td><td>body</td><td>");
                put_text(b, k->doc);
                if (k->fallback)
                        put(b, "; default <code>", k->fallback, "</code>");
                (void) buf_puts(b, "</td></tr>\n");
        }
}

static void write_input(Buf *b, const Route *r) {
        static const char *const places[] = {
                [FIELD_BODY] = "body",
                [FIELD_PATH] = "path",
                [FIELD_QUERY] = "query",
                [FIELD_HEADER] = "header",
        };

        if (!r->in)
                return;
        (void) buf_puts(b, "<h3>Request</h3><table>\n");
        for (size_t i = 0; i < r->in->n_fields; i++) {
                const FieldDef *f = &r->in->fields[i];
                write_field(b, f, places[f->place], f->flags & FIELD_REQUIRED);
                if (f->ref == &input_agent)
                        write_keys(b, f->name);
        }
        (void) buf_puts(b, "</table>\n");
}

static void write_output(Buf *b, const Route *r) {
        char status[8];

        if (!r->out)
                return;
        (void) snprintf(status, sizeof(status), "%u", r->status);
        put(b, "<h3>Answer ", status,
            r->out_is_array ? ": a list of</h3><table>\n" : "</h3><table>\n");
        for (size_t i = 0; i < r->out->n_fields; i++) {
                const FieldDef *f = &r->out->fields[i];
                write_field(b, f, f->flags & FIELD_NULLABLE ? "or null" : "", false);
        }
        (void) buf_puts(b, "</table>\n");
}

static void write_errors(Buf *b, const Route *r) {
        if (r->errors[0] == _ERROR_MAX)
                return;
        (void) buf_puts(b, "<h3>Errors</h3><table>\n");
        for (size_t i = 0; r->errors[i] != _ERROR_MAX; i++) {
                const ErrorDef *e = &error_table[r->errors[i]];
                char status[8];
                (void) snprintf(status, sizeof(status), "%u", e->http);
                put(b, "<tr><td><code>", e->code, "</code></td><td>");
                put(b, "", status, "</td><td></td><td>");
                put(b, "", e->hint ? e->hint : "", "</td></tr>\n");
        }
        (void) buf_puts(b, "</table>\n");
}

/* ---- the example ---- */

static const char *example_of(const FieldDef *f) {
        switch (f->type) {
        case FIELD_STRINGS:
        case FIELD_ARRAY:
        case FIELD_REFS:
                return "[]";
        case FIELD_OBJECT:
        case FIELD_STRING_MAP:
        case FIELD_REF:
                return "{}";
        case FIELD_INT:
        case FIELD_REAL:
                return "1";
        case FIELD_BOOL:
                return "true";
        case FIELD_STRING:
        case FIELD_JSON_STRING:
        case FIELD_JSON:
        case FIELD_CONTENT:
        case FIELD_ID:
        case FIELD_TIME:
                break;
        }
        return "\"…\"";
}

static bool is_example(const FieldDef *f, FieldPlace place) {
        return f->place == place && f->flags & FIELD_REQUIRED;
}

/* The fields that must be there. */
static void write_example_body(Buf *b, const Route *r) {
        bool is_first = true;

        for (size_t i = 0; r->in && i < r->in->n_fields; i++) {
                const FieldDef *f = &r->in->fields[i];
                if (!is_example(f, FIELD_BODY))
                        continue;
                if (r->flags & ROUTE_BODY_IS_VALUE) {
                        (void) buf_puts(b, " \\\n  -d '&quot;any JSON value&quot;'");
                        return;
                }
                put(b, is_first ? " \\\n  -d '{&quot;" : ", &quot;", f->name, "&quot;: ");
                put_text(b, example_of(f));
                is_first = false;
        }
        if (!is_first)
                (void) buf_puts(b, "}'");
}

/* {id} as $ID. */
static void write_example_path(Buf *b, const Route *r) {
        for (const char *p = r->path; *p; p++) {
                size_t n = *p == '{' ? strcspn(p, "}") : 0;
                if (n == 0) {
                        (void) buf_putc(b, *p);
                        continue;
                }
                (void) buf_putc(b, '$');
                for (size_t i = 1; i < n; i++)
                        (void) buf_putc(b, p[i] >= 'a' && p[i] <= 'z' ? (char) (p[i] - 'a' + 'A')
                                                                      : p[i]);
                p += n;
        }
        for (size_t i = 0, k = 0; r->in && i < r->in->n_fields; i++)
                if (is_example(&r->in->fields[i], FIELD_QUERY))
                        (void) buf_printf(b, "%s%s=…", k++ ? "&amp;" : "?", r->in->fields[i].name);
}

static void write_example(Buf *b, const Route *r) {
        (void) buf_puts(b, "<h3>Example</h3><pre><code>curl -s");
        if (!streq(r->method, "GET"))
                (void) buf_printf(b, " -X %s", r->method);
        (void) buf_puts(b, " &quot;http://localhost:8721");
        write_example_path(b, r);
        (void) buf_puts(b, "&quot;");
        write_example_body(b, r);
        (void) buf_puts(b, "</code></pre>\n");
}

/* ---- the page ---- */

static void write_route(Buf *b, const Route *r) {
        (void) buf_printf(b, "<details id=\"%s\"><summary><b class=\"%s\">%s</b><code>", r->name,
                          r->method, r->method);
        put_text(b, r->path);
        put(b, "</code><span>", r->summary, "</span></summary><div>\n");
        put(b, "<p>Who may: <code>", route_access_to_string(r->access), "</code>");
        if (r->flags & ROUTE_RUN_OWN)
                (void) buf_puts(b, ", and an agent for its own session");
        if (r->verb)
                put(b, ". On the command line: <code>agentd ", r->verb, "</code>");
        if (route_is_keyed(r))
                (void) buf_puts(b, ". Takes <code>Idempotency-Key</code>");
        if (r->flags & ROUTE_TAGGED)
                put(b, ". Takes <code>", streq(r->method, "GET") ? "If-None-Match" : "If-Match",
                    "</code>");
        (void) buf_puts(b, ".</p>\n");
        if (openapi_note(r->id))
                put(b, "<p>", openapi_note(r->id), "</p>\n");
        write_example(b, r);
        write_input(b, r);
        write_output(b, r);
        write_errors(b, r);
        (void) buf_puts(b, "</div></details>\n");
}

/* Routes stand together by the first word of their path, in the table's order. */
static size_t group_size(const Route *r) {
        return 1 + strcspn(r->path + 1, "/");
}

static bool is_same_group(const Route *a, const Route *b) {
        return group_size(a) == group_size(b) && strncmp(a->path, b->path, group_size(a)) == 0;
}

static bool is_first_of_group(unsigned i) {
        for (unsigned k = 0; k < i; k++)
                if (is_same_group(&route_table[k], &route_table[i]))
                        return false;
        return true;
}

static void write_groups(Buf *b) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                if (!is_first_of_group(i))
                        continue;
                (void) buf_puts(b, "<section><h2>");
                put_text_n(b, route_table[i].path, group_size(&route_table[i]));
                (void) buf_puts(b, "</h2>\n");
                for (unsigned k = i; k < _ROUTE_MAX; k++)
                        if (is_same_group(&route_table[k], &route_table[i]))
                                write_route(b, &route_table[k]);
                (void) buf_puts(b, "</section>\n");
        }
}

static void hash_source(const char *text, size_t n, char *ret, size_t size) {
        uint8_t hash[crypto_hash_sha256_BYTES];

        crypto_hash_sha256(hash, (const unsigned char *) text, n);
        (void) sodium_bin2base64(ret, size, hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL);
}

int docs_write(Buf *out, char *ret_policy, size_t policy_size) {
        char style_hash[48], script_hash[48];

        hash_source(style, sizeof(style) - 1, style_hash, sizeof(style_hash));
        hash_source(script, sizeof(script) - 1, script_hash, sizeof(script_hash));
        (void) snprintf(ret_policy, policy_size,
                        "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; "
                        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                        style_hash, script_hash);
        (void) buf_puts(out,
                        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                        "<title>agentd API</title>\n<style>");
        (void) buf_puts(out, style);
        (void) buf_puts(
                out,
                "</style></head><body>\n<header><div><h1>agentd API <small>" AGENTD_VERSION
                "</small></h1>\n<input type=\"search\" placeholder=\"Search  ( / )\" "
                "aria-label=\"Search routes\" autocomplete=\"off\"></div></header>\n<main>\n"
                "<p>JSON over HTTP on port 8721 and a unix socket. The daemon&#39;s own user on its "
                "machine needs no token; others send <code>Authorization: Bearer …</code>. The same as "
                "OpenAPI 3.1: <a href=\"openapi.json\">openapi.json</a>.</p>\n");
        write_groups(out);
        (void) buf_puts(out, "</main>\n<script>");
        (void) buf_puts(out, script);
        (void) buf_puts(out, "</script></body></html>\n");
        return buf_error(out);
}
