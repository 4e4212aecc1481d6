/* SPDX-License-Identifier: MIT */
#pragma once

/* The environment that an agent starts with. */

#include "base/macro.h"

/* What is passed on of the daemon's own environment (environ-like vector), completed by PATH, HOME,
 * USER, LOGNAME, SHELL and TERM=dumb; then spec, then extra; later ones win. spec and extra may be
 * NULL. The result is a strv. */
int sup_environment_make(char *const *own, char *const *spec, char *const *extra, char ***ret);
