/* SPDX-License-Identifier: MIT */

/* agentd.conf and its drop-ins: which files there are, and what they say about which key.
 *
 * A file that anybody may write to is refused, and so is a drop-in folder of that kind: whoever can
 * change where the database is and who needs a token owns the daemon. Relative paths are refused as
 * well: the daemon runs in another folder than the person who edits the file.
 *
 * The default place is the first that fits of few, never a merge of several: with two files that
 * both count nobody knows which one to edit. Reading /etc/agentd for everybody was rejected; its
 * folders are the system service's, which an ordinary user may not write to, so his own `agentd
 * start` would fail. */

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "contract/config-internal.h"

#define FILE_NAME     "agentd.conf"
#define SYSTEM_FOLDER "/etc/agentd"
#define FILE_MAX      ((size_t) 1 << 20)
#define NAMES_MAX     128

typedef struct Reading {
        ConfigTexts *texts;
        const char *path;
} Reading;

/* ---- what is wrong ---- */

/* Takes the message over. With CONFIG_LENIENT the first one is kept and reading goes on. */
static int refuse(const Reading *f, unsigned line, char *message) {
        _cleanup_free_ char *text = message;
        ConfigTexts *t = f->texts;

        if (!text)
                return -ENOMEM;
        if (!t->complaint) {
                t->complaint = line > 0 ? str_printf("%s:%u: %s", f->path, line, text)
                                        : str_printf("%s: %s", f->path, text);
                if (!t->complaint)
                        return -ENOMEM;
        }
        return t->flags & CONFIG_LENIENT ? 0 : -EINVAL;
}

static const char *nearest_section(const char *word) {
        const char *names[NAMES_MAX];
        size_t n = 0;

        for (size_t i = 0; i < config_table_size && n < NAMES_MAX; i++)
                if (config_table[i].section)
                        names[n++] = config_table[i].section;
        return str_nearest(word, names, n);
}

/* NULL section: of all. */
static const char *nearest_key(const char *section, const char *word) {
        const char *names[NAMES_MAX];
        size_t n = 0;

        for (size_t i = 0; i < config_table_size && n < NAMES_MAX; i++)
                if (config_table[i].section && (!section || streq(config_table[i].section, section)))
                        names[n++] = config_table[i].name;
        return str_nearest(word, names, n);
}

static int unknown_section(const Reading *f, const IniEntry *e) {
        const char *nearest = nearest_section(e->section);

        return refuse(f, e->line,
                      nearest ? str_printf("unknown section [%s], did you mean [%s]?", e->section,
                                           nearest)
                              : str_printf("unknown section [%s]", e->section));
}

static const ConfigDef *find_key_anywhere(const char *name) {
        for (size_t i = 0; i < config_table_size; i++)
                if (config_table[i].section && streq(config_table[i].name, name))
                        return &config_table[i];
        return NULL;
}

static int unknown_key(const Reading *f, const IniEntry *e) {
        const ConfigDef *elsewhere = find_key_anywhere(e->key);
        const char *nearest = nearest_key(e->section, e->key);

        if (elsewhere)
                return refuse(
                        f, e->line,
                        str_printf("%s= belongs to the section [%s]", e->key, elsewhere->section));
        if (*e->section == '\0')
                return refuse(f, e->line,
                              str_printf("%s= stands before the first [Section]", e->key));
        return refuse(f, e->line,
                      nearest ? str_printf("unknown key %s= in [%s], did you mean %s=?", e->key,
                                           e->section, nearest)
                              : str_printf("unknown key %s= in [%s]", e->key, e->section));
}

/* ---- entries ---- */

static bool is_section(const char *name) {
        for (size_t i = 0; i < config_table_size; i++)
                if (streq_ptr(config_table[i].section, name))
                        return true;
        return false;
}

static bool find_key(const IniEntry *e, size_t *ret) {
        for (size_t i = 0; i < config_table_size; i++)
                if (streq_ptr(config_table[i].section, e->section) &&
                    streq(config_table[i].name, e->key)) {
                        *ret = i;
                        return true;
                }
        return false;
}

/* The reader left it as it is if it is a URL or one of the key's words. */
static bool is_relative(const ConfigDef *k, const char *text, const DaemonConfig *c) {
        const void *member = (const uint8_t *) c + k->offset;

        return k->type == CONFIG_PATH && text[0] != '/' && text[0] != '~' &&
               !streq_ptr(*(char *const *) member, text);
}

/* 0; 1: it is wrong and to be left out; or -EINVAL or -ENOMEM. */
static int check_value(const Reading *f, const ConfigDef *k, const IniEntry *e) {
        _cleanup_(config_done) DaemonConfig scratch = {};
        _cleanup_free_ char *name = str_printf("%s=", e->key), *message = NULL;

        if (!name)
                return -ENOMEM;
        int r = config_read_value(k, e->value, &scratch);
        if (r < 0)
                r = config_complain(k, name, e->value, r, &message);
        else if (is_relative(k, e->value, &scratch)) {
                message = str_printf("%s%s: a path in a file is absolute or begins with ~/", name,
                                     e->value);
                r = message ? -EINVAL : -ENOMEM;
        }
        if (r != -EINVAL)
                return r;
        r = refuse(f, e->line, TAKE_PTR(message));
        return r < 0 ? r : 1;
}

