/* SPDX-License-Identifier: MIT */

/* The frames of `agentd top`: a head line, the view, a foot line. Each frame is drawn whole from what
 * is known; the screen writes it only if it differs.
 *
 * Columns: what tells sessions apart gets the width (name, last message), numbers get what they need.
 * On a narrow terminal the least important columns go, one by one, instead of all being cut. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/top-internal.h"

#define LINE_BYTES   ((size_t) 64 * 1024)
#define NAME_MIN     8
#define MESSAGE_MIN  8
#define MESSAGE_FULL 60

static const struct Column {
        const char *head;
        size_t width; /* 0: what is left */
        bool right;
} columns[TOP_CELLS] = {
        [TOP_NAME] = { "NAME", 0, false },  [TOP_STATE] = { "STATUS", 15, false },
        [TOP_CPU] = { "CPU%", 6, true },    [TOP_MEMORY] = { "MEM", 6, true },
        [TOP_TASKS] = { "TASKS", 5, true }, [TOP_RESTARTS] = { "RST", 4, true },
        [TOP_AGE] = { "AGE", 6, true },     [TOP_MESSAGE] = { "LAST MESSAGE", 0, false },
};

typedef struct Layout {
        size_t width[TOP_CELLS]; /* 0: not shown */
} Layout;

static Layout layout(size_t width, size_t longest_name) {
        static const size_t dropped[] = { TOP_RESTARTS, TOP_AGE, TOP_TASKS,
                                          TOP_MEMORY,   TOP_CPU, TOP_STATE };
        Layout l = {};
        size_t used = 0;

        for (size_t i = 0; i < TOP_CELLS; i++) {
                l.width[i] = columns[i].width;
                used += columns[i].width ? columns[i].width + 1 : 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(dropped) && width < used + NAME_MIN; i++) {
                used -= l.width[dropped[i]] + 1;
                l.width[dropped[i]] = 0;
        }
        /* The name has what it needs of one half of the rest, or of all but what a message is read in. */
        size_t rest = width - MIN(used, width);
        size_t most = MAX(rest / 2, rest > MESSAGE_FULL ? rest - MESSAGE_FULL : 0);
        size_t name = MIN(longest_name, most);
        l.width[TOP_NAME] = MIN(rest, MAX(name, (size_t) NAME_MIN));
        rest -= l.width[TOP_NAME];
        if (rest > MESSAGE_MIN)
                l.width[TOP_MESSAGE] = rest - 1;
        else
                l.width[TOP_NAME] += rest;
        return l;
}

static void spaces(Buf *out, size_t n) {
        while (n-- > 0)
                (void) buf_putc(out, ' ');
}

/* text: safe. */
static void cell(const Layout *l, size_t i, const char *text, const char *sgr, Buf *out) {
        _cleanup_buf_ Buf cut = BUF_INIT(LINE_BYTES);

        if (l->width[i] == 0)
                return;
        size_t w = text_cut(text, l->width[i], &cut), pad = l->width[i] - w;
        spaces(out, columns[i].right ? pad : 0);
        if (*sgr)
                (void) buf_printf(out, "\x1b[%sm", sgr);
        (void) buf_append(out, cut.data ? cut.data : "", cut.len);
        if (*sgr)
                (void) buf_puts(out, "\x1b[0m");
        spaces(out, columns[i].right ? 0 : pad);
        if (i + 1 < TOP_CELLS && l->width[TOP_CELLS - 1] + l->width[i + 1] > 0)
                (void) buf_putc(out, ' ');
}

static void draw_columns(Top *t, const Layout *l) {
        _cleanup_buf_ Buf line = BUF_INIT(LINE_BYTES);

        for (size_t i = 0; i < TOP_CELLS; i++)
                cell(l, i, columns[i].head, "", &line);
        screen_line(&t->screen, "1;4", true, line.data ? line.data : "");
}

static void draw_row(Top *t, const Layout *l, const TopRow *row) {
        _cleanup_buf_ Buf line = BUF_INIT(LINE_BYTES);
        char *cells[TOP_CELLS];
        bool chosen = row->id == t->selected, colour = t->screen.colour && !chosen;

        top_row_cells(row, t->c, cells);
        (void) buf_puts(&line, chosen ? "\x1b[7m" : "");
        for (size_t i = 0; i < TOP_CELLS; i++)
                cell(l, i, cells[i], i == TOP_STATE && colour ? row->colour : "", &line);
        if (buf_error(&line) < 0)
                cli_out_of_memory();
        screen_line_raw(&t->screen, line.data);
}

static void draw_list(Top *t) {
        size_t longest = 0;

        for (size_t i = t->first; i < MIN(t->first + t->page, t->rows.n_shown); i++)
                longest = MAX(longest, text_width(t->rows.shown[i]->name));
        Layout l = layout(t->screen.columns, longest);
        draw_columns(t, &l);
        for (size_t i = t->first; i < t->rows.n_shown && screen_left(&t->screen) > 1; i++)
                draw_row(t, &l, t->rows.shown[i]);
        if (t->rows.n_shown == 0 && t->has_list && screen_left(&t->screen) > 1)
                screen_line(&t->screen, "", false,
                            t->filter.len > 0 ? "no session matches the filter; Escape takes it away"
                                              : "there are no sessions yet: agentd run -- COMMAND");
}

/* ---- head and foot ---- */

