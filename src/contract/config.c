/* SPDX-License-Identifier: MIT */

/* From the table of keys to the struct: what was said about each key is collected first, from the least
 * to the most particular place (files, environment, options), then the last word of each is read. What a key
 * derives from others (data folder, runtime folder, memory.db) comes after all texts were read.
 *
 * A wrong value stops the start: a daemon that silently uses another database or another port than
 * it was told is worse than none. Messages name where the value came from, the value, and what is
 * allowed. */

#include <stdio.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/str.h"
#include "contract/config-internal.h"

static void *member(const ConfigDef *k, DaemonConfig *c) {
        return (uint8_t *) c + k->offset;
}

static const void *member_const(const ConfigDef *k, const DaemonConfig *c) {
        return (const uint8_t *) c + k->offset;
}

/* ---- what was said ---- */

static void free_each(char **texts) {
        for (size_t i = 0; texts && i < config_table_size; i++)
                free(texts[i]);
        free(texts);
}

static void texts_done(ConfigTexts *t) {
        free_each(t->texts);
        free_each(t->origins);
        strv_free(t->files);
        free(t->complaint);
}

static int texts_init(ConfigTexts *t, unsigned flags) {
        *t = (ConfigTexts){
                .texts = calloc(config_table_size, sizeof(char *)),
                .origins = calloc(config_table_size, sizeof(char *)),
                .flags = flags,
        };
        return t->texts && t->origins ? 0 : -ENOMEM;
}

int config_say(ConfigTexts *t, size_t index, const char *text, const char *origin) {
        _cleanup_free_ char *text_copy = text ? strdup(text) : NULL;
        _cleanup_free_ char *origin_copy = origin ? strdup(origin) : NULL;

        if ((text && !text_copy) || (origin && !origin_copy))
                return -ENOMEM;
        free(t->texts[index]);
        free(t->origins[index]);
        t->texts[index] = TAKE_PTR(text_copy);
        t->origins[index] = TAKE_PTR(origin_copy);
        return 0;
}

static int say_from(ConfigTexts *t, size_t index, const char *text, const char *place, const char *name) {
        _cleanup_free_ char *origin = str_printf("%s %s", place, name);

        return origin ? config_say(t, index, text, origin) : -ENOMEM;
}

/* What the environment or an option says about one key, if anything. */
static int hear(ConfigTexts *t, size_t i, const char *const *options) {
        const ConfigDef *k = &config_table[i];
        const char *env = t->environment ? strv_env_get(t->environment, k->env) : getenv(k->env);
        int r = 0;

        if (!str_isempty(env))
                r = say_from(t, i, env, "environment", k->env);
        if (r >= 0 && options && options[i])
                r = say_from(t, i, options[i], "option", k->option);
        return r;
}

size_t config_index_of_file(void) {
        for (size_t i = 0; i < config_table_size; i++)
                if (config_table[i].offset == offsetof(DaemonConfig, file))
                        return i;
        assert(false);
        return 0;
}

static int hear_files(ConfigTexts *t, const char *const *options, DaemonConfig *c) {
        size_t i = config_index_of_file();
        _cleanup_free_ char *path = NULL;

        int r = hear(t, i, options);
        if (r >= 0 && t->texts[i])
                r = path_absolute(t->texts[i], &path);
        else if (r >= 0)
                r = config_default_file(&path);
        if (r < 0 && r != -ENOENT)
                return r;
        if (!path) /* no home, and no other place was named */
                return 0;
        r = config_read_files(t, path, t->texts[i] != NULL);
        c->file = TAKE_PTR(path);
        return r;
}

/* The folders that a service manager made for us are a better default than the built-in one. */
static int hear_service(ConfigTexts *t) {
        static const struct {
                const char *variable, *key, *name;
        } folders[] = {
                { "STATE_DIRECTORY", "AGENT_RUNTIME_DB", "/state.db" },
                { "RUNTIME_DIRECTORY", "AGENTD_RUNTIME_DIR", "" },
        };
        int r = 0;

        for (size_t n = 0; n < ELEMENTSOF(folders) && r >= 0; n++) {
                const char *folder = config_service_folder(folders[n].variable, t->environment);
                _cleanup_free_ char *path =
                        folder ? str_printf("%s%s", folder, folders[n].name) : NULL;
                size_t i = 0;

                if (!folder)
                        continue;
                (void) config_index_by_env(folders[n].key, &i);
                r = path ? say_from(t, i, path, "environment", folders[n].variable) : -ENOMEM;
        }
        return r;
}

