/* SPDX-License-Identifier: MIT */

/* What is read from the databases as a whole, for somebody who is elsewhere. */

#include "api/handlers.h"
#include "api/tool.h"

static const char *flag(bool is_set, const char *name) {
        return is_set ? name : "";
}

void api_backup(ApiCall *c) {
        static const ApiToolOptions options = {
                .content_type = "application/zstd",
                .file_name = "agentd.tar.zst",
        };
        const InputBackup *in = c->in;
        const DaemonConfig *config = c->api->config.config;
        const char *const argv[] = {
                "agentd-daemon",
                "--tool=send-backup",
                config->db,
                config->memory_db,
                config->data_dir,
                flag(in->logs.v, "--logs"),
                flag(in->verify.v, "--verify"),
                NULL,
        };

        api_reply_tool(c, argv, &options);
}

void api_fsck(ApiCall *c) {
        static const ApiToolOptions options = {
                .content_type = "application/json", .also_good = 4, /* it found something: fsck(8) */
        };
        const DaemonConfig *config = c->api->config.config;
        const char *const argv[] = {
                "agentd-daemon",  "--tool=fsck", config->db, config->memory_db,
                config->data_dir, "--array",     NULL,
        };

        api_reply_tool(c, argv, &options);
}
