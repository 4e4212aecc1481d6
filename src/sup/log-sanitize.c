/* SPDX-License-Identifier: MIT */

/* Output of agents for a terminal: cleaned as base/str.h says, and a colour ends with its line, so
 * that a run that was killed in red leaves the rest of the screen as it was. */

#include "base/str.h"
#include "sup/logs.h"

int sup_log_sanitize(const char *text, size_t n, bool keep_colour, Buf *out) {
        unsigned flags = STR_CLEAN_TABS | (keep_colour ? STR_CLEAN_COLOUR : 0);

        if (str_put_clean(out, text, n, flags))
                (void) buf_puts(out, "\x1b[0m");
        return buf_error(out);
}