static void draw_head(Top *t) {
        const size_t *n = t->rows.n_by_state;
        usec_t now = clock_monotonic(), silent = feed_silent_since(t, now);
        char span[32];

        if (silent != 0) {
                screen_line(&t->screen, "1;37;41", true,
                            cli_text(t->c, "agentd top: no answer for %s, trying again: %s",
                                     text_span(now - silent, span, sizeof(span)),
                                     t->c->url ?: t->c->socket_path));
                return;
        }
        size_t total = n[0] + n[1] + n[2] + n[3] + n[4];
        screen_line(&t->screen, "1", false,
                    !t->has_list ? "agentd top: asking …"
                                 : cli_text(t->c,
                                            "agentd top: %zu session%s: %zu running, %zu paused, "
                                            "%zu stopped, %zu failed%s%s   by %s",
                                            total, total == 1 ? "" : "s", n[0], n[1], n[2], n[3],
                                            t->filter.len > 0 ? "   /" : "",
                                            t->filter.len > 0 ? t->filter.data : "",
                                            top_sort_to_string(t->sort)));
}

static void draw_foot(Top *t, const char *hints) {
        while (screen_left(&t->screen) > 1)
                screen_line_raw(&t->screen, "");
        const TopRow *row = top_selected(t);
        if (t->filtering)
                screen_line(&t->screen, "1", false,
                            cli_text(t->c, "/%s_", t->filter.len > 0 ? t->filter.data : ""));
        else if (t->asks_stop && row)
                screen_line(&t->screen, "1;33", false, cli_text(t->c, "stop %s? y/n", row->name));
        else if (t->note)
                screen_line(&t->screen, t->note_is_bad ? "31" : "32", false, t->note);
        else
                screen_line(&t->screen, "2", false, hints);
}

/* ---- the other views ---- */

static const char *opened_name(const Top *t) {
        const TopRow *row = map_get(t->rows.by_id, t->opened);

        return row ? row->name : "deleted";
}

static void draw_logs(Top *t) {
        size_t n = MIN(t->n_lines, (size_t) TOP_LINES_MAX), height;

        screen_line(&t->screen, "1", false,
                    cli_text(t->c, "logs of %s%s", opened_name(t),
                             t->scroll > 0 ? " (looking back)" : ""));
        height = screen_left(&t->screen) > 0 ? screen_left(&t->screen) - 1 : 0;
        t->scroll = MIN(t->scroll, n > height ? n - height : 0);
        size_t shown = MIN(n - t->scroll, height), from = t->n_lines - t->scroll - shown;
        for (size_t i = 0; i < shown; i++)
                screen_line(&t->screen, "", false, t->lines[(from + i) % TOP_LINES_MAX]);
        draw_foot(t, "q back   arrows, Page Up, Page Down look back   End follows");
}

/* Lines that have our colours in them: cut without these being counted is not possible, so they
 * lose them. */
static void draw_text(Top *t, char *text) {
        char *line;

        while ((line = strsep(&text, "\n")) && screen_left(&t->screen) > 1)
                if (*line || text)
                        screen_line(&t->screen, "", false, line);
}

static void draw_status(Top *t) {
        Cli *c = t->c;
        const TopRow *row = map_get(t->rows.by_id, t->opened);
        Buf text = BUF_INIT((size_t) 4 << 20);
        JsonSpan session = {}, run = {};
        bool colour = c->colour;

        if (t->status.len > 0)
                (void) json_check(t->status.data, t->status.len, JSON_DEPTH_MAX, &session, NULL);
        if (row && row->run_json)
                (void) json_check(row->run_json, strlen(row->run_json), JSON_DEPTH_MAX, &run, NULL);
        screen_line(&t->screen, "1", false, cli_text(c, "status of %s", opened_name(t)));
        if (session.p) {
                c->colour = false;
                c->now = clock_realtime();
                session_status_text(c, session, run, (JsonSpan){}, &text);
                c->colour = colour;
                draw_text(t, cli_take(c, &text));
        }
        buf_done(&text);
        if (t->status_log.len > 0 && screen_left(&t->screen) > 3) {
                screen_line_raw(&t->screen, "");
                const char *log = t->status_log.data, *p = log + t->status_log.len;
                size_t room = screen_left(&t->screen);

                /* The end of it, as much as there is room for. */
                while (p > log && room > 0)
                        room -= *--p == '\n';
                draw_text(t, cli_text(c, "%s", p > log ? p + 1 : p));
        }
        draw_foot(t, "q back   l logs   p pause   r resume   s stop   R restart");
}

static void draw_help(Top *t) {
        static const char *const lines[] = {
                "agentd top: what the sessions do",
                "",
                "  up, down, j, k   select          Page Up, Page Down, Home, End",
                "  Enter            status of the session",
                "  l                its output, followed",
                "  p                pause it        r   resume or start it",
                "  s                stop it         R   restart it",
                "  c, m, n          order by CPU, memory, name",
                "  /                only sessions whose name contains this, or of this",
                "                   status, or whose id begins so; Escape: all",
                "  ?                this help       q   back, or quit",
                "",
                "CPU% is of one processor, over the last second. - is what nobody knows:",
                "the session has no process, or the daemon does not tell.",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines) && screen_left(&t->screen) > 1; i++)
                screen_line(&t->screen, i == 0 ? "1" : "", false, lines[i]);
        draw_foot(t, "q back");
}

int top_draw(Top *t) {
        size_t mark = cli_mark(t->c);

        screen_begin(&t->screen);
        if (t->view != TOP_VIEW_HELP)
                draw_head(t);
        if (t->view == TOP_VIEW_LIST) {
                draw_list(t);
                draw_foot(t, "q quit  ? help  / filter  Enter status  l logs  p pause  r resume  "
                             "s stop  R restart");
        } else if (t->view == TOP_VIEW_LOGS)
                draw_logs(t);
        else if (t->view == TOP_VIEW_STATUS)
                draw_status(t);
        else
                draw_help(t);
        cli_release(t->c, mark);
        return screen_end(&t->screen);
}
