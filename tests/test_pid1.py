# SPDX-License-Identifier: MIT
"""agentd as process 1, as in a container: who it becomes, what it reaps, how it ends, what the next one finds.

The container's image itself is tested by test_container.py; here the programs of the build run in a pid namespace.
"""
import os
import re
import signal
import socket
import subprocess

import pytest

from lib.agentd import BUILD, alive, wait_for
from lib.box import Box, ids_of, needs_box, status_of

pytestmark = needs_box

USER = "10001"
SLEEPER = ["/bin/sh", "-c", "echo up; exec sleep 1000"]
# Says that it was asked to end, and does.
POLITE = ["/bin/sh", "-c", "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done"]
DEAF = ["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"]
TOKEN = re.compile(r"agd_[0-9a-f]{64}")


@pytest.fixture
def make_box(tmp_path):
    made = []

    def make(start=True, **options):
        made.append(Box(tmp_path / "box", **options))
        return made[-1].start() if start else made[-1]

    yield make
    for box in made:
        box.kill_everything()
        complaints = box.complaints()
        assert not complaints, complaints


def wait_up(box, session):
    box.wait_session(session, lambda s: s["substate"] == "active")
    wait_for(lambda: "up" in logs(box, session), what="the agent's first line")


def logs(box, session):
    return box.request("GET", f"/sessions/{session}/logs").body.decode()


def owners(folder):
    return {path.lstat().st_uid for path in [folder, *folder.rglob("*")]}


