/* SPDX-License-Identifier: MIT */
#pragma once

/* Long polls: a request that waits until its session has something new. */

#include "api/api-internal.h"

/* Answers with the messages behind `after` as soon as there is one, or with [] when the time is over. */
void api_wait_for_message(ApiCall *c, uint64_t after, usec_t timeout);
/* In handlers-message.c: the messages behind c->position in c->info. */
void api_message_reply_after(ApiCall *c);
