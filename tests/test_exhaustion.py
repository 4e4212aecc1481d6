# SPDX-License-Identifier: MIT
"""No descriptors left: who is there is served, who comes waits, nothing spins, and all works again afterwards."""
import contextlib
import json
import os
import resource
import time

import pytest

from lib import load
from lib.agentd import UnixConnection, wait_for
from test_crash_corners import agents

ROOM = 12


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def few_descriptors(pid):
    """Leaves room for some; the highest number in use counts."""
    highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    try:
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + ROOM, before[1]))
    except PermissionError:
        pytest.skip("may not change the daemon's limits")
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_full_table_of_descriptors_makes_newcomers_wait_and_nothing_spin(agentd):
    daemon = agentd.daemon_pid
    before = descriptors(daemon)
    inside = UnixConnection(agentd.socket, 30)
    assert agentd._exchange(inside, "GET", "/health", None, None).status == 200
    with few_descriptors(daemon):
        crowd = [load.open_socket(agentd) for _ in range(ROOM + 40)]
        wait_for(lambda: descriptors(daemon) >= before + ROOM, what="a full table")
        begin, used = time.monotonic(), cpu_seconds(daemon)
        while time.monotonic() - begin < 1.5:
            assert agentd._exchange(inside, "GET", "/health", None, None).status == 200
            time.sleep(0.1)
        share = (cpu_seconds(daemon) - used) / (time.monotonic() - begin)
        assert share < 0.3, f"{share:.0%} of a core for nothing"
        last = crowd[-1]
        for s in crowd[:-1]:
            s.close()
        last.sendall(load.request("GET", "/health"))
        assert last.recv(65536).startswith(b"HTTP/1.1 200"), "who waited longest is served at last"
        last.close()
    inside.close()
    wait_for(lambda: descriptors(daemon) <= before, what="the old number of descriptors")


def test_files_are_not_written_over_when_no_descriptor_is_left_to_record_them(agentd, tmp_path):
    daemon = agentd.daemon_pid
    before = descriptors(daemon)
    work = tmp_path / "work"
    work.mkdir()
    (work / "f").write_text("old")
    s = agentd.create("s", workspace=str(work))["session_id"]
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"]
    (work / "f").write_text("new")
    inside = UnixConnection(agentd.socket, 30)
    assert agentd._exchange(inside, "GET", "/health", None, None).status == 200
    with few_descriptors(daemon):
        crowd = [load.open_socket(agentd) for _ in range(ROOM + 40)]
        wait_for(lambda: descriptors(daemon) >= before + ROOM, what="a full table")
        answer = agentd._exchange(inside, "POST", f"/sessions/{s}/restore", {"checkpoint_id": cp}, None)
        assert answer.status == 503 and answer.json["code"] == "out_of_descriptors", answer
        assert "LimitNOFILE" in answer.json["hint"], answer
        assert (work / "f").read_text() == "new"
        for c in crowd:
            c.close()
    inside.close()
    agentd.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": cp}, expect=200)
    assert (work / "f").read_text() == "old"


def test_an_agent_that_finds_no_descriptors_says_so_or_starts_later(agentd):
    daemon = agentd.daemon_pid
    before = descriptors(daemon)
    s = agentd.create("late", agent={"exec": ["/bin/sleep", "1000"], "restart": "no"})["session_id"]
    inside = UnixConnection(agentd.socket, 30)
    assert agentd._exchange(inside, "GET", "/health", None, None).status == 200
    with few_descriptors(daemon):
        crowd = [load.open_socket(agentd) for _ in range(ROOM + 40)]
        wait_for(lambda: descriptors(daemon) >= before + ROOM, what="a full table")
        answer = agentd._exchange(inside, "POST", f"/sessions/{s}/start", None, None)
        assert answer.status in (200, 503), answer
        for _ in range(3):
            now = json.loads(agentd._exchange(inside, "GET", f"/sessions/{s}", None, None).body)
            assert now["substate"] in ("starting", "backoff", "new"), now
            assert agents(agentd) == []
        for c in crowd:
            c.close()
    inside.close()
    if answer.status == 200:
        now = agentd.wait_session(s, lambda x: x["substate"] in ("active", "failed"), what="what became of it")
        assert now["substate"] == "active" or "Too many open files" in now["reason"]
    if agentd.session(s)["status"] != "running":
        agentd.api("POST", f"/sessions/{s}/start", expect=200)
    agentd.wait_session(s, lambda x: x["substate"] == "active", what="its start")
    wait_for(lambda: len(agents(agentd)) == 1, what="one process")
