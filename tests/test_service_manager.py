# SPDX-License-Identifier: MIT
"""Under a service manager: what it is told and when, through a NOTIFY_SOCKET of ours."""
import fcntl
import http.client
import os
import signal
import socket
import subprocess

import pytest

from lib.agentd import BUILD, alive, wait_for


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


# ---- sockets that the manager has bound (LISTEN_FDS) ----

def activate(agentd, *sockets):
    """Starts it with these descriptors at 3 and up, as a socket unit does."""
    # Away from the numbers that they shall get, then down to them.
    high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 50) for s in sockets]
    moves = "".join(f"exec {3 + i}<&{fd} {fd}<&-; " for i, fd in enumerate(high))
    agentd.process = subprocess.Popen(
        ["bash", "-c", f'{moves} LISTEN_PID=$$ LISTEN_FDS={len(sockets)} exec "$0" start', BUILD / "agentd"], pass_fds=high,
        env=agentd.env, stdin=subprocess.DEVNULL, stdout=agentd.log, stderr=agentd.log)
    for fd in high:
        os.close(fd)
    return agentd


def test_given_port_is_served_and_the_socket_is_ours(make_agentd):
    agentd = make_agentd(start=False)
    with socket.create_server(("127.0.0.1", 0)) as given:
        port = given.getsockname()[1]
        activate(agentd, given).wait_ready()
        assert agentd.port == port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200


def test_given_unix_socket_is_not_bound_again(make_agentd):
    agentd = make_agentd(start=False)
    agentd.socket.parent.mkdir(parents=True)
    agentd.socket.parent.chmod(0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as given:
        given.bind(str(agentd.socket))
        given.listen(16)
        inode = os.stat(agentd.socket).st_ino
        activate(agentd, given).wait_ready()
    assert os.stat(agentd.socket).st_ino == inode


def test_what_is_no_listening_socket_is_refused(make_agentd):
    agentd = make_agentd(start=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
        activate(agentd, given)
    assert agentd.process.wait(60) == 1
    assert "descriptor 3 from LISTEN_FDS is no listening stream socket" in agentd.log_text()
