/* SPDX-License-Identifier: MIT */

/* What keys do in `agentd top`. Letters are those of top, less and vi where these have one for it.
 * What ends a process asks first; what can be taken back does not.
 *
 * The selection is a session and not a line: rows change their places while somebody reads, and a
 * stop must meet the one that was meant. */

#include "base/str.h"
#include "cli/top-internal.h"

#define FILTER_BYTES ((size_t) 128)

/* NOLINTNEXTLINE(readability-non-const-parameter): text is taken over */
void top_note(Top *t, bool is_bad, char *text) {
        free(t->note);
        t->note = text;
        t->note_is_bad = is_bad;
        t->dirty = true;
}

static size_t index_of_selected(const Top *t) {
        for (size_t i = 0; i < t->rows.n_shown; i++)
                if (t->rows.shown[i]->id == t->selected)
                        return i;
        return SIZE_MAX;
}

TopRow *top_selected(const Top *t) {
        size_t i = index_of_selected(t);

        return i == SIZE_MAX ? NULL : t->rows.shown[i];
}

void top_settle(Top *t) {
        size_t n = t->rows.n_shown, i = index_of_selected(t);

        t->page = t->screen.rows > 3 ? t->screen.rows - 3 : 1;
        if (i == SIZE_MAX) {
                /* It is gone: the one that is in its place now. */
                i = n == 0 ? 0 : MIN(t->selected_at, n - 1);
                t->selected = n == 0 ? 0 : t->rows.shown[i]->id;
                t->asks_stop = false;
        }
        t->selected_at = i;
        if (i < t->first)
                t->first = i;
        if (i >= t->first + t->page)
                t->first = i - t->page + 1;
        t->first = MIN(t->first, n > t->page ? n - t->page : 0);
}

static void select_row(Top *t, size_t i) {
        if (t->rows.n_shown > 0)
                t->selected = t->rows.shown[MIN(i, t->rows.n_shown - 1)]->id;
}

static void filter_key(Top *t, int key) {
        if (key == KEY_ESCAPE)
                buf_clear(&t->filter);
        if (key == KEY_ESCAPE || key == KEY_ENTER) {
                t->filtering = false;
                return;
        }
        if (key == KEY_BACKSPACE) {
                while (t->filter.len > 0) {
                        bool tail = ((uint8_t) t->filter.data[--t->filter.len] & 0xc0) == 0x80;

                        t->filter.data[t->filter.len] = '\0';
                        if (!tail)
                                break;
                }
                return;
        }
        if (key < ' ' || key >= KEY_UP || t->filter.len + 4 > FILTER_BYTES)
                return;
        uint32_t ch = (uint32_t) key;
        char bytes[] = { (char) (0xf0 | ch >> 18), (char) (0x80 | (ch >> 12 & 0x3f)),
                         (char) (0x80 | (ch >> 6 & 0x3f)), (char) (0x80 | (ch & 0x3f)) };
        size_t from = ch < 0x80 ? 3 : ch < 0x800 ? 2 : ch < 0x10000 ? 1 : 0;

        bytes[from] = (char) (ch < 0x80      ? ch
                              : ch < 0x800   ? 0xc0 | ch >> 6
                              : ch < 0x10000 ? 0xe0 | ch >> 12
                                             : 0xf0 | ch >> 18);
        (void) buf_append(&t->filter, bytes + from, 4 - from);
}

static bool move_key(Top *t, int key) {
        size_t at = t->selected_at, page = MAX(t->page, (size_t) 1);

        switch (key) {
        case KEY_UP:
        case 'k':
                select_row(t, at > 0 ? at - 1 : 0);
                return true;
        case KEY_DOWN:
        case 'j':
                select_row(t, at + 1);
                return true;
        case KEY_PAGE_UP:
                select_row(t, at > page ? at - page : 0);
                return true;
        case KEY_PAGE_DOWN:
                select_row(t, at + page);
                return true;
        case KEY_HOME:
                select_row(t, 0);
                return true;
        case KEY_END:
                select_row(t, SIZE_MAX);
                return true;
        default:
                return false;
        }
}

static void open_view(Top *t, TopView view) {
        if (t->view == TOP_VIEW_LOGS)
                log_close(t);
        if (t->view == TOP_VIEW_LIST)
                t->opened = t->selected;
        t->view = view;
        if (view == TOP_VIEW_LOGS)
                log_open(t);
        if (view == TOP_VIEW_STATUS) {
                buf_clear(&t->status);
                buf_clear(&t->status_log);
                feed_status(t);
        }
}

/* Verbs of the selected or opened session. */
static bool verb_key(Top *t, int key) {
        TopRow *row = top_selected(t);

        if (!row || (key != 'p' && key != 'r' && key != 's' && key != 'R'))
                return false;
        if (key == 's')
                t->asks_stop = true;
        else
                feed_verb(t, row->id,
                          key == 'p'                      ? "pause"
                          : key == 'R'                    ? "restart"
                          : streq(row->status, "created") ? "start"
                                                          : "resume");
        return true;
}

static void list_key(Top *t, int key) {
        if (move_key(t, key) || verb_key(t, key))
                return;
        if (key == 'q')
                t->quit = true;
        else if (key == '/')
                t->filtering = true;
        else if (key == KEY_ESCAPE)
                buf_clear(&t->filter);
        else if (key == '?' || key == 'h')
                t->view = TOP_VIEW_HELP;
        else if (key == 'c' || key == 'm' || key == 'n')
                t->sort = key == 'c' ? TOP_BY_CPU : key == 'm' ? TOP_BY_MEMORY : TOP_BY_NAME;
        else if (t->selected != 0 && (key == 'l' || key == KEY_ENTER))
                open_view(t, key == 'l' ? TOP_VIEW_LOGS : TOP_VIEW_STATUS);
}

static void log_key(Top *t, int key) {
        size_t page = t->screen.rows > 3 ? t->screen.rows - 3 : 1;

        if (key == KEY_UP || key == 'k')
                t->scroll++;
        else if (key == KEY_PAGE_UP)
                t->scroll += page;
        else if (key == KEY_HOME)
                t->scroll = TOP_LINES_MAX;
        else if (key == KEY_DOWN || key == 'j')
                t->scroll -= MIN(t->scroll, (size_t) 1);
        else if (key == KEY_PAGE_DOWN)
                t->scroll -= MIN(t->scroll, page);
        else if (key == KEY_END)
                t->scroll = 0;
}

static void answer_key(Top *t, int key) {
        const TopRow *row = top_selected(t);

        t->asks_stop = false;
        if (row && (key == 'y' || key == 'Y'))
                feed_verb(t, row->id, "stop");
        else
                top_note(t, false, strdup("not stopped"));
}

void top_key(Top *t, int key) {
        t->dirty = true;
        if (key == KEY_INTERRUPT) {
                t->quit = true;
                return;
        }
        if (key == KEY_SUSPEND) {
                screen_suspend(&t->screen);
                return;
        }
        if (t->asks_stop) {
                answer_key(t, key);
                return;
        }
        top_note(t, false, NULL);
        if (t->filtering)
                filter_key(t, key);
        else if (t->view == TOP_VIEW_LIST)
                list_key(t, key);
        else if (key == 'q' || key == KEY_ESCAPE)
                open_view(t, TOP_VIEW_LIST);
        else if (t->view == TOP_VIEW_LOGS)
                log_key(t, key);
        else if (t->view == TOP_VIEW_STATUS && !verb_key(t, key) && key == 'l')
                open_view(t, TOP_VIEW_LOGS);
}
