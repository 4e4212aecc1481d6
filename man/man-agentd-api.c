/* SPDX-License-Identifier: MIT */

/* Prints agentd-api(7) in the language of scdoc, from the tables of routes, fields and errors:
 * those that the daemon routes and validates by and that /openapi.json is made of. */

#include "base/str.h"
#include "contract/inputs.h"
#include "contract/unit-keys.h"
#include "man/scdoc.h"

#define TABLES_MAX 256

static const char *type_name(const FieldDef *f) {
        switch (f->type) {
        case FIELD_STRING:
                return f->values ? f->values : "text";
        case FIELD_JSON_STRING:
                return "text";
        case FIELD_JSON:
                return "any JSON";
        case FIELD_CONTENT:
                return "text or array";
        case FIELD_OBJECT:
                return "object";
        case FIELD_STRINGS:
                return "array of text";
        case FIELD_ARRAY:
                return "array";
        case FIELD_STRING_MAP:
                return "object of text";
        case FIELD_INT:
                return "integer";
        case FIELD_REAL:
                return "number";
        case FIELD_BOOL:
                return "true or false";
        case FIELD_ID:
                return "id";
        case FIELD_TIME:
                return "time";
        case FIELD_REF:
                return "object";
        case FIELD_REFS:
                return "array";
        }
        return "?";
}

static void print_field(const FieldDef *f, bool is_output) {
        static const char *const places[] = {
                [FIELD_BODY] = "body", [FIELD_PATH] = "path", [FIELD_QUERY] = "query", [FIELD_HEADER] = "header"
        };

        sc_bold(f->name);
        (void) fputs(is_output ? " (" : ", in the ", stdout);
        (void) fputs(is_output ? "" : places[f->place], stdout);
        (void) fputs(is_output ? "" : " (", stdout);
        sc_text(type_name(f), 0);
        if (f->ref && f->ref->name)
                (void) printf(" of %s", f->ref->name);
        if (is_output && f->flags & FIELD_NULLABLE)
                (void) fputs(", or null", stdout);
        if (!is_output && f->flags & FIELD_REQUIRED)
                (void) fputs(", required", stdout);
        (void) fputs(")\n\t", stdout);
        if (f->doc)
                sc_sentence(f->doc, 1);
        else
                (void) fputs("As named.", stdout);
        if (f->fallback) {
                (void) fputs(" Default: ", stdout);
                sc_text(f->fallback, 0);
                (void) putchar('.');
        }
        (void) fputs("\n\n", stdout);
}

/* An agent's keys are no rows of a table of fields. */
static void print_key(const UnitKey *k) {
        sc_bold(k->api_name);
        (void) fputs(" (", stdout);
        sc_text(k->values ? k->values : unit_key_type_to_string(k->type), 0);
        (void) fputs(")\n\t", stdout);
        sc_sentence(k->doc, 1);
        if (k->fallback) {
                (void) fputs(" Default: ", stdout);
                sc_text(k->fallback, 0);
                (void) putchar('.');
        }
        (void) fputs("\n\n", stdout);
}

static void print_errors(const Route *r) {
        bool first = true;

        for (const ErrorId *e = r->errors; e && *e != _ERROR_MAX; e++) {
                (void) printf("%s%u ", first ? "Errors: " : ", ", error_table[*e].http);
                sc_text(error_table[*e].code, 0);
                first = false;
        }
        if (!first)
                (void) fputs(".\n\n", stdout);
}

static void print_route(const Route *r) {
        (void) printf("## %s %s\n\n", r->method, r->path);
        sc_sentence(r->summary, 0);
        (void) printf(" Access: %s.", route_access_to_string(r->access));
        if (r->verb) {
                (void) fputs(" Command: ", stdout);
                sc_bold(r->verb);
                (void) putchar('.');
        }
        (void) printf(" Success: %u", r->status);
        if (r->out && r->out->name)
                (void) printf(", %s%s", r->out_is_array ? "an array of " : "", r->out->name);
        (void) fputs(".\n\n", stdout);
        for (size_t i = 0; r->in && i < r->in->n_fields; i++)
                print_field(&r->in->fields[i], false);
        print_errors(r);
}

