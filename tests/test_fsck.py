# SPDX-License-Identifier: MIT
"""Each kind of damage is named exactly, repaired, and a daemon works on what was repaired."""
import json
import random
import sqlite3

import pytest

from lib.agentd import wait_for

CLEAN, REPAIRED, LEFT, FAILED = 0, 1, 4, 8


def fsck(agentd, *options):
    return agentd.cli("fsck", *options, timeout=120)


def problems(agentd):
    found = fsck(agentd, "--json")
    assert found.returncode in (CLEAN, LEFT), found.stderr
    return [(p["what"], p["problem"]) for p in map(json.loads, found.stdout.splitlines())]


@pytest.fixture
def stored(agentd):
    """A stopped daemon with a conversation, large messages, variables, checkpoints, a fork and memory."""
    s = agentd.create("kept", variables={"step": 0})["session_id"]
    for n in range(8):
        agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": f"m{n}"}, expect=201)
        agentd.api("PUT", f"/sessions/{s}/variables/step", n, expect=200)
    agentd.api("POST", f"/sessions/{s}/checkpoints?label=one", expect=201)
    for content in "y" * 9000, random.Random(1).randbytes(3 << 20).hex():
        agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": content}, expect=201)
    agentd.api("POST", f"/sessions/{s}/fork", {"name": "fork"}, expect=201)
    agentd.api("POST", "/memory", {"key": "k", "value": 1}, expect=201)
    assert fsck(agentd).returncode == CLEAN  # while it runs
    agentd.stop()
    wait_for(lambda: not agentd.own_pids(), what="the end")
    return agentd, s


def damage(agentd, sql, name="state.db"):
    database = sqlite3.connect(agentd.data / name)
    database.executescript(sql)
    database.close()


DAMAGES = {
    "parent": ("DELETE FROM nodes WHERE depth = 3", [("message", "the message before it is gone")]),
    "depth": ("UPDATE nodes SET depth = 77 WHERE depth = 5",
              [("message", "it says another place in its conversation")]),
    "jump": ("UPDATE nodes SET jump = id - 1 WHERE depth = 7", [("message", "its short cut leads elsewhere")]),
    "head": ("DELETE FROM nodes WHERE depth = 10", [("branch", "its last message is gone")] * 2),
    "text": ("DELETE FROM bodies WHERE encoding < 2", [("message", "its text is neither in its row nor stored")]),
    "bytes": ("UPDATE bodies SET data = CAST(replace(data, 'yyyy', 'yyyz') AS BLOB) WHERE encoding < 2",
              [("text", "its bytes have changed")]),
    "branch": ("DELETE FROM branches WHERE session = (SELECT MIN(id) FROM sessions)",
               [("session", "its branch is gone"), ("checkpoint", "its branch is gone")]),
    "config": ("DELETE FROM configs",
               [("branch", "its configuration is gone")] * 2 + [("checkpoint", "its configuration is gone")]),
    "vars": ("DELETE FROM vars WHERE id = (SELECT MIN(id) FROM vars)", [("variables", "the version before it is gone")]),
    "state": ("UPDATE sessions SET substate = 99 WHERE name = 'fork'", [("session", "its state is none")]),
    "namespace": ("UPDATE sessions SET namespace = 5 WHERE name = 'fork'", [("session", "its namespace is gone")]),
    "session": ("DELETE FROM sessions WHERE name = 'kept'",
                [("checkpoint", "its session is gone"), ("branch", "its session is gone")]),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named_and_repaired(stored, kind):
    agentd, s = stored
    sql, wanted = DAMAGES[kind]
    damage(agentd, sql)
    assert sorted(problems(agentd)) == sorted(wanted)
    repaired = fsck(agentd, "--repair")
    assert repaired.returncode == REPAIRED, repaired.stdout + repaired.stderr
    assert "; repaired: " in repaired.stdout and repaired.stdout.endswith(", 0 left\n")
    assert list(agentd.data.glob("state.db.before-fsck-*"))
    assert fsck(agentd).returncode == CLEAN
    agentd.start()
    for one in agentd.api("GET", "/sessions").json:
        agentd.api("GET", f"/sessions/{one['session_id']}?messages=all", expect=200)
        agentd.api("POST", f"/sessions/{one['session_id']}/messages", {"role": "user", "content": "on"}, expect=201)
        agentd.api("PUT", f"/sessions/{one['session_id']}/variables/new", 1, expect=200)
    agentd.stop()
    wait_for(lambda: not agentd.own_pids(), what="the end")
    assert fsck(agentd).returncode == CLEAN


@pytest.mark.parametrize("how, wanted", [("remove", "its file is gone"), ("flip", "its bytes have changed")])
def test_a_large_messages_file_is_checked(stored, how, wanted):
    agentd, s = stored
    path = next(p for p in (agentd.data / "bodies").rglob("*") if p.is_file())
    if how == "remove":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    found = problems(agentd)
    assert found[0][0] == "text" and found[0][1] in (wanted, "it cannot be unpacked")
    assert fsck(agentd, "--repair").returncode == REPAIRED
    assert len(list((agentd.data / "lost+found").glob("*"))) == (how == "flip") if how == "flip" else True
    agentd.start()
    last = agentd.api("GET", f"/sessions/{s}/messages").json[-1]
    assert "was lost" in last["content"]


def test_a_file_that_nobody_knows_is_moved_away(stored):
    agentd, s = stored
    stray = agentd.data / "bodies" / "ab" / ("c" * 62)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_text("stray")
    assert problems(agentd) == [("file", "no message has it")]
    assert fsck(agentd, "--repair").returncode == REPAIRED
    assert not stray.exists()
    assert [p.read_text() for p in (agentd.data / "lost+found").iterdir()] == ["stray"]


def test_memory_values_that_are_no_json_are_kept_as_text(stored):
    agentd, s = stored
    damage(agentd, "UPDATE entries SET value = '{broken'", "memory.db")
    assert problems(agentd) == [("memory entry", "its value is no JSON")]
    assert fsck(agentd, "--repair").returncode == REPAIRED
    agentd.start()
    assert agentd.api("GET", "/memory?key=k").json["value"] == "{broken"


def test_a_damaged_page_is_left_for_a_backup(stored):
    agentd, s = stored
    database = sqlite3.connect(agentd.data / "state.db")
    page = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'nodes'").fetchone()[0]
    database.close()
    with open(agentd.data / "state.db", "r+b") as f:
        f.seek((page - 1) * 4096)
        f.write(b"\xff" * 4096)
    found = fsck(agentd)
    assert found.returncode == LEFT and "database" in found.stdout


def test_a_repair_wants_the_daemon_stopped(agentd):
    refused = fsck(agentd, "--repair")
    assert refused.returncode == FAILED and "stop it before a repair" in refused.stderr
