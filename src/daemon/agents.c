/* SPDX-License-Identifier: MIT */

/* One AgentUnit per session whose run is open, made when the run begins (or is found again at
 * start) and freed when its end is on disk. What happened to the process is first put into the unit
 * (`started`, `end`), then committed through the session room; if that commit fails, because the
 * disk is full, say, it is tried again every second until it succeeds: an exit is never dropped,
 * and the keeper keeps its slot meanwhile, so that even the daemon's death in that moment loses
 * nothing.
 *
 * The restart decision is made here because it needs both sides: the policy from the unit's keys
 * and the counters from the session's row. Progress (messages appended during the run) resets the
 * back-off, so an agent that works and crashes now and then is not punished for its past; the start
 * limit still counts.
 *
 * Rejected: letting sup write its runs itself (two owners of a session's truth), and starting
 * processes from the session room (it would have to know cgroups). */

#include <stdio.h>
#include <sys/random.h>

#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/agents-internal.h"

#define RETRY_USEC USEC_PER_SEC

static AgentUnit *agent_unit_free(AgentUnit *u) {
        if (!u)
                return NULL;
        list_remove(&u->retry_link);
        if (u->agents)
                (void) map_remove(u->agents->units, u->run);
        sup_spec_free(u->spec);
        u->magic = 0;
        free(u);
        return NULL;
}
DEFINE_CLEANUP(AgentUnit *, agent_unit_free);

static int agent_unit_new(Agents *a, Session *s, uint64_t run, AgentUnit **ret) {
        _cleanup_(agent_unit_freep) AgentUnit *u = calloc(1, sizeof(*u));
        if (!u)
                return -ENOMEM;
        u->magic = AGENT_UNIT_MAGIC;
        u->session = session_info(s)->id;
        u->run = run;
        int r = map_put(a->units, run, u);
        if (r < 0)
                return r;
        u->agents = a;
        *ret = TAKE_PTR(u);
        return 0;
}

/* ---- committing what happened ---- */

static void unit_commit(AgentUnit *u);

static void arm_retry(Agents *a) {
        (void) sd_event_source_set_time_relative(a->retry, RETRY_USEC);
        (void) sd_event_source_set_enabled(a->retry, SD_EVENT_ONESHOT);
}

/* Those that fail again are appended, for the next time. */
static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        ListLink due;

        list_init(&due);
        LIST_FOREACH(l, &a->retries) {
                list_remove(l);
                list_append(&due, l);
        }
        while (!list_is_empty(&due)) {
                AgentUnit *u = LIST_ENTRY(due.next, AgentUnit, retry_link);
                list_remove(&u->retry_link);
                unit_commit(u);
        }
        return 0;
}

static void unit_retry_later(AgentUnit *u, int error) {
        /* A full disk does not keep the daemon from leaving: the row stays open, and the next
         * daemon finds no process behind it. */
        if (u->agents->shutting_down && u->has_ended) {
                log_warning(error, "Leaving without a record of the end of run %016llx",
                            (unsigned long long) u->run);
                u->must_end = false;
                agents_shutdown_check(u->agents);
                return;
        }
        log_warning(error, "Cannot record what became of run %016llx; trying again",
                    (unsigned long long) u->run);
        if (list_is_linked(&u->retry_link))
                return;
        bool is_first = list_is_empty(&u->agents->retries);
        list_append(&u->agents->retries, &u->retry_link);
        if (is_first)
                arm_retry(u->agents);
}

static void unit_release(AgentUnit *u) {
        Agents *a = u->agents;
        if (u->sup)
                sup_run_release(u->sup);
        agent_unit_free(u);
        agents_shutdown_check(a);
}

static void on_ended_committed(int r, Session *s, uint64_t id, void *userdata) {
        AgentUnit *u = OBJ_CAST(AgentUnit, userdata, AGENT_UNIT_MAGIC);
        u->commit_under_way = false;
        if (r < 0)
                unit_retry_later(u, r);
        else
                unit_release(u);
}

static void on_started_committed(int r, Session *s, uint64_t id, void *userdata) {
        AgentUnit *u = OBJ_CAST(AgentUnit, userdata, AGENT_UNIT_MAGIC);
        u->commit_under_way = false;
        if (r < 0) {
                unit_retry_later(u, r);
                return;
        }
        u->has_started = false;
        if (u->has_ended)
                unit_commit(u);
}

