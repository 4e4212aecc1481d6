-- state.db, version 3: what a deleted session leaves behind, until the background sweep has removed it.

-- Branches of deleted sessions whose own messages (from origin_node, exclusive, to head) are not all
-- removed yet, or from which living branches begin: see session/sweep.c.
CREATE TABLE dead_branches (
        id            INTEGER PRIMARY KEY,
        session       INTEGER NOT NULL,
        namespace     INTEGER NOT NULL,
        head          INTEGER,
        origin_node   INTEGER,
        origin_branch INTEGER
);
CREATE INDEX dead_branches_by_session ON dead_branches (session);
CREATE INDEX dead_branches_by_head ON dead_branches (head);
CREATE INDEX dead_branches_by_origin_node ON dead_branches (origin_node) WHERE origin_node IS NOT NULL;
CREATE INDEX dead_branches_by_origin_branch ON dead_branches (origin_branch) WHERE origin_branch IS NOT NULL;

-- Files of bodies whose rows are gone.
CREATE TABLE dead_bodies (
        namespace INTEGER NOT NULL,
        key       BLOB NOT NULL,
        PRIMARY KEY (namespace, key)
) WITHOUT ROWID;

-- What begins at a node or on a branch, and who uses a body.
CREATE INDEX branches_by_origin_node ON branches (origin_node) WHERE origin_node IS NOT NULL;
CREATE INDEX branches_by_origin_branch ON branches (origin_branch) WHERE origin_branch IS NOT NULL;
CREATE INDEX nodes_by_body_key ON nodes (body_key) WHERE body_key IS NOT NULL;

-- Files that a checkpoint does not have though they were there: how many, and the first names with reasons.
ALTER TABLE checkpoints ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE checkpoints ADD COLUMN skipped_note TEXT;
