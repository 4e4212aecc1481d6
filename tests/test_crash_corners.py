# SPDX-License-Identifier: MIT
"""Deaths and full disks in the middle of a start, a stop or an end: nothing stuck, lost or done twice.

The daemon runs with tests/preload/disk-trouble.c: while its disk waits it is killed, so exactly between what is
written down and what is done. A change that is killed there is either in the log but not answered ("written") or
still waits in the writer's queue behind another ("queued")."""
import datetime
import errno
import os
import pathlib
import random
import signal
import sqlite3
import time

import pytest

from lib.agentd import alive, cgroups_are_ours, wait_for
from test_durability import agentd, answer, arrived, disk, preload  # noqa: F401
from test_durability import begin as send

# Without cgroup v2 the run's process is agentd-exec, its own subreaper, and what no row knows cannot be found.
pytestmark = pytest.mark.skipif(not cgroups_are_ours(), reason="no cgroup v2 here: processes are looked at by their cgroup")

SLEEPER = ["/bin/sh", "-c", "echo $$ >> begun; exec sleep 1000"]
NO = {"restart": "no"}


@pytest.fixture
def folder(tmp_path):
    f = tmp_path / "w"
    f.mkdir()
    return f


asked = []


@pytest.fixture(autouse=True)
def hang_up():
    """Nobody hangs up before his test is over: a request whose client is gone may be dropped."""
    yield
    while asked:
        asked.pop().close()


def begin(*request):
    asked.append(send(*request))
    return asked[-1]


def runs(agentd, session):
    return agentd.api("GET", f"/sessions/{session}/runs", expect=200).json


def substate(agentd, session, wanted):
    return agentd.wait_session(session, lambda s: s["substate"] == wanted, what=f"substate {wanted}")


def running(agentd, session):
    substate(agentd, session, "active")
    return runs(agentd, session)[-1]


def begun(folder):
    """The pids that the agent has written down, one for each time that it began."""
    try:
        return [int(line) for line in (folder / "begun").read_text().split()]
    except FileNotFoundError:
        return []


def agents(agentd):
    """The living processes of agents."""
    found = []
    for pid in agentd.own_pids():
        try:
            if b"AGENTD_RUN=" in pathlib.Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
        except OSError:
            pass
    return found


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(p) for p in pids), what="their deaths")


def pids_of(agentd, which):
    return {"daemon": [agentd.daemon_pid], "both": [agentd.keeper_pid, agentd.daemon_pid]}[which]


def again(agentd, which):
    if which == "both":
        agentd.process.wait()
        agentd.start()
    else:
        agentd.wait_ready()


def hold(agentd, disk, how):
    """From here on a change is not committed; what is behind the first one is not even written."""
    disk.hold()
    if how == "queued":
        before = disk.syncs
        begin(agentd, "POST", "/tokens", {"name": "in front"})
        sync_waits(disk, before)


def sync_waits(disk, before):
    wait_for(lambda: disk.syncs > before, what="a sync that waits")


HOW = pytest.mark.parametrize("how", ["written", "queued"])
WHO = pytest.mark.parametrize("who", ["daemon", "both"])


@HOW
@WHO
def test_a_start_that_is_killed_with_its_commit_begins_once_or_not_at_all(agentd, disk, folder, how, who):
    s = agentd.create(agent={"exec": SLEEPER, "restart_sec": "10ms"}, workspace=str(folder))["session_id"]
    victims = pids_of(agentd, who)
    before = disk.syncs
    hold(agentd, disk, how)
    begin(agentd, "POST", f"/sessions/{s}/start")
    arrived(agentd)
    sync_waits(disk, before)
    assert begun(folder) == [], "it began before its row was on disk"
    kill(*victims)
    disk.release()
    again(agentd, who)
    if agentd.session(s)["status"] == "created":
        agentd.api("POST", f"/sessions/{s}/start", expect=200)
    run = wait_for(lambda: (lambda r: r if r["state"] == "alive" else None)(runs(agentd, s)[-1]), what="a living run")
    wait_for(lambda: begun(folder), what="its first line")
    assert begun(folder) == [run["pid"]] == agents(agentd)


@WHO
def test_a_run_that_has_just_begun_is_the_same_afterwards(agentd, disk, folder, who):
    s = agentd.create(agent={"exec": SLEEPER, "restart_sec": "10ms"}, workspace=str(folder))["session_id"]
    victims = pids_of(agentd, who)
    before = disk.syncs
    disk.hold()
    begin(agentd, "POST", f"/sessions/{s}/start")
    sync_waits(disk, before)
    disk.release()
    wait_for(lambda: begun(folder), what="its first line")
    kill(*victims)
    disk.release()
    again(agentd, who)
    run = running(agentd, s)
    assert agents(agentd) == [run["pid"]] == begun(folder)


