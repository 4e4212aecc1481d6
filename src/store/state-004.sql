-- state.db, version 4: what an import from another program has to keep.
-- Names by which ids are known outside (base/id.h): those the other program gave.
CREATE TABLE aliases (
        id   INTEGER PRIMARY KEY,
        name INTEGER NOT NULL UNIQUE
);
-- Tool calls that were recorded apart from the messages: a JSON array, in place of the calls of the
-- first history_depth messages; history_extra is what that adds to a node's tool_calls.
ALTER TABLE configs ADD COLUMN history TEXT;
ALTER TABLE configs ADD COLUMN history_depth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE configs ADD COLUMN history_extra INTEGER NOT NULL DEFAULT 0;
