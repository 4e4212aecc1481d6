# SPDX-License-Identifier: MIT
"""The original's routes, in its shapes, with its texts and status codes; and what was broken there works."""
import os
import re
import signal
import sqlite3

import pytest

from lib.agentd import alive, wait_for

pytestmark = pytest.mark.sanitized

ID = re.compile(r"[0-9a-f]{16}\Z")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")
STATE = {"session_id": str, "name": str, "model": str, "system_prompt": str, "tools": list, "status": str,
         "memory": dict, "messages": list, "tool_history": list, "created_at": str, "updated_at": str}
UNKNOWN = "00000000deadbeef"


def assert_state(state):
    for member, kind in STATE.items():
        assert isinstance(state[member], kind), (member, state[member])
    assert ID.match(state["session_id"])
    assert TIME.match(state["created_at"]) and TIME.match(state["updated_at"])


def refused(agentd, method, path, status, detail, body=None):
    answer = agentd.api(method, path, body, expect=status).json
    assert answer["detail"] == detail
    assert answer["code"] and "hint" in answer
    return answer


def full(agentd, name="my-agent"):
    return agentd.create(name, model="fableforge-14b", system_prompt="You are helpful.", tools=["search", "calculator"])


def verb(agentd, session, word, body=None):
    return agentd.api("POST", f"/sessions/{session}/{word}", body, expect=200).json


def checkpoints(agentd, session):
    return agentd.api("GET", f"/sessions/{session}/checkpoints", expect=200).json


def labels(agentd, session):
    return [c["label"] for c in checkpoints(agentd, session)]


# ---- create, list, get ----


def test_create_answers_with_the_new_state(agentd):
    s = full(agentd)
    assert_state(s)
    assert (s["name"], s["model"], s["system_prompt"], s["tools"], s["status"]) == \
        ("my-agent", "fableforge-14b", "You are helpful.", ["search", "calculator"], "created")
    assert (s["memory"], s["messages"], s["tool_history"]) == ({}, [], [])


def test_only_name_and_model_are_needed(agentd):
    s = agentd.api("POST", "/sessions", {"name": "n", "model": "m"}, expect=201).json
    assert s["tools"] == [] and s["system_prompt"] in ("", None)


def test_unknown_members_are_ignored(agentd):
    s = agentd.api("POST", "/sessions", {"name": "n", "model": "m", "colour": "red", "x": [1]}, expect=201).json
    assert s["name"] == "n" and "colour" not in s


@pytest.mark.parametrize("body, kind, where, msg", [
    ({"model": "m"}, "missing", ["body", "name"], "Field required"),
    ({"name": "n"}, "missing", ["body", "model"], "Field required"),
    ({"name": 1, "model": "m"}, "string_type", ["body", "name"], "Input should be a valid string"),
    ({"name": "n", "model": "m", "tools": "t"}, "list_type", ["body", "tools"], "Input should be a valid list"),
    ({"name": "n", "model": "m", "tools": ["t", 2]}, "string_type", ["body", "tools", 1], "Input should be a valid string"),
])
def test_validation_errors_are_pydantics(agentd, body, kind, where, msg):
    answer = agentd.api("POST", "/sessions", body, expect=422).json
    assert len(answer["detail"]) == 1
    error = answer["detail"][0]
    assert (error["type"], error["loc"], error["msg"]) == (kind, where, msg)
    assert error["input"] == (body if kind == "missing" else 1 if where[-1] == "name" else "t" if kind == "list_type" else 2)


def test_all_faults_come_at_once(agentd):
    detail = agentd.api("POST", "/sessions", {"name": 1, "tools": 2}, expect=422).json["detail"]
    assert sorted(d["loc"][1] for d in detail) == ["model", "name", "tools"]


def test_wrong_json_is_told_with_its_position(agentd):
    error = agentd.api("POST", "/sessions", b'{"name": }', expect=422).json["detail"][0]
    assert error["type"] == "json_invalid" and error["loc"] == ["body", 9]
    assert error["msg"].startswith("JSON decode error")


def test_list_gives_everything_oldest_first(agentd):
    made = [full(agentd, f"s{i}")["session_id"] for i in range(30)]
    listed = agentd.api("GET", "/sessions", expect=200).json
    assert [s["session_id"] for s in listed] == made
    assert [s["created_at"] for s in listed] == sorted(s["created_at"] for s in listed)
    for s in listed:
        assert_state(s)


def test_an_empty_list_is_an_empty_array(agentd):
    assert agentd.api("GET", "/sessions", expect=200).body == b"[]"


