/* SPDX-License-Identifier: MIT */

/* The command line of a session's agent as people know it from `ps`: words with spaces in quotes,
 * cut to a length, since a prompt may be pages long. It is for reading, not for typing again:
 * control characters are shown as \xHH, and the whole of it is in `agentd show`.
 *
 * In a table an absolute path is shown by its last part: `python3 /home/me/agents/reader.py` and
 * its neighbours would otherwise all be cut before the word that tells them apart. */

#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"

#define BRIEF_WIDTH 40
#define FULL_WIDTH  200
#define WORD_BYTES  ((size_t) 1024) /* more than a cut line shows */
#define TEXT_BYTES  ((size_t) 64 * 1024)

static void add_word(Buf *out, const char *word, bool brief) {
        bool quote = word[0] == '\0' || strpbrk(word, " \t\n'\"$`;&|<>*");
        const char *slash = brief && !quote && word[0] == '/' ? strrchr(word, '/') : NULL;

        if (slash && slash[1] != '\0')
                word = slash + 1;
        (void) buf_puts(out, out->len > 0 ? " " : "");
        (void) buf_puts(out, quote ? "\"" : "");
        (void) str_put_clean(out, word, MIN(strlen(word), WORD_BYTES), 0);
        (void) buf_puts(out, quote ? "\"" : "");
}

char *session_command(Cli *c, JsonSpan session, bool brief) {
        size_t width = brief ? BRIEF_WIDTH : FULL_WIDTH;
        JsonSpan agent = json_get(session, "agent"), exec, word;
        Buf b = BUF_INIT(TEXT_BYTES);

        (void) buf_puts(&b, "");
        exec = json_is(agent, JSON_KIND_OBJECT) ? json_get(agent, "exec") : (JsonSpan){};
        if (json_is(exec, JSON_KIND_ARRAY)) {
                JsonIter it = json_iter(exec);
                while (b.len <= 4 * width && json_next(&it, NULL, &word))
                        add_word(&b, cli_value(c, word), brief);
        } else if (json_is(exec, JSON_KIND_STRING)) {
                const char *line = cli_value(c, exec);
                (void) str_put_clean(&b, line, MIN(strlen(line), WORD_BYTES), 0);
        }
        char *text = cli_take(c, &b);
        Buf cut = BUF_INIT(TEXT_BYTES);
        (void) text_cut(text, width, &cut);
        return cli_take(c, &cut);
}
