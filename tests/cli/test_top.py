# SPDX-License-Identifier: MIT
"""`agentd top` on a terminal and in a pipe."""
import json
import os
import signal

import pytest

from lib.agentd import Agentd, wait_for
from lib.terminal import Terminal

pytestmark = pytest.mark.sanitized

SLEEPER = ["sh", "-c", "echo up; exec sleep 1000"]
TALKER = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    instance = Agentd(tmp_path_factory.mktemp("top")).start()
    yield instance
    instance.kill_everything()


@pytest.fixture
def top(request):
    opened = []

    def make(agentd, *args, **options):
        opened.append(Terminal(agentd, "top", *args, **options))
        return opened[-1]
    yield make
    for t in opened:
        t.close()


def row(screen, name):
    return next((line for line in screen.lines() if line.startswith(name + " ")), None)


def chosen(screen):
    return next((screen.lines()[i] for i, styles in enumerate(screen.styles) if "7" in styles[:1]), "")


@pytest.mark.parametrize("rows,columns", [(24, 80), (50, 200), (24, 40), (3, 20), (1, 10)])
def test_rows_fit_every_terminal(shared, top, rows, columns):
    name = f"fit-{columns}"
    shared.create(name)
    t = top(shared, "--sort", "name", rows=rows, columns=columns)
    if rows > 3:
        t.type("/" + name + "\r")
        screen = t.wait(lambda s: row(s, name[:8]) or row(s, name))
        assert ("LAST MESSAGE" in str(screen)) == (columns >= 80)
        assert "created" in row(screen, name)
    else:
        t.wait(lambda s: str(s).strip())
    t.type("\x1b")  # ends the filter
    t.type("q")
    assert t.wait_end() == 0 and t.is_restored()


def test_what_happens_is_seen_at_once(shared, top):
    t = top(shared, "--delay", "1h", "--sort", "name", columns=120)
    t.wait_text("q quit")
    s = shared.run(SLEEPER, "appears")
    t.wait(lambda screen: row(screen, "appears") and "running" in row(screen, "appears"))
    assert t.screen.style_of("running") in ("", "7")  # NO_COLOR
    shared.api("POST", f"/sessions/{s['session_id']}/messages", {"role": "user", "content": "a\nnew \x1b[31mword"})
    t.wait_text("user: a new \\x1b[31mw")
    shared.api("POST", f"/sessions/{s['session_id']}/stop")
    t.wait(lambda screen: "stopped" in (row(screen, "appears") or ""))
    shared.api("DELETE", f"/sessions/{s['session_id']}")
    t.wait(lambda screen: not row(screen, "appears"))


def test_keys_act_on_the_selected_session(shared, top):
    a, b = (shared.run(SLEEPER, f"keys-{x}")["session_id"] for x in "ab")
    t = top(shared, "--sort", "name")
    t.wait_text("keys-a", "keys-b")
    t.type("/keys-\r")
    t.type("\x1b[Ajk\x1bOBj")  # up (stays), down, up, down (as in application mode), down (stays)
    t.wait(lambda s: chosen(s).startswith("keys-b"))
    t.type("p")
    t.wait(lambda s: "paused" in (row(s, "keys-b") or ""))
    t.type("r")
    t.wait(lambda s: "running" in (row(s, "keys-b") or ""))
    t.type("s")
    t.wait_text("stop keys-b? y/n")
    t.type("n")
    t.wait_text("not stopped")
    t.type("sy")
    t.wait(lambda s: "stopped" in (row(s, "keys-b") or ""))
    assert shared.session(a)["status"] == "running" and shared.session(b)["status"] == "stopped"
    t.type("p")  # of what is stopped: refused, and said
    t.wait(lambda s: "running" in s.lines()[-1] and "keys" not in s.lines()[-1][:4], "the refusal")
    t.type("k")
    t.wait(lambda s: chosen(s).startswith("keys-a"))
    run = shared.session(a)["run"]
    t.type("R")
    shared.wait_session(a, lambda s: s["run"] != run and s["status"] == "running")
    t.type("q")
    assert t.wait_end() == 0 and t.is_restored()


