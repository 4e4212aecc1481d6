/* SPDX-License-Identifier: MIT */

/* From the table of keys to the struct: option, else environment, else default, each text through
 * one reader per type. What a key derives from others (data folder, runtime folder, memory.db)
 * comes after all texts were read.
 *
 * A wrong value stops the start: a daemon that silently uses another database or another port than
 * it was told is worse than none. Messages name where the value came from, the value, and what is
 * allowed. */

#include <stdio.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/str.h"
#include "contract/config-keys.h"

static void *member(const ConfigDef *k, DaemonConfig *c) {
        return (uint8_t *) c + k->offset;
}

static const void *member_const(const ConfigDef *k, const DaemonConfig *c) {
        return (const uint8_t *) c + k->offset;
}

/* ---- readers: 0, -ENOMEM, or -EINVAL ---- */

static bool is_word(const char *values, const char *s) {
        size_t n = strlen(s);

        for (const char *p = values; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
                if (strncmp(p, s, n) == 0 && (p[n] == '|' || p[n] == '\0'))
                        return true;
        return false;
}

static int set_string(char **to, char *value) {
        if (!value)
                return -ENOMEM;
        free(*to);
        *to = value;
        return 0;
}

static int read_string(const ConfigDef *k, const char *text, void *to) {
        if (k->values && !is_word(k->values, text))
                return -EINVAL;
        return set_string(to, strdup(text));
}

static int read_path(const ConfigDef *k, const char *text, void *to) {
        char *path;

        if (strstr(text, "://") || (k->values && is_word(k->values, text)))
                return set_string(to, strdup(text));
        int r = path_absolute(text, &path);
        return r < 0 ? r : set_string(to, path);
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

/* ---- messages ---- */

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

static int complain(const ConfigDef *k, bool is_option, const char *text, char **ret_message) {
        _cleanup_free_ char *allowed = describe_allowed(k);

        if (ret_message)
                *ret_message = str_printf("%s%s%s: expected %s", is_option ? k->option : k->env,
                                          is_option ? " " : "=", text,
                                          allowed ? allowed : "another value");
        return -EINVAL;
}

/* ---- all together ---- */

static int load_key(DaemonConfig *c,
                    const ConfigDef *k,
                    const char *option,
                    const char **ret_origin,
                    char **ret_message) {
        const char *env = getenv(k->env), *text = option              ? option
                                                  : !str_isempty(env) ? env
                                                                      : k->fallback;

        *ret_origin = option ? "option" : !str_isempty(env) ? "environment" : "default";
        if (!text)
                return 0;
        int r = readers[k->type](k, text, member(k, c));
        return r == -EINVAL ? complain(k, option != NULL, text, ret_message) : r;
}

static bool is_file(const char *db) {
        return !strstr(db, "://") && !streq(db, "memory:");
}

static char *sibling(const char *path, const char *name) {
        const char *slash = strrchr(path, '/');

        return str_printf("%.*s/%s", slash ? (int) (slash - path) : 0, path, name);
}

static int derive_data_dir(DaemonConfig *c) {
        assert(c->db); /* has a default */
        if (c->data_dir)
                return 0;
        if (!is_file(c->db))
                return path_absolute("~/.agent_runtime", &c->data_dir);
        const char *slash = strrchr(c->db, '/');
        return set_string(&c->data_dir,
                          slash == c->db ? strdup("/") : strndup(c->db, (size_t) (slash - c->db)));
}

static int derive(DaemonConfig *c) {
        int r = derive_data_dir(c);

        if (r >= 0 && !c->memory_db)
                r = set_string(&c->memory_db, streq(c->db, "memory:") ? strdup(c->db)
                                              : is_file(c->db)        ? sibling(c->db, "memory.db")
                                                               : path_join(c->data_dir, "memory.db"));
        if (r >= 0 && !c->runtime_dir)
                r = set_string(&c->runtime_dir, path_join(c->data_dir, "run"));
        return r;
}

/* A socket's address has little room: better said here than as a failed bind(). */
static int check_socket(const DaemonConfig *c, char **ret_message) {
        _cleanup_free_ char *path = config_socket_path(c);

        if (!path)
                return -ENOMEM;
        if (strlen(path) < sizeof(((struct sockaddr_un *) NULL)->sun_path))
                return 0;
        if (ret_message)
                *ret_message =
                        str_printf("The path of the socket is too long: %s; set AGENTD_RUNTIME_DIR "
                                   "to a folder with a shorter name",
                                   path);
        return -EINVAL;
}

int config_load(DaemonConfig *ret, const char *const *options, const char **origins, char **ret_message) {
        _cleanup_(config_done) DaemonConfig c = {};
        const char *origin;

        for (size_t i = 0; i < config_table_size; i++) {
                int r = load_key(&c, &config_table[i], options ? options[i] : NULL, &origin,
                                 ret_message);
                if (r < 0)
                        return r;
                if (origins)
                        origins[i] = origin;
        }
        int r = derive(&c);
        if (r >= 0)
                r = check_socket(&c, ret_message);
        if (r < 0)
                return r;
        *ret = c;
        c = (DaemonConfig){};
        return 0;
}

void config_done(DaemonConfig *c) {
        for (size_t i = 0; i < config_table_size; i++) {
                const ConfigDef *k = &config_table[i];

                if (k->type == CONFIG_STRING || k->type == CONFIG_PATH)
                        free(*(char **) member(k, c));
                else if (k->type == CONFIG_LIST)
                        strv_free(*(char ***) member(k, c));
        }
        *c = (DaemonConfig){};
}

int config_index_by_env(const char *env, size_t *ret) {
        for (size_t i = 0; i < config_table_size; i++)
                if (streq(config_table[i].env, env)) {
                        *ret = i;
                        return 0;
                }
        return -EINVAL;
}

static char *join_words(char *const *list) {
        Buf b = BUF_INIT(1U << 20);

        (void) buf_puts(&b, "");
        for (char *const *w = list; w && *w; w++)
                (void) buf_printf(&b, "%s%s", w == list ? "" : " ", *w);
        char *text = buf_take(&b, NULL);
        buf_done(&b);
        return text;
}

char *config_value_to_string(const DaemonConfig *c, size_t index) {
        const ConfigDef *k = &config_table[index];
        const void *v = member_const(k, c);
        char span[64];

        switch (k->type) {
        case CONFIG_STRING:
        case CONFIG_PATH:
                return strdup(*(char *const *) v ? *(char *const *) v : "");
        case CONFIG_UINT:
        case CONFIG_SIZE:
                return str_printf("%llu", (unsigned long long) *(const uint64_t *) v);
        case CONFIG_SPAN:
                return strdup(clock_format_span(*(const usec_t *) v, span, sizeof(span)));
        case CONFIG_BOOL:
                return strdup(*(const bool *) v ? "yes" : "no");
        case CONFIG_LIST:
                return join_words(*(char **const *) v);
        }
        return NULL;
}

char *config_socket_path(const DaemonConfig *c) {
        return path_join(c->runtime_dir, "agentd.sock");
}
