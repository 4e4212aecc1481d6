/* SPDX-License-Identifier: MIT */

/* Checking what a model wrote before any of it is kept, because what is invented here is believed
 * ever after: sources must be turns that it was given, the identifiers must be those of the source
 * (four fifths of them: a date may have been worked out), and a summary that is not shorter than
 * its source is none. A wrong source refuses the whole answer, since a model that gets those wrong
 * has not understood its task.
 *
 * Around the JSON there may be what models put there: a fence, a sentence, their thoughts. What can
 * be mended without guessing is mended: a kind that we do not have becomes a fact, a term that is
 * not in the source is left out. */

#include <math.h>

#include "base/json.h"
#include "base/str.h"
#include "memory/summary.h"
#include "memory/text.h"

#define FACTS_MAX   64
#define TERMS_MAX   32
#define TERM_BYTES  100
#define NAME_BYTES  200
#define FACT_BYTES  2000
#define IDENTIFIERS 0.8 /* of them must be in the source */

static const char *const kinds[_SUMMARY_KIND_MAX] = {
        [SUMMARY_FACT] = "fact",
        [SUMMARY_DECISION] = "decision",
        [SUMMARY_PREFERENCE] = "preference",
        [SUMMARY_TASK] = "task",
        [SUMMARY_PROCEDURE] = "procedure",
        [SUMMARY_EPISODE] = "episode",
};

/* What an answer is held against: the turns that were shown, and the earlier summary behind them. */
typedef struct Source {
        const SummaryRequest *request;
        const ExtractTurn *turns; /* as given */
        size_t n;
        ExtractTurn *all; /* those that count, and the earlier summary */
        size_t n_all, bytes;
        const char *message;
} Source;

const char *summary_kind_to_string(SummaryKind kind) {
        return kinds[kind];
}

static void facts_free(SummaryFact *facts, size_t n) {
        for (size_t i = 0; facts && i < n; i++) {
                free(facts[i].text);
                free(facts[i].subject);
                free(facts[i].attribute);
                free(facts[i].sources);
        }
        free(facts);
}

void summary_done(Summary *s) {
        free(TAKE_PTR(s->text));
        s->lookup_terms = strv_free(s->lookup_terms);
        facts_free(TAKE_PTR(s->facts), s->n_facts);
        s->n_facts = 0;
}

static int refuse(Source *s, const char *why) {
        s->message = why;
        return -EPROTO;
}

/* ---- the source ---- */

static bool is_shown(const ExtractTurn *t) {
        return t->n > 0 && !streq_ptr(t->role, "system");
}

static void source_done(Source *s) {
        free(s->all);
}

static int source_init(Source *s) {
        s->all = calloc(s->n + 1, sizeof(*s->all));
        if (!s->all)
                return -ENOMEM;
        for (size_t i = 0; i < s->n; i++)
                if (is_shown(&s->turns[i]))
                        s->all[s->n_all++] = s->turns[i];
        if (!str_isempty(s->request->previous))
                s->all[s->n_all++] = (ExtractTurn){ .text = s->request->previous,
                                                    .n = strlen(s->request->previous) };
        for (size_t i = 0; i < s->n_all; i++)
                s->bytes += s->all[i].n;
        return 0;
}

static bool is_said(const Source *s, const char *term) {
        for (size_t i = 0; i < s->n_all; i++)
                if (memmem(s->all[i].text, s->all[i].n, term, strlen(term)))
                        return true;
        return false;
}

/* ---- text ---- */

/* A string without white space around it, cut at max; NULL: it is none, or empty. */
static int take_string(JsonSpan v, size_t max, char **ret) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);
        size_t from = 0;

        *ret = NULL;
        int r = json_is(v, JSON_KIND_STRING) ? json_string_decode(v, &text) : 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !text.data || memchr(text.data, '\0', text.len))
                return 0;
        while (from < text.len && strchr(" \t\r\n", text.data[from]))
                from++;
        size_t n = text_cut(text.data + from, text.len - from, max);
        while (n > 0 && strchr(" \t\r\n", text.data[from + n - 1]))
                n--;
        if (n == 0)
                return 0;
        *ret = strndup(text.data + from, n);
        return *ret ? 0 : -ENOMEM;
}

static int read_text(Source *s, JsonSpan v, Summary *ret) {
        int r = take_string(json_get(v, "summary"), SIZE_MAX, &ret->text);

        if (r < 0)
                return r;
        if (!ret->text)
                return refuse(s, "its summary is empty");
        if (strlen(ret->text) >= s->bytes)
                return refuse(s, "its summary is not shorter than what it is of");
        if (!extract_identifiers_occur(ret->text, s->all, s->n_all, IDENTIFIERS))
                return refuse(
                        s,
                        "its summary has numbers, names or paths that are not in the conversation");
        return 0;
}