/* No end in the policy's sense: the shutdown asked for it, and the next daemon goes on with it; or the
 * keeper was never asked to begin it. What had ended by itself before the shutdown is not meant. */
static bool goes_on_at_once(const AgentUnit *u) {
        return u->end.never_began || (u->must_end && u->end.stop_was_asked);
}

static RunNext next_of_failure(const AgentUnit *u) {
        return u->end.result == SUP_RESULT_LOST ? RUN_NEXT_LOST : RUN_NEXT_FAILED;
}

/* Says, behind why the run ended, that there is no other one, and how to get it. */
static void give_up(AgentUnit *u, const SessionInfo *info, const char *why, RunEnd *end) {
        (void) snprintf(u->reason, sizeof(u->reason),
                        "%s%s%sgiven up; `agentd start %.80s` tries again", u->end.reason,
                        u->end.reason[0] ? "; " : "", why, info->name);
        end->reason = u->reason;
}

static void explain_limit(AgentUnit *u, const SessionInfo *info, unsigned starts, RunEnd *end) {
        char span[64], why[100];

        (void) snprintf(why, sizeof(why), "%u starts in %s, ", starts,
                        clock_format_span(u->spec->start_limit_interval_usec, span, sizeof(span)));
        give_up(u, info, why, end);
}

/* What shall come after this end, by policy. Stops that were asked for are decided by the session room. */
static void unit_decide(AgentUnit *u, const SessionInfo *info, RunEnd *end) {
        SupRestartState state = {
                .restarts = info->restarts,
                .window_start = info->start_window,
                .window_count = info->start_count,
        };
        uint64_t random;
        usec_t delay = 0;

        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
                random = clock_monotonic();
        if (info->head > u->run) /* ids ascend with time: a message was appended during the run */
                state.restarts = 0;
        end->restarts = state.restarts;
        end->start_window = state.window_start;
        end->start_count = state.window_count;
        if (u->was_short) {
                end->next = RUN_NEXT_BACKOFF;
                end->restart_at = clock_realtime() + RETRY_USEC;
                return;
        }
        if (goes_on_at_once(u)) {
                end->next = RUN_NEXT_BACKOFF;
                end->restart_at = clock_realtime();
                return;
        }
        switch (u->spec ? sup_restart_decide(u->spec, &state, &u->end, u->started_at,
                                             clock_realtime(), random, &delay)
                        : SUP_ACTION_FAIL) {
        case SUP_ACTION_STOP:
                end->next = RUN_NEXT_STOPPED;
                break;
        case SUP_ACTION_RESTART:
                end->next = RUN_NEXT_BACKOFF;
                end->restart_at = clock_realtime() + delay;
                break;
        case SUP_ACTION_START_LIMIT:
                explain_limit(u, info, state.window_count, end);
                end->next = next_of_failure(u);
                break;
        case SUP_ACTION_GIVE_UP:
                give_up(u, info, "", end);
                end->next = next_of_failure(u);
                break;
        case SUP_ACTION_FAIL:
                end->next = next_of_failure(u);
                break;
        }
        end->restarts = state.restarts;
        end->start_window = state.window_start;
        end->start_count = state.window_count;
}

/* Who looks after a machine reads its log, and nothing else tells there of an agent that is down for good. */
static void log_given_up(const AgentUnit *u, const SessionInfo *info, const RunEnd *end) {
        if (u->end.stop_was_asked || (end->next != RUN_NEXT_FAILED && end->next != RUN_NEXT_LOST))
                return;
        log_notice("Session %s (%016llx) is not started again: %s", info->name,
                   (unsigned long long) info->id, end->reason ?: "it ended");
}

static int unit_commit_end(AgentUnit *u, Session *s) {
        RunEnd end = {
                .result = (int) u->end.result,
                .result_word = sup_result_to_string(u->end.result),
                .exit_code = u->end.exit_code,
                .exit_signal = u->end.exit_signal,
                .leftovers = u->end.leftovers,
                .time = u->end.time,
                .reason = u->end.reason[0] ? u->end.reason : NULL,
        };
        unit_decide(u, session_info(s), &end);
        log_given_up(u, session_info(s), &end);
        return session_run_ended(s, u->run, &end, on_ended_committed, u);
}

