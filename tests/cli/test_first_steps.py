# SPDX-License-Identifier: MIT
"""What a newcomer meets between the clone and an agent that survives: a daemon elsewhere than in the usual folder, the
likeliest mistakes, and what is said to type next (docs/walks.md)."""
import os
import re
import shutil
import socket
import subprocess

import pytest

from lib.agentd import BUILD, ROOT, wait_for

pytestmark = pytest.mark.sanitized


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from lib.agentd import Agentd
    instance = Agentd(tmp_path_factory.mktemp("steps")).start()
    yield instance
    instance.kill_everything()


@pytest.fixture
def nobody(make_agentd):
    """A folder where no daemon runs; what is started from it by options is found again by its environment."""
    instance = make_agentd(start=False)
    del instance.env["AGENT_RUNTIME_MEMORY_DB"]
    return instance


def refused(done, status, *texts):
    assert done.returncode == status, done
    assert done.stderr.startswith("agentd") and done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr


# ---- a daemon in another place ----

def test_a_daemon_started_with_options_says_how_other_commands_find_it(nobody):
    place = nobody.folder / "it's mine" / "state.db"
    started = nobody.cli("start", "--detach", "--db", place)
    assert started.returncode == 0, started
    export = re.search(r"^First: +(export .*?)   \(", started.stdout, re.M)[1]
    done = subprocess.run(["sh", "-c", f'{export}; "$0" status && "$0" stop', BUILD / "agentd"], env=nobody.env,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and str(place.parent) in done.stdout, done
    assert "agentd is stopped" in done.stdout


def test_one_in_the_usual_place_needs_no_such_line(nobody):
    started = nobody.cli("start", "--detach")
    assert started.returncode == 0 and "export" not in started.stdout and "Next:" in started.stdout


def test_who_is_not_there_is_started_by_the_command_that_is_proposed(nobody):
    place = nobody.folder / "elsewhere" / "state.db"
    missed = nobody.cli("list", "--db", place)
    assert missed.returncode == 1
    proposal = missed.stderr.split("start it with: ")[1].split()
    assert proposal == ["agentd", "start", "--detach", "--db", str(place)]
    assert nobody.cli(*proposal[1:]).returncode == 0
    assert nobody.cli("list", "--db", place).returncode == 0
    refused(nobody.cli("start", "--db", place), 1, f"`agentd stop --db {place}` ends it")
    assert nobody.cli("stop", "--db", place).returncode == 0


def test_a_second_daemon_on_a_young_database_learns_who_has_it(agentd):
    """Its header is still in the log: read alone, the file looks like another program's."""
    refused(agentd.cli("start", "--detach", "--runtime-dir", agentd.folder / "run2"), 1,
            f"is in use by process {agentd.daemon_pid}", "--db FILE", "its log is")
    assert agentd.request("GET", "/ready").status == 200


def test_a_folder_for_a_database_is_refused_before_anything_is_made(nobody):
    before = sorted(os.listdir(nobody.folder))
    refused(nobody.cli("start", "--detach", "--db", nobody.data), 2, "is a folder", f"--db {nobody.data}/state.db")
    assert sorted(os.listdir(nobody.folder)) == before and os.listdir(nobody.data) == []


def test_a_place_where_nothing_can_be_made_is_named_with_a_way_out(nobody):
    refused(nobody.cli("start", "--detach", "--db", "/proc/nowhere/state.db"), 1, "/proc/nowhere", "choose another place")


def test_a_start_at_another_port_than_before_says_so(nobody):
    """Agents that lived on have the old address in their environment."""
    with socket.create_server(("127.0.0.1", 0)) as a, socket.create_server(("127.0.0.1", 0)) as b:
        was, now = a.getsockname()[1], b.getsockname()[1]
    nobody.env["AGENT_RUNTIME_PORT"] = str(now)
    assert nobody.cli("start", "--detach", "--port", was).returncode == 0
    nobody.kill_own()
    again = nobody.cli("start", "--detach")
    assert again.returncode == 0 and f"at port {was} before" in again.stderr and f"--port {was}" in again.stderr, again
    nobody.cli("stop")
    assert nobody.cli("start", "--detach").stderr == ""


def test_script_server_starts_a_second_agentd_beside_the_first(nobody, tmp_path):
    """Only what script/server itself does: the packages and the build stand in for themselves."""
    clone = tmp_path / "clone"
    (clone / "script").mkdir(parents=True)
    shutil.copy(ROOT / "script" / "server", clone / "script" / "server")
    for name in ("bootstrap", "build"):
        (clone / "script" / name).write_text("#!/bin/sh\n")
        (clone / "script" / name).chmod(0o755)
    (clone / "build").symlink_to(BUILD)

    def server(*args):
        return subprocess.run([clone / "script" / "server", *map(str, args)], env=nobody.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
    place = tmp_path / "second" / "state.db"
    first, second, again = server(), server(f"--db={place}", "--port", "0"), server("--db", place)
    for done in (first, second, again):
        assert done.returncode == 0, done
    assert "running already" not in first.stdout + second.stdout
    assert f"\n  export AGENT_RUNTIME_DB={place}\n" in second.stdout and "export AGENT_RUNTIME_DB" not in first.stdout
    assert "running already" in again.stdout and str(place.parent) in again.stdout
    assert nobody.cli("stop", "--db", place).returncode == 0 and nobody.cli("stop").returncode == 0
    failed = server("--db", tmp_path)
    assert failed.returncode == 2 and "is a folder" in failed.stderr and "Try it" not in failed.stdout


# ---- a command that is wrong ----

def run_in(agentd, folder, *args):
    return subprocess.run([BUILD / "agentd", "run", *args], env=agentd.env, cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)


def test_a_program_that_is_not_found_says_how_to_be_rid_of_the_session(shared, tmp_path):
    (tmp_path / "agent.sh").write_text("#!/bin/sh\n")
    done = run_in(shared, tmp_path, "--name", "typo", "--", "agent.sh")
    refused(done, 1, "No such file", "`agentd delete typo` removes it", "say ./agent.sh")
    state = shared.cli("status", "typo").stdout
    assert state.count("tries again") == 1, state
    assert re.search(r"Sessions: \d+ running, 1 failed; see: agentd list", shared.cli("status").stdout)
    assert shared.cli("delete", "typo").returncode == 0
    assert "failed" not in shared.cli("status").stdout


def test_a_name_that_is_taken_is_pointed_out_and_the_dashes_are_none(shared, tmp_path):
    for n in range(2):
        done = run_in(shared, tmp_path, "--name", "twin", "--", "sleep", "1000")
        assert done.returncode == 0 and ("another session 'twin'" in done.stderr) == (n == 1), done
    assert run_in(shared, tmp_path, "-q", "--name", "twin", "--", "sleep", "1000").stderr == ""
    refused(run_in(shared, tmp_path, "--name", "--", "true"), 2, "--name needs a value")
    for s in shared.api("GET", "/sessions?name=twin").json:
        shared.api("DELETE", f"/sessions/{s['session_id']}?force=1")


def test_the_help_of_a_misspelt_verb_is_that_of_the_nearest(shared):
    refused(shared.cli("help", "runn"), 2, "did you mean 'run'? See: agentd help --help")


def test_a_silent_agent_explains_where_its_output_may_be(shared):
    shared.run(["sleep", "1000"], name="silent")
    assert "PYTHONUNBUFFERED" in shared.cli("logs", "silent").stderr
    assert shared.cli("logs", "silent", "--grep", "x").stderr == "there is no output to show\n"
    shared.cli("stop", "silent")
    assert shared.cli("logs", "silent").stderr == "there is no output to show\n"


# ---- going back ----

def test_restore_and_fork_say_what_came_back_and_what_to_type_next(shared, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "count").write_text("1")
    s = shared.run(["sleep", "1000"], name="back", workspace=str(work))["session_id"]
    assert shared.cli("checkpoint", "back", "--label", "one").returncode == 0
    refused(shared.cli("restore", "back", "onee"), 3, "has no checkpoint 'onee', did you mean 'one'?")
    refused(shared.cli("restore", "back", "one"), 1, f"Session back ({s}) is running", "agentd resume --checkpoint-id")
    (work / "count").write_text("2")
    shared.cli("stop", "back")
    said = shared.cli("restore", "back", "one").stdout
    assert "0 messages, and the files of its workspace; go on with: agentd start back; undo with: agentd restore" in said
    assert (work / "count").read_text() == "1"
    undo = said.split("undo with: agentd ")[1].split()
    assert shared.cli(*undo).returncode == 0 and (work / "count").read_text() == "2"
    said = shared.cli("fork", "back", "--checkpoint", "one", "--name", "back-2", "--workspace", tmp_path / "fork").stdout
    start = said.split("start it with: agentd ")[1].split()
    assert shared.cli(*start).returncode == 0 and (tmp_path / "fork" / "count").read_text() == "1"
    shared.cli("delete", "--force", "back", "back-2")


def test_several_sessions_are_stopped_and_started_with_one_command(shared):
    names = ["one-of-two", "two-of-two"]
    for name in names:
        shared.run(["sleep", "1000"], name=name)
    for verb, state in (("stop", "stopped"), ("start", "running"), ("pause", "paused"), ("resume", "running"),
                        ("restart", "running")):
        done = shared.cli(verb, *names)
        assert done.returncode == 0 and len(re.findall(f" is {state}", done.stdout)) == 2, done
    refused(shared.cli("stop", "nobody-of-two", *names), 3, "no session 'nobody-of-two'")
    assert all(shared.session(s["session_id"])["status"] == "running" for n in names
               for s in shared.api("GET", f"/sessions?name={n}").json)
    refused(shared.cli("resume", *names, "--checkpoint-id", "x"), 2, "goes with one session")
    shared.cli("delete", "--force", *names)


def test_status_tells_restarts_in_a_row_from_all_runs(shared):
    s = shared.run(["sleep", "1000"], name="counted", agent={"restart_sec": "1ms"})["session_id"]
    shared.cli("restart", "counted")
    shared.cli("kill", "--signal", "KILL", "counted")
    wait_for(lambda: len(shared.api("GET", f"/sessions/{s}/runs").json) == 3, what="the third run")
    assert re.search(r"Restarts: 1 in a row; this is run 3", shared.cli("status", "counted").stdout)
    shared.cli("delete", "--force", "counted")
