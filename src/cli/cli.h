/* SPDX-License-Identifier: MIT */
#pragma once

/* The command line: what every verb works with.
 *
 * A process of this program lives for one command. So text that is put together on the way belongs
 * to the Cli and is freed with it, and running out of memory ends the process: functions that
 * return text never return NULL. Functions that may fail return 0 or the exit status of the
 * program, after having said on stderr, in one line, what is wrong and what to do. */

#include "base/json.h"
#include "contract/config-keys.h"
#include "net/client.h"

enum {
        CLI_OK = 0,
        CLI_FAILURE = 1,
        CLI_USAGE = 2,
        CLI_NOT_FOUND = 3,
        CLI_NOT_RUNNING = 4,
        CLI_NOT_PERMITTED = 5,
};

typedef struct Cli Cli;

typedef struct CliOption {
        const char *name;  /* without dashes; NULL ends a list */
        char letter;       /* 0: none */
        const char *value; /* what stands for its value in the help; NULL: a switch */
        const char *doc;
        const char *values; /* all that may stand for it: "a|b", behind "…" others may; NULL:
                               `value` if it has a '|', else anything */
} CliOption;
/* As said above; NULL: anything. */
const char *option_values(const CliOption *o);
/* The n-th word of such a list into buf; false behind the last. */
#define OPTION_WORD_SIZE 32
bool option_word(const char *values, size_t n, char buf[static OPTION_WORD_SIZE]);

enum {
        VERB_COMMAND = 1 << 0, /* the first argument begins a command line: no options behind it */
        VERB_CONFIG = 1 << 1,  /* takes every option of the daemon's configuration */
        VERB_SLOW = 1 << 2,    /* the answer may take as long as an agent's end */
        VERB_HIDDEN = 1 << 3,  /* for programs: in no list */
};

typedef struct Verb {
        const char *name;
        const char *alias; /* or NULL */
        const char *group; /* heading in the help */
        const char *args;  /* "SESSION [TEXT]"; "" for none */
        size_t min_args, max_args;
        unsigned flags;
        const CliOption *options; /* its own; NULL: none */
        const char *summary;
        const char *notes; /* more lines for `VERB --help`, or NULL */
        const char *example;
        int (*run)(Cli *c);
} Verb;

extern const Verb verb_table[];
extern const size_t verb_table_size;
/* By name or alias; NULL. */
const Verb *verb_find(const char *name);
/* Options that every verb takes, those of the daemon's folder and address among them. */
extern const CliOption global_options[];

typedef struct CliValue {
        const char *name;  /* as declared */
        const char *value; /* NULL: a switch */
} CliValue;

struct Cli {
        const Verb *verb;
        char **args; /* positional, NULL-terminated; points into argv */
        size_t n_args;
        CliValue *values;
        size_t n_values;

        bool json, quiet, wide, names;         /* --json, -q, -o wide, -o name */
        bool colour, terminal;                 /* of stdout */
        usec_t now;                            /* realtime at the start: one command, one "now" */
        const char *session_id, *session_name; /* the one that was looked up last, or NULL */
        char *progress; /* "3 of 20": where a command of many requests is, or NULL */

        DaemonConfig config;
        char *socket_path;  /* NULL: by TCP */
        const char *url;    /* NULL: by the socket */
        HttpClient *client; /* made by the first request */
        char **kept;        /* text that lives as long as the Cli */
        size_t n_kept, kept_size;
};

void cli_init(Cli *c);
void cli_done(Cli *c);
/* Reads the configuration and decides how the daemon is reached. Only `agentd start` fails because
 * of a wrong configuration file; other verbs say so and go on with what is right in it. */
int cli_configure(Cli *c);
/* The options that were given, in the order of config_table, for config_load(); free() the vector, not the texts. */
const char **cli_config_options(const Cli *c);

/* ---- the command ---- */

/* Sets verb, args and values; *ret_help if help was asked for (then nothing was checked). */
int cli_parse(Cli *c, int argc, char **argv, bool *ret_help);
/* The value of an option (of a switch: ""), the last one if it was given several times, or NULL. */
const char *cli_option(const Cli *c, const char *name);
/* All values in order; start with *cursor = 0; NULL at the end. */
const char *cli_option_next(const Cli *c, const char *name, size_t *cursor);
/* A number from min to max. *ret is untouched if the option was not given. */
int cli_option_number(Cli *c, const char *name, uint64_t min, uint64_t max, uint64_t *ret);
/* http://ADDRESS:PORT as something on this machine can use it: 0.0.0.0 is where a daemon listens,
 * and 127.0.0.1 is where it is reached. */
