/* SPDX-License-Identifier: MIT */

/* INI text: agentd.conf and unit files, as people write them. Every line is told in order, with
 * texts that end; what is refused is refused with its line and a reason, and what was read without
 * an error is read the same way again, entry by entry, after being written out plainly. */

#include <stdio.h>

#include "base/buf.h"
#include "base/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

typedef struct Told {
        Buf plain;
        unsigned line, n;
} Told;

static int on_entry(const IniEntry *e, void *userdata) {
        Told *t = userdata;

        require(e->line > t->line, "the lines are out of order\n");
        require(e->section && (!e->key || (e->key[0] != '\0' && e->value)), "an entry with holes\n");
        require(e->key || e->section[0] != '\0', "a header without a name\n");
        t->line = e->line;
        t->n++;
        if (e->key)
                (void) buf_printf(&t->plain, "%s=%s\n", e->key, e->value);
        else
                (void) buf_printf(&t->plain, "[%s]\n", e->section);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Told first = { .plain = BUF_INIT(64 << 20) }, again = { .plain = BUF_INIT(64 << 20) };
        IniError error = {};
        char *copy = malloc(size > 0 ? size : 1);

        require(copy != NULL, "out of memory\n");
        memcpy(copy, data, size);
        int r = ini_parse(copy, size, on_entry, &first, &error);
        require(r == 0 || r == -EINVAL, "an undocumented error\n");
        require(r == 0 || (error.reason && error.line > 0), "refused without a reason\n");
        /* A value that ends with a backslash would go on in the next line. */
        bool goes_on = first.plain.len > 0 && memmem(first.plain.data, first.plain.len, "\\\n", 2);
        if (r == 0 && first.plain.len > 0 && !goes_on) {
                r = ini_parse(first.plain.data, first.plain.len, on_entry, &again, &error);
                require(r == 0 && again.n == first.n, "what was written is read in another way\n");
                require(again.plain.len == first.plain.len &&
                                memcmp(again.plain.data, first.plain.data, first.plain.len) == 0,
                        "a text changes on its way out and in\n");
        }
        buf_done(&first.plain);
        buf_done(&again.plain);
        free(copy);
        return 0;
}
