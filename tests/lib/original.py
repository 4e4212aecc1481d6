# SPDX-License-Identifier: MIT
"""Databases as the original AgentRuntime wrote them, for the tests of the import."""
import datetime
import json
import sqlite3

STATE = """
CREATE TABLE sessions (session_id VARCHAR(64) NOT NULL, name VARCHAR(255) NOT NULL, model VARCHAR(255) NOT NULL,
  system_prompt TEXT, tools TEXT, status VARCHAR(32), memory_json TEXT, messages_json TEXT, tool_history_json TEXT,
  created_at DATETIME, updated_at DATETIME, PRIMARY KEY (session_id));
CREATE TABLE checkpoints (checkpoint_id VARCHAR(64) NOT NULL, session_id VARCHAR(64) NOT NULL, label VARCHAR(255),
  state_json TEXT NOT NULL, created_at DATETIME, PRIMARY KEY (checkpoint_id));
CREATE INDEX ix_checkpoints_session_id ON checkpoints (session_id);
"""
MEMORY = """
CREATE TABLE long_term_memory (key VARCHAR(512) NOT NULL, value_json TEXT, embedding_blob BLOB, timestamp DATETIME,
  access_count INTEGER, PRIMARY KEY (key));
CREATE TABLE short_term_memory (id INTEGER NOT NULL, session_id VARCHAR(64), role VARCHAR(32), content TEXT,
  timestamp DATETIME, PRIMARY KEY (id));
CREATE TABLE memory_consolidations (id INTEGER NOT NULL, session_id VARCHAR(64), summary TEXT, from_count INTEGER,
  created_at DATETIME, PRIMARY KEY (id));
"""
BEGIN = datetime.datetime(2025, 3, 1, 12, 0, 0, 123456)


def when(n):
    """The n-th second, as its database has it."""
    return (BEGIN + datetime.timedelta(seconds=n)).strftime("%Y-%m-%d %H:%M:%S.%f")


def public(n):
    """The same as the API shows it."""
    return (BEGIN + datetime.timedelta(seconds=n)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def message(n, role, content, calls=()):
    return {"role": role, "content": content, "tool_calls": list(calls),
            "timestamp": (BEGIN + datetime.timedelta(seconds=n)).isoformat()}


def call(name, arguments=None, result="done"):
    return {"name": name, "arguments": arguments or {}, "result": result}


def state(session_id, **fields):
    """A whole SessionState, as a dictionary."""
    return {"session_id": session_id, "name": "old", "model": "m", "system_prompt": "be kind", "tools": ["search"],
            "status": "stopped", "memory": {}, "messages": [], "tool_history": [],
            "created_at": when(0), "updated_at": when(1), **fields}


class Original:
    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.state = sqlite3.connect(folder / "state.db")
        self.state.executescript(STATE)
        self.memory = sqlite3.connect(folder / "memory.db")
        self.memory.executescript(MEMORY)

    def session(self, s):
        self.state.execute("INSERT INTO sessions VALUES (?,?,?,?,?,?,?,?,?,?,?)", (
            s["session_id"], s["name"], s["model"], s["system_prompt"], json.dumps(s["tools"]), s["status"],
            json.dumps(s["memory"]), json.dumps(s["messages"]), json.dumps(s["tool_history"]), s["created_at"],
            s["updated_at"]))

    def checkpoint(self, checkpoint_id, s, label, n):
        text = s if isinstance(s, str) else json.dumps(s)
        session_id = s["session_id"] if isinstance(s, dict) else label
        self.state.execute("INSERT INTO checkpoints VALUES (?,?,?,?,?)",
                           (checkpoint_id, session_id, label, text, when(n)))

    def remember(self, key, value_json, n=0, count=0, embedding=None):
        self.memory.execute("INSERT INTO long_term_memory VALUES (?,?,?,?,?)",
                            (key, value_json, embedding, when(n), count))

    def close(self):
        for database in self.state, self.memory:
            database.commit()
            database.close()