@HOW
@WHO
def test_an_end_that_is_killed_with_its_commit_is_told_right_and_once(agentd, disk, folder, how, who):
    os.mkfifo(folder / "go")
    s = agentd.run(["/bin/sh", "-c", "echo $$ >> begun; read x < go; exit 7"], agent=NO, workspace=str(folder))["session_id"]
    running(agentd, s)
    victims = pids_of(agentd, who)
    before = disk.syncs
    hold(agentd, disk, how)
    (folder / "go").write_text("now\n")
    wait_for(lambda: not agents(agentd), what="its end")
    arrived(agentd)
    sync_waits(disk, before)
    kill(*victims)
    disk.release()
    again(agentd, who)
    ended = agentd.wait_session(s, lambda x: x["status"] == "error")
    (run,) = runs(agentd, s)
    if who == "daemon" or how == "written":
        assert (run["result"], run["exit_code"], ended["substate"]) == ("exit-code", 7, "failed")
    else:
        assert run["result"] in ("lost", "unknown", "exit-code")
    ends = [e for e in agentd.api("GET", f"/sessions/{s}/events", expect=200).json if e["type"] == "run.ended"]
    assert len(ends) == 1 and len(begun(folder)) == 1


@HOW
@WHO
@pytest.mark.parametrize("verb", ["stop", "pause", "restart", "delete"])
def test_a_verb_that_ends_the_run_and_is_killed_with_its_commit(agentd, disk, folder, verb, how, who):
    script = "trap 'sleep 0.2; exit 0' TERM; echo $$ >> begun; while :; do sleep 0.01; done"
    s = agentd.run(["/bin/sh", "-c", script], workspace=str(folder))["session_id"]
    first = running(agentd, s)
    wait_for(lambda: begun(folder), what="its first line")
    victims = pids_of(agentd, who)
    before = disk.syncs
    hold(agentd, disk, how)
    if verb == "delete":
        begin(agentd, "DELETE", f"/sessions/{s}?force=true")
    else:
        begin(agentd, "POST", f"/sessions/{s}/{verb}")
    arrived(agentd)
    sync_waits(disk, before)
    assert alive(first["pid"]), "it was ended before that was written down"
    kill(*victims)
    disk.release()
    again(agentd, who)

    def settled():
        a = agentd.request("GET", f"/sessions/{s}")
        if a.status == 404:
            return "gone"
        x = a.json
        return x["substate"] if x["substate"] in ("active", "parked", "frozen", "exited") else None
    state = wait_for(settled, what="a state at rest")
    if how == "queued":
        assert state == "active" and runs(agentd, s)[-1]["pid"] == first["pid"] and alive(first["pid"])
    allowed = {"stop": "exited", "pause": "active parked frozen", "restart": "active", "delete": "gone"}[verb].split()
    assert state in (["active"] if how == "queued" else allowed)
    # And the session takes verbs as ever.
    if state != "gone":
        if verb == "delete":
            agentd.api("DELETE", f"/sessions/{s}?force=true")
            assert agentd.request("GET", f"/sessions/{s}").status == 404
        else:
            agentd.api("POST", f"/sessions/{s}/stop", expect=200)
            assert agentd.session(s)["status"] == "stopped"
    wait_for(lambda: not agents(agentd), what="the end of all agents")


@WHO
@pytest.mark.parametrize("verb", ["stop", "pause", "restart", "delete", "resume"])
def test_a_death_while_the_process_takes_its_time_to_end(agentd, folder, verb, who):
    script = "trap 'touch asked; sleep 0.7; exit 0' TERM; echo $$ >> begun; while :; do sleep 0.01; done"
    s = agentd.run(["/bin/sh", "-c", script], workspace=str(folder), agent={"restart": "always"})["session_id"]
    running(agentd, s)
    wait_for(lambda: begun(folder), what="its first line")
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"]
    victims = pids_of(agentd, who)
    if verb == "delete":
        begin(agentd, "DELETE", f"/sessions/{s}?force=true")
    else:
        begin(agentd, "POST", f"/sessions/{s}/{verb}", {"checkpoint_id": cp} if verb == "resume" else None)
    if verb == "pause":
        arrived(agentd)
    else:
        wait_for(lambda: (folder / "asked").exists(), what="the stop's signal")
    kill(*victims)
    again(agentd, who)
    if verb == "delete":
        wait_for(lambda: agentd.request("GET", f"/sessions/{s}").status == 404, what="the session's end")
    elif verb == "stop":
        substate(agentd, s, "exited")
        assert len(begun(folder)) == 1, "restarted after a stop that was asked for"
    elif verb == "pause":
        agentd.wait_session(s, lambda x: x["substate"] in ("active", "parked", "frozen"))
    else:
        agentd.wait_session(s, lambda x: x["substate"] == "active" and len(runs(agentd, s)) == 2)
        wait_for(lambda: len(begun(folder)) == 2, what="the next run")
        assert len(agents(agentd)) >= 1 and not alive(begun(folder)[0])
    if verb != "delete":
        agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    wait_for(lambda: not agents(agentd), what="the end of all agents")