static int read_terms(const Source *s, JsonSpan list, Summary *ret) {
        JsonIter it = json_iter(list);
        JsonSpan v;

        ret->lookup_terms = calloc(1, sizeof(char *));
        if (!ret->lookup_terms)
                return -ENOMEM;
        for (size_t n = 0;
             json_is(list, JSON_KIND_ARRAY) && n < TERMS_MAX && json_next(&it, NULL, &v);) {
                _cleanup_free_ char *term = NULL;
                int r = take_string(v, TERM_BYTES, &term);
                if (r >= 0 && term && is_said(s, term) && !strv_contains(ret->lookup_terms, term)) {
                        r = strv_extend(&ret->lookup_terms, term);
                        n++;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- facts ---- */

/* 3, "3", "#3" */
static int number_of(JsonSpan v, int64_t *ret) {
        _cleanup_free_ char *s = NULL;

        if (json_is(v, JSON_KIND_NUMBER))
                return json_int(v, ret);
        int r = take_string(v, 32, &s);
        if (r < 0)
                return r;
        return s ? str_to_i64(s[0] == '#' ? s + 1 : s, ret) : -EINVAL;
}

static bool is_source(const Source *s, int64_t number) {
        if (number == 0)
                return !str_isempty(s->request->previous);
        return number > 0 && (uint64_t) number <= s->n && is_shown(&s->turns[number - 1]);
}

static int compare_numbers(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

static int read_sources(Source *s, JsonSpan list, SummaryFact *f) {
        JsonIter it = json_iter(list);
        size_t n = json_is(list, JSON_KIND_ARRAY) ? json_count(list) : 0, k = 0;
        JsonSpan v;

        if (n == 0 || n > s->n + 1)
                return refuse(s, "a fact of it has no sources, or more than there are messages");
        f->sources = calloc(n, sizeof(*f->sources));
        if (!f->sources)
                return -ENOMEM;
        while (json_next(&it, NULL, &v)) {
                int64_t number;
                int r = number_of(v, &number);
                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !is_source(s, number))
                        return refuse(s, "a source of a fact is none of the messages");
                f->sources[k++] = (uint64_t) number;
        }
        /* numbers, in their order and once, then ids */
        qsort(f->sources, k, sizeof(*f->sources), compare_numbers);
        for (size_t i = 0; i < k; i++)
                if (i == 0 || f->sources[i] != f->sources[f->n_sources - 1])
                        f->sources[f->n_sources++] = f->sources[i];
        for (size_t i = 0; i < f->n_sources; i++)
                f->sources[i] = f->sources[i] > 0 ? s->turns[f->sources[i] - 1].id : 0;
        return 0;
}

static SummaryKind kind_of(JsonSpan v) {
        for (int i = 0; i < _SUMMARY_KIND_MAX; i++)
                if (json_is(v, JSON_KIND_STRING) && json_string_equals(v, kinds[i]))
                        return (SummaryKind) i;
        return SUMMARY_FACT;
}

static int read_fact(Source *s, JsonSpan v, SummaryFact *f) {
        double confidence = 0.5;

        if (!json_is(v, JSON_KIND_OBJECT))
                return refuse(s, "a fact of it is no object");
        int r = take_string(json_get(v, "text"), FACT_BYTES, &f->text);
        if (r >= 0)
                r = take_string(json_get(v, "subject"), NAME_BYTES, &f->subject);
        if (r >= 0)
                r = take_string(json_get(v, "attribute"), NAME_BYTES, &f->attribute);
        if (r < 0)
                return r;
        if (!f->text)
                return refuse(s, "a fact of it has no text");
        f->kind = kind_of(json_get(v, "kind"));
        (void) json_real(json_get(v, "confidence"), &confidence);
        f->confidence = fmin(fmax(confidence, 0), 1);
        return read_sources(s, json_get(v, "sources"), f);
}

/* All facts together: one that is short and wrong would be a fifth of itself. */
static int check_identifiers(Source *s, const Summary *made) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);

        for (size_t i = 0; i < made->n_facts; i++) {
                (void) buf_puts(&text, made->facts[i].text);
                (void) buf_putc(&text, '\n');
        }
        if (buf_error(&text) < 0)
                return buf_error(&text);
        if (!extract_identifiers_occur(text.data ? text.data : "", s->all, s->n_all, IDENTIFIERS))
                return refuse(
                        s, "its facts have numbers, names or paths that are not in the conversation");
        return 0;
}

static int read_facts(Source *s, JsonSpan list, Summary *ret) {
        JsonIter it = json_iter(list);
        JsonSpan v;

        if (!list.p || json_is(list, JSON_KIND_NULL))
                return 0;
        if (!json_is(list, JSON_KIND_ARRAY))
                return refuse(s, "its facts are no list");
        ret->facts = calloc(FACTS_MAX, sizeof(*ret->facts));
        if (!ret->facts)
                return -ENOMEM;
        while (ret->n_facts < FACTS_MAX && json_next(&it, NULL, &v)) {
                int r = read_fact(s, v, &ret->facts[ret->n_facts++]);
                if (r < 0)
                        return r;
        }
        return check_identifiers(s, ret);
}

/* ---- the answer ---- */

/* choices[0].message.content, which is a string or a list of {"type":"text","text":…}. */
static int content_of(Source *s, const char *body, size_t size, Buf *ret) {
        JsonSpan answer, choice = {}, part;

        if (json_check(body, size, JSON_DEPTH_MAX, &answer, NULL) < 0 ||
            !json_is(answer, JSON_KIND_OBJECT))
                return refuse(s, "the answer is no JSON object");
        JsonSpan choices = json_get(answer, "choices");
        JsonIter it = json_iter(choices);
        if (!json_is(choices, JSON_KIND_ARRAY) || !json_next(&it, NULL, &choice) ||
            !json_is(choice, JSON_KIND_OBJECT))
                return refuse(s, "the answer has no choices");
        JsonSpan end = json_get(choice, "finish_reason"), message = json_get(choice, "message");
        if (json_is(end, JSON_KIND_STRING) && json_string_equals(end, "length"))
                return refuse(s, "the answer was cut off at its largest length");
        if (!json_is(message, JSON_KIND_OBJECT))
                return refuse(s, "the answer has no message");
        JsonSpan content = json_get(message, "content");
        if (json_is(content, JSON_KIND_STRING))
                (void) json_string_decode(content, ret);
        for (it = json_iter(content);
             json_is(content, JSON_KIND_ARRAY) && json_next(&it, NULL, &part);) {
                JsonSpan text =
                        json_is(part, JSON_KIND_OBJECT) ? json_get(part, "text") : (JsonSpan){};
                if (json_is(text, JSON_KIND_STRING))
                        (void) json_string_decode(text, ret);
        }
        return buf_error(ret);
}

/* The JSON object in what a model wrote: all of it, or from the first brace to the last behind its thoughts. */
static int object_in(Source *s, const Buf *text, JsonSpan *ret) {
        static const char thought[] = "</think>";
        if (text->len == 0)
                return refuse(s, "the answer is empty");

        const char *p = text->data, *end = p + text->len;
        for (const char *at = p; (at = memmem(at, (size_t) (end - at), thought, strlen(thought)));)
                p = at += strlen(thought);
        const char *from = memchr(p, '{', (size_t) (end - p)),
                   *to = memrchr(p, '}', (size_t) (end - p));
        if (!from || !to || to < from ||
            json_check(from, (size_t) (to - from) + 1, JSON_DEPTH_MAX, ret, NULL) < 0)
                return refuse(s, "there is no JSON object in what the model wrote");
        return 0;
}

static int read_all(Source *s, const char *body, size_t size, Summary *ret) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);
        JsonSpan v;

        int r = source_init(s);
        if (r >= 0)
                r = content_of(s, body, size, &text);
        if (r >= 0)
                r = object_in(s, &text, &v);
        if (r >= 0)
                r = read_text(s, v, ret);
        if (r >= 0)
                r = read_terms(s, json_get(v, "lookup_terms"), ret);
        return r < 0 ? r : read_facts(s, json_get(v, "facts"), ret);
}

int summary_read_answer(const SummaryRequest *q,
                        const ExtractTurn *turns,
                        size_t n,
                        const char *body,
                        size_t size,
                        Summary *ret,
                        const char **ret_message) {
        _cleanup_(source_done) Source s = { .request = q, .turns = turns, .n = n };
        _cleanup_summary_ Summary made = {};

        int r = read_all(&s, body, size, &made);
        if (r == -EPROTO)
                *ret_message = s.message;
        if (r < 0)
                return r;
        *ret = made;
        made = (Summary){};
        return 0;
}
