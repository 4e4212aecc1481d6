/* SPDX-License-Identifier: MIT */

/* Loading the module, once per manager and only when a workspace is first used: libgit2 and what it
 * needs are several MiB that most daemons would carry for nothing. Where it is looked for is
 * base/module.c's; where it is installed is known to the build of this library only. */

#include "base/module.h"
#include "session/workspace-internal.h"

int workspace_module_load(const char *path, const WorkspaceModule **ret, char *error, size_t error_size) {
        static const ModuleName name = {
                .file = "agentd-workspace.so",
                .symbol = WORKSPACE_MODULE_SYMBOL,
                .version = WORKSPACE_MODULE_VERSION,
                .installed_dir = AGENTD_HELPER_DIR,
        };
        const void *module;
        int r = module_load(&name, path, &module, error, error_size);

        if (r >= 0)
                *ret = module;
        return r;
}
