/* SPDX-License-Identifier: MIT */

/* The command line: verb, options anywhere, arguments.
 *
 * Not getopt_long(): options are rows of the verb table, an unknown one should be answered with the
 * nearest that this verb knows, and no abbreviations are accepted, because a script that uses one
 * breaks when a second option begins the same way. `--` ends the options; with VERB_COMMAND the
 * first argument does as well, so that the options of an agent's command need no quoting.
 *
 * Before the verb only the options that every verb has are known. */

#include "base/str.h"
#include "cli/cli.h"

#define NAMES_MAX 128

const CliOption global_options[] = {
        { "json", 0, NULL, "print the API's JSON" },
        { "output", 'o', "wide|name|json", "all columns, only names, or JSON" },
        { "quiet", 'q', NULL, "print less: only ids of what is listed or made" },
        { "color", 0, "always|never|auto", "colours; auto (default): on a terminal" },
        { "host", 0, "HOST", "reach the daemon by TCP at this address" },
        { "port", 0, "PORT", "reach the daemon by TCP at this port" },
        { "config", 0, "FILE", "the daemon of this agentd.conf" },
        { "db", 0, "FILE", "the daemon of this database" },
        { "data-dir", 0, "DIR", "the daemon of this data folder" },
        { "runtime-dir", 0, "DIR", "the daemon of this runtime folder" },
        { "help", 'h', NULL, "show this help" },
        {},
};

typedef struct Found {
        const char *name;
        bool takes_value;
        const char *values; /* NULL: any */
} Found;

const char *option_values(const CliOption *o) {
        return o->values ? o->values : o->value && strchr(o->value, '|') ? o->value : NULL;
}

bool option_word(const char *values, size_t n, char buf[static OPTION_WORD_SIZE]) {
        for (; n > 0 && values; n--)
                values = (values = strchr(values, '|')) ? values + 1 : NULL;
        if (!values)
                return false;
        size_t length = MIN(strcspn(values, "|"), (size_t) OPTION_WORD_SIZE - 1);
        memcpy(buf, values, length);
        buf[length] = '\0';
        return true;
}

static bool find_in(const CliOption *options, const char *name, size_t n, char letter, Found *ret) {
        for (const CliOption *o = options; o && o->name; o++) {
                bool same = letter ? o->letter == letter
                                   : strncmp(o->name, name, n) == 0 && o->name[n] == '\0';
                if (!same)
                        continue;
                *ret = (Found){ o->name, o->value != NULL, option_values(o) };
                return true;
        }
        return false;
}

/* By name (of n bytes) or, if letter is not 0, by letter. */
static bool find(const Verb *v, const char *name, size_t n, char letter, Found *ret) {
        if (v && find_in(v->options, name, n, letter, ret))
                return true;
        if (find_in(global_options, name, n, letter, ret))
                return true;
        if (letter || !v || !(v->flags & VERB_CONFIG))
                return false;
        for (size_t i = 0; i < config_table_size; i++) {
                const char *option = config_table[i].option;
                if (!option || strncmp(option + 2, name, n) != 0 || option[2 + n] != '\0')
                        continue;
                *ret = (Found){ option + 2, true, NULL };
                return true;
        }
        return false;
}

static const char *nearest_option(const Verb *v, const char *word) {
        const char *names[NAMES_MAX];
        size_t n = 0;

        for (const CliOption *o = v ? v->options : NULL; o && o->name && n < NAMES_MAX; o++)
                names[n++] = o->name;
        for (const CliOption *o = global_options; o->name && n < NAMES_MAX; o++)
                names[n++] = o->name;
        for (size_t i = 0; v && v->flags & VERB_CONFIG && i < config_table_size && n < NAMES_MAX; i++)
                if (config_table[i].option)
                        names[n++] = config_table[i].option + 2;
        return str_nearest(word, names, n);
}

static int unknown_option(Cli *c, const char *word, size_t n) {
        _cleanup_free_ char *name = strndup(word, n);
        const char *nearest = name ? nearest_option(c->verb, name) : NULL;

        if (nearest)
                return cli_usage(c, "unknown option --%s, did you mean --%s?", name, nearest);
        return cli_usage(c, "unknown option --%s", name ? name : word);
}

/* A word that is none of those that may stand there, with the nearest that may. */
static int check_value(Cli *c, const Found *o, const char *value) {
        char words[16][OPTION_WORD_SIZE];
        const char *names[ELEMENTSOF(words)];
        size_t n = 0;

        if (!o->values)
                return 0;
        for (; n < ELEMENTSOF(words) && option_word(o->values, n, words[n]); n++) {
                names[n] = words[n];
                if (streq(words[n], value) || streq(words[n], "…"))
                        return 0;
        }
        const char *nearest = str_nearest(value, names, n);
        if (nearest)
                return cli_usage(c, "--%s %s: did you mean '%s'?", o->name, value, nearest);
        return cli_usage(c, "--%s %s: one of %s is expected", o->name, value, o->values);
}

static void add_value(Cli *c, const char *name, const char *value) {
        CliValue *values = reallocarray(c->values, c->n_values + 1, sizeof(*values));

        if (!values)
                cli_out_of_memory();
        values[c->n_values++] = (CliValue){ name, value ? value : "" };
        c->values = values;
}

