/* SPDX-License-Identifier: MIT */

/* The one table of verbs: parsing, help and dispatch read it. The order is that of the help.
 *
 * Names follow systemctl where it has the same thing. Options that every verb takes are in
 * options.c; the daemon's own are the rows of contract/config-table.c and not repeated here. */

#include "cli/verbs.h"

#define ANY ((size_t) -1)

#define STATUSES "created|running|paused|stopped|error|archived"
#define RESTARTS "no|on-success|on-failure|on-abnormal|always"

static const CliOption start_options[] = {
        { "detach", 'd', NULL, "start in the background, return when it is ready" },
        {},
};
static const CliOption stop_options[] = {
        { "all", 'a', NULL, "stop all sessions first, so that no agent is kept" },
        {},
};
static const CliOption config_options[] = {
        { "check", 0, NULL, "say whether FILE (default: agentd.conf) is right, with its drop-ins" },
        { "example", 0, NULL, "print an agentd.conf with every key commented out" },
        { "local", 0, NULL, "what `agentd start` would use here, even if a daemon runs" },
        {},
};
static const CliOption create_options[] = {
        { "name", 0, "NAME", "what people call it" },
        { "model", 0, "MODEL", "the model's name" },
        { "system-prompt", 0, "TEXT", "the system prompt" },
        { "tools", 0, "TOOL", "a tool it may use; once for each" },
        { "workspace", 0, "DIR", "folder whose files checkpoints record" },
        { "label", 0, "KEY=VALUE", "a label for finding it; once for each" },
        { "namespace", 0, "NAME", "its namespace, instead of `default`" },
        {},
};
static const CliOption run_options[] = {
        { "name", 0, "NAME", "what people call it; default: the program's name" },
        { "model", 0, "MODEL", "the model's name" },
        { "system-prompt", 0, "TEXT", "the system prompt" },
        { "tools", 0, "TOOL", "a tool it may use; once for each" },
        { "workspace", 'w', "DIR", "run there, record its files in checkpoints" },
        { "restart", 0, "POLICY", "no, on-success, on-failure (default), on-abnormal, always",
          RESTARTS },
        { "exec-resume", 0, "COMMAND", "what to run instead when it is started again" },
        { "env", 'e', "NAME=VALUE", "an environment variable; once for each" },
        { "property", 'p', "KEY=VALUE", "any key of a unit, such as restart_sec=5s" },
        { "label", 0, "KEY=VALUE", "a label for finding it; once for each" },
        { "namespace", 0, "NAME", "its namespace, instead of `default`" },
        { "follow", 'f', NULL, "show its output then; Ctrl-C ends only the showing" },
        { "lines", 'n', "N", "with -f: how many lines at first" },
        { "stream", 0, "stdout|stderr", "with -f: only this stream" },
        {},
};
static const CliOption resume_options[] = {
        { "checkpoint-id", 0, "CHECKPOINT", "go back to this one (id or label) first" },
        {},
};
static const CliOption kill_options[] = {
        { "signal", 's', "SIGNAL", "SIGTERM (default), KILL, 10, …" },
        {},
};
static const CliOption fork_options[] = {
        { "checkpoint", 0, "CHECKPOINT", "fork at this one (id or label); default: now" },
        { "node", 0, "MESSAGE", "fork at this message" },
        { "name", 0, "NAME", "name of the new session; default: NAME-fork" },
        { "workspace", 'w', "DIR", "empty or new folder for its files" },
        {},
};
static const CliOption restore_options[] = {
        { "node", 0, "MESSAGE", "go back to this message instead" },
        {},
};
static const CliOption delete_options[] = {
        { "force", 0, NULL, "stop it first if it is running" },
        {},
};
static const CliOption list_options[] = {
        { "all", 'a', NULL, "archived sessions too" },
        { "status", 0, "STATUS", "created, running, paused, stopped, error or archived", STATUSES },
        { "name", 0, "NAME", "only sessions of this name" },
        { "label", 0, "KEY[=VALUE]", "only sessions with this label" },
        { "namespace", 0, "NAME", "only this namespace" },
        {},
};
static const CliOption top_options[] = {
        { "sort", 0, "cpu|memory|name", "the order; default: cpu" },
        { "delay", 'd', "TIME", "time between two looks; default: 1s" },
        { "batch", 'b', NULL, "print tables even on a terminal" },
        { "iterations", 'n', "N", "print N tables; default: one" },
        {},
};
static const CliOption logs_options[] = {
        { "follow", 'f', NULL, "go on with what comes" },
        { "lines", 'n', "N", "the last N lines, or all; with -f 10" },
        { "stream", 0, "stdout|stderr", "only this stream" },
        { "since", 0, "TIME", "only from then on: 10min (ago), 14:39, or a time, in UTC" },
        { "until", 0, "TIME", "only before" },
        { "grep", 0, "TEXT", "only lines that contain this text" },
        { "run", 0, "RUN", "only this run: its number or id, see `agentd runs`" },
        {},
};
static const CliOption events_options[] = {
        { "follow", 'f', NULL, "go on with what comes" },
        { "lines", 'n', "N", "the last N events, or all; default 50" },
        { "since", 0, "TIME",
          "from then on: 1h (ago), 14:39, or a time, in UTC; default 1d, with -f now" },
        {},
};
static const CliOption messages_options[] = {
        { "lines", 'n', "N", "the last N messages" },
        { "branch", 0, "BRANCH", "of this branch instead of the current one" },
        {},
};
static const CliOption diff_options[] = {
        { "stat", 0, NULL, "only how much changed, and the names of files" },
        {},
};
static const CliOption send_options[] = {
        { "role", 0, "ROLE", "user (default), assistant, system, tool",
          "user|assistant|system|tool|…" },
        {},
};
static const CliOption checkpoint_options[] = {
        { "label", 0, "TEXT", "what people call it" },
        {},
};
static const CliOption variables_options[] = {
        { "string", 0, NULL, "the value is text even if it reads as JSON" },
        {},
};
static const CliOption memory_options[] = {
        { "string", 0, NULL, "the value is text even if it reads as JSON" },
        { "namespace", 0, "NAME", "the namespace; default: default" },
        { "prefix", 0, "TEXT", "ls, search: only keys that begin so" },
        { "scope", 0, "SCOPE", "whose of a session: namespace, agent or session" },
        { "as-of", 0, "TIME", "get, search: what it was then" },
        { "limit", 'n', "N", "search, history: at most so many" },
        { "text", 0, "TEXT", "set: what it is found by; default: the value's words" },
        { "tag", 0, "WORD", "set: mark it; search: only what has it. May come again" },
        { "metadata", 0, "NAME=TEXT", "the same with a name" },
        { "importance", 0, "0..1", "set: for ranking" },
        { "ttl", 0, "SPAN", "set: it expires after 12h, 30d" },
        {},
};
static const CliOption token_options[] = {
        { "namespace", 0, "NAME", "the only namespace it may use, or '*'; default: default" },
        { "scope", 0, "read|write|admin", "what it may do; default: write" },
        { "name", 0, "TEXT", "what people call it" },
        { "expires", 0, "TIME", "after 12h, 30d, or at a time; default: never" },
        {},
};

