/* SPDX-License-Identifier: MIT */

/* In a container all requests come from outside, so nobody would get in without a token, and
 * nobody could make one: hence a first one.
 *
 * AGENT_RUNTIME_TOKEN is the word of whoever started us: the token is what the variable says, from
 * this start on. Another value ends the one before, and so does none; a variable that was taken
 * away because it leaked would be worthless otherwise. Only the hash is stored. It is no row of the
 * configuration's table, because a configuration is shown to people.
 *
 * Without it, and with FirstToken=yes, a token is made once in the life of a data folder. What says
 * that it was shown is a file and not the token's row: a token that somebody revoked must not come
 * back with the next start. The file is written behind the showing: who is killed in between makes
 * and shows another, rather than leaving somebody outside. */

#include "daemon/start-token.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "net/auth.h"

#define GIVEN_NAME "AGENT_RUNTIME_TOKEN"
#define FIRST_NAME "first start"
#define SHOWN_FILE "first-token"
#define LENGTH_MIN 16
#define LENGTH_MAX 512

/* ---- what there is ---- */

typedef struct Found {
        uint64_t given[8]; /* ids of tokens that an earlier value of the variable made */
        size_t n_given;
        size_t n_others;
} Found;

static void look(const TokenInfo *t, void *userdata) {
        Found *f = userdata;

        if (streq_ptr(t->name, GIVEN_NAME) && f->n_given < ELEMENTSOF(f->given))
                f->given[f->n_given++] = t->id;
        else if (!streq_ptr(t->name, FIRST_NAME))
                f->n_others++;
}

static int revoke_given(SessionManager *m, const Found *f) {
        int r = 0;

        for (size_t i = 0; i < f->n_given && r >= 0; i++)
                r = session_token_revoke(m, f->given[i], NULL, NULL);
        return r < 0 ? log_error(r, "Cannot end the token of an earlier " GIVEN_NAME) : 0;
}

/* ---- the one that was given ---- */

static void on_given(int r, Session *s, uint64_t id, void *userdata) {
        if (r < 0)
                (void) log_error(r, "Cannot store the token of " GIVEN_NAME
                                    "; until the next start it does not count");
}

static bool is_token(const char *text) {
        size_t n = strlen(text);

        for (const char *p = text; *p; p++)
                if (*p <= ' ' || *p > '~')
                        return false;
        return n >= LENGTH_MIN && n <= LENGTH_MAX;
}

static int ensure_given(SessionManager *m, const char *token, const Found *f) {
        uint8_t hash[AUTH_HASH_BYTES];
        uint64_t namespace_id;
        TokenInfo t;

        if (!is_token(token))
                return log_error(-EINVAL,
                                 GIVEN_NAME ": expected %d to %d printable characters without spaces, "
                                            "for example of: openssl rand -hex 32",
                                 LENGTH_MIN, LENGTH_MAX);
        auth_token_hash(token, hash);
        if (session_token_find(m, hash, &t))
                return 0;
        int r = revoke_given(m, f);
        if (r >= 0)
                r = session_namespace(m, "default", true, &namespace_id);
        if (r >= 0)
                r = session_token_create(m, namespace_id, "admin", GIVEN_NAME, 0, hash, on_given,
                                         NULL);
        return r < 0 ? log_error(r, "Cannot use " GIVEN_NAME) : 0;
}

/* ---- one of our own choice ---- */

typedef struct First {
        char secret[AUTH_TOKEN_SIZE];
        char *data_dir;
} First;

static void first_free(First *f) {
        if (!f)
                return;
        sodium_memzero(f->secret, sizeof(f->secret));
        free(f->data_dir);
        free(f);
}
DEFINE_CLEANUP(First *, first_free);

/* Around it nothing else of the log: people look for it in `docker logs`. */
static void show(const First *f) {
        static const char rule[] =
                "+------------------------------------------------------------------------------+\n";

        (void) dprintf(
                STDERR_FILENO,
                "%s"
                "| This is agentd's first start here. Its API token, shown this once:           |\n"
                "|                                                                              |\n"
                "|   %-75s|\n"
                "|                                                                              |\n"
                "| Use it as:  Authorization: Bearer TOKEN                                      |\n"
                "| Another:    agentd token create          End this one: agentd token revoke   |\n"
                "%s",
                rule, f->secret, rule);
}

static void on_first(int r, Session *s, uint64_t id, void *userdata) {
        _cleanup_(first_freep) First *f = userdata;

        if (r < 0) {
                (void) log_error(r, "Cannot store a first token; `agentd token create` makes one");
                return;
        }
        show(f);
        _cleanup_close_ int dir = open(f->data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = dir < 0 ? errno_neg() : fs_write_file_atomic(dir, SHOWN_FILE, "shown\n", 6, 0600);
        if (r < 0)
                (void) log_warning(
                        r, "Cannot write %s/" SHOWN_FILE "; the next start shows another token",
                        f->data_dir);
}

static int ensure_first(SessionManager *m, const DaemonConfig *config, const Found *found) {
        _cleanup_free_ char *shown = path_join(config->data_dir, SHOWN_FILE);
        _cleanup_(first_freep) First *f = calloc(1, sizeof(*f));
        uint8_t hash[AUTH_HASH_BYTES];
        uint64_t namespace_id;

        if (!shown || !f)
                return log_error(-ENOMEM, "Cannot start");
        if (found->n_others > 0 || access(shown, F_OK) == 0)
                return 0;
        f->data_dir = strdup(config->data_dir);
        if (!f->data_dir)
                return log_error(-ENOMEM, "Cannot start");
        auth_token_new(f->secret);
        auth_token_hash(f->secret, hash);
        int r = session_namespace(m, "default", true, &namespace_id);
        if (r >= 0)
                r = session_token_create(m, namespace_id, "admin", FIRST_NAME, 0, hash, on_first, f);
        if (r < 0)
                return log_error(r, "Cannot make a first token");
        (void) TAKE_PTR(f);
        return 0;
}

int start_token_ensure(SessionManager *m, const DaemonConfig *config) {
        const char *given = getenv(GIVEN_NAME);
        Found found = {};

        session_token_foreach(m, look, &found);
        if (!str_isempty(given))
                return ensure_given(m, given, &found);
        int r = revoke_given(m, &found);
        if (r < 0 || !config->first_token)
                return r;
        return ensure_first(m, config, &found);
}