static int unit_commit_start(AgentUnit *u, Session *s) {
        RunIdentity id = {
                .pid = u->identity.pid,
                .pidfd_id = u->identity.pidfd_id,
                .start_time = u->identity.start_time,
                .cgroup_id = u->identity.cgroup_id,
                .boot_id = u->identity.boot_id,
        };
        return session_run_started(s, u->run, &id, on_started_committed, u);
}

/* A start is committed before its end, one commit at a time. */
static void unit_commit(AgentUnit *u) {
        Session *s = session_get(u->agents->sessions, u->session);
        if (u->commit_under_way)
                return;
        if (!s) { /* deleted by force: nothing left to write */
                if (u->has_ended)
                        unit_release(u);
                return;
        }
        u->commit_under_way = true;
        int r = u->has_started ? unit_commit_start(u, s) : unit_commit_end(u, s);
        if (r == 0)
                return;
        u->commit_under_way = false;
        if (r < 0) {
                unit_retry_later(u, r);
                return;
        }
        /* The session says that this run is over already: nothing more to record. */
        u->has_started = false;
        if (u->has_ended)
                unit_release(u);
}

/* ---- from sup ---- */

static void on_started(SupRun *run, const SupIdentity *id, void *userdata) {
        AgentUnit *u = OBJ_CAST(AgentUnit, sup_run_userdata(run), AGENT_UNIT_MAGIC);
        u->identity = *id;
        u->started_at = clock_realtime();
        u->has_started = true;
        unit_commit(u);
}

static void on_ended(SupRun *run, const SupExit *exit, void *userdata) {
        AgentUnit *u = OBJ_CAST(AgentUnit, sup_run_userdata(run), AGENT_UNIT_MAGIC);
        u->end = *exit;
        u->has_ended = true;
        if (exit->leftovers > 0)
                log_info("Run %016llx: ended %u left-over process%s", (unsigned long long) u->run,
                         exit->leftovers, exit->leftovers == 1 ? "" : "es");
        unit_commit(u);
}

/* The event is tried once: on the disk that takes no output it may not fit either. When output goes
 * on, what is said then tells since when it had not. */
static void on_output(SupRun *run, int error, usec_t since, void *userdata) {
        AgentUnit *u = OBJ_CAST(AgentUnit, sup_run_userdata(run), AGENT_UNIT_MAGIC);
        Session *s = session_get(u->agents->sessions, u->session);
        const char *name = s ? session_info(s)->name : "?";

        if (error != 0)
                log_warning(error,
                            "Agent %s: its output waits, since its log cannot be written; "
                            "nothing is lost. Make room, and it goes on",
                            name);
        else
                log_notice("Agent %s: its log can be written again", name);
        int r = s && !u->has_ended
                        ? session_run_output(s, u->run, error ? strerror(error) : NULL, since)
                        : 0;
        if (r < 0)
                log_debug("Cannot record that: %s", strerror(-r));
}

static void on_keeper_ready(pid_t keeper_pid, void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        /* Nothing outlives PID 1. Our parent's number says less: it is 1 for whoever lost his keeper. */
        if (keeper_pid == 1)
                a->keep_means_stop = true;
        if (a->keeper_ready)
                a->keeper_ready(keeper_pid, a->keeper_ready_userdata);
}

static void on_terminate(void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        if (a->terminate)
                a->terminate(a->terminate_userdata);
}

static void on_reload(void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        if (a->reload)
                a->reload(a->reload_userdata);
}

const SupOps agents_sup_ops = {
        .started = on_started,
        .ended = on_ended,
        .output = on_output,
        .keeper_ready = on_keeper_ready,
        .terminate = on_terminate,
        .reload = on_reload,
};

/* ---- from sessions ---- */

static int agent_environment(Agents *a, const SessionInfo *info, const char *token, char ***ret) {
        _cleanup_strv_ char **env = NULL;
        char id[ID_STRING_SIZE], number[16];
        int r = 0;

        (void) snprintf(number, sizeof(number), "%u", info->fence);
        const struct {
                const char *name, *value;
        } vars[] = {
                { "AGENTD_URL", a->url },
                { "AGENTD_SOCKET", a->socket_path },
                { "AGENTD_TOKEN", token },
                { "AGENTD_SESSION_ID", id_format(info->id, id) },
                { "AGENTD_SESSION_NAME", info->name },
                { "AGENTD_RUN", number },
                { "AGENTD_WORKSPACE", info->workspace },
        };
        for (size_t i = 0; i < ELEMENTSOF(vars) && r >= 0; i++)
                if (vars[i].value)
                        r = strv_env_set(&env, vars[i].name, vars[i].value);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(env);
        return 0;
}