def test_views_open_and_close(shared, top):
    s = shared.run(TALKER, "talker")
    t = top(shared, "--sort", "name")
    t.wait_text("talker")
    t.type("?")
    t.wait_text("order by CPU")
    t.type("q/talk\r")
    t.wait(lambda screen: chosen(screen).startswith("talker"))
    t.type("\r")
    pid = shared.api("GET", f"/sessions/{s['session_id']}/runs/{s['run']}").json["pid"]
    t.wait_text("status of talker", f"Main PID: {pid}", "line ")
    t.type("l")
    t.wait_text("logs of talker", "line 60")
    t.type("\x1b[5~")
    t.wait_text("looking back")
    frozen = str(t.screen).splitlines()[2]
    t.wait_text("looking back", frozen)
    t.type("\x1b[F")
    t.wait(lambda screen: "looking back" not in str(screen))
    t.type("q")
    t.wait_text("LAST MESSAGE")
    t.type("q")
    assert t.wait_end() == 0 and t.is_restored()


def test_a_resize_draws_for_the_new_size(shared, top):
    shared.create("resized")
    t = top(shared, rows=30, columns=120)
    t.wait_text("resized", "q quit")
    t.resize(12, 60)
    t.wait(lambda s: "q quit" in s.lines()[11])
    t.resize(40, 160)
    t.wait(lambda s: "q quit" in s.lines()[39] and "LAST MESSAGE" in str(s))


def test_it_goes_on_when_the_daemon_dies(make_agentd, top):
    agentd = make_agentd()
    s = agentd.run(TALKER, "survivor")
    t = top(agentd)
    t.wait_text("survivor")
    first = agentd.daemon_pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: agentd.request("GET", "/ready").status == 200 and agentd.daemon_pid != first)
    agentd.create("afterwards")
    t.wait_text("afterwards", "survivor")
    t.type("/surv\rl")
    t.wait_text("logs of survivor", "line ")
    os.kill(agentd.daemon_pid, signal.SIGKILL)
    before = max(int(line.split()[1]) for line in t.screen.lines() if line.startswith("line "))
    t.wait(lambda screen: any(line == f"line {before + 30}" for line in screen.lines()))
    numbers = [int(line.split()[1]) for line in t.screen.lines() if line.startswith("line ")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a line was lost or came twice"
    agentd.api("POST", f"/sessions/{s['session_id']}/stop")


def test_a_frozen_daemon_freezes_no_key(agentd, top):
    agentd.create("frozen")
    t = top(agentd)
    t.wait_text("frozen")
    pid = agentd.daemon_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        t.wait_text("no answer for", "trying again")
        t.type("?")
        t.wait_text("order by CPU")
        t.type("qq")
        assert t.wait_end() == 0 and t.is_restored()
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGABRT, signal.SIGSEGV])
def test_the_terminal_is_given_back_whatever_ends_it(shared, top, signo):
    t = top(shared)
    t.wait_text("q quit")
    assert t.screen.alternate and not t.is_restored()
    os.kill(t.process.pid, signo)
    status = t.wait_end()
    assert t.is_restored()
    assert status in (-signo, 1, 66), status  # 1, 66: a sanitizer's own end


def test_ctrl_c_and_ctrl_z_do_what_they_always_do(shared, top):
    t = top(shared)
    t.wait_text("q quit")
    t.type("\x1a")
    wait_for(lambda: stopped(t.process.pid), what="the stop")
    t.wait(lambda s: t.is_restored(), "the terminal")
    t.process.send_signal(signal.SIGCONT)
    t.wait(lambda s: s.alternate and "q quit" in str(s))
    t.type("\x03")
    assert t.wait_end() == 0 and t.is_restored()