# ---- a full disk in the middle ----


def test_an_exit_on_a_full_disk_is_recorded_when_there_is_room_again(agentd, disk, folder):
    os.mkfifo(folder / "go")
    s = agentd.run(["/bin/sh", "-c", "read x < go; exit 9"], agent=NO, workspace=str(folder))["session_id"]
    running(agentd, s)
    before = disk.syncs
    disk.fail("sync", errno.ENOSPC)
    (folder / "go").write_text("now\n")
    sync_waits(disk, before + 1)
    assert agentd.session(s)["status"] == "running" and runs(agentd, s)[-1]["state"] == "alive"
    refused = agentd.api("POST", f"/sessions/{s}/stop")
    assert refused.status == 507
    disk.heal()
    agentd.wait_session(s, lambda x: x["substate"] == "failed")
    (run,) = runs(agentd, s)
    assert (run["result"], run["exit_code"]) == ("exit-code", 9)


def test_a_stop_whose_end_meets_a_full_disk_is_done_when_there_is_room_again(agentd, disk, folder):
    script = "trap 'touch asked; while [ ! -e go ]; do sleep 0.01; done; exit 0' TERM; touch up; while :; do sleep 0.01; done"
    s = agentd.run(["/bin/sh", "-c", script], workspace=str(folder))["session_id"]
    running(agentd, s)
    wait_for(lambda: (folder / "up").exists(), what="the trap")
    stop = begin(agentd, "POST", f"/sessions/{s}/stop")
    wait_for(lambda: (folder / "asked").exists(), what="the stop's signal")
    disk.fail("sync", errno.ENOSPC)
    before = disk.syncs
    (folder / "go").touch()
    sync_waits(disk, before)
    second = begin(agentd, "POST", f"/sessions/{s}/stop")
    arrived(agentd)
    disk.heal()
    assert answer(stop)[0] == 200 and answer(second)[0] == 200
    assert agentd.session(s)["substate"] == "exited"
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    running(agentd, s)


def test_a_back_off_that_ends_on_a_full_disk_does_not_spin(agentd, disk):
    s = agentd.run(["/bin/sh", "-c", "exit 1"], agent={"restart_sec": "300ms", "start_limit_burst": 0,
                                                       "restart_max_delay_sec": "300ms"})["session_id"]
    substate(agentd, s, "backoff")
    disk.fail("sync", errno.ENOSPC)
    time.sleep(0.5)
    before = disk.syncs
    time.sleep(2)
    assert disk.syncs - before <= 8, f"{disk.syncs - before} attempts in two seconds"
    disk.heal()
    n = len(runs(agentd, s))
    wait_for(lambda: len(runs(agentd, s)) > n, what="the next run")


def test_what_ended_by_itself_is_not_run_again_because_the_daemon_left(agentd, disk, folder):
    os.mkfifo(folder / "go")
    s = agentd.run(["/bin/sh", "-c", "echo $$ >> begun; read x < go; exit 7"], workspace=str(folder),
                   agent={"restart": "no", "on_daemon_stop": "stop"})["session_id"]
    running(agentd, s)
    disk.fail("sync", errno.ENOSPC)
    before = disk.syncs
    (folder / "go").write_text("now\n")
    sync_waits(disk, before)
    arrived(agentd)
    keeper = agentd.keeper_pid
    os.kill(keeper, signal.SIGTERM)
    wait_for(lambda: "Stopping" in agentd.log_text(), what="the daemon's leaving")
    time.sleep(0.3)
    disk.heal()
    agentd.process.wait(timeout=30)
    agentd.start()
    ended = agentd.wait_session(s, lambda x: x["substate"] not in ("active", "starting"))
    assert (ended["status"], ended["substate"]) == ("error", "failed")
    (run,) = runs(agentd, s)
    assert run["exit_code"] == 7 and len(begun(folder)) == 1