#define SERVICE_RUNTIME "environment RUNTIME_DIRECTORY"

/* ---- an option that names another database ---- */

static bool is_same_path(const char *one, const char *other) {
        _cleanup_free_ char *a = NULL, *b = NULL;

        return streq(one, other) ||
               (path_absolute(one, &a) >= 0 && path_absolute(other, &b) >= 0 && streq(a, b));
}

/* Another database than the files' is another daemon: the places that they name for what belongs to
 * theirs would make a client talk to the wrong one, and a daemon use the other's. */
static int forget_other_places(ConfigTexts *t, size_t db, const char *db_of_files) {
        static const char *const places[] = { "AGENT_RUNTIME_MEMORY_DB", "AGENTD_DATA_DIR",
                                              "AGENTD_RUNTIME_DIR" };
        size_t i = 0;

        if (!t->origins[db] || !str_startswith(t->origins[db], "option ") ||
            is_same_path(t->texts[db], db_of_files))
                return 0;
        for (size_t n = 0; n < ELEMENTSOF(places); n++) {
                (void) config_index_by_env(places[n], &i);
                bool is_of_other = t->origins[i] && (t->origins[i][0] == '/' ||
                                                     streq(t->origins[i], SERVICE_RUNTIME));
                int r = is_of_other ? config_say(t, i, NULL, NULL) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int hear_all(ConfigTexts *t, const char *const *options, DaemonConfig *c) {
        _cleanup_free_ char *db_of_files = NULL;
        size_t db = 0;

        (void) config_index_by_env("AGENT_RUNTIME_DB", &db);
        int r = hear_service(t);
        if (r >= 0)
                r = hear_files(t, options, c);
        if (r >= 0) {
                db_of_files = strdup(t->texts[db] ? t->texts[db] : config_table[db].fallback);
                r = db_of_files ? 0 : -ENOMEM;
        }
        for (size_t i = 0; i < config_table_size && r >= 0; i++)
                r = hear(t, i, options);
        return r < 0 ? r : forget_other_places(t, db, db_of_files);
}

/* ---- from texts to values ---- */

/* "Port=", "AGENT_RUNTIME_PORT=", "--port ", as the value was written; files were checked before. */
static char *name_of_place(const ConfigDef *k, const char *origin) {
        if (str_startswith(origin, "option "))
                return str_printf("%s ", k->option);
        return str_printf("%s=", k->env);
}

static int take_text(ConfigTexts *t, size_t i, DaemonConfig *c) {
        const ConfigDef *k = &config_table[i];

        if (!t->origins[i]) {
                t->origins[i] = strdup("default");
                if (!t->origins[i])
                        return -ENOMEM;
        }
        const char *text = t->texts[i] ? t->texts[i] : k->fallback;
        if (!text)
                return 0;
        int r = config_read_value(k, text, c);
        if (r >= 0)
                return 0;
        _cleanup_free_ char *name = name_of_place(k, t->origins[i]);
        return name ? config_complain(k, name, text, r, &t->complaint) : -ENOMEM;
}

static bool is_file(const char *db) {
        return !strstr(db, "://") && !streq(db, "memory:");
}

static char *sibling(const char *path, const char *name) {
        const char *slash = strrchr(path, '/');

        return str_printf("%.*s/%s", slash ? (int) (slash - path) : 0, path, name);
}

static int derive_data_dir(DaemonConfig *c, char **complaint) {
        static const char fallback[] = "~/.agent_runtime";

        assert(c->db); /* has a default */
        if (c->data_dir)
                return 0;
        if (!is_file(c->db)) {
                size_t i = 0;
                (void) config_index_by_env("AGENTD_DATA_DIR", &i);
                int r = path_absolute(fallback, &c->data_dir);
                return r < 0 ? config_complain(&config_table[i], "", fallback, r, complaint) : 0;
        }
        const char *slash = strrchr(c->db, '/');
        return config_set_string(&c->data_dir, slash == c->db
                                                       ? strdup("/")
                                                       : strndup(c->db, (size_t) (slash - c->db)));
}

static int derive(DaemonConfig *c, char **complaint) {
        int r = derive_data_dir(c, complaint);

        if (r >= 0 && !c->memory_db)
                r = config_set_string(&c->memory_db, streq(c->db, "memory:") ? strdup(c->db)
                                                     : is_file(c->db)
                                                             ? sibling(c->db, "memory.db")
                                                             : path_join(c->data_dir, "memory.db"));
        if (r >= 0 && !c->runtime_dir)
                r = config_set_string(&c->runtime_dir, path_join(c->data_dir, "run"));
        return r;
}

/* A socket's address has little room: better said here than as a failed bind(). */
static int check_socket(const DaemonConfig *c, char **complaint) {
        _cleanup_free_ char *path = config_socket_path(c);

        if (!path)
                return -ENOMEM;
        if (strlen(path) < sizeof(((struct sockaddr_un *) NULL)->sun_path))
                return 0;
        free(*complaint);
        *complaint = str_printf("The path of the socket is too long: %s; set AGENTD_RUNTIME_DIR "
                                "to a folder with a shorter name",
                                path);
        return -EINVAL;
}

/* From what was said to values; *ret is set if all of it is right. */
static int settle(DaemonConfig *ret, DaemonConfig *c, ConfigTexts *t) {
        int r = 0;

        for (size_t i = 0; i < config_table_size && r >= 0; i++)
                r = take_text(t, i, c);
        if (r >= 0)
                r = derive(c, &t->complaint);
        if (r >= 0)
                r = check_socket(c, &t->complaint);
        if (r < 0)
                return r;
        c->sources = TAKE_PTR(t->origins);
        c->files = TAKE_PTR(t->files);
        *ret = *c;
        *c = (DaemonConfig){};
        return 0;
}

int config_load_from(DaemonConfig *ret,
                     const char *const *options,
                     char *const *environment,
                     unsigned flags,
                     char **ret_message) {
        _cleanup_(config_done) DaemonConfig c = {};
        _cleanup_(texts_done) ConfigTexts t = {};

        int r = texts_init(&t, flags);
        t.environment = environment;
        if (r >= 0)
                r = hear_all(&t, options, &c);
        if (r >= 0)
                r = settle(ret, &c, &t);
        if (ret_message && t.complaint)
                *ret_message = TAKE_PTR(t.complaint);
        return r;
}

int config_load(DaemonConfig *ret, const char *const *options, unsigned flags, char **ret_message) {
        return config_load_from(ret, options, NULL, flags, ret_message);
}

int config_load_json(DaemonConfig *ret, JsonSpan json) {
        _cleanup_(config_done) DaemonConfig c = {};
        _cleanup_(texts_done) ConfigTexts t = {};

        int r = texts_init(&t, 0);
        if (r >= 0)
                r = config_say_json(&t, json);
        return r < 0 ? r : settle(ret, &c, &t);
}

void config_done(DaemonConfig *c) {
        for (size_t i = 0; i < config_table_size; i++) {
                const ConfigDef *k = &config_table[i];

                if (k->type == CONFIG_STRING || k->type == CONFIG_PATH)
                        free(*(char **) member(k, c));
                else if (k->type == CONFIG_LIST)
                        strv_free(*(char ***) member(k, c));
        }
        free_each(c->sources);
        strv_free(c->files);
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

/* For people if that says all of it: it has two units at most. */
static char *span_to_string(usec_t v) {
        char text[64];
        usec_t again;

        (void) clock_format_span(v, text, sizeof(text));
        if (clock_parse_span(text, &again) >= 0 && again == v)
                return strdup(text);
        return str_printf("%llu.%06llus", (unsigned long long) (v / USEC_PER_SEC),
                          (unsigned long long) (v % USEC_PER_SEC));
}

char *config_value_to_string(const DaemonConfig *c, size_t index) {
        const ConfigDef *k = &config_table[index];
        const void *v = member_const(k, c);

        switch (k->type) {
        case CONFIG_STRING:
        case CONFIG_PATH:
                return strdup(*(char *const *) v ? *(char *const *) v : "");
        case CONFIG_UINT:
        case CONFIG_SIZE:
                return str_printf("%llu", (unsigned long long) *(const uint64_t *) v);
        case CONFIG_SPAN:
                return span_to_string(*(const usec_t *) v);
        case CONFIG_BOOL:
                return strdup(*(const bool *) v ? "yes" : "no");
        case CONFIG_LIST:
                return join_words(*(char **const *) v);
        }
        return NULL;
}

const char *config_unit(const ConfigDef *k) {
        static const char *const units[] = {
                [CONFIG_STRING] = "text", [CONFIG_PATH] = "path", [CONFIG_UINT] = "number",
                [CONFIG_SIZE] = "bytes",  [CONFIG_SPAN] = "time", [CONFIG_BOOL] = "yes or no",
                [CONFIG_LIST] = "words",
        };

        return units[k->type];
}

char *config_socket_path(const DaemonConfig *c) {
        return path_join(c->runtime_dir, "agentd.sock");
}
