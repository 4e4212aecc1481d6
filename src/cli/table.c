/* SPDX-License-Identifier: MIT */

/* Aligned tables. All cells are collected first, because a column is as wide as its widest cell;
 * the daemon's lists come whole anyway. On a terminal that is too narrow the widest columns are
 * cut, never the first one, which names the row; into a pipe nothing is cut, whatever its width. */

#include "cli/table.h"

#include <stdio.h>
#include <sys/ioctl.h>

#include "base/str.h"

#define COLUMNS_MAX     16
#define COLUMN_SHRUNK   8
#define TABLE_BYTES_MAX ((size_t) 1024 * 1024 * 1024)

/* NOLINTNEXTLINE(readability-non-const-parameter): text is taken over */
static void add(Table *t, char *text, const char *colour) {
        if (t->n_cells == t->size) {
                size_t size = t->size ? 2 * t->size : 256;
                struct TableCell *cells = reallocarray(t->cells, size, sizeof(*cells));
                if (!cells)
                        cli_out_of_memory();
                t->cells = cells;
                t->size = size;
        }
        t->cells[t->n_cells++] = (struct TableCell){ text, colour };
}

void table_init(Table *t, Cli *c, const char *head) {
        *t = (Table){ .cli = c };
        while (*head) {
                size_t n = strcspn(head, "|");

                if (*head == '>') {
                        t->right |= 1U << t->n_columns;
                        head++;
                        n--;
                }
                char *name = strndup(head, n);
                if (!name)
                        cli_out_of_memory();
                add(t, name, "1");
                t->n_columns++;
                head += head[n] ? n + 1 : n;
        }
        assert(t->n_columns > 0 && t->n_columns <= COLUMNS_MAX);
}

void table_done(Table *t) {
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        *t = (Table){};
}

void table_add(Table *t, const char *text, const char *colour) {
        Buf b = BUF_INIT(TABLE_BYTES_MAX);

        (void) str_put_clean(&b, text, strlen(text), 0);
        if (buf_append(&b, "", 0) < 0)
                cli_out_of_memory();
        char *s = buf_take(&b, NULL);
        if (!s)
                cli_out_of_memory();
        add(t, s, colour);
}

void table_add_number(Table *t, int64_t n) {
        char text[32];

        (void) snprintf(text, sizeof(text), "%lld", (long long) n);
        table_add(t, text, NULL);
}

static size_t measure(const Table *t, size_t width, size_t ret[static COLUMNS_MAX]) {
        size_t total = 2 * (t->n_columns - 1);

        assert(t->n_columns > 0);
        for (size_t i = 0; i < t->n_columns; i++)
                ret[i] = 0;
        for (size_t i = 0; i < t->n_cells; i++)
                ret[i % t->n_columns] = MAX(ret[i % t->n_columns], text_width(t->cells[i].text));
        for (size_t i = 0; i < t->n_columns; i++)
                total += ret[i];
        while (width > 0 && total > width) {
                size_t widest = 0;

                for (size_t i = 1; i < t->n_columns; i++)
                        if (widest == 0 || ret[i] > ret[widest])
                                widest = i;
                if (widest == 0 || ret[widest] <= COLUMN_SHRUNK)
                        break;
                ret[widest]--;
                total--;
        }
        return total;
}

static void spaces(Buf *out, size_t n) {
        while (n-- > 0)
                (void) buf_putc(out, ' ');
}

static void end_cell(Buf *out, bool last) {
        if (!last) {
                (void) buf_puts(out, "  ");
                return;
        }
        while (out->len > 0 && out->data[out->len - 1] == ' ')
                out->len--;
        (void) buf_putc(out, '\n');
}

void table_format(const Table *t, size_t width, Buf *out) {
        size_t widths[COLUMNS_MAX];

        (void) measure(t, width, widths);
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t column = i % t->n_columns;
                const struct TableCell *cell = &t->cells[i];
                bool last = column + 1 == t->n_columns,
                     colour = t->cli->colour && !str_isempty(cell->colour);
                _cleanup_buf_ Buf text = BUF_INIT(TABLE_BYTES_MAX);
                size_t w = text_cut(cell->text, widths[column], &text);

                if (t->right & 1U << column)
                        spaces(out, widths[column] - w);
                if (colour)
                        (void) buf_printf(out, "\x1b[%sm", cell->colour);
                (void) buf_append(out, text.data ? text.data : "", text.len);
                if (colour)
                        (void) buf_puts(out, "\x1b[0m");
                if (!last && !(t->right & 1U << column))
                        spaces(out, widths[column] - w);
                end_cell(out, last);
        }
        if (buf_error(out) < 0)
                cli_out_of_memory();
}

size_t table_width(const Cli *c) {
        struct winsize size = {};

        if (!c->terminal || c->wide || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
                return 0;
        return size.ws_col;
}

void table_print(Table *t) {
        _cleanup_buf_ Buf out = BUF_INIT(TABLE_BYTES_MAX);

        table_format(t, table_width(t->cli), &out);
        (void) fwrite(out.data, 1, out.len, stdout);
}
