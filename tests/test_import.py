# SPDX-License-Identifier: MIT
"""The one-time import of the original AgentRuntime's databases."""
import copy
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess

import pytest

from lib.agentd import BUILD, alive, wait_for
from lib.original import Original, call, message, public, state, when


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def old(make_agentd):
    """A daemon that is not started yet, and the databases it will find."""
    instance = make_agentd(start=False)
    return instance, Original(instance.data)


def report(agentd, name="state.db"):
    path = agentd.data / f"{name}.import-report"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def same_state(shown, wanted):
    """Whether the API shows what the original's state says."""
    for field in "model", "system_prompt", "tools", "memory", "tool_history":
        assert shown[field] == wanted[field], field
    assert len(shown["messages"]) == len(wanted["messages"])
    for ours, theirs in zip(shown["messages"], wanted["messages"]):
        for field in "role", "content", "tool_calls":
            assert ours[field] == theirs[field]
        assert ours["timestamp"].rstrip("Z") == theirs["timestamp"]
    assert shown["message_count"] == len(wanted["messages"])
    assert shown["tool_call_count"] == len(wanted["tool_history"])


A, B, C, D = "ffee0011223344aa", "0000000000000007", "8000000000000000", "7fffffffffffffff"


def whole(session_id=A):
    return state(
        session_id, name="agent one", memory={"n": 12345678901234567890123, "f": 1.0, "u": "ü\u0000"},
        messages=[message(2, "user", "hello"), message(3, "assistant", "hi", [call("search", {"q": 1})]),
                  message(4, "user", "x" * 70000)],
        tool_history=[call("search", {"q": 1})])


def test_a_session_comes_over_with_everything_it_was(old):
    agentd, o = old
    one = whole()
    o.session(one)
    o.close()
    before = digest(agentd.data / "state.db")
    agentd.start()
    shown = agentd.session(A)
    same_state(shown, one)
    assert shown["session_id"] == A and shown["name"] == "agent one" and shown["status"] == "stopped"
    assert shown["created_at"] == public(0) and shown["updated_at"] >= public(1)
    assert digest(agentd.data / "state.db.original") == before
    assert report(agentd) == []


def test_lists_come_in_the_order_of_creation_under_the_old_ids(old):
    agentd, o = old
    for n, session_id in enumerate([C, B, A, D]):
        o.session(state(session_id, name=f"s{n}", created_at=when(n)))
    o.close()
    agentd.start()
    assert [s["session_id"] for s in agentd.api("GET", "/sessions").json] == [C, B, A, D]
    new = agentd.create("new")["session_id"]
    assert [s["session_id"] for s in agentd.api("GET", "/sessions").json] == [C, B, A, D, new]
    page = agentd.api("GET", f"/sessions?limit=2&after={B}").json
    assert [s["session_id"] for s in page] == [A, D]
    assert agentd.cli("show", A[:6]).returncode == 0


@pytest.mark.parametrize("status, wanted, resumes", [
    ("created", "created", "start"), ("running", "stopped", "resume"), ("paused", "paused", "resume"),
    ("stopped", "stopped", "resume"), ("error", "error", "resume")])
def test_statuses_are_mapped_and_lead_on(old, status, wanted, resumes):
    agentd, o = old
    o.session(state(A, status=status))
    o.close()
    agentd.start()
    shown = agentd.session(A)
    assert shown["status"] == wanted
    assert ("imported" in (shown["reason"] or "")) == (status in ("running", "error"))
    assert agentd.api("POST", f"/sessions/{A}/{resumes}", expect=200).json["status"] == "running"