def test_get_gives_what_create_gave(agentd):
    s = full(agentd)
    assert agentd.session(s["session_id"]) == s


def test_messages_and_tool_calls_have_the_original_members(agentd):
    s = full(agentd)["session_id"]
    call = {"name": "search", "arguments": {"q": "x", "n": 1.0}, "result": ["a", None]}
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "hello"}, expect=201)
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "assistant", "content": "ok", "tool_calls": [call]}, expect=201)
    state = agentd.session(s)
    assert [(m["role"], m["content"], m["tool_calls"]) for m in state["messages"]] == \
        [("user", "hello", []), ("assistant", "ok", [call])]
    assert all(TIME.match(m["timestamp"]) for m in state["messages"])
    assert state["tool_history"] == [call]


def test_updated_at_moves_on_every_change(agentd):
    s = full(agentd)
    seen = [s["updated_at"]]
    for word in ("start", "pause", "resume", "stop"):
        seen.append(verb(agentd, s["session_id"], word)["updated_at"])
    assert seen == sorted(set(seen))
    assert agentd.session(s["session_id"])["created_at"] == s["created_at"]


@pytest.mark.parametrize("method, rest", [("GET", ""), ("POST", "/start"), ("POST", "/pause"), ("POST", "/stop"),
                                          ("POST", "/resume"), ("GET", "/memory"), ("GET", "/memory?key=k"),
                                          ("GET", "/checkpoints"), ("POST", "/checkpoints")])
def test_an_unknown_session_is_404_with_the_original_text(agentd, method, rest):
    refused(agentd, method, f"/sessions/{UNKNOWN}{rest}", 404, f"Session {UNKNOWN} not found")


def test_memory_of_an_unknown_session_is_404(agentd):
    refused(agentd, "POST", f"/sessions/{UNKNOWN}/memory", 404, f"Session {UNKNOWN} not found", {"key": "k", "value": 1})


# ---- the verbs ----

def in_state(agentd, status):
    s = full(agentd)["session_id"]
    for word in {"created": (), "running": ("start",), "paused": ("start", "pause"), "stopped": ("start", "stop")}[status]:
        verb(agentd, s, word)
    assert agentd.session(s)["status"] == status
    return s


@pytest.mark.parametrize("word, before, after", [
    ("start", "created", "running"), ("start", "stopped", "running"),
    ("pause", "running", "paused"),
    ("resume", "paused", "running"), ("resume", "stopped", "running"),
    ("stop", "created", "stopped"), ("stop", "running", "stopped"), ("stop", "paused", "stopped"),
    ("stop", "stopped", "stopped"),
])
def test_verbs_lead_where_the_table_says(agentd, word, before, after):
    s = in_state(agentd, before)
    state = verb(agentd, s, word)
    assert_state(state)
    assert state["status"] == after == agentd.session(s)["status"]


@pytest.mark.parametrize("word, before, text", [
    ("start", "running", "Session {} is already running"),
    ("start", "paused", "Session {} cannot do this while it is paused"),
    ("pause", "created", "Session {} is not running"), ("pause", "paused", "Session {} is not running"),
    ("pause", "stopped", "Session {} is not running"),
    ("resume", "created", "Session {} cannot do this while it is created"),
    ("resume", "running", "Session {} is already running"),
])
def test_verbs_in_a_wrong_state_are_400_and_change_nothing(agentd, word, before, text):
    s = in_state(agentd, before)
    then = agentd.session(s)
    refused(agentd, "POST", f"/sessions/{s}/{word}", 400, text.format(s))
    assert agentd.session(s) == then


def test_pause_and_stop_take_checkpoints_with_the_original_labels(agentd):
    s = in_state(agentd, "paused")
    assert labels(agentd, s) == ["pause-checkpoint"]
    verb(agentd, s, "stop")
    assert labels(agentd, s) == ["pause-checkpoint", "stop-checkpoint"]
    verb(agentd, s, "stop")
    assert labels(agentd, s) == ["pause-checkpoint", "stop-checkpoint"], "a second stop took a checkpoint"


@pytest.mark.parametrize("body", [None, {}, {"session_id": None}, "own", "null"])
def test_resume_without_a_checkpoint_goes_on(agentd, body):
    s = in_state(agentd, "paused")
    body = {"session_id": s} if body == "own" else b"null" if body == "null" else body
    if body == b"null":
        assert agentd.api("POST", f"/sessions/{s}/resume", body).status in (200, 422)
    else:
        assert verb(agentd, s, "resume", body)["status"] == "running"


