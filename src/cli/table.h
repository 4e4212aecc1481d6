/* SPDX-License-Identifier: MIT */
#pragma once

/* Aligned tables, and text that is safe on a terminal. */

#include "cli/cli.h"

/* Columns a string takes on a terminal: 2 for wide characters, 0 for combining ones. s is UTF-8. */
size_t text_width(const char *s);
/* The bytes of the longest begin of s, in whole characters, that is at most so wide, and its width. */
size_t text_prefix(const char *s, size_t width, size_t *ret_width);
/* Appends as much of s as fits, with … at its end if that is not all; returns its width. */
size_t text_cut(const char *s, size_t width, Buf *out);
/* "3min", "2h", "5d": one unit, for people. */
char *text_span(usec_t span, char *buf, size_t size);
/* "1.5M"; powers of 1024. */
char *text_size(uint64_t bytes, char *buf, size_t size);

typedef struct Table {
        Cli *cli;
        struct TableCell {
                char *text;
                const char *colour;
        } * cells;
        size_t n_cells, size, n_columns;
        uint32_t right; /* columns that are aligned to the right */
} Table;

/* head: column names separated by '|'; '>' in front: aligned to the right. */
void table_init(Table *t, Cli *c, const char *head);
void table_done(Table *t);
/* The next cell, row by row. colour: an SGR code, or NULL. */
void table_add(Table *t, const char *text, const char *colour);
void table_add_number(Table *t, int64_t n);
/* Appends it to out; width 0: no limit, else wide columns but the first are cut to fit. */
void table_format(const Table *t, size_t width, Buf *out);
/* Columns of the terminal that stdout is; 0: no limit. */
size_t table_width(const Cli *c);
/* On stdout, cut to the terminal unless -o wide. */
void table_print(Table *t);
