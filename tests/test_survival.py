# SPDX-License-Identifier: MIT
"""What survives the death of what: one fault at a time, looked at closely."""
import os
import pathlib
import signal
import sys
import time

import pytest

from lib.agentd import alive, wait_for

pytestmark = pytest.mark.sanitized

SLEEPER = ["/bin/sh", "-c", "echo up; exec sleep 1000"]
AGENTS = pathlib.Path(__file__).parent / "agents"


def open_run(agentd, session):
    runs = agentd.api("GET", f"/sessions/{session}/runs", expect=200).json
    return runs[-1]


def running(agentd, session):
    agentd.wait_session(session, lambda s: s["substate"] == "active")
    return open_run(agentd, session)


def kill_daemon(agentd):
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()
    assert agentd.daemon_pid != old


def kill_keeper(agentd):
    old = agentd.keeper_pid
    os.kill(old, signal.SIGKILL)

    def new():
        agentd.wait_ready()
        return agentd.keeper_pid != old
    wait_for(new, what="a new keeper")


def test_agent_does_not_notice_the_daemons_death(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    before = running(agentd, s)
    kill_daemon(agentd)
    after = open_run(agentd, s)
    assert (after["pid"], after["number"]) == (before["pid"], 1)
    assert alive(before["pid"])
    assert agentd.session(s)["status"] == "running"


def test_agent_does_not_notice_the_keepers_death(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    before = running(agentd, s)
    kill_keeper(agentd)
    assert open_run(agentd, s)["pid"] == before["pid"] and alive(before["pid"])
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    assert not alive(before["pid"])


def test_exit_status_is_right_after_the_keepers_death(agentd):
    folder = agentd.folder / "w"
    folder.mkdir()
    os.mkfifo(folder / "go")
    s = agentd.run(["/bin/sh", "-c", "read x < go; exit 37"], workspace=str(folder), agent={"restart": "no"})["session_id"]
    running(agentd, s)
    kill_keeper(agentd)
    (folder / "go").write_text("now\n")
    agentd.wait_session(s, lambda x: x["status"] == "error")
    run = open_run(agentd, s)
    if run["result"] == "unknown":
        pytest.skip("this kernel does not tell the exit status of another's child")
    assert (run["result"], run["exit_code"]) == ("exit-code", 37)


def test_both_die_and_the_agent_is_adopted_at_the_next_start(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    before = running(agentd, s)
    pids = [agentd.keeper_pid, agentd.daemon_pid]
    os.kill(pids[0], signal.SIGSTOP)
    os.kill(pids[1], signal.SIGKILL)
    os.kill(pids[0], signal.SIGKILL)
    wait_for(lambda: not any(alive(p) for p in pids), what="their deaths")
    agentd.process.wait()
    assert alive(before["pid"])
    agentd.start()
    after = open_run(agentd, s)
    assert (after["pid"], after["number"], after["state"]) == (before["pid"], 1, "alive")
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    assert not alive(before["pid"])


def test_everything_dies_and_the_agent_runs_again(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    before = running(agentd, s)
    for pid in (agentd.keeper_pid, agentd.daemon_pid, before["pid"]):
        os.kill(pid, signal.SIGSTOP)
    for pid in agentd.own_pids():
        os.kill(pid, signal.SIGKILL)
    agentd.process.wait()
    wait_for(lambda: not agentd.own_pids(), what="everybody's death")
    agentd.start()
    after = agentd.wait_session(s, lambda x: x["substate"] == "active")
    assert after["status"] == "running"
    runs = agentd.api("GET", f"/sessions/{s}/runs", expect=200).json
    assert len(runs) == 2 and runs[0]["state"] == "ended" and runs[0]["result"] in ("lost", "unknown", "signal")


def test_killed_agent_is_back_and_its_death_is_recorded(agentd):
    s = agentd.run(SLEEPER, agent={"restart_sec": "50ms"})["session_id"]
    first = running(agentd, s)
    os.kill(first["pid"], signal.SIGKILL)
    wait_for(lambda: open_run(agentd, s)["number"] == 2 and open_run(agentd, s)["state"] == "alive",
             what="the second run")
    runs = agentd.api("GET", f"/sessions/{s}/runs", expect=200).json
    assert (runs[0]["result"], runs[0]["exit_signal"]) == ("signal", signal.SIGKILL)


def test_setsid_grandchild_is_ended_before_the_next_run(agentd):
    script = "setsid sh -c 'while :; do echo writing >> trace; sleep 0.01; done' & echo $! > child; sleep 1000"
    folder = agentd.folder / "w"
    folder.mkdir()
    s = agentd.run(["/bin/sh", "-c", script], workspace=str(folder), agent={"restart_sec": "20ms"})["session_id"]
    first = running(agentd, s)
    wait_for(lambda: (folder / "trace").exists(), what="the grandchild's writing")
    os.kill(first["pid"], signal.SIGKILL)
    wait_for(lambda: open_run(agentd, s)["number"] == 2, what="the second run")
    runs = agentd.api("GET", f"/sessions/{s}/runs", expect=200).json
    assert runs[0]["leftovers"] >= 1, "the grandchild was not seen"
    writers = [p for p in agentd.own_pids()
               if b"writing >> trace" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()
               and b"setsid" not in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()]
    assert len(writers) <= 1, "the old grandchild writes on beside the new run"


def test_stop_ends_a_tree_that_ignores_term(agentd):
    script = "trap '' TERM; (trap '' TERM; setsid sleep 1000) & while :; do sleep 1; done"
    s = agentd.run(["/bin/sh", "-c", script], agent={"timeout_stop_sec": "300ms"})["session_id"]
    running(agentd, s)
    tree = [p for p in agentd.own_pids() if p not in (agentd.daemon_pid, agentd.keeper_pid, agentd.process.pid)]
    assert len(tree) >= 2
    assert agentd.api("POST", f"/sessions/{s}/stop", expect=200).json["status"] == "stopped"
    assert not [p for p in tree if alive(p)]


def test_a_frozen_agent_does_not_run_and_resumes_the_same_process(agentd):
    folder = agentd.folder / "w"
    folder.mkdir()
    s = agentd.run(["/bin/sh", "-c", "while :; do echo x >> ticks; sleep 0.01; done"], workspace=str(folder))["session_id"]
    before = running(agentd, s)
    wait_for(lambda: (folder / "ticks").exists(), what="ticks")
    paused = agentd.api("POST", f"/sessions/{s}/pause", expect=200).json
    if paused["substate"] != "frozen":
        pytest.skip("no cgroup v2 here: pausing ends the process")
    size = (folder / "ticks").stat().st_size
    time.sleep(0.2)
    assert (folder / "ticks").stat().st_size == size
    kill_daemon(agentd)
    assert agentd.session(s)["substate"] == "frozen"
    agentd.api("POST", f"/sessions/{s}/resume", expect=200)
    assert open_run(agentd, s)["pid"] == before["pid"]
    wait_for(lambda: (folder / "ticks").stat().st_size > size, what="ticks going on")


def test_start_limit_ends_in_error_with_a_reason(agentd):
    s = agentd.run(["/bin/false"], agent={"restart_sec": "1ms", "restart_max_delay_sec": "2ms", "start_limit_burst": 3})
    ended = agentd.wait_session(s["session_id"], lambda x: x["status"] == "error")
    assert ended["substate"] == "failed" and ended["reason"]
    assert len(agentd.api("GET", f"/sessions/{s['session_id']}/runs", expect=200).json) == 3


def test_a_program_that_is_not_there_is_named(agentd):
    s = agentd.run(["/no/such/program"], agent={"restart": "no"})
    ended = agentd.wait_session(s["session_id"], lambda x: x["status"] == "error")
    assert "/no/such/program" in ended["reason"] or "No such file" in ended["reason"]


def test_a_run_of_the_past_cannot_write(agentd):
    folder = agentd.folder / "w"
    folder.mkdir()
    s = agentd.run(["/bin/sh", "-c", "echo $AGENTD_TOKEN >> tokens; exec sleep 1000"], workspace=str(folder),
                   agent={"restart_sec": "10ms"})["session_id"]
    first = running(agentd, s)
    os.kill(first["pid"], signal.SIGKILL)
    wait_for(lambda: len((folder / "tokens").read_text().split()) == 2, what="the second run")
    old, new = (folder / "tokens").read_text().split()
    message = {"role": "user", "content": "who?"}
    refused = agentd.tcp("POST", f"/sessions/{s}/messages", message, {"Authorization": "Bearer " + old})
    assert refused.status in (401, 409) and refused.json["code"] == "stale_run"
    taken = agentd.tcp("POST", f"/sessions/{s}/messages", message, {"Authorization": "Bearer " + new})
    assert taken.status == 201


def test_connections_wait_while_no_daemon_is_there(agentd):
    """0 refused: the keeper holds the listening sockets."""
    port = agentd.port
    import http.client
    refused = 0
    for _ in range(20):
        os.kill(agentd.daemon_pid, signal.SIGKILL)
        for _ in range(5):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                c.request("GET", "/health")
                c.getresponse().read()
            except ConnectionRefusedError:
                refused += 1
            except (ConnectionError, http.client.HTTPException):
                pass
            finally:
                c.close()
        agentd.wait_ready()
    assert refused == 0


def test_kept_agents_outlive_a_graceful_stop_and_are_found_again(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    before = running(agentd, s)
    done = agentd.stop()
    assert done.returncode == 0, done.stderr
    assert alive(before["pid"])
    agentd.start()
    assert open_run(agentd, s)["pid"] == before["pid"]
    labels = [c["label"] for c in agentd.api("GET", f"/sessions/{s}/checkpoints", expect=200).json]
    assert "shutdown-checkpoint" in labels


def test_agents_that_stop_with_the_daemon_run_again_after_its_start(agentd):
    s = agentd.run(SLEEPER, agent={"on_daemon_stop": "stop"})["session_id"]
    before = running(agentd, s)
    assert agentd.stop().returncode == 0
    assert not alive(before["pid"])
    agentd.process.wait(timeout=30)
    agentd.start()
    after = agentd.wait_session(s, lambda x: x["substate"] == "active")
    assert after["status"] == "running" and open_run(agentd, s)["number"] == 2


def test_stop_asks_the_rest_of_the_tree_after_its_leader(agentd):
    """A background process that nobody else would end must not cost the whole stop timeout."""
    folder = agentd.folder / "w"
    folder.mkdir()
    script = "setsid sh -c 'trap \"echo asked > asked; exit\" TERM; touch up; while :; do sleep 0.05; done' & exec sleep 1000"
    s = agentd.run(["/bin/sh", "-c", script], workspace=str(folder), agent={"timeout_stop_sec": "30s"})["session_id"]
    running(agentd, s)
    wait_for(lambda: (folder / "up").exists(), what="the background process")
    begin = time.monotonic()
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    assert time.monotonic() - begin < 15
    assert (folder / "asked").read_text() == "asked\n"


def test_a_run_that_began_while_the_keeper_died_is_adopted(agentd):
    """The keeper dies between an agent's first instruction and the news of it."""
    import random
    import threading
    dice = random.Random(7)
    ids = [agentd.create(f"s{i}", agent={"exec": SLEEPER, "restart_sec": "10ms", "start_limit_burst": 0})["session_id"]
           for i in range(12)]
    lost = 0
    for _ in range(4):
        keeper = agentd.keeper_pid
        starters = [threading.Thread(target=agentd.request, args=("POST", f"/sessions/{s}/start")) for s in ids]
        for t in starters:
            t.start()
        time.sleep(dice.uniform(0, 0.06))
        os.kill(keeper, signal.SIGKILL)
        for t in starters:
            t.join()
        wait_for(lambda: agentd.keeper_pid not in (None, keeper), what="a new keeper")
        for s in ids:
            run = running(agentd, s)
            assert alive(run["pid"])
            for earlier in agentd.api("GET", f"/sessions/{s}/runs").json:
                if earlier["result"] == "lost":
                    text = agentd.request("GET", f"/sessions/{s}/logs?run={earlier['run_id']}&lines=-1").body
                    lost += b"up" in text
            agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    assert lost == 0, f"{lost} runs that had begun were given up"