def test_every_checkpoint_gives_back_exactly_its_state(old):
    agentd, o = old
    one = whole()
    o.session(one)
    states = {}
    for n in range(4):  # the same beginning
        s = copy.deepcopy(one)
        s["messages"] = s["messages"][:n]
        s["memory"] = {"step": n}
        s["tool_history"] = s["tool_history"] if n >= 2 else []
        states[f"c00000000000000{n}"] = s
    other = copy.deepcopy(one)  # another conversation
    other["messages"][1]["content"] = "another answer"
    other["model"] = "another-model"
    states["c0000000000000a0"] = other
    apart = copy.deepcopy(one)  # a history that the messages do not have
    apart["tool_history"] = [call("first"), call("second", {"x": [1.50]}), call("first")]
    states["c0000000000000a1"] = apart
    none = copy.deepcopy(one)
    none["tool_history"] = []
    states["c0000000000000a2"] = none
    empty = copy.deepcopy(one)  # calls without a conversation
    empty["messages"], empty["tool_history"] = [], [call("lonely")]
    states["c0000000000000a3"] = empty
    for n, (checkpoint_id, s) in enumerate(states.items()):
        o.checkpoint(checkpoint_id, s, "auto-checkpoint" if n % 2 else "mine", 10 + n)
    o.close()
    agentd.start()
    listed = agentd.api("GET", f"/sessions/{A}/checkpoints").json
    assert [c["checkpoint_id"] for c in listed] == list(states)
    assert [c["created_at"] for c in listed] == [public(10 + n) for n in range(len(states))]
    assert listed[1]["label"] == "auto-checkpoint" and listed[1]["kind"] == "auto"
    for checkpoint_id, s in states.items():
        same_state(agentd.api("GET", f"/sessions/{A}/checkpoints/{checkpoint_id}/state").json, s)
        body = {"session_id": A, "checkpoint_id": checkpoint_id}
        same_state(agentd.api("POST", f"/sessions/{A}/resume", body, expect=200).json, s)
    # and life goes on behind it
    agentd.api("POST", f"/sessions/{A}/messages", {"role": "assistant", "content": "on", "tool_calls": [call("new")]},
               expect=201)
    shown = agentd.session(A)
    assert shown["tool_history"] == [call("lonely"), call("new")] and shown["tool_call_count"] == 2
    agentd.api("PATCH", f"/sessions/{A}", {"model": "third"}, expect=200)
    assert agentd.session(A)["tool_history"] == [call("lonely"), call("new")]


def rows(agentd, *tables):
    db = sqlite3.connect(f"file:{agentd.data}/state.db?mode=ro", uri=True, timeout=30)
    try:
        return [db.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in tables]
    finally:
        db.close()


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
def test_a_fork_keeps_what_it_has_of_a_deleted_session_that_was_imported(old, dies):
    agentd, o = old
    one = whole()
    one["messages"] += [message(n, "user", f"later {n} " + "y" * 3000) for n in range(5, 40)]
    o.session(one)
    early, apart = copy.deepcopy(one), copy.deepcopy(one)
    early["messages"], early["memory"] = early["messages"][:2], {"early": True}
    apart["messages"][1]["content"] = "another answer"  # a conversation of its own
    apart["tool_history"] = [call("first"), call("second")]
    states = {"c000000000000001": early, "c000000000000002": apart, "c000000000000003": one}
    for n, (checkpoint_id, s) in enumerate(states.items()):
        o.checkpoint(checkpoint_id, s, "mine", 10 + n)
    o.close()
    agentd.start()
    forks = {}
    for checkpoint_id, s in states.items():
        body = {"checkpoint_id": checkpoint_id, "name": f"fork of {checkpoint_id}"}
        forks[agentd.api("POST", f"/sessions/{A}/fork", body, expect=201).json["session_id"]] = s
    agentd.api("DELETE", f"/sessions/{A}", expect=200)
    if dies:
        pid = agentd.daemon_pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), what="the daemon's death")
        agentd.wait_ready()
    assert agentd.request("GET", f"/sessions/{A}").status == 404
    # What none of them has goes, a fork after the other, and each time those that are left have all that is theirs.
    while forks:
        wait_for(lambda: rows(agentd, "dead_branches")[0] <= len(forks) + 1, what="the end of the sweep")
        for fork, s in forks.items():
            same_state(agentd.session(fork), s)
        fork = next(iter(forks))
        agentd.api("POST", f"/sessions/{fork}/messages", {"role": "user", "content": "and on"}, expect=201)
        agentd.api("DELETE", f"/sessions/{fork}", expect=200)
        del forks[fork]
    left = "nodes", "bodies", "vars", "configs", "branches", "dead_branches"
    wait_for(lambda: rows(agentd, *left) == [0] * len(left), what="an empty database")


