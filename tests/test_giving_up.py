# SPDX-License-Identifier: MIT
"""When an agent is not started again, and what is said then; what a run's token opened ends with the run."""
import http.client
import os
import signal

import pytest

from lib.agentd import alive, wait_for

pytestmark = pytest.mark.sanitized


def failed(agentd, session):
    return agentd.wait_session(session, lambda s: s["status"] == "error")


def test_a_command_that_does_not_exist_is_tried_once_and_says_how_to_go_on(agentd):
    s = agentd.run(["/nonexistent/program"], name="typo", agent={"restart": "always", "restart_sec": "10ms"})["session_id"]
    state = failed(agentd, s)
    assert state["substate"] == "failed"
    for text in ("/nonexistent/program", "No such file", "given up", "`agentd start typo` tries again"):
        assert text in state["reason"]
    assert len(agentd.api("GET", f"/sessions/{s}/runs").json) == 1
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    wait_for(lambda: len(agentd.api("GET", f"/sessions/{s}/runs").json) == 2, what="the second try")
    failed(agentd, s)


def test_a_file_that_is_no_program_is_given_up_at_once(agentd):
    program = agentd.folder / "notes.txt"
    program.write_text("text")
    s = agentd.run([str(program)], agent={"restart": "on-failure", "restart_sec": "10ms"})["session_id"]
    state = failed(agentd, s)
    assert "Permission denied" in state["reason"] and "given up" in state["reason"]
    assert len(agentd.api("GET", f"/sessions/{s}/runs").json) == 1


def test_the_start_limit_says_how_often_in_what_time_and_how_to_go_on(agentd):
    s = agentd.run(["/bin/sh", "-c", "exit 3"], name="crasher", agent={
        "restart": "always", "restart_sec": "1ms", "restart_steps": 0, "start_limit_burst": 3,
        "start_limit_interval_sec": "10min"})["session_id"]
    state = failed(agentd, s)
    assert "3 starts in 10min, given up; `agentd start crasher` tries again" in state["reason"]
    assert len(agentd.api("GET", f"/sessions/{s}/runs").json) == 3
    assert "given up" in agentd.cli("status", "crasher").stdout


def test_progress_before_the_daemons_death_still_resets_the_back_off(agentd):
    script = 'while [ ! -e "$GO" ]; do sleep 0.02; done; rm "$GO"; exit 3'
    go = agentd.folder / "go"
    s = agentd.run(["/bin/sh", "-c", script], agent={"restart": "always", "restart_sec": "1ms",
                                                      "environment": [f"GO={go}"]})["session_id"]

    def crash(fence):
        go.touch()
        agentd.wait_session(s, lambda x: x["substate"] == "active" and
                            len(agentd.api("GET", f"/sessions/{s}/runs").json) == fence)

    agentd.wait_session(s, lambda x: x["substate"] == "active")
    crash(2)
    crash(3)
    assert agentd.session(s)["restarts"] == 2
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "assistant", "content": "done"}, expect=201)
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()
    crash(4)
    assert agentd.session(s)["restarts"] == 1


def test_what_a_runs_token_opened_ends_with_the_run(agentd):
    s = agentd.run(["/bin/sh", "-c", "echo $AGENTD_TOKEN; exec sleep 1000"])["session_id"]
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    token = wait_for(lambda: agentd.request("GET", f"/sessions/{s}/logs").body.decode().strip(), what="the token")
    connection = http.client.HTTPConnection("127.0.0.1", agentd.port, timeout=30)
    connection.request("GET", f"/sessions/{s}/events", headers={"Authorization": f"Bearer {token}",
                                                                 "Accept": "text/event-stream"})
    response = connection.getresponse()
    assert response.status == 200
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    while response.read(4096):     # the test's time limit is the daemon's failure
        pass
    connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", agentd.port, timeout=30)
    connection.request("GET", f"/sessions/{s}", headers={"Authorization": f"Bearer {token}"})
    assert connection.getresponse().status == 401
    connection.close()