static const CliOption backup_options[] = {
        { "logs", 0, NULL, "with what the agents wrote" },
        { "verify", 0, NULL, "read it back and check every file" },
        {},
};
static const CliOption restore_backup_options[] = {
        { "to", 0, "DIR", "into this folder; default: the data folder" },
        { "force", 0, NULL, "move away what is there" },
        { "stopped", 0, NULL, "no agent starts by itself: what was running is stopped" },
        { "check", 0, NULL, "only read it and check every file" },
        {},
};

static const CliOption fsck_options[] = {
        { "repair", 0, NULL, "put right what can be; keeps copies" },
        {},
};

const Verb verb_table[] = {
        { "start", NULL, "The daemon", "[SESSION…]", 0, ANY, VERB_CONFIG | VERB_SLOW, start_options,
          "start agentd, or sessions that were created",
          "Without a session this becomes the daemon, in the foreground unless --detach.\n"
          "Its configuration comes from these options, else from the environment, else from\n"
          "agentd.conf, else from defaults; `agentd config` shows it.",
          "agentd start --detach --port 9000", verb_start },
        { "stop", NULL, "The daemon", "[SESSION…]", 0, ANY, VERB_SLOW, stop_options,
          "stop agentd, keeping agents running, or sessions",
          "Without a session the daemon takes a checkpoint of every running session and\n"
          "leaves; agents run on, and the next `agentd start` takes them up again.\n"
          "Stopping a session takes a checkpoint and ends its whole process tree.",
          "agentd stop reader", verb_stop },
        { "status", NULL, "The daemon", "[SESSION]", 0, 1, 0, NULL, "show how agentd or a session is",
          "--json of a session adds its process id (pid) and its last run (last_run).",
          "agentd status reader", verb_status },
        { "version", NULL, "The daemon", "", 0, 0, 0, NULL, "show versions and process ids", NULL,
          "agentd version --json", verb_version },
        { "config", NULL, "The daemon", "[FILE]", 0, 1, VERB_CONFIG, config_options,
          "show each setting and where it came from",
          "Of the running daemon; without one, or with options, as `agentd start` would\n"
          "find it here and now. Options win over the environment, that over\n"
          "agentd.conf.d/*.conf, those over agentd.conf.",
          "agentd config --check ./agentd.conf", verb_config },
        { "doctor", NULL, "The daemon", "", 0, 0, VERB_CONFIG, NULL,
          "look for what is wrong here and say what to do",
          "Programs, daemon, port, folders, kernel, cgroups, limits, clock. It changes\n"
          "nothing. Exit status 1 if something failed. -q: only what is not ok.",
          "agentd doctor", verb_doctor },
        { "reload", NULL, "The daemon", "", 0, 0, 0, NULL, "make agentd read its configuration again",
          "What may change while it runs does so at once, the rest waits for a restart; a\n"
          "mistake changes nothing.",
          "agentd reload", verb_reload },
        { "token", NULL, "The daemon", "create|list|revoke [TOKEN]", 1, 2, 0, token_options,
          "make, list and revoke API tokens",
          "The secret is printed once and is stored nowhere. To replace one: create the\n"
          "new, give it to who uses the old, revoke the old by its id, or its name if only\n"
          "one has it.",
          "agentd token create --scope read --expires 30d", verb_token },

        { "backup", NULL, "The daemon", "FILE", 1, 1, VERB_SLOW, backup_options,
          "write everything into one file, while agentd runs or not",
          "Databases, large messages and workspaces' checkpoints as of one moment. The\n"
          "file must not exist; it gets its name when it is complete and on disk.\n"
          "With --host or AGENTD_URL that daemon sends it; the token is one for all\n"
          "namespaces.",
          "agentd backup --verify agentd-monday.tar.zst", verb_backup },
        { "restore-backup", NULL, "The daemon", "FILE", 1, 1, VERB_SLOW, restore_backup_options,
          "put a backup in its place, while agentd is stopped",
          "All of it is checked before anything is touched. Sessions that were running in\n"
          "it come back as after a power cut, in their own workspaces; with --stopped they\n"
          "wait for `agentd start SESSION`.",
          "agentd restore-backup agentd-monday.tar.zst --to ./restored", verb_restore_backup },
        { "fsck", NULL, "The daemon", "", 0, 0, VERB_SLOW, fsck_options,
          "check that everything stored is there and is what it says",
          "Also while agentd runs; a repair wants it stopped. Exit status as of fsck(8):\n"
          "0 clean, 1 repaired, 4 problems left, 8 could not be checked. With --host or\n"
          "AGENTD_URL that daemon's data is checked.",
          "agentd fsck", verb_fsck },

        { "create", NULL, "Sessions", "--name NAME --model MODEL", 0, 0, 0, create_options,
          "create a session without a process", NULL,
          "agentd create --name notes --model fableforge-14b --tools search", verb_create },
        { "run", NULL, "Sessions", "[--] COMMAND…", 1, ANY, VERB_COMMAND | VERB_SLOW, run_options,
          "create a session that runs a command, and start it",
          "Runs in the current folder, or in the workspace; a word of the command with a\n"
          "slash that names a file from here and none from there is passed as an absolute\n"
          "path.",
          "agentd run --name reader --workspace ./docs -- python3 ./reader.py", verb_run },
        { "restart", NULL, "Sessions", "SESSION…", 1, ANY, VERB_SLOW, NULL,
          "stop sessions and start them again", NULL, "agentd restart reader", verb_restart },
        { "pause", NULL, "Sessions", "SESSION…", 1, ANY, VERB_SLOW, NULL,
          "take a checkpoint of sessions and freeze them", NULL, "agentd pause reader", verb_pause },
        { "resume", NULL, "Sessions", "SESSION…", 1, ANY, VERB_SLOW, resume_options,
          "go on with paused, stopped or failed sessions",
          "With a checkpoint also with a running one: it is stopped, restored, started.",
          "agentd resume reader --checkpoint-id 0197f1c2b3a40001", verb_resume },
        { "stop-session", NULL, "Sessions", "SESSION…", 1, ANY, VERB_SLOW, NULL,
          "stop sessions, as `stop SESSION…`", NULL, "agentd stop-session reader", verb_stop_session },
        { "kill", NULL, "Sessions", "SESSION", 1, 1, 0, kill_options,
          "send a signal to a session's process", NULL, "agentd kill -s USR1 reader", verb_kill },
        { "fork", NULL, "Sessions", "SESSION", 1, 1, VERB_SLOW, fork_options,
          "make a new session from a point of one", NULL,
          "agentd fork reader --name reader-2 --workspace ./docs-2", verb_fork },
        { "restore", NULL, "Sessions", "SESSION [CHECKPOINT]", 1, 2, VERB_SLOW, restore_options,
          "bring a session back to a checkpoint or message",
          "Conversation, variables and workspace files; nothing is overwritten, and it is\n"
          "not started. A running session is paused or stopped first.",
          "agentd restore reader 0197f1c2b3a40001", verb_restore },
        { "archive", NULL, "Sessions", "SESSION…", 1, ANY, VERB_SLOW, NULL,
          "hide sessions from the list, keep them", NULL, "agentd archive reader", verb_archive },
        { "delete", "rm", "Sessions", "SESSION…", 1, ANY, VERB_SLOW, delete_options,
          "delete sessions with everything they have", NULL, "agentd delete --force reader",
          verb_delete },

        { "list", "ls", "Look", "", 0, 0, 0, list_options, "list sessions", NULL,
          "agentd list --status running -o wide", verb_list },
        { "top", NULL, "Look", "", 0, 0, 0, top_options,
          "watch what sessions use and do, and act on them",
          "Keys: arrows select, Enter status, l logs, p pause, r resume, s stop, R restart,\n"
          "c m n order by CPU, memory, name, / filters, ? help, q quits. CPU% is of one\n"
          "processor. Where there is no terminal one table is printed; its CPU% is the\n"
          "average of each run's life, that of further tables of the time between them.",
          "agentd top", verb_top },
        { "show", NULL, "Look", "SESSION", 1, 1, 0, NULL, "show a session's whole state as JSON",
          NULL, "agentd show reader", verb_show },
        { "logs", NULL, "Look", "SESSION", 1, 1, VERB_SLOW, logs_options,
          "show what a session's runs wrote",
          "Following goes on when the daemon is replaced, without a line lost or twice.",
          "agentd logs -f -n 100 reader", verb_logs },
        { "events", NULL, "Look", "[SESSION]", 0, 1, VERB_SLOW, events_options,
          "show what happened to all sessions or to one", NULL, "agentd events -f reader",
          verb_events },
        { "messages", NULL, "Look", "SESSION", 1, 1, 0, messages_options,
          "show a session's conversation", NULL, "agentd messages -n 20 reader", verb_messages },
        { "checkpoints", NULL, "Look", "SESSION", 1, 1, 0, NULL, "list a session's checkpoints",
          NULL, "agentd checkpoints reader", verb_checkpoints },
        { "branches", NULL, "Look", "SESSION", 1, 1, 0, NULL,
          "list the branches of a session's conversation", NULL, "agentd branches reader",
          verb_branches },
        { "diff", NULL, "Look", "SESSION FROM [TO]", 2, 3, 0, diff_options,
          "show what changed between two points of a session",
          "Messages, variables, configuration and files. A point is a checkpoint (id, the\n"
          "begin of it, or label), a branch (id or name: its end), a message, or now, which\n"
          "TO is if it is left out.",
          "agentd diff reader halfway now", verb_diff },
        { "tree", NULL, "Look", "SESSION", 1, 1, 0, NULL,
          "draw a session's branches, checkpoints and forks as a tree",
          "From the first message down; the current branch goes straight, others stand\n"
          "beside it. Of long stretches without a checkpoint only the number is shown.",
          "agentd tree reader", verb_tree },
        { "runs", NULL, "Look", "SESSION", 1, 1, 0, NULL, "list the lives of a session's process",
          NULL, "agentd runs reader", verb_runs },

        { "send", NULL, "Write", "SESSION TEXT", 2, 2, 0, send_options,
          "add a message to a session's conversation", "The text - is standard input.",
          "agentd send notes \"remember the milk\"", verb_send },
        { "checkpoint", NULL, "Write", "SESSION", 1, 1, VERB_SLOW, checkpoint_options,
          "take a checkpoint", NULL, "agentd checkpoint reader --label halfway", verb_checkpoint },
        { "variables", "vars", "Write", "SESSION [get NAME|set NAME VALUE|rm NAME]", 1, 4, 0,
          variables_options, "show and set a session's variables",
          "A value is JSON if it reads as JSON, else text.", "agentd variables reader set place 3",
          verb_variables },
        { "memory", NULL, "Write", "get KEY|set KEY VALUE|ls|rm KEY|search TEXT|history KEY", 1, 4,
          0, memory_options, "show, set and search long-term memory",
          "Memory belongs to a namespace: that of the session if one is named behind the\n"
          "rest. With a session --scope says whose: the namespace's (the default), that of\n"
          "all sessions of its name (agent), or its own (session); search looks into all\n"
          "three. A value is JSON if it reads as JSON, else text.",
          "agentd memory search 'which theme do they like?'", verb_memory },
        { "help", NULL, "Write", "[VERB]", 0, 1, 0, NULL, "show this help, or that of a verb", NULL,
          "agentd help run", verb_help },
        { "completion", NULL, "Write", "bash|zsh|fish", 1, 1, 0, NULL,
          "print what makes a shell complete agentd's words",
          "bash: . <(agentd completion bash)      zsh: . <(agentd completion zsh)\n"
          "fish: agentd completion fish | source  An installed agentd needs none of these.",
          "agentd completion bash", verb_completion },
        { "__complete", NULL, "Write", "-- WORD…", 1, ANY, VERB_COMMAND | VERB_HIDDEN, NULL,
          "say what may stand at the cursor", NULL, "agentd __complete -- status ''", verb_complete },
};
const size_t verb_table_size = ELEMENTSOF(verb_table);

const Verb *verb_find(const char *name) {
        ARRAY_FOREACH(v, verb_table)
                if (streq(v->name, name) || streq_ptr(v->alias, name))
                        return v;
        return NULL;
}