def test_memory_comes_over_as_it_was_written(old):
    agentd, o = old
    o.session(state(A))
    values = {"a": '{"z": 1.0,  "a": 12345678901234567890}', "ключ": '"\\ud800"', "list": "[1, 2,3]", "none": "null"}
    for n, (key, value) in enumerate(values.items()):
        o.remember(key, value, n=n, count=n, embedding=b"\0" * 32)
    o.memory.execute("INSERT INTO short_term_memory VALUES (1, ?, 'user', 'hello', ?)", (A, when(5)))
    o.memory.execute("INSERT INTO memory_consolidations VALUES (1, ?, 'they met', 7, ?)", (A, when(6)))
    o.close()
    before = digest(agentd.data / "memory.db")
    agentd.start()
    assert agentd.api("GET", f"/sessions/{A}/memory").json["keys"] == sorted(values, key=str.encode)
    for n, (key, value) in enumerate(values.items()):
        answer = agentd.request("GET", f"/sessions/{A}/memory?key=" + original_quote(key))
        assert value.encode() in answer.body and answer.json["timestamp"] == public(n)
    assert digest(agentd.data / "memory.db.original") == before
    agentd.stop()
    database = sqlite3.connect(agentd.data / "memory.db")
    rows = dict(database.execute("SELECT key, value FROM entries WHERE scope <> 0"))
    counts = dict(database.execute("SELECT key, access_count FROM entries WHERE scope = 0"))
    database.close()
    assert json.loads(rows["short-term"]) == [{"role": "user", "content": "hello", "timestamp": public(5)}]
    assert json.loads(rows["consolidations"]) == [{"summary": "they met", "from_count": 7, "created_at": public(6)}]
    assert [counts[key] for key in values] == [1, 2, 3, 4]  # each was read once here


def original_quote(text):
    import urllib.parse
    return urllib.parse.quote(text)


