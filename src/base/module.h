/* SPDX-License-Identifier: MIT */
#pragma once

/* Modules: parts of a program in a shared object of their own, loaded when they are first needed,
 * because what they bring along costs memory that most processes would carry for nothing. A module
 * exports one symbol, a table of functions that begins with `unsigned version`. */

#include "base/macro.h"

typedef struct ModuleName {
        const char *file;          /* "agentd-fetch.so" */
        const char *symbol;        /* "fetch_module" */
        unsigned version;          /* that the table must have */
        const char *installed_dir; /* looked in when it does not lie beside the program */
} ModuleName;

/* path: the file itself, or NULL: beside the program and then the installed place. -ENOENT: there
 * is none, -ELIBACC: it cannot be loaded, -ELIBBAD: it is of another version; error then says so
 * for people. Modules are never unloaded. Any thread. */
int module_load(
        const ModuleName *name, const char *path, const void **ret, char *error, size_t error_size);
