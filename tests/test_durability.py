# SPDX-License-Identifier: MIT
"""No answer before its commit; many clients share a sync; a broken or full disk loses nothing that was answered.

The daemon runs with tests/preload/disk-trouble.c, which lets the disk wait or fail."""
import errno
import os
import select
import signal
import sqlite3

import pytest

from lib import load
from lib import preload as libraries
from lib.agentd import alive, wait_for
from lib.disk import Disk


@pytest.fixture(scope="session")
def preload(tmp_path_factory):
    return libraries.build("disk-trouble", tmp_path_factory.mktemp("preload"))


@pytest.fixture
def disk(tmp_path, preload):
    d = Disk(tmp_path / "disk", preload)
    yield d
    d.release()
    d.heal()


@pytest.fixture
def agentd(make_agentd, disk):
    a = make_agentd(env=disk.env)
    a.create("first")
    assert disk.syncs > 0, "the daemon runs without the library"
    yield a
    disk.release()
    disk.heal()


def begin(agentd, method, path, body=None):
    """Sends a request and does not wait."""
    s = load.open_socket(agentd)
    s.sendall(load.request(method, path, body))
    return s


def answer(s, data=b""):
    while load.answer_end(data) is None:
        piece = s.recv(65536)
        assert piece, "the daemon hung up"
        data += piece
    s.close()
    return int(data[9:12]), data[data.index(b"\r\n\r\n") + 4:]


def silent(sockets, seconds=0.5):
    return not select.select(sockets, [], [], seconds)[0]


def arrived(agentd):
    """What was sent before is in the daemon's hands: it has gone round its loop since."""
    for _ in range(3):
        assert agentd.request("GET", "/health").status == 200


def append(agentd, session, text):
    return agentd.api("POST", f"/sessions/{session}/messages", {"role": "user", "content": text})


def texts(agentd, session):
    return [m["content"] for m in agentd.api("GET", f"/sessions/{session}/messages", expect=200).json]


def kill_daemon(agentd):
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()


def rows(agentd, sql, *values, file="state.db"):
    db = sqlite3.connect(f"file:{agentd.data / file}?mode=ro", uri=True)
    try:
        return db.execute(sql, values).fetchall()
    finally:
        db.close()


# ---- no answer before its commit ----

CHANGES = {
    "create": ("POST", "/sessions", {"name": "held", "model": "m"}),
    "patch": ("PATCH", "/sessions/{}", {"name": "renamed"}),
    "start": ("POST", "/sessions/{}/start", None),
    "stop": ("POST", "/sessions/{}/stop", None),
    "archive": ("POST", "/sessions/{}/archive", None),
    "delete": ("DELETE", "/sessions/{}", None),
    "fork": ("POST", "/sessions/{}/fork", {}),
    "message": ("POST", "/sessions/{}/messages", {"role": "user", "content": "held"}),
    "variable": ("PUT", "/sessions/{}/variables/v", 1),
    "checkpoint": ("POST", "/sessions/{}/checkpoints", None),
    "memory": ("POST", "/sessions/{}/memory", {"key": "k", "value": 1}),
    "namespace memory": ("POST", "/memory", {"key": "k2", "value": 1}),
    "token": ("POST", "/tokens", {"name": "t"}),
}


def test_no_answer_before_its_commit(agentd, disk):
    sessions = {name: agentd.create(name)["session_id"] for name in CHANGES}
    disk.hold()
    held = {name: begin(agentd, method, path.format(sessions[name]), body)
            for name, (method, path, body) in CHANGES.items()}
    assert silent(list(held.values())), "an answer came while its commit was not on disk"
    disk.release()
    for name, s in held.items():
        status, body = answer(s)
        assert 200 <= status < 300, (name, status, body)


def test_what_is_not_committed_is_not_shown(agentd, disk):
    s, other = agentd.create("s")["session_id"], agentd.create("other")["session_id"]
    assert append(agentd, s, "committed").status == 201
    disk.hold()
    write = begin(agentd, "POST", f"/sessions/{s}/messages", {"role": "user", "content": "held"})
    arrived(agentd)
    paths = (f"/sessions/{s}", f"/sessions/{s}/messages", "/sessions?messages=all")
    reads = {begin(agentd, "GET", path): b"" for path in paths}
    for early in select.select(list(reads), [], [], 0.5)[0]:
        reads[early] = early.recv(65536)
        assert b"held" not in reads[early], "a read showed what was not committed"
    assert rows(agentd, "SELECT count(*) FROM nodes") == [(1,)]
    assert agentd.request("GET", f"/sessions/{other}", timeout=5).status == 200, "readers wait for a disk they do not need"
    disk.release()
    assert answer(write)[0] == 201
    for read, begun in reads.items():
        assert answer(read, begun)[0] == 200
    assert texts(agentd, s) == ["committed", "held"]


