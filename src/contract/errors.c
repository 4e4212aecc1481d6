/* SPDX-License-Identifier: MIT */

/* The table of public errors, made from errors.def.
 *
 * Code words are the promise to programs, sentences to people; both stand in one row with the HTTP
 * status and the exit status of the command line, so that none of the four can be decided twice.
 * Looking a word up is a walk over some fifty rows: it happens once per failed command in the CLI
 * and for the few errors that the HTTP server makes itself, so an index would be code without a
 * user. */

#include "contract/contract.h"

const ErrorDef error_table[_ERROR_MAX] = {
#define ERROR(id, word, status, exit, text, help) \
        [id] = { .code = (word),                  \
                 .http = (status),                \
                 .exit_status = (exit),           \
                 .sentence = (text),              \
                 .hint = (help) },
#include "contract/errors.def"
#undef ERROR
};

ErrorId error_by_code(const char *code) {
        for (unsigned i = 0; i < _ERROR_MAX; i++)
                if (streq(error_table[i].code, code))
                        return (ErrorId) i;
        return _ERROR_INVALID;
}
