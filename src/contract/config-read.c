/* SPDX-License-Identifier: MIT */

/* One reader per type of value, from text into the struct's member, and the words for what a type
 * expects. Environment, options and files go through the same reader, so a value that is right in
 * one place is right in all.
 *
 * A value that has no meaning is refused, also one that another place overrides: a mistake in a
 * file shall not wait for the day on which the variable in front of it is removed. */

#include <pwd.h>

#include "base/fs.h"
#include "base/str.h"
#include "contract/config-internal.h"

static bool is_word(const char *values, const char *s) {
        size_t n = strlen(s);

        for (const char *p = values; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
                if (strncmp(p, s, n) == 0 && (p[n] == '|' || p[n] == '\0'))
                        return true;
        return false;
}

int config_set_string(char **to, char *value) {
        if (!value)
                return -ENOMEM;
        free(*to);
        *to = value;
        return 0;
}

static int read_string(const ConfigDef *k, const char *text, void *to) {
        if (k->values && !is_word(k->values, text))
                return -EINVAL;
        return config_set_string(to, strdup(text));
}

static int read_path(const ConfigDef *k, const char *text, void *to) {
        char *path;

        if (strstr(text, "://") || (k->values && is_word(k->values, text)))
                return config_set_string(to, strdup(text));
        int r = path_absolute(text, &path);
        return r < 0 ? r : config_set_string(to, path);
}

static int check_range(const ConfigDef *k, uint64_t v) {
        return (k->min || k->max) && (v < k->min || v > k->max) ? -EINVAL : 0;
}

static int read_uint(const ConfigDef *k, const char *text, void *to) {
        uint64_t v;

        if (str_to_u64(text, &v) < 0 || check_range(k, v) < 0)
                return -EINVAL;
        *(uint64_t *) to = v;
        return 0;
}

static int read_size(const ConfigDef *k, const char *text, void *to) {
        uint64_t v;

        if (str_to_size(text, &v) < 0 || check_range(k, v) < 0)
                return -EINVAL;
        *(uint64_t *) to = v;
        return 0;
}

static int read_span(const ConfigDef *k, const char *text, void *to) {
        usec_t v;

        if (clock_parse_span(text, &v) < 0 || check_range(k, v) < 0)
                return -EINVAL;
        *(usec_t *) to = v;
        return 0;
}

static int read_bool(const ConfigDef *k, const char *text, void *to) {
        return str_to_bool(text, to);
}

static int read_list(const ConfigDef *k, const char *text, void *to) {
        static const char separators[] = " \t\n,";
        _cleanup_strv_ char **list = NULL;
        _cleanup_free_ char *copy = strdup(text);
        char *state = NULL;

        if (!copy)
                return -ENOMEM;
        for (char *w = strtok_r(copy, separators, &state); w; w = strtok_r(NULL, separators, &state)) {
                int r = strv_extend(&list, w);
                if (r < 0)
                        return r;
        }
        strv_free(*(char ***) to);
        *(char ***) to = TAKE_PTR(list);
        return 0;
}

typedef int (*ReadFunction)(const ConfigDef *k, const char *text, void *to);

static const ReadFunction readers[] = {
        [CONFIG_STRING] = read_string, [CONFIG_PATH] = read_path, [CONFIG_UINT] = read_uint,
        [CONFIG_SIZE] = read_size,     [CONFIG_SPAN] = read_span, [CONFIG_BOOL] = read_bool,
        [CONFIG_LIST] = read_list,
};

int config_read_value(const ConfigDef *k, const char *text, DaemonConfig *c) {
        return readers[k->type](k, text, (uint8_t *) c + k->offset);
}

/* ---- what was expected ---- */

static char *describe_range(const ConfigDef *k) {
        char least[64], most[64];

        if (k->type == CONFIG_UINT)
                return str_printf("a number from %llu to %llu", (unsigned long long) k->min,
                                  (unsigned long long) k->max);
        if (k->type == CONFIG_SIZE)
                return str_printf("bytes from %llu to %llu, with K, M or G if you like",
                                  (unsigned long long) k->min, (unsigned long long) k->max);
        (void) clock_format_span(k->min, least, sizeof(least));
        (void) clock_format_span(k->max, most, sizeof(most));
        return str_printf("seconds, or a time span such as 90s or 5min, from %s to %s", least, most);
}

static char *describe_allowed(const ConfigDef *k) {
        _cleanup_free_ char *words = k->values ? strdup(k->values) : NULL;

        switch (k->type) {
        case CONFIG_UINT:
        case CONFIG_SIZE:
        case CONFIG_SPAN:
                return describe_range(k);
        case CONFIG_BOOL:
                return strdup("yes or no");
        case CONFIG_STRING:
        case CONFIG_PATH:
        case CONFIG_LIST:
                break;
        }
        for (char *p = words; p && (p = strchr(p, '|'));)
                *p = ' ';
        return k->type == CONFIG_STRING && words ? str_printf("one of: %s", words) : strdup("a path");
}

/* The home folder is missing: which variable would make up for it. */
static char *describe_no_home(const ConfigDef *k, const char *text) {
        return str_printf("There is no home folder for %s: HOME is not set, and user %u is not in the "
                          "list of users. Set HOME to a folder, or %s to an absolute path",
                          text, (unsigned) getuid(), k->env);
}

int config_complain(
        const ConfigDef *k, const char *name, const char *text, int error, char **ret_message) {
        _cleanup_free_ char *allowed = NULL;
        char *message;

        if (error == -ENOMEM)
                return error;
        if (error == -ENOENT && text[0] == '~')
                message = describe_no_home(k, text);
        else {
                allowed = describe_allowed(k);
                message = str_printf("%s%s: expected %s", name, text,
                                     allowed ? allowed : "another value");
        }
        if (!message)
                return -ENOMEM;
        free(*ret_message);
        *ret_message = message;
        return -EINVAL;
}
