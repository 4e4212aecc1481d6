/* SPDX-License-Identifier: MIT */
#pragma once

/* Where the daemon's configuration comes from, and how a new one is taken up while it runs. */

#include "api/api.h"
#include "base/log.h"

typedef struct ConfigSource {
        const char *const *options; /* in the order of config_table */
        char *const *environment;   /* as it was where `agentd start` was typed; NULL: our own */
        const char *snapshot; /* file in which the configuration survives a crash; NULL: it does not */
} ConfigSource;

/* After a crash what the daemon before us ran with, else what the places say now. -EINVAL with the reason. */
int config_open(const ConfigSource *from, DaemonConfig *ret, char **ret_message);
/* Writes down what runs; what goes wrong is logged. */
void config_remember(const ConfigSource *from, const DaemonConfig *config);
/* What the places say now. */
int config_read(const ConfigSource *from, DaemonConfig *ret, char **ret_message);

LogLevel log_level_of(const DaemonConfig *config);
SessionConfig session_config_of(const DaemonConfig *config);
MemoryLimits memory_limits_of(const DaemonConfig *config);

typedef struct Reload {
        const ConfigSource *from;
        DaemonConfig *config; /* the one in effect */
        SessionManager *sessions;
        MemoryManager *memory;
        WorkspaceManager *workspace;
        SupManager *sup;
        Api *api;
} Reload;

/* ApiConfig.reload() says what it does. The service manager is told, and the log. */
int reload_config(const Reload *r,
                  DaemonConfig *ret_wanted,
                  ConfigChange changes[static CONFIG_KEYS_MAX],
                  char **ret_message);
