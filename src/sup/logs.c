/* SPDX-License-Identifier: MIT */

/* The log of a session: its runs one after the other, in the order of their ids. Runs of one
 * session never overlap, since the next one begins only when the tree of the one before is proven
 * dead.
 *
 * `The last N lines` with filters, without reading a file of gigabytes: take a window at the end,
 * count what matches in it, make the window four times larger until it has enough, then read it
 * once more and leave out the surplus. Reading backwards line by line was rejected: the order of
 * two streams is only known forwards, and the window costs at most twice what it delivers.
 *
 * Finding the start waits for the first sup_log_next(), because it depends on which runs are
 * complete. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/obj.h"
#include "base/str.h"
#include "sup/logs-internal.h"

#define LOG_MAGIC          0x5d9b2e03U
#define WINDOW_FIRST_BYTES (64U << 10)

struct SupLog {
        uint32_t magic;
        char *folder, *grep;
        SupLogOptions options;
        uint64_t cursor_run, cursor[3]; /* out, err, record; run 0: none */
        bool placed;

        uint64_t *runs; /* ascending */
        size_t n_runs;
        LogRun *run; /* the one that is being read, or NULL */

        bool (*ended)(uint64_t run, void *userdata);
        void *ended_userdata;
        sd_event_source *source;
        void (*wake)(void *userdata);
        void *wake_userdata;
};

/* ---- open ---- */

static int parse_cursor(SupLog *l, const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        char *rest = copy;

        if (!copy)
                return -ENOMEM;
        if (id_parse(strsep(&rest, ":"), &l->cursor_run) < 0 || l->cursor_run == 0)
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTSOF(l->cursor); i++) {
                const char *part = strsep(&rest, ":");
                if (!part || str_to_u64(part, &l->cursor[i]) < 0 || l->cursor[i] > INT64_MAX / 32)
                        return -EINVAL;
        }
        return rest ? -EINVAL : 0;
}

int sup_log_open(SupLog **ret, const char *log_dir, uint64_t session, const SupLogOptions *options) {
        _cleanup_(sup_log_freep) SupLog *l = calloc(1, sizeof(*l));
        char id[ID_STRING_SIZE];

        if (!l)
                return -ENOMEM;
        l->magic = LOG_MAGIC;
        l->options = *options;
        if (l->options.streams == 0)
                l->options.streams = 3;
        l->folder = path_join(log_dir, id_format(session, id));
        if (!l->folder || (options->grep && !(l->grep = strdup(options->grep))))
                return -ENOMEM;
        int r = options->cursor ? parse_cursor(l, options->cursor) : 0;
        if (r < 0)
                return r;
        l->options.cursor = l->options.grep = NULL; /* the caller's memory */
        *ret = TAKE_PTR(l);
        return 0;
}

SupLog *sup_log_free(SupLog *l) {
        if (!l)
                return NULL;
        sd_event_source_disable_unref(l->source);
        log_run_free(l->run);
        free(l->runs);
        free(l->folder);
        free(l->grep);
        l->magic = 0;
        free(l);
        return NULL;
}

void sup_log_set_ended(SupLog *l, bool (*ended)(uint64_t run, void *userdata), void *userdata) {
        OBJ_CHECK(l, LOG_MAGIC);
        l->ended = ended;
        l->ended_userdata = userdata;
}

static bool is_complete(const SupLog *l, uint64_t run) {
        return !l->ended || l->ended(run, l->ended_userdata);
}

/* ---- the list of runs ---- */

static int compare_runs(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
        return (x > y) - (x < y);
}

static int add_run(SupLog *l, const char *name) {
        char id[ID_STRING_SIZE] = "";
        uint64_t run;

        if (strlen(name) != ID_STRING_SIZE - 1 + strlen(".idx") ||
            !streq(name + ID_STRING_SIZE - 1, ".idx"))
                return 0;
        memcpy(id, name, ID_STRING_SIZE - 1);
        if (id_parse(id, &run) < 0 || (l->options.run && l->options.run != run))
                return 0;
        uint64_t *runs = reallocarray(l->runs, l->n_runs + 1, sizeof(*runs));
        if (!runs)
                return -ENOMEM;
        l->runs = runs;
        l->runs[l->n_runs++] = run;
        return 0;
}

static int list_runs(SupLog *l) {
        _cleanup_(dir_closep) DIR *d = opendir(l->folder);
        int r = 0;

        l->n_runs = 0;
        if (!d)
                return errno == ENOENT ? 0 : errno_neg();
        for (struct dirent *e; r >= 0 && (e = readdir(d));)
                r = add_run(l, e->d_name);
        if (l->n_runs > 1)
                qsort(l->runs, l->n_runs, sizeof(*l->runs), compare_runs);
        return r;
}

/* Opens the first run that is not older than `least`. 1, or 0: there is none. */
static int open_from(SupLog *l, uint64_t least) {
        for (size_t i = 0; i < l->n_runs; i++) {
                if (l->runs[i] < least)
                        continue;
                LogRun *run;
                int r = log_run_open(&run, l->folder, l->runs[i]);
                if (r == -ENOENT) /* deleted meanwhile */
                        continue;
                if (r < 0)
                        return r;
                log_run_free(l->run);
                l->run = run;
                return 1;
        }
        return 0;
}

