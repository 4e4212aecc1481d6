/* SPDX-License-Identifier: MIT */

/* Which daemon the command line meant, in words for the next command line.
 *
 * A start with --db makes a daemon that no other command finds without it, and what is proposed to be
 * typed next must reach the daemon that this command was about. So whoever proposes a command adds
 * the same options. Only options are repeated: what came from the environment or a file counts for
 * the next command too. Paths are made absolute, since that one may be typed in another folder. */

#include "base/fs.h"
#include "base/str.h"
#include "cli/cli.h"

#define TEXT_BYTES ((size_t) 64 * 1024)

static const char *const places[] = { "config", "db", "data-dir", "runtime-dir" };

bool where_is_place(const char *option) {
        for (size_t i = 0; i < ELEMENTSOF(places); i++)
                if (streq(places[i], option))
                        return true;
        return false;
}

/* One word for a shell. */
static char *shell_word(Cli *c, const char *s) {
        static const char plain[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@%";
        Buf b = BUF_INIT(TEXT_BYTES);

        if (s[strspn(s, plain)] == '\0' && *s)
                return cli_text(c, "%s", s);
        (void) buf_putc(&b, '\'');
        for (; *s; s++)
                (void) (*s == '\'' ? buf_puts(&b, "'\\''") : buf_putc(&b, *s));
        (void) buf_putc(&b, '\'');
        return cli_take(c, &b);
}

/* What was given for one of the places, for a shell; NULL: nothing. */
static const char *given(Cli *c, const ConfigDef *key) {
        const char *value = key->option && where_is_place(key->option + 2)
                                    ? cli_option(c, key->option + 2)
                                    : NULL;
        char *absolute;

        if (str_isempty(value))
                return NULL;
        if (strstr(value, "://") || streq(value, "memory:") || path_absolute(value, &absolute) < 0)
                return shell_word(c, value);
        return shell_word(c, cli_keep(c, absolute));
}

char *where_options(Cli *c) {
        Buf b = BUF_INIT(TEXT_BYTES);

        for (size_t i = 0; i < config_table_size; i++) {
                const char *value = given(c, &config_table[i]);
                if (value)
                        (void) buf_printf(&b, " %s %s", config_table[i].option, value);
        }
        return cli_take(c, &b);
}

char *where_exports(Cli *c) {
        Buf b = BUF_INIT(TEXT_BYTES);

        for (size_t i = 0; i < config_table_size; i++) {
                const char *value = given(c, &config_table[i]);
                if (value)
                        (void) buf_printf(&b, "%s%s=%s", b.len ? " " : "export ",
                                          config_table[i].env, value);
        }
        return cli_take(c, &b);
}