def outer_address():
    """This machine's address as others see it: who calls it there is remote."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            pytest.skip("this machine has no address but loopback")


def from_outside(box, path, token=None):
    argv = [str(BUILD / "agentd"), "version", "--json", "--host", outer_address(), "--port", str(box.port)]
    return subprocess.run(argv, env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "AGENTD_TOKEN": token or ""},
                          capture_output=True, text=True, timeout=60)


def test_root_is_left_by_keeper_daemon_and_agents(make_box):
    box = make_box()
    made = box.run(SLEEPER)
    wait_up(box, made["session_id"])
    for name in ("agentd-keeper", "agentd-daemon", "sleep"):
        for pid in box.pids(name):
            assert ids_of(pid) == ({USER}, {USER}, set()), name
            status = status_of(pid)
            assert status["NoNewPrivs"].strip() == "1", name
            assert {int(status[k], 16) for k in ("CapPrm", "CapEff", "CapAmb")} == {0}, name
    assert box.pid("agentd-keeper") == box.init
    assert box.api("GET", "/version").json["keeper_pid"] == 1


def test_a_volume_of_roots_is_given_once(make_box):
    box = make_box(env={"AGENTD_USER": ""})
    session = box.create("of-root")["session_id"]
    assert box.terminate() == 0
    assert owners(box.data) == {0}

    box.inside["AGENTD_USER"] = USER
    box.start()
    assert "gave the folder /root/.agent_runtime to user 10001" in box.said()
    assert owners(box.data) == {10001}
    assert box.session(session)["name"] == "of-root"
    assert box.terminate() == 0
    box.start()
    assert "gave the folder" not in box.said()


@pytest.mark.parametrize("how, said", [
    ({"AGENTD_USER": "nobody-of-that-name"}, "there is no user 'nobody-of-that-name' on this machine"),
    ({"AGENTD_DATA_DIR": "/etc", "AGENT_RUNTIME_DB": "/etc/state.db"}, "/etc belongs to another user and is no folder of agentd's"),
    ({"AGENT_RUNTIME_TOKEN": "short"}, "AGENT_RUNTIME_TOKEN: expected 16 to 512 printable characters"),
])
def test_what_cannot_be_is_said_and_changes_nothing(make_box, how, said):
    box = make_box(start=False, env=how)
    box.start(wait=False)
    assert box.wait_end() != 0
    assert said in box.said()
    assert os.stat("/etc").st_uid == 0


def test_only_root_becomes_somebody_else(make_box):
    box = make_box(start=False, command=("agentd", "start", "--user", "10002"))
    box.command = ("setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "agentd", "start", "--user", "10002")
    box.start(wait=False)
    assert box.wait_end() == 5
    assert "only root can start agentd as another user" in box.said()


def test_orphans_are_reaped(make_box):
    box = make_box()
    # Each leaves a process behind that ends later: an orphan of process 1.
    for _ in range(20):
        assert box.enter("sh", "-c", "sleep 0.05 & exit 0").returncode == 0
    wait_for(lambda: not box.pids("sleep"), what="the orphans' end")
    wait_for(lambda: not box.zombies(), what="their reaping")
    assert box.api("GET", "/ready").status == 200


def test_sigterm_to_process_1_ends_all_in_good_order_and_the_next_goes_on(make_box):
    box = make_box()
    polite = box.run(POLITE, name="polite", agent={"on_daemon_stop": "keep"})["session_id"]
    deaf = box.run(DEAF, name="deaf", agent={"timeout_stop_sec": "300ms"})["session_id"]
    for session in (polite, deaf):
        wait_up(box, session)
    assert box.terminate(30) == 0
    assert not box.pids()

    box.start()
    for session in (polite, deaf):
        state = box.wait_session(session, lambda s: s["substate"] == "active")
        assert state["status"] == "running"
        assert len(box.api("GET", f"/sessions/{session}/runs").json) == 2
    assert "asked" in logs(box, polite)


def test_killed_daemon_is_back_and_agents_did_not_notice(make_box):
    box = make_box()
    session = box.run(SLEEPER)["session_id"]
    wait_up(box, session)
    agent, daemon = box.pid("sleep"), box.pid("agentd-daemon")
    os.kill(daemon, signal.SIGKILL)
    wait_for(lambda: not alive(daemon), what="the daemon's death")
    box.wait_ready()
    assert box.pid("sleep") == agent
    assert box.session(session)["status"] == "running"
    assert ids_of(box.pid("agentd-daemon"))[0] == {USER}


def test_after_a_sudden_end_sessions_go_on_from_the_volume(make_box):
    box = make_box()
    session = box.run(SLEEPER)["session_id"]
    wait_up(box, session)
    box.api("POST", f"/sessions/{session}/messages", {"role": "user", "content": "remember"}, expect=201)
    box.destroy()
    box.start()
    box.wait_session(session, lambda s: s["substate"] == "active")
    assert [m["content"] for m in box.api("GET", f"/sessions/{session}/messages").json] == ["remember"]


def test_first_token_is_shown_once_and_opens_from_outside(make_box):
    box = make_box(env={"AGENTD_FIRST_TOKEN": "yes", "AGENT_RUNTIME_HOST": "0.0.0.0"})
    wait_for(lambda: TOKEN.search(box.said()), what="the token")
    token, = TOKEN.findall(box.said())
    assert from_outside(box, "/version").returncode == 5
    assert from_outside(box, "/version", token).returncode == 0
    wait_for(lambda: (box.data / "first-token").exists(), what="the note that it was shown")
    for file in box.data.rglob("*"):
        assert not file.is_file() or token.encode() not in file.read_bytes(), file
    assert box.terminate() == 0

    box.start()
    assert not TOKEN.search(box.said())
    assert from_outside(box, "/version", token).returncode == 0
    # What was revoked does not come back.
    entry, = box.api("GET", "/tokens").json
    assert box.request("DELETE", f"/tokens/{entry['token_id']}").status == 200
    assert box.terminate() == 0
    box.start()
    assert not TOKEN.search(box.said())
    assert box.api("GET", "/tokens").json == []


def test_given_token_is_what_the_variable_says(make_box):
    first, second = "first-secret-of-some-length", "second-secret-of-some-length"
    box = make_box(env={"AGENTD_FIRST_TOKEN": "yes", "AGENT_RUNTIME_HOST": "0.0.0.0", "AGENT_RUNTIME_TOKEN": first})
    wait_for(lambda: from_outside(box, "/version", first).returncode == 0, what="the given token")
    assert "first start" not in box.said() and first not in box.said()
    session = box.run(["/bin/sh", "-c", "env; echo up; exec sleep 1000"])["session_id"]
    wait_up(box, session)
    assert "AGENT_RUNTIME_TOKEN" not in logs(box, session) and first not in logs(box, session)
    assert box.terminate() == 0

    box.inside["AGENT_RUNTIME_TOKEN"] = second
    box.start()
    wait_for(lambda: from_outside(box, "/version", second).returncode == 0, what="the new token")
    assert from_outside(box, "/version", first).returncode == 5
    assert box.terminate() == 0

    del box.inside["AGENT_RUNTIME_TOKEN"]
    box.start()
    assert from_outside(box, "/version", second).returncode == 5


def test_health_check_tells(make_box):
    box = make_box()
    check = ("sh", "-c", "agentd status -q || exit 1")
    done = box.enter(*check)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for pid in (box.pid("agentd-daemon"),):
        os.kill(pid, signal.SIGSTOP)
        assert box.enter("timeout", "2", *check).returncode != 0
        os.kill(pid, signal.SIGCONT)
    assert box.enter(*check).returncode == 0