def test_events_are_not_told_before_their_commit(agentd, disk):
    s = agentd.create("s")["session_id"]
    stream = load.open_socket(agentd)
    stream.sendall(f"GET /sessions/{s}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
    got = b""
    while b"retry:" not in got:
        got += stream.recv(65536)
    disk.hold()
    write = begin(agentd, "POST", f"/sessions/{s}/messages", {"role": "user", "content": "held"})
    assert silent([stream, write])
    disk.release()
    assert answer(write)[0] == 201
    while b"message.appended" not in got:
        piece = stream.recv(65536)
        assert piece
        got += piece
    stream.close()


def test_a_death_before_the_commit_answers_nobody_and_loses_nothing_answered(agentd, disk):
    s = agentd.create("s")["session_id"]
    for i in range(20):
        assert append(agentd, s, f"m{i}").status == 201
    disk.hold()
    pid = agentd.daemon_pid
    held = [begin(agentd, "POST", f"/sessions/{s}/messages", {"role": "user", "content": f"held{i}"}) for i in range(5)]
    arrived(agentd)
    assert silent(held)
    os.kill(pid, signal.SIGKILL)
    for h in held:
        try:
            assert h.recv(1) == b""
        except ConnectionResetError:
            pass
        h.close()
    disk.release()
    wait_for(lambda: not alive(pid), what="the daemon's death")
    agentd.wait_ready()
    after = texts(agentd, s)
    assert after[:20] == [f"m{i}" for i in range(20)]
    assert set(after[20:]) <= {f"held{i}" for i in range(5)} and len(set(after)) == len(after)


def test_many_clients_share_a_sync(agentd, disk):
    s = agentd.create("s")["session_id"]
    arrived(agentd)
    disk.hold()
    before = disk.syncs
    held = [begin(agentd, "POST", f"/sessions/{s}/messages", {"role": "user", "content": f"m{i}"}) for i in range(64)]
    arrived(agentd)
    assert silent(held, 0.2)
    disk.release()
    assert [answer(h)[0] for h in held] == [201] * 64
    assert disk.syncs - before <= 6, f"{disk.syncs - before} syncs for 64 clients"
    assert sorted(texts(agentd, s)) == sorted(f"m{i}" for i in range(64))


def test_many_clients_at_full_speed_share_syncs(agentd, disk):
    s = agentd.create("s")["session_id"]
    before = disk.syncs
    body = load.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": "x"})
    assert load.send_all(agentd, [body] * 6400, connections=64) == {201: 6400}
    used = disk.syncs - before
    assert used <= 6400 / 4, f"{used} syncs for 6400 messages of 64 clients"


# ---- a broken and a full disk ----


@pytest.mark.parametrize("what", ["sync", "write"])
@pytest.mark.parametrize("error, status, code", [(errno.EIO, 503, "store_failed"), (errno.ENOSPC, 507, "disk_full")])
def test_a_failing_disk_refuses_writes_and_goes_on(agentd, disk, what, error, status, code):
    pid = agentd.daemon_pid
    s = agentd.create("s")["session_id"]
    doomed = agentd.create("doomed")["session_id"]
    agentd.api("PUT", f"/sessions/{s}/variables/v", 1, expect=200)
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"]
    for i in range(10):
        assert append(agentd, s, f"m{i}").status == 201
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "k", "value": "old"}, expect=201)
    before = agentd.api("GET", "/sessions?messages=all", expect=200).json
    events = agentd.api("GET", "/events", expect=200).json

    disk.fail(what, error)
    for method, path, body in (("POST", f"/sessions/{s}/messages", {"role": "user", "content": "refused"}),
                               ("POST", "/sessions", {"name": "refused", "model": "m", "variables": {"a": 1}, "start": True}),
                               ("PUT", f"/sessions/{s}/variables/v", 2),
                               ("PATCH", f"/sessions/{s}", {"name": "refused", "model": "refused"}),
                               ("POST", f"/sessions/{s}/start", None),
                               ("POST", f"/sessions/{s}/checkpoints", None),
                               ("POST", f"/sessions/{s}/restore", {"checkpoint_id": cp}),
                               ("POST", f"/sessions/{s}/fork", {"checkpoint_id": cp}),
                               ("DELETE", f"/sessions/{doomed}", None),
                               ("POST", f"/sessions/{s}/memory", {"key": "k", "value": "refused"}),
                               ("POST", "/tokens", {"name": "refused"})):
        refused = agentd.api(method, path, body, expect=status).json
        assert refused["code"] == code and refused["detail"] and refused["hint"], (method, path, refused)
    assert agentd.api("GET", "/sessions?messages=all", expect=200).json == before, "something refused shows"
    assert agentd.api("GET", "/events", expect=200).json == events
    assert agentd.api("GET", f"/sessions/{s}/memory?key=k", expect=200).json["value"] == "old"
    assert agentd.api("GET", "/tokens", expect=200).json == []
    assert len(agentd.api("GET", f"/sessions/{s}/checkpoints", expect=200).json) == 1
    assert len(agentd.api("GET", f"/sessions/{s}/branches", expect=200).json) == 1

    disk.heal()
    assert append(agentd, s, "healed").status == 201
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "k", "value": "new"}, expect=201)
    agentd.api("PUT", f"/sessions/{s}/variables/v", 3, expect=200)
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    assert agentd.daemon_pid == pid, "the daemon was started again"

    kill_daemon(agentd)
    state = agentd.session(s)
    assert [m["content"] for m in state["messages"]] == [f"m{i}" for i in range(10)] + ["healed"]
    assert (state["name"], state["memory"], state["status"]) == ("s", {"v": 3}, "running")
    assert agentd.api("GET", f"/sessions/{s}/memory?key=k", expect=200).json["value"] == "new"
    assert [x["name"] for x in agentd.api("GET", "/sessions").json] == ["first", "s", "doomed"]
    assert rows(agentd, "PRAGMA integrity_check") == [("ok",)]


