/* SPDX-License-Identifier: MIT */
#pragma once

/* The API token that is there from the start. */

#include "contract/config-keys.h"
#include "session/session.h"

/* Makes valid what AGENT_RUNTIME_TOKEN holds, or a token of its own choice if the configuration
 * asks for one and there is none yet; the latter is shown on stderr when it is on disk. -EINVAL:
 * the variable's value is no token; it was said. The sessions must be loaded. */
int start_token_ensure(SessionManager *m, const DaemonConfig *config);