static int unit_load_spec(AgentUnit *u, Session *s) {
        _cleanup_(config_info_done) ConfigInfo config = {};
        FieldErrors errors = {};

        int r = session_config(u->agents->sessions, session_info(s)->config, &config);
        if (r < 0)
                return r;
        r = sup_spec_parse(config.agent, &u->spec, &errors);
        return r > 0 ? -EINVAL : r;
}

static int unit_start(AgentUnit *u, Session *s, const char *token) {
        _cleanup_strv_ char **env = NULL;
        const SessionInfo *info = session_info(s);

        int r = unit_load_spec(u, s);
        if (r < 0)
                return r;
        r = agent_environment(u->agents, info, token, &env);
        if (r < 0)
                return r;
        SupRunParams params = {
                .run = u->run,
                .session = u->session,
                .spec = u->spec,
                .resume = info->fence > 1,
                .folder = info->workspace,
                .env = env,
                .userdata = u,
        };
        return sup_run_start(u->agents->sup, &params, &u->sup);
}

/* Ours and of the moment: no end that a unit's policy could mean. */
static bool is_shortage(int error) {
        return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -ENOBUFS;
}

static void unit_fail(AgentUnit *u, SupResult result, const char *what, int error) {
        u->end = (SupExit){
                .result = result,
                .exit_code = -1,
                .time = clock_realtime(),
        };
        (void) snprintf(u->end.reason, sizeof(u->end.reason), "%s: %s", what,
                        strerror(error < 0 ? -error : error));
        u->was_short = is_shortage(error);
        u->has_ended = true;
        unit_commit(u);
}

/* There is not even a unit that could tell it. */
static void start_again_later(Session *s, uint64_t run, int error) {
        const SessionInfo *info = session_info(s);
        RunEnd end = {
                .result = SUP_RESULT_EXEC,
                .exit_code = -1,
                .time = clock_realtime(),
                .reason = "could not be started: the daemon is out of memory",
                .next = RUN_NEXT_BACKOFF,
                .restart_at = clock_realtime() + RETRY_USEC,
                .restarts = info->restarts,
                .start_window = info->start_window,
                .start_count = info->start_count,
        };

        (void) log_error(error, "Cannot start run %016llx", (unsigned long long) run);
        int r = session_run_ended(s, run, &end, NULL, NULL);
        if (r < 0)
                (void) log_error(r, "Cannot record what became of run %016llx",
                                 (unsigned long long) run);
}

static void on_session_start(Session *s, uint64_t run, const char *token, void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        AgentUnit *u = NULL;

        int r = agent_unit_new(a, s, run, &u);
        if (r < 0) {
                start_again_later(s, run, r);
                return;
        }
        r = unit_start(u, s, token);
        if (r < 0)
                unit_fail(u, SUP_RESULT_EXEC, "could not be started", r);
        else if (a->shutting_down)
                agents_end_for_shutdown(u);
}

static AgentUnit *unit_of_run(Agents *a, uint64_t run) {
        AgentUnit *u = map_get(a->units, run);
        if (u)
                OBJ_CHECK(u, AGENT_UNIT_MAGIC);
        return u;
}

static void on_session_stop(Session *s, uint64_t run, void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        AgentUnit *u = unit_of_run(a, run);
        if (u && u->sup)
                (void) sup_run_stop(u->sup);
}

static void on_frozen(SupRun *run, int error, void *userdata) {
        AgentUnit *u = OBJ_CAST(AgentUnit, sup_run_userdata(run), AGENT_UNIT_MAGIC);
        Session *s = session_get(u->agents->sessions, u->session);
        if (s)
                session_run_frozen(s, u->run, true, error);
}

static void on_session_freeze(Session *s, uint64_t run, void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        AgentUnit *u = unit_of_run(a, run);
        int r = u && u->sup ? sup_run_freeze(u->sup, on_frozen, a) : -ESRCH;
        if (r < 0)
                session_run_frozen(s, run, true, r);
}

static void on_session_thaw(Session *s, uint64_t run, void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        AgentUnit *u = unit_of_run(a, run);
        session_run_frozen(s, run, false, u && u->sup ? sup_run_thaw(u->sup) : -ESRCH);
}

static bool can_freeze(void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        return sup_manager_has_cgroups(a->sup);
}

