# SPDX-License-Identifier: MIT
"""Under a service manager: what it is told and when, through a NOTIFY_SOCKET of ours."""
import os
import signal
import socket

import pytest

from lib.agentd import alive, wait_for


class Manager:
    """The manager's end of sd_notify(3): what the service said, with the pid that said it."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(path))
        self.socket.settimeout(60)

    def hear(self):
        data, control, _, _ = self.socket.recvmsg(4096, 256)
        (_, _, credentials), = control
        return data.decode().splitlines(), int.from_bytes(credentials[:4], "little")

    def expect(self, word):
        """The next that is about something else than the watchdog."""
        while True:
            said, pid = self.hear()
            if said != ["WATCHDOG=1"]:
                assert said[0] == word, said
                return pid


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


def start(make_agentd, manager, **env):
    agentd = make_agentd(env={"NOTIFY_SOCKET": str(manager.path), **env}, start=False)
    return agentd.start(wait=False)


def test_ready_is_said_by_the_main_process_when_requests_are_answered(make_agentd, manager):
    agentd = start(make_agentd, manager)
    assert manager.expect("READY=1") == agentd.process.pid
    assert agentd.request("GET", "/ready").status == 200


def test_service_takes_its_agents_along_and_says_that_it_stops(make_agentd, manager):
    agentd = start(make_agentd, manager)
    manager.expect("READY=1")
    session = agentd.run(["/bin/sh", "-c", "env; exec sleep 1000"], agent={"on_daemon_stop": "keep"})["session_id"]
    agentd.wait_session(session, lambda s: s["substate"] == "active")
    wait_for(lambda: "AGENTD_TOKEN" in agentd.request("GET", f"/sessions/{session}/logs").body.decode(), what="its environment")
    assert "NOTIFY_SOCKET" not in agentd.request("GET", f"/sessions/{session}/logs").body.decode()
    agent = agentd.api("GET", f"/sessions/{session}/runs").json[-1]["pid"]
    os.kill(agentd.process.pid, signal.SIGTERM)
    assert manager.expect("STOPPING=1") == agentd.process.pid
    assert agentd.process.wait(60) == 0
    assert not alive(agent)


def test_a_killed_daemon_is_ready_again_under_the_same_main_process(make_agentd, manager):
    agentd = start(make_agentd, manager)
    manager.expect("READY=1")
    os.kill(agentd.daemon_pid, signal.SIGKILL)
    assert manager.expect("READY=1") == agentd.process.pid


def test_a_daemon_that_hangs_is_replaced_and_its_agents_live(make_agentd, manager):
    agentd = start(make_agentd, manager, WATCHDOG_USEC="2000000")
    manager.expect("READY=1")
    session = agentd.run(["/bin/sh", "-c", "exec sleep 1000"])["session_id"]
    agentd.wait_session(session, lambda s: s["substate"] == "active")
    agent, hanging = agentd.api("GET", f"/sessions/{session}/runs").json[-1]["pid"], agentd.daemon_pid
    os.kill(hanging, signal.SIGSTOP)
    assert manager.expect("READY=1") == agentd.process.pid
    assert agentd.daemon_pid != hanging and alive(agent)
    said, pid = manager.hear()
    assert said == ["WATCHDOG=1"] and pid == agentd.process.pid


def test_a_configuration_that_cannot_work_ends_the_service(make_agentd, manager):
    agentd = start(make_agentd, manager, AGENT_RUNTIME_TOKEN="too short")
    assert agentd.process.wait(60) == 1
    assert "AGENT_RUNTIME_TOKEN: expected 16 to 512 printable characters" in agentd.log_text()