def test_what_is_damaged_is_named_and_costs_only_itself(old):
    agentd, o = old
    o.session(whole())
    for session_id, column, value in [
            (B, "messages_json", "[{\"role\": \"user\", \"content\": \"a\""), (C, "memory_json", "{\"a\": NaN}"),
            (D, "name", b"\xff\xfe"), ("cp_456", "model", "m"), ("00000000000000a1", "status", "dreaming"),
            ("00000000000000a2", "created_at", "yesterday"), ("00000000000000a3", "tools", "{}"),
            ("00000000000000a4", "tool_history_json", "7")]:
        o.session(state(session_id, messages=[message(1, "user", "kept")], memory={"kept": 1}))
        o.state.execute(f"UPDATE sessions SET {column} = ? WHERE session_id = ?", (value, session_id))
    o.session(state("00000000000000a5", memory={"big": 10 ** 400},
                    messages=[message(1, "user", "a"), {"role": 7}, 8, {"role": "user", "content": {"a": 1}},
                              {"role": "user", "content": "no time"}, message(2, "user", "b", ["no call"])]))
    o.state.execute("UPDATE sessions SET memory_json = ? WHERE session_id = ?", ('{"k": 1, "k": 2}', A))
    o.checkpoint("c000000000000001", "{broken", A, 3)
    o.checkpoint("c000000000000002", state("nobody"), "lost", 3)
    o.checkpoint("c000000000000003", whole(), "sound", 4)
    o.remember("sound", "1")
    o.remember("broken", "{")
    o.remember(b"\xff", "1")
    o.memory.execute("INSERT INTO short_term_memory VALUES (1, 'nobody', 'user', 'hello', ?)", (when(5),))
    o.close()
    agentd.start()
    problems = {(p["table"], p["key"]) for p in report(agentd)}
    for session_id in B, C, D, "cp_456", *(f"00000000000000a{n}" for n in range(1, 6)):
        assert ("sessions", session_id) in problems
    assert ("checkpoints", "c000000000000001") in problems and ("checkpoints", "c000000000000002") in problems
    assert len(agentd.api("GET", "/sessions").json) == 10
    assert agentd.session(A)["memory"] == {"k": 2}
    assert agentd.session(B)["messages"] == [] and agentd.session(B)["memory"] == {"kept": 1}
    assert agentd.session(C)["messages"][0]["content"] == "kept" and agentd.session(C)["memory"] == {}
    assert agentd.session(D)["name"] == D
    assert [m["content"] for m in agentd.session("00000000000000a5")["messages"]] == ["a", "no time", "b"]
    assert agentd.session("00000000000000a5")["memory"] == {"big": 10 ** 400}
    renamed = [s for s in agentd.api("GET", "/sessions").json if s["labels"]]
    assert [s["labels"] for s in renamed] == [{"original-id": "cp_456"}]
    assert [c["checkpoint_id"] for c in agentd.api("GET", f"/sessions/{A}/checkpoints").json] == ["c000000000000003"]
    assert agentd.api("GET", "/memory").json["keys"] == ["sound"]
    assert {(p["table"], p["key"]) for p in report(agentd, "memory.db")} == {
        ("long_term_memory", "broken"), ("long_term_memory", None), ("short_term_memory", "nobody")}
    summary = [e for e in agentd.api("GET", "/events").json if e["type"] == "daemon.imported"]
    assert summary[0]["data"]["sessions"] == 10 and summary[0]["data"]["problems"] == len(report(agentd))


def test_another_programs_database_is_refused_and_left_alone(old):
    agentd, o = old
    o.state.execute("ALTER TABLE sessions ADD COLUMN colour TEXT")
    o.close()
    before = digest(agentd.data / "state.db")
    refused = agentd.cli("start", "--detach", timeout=60)
    assert refused.returncode == 1 and "belongs to another program" in refused.stderr
    assert digest(agentd.data / "state.db") == before and not (agentd.data / "state.db.original").exists()


def test_an_original_that_is_in_use_is_refused(old):
    agentd, o = old
    o.session(state(A))
    o.state.commit()
    o.state.isolation_level = None
    o.state.execute("BEGIN IMMEDIATE")
    refused = agentd.cli("start", "--detach", timeout=60)
    assert refused.returncode == 1 and "is in use: stop that program" in refused.stderr
    o.state.execute("ROLLBACK")
    o.close()
    agentd.start()
    assert agentd.session(A)["status"] == "stopped"


def test_a_transaction_that_the_original_left_half_done_is_undone(old):
    agentd, o = old
    o.session(state(A, name="before"))
    o.state.commit()
    o.close()
    script = ("import sqlite3, os, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
              "c.execute('PRAGMA cache_size = 1')\nc.execute('BEGIN')\n"
              "c.execute(\"UPDATE sessions SET name = 'after', messages_json = ?\", ('[' + ' ' * 5000000 + ']',))\n"
              "os.kill(os.getpid(), 9)\n")
    subprocess.run(["/usr/bin/python3", "-c", script, agentd.data / "state.db"], check=False)
    assert (agentd.data / "state.db-journal").stat().st_size > 0
    before = {name: digest(agentd.data / name) for name in ("state.db", "state.db-journal")}
    agentd.start()
    assert agentd.session(A)["name"] == "before"
    assert digest(agentd.data / "state.db.original") == before["state.db"]
    assert digest(agentd.data / "state.db.original-journal") == before["state.db-journal"]


