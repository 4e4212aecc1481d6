-- memory.db, version 2: Idempotency-Key. A row commits together with what its request did; see request-key.h.
CREATE TABLE request_keys (
        id         INTEGER PRIMARY KEY,           -- ascends with time: the oldest are removed first
        key        BLOB NOT NULL UNIQUE,          -- hash of the caller and its key
        request    BLOB NOT NULL,                 -- hash of method, path, query and body
        created_at INTEGER NOT NULL,
        status     INTEGER NOT NULL,              -- of the answer
        result     INTEGER,                       -- what it made or changed
        answer     BLOB                           -- as the caller gave it; NULL: to be made again from result
);
