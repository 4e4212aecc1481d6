/* SPDX-License-Identifier: MIT */

/* "Did you mean …?" for misspelt keys and verbs. Levenshtein's distance over bytes, with two
 * neighbours that changed places counted as one mistake and not as two: it is the most usual slip
 * of fingers, and without it `stauts` is as near to `start` as to `status`. Names are ours and
 * ASCII, lists have some hundred entries, and a suggestion is made only after a mistake, so nothing
 * cleverer pays. The limit of 63 bytes keeps three rows on the stack and makes a hostile long word
 * cost nothing. */

#include "base/str.h"

#define DISTANCE_WORD_MAX 63

size_t str_distance(const char *a, const char *b) {
        size_t na = strnlen(a, DISTANCE_WORD_MAX + 1), nb = strnlen(b, DISTANCE_WORD_MAX + 1);
        size_t rows[3][DISTANCE_WORD_MAX + 1];

        if (na > DISTANCE_WORD_MAX || nb > DISTANCE_WORD_MAX)
                return SIZE_MAX;
        for (size_t j = 0; j <= nb; j++)
                rows[0][j] = j;
        for (size_t i = 1; i <= na; i++) {
                size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *second = rows[(i + 1) % 3];
                row[0] = i;
                for (size_t j = 1; j <= nb; j++) {
                        size_t replace = above[j - 1] + (a[i - 1] != b[j - 1]);
                        size_t edit = MIN(above[j], row[j - 1]) + 1;
                        row[j] = MIN(replace, edit);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                row[j] = MIN(row[j], second[j - 2] + 1);
                }
        }
        return rows[na % 3][nb];
}

const char *str_nearest(const char *word, const char *const *names, size_t n_names) {
        size_t length = strnlen(word, DISTANCE_WORD_MAX + 1);
        size_t best_distance = MAX((size_t) 2, length / 3) + 1;
        const char *best = NULL;

        for (size_t i = 0; i < n_names; i++) {
                size_t d = str_distance(word, names[i]);
                /* a distance as large as the word itself means that nothing is alike */
                if (d < best_distance && d < length) {
                        best = names[i];
                        best_distance = d;
                }
        }
        return best;
}
