# SPDX-License-Identifier: MIT
"""A real file system that is full, or read-only for a while: a tmpfs of the test's own. Needs the right to mount."""
import errno
import os
import random
import subprocess

import pytest

from lib.agentd import alive, wait_for

SIZE = 12 << 20


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("NOTICE: no tmpfs can be mounted here, a really full disk is not tested")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def agentd(make_agentd, small):
    # Only the data folder is small: what the test itself writes down is not.
    return make_agentd("a", env={
        "AGENT_RUNTIME_DB": str(small / "state.db"),
        "AGENT_RUNTIME_MEMORY_DB": str(small / "memory.db"),
        "AGENTD_RUNTIME_DIR": str(small.parent / "a" / "data" / "run"),
    })


def fill(folder, name="ballast"):
    """Takes all the room there is; returns the file."""
    ballast = folder / name
    with open(ballast, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError as e:
            assert e.errno == errno.ENOSPC
    return ballast


def append(agentd, session, text):
    return agentd.api("POST", f"/sessions/{session}/messages", {"role": "user", "content": text})


def texts(agentd, session):
    return [m["content"] for m in agentd.api("GET", f"/sessions/{session}/messages", expect=200).json]


def test_a_full_disk_refuses_with_507_and_works_again_when_there_is_room(agentd, small):
    s, pid = agentd.create("s")["session_id"], agentd.daemon_pid
    acknowledged = []
    ballast = fill(small)
    for i in range(400):
        answer = append(agentd, s, f"{i} " + "x" * 20000)
        if answer.status == 507:
            break
        assert answer.status == 201
        acknowledged.append(f"{i} " + "x" * 20000)
    assert answer.json["code"] == "disk_full" and "room" in answer.json["hint"]
    assert texts(agentd, s) == acknowledged
    assert append(agentd, s, "y" * 3_000_000).status == 507
    ballast.unlink()
    assert append(agentd, s, "after").status == 201
    assert texts(agentd, s) == [*acknowledged, "after"]
    assert agentd.daemon_pid == pid


def test_a_checkpoint_on_a_full_disk_is_refused_and_the_daemon_lives(agentd, small, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    s, pid = agentd.create("s", workspace=str(work))["session_id"], agentd.daemon_pid
    ballast = fill(small)
    (work / "large").write_bytes(random.randbytes(2_000_000))  # an object of its own; what follows is packed
    for room in (0, 1, 2, 5, 10, 20, 40):
        os.truncate(ballast, ballast.stat().st_size - room * 4096)
        (work / "noise").write_bytes(random.randbytes(400_000))
        answer = agentd.api("POST", f"/sessions/{s}/checkpoints")
        assert answer.status == 507 and answer.json["code"] == "disk_full", answer
    assert agentd.daemon_pid == pid, "the daemon died of a full disk"
    assert agentd.api("GET", f"/sessions/{s}/checkpoints", expect=200).json == []
    ballast.unlink()
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"]
    agentd.api("POST", f"/sessions/{s}/fork", {"checkpoint_id": cp, "workspace": str(tmp_path / "fork")}, expect=201)
    for p in work.iterdir():
        assert (tmp_path / "fork" / p.name).read_bytes() == p.read_bytes()


def test_output_waits_on_a_full_disk_that_has_the_databases_too(agentd, small):
    ballast = fill(small)
    os.truncate(ballast, ballast.stat().st_size - 800_000)
    q = agentd.run(["/bin/sleep", "1000"], name="quiet", agent={"restart": "no"})["session_id"]
    quiet = wait_for(lambda: agentd.api("GET", f"/sessions/{q}/runs", expect=200).json[0]["pid"], what="a process")
    script = "i=0; while [ $i -lt 30000 ]; do echo line $i of the agent that writes a lot; i=$((i+1)); done"
    s = agentd.run(["/bin/sh", "-c", f"{script}; exec sleep 1000"], name="talks", agent={"restart": "no"})["session_id"]
    run = agentd.wait_session(s, lambda x: x["run"] and x["substate"] == "active")["run"]
    more = fill(small, "more")
    wait_for(lambda: agentd.api("GET", f"/sessions/{s}/runs/{run}", expect=200).json["output_held"], what="held output")
    for i in range(400):  # until the database's log has no room left that it had taken before
        if append(agentd, s, f"{i} " + "x" * 20000).status == 507:
            break
    assert agentd.api("POST", f"/sessions/{s}/stop").status == 507
    # A stop could not be remembered; a signal needs nothing to be written.
    assert agentd.cli("kill", "quiet").returncode == 0
    wait_for(lambda: not alive(quiet), what="the end of the other agent")
    ballast.unlink()
    more.unlink()
    wait_for(lambda: "line 29999 " in agentd.cli("logs", "talks", "--lines", "5").stdout, what="its last line")
    log = agentd.cli("logs", "talks", "--lines", "100000").stdout
    assert "were lost" not in log and log.count(" of the agent") == 30000
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)


def test_a_disk_that_is_read_only_for_a_while(agentd, small):
    s, pid = agentd.create("s")["session_id"], agentd.daemon_pid
    assert append(agentd, s, "before").status == 201
    # A remount is refused while files are open for writing, so the kernel is asked to do it as at an error.
    remount = subprocess.run(["mount", "-o", "remount,ro", str(small)], capture_output=True, text=True)
    if remount.returncode != 0:
        pytest.skip("NOTICE: a file system in use cannot be made read-only here; test_disk_trouble.py has EROFS at each call")
    assert append(agentd, s, "refused").status == 503
    assert texts(agentd, s) == ["before"]
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    assert append(agentd, s, "after").status == 201
    assert texts(agentd, s) == ["before", "after"] and agentd.daemon_pid == pid