/* A list grows, anything else is replaced; an empty value takes back what files said. */
static int take_value(const Reading *f, size_t index, const IniEntry *e) {
        ConfigTexts *t = f->texts;
        _cleanup_free_ char *origin = NULL, *joined = NULL;
        const char *before = t->texts[index], *value = e->value;

        if (*value == '\0')
                return config_say(t, index, NULL, NULL);
        origin = str_printf("%s:%u", f->path, e->line);
        if (config_table[index].type == CONFIG_LIST && before) {
                joined = str_printf("%s %s", before, value);
                value = joined;
        }
        return origin && value ? config_say(t, index, value, origin) : -ENOMEM;
}

static int on_entry(const IniEntry *e, void *userdata) {
        const Reading *f = userdata;
        size_t index;

        if (!e->key)
                return is_section(e->section) ? 0 : unknown_section(f, e);
        /* Keys of an unknown section: its header was complained about. */
        if (*e->section != '\0' && !is_section(e->section))
                return 0;
        if (!find_key(e, &index))
                return unknown_key(f, e);
        if (*e->value != '\0') {
                int r = check_value(f, &config_table[index], e);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return take_value(f, index, e);
}

/* ---- files ---- */

static int check_mode(const Reading *f, const struct stat *st) {
        if (!S_ISREG(st->st_mode))
                return refuse(f, 0, strdup("this is no file"));
        if (st->st_mode & S_IWOTH)
                return refuse(f, 0,
                              str_printf("everybody may write to this file; chmod o-w %s", f->path));
        return 0;
}

static int read_text(const Reading *f, char **ret, size_t *ret_n) {
        /* Not to hang on a FIFO. */
        _cleanup_close_ int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return errno_neg();
        int r = check_mode(f, &st);
        if (r < 0 || !S_ISREG(st.st_mode))
                return r;
        r = fd_read_all(fd, FILE_MAX, ret, ret_n);
        return r < 0 ? r : 1;
}

static int read_one(ConfigTexts *t, const char *path, bool must_exist) {
        _cleanup_free_ char *text = NULL;
        Reading f = { .texts = t, .path = path };
        IniError error = {};
        size_t n = 0;

        int r = read_text(&f, &text, &n);
        if (r == -ENOENT && !must_exist)
                return 0;
        if (r < 0 && r != -EINVAL && r != -ENOMEM)
                return refuse(&f, 0, str_printf("cannot be read: %s", strerror(-r)));
        if (r <= 0)
                return r;
        r = ini_parse(text, n, on_entry, &f, &error);
        if (r == -EINVAL && error.reason)
                r = refuse(&f, error.line, strdup(error.reason));
        return r < 0 ? r : strv_extend(&t->files, path);
}

static int is_drop_in(const struct dirent *d) {
        size_t n = strlen(d->d_name);

        return d->d_name[0] != '.' && n > 5 && streq(d->d_name + n - 5, ".conf");
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_folder(ConfigTexts *t, const char *folder) {
        Reading f = { .texts = t, .path = folder };
        struct dirent **names = NULL;
        struct stat st;

        if (stat(folder, &st) < 0)
                return errno == ENOENT
                               ? 0
                               : refuse(&f, 0, str_printf("cannot be read: %s", strerror(errno)));
        if (S_ISDIR(st.st_mode) && st.st_mode & S_IWOTH)
                return refuse(&f, 0,
                              str_printf("everybody may write to this folder; chmod o-w %s", folder));
        int n = scandir(folder, &names, is_drop_in, by_bytes);
        if (n < 0)
                return refuse(&f, 0, str_printf("cannot be read: %s", strerror(errno)));
        int r = 0;
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = path_join(folder, names[i]->d_name);
                if (r >= 0)
                        r = path ? read_one(t, path, false) : -ENOMEM;
                free(names[i]);
        }
        free(names);
        return r;
}

int config_read_files(ConfigTexts *t, const char *path, bool must_exist) {
        _cleanup_free_ char *folder = str_printf("%s.d", path);

        if (!folder)
                return -ENOMEM;
        int r = read_one(t, path, must_exist);
        return r < 0 ? r : read_folder(t, folder);
}

/* systemd names all of a service's folders, separated by colons; another service's are not ours. */
const char *config_service_folder(const char *variable, char *const *environment) {
        const char *folder = environment ? strv_env_get(environment, variable) : getenv(variable);
        const char *slash = folder ? strrchr(folder, '/') : NULL;

        return slash && folder[0] == '/' && streq(slash, "/agentd") && !strchr(folder, ':') ? folder
                                                                                            : NULL;
}

int config_default_file(char **ret) {
        const char *service = config_service_folder("CONFIGURATION_DIRECTORY", NULL);
        _cleanup_free_ char *home = NULL;
        char *path;

        int r = service ? 0 : path_absolute("~/.agent_runtime/" FILE_NAME, &home);
        if (r == -ENOMEM)
                return r;
        bool is_system = !service && geteuid() == 0 && (!home || access(home, F_OK) < 0) &&
                         access(SYSTEM_FOLDER "/" FILE_NAME, F_OK) >= 0;
        if (service)
                path = path_join(service, FILE_NAME);
        else if (is_system)
                path = strdup(SYSTEM_FOLDER "/" FILE_NAME);
        else if (home)
                path = TAKE_PTR(home);
        else
                return 0;
        if (!path)
                return -ENOMEM;
        *ret = path;
        return 0;
}