char *cli_local_url(Cli *c, uint64_t port);
/* A word that is no verb, with the nearest that is; returns CLI_USAGE. */
int cli_unknown_verb(Cli *c, const char *word);
/* A wrong action of the verb ("memory put"), with the nearest of those it has; returns CLI_USAGE. */
int cli_unknown_action(Cli *c, const char *word, const char *const *actions, size_t n);
void help_print(void);
void help_print_verb(const Verb *v);

/* ---- the daemon that was meant (where.c) ---- */

/* Does the option (without dashes) say which daemon is meant? */
bool where_is_place(const char *option);
/* Those that were given, for a command to type next: " --db /home/me/state.db", "" for none. */
char *where_options(Cli *c);
/* The same as "export AGENT_RUNTIME_DB=/home/me/state.db", "" for none. */
char *where_exports(Cli *c);

/* ---- saying things ---- */

/* "agentd: …" (or what begins with "agentd " itself) on stderr, one line, control characters shown;
 * returns status. */
int cli_error(Cli *c, int status, const char *format, ...) _printf_(3, 4);
/* A wrong command line: adds where the help is; returns CLI_USAGE. */
int cli_usage(Cli *c, const char *format, ...) _printf_(2, 3);
/* On stderr unless --quiet: what is worth knowing beside the answer. */
void cli_note(Cli *c, const char *format, ...) _printf_(2, 3);
/* A line on stdout unless --quiet or --json, control characters shown. */
void cli_say(Cli *c, const char *format, ...) _printf_(2, 3);
_Noreturn void cli_out_of_memory(void);

/* Text that lives as long as c. */
char *cli_text(Cli *c, const char *format, ...) _printf_(2, 3);
/* The same for memory that was allocated elsewhere; NULL ends the process. */
char *cli_keep(Cli *c, char *s);
/* What a buffer holds, its errors being want of memory; the buffer is empty afterwards. */
char *cli_take(Cli *c, Buf *b);

/* For commands that run on: what was made since the mark is freed, so that time costs no memory. */
size_t cli_mark(const Cli *c);
void cli_release(Cli *c, size_t mark);

/* SGR code around s if stdout is a terminal; "" as code: none. */
char *cli_paint(Cli *c, const char *code, const char *s);
/* Colour of a session's status, "" for none. */
const char *cli_status_colour(const char *status);

/* ---- JSON members as text; "" for what is absent or null ---- */

char *cli_value(Cli *c, JsonSpan v);
char *cli_member(Cli *c, JsonSpan object, const char *name);
/* A message's content as text: of an array of blocks the texts, and the kinds of the others. */
char *cli_content(Cli *c, JsonSpan content);
/* 0 if it is absent, null or no number. */
int64_t cli_number(JsonSpan object, const char *name);
/* 0 if it is absent, null or no time. */
usec_t cli_time(JsonSpan object, const char *name);
/* "3min ago", "in 5s", "" for 0. */
char *cli_ago(Cli *c, usec_t t);
/* A time as people write it: a span ago (`5min`), a whole time, or the clock's (`14:39`, `14:39:50`) of
 * the last 24 hours, in UTC as everything is printed. Another text: a usage error that names the option. */
int cli_time_option(Cli *c, const char *option, const char *text, usec_t *ret);
/* Text in a JSON string's place: JSON if it is JSON, else a string of it. */
void cli_write_value(JsonWriter *w, const char *text, bool as_string);
/* Prints JSON with a newline: as it is, or indented for people. */
void cli_print_json(JsonSpan v);
/* A value for people: objects and arrays indented, text as text (made safe on a terminal only,
 * since a script wants the bytes). */
void cli_print_value(Cli *c, JsonSpan v);
/* "a=1, b=x": the members of an object that are not null. */
char *cli_pairs(Cli *c, JsonSpan object);
void cli_print_json_pretty(JsonSpan v);