# ---- without a daemon ----


@pytest.mark.parametrize("policy, substate_after, n", [("no", "failed", 1), ("on-failure", "active", 2)])
def test_an_agent_that_ends_while_no_daemon_lives(agentd, folder, policy, substate_after, n):
    os.mkfifo(folder / "go")
    script = "echo $$ >> begun; [ -e second ] && exec sleep 1000; touch second; read x < go; exit 5"
    s = agentd.run(["/bin/sh", "-c", script], workspace=str(folder),
                   agent={"restart": policy, "restart_sec": "10ms"})["session_id"]
    running(agentd, s)
    assert agentd.stop().returncode == 0
    (folder / "go").write_text("now\n")
    agentd.process.wait(timeout=30)
    left = time.time()
    time.sleep(1.5)
    agentd.start()
    substate(agentd, s, substate_after)
    run = runs(agentd, s)[0]
    assert (run["result"], run["exit_code"]) == ("exit-code", 5)
    ended = datetime.datetime.fromisoformat(run["ended_at"].replace("Z", "+00:00")).timestamp()
    assert ended <= left + 0.5, "the time of its end is that of being told of it"
    assert len(runs(agentd, s)) == n
    wait_for(lambda: len(begun(folder)) == n, what=f"{n} beginnings")


def test_starts_that_are_queued_when_the_daemon_leaves_happen_after_its_return(make_agentd):
    agentd = make_agentd(env={"AGENTD_START_PARALLEL": "1"})
    ids = [agentd.create(f"q{i}", agent={"exec": ["/bin/sleep", "1000"], **NO})["session_id"] for i in range(30)]
    held = [begin(agentd, "POST", f"/sessions/{s}/start") for s in ids]
    statuses = [answer(h)[0] for h in held]
    assert statuses == [200] * 30
    os.kill(agentd.keeper_pid, signal.SIGTERM)
    wait_for(lambda: "Stopped" in agentd.log_text(), what="the daemon's leaving")
    agentd.start()
    for s in ids:
        substate(agentd, s, "active")
        assert len([r for r in runs(agentd, s) if r["pid"]]) == 1
    assert len(agents(agentd)) == 30


def test_starts_that_are_queued_when_the_daemon_dies_happen_after_its_return(make_agentd):
    agentd = make_agentd(env={"AGENTD_START_PARALLEL": "1"})
    ids = [agentd.create(f"q{i}", agent={"exec": ["/bin/sleep", "1000"], **NO})["session_id"] for i in range(60)]
    daemon = agentd.daemon_pid
    held = [begin(agentd, "POST", f"/sessions/{s}/start") for s in ids]
    statuses = [answer(h)[0] for h in held]
    kill(daemon)
    assert statuses == [200] * 60
    agentd.wait_ready()
    for s in ids:
        substate(agentd, s, "active")
        assert len([r for r in runs(agentd, s) if r["pid"]]) == 1
    assert len(agents(agentd)) == 60


def test_a_stop_in_the_queue_and_in_the_back_off(make_agentd):
    agentd = make_agentd(env={"AGENTD_START_PARALLEL": "1"})
    ids = [agentd.create(f"q{i}", agent={"exec": ["/bin/sleep", "1000"]})["session_id"] for i in range(40)]
    starts = [begin(agentd, "POST", f"/sessions/{s}/start") for s in ids]
    stops = [begin(agentd, "POST", f"/sessions/{s}/stop") for s in reversed(ids)]
    assert {answer(h)[0] for h in starts} <= {200, 409} and {answer(h)[0] for h in stops} == {200}
    for s in ids:
        agentd.wait_session(s, lambda x: x["status"] in ("stopped", "running"))
        agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    assert not agents(agentd)
    b = agentd.run(["/bin/false"], agent={"restart_sec": "1h", "restart_max_delay_sec": "1h"})["session_id"]
    substate(agentd, b, "backoff")
    agentd.api("POST", f"/sessions/{b}/stop", expect=200)
    assert agentd.session(b)["substate"] == "exited" and len(runs(agentd, b)) == 1