/* argv[*i] begins with "--". */
static int parse_long(Cli *c, char **argv, size_t *i) {
        const char *word = argv[*i] + 2, *value = strchr(word, '=');
        size_t n = value ? (size_t) (value - word) : strlen(word);
        Found o;

        if (!find(c->verb, word, n, 0, &o))
                return unknown_option(c, word, n);
        if (!o.takes_value && value)
                return cli_usage(c, "--%s takes no value", o.name);
        if (o.takes_value && !value && (!argv[*i + 1] || streq(argv[*i + 1], "--")))
                return cli_usage(c, "--%s needs a value", o.name);
        const char *text = !o.takes_value ? NULL : value ? value + 1 : argv[++*i];
        add_value(c, o.name, text);
        return text ? check_value(c, &o, text) : 0;
}

/* argv[*i] is "-abc", "-n10" or "-n" with the value behind it. */
static int parse_short(Cli *c, char **argv, size_t *i) {
        for (const char *p = argv[*i] + 1; *p; p++) {
                Found o;

                if (!find(c->verb, NULL, 0, *p, &o))
                        return cli_usage(c, "unknown option -%c", *p);
                if (!o.takes_value) {
                        add_value(c, o.name, NULL);
                        continue;
                }
                const char *value = p[1] ? p + 1 : argv[*i + 1] ? argv[++*i] : NULL;
                if (!value)
                        return cli_usage(c, "-%c needs a value", *p);
                add_value(c, o.name, value);
                return check_value(c, &o, value);
        }
        return 0;
}

int cli_unknown_verb(Cli *c, const char *word) {
        const char *names[2 * NAMES_MAX];
        size_t n = 0;

        for (size_t i = 0; i < verb_table_size; i++) {
                if (verb_table[i].flags & VERB_HIDDEN)
                        continue;
                names[n++] = verb_table[i].name;
                if (verb_table[i].alias)
                        names[n++] = verb_table[i].alias;
        }
        const char *nearest = str_nearest(word, names, n);
        if (nearest)
                return cli_usage(c, "unknown verb '%s', did you mean '%s'?", word, nearest);
        return cli_usage(c, "unknown verb '%s'", word);
}

static int set_verb(Cli *c, const char *word) {
        c->verb = verb_find(word);
        return c->verb ? 0 : cli_unknown_verb(c, word);
}

int cli_unknown_action(Cli *c, const char *word, const char *const *actions, size_t n) {
        const char *nearest = str_nearest(word, actions, n);

        if (nearest)
                return cli_usage(c, "`agentd %s %s` is unknown, did you mean '%s'?", c->verb->name,
                                 word, nearest);
        return cli_usage(c, "`agentd %s %s` is unknown", c->verb->name, word);
}

/* The option, then the two variables of most programs (no-color.org, bixense.com/clicolors), then
 * the terminal. */
static void set_colour(Cli *c) {
        const char *option = cli_option(c, "color"), *force = getenv("CLICOLOR_FORCE"),
                   *wanted = getenv("CLICOLOR");

        if (option && !streq(option, "auto"))
                c->colour = streq(option, "always");
        else if (str_isempty(getenv("NO_COLOR")) && !str_isempty(force) && !streq(force, "0"))
                c->colour = true;
        else if (wanted && streq(wanted, "0"))
                c->colour = false;
}

static void set_output(Cli *c) {
        const char *output = cli_option(c, "output");

        c->json = cli_option(c, "json") || (output && streq(output, "json"));
        c->quiet = cli_option(c, "quiet") != NULL;
        c->wide = output && streq(output, "wide");
        c->names = output && streq(output, "name");
}

static int check_arguments(Cli *c) {
        if (c->n_args < c->verb->min_args)
                return cli_usage(c, "`agentd %s` needs %s", c->verb->name, c->verb->args);
        if (c->n_args > c->verb->max_args)
                return cli_usage(c, "`agentd %s` does not take the argument '%s'", c->verb->name,
                                 c->args[c->verb->max_args]);
        set_output(c);
        set_colour(c);
        return 0;
}

int cli_parse(Cli *c, int argc, char **argv, bool *ret_help) {
        size_t n = 0; /* arguments are moved to the front of argv */
        bool is_argument = false;

        c->args = argv;
        for (size_t i = 1; i < (size_t) argc; i++) {
                int r = 0;

                if (!is_argument && streq(argv[i], "--"))
                        is_argument = true;
                else if (!is_argument && str_startswith(argv[i], "--"))
                        r = parse_long(c, argv, &i);
                else if (!is_argument && argv[i][0] == '-' && argv[i][1])
                        r = parse_short(c, argv, &i);
                else if (!c->verb)
                        r = set_verb(c, argv[i]);
                else {
                        is_argument = is_argument || c->verb->flags & VERB_COMMAND;
                        argv[n++] = argv[i];
                }
                if (r != 0)
                        return r;
        }
        argv[n] = NULL;
        c->n_args = n;
        *ret_help = cli_option(c, "help") != NULL || !c->verb;
        return *ret_help ? 0 : check_arguments(c);
}

const char *cli_option(const Cli *c, const char *name) {
        for (size_t i = c->n_values; i > 0; i--)
                if (streq(c->values[i - 1].name, name))
                        return c->values[i - 1].value;
        return NULL;
}

const char *cli_option_next(const Cli *c, const char *name, size_t *cursor) {
        while (*cursor < c->n_values) {
                const CliValue *v = &c->values[(*cursor)++];
                if (streq(v->name, name))
                        return v->value;
        }
        return NULL;
}

int cli_option_number(Cli *c, const char *name, uint64_t min, uint64_t max, uint64_t *ret) {
        const char *text = cli_option(c, name);
        uint64_t n;

        if (!text)
                return 0;
        if (str_to_u64(text, &n) < 0 || n < min || n > max)
                return cli_usage(c, "--%s %s: a number from %llu to %llu is expected", name, text,
                                 (unsigned long long) min, (unsigned long long) max);
        *ret = n;
        return 0;
}
