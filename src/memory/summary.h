/* SPDX-License-Identifier: MIT */
#pragma once

/* A model's summary of a stretch of a conversation: the request to an OpenAI-compatible
 * `POST …/chat/completions`, and the checking of what comes back. Nothing is sent here and nothing
 * stored: who calls has the endpoint, asks once more when an answer is refused, and then takes
 * memory/extract.h instead. Any thread. */

#include "base/clock.h"
#include "memory/extract.h"

typedef enum SummaryKind {
        SUMMARY_FACT,
        SUMMARY_DECISION,
        SUMMARY_PREFERENCE,
        SUMMARY_TASK,
        SUMMARY_PROCEDURE,
        SUMMARY_EPISODE,
        _SUMMARY_KIND_MAX,
} SummaryKind;

const char *summary_kind_to_string(SummaryKind kind);

typedef struct SummaryFact {
        char *text;                /* self-contained, not empty */
        char *subject, *attribute; /* NULL: not said */
        SummaryKind kind;
        uint64_t *sources; /* ids of turns, in their order, each once; 0: the earlier summary */
        size_t n_sources;  /* at least one */
        double confidence; /* 0 to 1; 0.5 when it was not said */
} SummaryFact;

typedef struct Summary {
        char *text;          /* not empty, shorter than what it is of */
        char **lookup_terms; /* NULL-terminated, never NULL; words of the source */
        SummaryFact *facts;
        size_t n_facts;
} Summary;

typedef struct SummaryRequest {
        const char *model;    /* its name */
        const char *previous; /* the earlier summary, to be taken up in the new one; NULL: none */
        usec_t now;           /* realtime, for words like "tomorrow"; 0: not said */
        size_t turn_max;      /* bytes of a turn that are shown; 0: 4000 */
        unsigned tokens_max;  /* of the answer; 0: not sent */
        bool no_json_mode;    /* do not send response_format, for servers that refuse it */
} SummaryRequest;

/* Appends the request's JSON body. Turns of the role "system" and empty ones are left out. The Buf's error. */
int summary_write_request(const SummaryRequest *q, const ExtractTurn *turns, size_t n, Buf *body);

/* Reads the body of a 200 answer to the request of these turns. 0; -ENOMEM; or -EPROTO with
 * *ret_message, for people and for the log, when the answer is of no use: no JSON where it should
 * be, cut off, empty, not shorter than the input, sources outside of the turns, or more than a
 * fifth of its identifiers not in the source. */
int summary_read_answer(const SummaryRequest *q,
                        const ExtractTurn *turns,
                        size_t n,
                        const char *body,
                        size_t size,
                        Summary *ret,
                        const char **ret_message);
void summary_done(Summary *s);
#define _cleanup_summary_ _cleanup_(summary_done)