def test_resume_with_another_session_in_the_body_is_422(agentd):
    s, other = in_state(agentd, "paused"), in_state(agentd, "paused")
    error = agentd.api("POST", f"/sessions/{s}/resume", {"session_id": other}, expect=422).json["detail"][0]
    assert error["loc"] == ["body", "session_id"]
    assert agentd.session(s)["status"] == "paused"


@pytest.mark.parametrize("with_id", [True, False])
@pytest.mark.parametrize("before", ["paused", "stopped", "running"])
def test_resume_with_a_checkpoint_brings_its_conversation_back(agentd, before, with_id):
    s = in_state(agentd, before)
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "one"}, expect=201)
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"]
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "two"}, expect=201)
    state = verb(agentd, s, "resume", {"checkpoint_id": cp, **({"session_id": s} if with_id else {})})
    assert state["status"] == "running" and [m["content"] for m in state["messages"]] == ["one"]
    assert agentd.session(s)["messages"] == state["messages"]


@pytest.mark.parametrize("cp", [UNKNOWN, "cp_456", "\u00fc"])
def test_resume_with_an_unknown_checkpoint_is_400(agentd, cp):
    s = in_state(agentd, "paused")
    refused(agentd, "POST", f"/sessions/{s}/resume", 400, f"Checkpoint {cp} not found for session {s}",
            {"session_id": s, "checkpoint_id": cp})
    assert agentd.session(s)["status"] == "paused"


def test_resume_with_the_checkpoint_of_another_session_is_400(agentd):
    s, other = in_state(agentd, "paused"), in_state(agentd, "paused")
    cp = checkpoints(agentd, other)[0]["checkpoint_id"]
    refused(agentd, "POST", f"/sessions/{s}/resume", 400, f"Checkpoint {cp} not found for session {s}", {"checkpoint_id": cp})


# ---- memory ----


def test_memory_is_stored_and_read_by_its_key(agentd):
    s = full(agentd)["session_id"]
    value = {"theme": "dark", "language": "en", "n": [1, 2.5, None, True]}
    stored = agentd.api("POST", f"/sessions/{s}/memory", {"key": "user_preference", "value": value}, expect=201).json
    assert stored == {"status": "stored", "key": "user_preference"}
    entry = agentd.api("GET", f"/sessions/{s}/memory?key=user_preference", expect=200).json
    assert set(entry) == {"key", "value", "timestamp"}
    assert (entry["key"], entry["value"]) == ("user_preference", value) and TIME.match(entry["timestamp"])


def test_memory_keys_are_listed(agentd):
    s = full(agentd)["session_id"]
    assert agentd.api("GET", f"/sessions/{s}/memory", expect=200).json == {"keys": []}
    for key in ("b", "a", "c d", "\u00fc"):
        agentd.api("POST", f"/sessions/{s}/memory", {"key": key, "value": key}, expect=201)
    assert agentd.api("GET", f"/sessions/{s}/memory", expect=200).json == {"keys": ["a", "b", "c d", "\u00fc"]}


def test_memory_outlives_its_session_and_is_shared_with_others(agentd):
    s, other = full(agentd)["session_id"], full(agentd)["session_id"]
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "k", "value": 1}, expect=201)
    agentd.api("DELETE", f"/sessions/{s}", expect=200)
    assert agentd.api("GET", f"/sessions/{other}/memory?key=k", expect=200).json["value"] == 1


def test_memory_is_overwritten(agentd):
    s = full(agentd)["session_id"]
    for value in (1, "two", None):
        agentd.api("POST", f"/sessions/{s}/memory", {"key": "k", "value": value}, expect=201)
        assert agentd.api("GET", f"/sessions/{s}/memory?key=k", expect=200).json["value"] == value
    assert agentd.api("GET", f"/sessions/{s}/memory", expect=200).json == {"keys": ["k"]}


def test_an_unknown_memory_key_is_404(agentd):
    s = full(agentd)["session_id"]
    assert agentd.api("GET", f"/sessions/{s}/memory?key=nope", expect=404).json["code"] == "memory_not_found"


@pytest.mark.parametrize("body, member", [({"value": 1}, "key"), ({"key": "k"}, "value"), ({"key": 1, "value": 1}, "key")])
def test_wrong_memory_is_422(agentd, body, member):
    s = full(agentd)["session_id"]
    error = agentd.api("POST", f"/sessions/{s}/memory", body, expect=422).json["detail"][0]
    assert error["loc"] == ["body", member]


# ---- checkpoints ----