def test_a_refused_write_stays_away_after_a_death(agentd, disk):
    """Its frames were complete in the database's log, whose sync failed; they are cut off before the answer goes out."""
    s = agentd.create("s")["session_id"]
    assert append(agentd, s, "answered").status == 201
    disk.fail("sync", errno.EIO)
    agentd.api("POST", "/sessions", {"name": "refused", "model": "m", "variables": {"a": 1}, "start": True}, expect=503)
    assert append(agentd, s, "refused").status == 503
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    disk.heal()
    agentd.wait_ready()
    assert texts(agentd, s) == ["answered"]
    assert agentd.api("GET", "/sessions?name=refused", expect=200).json == []
    assert rows(agentd, "PRAGMA integrity_check") == [("ok",)]


def test_what_was_answered_among_failures_survives_a_kill(agentd, disk):
    s = agentd.create("s")["session_id"]
    acknowledged = []
    for i in range(60):
        if i % 10 == 4:
            disk.fail("sync", errno.EIO)
        if i % 10 == 7:
            disk.heal()
        if append(agentd, s, f"m{i}").status == 201:
            acknowledged.append(f"m{i}")
    assert len(acknowledged) == 42
    assert texts(agentd, s) == acknowledged
    kill_daemon(agentd)
    assert texts(agentd, s) == acknowledged


def test_failures_under_load_lose_and_double_nothing(agentd, disk):
    s = agentd.create("s")["session_id"]

    def numbered():
        for i in range(4000):
            if i in (1000, 2500):
                disk.fail("sync", errno.EIO)
            if i in (1500, 3000):
                disk.heal()
            yield load.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": f"m{i}"})
    statuses = load.send_all(agentd, numbered(), connections=32)
    disk.heal()
    assert set(statuses) == {201, 503} and sum(statuses.values()) == 4000
    assert append(agentd, s, "last").status == 201

    def check():
        every = agentd.request("GET", f"/sessions/{s}?messages=all").json
        got = [m["content"] for m in every["messages"]]
        assert len(got) == len(set(got)) == statuses[201] + 1 == every["message_count"]
        assert [m["parent"] for m in every["messages"][1:]] == [m["id"] for m in every["messages"][:-1]]
        return got
    before = check()
    kill_daemon(agentd)
    assert check() == before


# ---- what a checkpoint costs ----


@pytest.mark.slow
def test_a_checkpoint_costs_the_same_at_any_length(agentd, capsys):
    n = 10000

    def size():
        ((pages,),) = rows(agentd, "PRAGMA page_count")
        ((free,),) = rows(agentd, "PRAGMA freelist_count")
        ((page,),) = rows(agentd, "PRAGMA page_size")
        return (pages - free) * page

    def growth(messages):
        s = agentd.create(f"with {messages}")["session_id"]
        body = load.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": "a message of some length " * 4})
        assert load.send_all(agentd, [body] * messages) == {201: messages}
        assert agentd.session(s)["message_count"] == messages
        before = size()
        take = load.request("POST", f"/sessions/{s}/checkpoints?label=x")
        assert load.send_all(agentd, [take] * n) == {201: n}
        return (size() - before) / n
    few, many = growth(10), growth(100000)
    with capsys.disabled():
        print(f"\na checkpoint takes {few:.0f} bytes at 10 messages, {many:.0f} at 100000")
    assert abs(many - few) < 0.05 * few + 8
    assert max(few, many) < 300
