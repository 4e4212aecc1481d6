# SPDX-License-Identifier: MIT
"""Each kind of damage is named exactly, repaired, and a daemon works on what was repaired."""
import itertools
import json
import random
import sqlite3
import threading

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


@pytest.fixture
def recorded(agentd, tmp_path):
    """A stopped daemon with a workspace in two checkpoints, small files in a pack and a large one for itself, and a run's output."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "small.txt").write_text("small")
    (work / "large.bin").write_bytes(random.Random(2).randbytes(4 << 20))
    s = agentd.run(["sh", "-c", "for n in 1 2 3 4 5 6; do echo line $n; echo error $n >&2; sleep 0.02; done"],
                   name="worker", workspace=str(work), agent={"restart": "no"})["session_id"]
    agentd.wait_session(s, lambda x: x["status"] != "running")
    made = []
    for n in range(2):
        (work / "small.txt").write_text(f"small {n}")
        made.append(agentd.api("POST", f"/sessions/{s}/checkpoints?label=c{n}", expect=201).json["checkpoint_id"])
    agentd.api("POST", "/memory", {"key": "k", "value": 1}, expect=201)
    assert fsck(agentd).stdout == "clean\n"  # while it runs
    agentd.stop()
    wait_for(lambda: not agentd.own_pids(), what="the end")
    assert fsck(agentd).stdout == "clean\n"
    return agentd, s, made, work


def objects(agentd):
    return next((agentd.data / "workspaces").glob("*.git")) / "objects"


def told(agentd, what):
    """{id: (problem, repair)}"""
    found = [json.loads(line) for line in fsck(agentd, "--json").stdout.splitlines()]
    assert found and {p["what"] for p in found} == {what}, found
    return {p["id"]: (p["problem"], p["repair"]) for p in found}


@pytest.mark.parametrize("how", ["repository", "packs"])
def test_a_checkpoint_whose_files_are_gone_is_named_and_keeps_the_rest(recorded, how):
    agentd, s, made, work = recorded
    where = objects(agentd)
    if how == "repository":
        where.parent.rename(agentd.folder / "elsewhere.git")
    else:
        for pack in (where / "pack").iterdir():
            pack.unlink()
    found = told(agentd, "checkpoint")
    assert set(made) <= set(found) and {v[0] for v in found.values()} == {"its files are gone"}
    assert fsck(agentd, "--repair").returncode == REPAIRED and fsck(agentd).returncode == CLEAN
    agentd.start()
    point = agentd.api("GET", f"/sessions/{s}/checkpoints/{made[0]}", expect=200).json
    assert point["workspace_tree"] is None and "lost" in point["files_note"]
    agentd.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": made[0]}, expect=200)
    assert (work / "small.txt").read_text() == "small 1", "files that are not known were touched"


@pytest.mark.parametrize("how", ["remove", "flip"])
def test_a_file_that_is_damaged_in_all_checkpoints_is_left_to_a_person(recorded, how):
    agentd, s, made, work = recorded
    large = max((p for p in objects(agentd).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    if how == "remove":
        large.unlink()
    else:
        large.chmod(0o600)
        data = bytearray(large.read_bytes())
        data[len(data) // 2] ^= 1
        large.write_bytes(data)
    found = told(agentd, "checkpoint")
    assert set(made) <= set(found)
    assert {v for v in found.values()} == {("some of its files are gone or damaged: restore a backup, or delete it", None)}
    assert fsck(agentd, "--repair").returncode == LEFT
    agentd.start()
    for point in found:
        agentd.api("DELETE", f"/sessions/{s}/checkpoints/{point}", expect=200)
    assert fsck(agentd).returncode == CLEAN


def test_a_flipped_bit_in_a_pack_is_found(recorded):
    agentd, s, made, work = recorded
    for pack in (objects(agentd) / "pack").glob("*.pack"):
        data = bytearray(pack.read_bytes())
        data[20] ^= 0x10
        pack.chmod(0o600)
        pack.write_bytes(data)
    assert set(made) <= set(told(agentd, "checkpoint"))


def index(agentd):
    return next(p for p in (agentd.data / "logs").rglob("*.idx") if p.stat().st_size > 64)


def half(path):
    path.write_bytes(path.read_bytes() + b"1234567")


def short(path):
    out = path.with_suffix(".out")
    out.write_bytes(out.read_bytes()[:10])


def backwards(path):
    data = path.read_bytes()
    path.write_bytes(b"".join(data[i:i + 16] for i in reversed(range(0, len(data), 16))))


def remove(path):
    path.unlink()


@pytest.mark.parametrize("how, wanted, lost", [(remove, "the index is gone, so nobody is shown the output", 0),
                                               (half, "its index ends in half a record", 0),
                                               (short, "its index promises more than was written", 0),
                                               (backwards, "its index goes backwards", 1)])
def test_an_index_that_is_wrong_is_named_and_the_output_stays(recorded, how, wanted, lost):
    agentd, s, made, work = recorded
    path = index(agentd)
    out, err = (path.with_suffix(x).read_text() for x in (".out", ".err"))
    how(path)
    assert told(agentd, "log")[str(path.relative_to(agentd.data))][0] == wanted
    assert fsck(agentd, "--repair").returncode == REPAIRED and fsck(agentd).returncode == CLEAN
    assert len(list(agentd.data.glob("lost+found/*"))) == lost
    agentd.start()
    lines = agentd.api("GET", f"/sessions/{s}/logs", expect=200).body.decode()
    assert all(line in lines for line in err.splitlines()) and out[:10].splitlines()[0] in lines


def test_output_of_no_run_is_moved_away(recorded):
    agentd, s, made, work = recorded
    (index(agentd).parent / "00000000deadbeef.out").write_text("stray")
    (agentd.data / "logs" / "notes").write_text("mine")
    found = told(agentd, "file")
    assert {v[0] for v in found.values()} == {"it is the output of no run", "it is no session's folder"}
    assert fsck(agentd, "--repair").returncode == REPAIRED and fsck(agentd).returncode == CLEAN
    assert sorted(p.read_text() for p in (agentd.data / "lost+found").iterdir()) == ["mine", "stray"]


RUN_DAMAGES = {
    "run": ("DELETE FROM runs", {("session", "its run is gone")}, REPAIRED),
    "fence": ("UPDATE sessions SET fence = 0", {("session", "it counts fewer runs than it had")}, REPAIRED),
    "number": ("INSERT INTO runs (id, session, number, state, created_at) SELECT id + 1, session, number, 3, created_at FROM runs",
               {("run", "another one of its session has its number")}, LEFT),
}


@pytest.mark.parametrize("kind", RUN_DAMAGES)
def test_damage_of_runs_is_named(recorded, kind):
    agentd, s, made, work = recorded
    sql, wanted, status = RUN_DAMAGES[kind]
    damage(agentd, sql)
    assert {p for p in problems(agentd) if p[0] != "file"} == wanted
    assert fsck(agentd, "--repair").returncode == status
    agentd.start()
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    agentd.wait_session(s, lambda x: x["status"] != "running")
    assert agentd.api("GET", f"/sessions/{s}/runs", expect=200).json[-1]["result"] == "success"


def test_memory_of_a_namespace_that_is_gone_gets_a_name_again(recorded):
    agentd, s, made, work = recorded
    damage(agentd, "UPDATE entries SET namespace = 77", "memory.db")
    assert problems(agentd) == [("memory", "the namespace of these entries is gone")]
    assert fsck(agentd, "--repair").returncode == REPAIRED and fsck(agentd).returncode == CLEAN
    agentd.start()
    assert agentd.api("GET", "/memory?key=k&namespace=lost-77", expect=200).json["value"] == 1


def test_a_check_beside_a_busy_daemon_finds_nothing(agentd, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    s = agentd.create("busy", workspace=str(work))["session_id"]
    stop = threading.Event()

    def write():
        for n in itertools.count():
            if stop.is_set():
                return
            (work / "f").write_text(str(n))
            point = agentd.request("POST", f"/sessions/{s}/checkpoints").json["checkpoint_id"]
            agentd.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": random.Random(n).randbytes(600000).hex()})
            agentd.request("DELETE", f"/sessions/{s}/checkpoints/{point}")
            agentd.request("DELETE", f"/sessions/{agentd.create(f's{n}')['session_id']}")
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            assert fsck(agentd).stdout == "clean\n"
    finally:
        stop.set()
        thread.join()
