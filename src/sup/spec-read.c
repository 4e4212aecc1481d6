/* SPDX-License-Identifier: MIT */

/* Values of unit keys from JSON.
 *
 * Every key can be written as a string exactly as in a unit file, so that whoever translates a unit
 * file to a request can hand lines through; arrays, objects and numbers are the comfortable form
 * beside it. Reading goes through a local value first: a member is set only when the whole value
 * was good.
 *
 * Timeouts follow systemd: 0 and `infinity` both switch them off. A delay has no infinity:
 * `restart_sec = infinity` would be a restart that never comes, which is what restart=no is for. */

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/signal-name.h"
#include "base/str.h"
#include "sup/exit-set.h"
#include "sup/spec-internal.h"

#define COUNT_MAX   1000000
#define SECONDS_MAX 1e10 /* 300 years: far from overflow in usec_t */

#define WHY(...) ((void) snprintf(why, SPEC_WHY_SIZE, __VA_ARGS__), -EINVAL)

/* Words from a quoted line, a number, or an array of strings and numbers. */
static int read_words(JsonSpan v, char ***ret, char why[static SPEC_WHY_SIZE]);

static int read_scalar(JsonSpan v, char **ret, char why[static SPEC_WHY_SIZE]) {
        if (json_is(v, JSON_KIND_NUMBER)) {
                char *text = strndup(v.p, v.n);
                if (!text)
                        return -ENOMEM;
                *ret = text;
                return 0;
        }
        if (!json_is(v, JSON_KIND_STRING))
                return -EINVAL;
        int r = json_string_dup(v, ret, NULL);
        if (r == -EINVAL || r == -EILSEQ)
                return WHY("the text has a NUL byte or is not valid Unicode");
        return r;
}

static int read_array(JsonSpan v, char ***ret, char why[static SPEC_WHY_SIZE]) {
        _cleanup_strv_ char **words = NULL;
        JsonIter it = json_iter(v);
        JsonSpan item;

        while (json_next(&it, NULL, &item)) {
                _cleanup_free_ char *word = NULL;
                int r = read_scalar(item, &word, why);
                if (r >= 0)
                        r = strv_extend(&words, word);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(words);
        return 0;
}

static int read_words(JsonSpan v, char ***ret, char why[static SPEC_WHY_SIZE]) {
        _cleanup_free_ char *line = NULL;

        if (json_is(v, JSON_KIND_ARRAY))
                return read_array(v, ret, why);
        int r = read_scalar(v, &line, why);
        if (r < 0)
                return r;
        r = str_split_quoted(line, ret);
        return r == -EINVAL ? WHY("a quote is not closed, or an escape is not known") : r;
}

static void set_strv(void *member, char **v) {
        char ***p = member;
        strv_free(*p);
        *p = v;
}

int spec_read_command_or_none(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        _cleanup_strv_ char **words = NULL;

        if (json_is(value, JSON_KIND_NUMBER))
                return -EINVAL;
        int r = read_words(value, &words, why);
        if (r < 0)
                return r;
        if (strv_length(words) == 0) {
                set_strv(member, NULL);
                return 0;
        }
        if (words[0][0] == '\0')
                return WHY("the program's name is empty");
        set_strv(member, TAKE_PTR(words));
        return 0;
}

int spec_read_command(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        _cleanup_strv_ char **words = NULL;

        int r = spec_read_command_or_none(value, &words, why);
        if (r < 0)
                return r;
        if (!words)
                return WHY("the command is empty");
        set_strv(member, TAKE_PTR(words));
        return 0;
}

int spec_read_path(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        _cleanup_free_ char *text = NULL, *path = NULL;
        char **p = member;

        if (!json_is(value, JSON_KIND_STRING))
                return -EINVAL;
        int r = read_scalar(value, &text, why);
        if (r < 0)
                return r;
        if (text[0] != '/' && text[0] != '~')
                return WHY("the path must be absolute, or begin with ~");
        r = path_absolute(text, &path);
        if (r < 0)
                return r == -ENOMEM ? r : WHY("the path cannot be resolved");
        free(*p);
        *p = TAKE_PTR(path);
        return 0;
}

/* ---- environment ---- */

static bool is_variable_name(const char *s, size_t n) {
        if (n == 0 || isdigit((unsigned char) s[0]))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) s[i]) && s[i] != '_')
                        return false;
        return true;
}

static int add_variable(char ***env,
                        const char *name,
                        const char *value,
                        char why[static SPEC_WHY_SIZE]) {
        if (!is_variable_name(name, strlen(name)))
                return WHY("'%.40s' is not a variable's name", name);
        return strv_env_set(env, name, value);
}

