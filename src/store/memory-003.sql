-- memory.db, version 3: versions, search, vectors, consolidation.
--
-- entries has what is live, versions what was: a row moves there in the transaction that replaces or
-- removes it. A row's id is an entry's or a version's, never both, and names it in search and vectors.
-- "Segment" is the scope, or the namespace where the scope is 0.
ALTER TABLE entries ADD COLUMN text TEXT;             -- as given; NULL: the value's strings
ALTER TABLE entries ADD COLUMN context TEXT;          -- what was said around it
ALTER TABLE entries ADD COLUMN metadata TEXT;         -- flat JSON object as written
ALTER TABLE entries ADD COLUMN tags TEXT;             -- JSON array of strings as written
ALTER TABLE entries ADD COLUMN importance INTEGER;    -- millionths, 0..1000000
ALTER TABLE entries ADD COLUMN expires_at INTEGER;
ALTER TABLE entries ADD COLUMN node INTEGER;          -- the message it comes from
ALTER TABLE entries ADD COLUMN pending INTEGER NOT NULL DEFAULT 1; -- bits: 1 not in search yet, 2 no vector of the model yet
CREATE INDEX entries_pending ON entries (id) WHERE pending <> 0;
CREATE INDEX entries_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE versions (
        id           INTEGER PRIMARY KEY,
        entry        INTEGER NOT NULL,
        namespace    INTEGER NOT NULL,
        scope        INTEGER NOT NULL,
        key          TEXT NOT NULL,
        version      INTEGER NOT NULL,
        value        TEXT NOT NULL,
        session      INTEGER,
        run          INTEGER,
        node         INTEGER,
        text         TEXT,
        context      TEXT,
        metadata     TEXT,
        tags         TEXT,
        importance   INTEGER,
        created_at   INTEGER NOT NULL,                -- the entry's
        updated_at   INTEGER NOT NULL,                -- it counted from then …
        ended_at     INTEGER NOT NULL,                -- … until then
        ended_by     INTEGER NOT NULL,                -- 1 replaced, 2 deleted, 3 expired
        UNIQUE (namespace, scope, key, version)
);
CREATE INDEX versions_ended ON versions (ended_at);

-- Names of the scopes that are not sessions: the agents'. id: see memory_agent_scope().
CREATE TABLE scopes (
        id        INTEGER PRIMARY KEY,
        namespace INTEGER NOT NULL,
        name      TEXT NOT NULL
);

-- rowid: an entry or a version. scope: one token, 'l' (live) or 'o' (old) and the segment in decimal:
-- no stemmer changes a word that ends in a digit.
CREATE VIRTUAL TABLE search USING fts5 (text, context, scope, tokenize = 'porter unicode61 remove_diacritics 2');

CREATE TABLE models (
        id         INTEGER PRIMARY KEY,
        name       TEXT NOT NULL,                     -- "given", or as whoever stored the entry calls it
        dimensions INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        UNIQUE (name, dimensions)
);
-- Vectors by what they were made of: equal texts are embedded once.
CREATE TABLE embeddings (
        id     INTEGER PRIMARY KEY,
        model  INTEGER NOT NULL,
        hash   BLOB NOT NULL,                         -- of the text; of a given one: of its numbers
        vector BLOB NOT NULL,                         -- float32, little endian, of length 1
        UNIQUE (model, hash)
);
CREATE TABLE vectors (
        row       INTEGER NOT NULL,                   -- an entry or a version
        model     INTEGER NOT NULL,
        embedding INTEGER NOT NULL,
        PRIMARY KEY (row, model)
) WITHOUT ROWID;
CREATE INDEX vectors_embedding ON vectors (embedding);
-- Whose vectors may have changed, for indexes that are behind; removed once their files have it.
CREATE TABLE vector_changes (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        entry    INTEGER NOT NULL,                    -- 0: the whole segment is gone
        segment  INTEGER NOT NULL
);

CREATE TABLE consolidations (
        id         INTEGER PRIMARY KEY,
        namespace  INTEGER NOT NULL,
        session    INTEGER NOT NULL,
        from_node  INTEGER NOT NULL,                  -- the span, both ends included
        to_node    INTEGER NOT NULL,
        messages   INTEGER NOT NULL,
        entry      INTEGER NOT NULL,                  -- the summary
        previous   INTEGER,                           -- the consolidation that this one continues
        method     TEXT NOT NULL,                     -- 'extractive' or the model's name
        reason     TEXT,                              -- why not by the model
        tokens_in  INTEGER NOT NULL DEFAULT 0,
        tokens_out INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL
);
CREATE INDEX consolidations_session ON consolidations (session, id);
-- Where an entry that was made of messages comes from.
CREATE TABLE sources (
        entry   INTEGER NOT NULL,
        session INTEGER NOT NULL,
        node    INTEGER NOT NULL,
        PRIMARY KEY (entry, session, node)
) WITHOUT ROWID;
