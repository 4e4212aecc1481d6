/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the configuration: what was said about each key, before it is read. */

#include "base/ini.h"
#include "contract/config-keys.h"

/* In the order of config_table; all of it owned. */
typedef struct ConfigTexts {
        char **texts;   /* NULL: nothing was said */
        char **origins; /* DaemonConfig.sources */
        char **files;
        char *const *environment; /* instead of our own; NULL: our own. Not owned */
        unsigned flags;
        char *complaint; /* what was wrong, with CONFIG_LENIENT the first of it */
} ConfigTexts;

/* The row of DaemonConfig.file. */
size_t config_index_of_file(void);

/* ---- config.c ---- */

/* Replaces what was said about a key; copies both. NULL, NULL: nothing was said. -ENOMEM. */
int config_say(ConfigTexts *t, size_t index, const char *text, const char *origin);

/* ---- config-change.c ---- */

/* Says what config_write_json() wrote. -EINVAL, -ENOMEM. */
int config_say_json(ConfigTexts *t, JsonSpan json);

/* ---- config-read.c ---- */

/* Replaces *to by value, which is taken over. NULL: -ENOMEM. */
int config_set_string(char **to, char *value);

/* Reads text into the key's member of c. -EINVAL, -ENOMEM, or -ENOENT: `~` was used and there is no home. */
int config_read_value(const ConfigDef *k, const char *text, DaemonConfig *c);
/* "AGENT_RUNTIME_PORT=eighty: expected a number from 0 to 65535"; name: "Port=". -EINVAL, or -ENOMEM. */
int config_complain(
        const ConfigDef *k, const char *name, const char *text, int error, char **ret_message);

/* ---- config-file.c ---- */

/* Reads the file and its drop-ins. What is wrong in them: -EINVAL and t->complaint. */
int config_read_files(ConfigTexts *t, const char *path, bool must_exist);
/* What systemd says in this variable of the folder of a service named agentd; NULL: nothing. */
const char *config_service_folder(const char *variable, char *const *environment);
/* Where the file is if nobody said so; *ret stays as it is if there is no such place. */
int config_default_file(char **ret);