def test_checkpoints_have_the_original_members(agentd):
    s = full(agentd)["session_id"]
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints?label=before%20lunch", expect=201).json
    assert ID.match(cp["checkpoint_id"]) and TIME.match(cp["created_at"])
    assert (cp["session_id"], cp["label"]) == (s, "before lunch")
    assert checkpoints(agentd, s) == [cp]


def test_a_checkpoint_needs_no_label_and_no_running_session(agentd):
    for status in ("created", "running", "paused", "stopped"):
        s = in_state(agentd, status)
        cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json
        assert not cp["label"] and checkpoints(agentd, s)[-1] == cp


def test_checkpoints_come_oldest_first_all_of_them(agentd):
    s = full(agentd)["session_id"]
    made = [agentd.request("POST", f"/sessions/{s}/checkpoints?label=n{i}").json["checkpoint_id"] for i in range(300)]
    assert [c["checkpoint_id"] for c in checkpoints(agentd, s)] == made


# ---- health ----


def test_health_counts_running_sessions(agentd):
    health = agentd.api("GET", "/health", expect=200).json
    assert health["status"] == "healthy" and health["active_sessions"] == 0
    assert isinstance(health["uptime_seconds"], float) and health["uptime_seconds"] >= 0
    s = in_state(agentd, "running")
    in_state(agentd, "paused")
    assert agentd.api("GET", "/health", expect=200).json["active_sessions"] == 1
    verb(agentd, s, "stop")
    later = agentd.api("GET", "/health", expect=200).json
    assert later["active_sessions"] == 0 and later["uptime_seconds"] > health["uptime_seconds"]


# ---- broken in the original ----


def kill_daemon(agentd):
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()


def test_short_term_memory_is_the_last_fifty_and_nothing_is_lost(agentd):
    s = full(agentd)["session_id"]
    for i in range(150):
        assert agentd.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": f"m{i}"}).status == 201
    window = agentd.api("GET", f"/sessions/{s}/memory/short-term", expect=200).json
    assert [m["content"] for m in window] == [f"m{i}" for i in range(100, 150)]
    every = agentd.api("GET", f"/sessions/{s}?messages=all", expect=200).json["messages"]
    assert [m["content"] for m in every] == [f"m{i}" for i in range(150)]


def test_a_running_session_is_running_after_a_restart_and_can_be_stopped_and_started(agentd):
    s = in_state(agentd, "running")
    kill_daemon(agentd)
    assert agentd.session(s)["status"] == "running"
    assert agentd.api("GET", "/health").json["active_sessions"] == 1
    refused(agentd, "POST", f"/sessions/{s}/start", 400, f"Session {s} is already running")
    assert verb(agentd, s, "stop")["status"] == "stopped"
    assert verb(agentd, s, "start")["status"] == "running"


def test_resume_of_a_running_session_starts_no_second_process(agentd):
    s = agentd.run(["/bin/sleep", "1000"])["session_id"]
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    refused(agentd, "POST", f"/sessions/{s}/resume", 400, f"Session {s} is already running")
    assert len(agentd.api("GET", f"/sessions/{s}/runs", expect=200).json) == 1


def test_the_environment_says_where_the_databases_are(make_agentd, tmp_path):
    where = tmp_path / "elsewhere"
    where.mkdir()
    agentd = make_agentd(env={"AGENT_RUNTIME_MEMORY_DB": str(where / "mem.db")})
    s = full(agentd)["session_id"]
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "k", "value": 1}, expect=201)

    def count(path, table):
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            db.close()
    assert count(agentd.data / "state.db", "sessions") == 1
    tables = sqlite3.connect(f"file:{where / 'mem.db'}?mode=ro", uri=True)
    assert tables.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    tables.close()


def test_the_environment_says_when_stopped_sessions_leave_the_list(make_agentd):
    agentd = make_agentd(env={"AGENT_RUNTIME_SESSION_TIMEOUT": "1"})
    s, other = in_state(agentd, "stopped"), in_state(agentd, "paused")
    wait_for(lambda: [x["session_id"] for x in agentd.api("GET", "/sessions").json] == [other], what="the timeout")
    assert agentd.session(s)["status"] == "stopped"
    assert verb(agentd, s, "resume")["status"] == "running"
    assert len(agentd.api("GET", "/sessions").json) == 2


def test_the_environment_says_how_often_checkpoints_are_taken(make_agentd):
    agentd = make_agentd(env={"AGENT_RUNTIME_CHECKPOINT_INTERVAL": "1"})
    s = in_state(agentd, "running")
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "changed"}, expect=201)
    wait_for(lambda: "auto-checkpoint" in labels(agentd, s), what="an automatic checkpoint")