def test_a_keepers_death_at_the_daemons_birth_does_not_cost_the_agents(make_agentd, disk):
    disk.hold()
    agentd = make_agentd(start=False, env=disk.env)
    agentd.start(wait=False)
    wait_for(lambda: disk.syncs > 0, what="a daemon at its start")
    agentd.process.kill()
    agentd.process.wait()
    disk.release()
    agentd.wait_ready()
    s = agentd.run(["/bin/sleep", "1000"])["session_id"]
    pid = running(agentd, s)["pid"]
    assert agentd.stop().returncode == 0
    assert alive(pid), "the daemon took its lost parent for PID 1 and stopped what is to be kept"
    agentd.start()
    assert runs(agentd, s)[-1]["pid"] == pid


def change(agentd, sql, *values):
    db = sqlite3.connect(agentd.data / "state.db")
    with db:
        db.execute(sql, values)
    db.close()


def test_after_another_boot_nothing_is_adopted_and_all_goes_on(agentd, folder):
    s = agentd.run(SLEEPER, workspace=str(folder), agent={"restart_sec": "10ms"})["session_id"]
    deaf = "trap '' TERM; touch deaf; while :; do sleep 0.1; done"
    stopping = agentd.run(["/bin/sh", "-c", deaf], workspace=str(folder), agent={"timeout_stop_sec": "1h"})["session_id"]
    first = running(agentd, s)
    wait_for(lambda: (folder / "deaf").exists() and begun(folder), what="both agents")
    begin(agentd, "POST", f"/sessions/{stopping}/stop")
    substate(agentd, stopping, "stopping")
    kill(*pids_of(agentd, "both"))
    agentd.process.wait()
    change(agentd, "UPDATE runs SET boot_id = '00000000-0000-0000-0000-000000000000' WHERE state < 3")
    agentd.start()
    wait_for(lambda: len(begun(folder)) == 2, what="the next run")
    substate(agentd, stopping, "exited")
    assert running(agentd, s)["number"] == 2 and not alive(first["pid"])
    assert runs(agentd, s)[0]["result"] == "lost" and "anew" in runs(agentd, s)[0]["reason"]
    assert len(agents(agentd)) == 1


def test_a_unit_that_cannot_be_read_any_more_does_not_leave_its_session_stuck(agentd, folder):
    s = agentd.run(SLEEPER, workspace=str(folder))["session_id"]
    running(agentd, s)
    kill(*pids_of(agentd, "both"))
    agentd.process.wait()
    change(agentd, "UPDATE configs SET agent = '{\"exec\": [\"/bin/true\"], \"restart\": \"sometimes\"}'")
    agentd.start()
    ended = agentd.wait_session(s, lambda x: x["status"] == "error", 20)
    assert ended["reason"]
    wait_for(lambda: not agents(agentd), what="the end of the process")
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)


# ---- many ----


@pytest.mark.slow
def test_many_agents_survive_twenty_deaths_of_daemon_and_keeper(make_agentd):
    n, rounds = int(os.environ.get("AGENTD_MANY_AGENTS", "200")), 20
    seed = int(os.environ.get("AGENTD_TORTURE_SEED", str(random.SystemRandom().randrange(1 << 30))))
    print(f"seed {seed}")
    dice = random.Random(seed)
    agentd = make_agentd()
    ids = [agentd.create(f"s{i}", agent={"exec": ["/bin/sleep", "100000"], "restart": "always", "restart_sec": "10ms",
                                         "restart_max_delay_sec": "20ms", "start_limit_burst": 0})["session_id"] for i in range(n)]
    starts = [begin(agentd, "POST", f"/sessions/{s}/start") for s in ids]
    assert {answer(h)[0] for h in starts} == {200}
    agentd.wait_ready()
    adopted = 0
    living = {}
    for _ in range(rounds):
        time.sleep(dice.uniform(0, 0.5))
        victims = pids_of(agentd, "both")
        dice.shuffle(victims)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(alive(p) for p in victims), what="their deaths")
        agentd.process.wait()
        started = time.monotonic()
        # One of the two may have begun to bring the other back: then that one goes on.
        agentd.start()
        every = wait_for(lambda: (lambda x: x if all(s["substate"] == "active" for s in x) else None)(
            agentd.api("GET", "/sessions", expect=200).json), 60, "all agents active")
        assert len(every) == n
        now = {s: runs(agentd, s)[-1]["pid"] for s in ids}
        assert len(set(now.values())) == n and all(alive(p) for p in now.values()), "an agent is lost"
        wait_for(lambda: len(agents(agentd)) == n, 20, "exactly one process for each")
        assert set(agents(agentd)) == set(now.values()), "an agent is doubled"
        adopted += sum(living.get(s) == p for s, p in now.items())
        living = now
        print(f"recovered after {time.monotonic() - started:.2f} s")
    assert adopted == n * (rounds - 1), "agents that nobody killed were not adopted"