def stopped(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def test_names_cannot_move_the_cursor(shared, top):
    shared.create("名前の長いセッション" * 5)
    shared.create("e\u0301" * 10)
    shared.create("left\u202eright")
    t = top(shared, "--sort", "name", rows=40)
    screen = t.wait_text("名前", "left\\u202eright")
    assert "\u202e" not in str(screen)


def test_what_does_not_change_is_not_written(make_agentd, top):
    agentd = make_agentd()
    agentd.create("quiet")
    # An age counts seconds; beyond a minute it changes each minute only.
    t = top(agentd, "--delay", "100ms", "--sort", "name")
    t.wait_text("quiet", "q quit")
    while t.read(0.2):
        pass
    assert t.screen.clears == 1, "the screen was cleared between frames"


def test_without_a_terminal_it_is_one_table(shared):
    shared.run(SLEEPER, "tabled")
    done = shared.cli("top")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == "", done
    assert lines[0].split() == ["NAME", "STATUS", "CPU%", "MEM", "TASKS", "RST", "AGE", "LAST", "MESSAGE"]
    assert sum(line.startswith("tabled ") for line in lines) == 1 and "\x1b" not in done.stdout
    found = json.loads(shared.cli("top", "--json").stdout)
    mine = next(s for s in found if s["name"] == "tabled")
    assert mine["last_run"]["run_id"] == mine["run"]
    assert "tabled" in shared.cli("top", "-o", "name").stdout.splitlines()
    assert mine["session_id"] in shared.cli("top", "-q").stdout.splitlines()


def test_batch_prints_as_many_tables_as_asked(shared):
    shared.create("batched")
    done = shared.cli("top", "-b", "-n", "3", "-d", "100ms")
    assert done.returncode == 0 and done.stdout.count("LAST MESSAGE") == 3


def test_cpu_is_the_difference_of_two_samples(shared):
    """An agent that computes is seen to; one that sleeps is not. Needs a daemon that tells what runs use."""
    busy = shared.run(["sh", "-c", "while :; do :; done"], "busy")
    shared.run(SLEEPER, "lazy")
    run = shared.api("GET", f"/sessions/{busy['session_id']}/runs/{busy['run']}").json
    if run.get("cpu_usec") is None:
        pytest.skip("this daemon does not tell cpu_usec")
    tables = shared.cli("top", "-n", "2", "-d", "500ms").stdout.split("\n\n")
    cpu = {line.split()[0]: line.split()[2 if "(" not in line else 3] for line in tables[1].splitlines()[1:] if line}
    assert float(cpu["busy"]) > 5 > float(cpu["lazy"]), tables[1]
    shared.api("POST", f"/sessions/{busy['session_id']}/stop")


@pytest.mark.parametrize("args,text", [(["--sort", "size"], "cpu|memory|name"), (["-d", "1ms"], "100ms"),
                                       (["-n", "0"], "number from 1"), (["x"], "does not take")])
def test_wrong_options_are_named(shared, args, text):
    done = shared.cli("top", *args)
    assert done.returncode == 2 and text in done.stderr and done.stderr.count("\n") == 1


def test_without_a_daemon_it_says_how_to_start_one(make_agentd, top):
    nobody = make_agentd(start=False)
    t = top(nobody)
    assert t.wait_end() == 1
    assert "agentd start --detach" in t.raw.decode().replace("\r\n", "") and not t.screen.alternate


@pytest.mark.slow
def test_a_thousand_sessions_are_not_asked_one_by_one(make_agentd, top):
    from lib.load import request, send_all
    agentd = make_agentd()
    send_all(agentd, (request("POST", "/sessions", {"name": f"many-{i}", "model": "m"}) for i in range(1000)))
    t = top(agentd, "--sort", "name")
    t.wait_text("1000 sessions")

    def switches():
        with open(f"/proc/{agentd.daemon_pid}/io") as f:
            return int(f.read().split("syscw:")[1].split()[0])
    first = switches()
    ages = {str(t.screen)}
    t.wait(lambda s: ages.add(str(s)) or len(ages) > 2, "two seconds to pass")
    assert switches() - first < 500, "quiet sessions are asked for"