const SessionAgentOps agents_session_ops = {
        .start = on_session_start,
        .stop = on_session_stop,
        .freeze = on_session_freeze,
        .thaw = on_session_thaw,
        .can_freeze = can_freeze,
};

/* ---- start-up ---- */

static int unit_expect(AgentUnit *u, Session *s, const RunInfo *run) {
        int r = unit_load_spec(u, s);
        if (r < 0)
                return r;
        SupRunParams params = {
                .run = u->run,
                .session = u->session,
                .spec = u->spec,
                .folder = session_info(s)->workspace,
                .created_at = run->created_at,
                .userdata = u,
        };
        SupIdentity id = {
                .pid = run->pid,
                .pidfd_id = run->pidfd_id,
                .start_time = run->start_time,
                .cgroup_id = run->cgroup_id,
        };
        if (run->boot_id)
                (void) snprintf(id.boot_id, sizeof(id.boot_id), "%s", run->boot_id);
        u->started_at = run->started_at;
        return sup_run_expect(u->agents->sup, &params, &id, run->state == RUN_STOPPING,
                              session_info(s)->substate == SUBSTATE_FROZEN, &u->sup);
}

void agents_found(Session *s, const RunInfo *run, void *userdata) {
        Agents *a = OBJ_CAST(Agents, userdata, AGENTS_MAGIC);
        AgentUnit *u = NULL;

        int r = agent_unit_new(a, s, run->id, &u);
        if (r >= 0)
                r = unit_expect(u, s, run);
        if (r >= 0)
                return;
        if (is_shortage(r)) {
                a->not_found = r;
                agent_unit_free(u);
                return;
        }
        log_error(r, "Cannot look for run %016llx of session %s", (unsigned long long) run->id,
                  session_info(s)->name);
        /* sup ends what it was not told to expect; the session must not wait for it for ever. */
        if (u)
                unit_fail(u, SUP_RESULT_LOST, "cannot be supervised any more", r);
}

int agents_found_all(const Agents *a) {
        return a->not_found;
}

/* ---- object ---- */

unsigned agents_count(const Agents *a) {
        return (unsigned) map_size(a->units);
}

bool agents_all_end(const Agents *a) {
        return a->keep_means_stop;
}

int agents_kill(Agents *a, Session *s, int signo) {
        AgentUnit *u = unit_of_run(a, session_info(s)->run);
        return u && u->sup ? sup_run_signal(u->sup, signo) : -ESRCH;
}

void agents_on_keeper_ready(Agents *a, void (*fn)(pid_t keeper, void *userdata), void *userdata) {
        a->keeper_ready = fn;
        a->keeper_ready_userdata = userdata;
}

void agents_on_reload(Agents *a, void (*fn)(void *userdata), void *userdata) {
        a->reload = fn;
        a->reload_userdata = userdata;
}

void agents_on_terminate(Agents *a, void (*fn)(void *userdata), void *userdata) {
        a->terminate = fn;
        a->terminate_userdata = userdata;
}

void agents_connect(Agents *a, SessionManager *sessions, SupManager *sup) {
        a->sessions = sessions;
        a->sup = sup;
}

int agents_new(Agents **ret, const AgentsConfig *config) {
        _cleanup_(agents_freep) Agents *a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        a->magic = AGENTS_MAGIC;
        a->event = sd_event_ref(config->event);
        a->keep_means_stop = config->keep_means_stop;
        a->url = strdup(config->url);
        a->socket_path = strdup(config->socket_path);
        a->units = map_new();
        list_init(&a->retries);
        if (!a->url || !a->socket_path || !a->units)
                return -ENOMEM;
        int r = sd_event_add_time(a->event, &a->retry, CLOCK_MONOTONIC, 0, 0, on_retry, a);
        if (r >= 0)
                r = sd_event_source_set_enabled(a->retry, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

Agents *agents_free(Agents *a) {
        size_t cursor = 0;
        void *value;

        if (!a)
                return NULL;
        while (a->units && map_next(a->units, &cursor, NULL, &value)) {
                AgentUnit *u = value;
                u->agents = NULL;
                agent_unit_free(u);
        }
        map_free(a->units);
        sd_event_source_disable_unref(a->retry);
        free(a->url);
        free(a->socket_path);
        sd_event_unref(a->event);
        a->magic = 0;
        free(a);
        return NULL;
}
