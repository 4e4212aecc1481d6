-- state.db, version 1.
-- Ids are ascending 64-bit integers (base/id.h). Times are microseconds since 1970 UTC. JSON is kept as
-- the checked text that was received. 0 is never an id; absent references are NULL.

CREATE TABLE namespaces (
        id   INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
);
INSERT INTO namespaces (id, name) VALUES (1, 'default');

CREATE TABLE sessions (
        id            INTEGER PRIMARY KEY,
        namespace     INTEGER NOT NULL DEFAULT 1,
        name          TEXT NOT NULL,
        status        INTEGER NOT NULL,           -- SessionStatus
        substate      INTEGER NOT NULL,           -- SessionSubstate
        reason        TEXT,                       -- why it is in this state, for people
        created_at    INTEGER NOT NULL,
        updated_at    INTEGER NOT NULL,
        config        INTEGER NOT NULL,           -- configs.id
        branch        INTEGER NOT NULL,           -- branches.id; its head is the conversation's end
        vars          INTEGER,                    -- vars.id, the newest version
        run           INTEGER,                    -- runs.id of the current or last run
        fence         INTEGER NOT NULL DEFAULT 0, -- number of runs so far
        restarts      INTEGER NOT NULL DEFAULT 0, -- in a row, for the back-off
        restart_at    INTEGER,                    -- backoff: when the next run is due
        start_window  INTEGER,                    -- start limit: begin of the interval
        start_count   INTEGER NOT NULL DEFAULT 0, -- starts within it
        stopped_at    INTEGER,                    -- for the session timeout
        heartbeat_at  INTEGER,
        checkpoint    INTEGER,                    -- the newest
        workspace     TEXT,                       -- absolute path
        labels        TEXT,                       -- JSON object of strings
        owner_host    TEXT NOT NULL DEFAULT '',
        lease_epoch   INTEGER NOT NULL DEFAULT 0,
        lease_until   INTEGER
);

CREATE TABLE configs (
        id            INTEGER PRIMARY KEY,
        session       INTEGER NOT NULL,
        parent        INTEGER,
        model         TEXT,
        system_prompt TEXT,                       -- JSON string as written, or NULL
        tools         TEXT,                       -- JSON array as written
        agent         TEXT                        -- JSON object of unit keys as written, or NULL: a record
);
CREATE INDEX configs_by_session ON configs (session);

CREATE TABLE nodes (
        id         INTEGER PRIMARY KEY,
        session    INTEGER NOT NULL,              -- where it was appended
        parent     INTEGER,
        jump       INTEGER,                       -- an ancestor farther up, for O(log n) look-up
        depth      INTEGER NOT NULL,              -- messages from the root, this one included
        tool_calls INTEGER NOT NULL,              -- tool calls from the root, this one included
        run        INTEGER,
        time       INTEGER NOT NULL,
        role       TEXT NOT NULL,
        kind       INTEGER NOT NULL,              -- NodeKind
        body       BLOB,                          -- raw bytes when small, else NULL
        body_key   BLOB                           -- bodies.key when large
);

CREATE TABLE bodies (
        namespace INTEGER NOT NULL,
        key       BLOB NOT NULL,                  -- keyed BLAKE2b-256 of the raw bytes
        encoding  INTEGER NOT NULL,               -- 0 raw, 1 zstd, 2 file beside the database (raw), 3 file (zstd)
        size      INTEGER NOT NULL,               -- of the raw bytes
        data      BLOB,
        PRIMARY KEY (namespace, key)
) WITHOUT ROWID;

CREATE TABLE branches (
        id         INTEGER PRIMARY KEY,
        session    INTEGER NOT NULL,
        name       TEXT NOT NULL,
        head       INTEGER,                       -- nodes.id
        vars       INTEGER,
        config     INTEGER NOT NULL,
        origin_checkpoint INTEGER,
        origin_node       INTEGER,
        origin_branch     INTEGER,
        created_at INTEGER NOT NULL
);
CREATE INDEX branches_by_session ON branches (session, id);

CREATE TABLE vars (
        id       INTEGER PRIMARY KEY,
        session  INTEGER NOT NULL,
        parent   INTEGER,
        since    INTEGER NOT NULL,                -- versions since the last snapshot
        time     INTEGER NOT NULL,
        name     TEXT NOT NULL,
        value    TEXT,                            -- JSON as written; NULL: removed
        snapshot TEXT                             -- JSON object of all variables, every 64 versions
);
CREATE INDEX vars_by_session ON vars (session);

CREATE TABLE checkpoints (
        id         INTEGER PRIMARY KEY,
        session    INTEGER NOT NULL,
        branch     INTEGER NOT NULL,
        node       INTEGER,
        vars       INTEGER,
        config     INTEGER NOT NULL,
        run        INTEGER,
        tree       BLOB,                          -- workspace tree (git object id), or NULL
        memory_commit INTEGER,
        kind       INTEGER NOT NULL,              -- CheckpointKind
        pinned     INTEGER NOT NULL DEFAULT 0,
        label      TEXT,
        created_at INTEGER NOT NULL
);
CREATE INDEX checkpoints_by_session ON checkpoints (session, id);

CREATE TABLE runs (
        id         INTEGER PRIMARY KEY,
        session    INTEGER NOT NULL,
        number     INTEGER NOT NULL,              -- the fence: 1 for the session's first run
        state      INTEGER NOT NULL,              -- RunState
        token_hash BLOB,                          -- of the run's secret; NULL once it ended
        cgroup     TEXT,                          -- name below the daemon's cgroup root
        cgroup_id  INTEGER,
        boot_id    TEXT,
        pid        INTEGER,
        pidfd_id   INTEGER,                       -- inode of the pidfd
        start_time INTEGER,                       -- field 22 of /proc/PID/stat
        created_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at   INTEGER,
        result     INTEGER,                       -- RunResult
        exit_code  INTEGER,
        exit_signal INTEGER,
        leftovers  INTEGER,
        reason     TEXT
);
CREATE INDEX runs_by_session ON runs (session, id);
CREATE INDEX runs_open ON runs (state) WHERE state < 3;

CREATE TABLE events (
        id        INTEGER PRIMARY KEY,
        namespace INTEGER NOT NULL,
        session   INTEGER,
        type      INTEGER NOT NULL,               -- EventType
        time      INTEGER NOT NULL,
        data      TEXT                            -- JSON object or NULL
);
CREATE INDEX events_by_session ON events (session, id);

CREATE TABLE tokens (
        id         INTEGER PRIMARY KEY,
        hash       BLOB NOT NULL UNIQUE,
        namespace  INTEGER NOT NULL,
        scope      TEXT NOT NULL,
        name       TEXT,
        created_at INTEGER NOT NULL,
        expires_at INTEGER
);

CREATE TABLE intents (                            -- operations that touch both databases or files
        id      INTEGER PRIMARY KEY,
        session INTEGER,
        kind    TEXT NOT NULL,
        data    TEXT
);

CREATE TABLE properties (                         -- what this database knows about itself
        name  TEXT PRIMARY KEY,                   -- "body-key", "events-floor"
        value BLOB NOT NULL
) WITHOUT ROWID;