static int read_variables(JsonSpan object, char ***env, char why[static SPEC_WHY_SIZE]) {
        JsonIter it = json_iter(object);
        JsonSpan key, value;

        while (json_next(&it, &key, &value)) {
                _cleanup_free_ char *name = NULL, *text = NULL;
                int r = read_scalar(key, &name, why);
                if (r >= 0)
                        r = read_scalar(value, &text, why);
                if (r >= 0)
                        r = add_variable(env, name, text, why);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_assignments(JsonSpan v, char ***env, char why[static SPEC_WHY_SIZE]) {
        _cleanup_strv_ char **words = NULL;

        int r = read_words(v, &words, why);
        for (char **w = words; r >= 0 && w && *w; w++) {
                char *eq = strchr(*w, '=');
                if (!eq)
                        return WHY("'%.40s' is not NAME=value", *w);
                *eq = '\0';
                r = add_variable(env, *w, eq + 1, why);
        }
        return r;
}

int spec_read_environment(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        _cleanup_strv_ char **env = NULL;

        int r = json_is(value, JSON_KIND_OBJECT) ? read_variables(value, &env, why)
                                                 : read_assignments(value, &env, why);
        if (r < 0)
                return r;
        set_strv(member, TAKE_PTR(env));
        return 0;
}

/* ---- words, numbers, times ---- */

static int read_word(JsonSpan v, const char *const *words, size_t n, char why[static SPEC_WHY_SIZE]) {
        _cleanup_free_ char *text = NULL;
        size_t used = 0;

        int r = json_is(v, JSON_KIND_STRING) ? read_scalar(v, &text, why) : -EINVAL;
        if (r == -ENOMEM)
                return r;
        for (size_t i = 0; text && i < n; i++)
                if (streq(words[i], text))
                        return (int) i;
        for (size_t i = 0; i < n; i++) {
                int k = snprintf(why + used, SPEC_WHY_SIZE - used, "%s%s",
                                 i ? ", " : "one of: ", words[i]);
                used = MIN(used + (size_t) MAX(k, 0), (size_t) SPEC_WHY_SIZE - 1);
        }
        return -EINVAL;
}

int spec_read_restart(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        static const char *const words[_SUP_RESTART_MAX] = {
                [SUP_RESTART_NO] = "no",
                [SUP_RESTART_ON_SUCCESS] = "on-success",
                [SUP_RESTART_ON_FAILURE] = "on-failure",
                [SUP_RESTART_ON_ABNORMAL] = "on-abnormal",
                [SUP_RESTART_ALWAYS] = "always",
        };
        int r = read_word(value, words, ELEMENTSOF(words), why);
        if (r < 0)
                return r;
        *(SupRestart *) member = (SupRestart) r;
        return 0;
}

int spec_read_daemon_stop(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        static const char *const words[] = { "keep", "stop" };
        int r = read_word(value, words, ELEMENTSOF(words), why);
        if (r < 0)
                return r;
        *(bool *) member = r == 1;
        return 0;
}

static int read_span(JsonSpan v, usec_t *ret, char why[static SPEC_WHY_SIZE]) {
        _cleanup_free_ char *text = NULL;
        double seconds;

        if (json_is(v, JSON_KIND_NUMBER)) {
                if (json_real(v, &seconds) < 0 || !(seconds >= 0) || seconds > SECONDS_MAX)
                        return -EINVAL;
                *ret = (usec_t) llround(seconds * (double) USEC_PER_SEC);
                return 0;
        }
        int r = read_scalar(v, &text, why);
        if (r < 0)
                return r;
        return clock_parse_span(text, ret) < 0 ? -EINVAL : 0;
}

int spec_read_delay(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        usec_t span;
        int r = read_span(value, &span, why);
        if (r < 0)
                return r;
        if (span > (usec_t) SECONDS_MAX * USEC_PER_SEC)
                return WHY("the duration must be finite");
        *(usec_t *) member = span;
        return 0;
}

int spec_read_timeout(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        usec_t span;
        int r = read_span(value, &span, why);
        if (r < 0)
                return r;
        *(usec_t *) member = span == 0 ? USEC_INFINITY : span;
        return 0;
}

int spec_read_count(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        _cleanup_free_ char *text = NULL;
        uint64_t n;

        int r = read_scalar(value, &text, why);
        if (r < 0)
                return r;
        if (str_to_u64(text, &n) < 0 || n > COUNT_MAX)
                return -EINVAL;
        *(unsigned *) member = (unsigned) n;
        return 0;
}

int spec_read_exit_set(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        _cleanup_strv_ char **words = NULL;
        SupExitSet set = {};

        int r = read_words(value, &words, why);
        if (r < 0)
                return r;
        for (char **w = words; w && *w; w++)
                if (sup_exit_set_add(&set, *w) < 0)
                        return WHY("'%.40s' is neither an exit status from 0 to 255 nor a signal",
                                   *w);
        *(SupExitSet *) member = set;
        return 0;
}

int spec_read_signal(JsonSpan value, void *member, char why[static SPEC_WHY_SIZE]) {
        _cleanup_free_ char *text = NULL;
        int signo;

        int r = read_scalar(value, &text, why);
        if (r < 0)
                return r;
        if (signal_from_string(text, &signo) < 0)
                return -EINVAL;
        *(int *) member = signo;
        return 0;
}
