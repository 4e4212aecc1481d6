/* SPDX-License-Identifier: MIT */

/* `agentd doctor`: what is wrong here, and what to do about it.
 *
 * It must be of use when nothing works, so it asks the daemon only what it can answer without
 * having been asked before, and looks at everything else itself: folders, the kernel, /proc. It
 * changes nothing. All checks are made whatever the first ones say, because one cause often shows
 * in several.
 *
 * A warning is something that works until it does not (little space, a name too many); a failure is
 * something that does not work now. The exit status is 1 only for the latter, so that it can be
 * asked in a script. */

#include "cli/doctor.h"

#include <stdio.h>

#include "base/str.h"
#include "cli/become.h"
#include "cli/verbs.h"

#define TEXT_BYTES ((size_t) 1 << 20)

static const struct {
        const char *word, *sign, *colour;
} verdicts[_VERDICT_MAX] = {
        [DOCTOR_OK] = { "ok", "ok  ", "32" },
        [DOCTOR_WARN] = { "warn", "warn", "33" },
        [DOCTOR_FAIL] = { "fail", "FAIL", "1;31" },
};

void doctor_say(Doctor *d, Verdict verdict, const char *check, const char *text, const char *advice) {
        Finding *findings = reallocarray(d->findings, d->n + 1, sizeof(*findings));

        if (!findings)
                cli_out_of_memory();
        findings[d->n++] = (Finding){ verdict, check, text, advice };
        d->findings = findings;
}

static size_t count(const Doctor *d, Verdict verdict) {
        size_t n = 0;

        for (size_t i = 0; i < d->n; i++)
                n += d->findings[i].verdict == verdict;
        return n;
}

static void print_json(const Doctor *d) {
        _cleanup_buf_ Buf b = BUF_INIT(TEXT_BYTES);
        JsonWriter w = JSON_WRITER(&b);

        json_w_object_begin(&w);
        json_w_key(&w, "checks");
        json_w_array_begin(&w);
        for (size_t i = 0; i < d->n; i++) {
                const Finding *f = &d->findings[i];

                json_w_object_begin(&w);
                json_w_kv_string(&w, "check", f->check);
                json_w_kv_string(&w, "verdict", verdicts[f->verdict].word);
                json_w_kv_string(&w, "text", f->text);
                json_w_kv_string(&w, "advice", f->advice);
                json_w_object_end(&w);
        }
        json_w_array_end(&w);
        for (Verdict v = 0; v < _VERDICT_MAX; v++)
                json_w_kv_uint(&w, verdicts[v].word, count(d, v));
        json_w_object_end(&w);
        if (buf_error(&b) < 0)
                cli_out_of_memory();
        cli_print_json((JsonSpan){ b.data, b.len });
}

/* --quiet: only what is not as it should be. */
static void print(const Doctor *d) {
        Cli *c = d->c;
        bool quiet = c->quiet;

        c->quiet = false;
        for (size_t i = 0; i < d->n; i++) {
                const Finding *f = &d->findings[i];

                if (quiet && f->verdict == DOCTOR_OK)
                        continue;
                cli_say(c, "%s  %-9s  %s",
                        cli_paint(c, verdicts[f->verdict].colour, verdicts[f->verdict].sign),
                        f->check, f->text);
                if (f->advice)
                        cli_say(c, "%17s%s", "", f->advice);
        }
        c->quiet = quiet;
        cli_say(c, "\n%zu ok, %zu to look at, %zu failed", count(d, DOCTOR_OK),
                count(d, DOCTOR_WARN), count(d, DOCTOR_FAIL));
}

int verb_doctor(Cli *c) {
        static void (*const checks[])(Doctor * d) = {
                doctor_programs, doctor_daemon,    doctor_port,   doctor_access,
                doctor_folders,  doctor_leftovers, doctor_kernel, doctor_cgroup,
                doctor_limits,   doctor_clock,     doctor_linger,
        };
        Doctor d = { .c = c, .user = become_whom(c) };

        for (size_t i = 0; i < ELEMENTSOF(checks); i++)
                checks[i](&d);
        if (c->json)
                print_json(&d);
        else
                print(&d);
        int r = count(&d, DOCTOR_FAIL) > 0 ? CLI_FAILURE : CLI_OK;
        reply_done(&d.version);
        free(d.findings);
        return r;
}