def fill(o, n):
    for k in range(n):
        session_id = f"{(k * 0x9e3779b97f4a7c15 + 1) % 2 ** 64:016x}"
        one = state(session_id, name=f"s{k}", created_at=when(k), memory={"k": k},
                    messages=[message(k, "user", f"m{k}"), message(k + 1, "assistant", "a" * 200)])
        o.session(one)
        o.checkpoint(f"{(k * 0xc2b2ae3d27d4eb4f + 5) % 2 ** 64:016x}", one, "mine", k)
        o.remember(f"key{k:05}", str(k), n=k)
    o.close()


def whole_import(agentd, n):
    listed = agentd.api("GET", "/sessions", timeout=120).json
    assert [s["name"] for s in listed] == [f"s{k}" for k in range(n)]
    assert all(s["message_count"] == 2 for s in listed)
    assert len(agentd.api("GET", "/memory").json["keys"]) == n


@pytest.mark.slow
def test_ten_thousand_sessions_come_over(old):
    agentd, o = old
    fill(o, 10000)
    agentd.start()
    whole_import(agentd, 10000)
    assert report(agentd) == []


def test_killed_at_any_moment_the_next_start_goes_on(old):
    agentd, o = old
    n = 2000
    fill(o, n)
    before = {name: digest(agentd.data / name) for name in ("state.db", "memory.db")}
    chance = random.Random(1)
    moments = ["state.db.import.part", "state.db.import.part", "state.db.original", "memory.db.import.part"]
    for moment in moments:
        agentd.start(wait=False)
        begin = chance.randrange(0, 4 << 20)

        def reached():
            path = agentd.data / moment
            grown = path.exists() and (".part" not in moment or path.stat().st_size >= begin)
            return grown or (agentd.data / "memory.db.original").exists()
        wait_for(reached, what=moment)
        agentd.kill_own()
        for name, was in before.items():  # the original is there, as it was, under one of its names
            kept = agentd.data / f"{name}.original"
            assert digest(kept if kept.exists() else agentd.data / name) == was
    agentd.start()
    whole_import(agentd, n)
    for name, was in before.items():
        assert digest(agentd.data / f"{name}.original") == was
        assert not list(agentd.data.glob(f"{name}.import*"))


def test_mutated_originals_never_bring_it_down(make_agentd):
    """Bytes changed at random places: it imports what is there, or refuses in one sentence."""
    seed = int(os.environ.get("AGENTD_SEED", "1"))
    outcomes = set()
    for n in range(8):
        chance = random.Random(seed * 1000 + n)
        agentd = make_agentd(f"m{n}", start=False)
        o = Original(agentd.data)
        o.session(whole())
        for k in range(20):
            o.session(state(f"{k + 1:016x}", messages=[message(k, "user", "y" * 900)]))
            o.checkpoint(f"c{k:015x}", whole(f"{k + 1:016x}"), "mine", k)
            o.remember(f"k{k}", json.dumps({"v": "z" * 300}))
        o.close()
        path = agentd.data / chance.choice(["state.db", "memory.db"])
        data = bytearray(path.read_bytes())
        for _ in range(chance.choice([1, 10, 200])):
            data[chance.randrange(100, len(data))] = chance.randrange(256)
        path.write_bytes(data)
        started = agentd.cli("start", "--detach", timeout=60)
        outcomes.add(started.returncode)
        if started.returncode == 0:
            for s in agentd.api("GET", "/sessions").json:
                agentd.api("GET", f"/sessions/{s['session_id']}?messages=all", expect=200)
        else:
            assert "corrupt" in started.stderr or "another program" in started.stderr, started.stderr
            assert path.read_bytes() == bytes(data)
        agentd.kill_everything()
    assert 0 in outcomes
