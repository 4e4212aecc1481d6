/* SPDX-License-Identifier: MIT */

/* What a summarising model answers, which is anybody's text: as the body of an answer, and as what
 * the model wrote inside of a proper one. What is taken must keep the promises: not empty, shorter
 * than the source, each fact with a text and with sources among the turns. */

#include <stdio.h>

#include "base/json.h"
#include "base/str.h"
#include "memory/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

#define TEXT(s) .text = (s), .n = sizeof(s) - 1

static const ExtractTurn turns[] = {
        { .id = 11, .role = "user", TEXT("Move 1427 files to /srv/archive please, and thanks a lot.") },
        { .id = 12, .role = "assistant", TEXT("Done, see https://example.com/job/77 for it.") },
};

static void check(const char *body, size_t n, const char *previous) {
        const SummaryRequest q = { .model = "m", .previous = previous };
        _cleanup_summary_ Summary s = {};
        const char *message = NULL;
        int r = summary_read_answer(&q, turns, ELEMENTSOF(turns), body, n, &s, &message);

        require(r == 0 || (r == -EPROTO && message), "refused without a reason\n");
        if (r < 0)
                return;
        size_t bytes = turns[0].n + turns[1].n + (previous ? strlen(previous) : 0);
        require(s.text[0] && strlen(s.text) < bytes && utf8_is_valid(s.text, strlen(s.text)),
                "a bad summary\n");
        require(s.lookup_terms != NULL, "no list of terms\n");
        for (size_t i = 0; i < s.n_facts; i++) {
                const SummaryFact *f = &s.facts[i];
                require(f->text[0] && f->n_sources > 0 && f->confidence >= 0 && f->confidence <= 1,
                        "a bad fact\n");
                for (size_t k = 0; k < f->n_sources; k++)
                        require(f->sources[k] == 11 || f->sources[k] == 12 ||
                                        (previous && f->sources[k] == 0),
                                "a source from nowhere\n");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_buf_ Buf body = BUF_INIT(SIZE_MAX);
        _cleanup_free_ char *copy = malloc(size + 1);
        JsonWriter w = JSON_WRITER(&body);

        require(copy != NULL, "out of memory\n");
        memcpy(copy, data, size);
        check(copy, size, NULL);
        require(buf_puts(&body, "{\"choices\":[{\"message\":{\"content\":") == 0, "out of memory\n");
        json_w_string_n(&w, copy, size);
        require(buf_puts(&body, "}}]}") == 0, "out of memory\n");
        check(body.data, body.len, size % 2 ? "Earlier: chip K-77." : NULL);
        return 0;
}
