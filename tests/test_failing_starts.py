# SPDX-License-Identifier: MIT
"""Allocations and system calls fail, one by one, while agentd is started for the first time and while it is stopped:
the command does what it says, or says what failed; nothing crashes, and the same again works.

As test_failing_calls.py, which looks at a daemon that is running; here each point takes a daemon of its own."""
import os
import random

import pytest

from lib.agentd import wait_for
from lib.failing import Calls
from test_failing_calls import CLI, CRASH, DAEMON, KEEPER, ONE_ERROR, ONLY, VERBOSE, Report, Wrong

PATIENCE = 60


class Place:
    def __init__(self, make_agentd, folder):
        self.make_agentd, self.folder, self.n = make_agentd, folder, 0

    def new(self):
        self.n += 1
        calls = Calls(self.folder / f"calls{self.n}")
        return self.make_agentd(f"a{self.n}", start=False, env=calls.environment), calls


def said(agentd, *results):
    text = "".join(r.stdout + r.stderr for r in results)
    for log in [agentd.folder / "agentd.log", *agentd.data.glob("*.log"), *agentd.folder.glob(".agent_runtime/*.log")]:
        text += log.read_text(errors="replace") if log.exists() else ""
    return text


def outcome_of(result, what):
    if result.returncode == 0:
        return "done"
    if not result.stderr.strip():
        raise Wrong(f"{what} fails with {result.returncode} and without a word")
    return "refused"


def is_up(agentd):
    try:
        return agentd.request("GET", "/ready", timeout=5).status == 200
    except OSError:
        return False


def finish(agentd, results):
    """It works now, whatever was before."""
    if not is_up(agentd):
        again = agentd.cli("start", "--detach", timeout=PATIENCE)
        results.append(again)
        if again.returncode != 0 and not is_up(agentd):
            raise Wrong(f"afterwards it does not start: {again.stderr}")
    agentd.wait_ready(PATIENCE)
    agentd.create("one")
    stopped = agentd.cli("stop", timeout=PATIENCE)
    results.append(stopped)
    if stopped.returncode != 0:
        raise Wrong(f"afterwards it does not stop: {stopped.stderr}")
    wait_for(lambda: not agentd.own_pids(), PATIENCE, "the end of all processes")
    if crash := CRASH.search(text := said(agentd, *results)):
        raise Wrong(text[max(0, crash.start() - 200):crash.end() + 3000])


def start(place, program, number, which):
    agentd, calls = place.new()
    calls.arm(program, number, which)
    first = agentd.cli("start", "--detach", timeout=PATIENCE)
    outcome = outcome_of(first, "the start")
    if outcome == "done":
        agentd.wait_ready(PATIENCE)
    calls.disarm()
    finish(agentd, [first])
    return calls, outcome


def stop(place, program, number, which):
    agentd, calls = place.new()
    results = [agentd.cli("start", "--detach", timeout=PATIENCE)]
    agentd.wait_ready(PATIENCE)
    kept = agentd.create("kept")["session_id"]
    calls.arm(program, number, which)
    first = agentd.cli("stop", timeout=PATIENCE)
    outcome = outcome_of(first, "the stop")
    if outcome == "done":
        wait_for(lambda: not agentd.own_pids(), PATIENCE, "the end of all processes")
    calls.disarm()
    finish(agentd, [*results, first])
    results.append(agentd.cli("start", "--detach", timeout=PATIENCE))
    if agentd.request("GET", f"/sessions/{kept}").status != 200:
        raise Wrong("a session is lost")
    finish(agentd, results)
    return calls, outcome


def go_through(act, place, share, dice, report):
    for program in (CLI, KEEPER, DAEMON):
        calls, outcome = act(place, program, 0, 0)
        assert outcome == "done"
        n = calls.count(program)
        if VERBOSE:
            print(f"{program}: {n} calls", flush=True)
        for number in [i + 1 for i in range(n) if dice.random() < share]:
            if ONLY and (ONLY[0] != program or not int(ONLY[1]) <= number <= int(ONLY[-1])):
                continue
            for which in (0, 1) if share == 1 else (dice.randrange(2),):
                try:
                    calls, outcome = act(place, program, number, which)
                except AssertionError as error:
                    report.wrong.append(f"call {number} of {program}, error {which}: {error}")
                    print("WRONG", report.wrong[-1], flush=True)
                    break
                failed = calls.failed(program)
                if failed:
                    report.add(failed, outcome)
                if not failed or failed.call in ONE_ERROR:
                    break


def run(act, make_agentd, tmp_path, share):
    seed = int(os.environ.get("AGENTD_FAIL_SEED", str(random.SystemRandom().randrange(1 << 30))))
    report = Report()
    go_through(act, Place(make_agentd, tmp_path), share, random.Random(seed), report)
    print(f"{act.__name__}: {report.points} points, seed {seed}, {dict(report.outcomes)}")
    assert not report.wrong, "\n".join(report.wrong)


@pytest.mark.parametrize("act", [start, stop])
def test_a_failing_call_at_the_first_start_or_the_stop_is_survived_or_said(act, make_agentd, tmp_path):
    run(act, make_agentd, tmp_path, float(os.environ.get("AGENTD_FAIL_SHARE", "0.005")))


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("act", [start, stop])
def test_every_failing_call_at_the_first_start_or_the_stop_is_survived_or_said(act, make_agentd, tmp_path):
    run(act, make_agentd, tmp_path, 1)
