-- memory.db, version 1: long-term entries. scope: 0 the namespace, else a session id.
CREATE TABLE entries (
        id           INTEGER PRIMARY KEY,
        namespace    INTEGER NOT NULL,
        scope        INTEGER NOT NULL DEFAULT 0,
        key          TEXT NOT NULL,
        value        TEXT NOT NULL,               -- JSON as written
        session      INTEGER,                     -- who stored it
        run          INTEGER,
        created_at   INTEGER NOT NULL,
        updated_at   INTEGER NOT NULL,
        version      INTEGER NOT NULL DEFAULT 1,
        access_count INTEGER NOT NULL DEFAULT 0,
        UNIQUE (namespace, scope, key)
);