/* ---- which lines ---- */

static bool is_wanted(const SupLog *l, const SupLogLine *line) {
        const SupLogOptions *o = &l->options;

        if (line->stream > 0 && !(o->streams & (1U << (line->stream - 1))))
                return false;
        if ((o->since && line->time < o->since) || (o->until && line->time > o->until))
                return false;
        return !l->grep || memmem(line->text, line->n, l->grep, strlen(l->grep));
}

/* The next wanted line of the run that is open. */
static int next_in_run(SupLog *l, SupLogLine *ret) {
        SupLogLine line;
        int r;

        while ((r = log_run_next(l->run, is_complete(l, l->run->id), &line)) > 0) {
                if (!is_wanted(l, &line))
                        continue;
                *ret = line;
                return 1;
        }
        return r;
}

/* ---- where to begin ---- */

/* Counts the wanted lines at the end of the open run, in a window that holds `need` or the whole
 * run; the run is at the window's begin afterwards. */
static int64_t count_back(SupLog *l, int64_t need) {
        SupLogLine line;

        for (uint64_t window = WINDOW_FIRST_BYTES;; window *= 4) {
                int64_t n = 0;
                int all = log_run_seek_back(l->run, window), r = all;

                while (r >= 0 && (r = next_in_run(l, &line)) > 0)
                        n++;
                if (r >= 0 && n < need && all == 0)
                        continue;
                if (r >= 0)
                        r = log_run_seek_back(l->run, window);
                return r < 0 ? r : n;
        }
}

static int skip_lines(SupLog *l, int64_t n) {
        SupLogLine line;
        int r = 1;

        while (n-- > 0 && r > 0)
                r = next_in_run(l, &line);
        return r < 0 ? r : 0;
}

static int place_last(SupLog *l) {
        int64_t need = l->options.lines;

        for (size_t i = l->n_runs; i > 0; i--) {
                int r = open_from(l, l->runs[i - 1]);
                if (r <= 0)
                        return r;
                int64_t n = count_back(l, need);
                if (n < 0)
                        return (int) n;
                if (n >= need)
                        return skip_lines(l, n - need);
                need -= n;
        }
        return 0; /* all there is: the first run is open, at its begin */
}

static int place_cursor(SupLog *l) {
        int r = open_from(l, l->cursor_run);
        if (r > 0 && l->run->id == l->cursor_run)
                log_run_set(l->run, l->cursor[0], l->cursor[1], l->cursor[2]);
        return r < 0 ? r : 0;
}

static int place_first(SupLog *l) {
        int r = open_from(l, 0);
        if (r > 0 && l->options.since)
                r = log_run_seek_time(l->run, l->options.since);
        return r < 0 ? r : 0;
}

/* With nothing there yet, the place is the begin of what will come. */
static int place(SupLog *l) {
        int r = list_runs(l);
        if (r < 0)
                return r;
        if (l->cursor_run)
                r = place_cursor(l);
        else
                r = l->options.lines >= 0 ? place_last(l) : place_first(l);
        if (r >= 0)
                l->placed = true;
        return r;
}

/* ---- reading on ---- */

/* 1: a newer run is open; 0: there is none. */
static int next_run(SupLog *l) {
        if (l->run && !is_complete(l, l->run->id))
                return 0;
        int r = list_runs(l);
        return r < 0 ? r : open_from(l, l->run ? l->run->id + 1 : l->cursor_run);
}

int sup_log_next(SupLog *l, SupLogLine *ret) {
        OBJ_CHECK(l, LOG_MAGIC);
        int r = l->placed ? 0 : place(l);
        if (r < 0)
                return r;
        do {
                r = l->run ? next_in_run(l, ret) : 0;
                if (r != 0)
                        return r;
                r = next_run(l);
        } while (r > 0);
        return r;
}

int sup_log_cursor(const SupLog *l, Buf *out) {
        char id[ID_STRING_SIZE];
        const LogRun *r = l->run;

        if (!r)
                return 0;
        return buf_printf(out, "%s:%llu:%llu:%llu", id_format(r->id, id),
                          (unsigned long long) r->stream[0].pos,
                          (unsigned long long) r->stream[1].pos, (unsigned long long) r->record);
}

/* ---- follow ---- */

static int on_change(sd_event_source *source, const struct inotify_event *e, void *userdata) {
        SupLog *l = OBJ_CAST(SupLog, userdata, LOG_MAGIC);
        l->wake(l->wake_userdata);
        return 0;
}

int sup_log_follow(SupLog *l, sd_event *event, void (*wake)(void *userdata), void *userdata) {
        OBJ_CHECK(l, LOG_MAGIC);
        int r = fs_mkdir_p(l->folder, 0700);
        if (r < 0)
                return r;
        l->wake = wake;
        l->wake_userdata = userdata;
        r = sd_event_add_inotify(event, &l->source, l->folder, IN_MODIFY | IN_CREATE, on_change, l);
        return r < 0 ? r : 0;
}

int sup_log_delete(const char *log_dir, uint64_t session) {
        char id[ID_STRING_SIZE];
        _cleanup_free_ char *folder = path_join(log_dir, id_format(session, id));
        return folder ? fs_remove_tree(AT_FDCWD, folder) : -ENOMEM;
}
