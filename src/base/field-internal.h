/* SPDX-License-Identifier: MIT */
#pragma once

/* What the field files share. */

#include "base/field.h"

#define FIELD_ID_PATTERN "^[0-9a-f]{16}$"

/* The limits of a row. max below min means that there is only a minimum. */
static inline bool field_has_min(const FieldDef *f) {
        return f->min != 0 || f->max != 0;
}

static inline bool field_has_max(const FieldDef *f) {
        return field_has_min(f) && f->max >= f->min;
}

/* One of the words of f->values. Start with *cursor = f->values; false at the end. */
bool field_next_word(const char **cursor, const char **ret_word, size_t *ret_n);