static void print_object(const FieldTable *t) {
        (void) printf("## %s\n\n", t->name);
        if (t->doc) {
                sc_sentence(t->doc, 0);
                (void) fputs("\n\n", stdout);
        }
        for (size_t i = 0; i < t->n_fields; i++)
                print_field(&t->fields[i], true);
        for (size_t i = 0; t == &input_agent && i < n_unit_keys; i++)
                if (unit_keys[i].built)
                        print_key(&unit_keys[i]);
}

/* Every object that an answer has, once. */
static void collect(const FieldTable *t, const FieldTable *seen[static TABLES_MAX], size_t *n) {
        if (!t)
                return;
        for (size_t i = 0; i < *n; i++)
                if (seen[i] == t)
                        return;
        assert(*n < TABLES_MAX);
        seen[(*n)++] = t;
        for (size_t i = 0; i < t->n_fields; i++)
                collect(t->fields[i].ref, seen, n);
}

static const char head[] =
        "agentd-api(7) \"agentd " AGENTD_VERSION "\"\n\n"
        "# NAME\n\n"
        "agentd-api - the HTTP interface of agentd\n\n"
        "# DESCRIPTION\n\n"
        "HTTP with JSON in UTF-8, at port 8721 and at the unix socket _agentd.sock_ in the runtime folder. "
        "_GET /openapi.json_ describes the same routes for programs.\n\n"
        "An id is 16 hex digits. A time is RFC 3339 in UTC with microseconds and Z. Unknown members of a request's body are "
        "refused, but for those that the original has (a new session, resume, checkpoint, memory of a session), which ignore "
        "them. JSON values that clients store come back as they were written.\n\n"
        "# WHO GETS IN\n\n"
        "Through the socket and, as configured, from this machine the daemon's own user; everybody else with "
        "_Authorization: Bearer TOKEN_ (*agentd token create*). Access, as it stands at each route, is: public "
        "(anybody), read, write, admin (a token of that scope or a larger one), local (only the daemon's own user).\n\n"
        "# ASKING AGAIN\n\n"
        "A POST with the header *Idempotency\\-Key* may be sent again when its answer was lost: the same key with the "
        "same body gets the first answer and has its effect once.\n\n"
        "An answer with an *ETag* need not come twice: a GET with *If\\-None\\-Match* gets 304 if it is still the same, and "
        "what changes it with *If\\-Match* gets 412 if it is not.\n\n"
        "# ERRORS\n\n"
        "An error has *detail* (a sentence; of a request that is not valid an array of {type, loc, msg, input}), "
        "*code* (a stable word) and *hint* (what to do). Beside those of each route every one may answer 401, 403, "
        "422, 429, 500 or 503.\n\n";

int main(void) {
        const FieldTable *seen[TABLES_MAX];
        size_t n = 0;

        (void) fputs(head, stdout);
        (void) puts("# ROUTES\n");
        for (size_t i = 0; i < _ROUTE_MAX; i++) {
                print_route(&route_table[i]);
                collect(route_table[i].out, seen, &n);
        }
        collect(&input_agent, seen, &n);
        (void) puts("# OBJECTS\n");
        for (size_t i = 0; i < n; i++)
                if (seen[i]->name)
                        print_object(seen[i]);
        (void) puts("# ALL ERROR CODES\n");
        for (size_t i = 0; i < _ERROR_MAX; i++) {
                const ErrorDef *e = &error_table[i];

                sc_bold(e->code);
                (void) printf(" (%u, exit status %d)\n\t", e->http, e->exit_status);
                sc_sentence(e->hint ? e->hint : "See the answer's detail.", 1);
                (void) fputs("\n\n", stdout);
        }
        (void) puts("# SEE ALSO\n\n*agentd*(1)");
        return fflush(stdout) == 0 ? 0 : 1;
}
