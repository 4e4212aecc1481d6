# SPDX-License-Identifier: MIT
"""What every verb has in common: JSON, names, quiet, exit statuses, the nearest word, colours, progress."""
import json
import os
import re
import signal

import pytest

from lib.agentd import Agentd, wait_for
from lib.terminal import Terminal

pytestmark = pytest.mark.sanitized

SLEEPER = ["sh", "-c", "echo up; exec sleep 1000"]
ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    instance = Agentd(tmp_path_factory.mktemp("common")).start()
    instance.record = instance.create("record")
    instance.api("POST", f"/sessions/{instance.record['session_id']}/messages", {"role": "user", "content": "hello"})
    instance.point = instance.api("POST", f"/sessions/{instance.record['session_id']}/checkpoints?label=here").json
    instance.cli("variables", "record", "set", "place", "3")
    instance.cli("memory", "set", "colour", "red")
    instance.cli("token", "create", "--name", "first")
    instance.live = instance.run(SLEEPER, "live")
    yield instance
    instance.kill_everything()


# One command line of each verb that has an answer, and what it lists with -q and with -o name.
LOOKING = {
    "status": (["status"], None, None), "status of one": (["status", "live"], None, None),
    "version": (["version"], None, None),
    "config": (["config"], "AGENT_RUNTIME_DB", "AGENT_RUNTIME_DB"), "doctor": (["doctor"], None, None),
    "token": (["token", "list"], None, "first"), "list": (["list"], "ID", "record"), "top": (["top"], "ID", "record"),
    "show": (["show", "record"], None, None), "messages": (["messages", "record"], None, "user"),
    "checkpoints": (["checkpoints", "record"], "POINT", "here"), "branches": (["branches", "record"], None, "main"),
    "runs": (["runs", "live"], "RUN", "1"), "variables": (["variables", "record"], "place", "place"),
    "memory": (["memory", "ls"], "colour", "colour"), "memory get": (["memory", "get", "colour"], None, None),
    "memory search": (["memory", "search", "which colour?"], "colour", "colour"),
    "memory history": (["memory", "history", "colour"], "1", "1"),
    "variables get": (["variables", "record", "get", "place"], None, None),
    "events": (["events", "record"], None, None), "logs": (["logs", "live"], None, None),
}
ACTING = {
    "create": ["create", "--name", "made", "--model", "m"], "run": ["run", "--name", "ran", "--", "sleep", "1000"],
    "checkpoint": ["checkpoint", "record"], "send": ["send", "record", "more"],
    "variables set": ["variables", "record", "set", "a", "1"], "variables rm": ["variables", "record", "rm", "a"],
    "memory set": ["memory", "set", "b", "2", "--tag", "t", "--metadata", "a=b", "--ttl", "1d", "--importance", "0.5"], "memory rm": ["memory", "rm", "b"],
    "token create": ["token", "create", "--name", "second"], "fork": ["fork", "record", "--name", "forked"],
    "restore": ["restore", "record", "POINT"], "pause": ["pause", "ran"], "resume": ["resume", "ran"],
    "restart": ["restart", "ran"], "kill": ["kill", "-s", "CONT", "ran"], "stop": ["stop", "ran"],
    "start": ["start", "ran"], "stop-session": ["stop-session", "ran"], "archive": ["archive", "ran"],
    "delete": ["delete", "forked", "made"],
}


def words(shared, args):
    return [shared.point["checkpoint_id"] if a == "POINT" else a for a in args]


def good(done):
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("name", LOOKING)
def test_json_wide_name_and_quiet_are_known_to_what_looks(shared, name):
    args, quiet, names = LOOKING[name]
    for line in good(shared.cli(*args, "--json")).splitlines():
        json.loads(line)
    assert shared.cli(*args, "-o", "json").stdout
    good(shared.cli(*args, "-o", "wide"))
    ids = {"ID": shared.record["session_id"], "POINT": shared.point["checkpoint_id"], "RUN": shared.live["run"]}
    said = good(shared.cli(*args, "-q"))
    if quiet:
        assert ids.get(quiet, quiet) in said.splitlines()
    said = good(shared.cli(*args, "-o", "name"))
    if names:
        assert names in said.splitlines()


@pytest.mark.parametrize("option", ["--json", "-q", "-oname", "-owide"])
def test_json_name_and_quiet_are_known_to_what_acts(make_agentd, option):
    agentd = make_agentd()
    agentd.record = agentd.create("record")
    agentd.point = agentd.api("POST", f"/sessions/{agentd.record['session_id']}/checkpoints").json
    for name, args in ACTING.items():
        done = agentd.cli(*words(agentd, args[:1] + [option] + args[1:]))
        text = good(done)
        if option == "--json":
            assert text and all(json.loads(line) is not None for line in text.splitlines()), (name, done)
        elif option == "-q":
            assert text.count("\n") <= 1, (name, done)
        elif option == "-oname" and name in ("create", "run", "fork", "pause", "resume", "stop", "start", "archive"):
            assert text == f"{ {'create': 'made', 'fork': 'forked'}.get(name, 'ran')}\n", (name, done)
    done = agentd.cli("stop", "--all", option)
    assert done.returncode == 0, done


SESSION_VERBS = [["status"], ["start"], ["stop"], ["restart"], ["pause"], ["resume"], ["stop-session"], ["kill"], ["fork"],
                 ["restore", "0123456789abcdef"], ["archive"], ["delete"], ["show"], ["logs"], ["logs", "-f"], ["events"],
                 ["messages"], ["checkpoints"], ["branches"], ["runs"], ["send", "text"], ["checkpoint"], ["variables"]]


def placed(verb, session):
    verb, *rest = verb
    options = [r for r in rest if r.startswith("-")]
    return [verb, *options, session, *[r for r in rest if r not in options]]


@pytest.mark.parametrize("verb", SESSION_VERBS, ids=" ".join)
def test_what_is_not_there_is_3_and_says_what_was_meant(shared, verb):
    done = shared.cli(*placed(verb, "recrod"))
    assert done.returncode == 3 and done.stderr.count("\n") == 1, done
    assert "there is no session 'recrod', did you mean 'record'?" in done.stderr
    assert "`agentd list` shows" in shared.cli(*placed(verb, "nothing-like-it")).stderr


@pytest.mark.parametrize("args", [["memory", "get", "nothing"], ["variables", "record", "get", "nothing"],
                                  ["restore", "record", "00000000000000aa"], ["token", "revoke", "00000000000000aa"]])
def test_other_things_that_are_not_there_are_3_too(shared, args):
    assert shared.cli(*args).returncode == 3


@pytest.mark.parametrize("args", [["pause", "record"], ["kill", "idle"], ["restart", "record"]])
def test_what_is_not_running_is_4(shared, args):
    if args[1] == "idle" and "idle" not in shared.cli("list", "-o", "name").stdout.split():
        shared.cli("run", "--name", "idle", "--", "sleep", "1000")
        shared.cli("stop", "idle")
    done = shared.cli(*args)
    assert done.returncode == 4, done


@pytest.mark.parametrize("args", [["create", "--name", "x", "--model", "m"], ["stop", "live"], ["pause", "live"],
                                  ["delete", "record"], ["send", "record", "x"], ["checkpoint", "record"],
                                  ["variables", "record", "set", "a", "1"], ["memory", "set", "a", "1"],
                                  ["token", "create"], ["token", "list"], ["stop"]])
def test_what_is_not_permitted_is_5(shared, args):
    token = good(shared.cli("token", "create", "--scope", "read", "-q")).strip()
    done = shared.cli(*args, env={"AGENTD_URL": shared.url, "AGENTD_TOKEN": token})
    assert done.returncode == 5, done


@pytest.mark.parametrize("args,nearest", [
    (["kill", "-s", "TRM", "live"], "TERM"), (["kill", "-s", "sigkil", "live"], "KILL"),
    (["list", "--status", "runing"], "running"), (["logs", "--stream", "stdot", "live"], "stdout"),
    (["token", "create", "--scope", "amdin"], "admin"), (["list", "-o", "wied"], "wide"),
    (["run", "--restart", "on-failur", "--", "true"], "on-failure"), (["list", "--color", "alway"], "always"),
    (["completion", "bsh"], "bash")])
def test_a_misspelt_value_gets_the_nearest(shared, args, nearest):
    done = shared.cli(*args)
    assert done.returncode == 2 and f"did you mean {nearest}" in done.stderr.replace("'", ""), done


def test_a_value_that_is_like_none_gets_the_list(shared):
    done = shared.cli("list", "--status", "purple")
    assert done.returncode == 2 and "created|running|paused|stopped|error|archived" in done.stderr


def test_a_role_of_ones_own_is_fine(shared):
    good(shared.cli("send", "--role", "critic", "record", "no"))


@pytest.mark.parametrize("env,option,coloured", [
    ({}, [], False), ({}, ["--color", "always"], True), ({}, ["--color=auto"], False),
    ({"NO_COLOR": "1"}, ["--color=always"], True), ({"CLICOLOR_FORCE": "1"}, [], True),
    ({"CLICOLOR_FORCE": "0"}, [], False), ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, [], False),
    ({"CLICOLOR_FORCE": "1"}, ["--color=never"], False)])
def test_colours_follow_option_and_environment(shared, env, option, coloured):
    done = shared.cli("list", *option, env={"NO_COLOR": "", **env})
    assert (ESCAPE in good(done)) == coloured


@pytest.mark.parametrize("env,coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"CLICOLOR": "0"}, False),
                                          ({"TERM": "dumb"}, False)])
def test_a_terminal_has_colours_unless_told_otherwise(shared, env, coloured):
    t = Terminal(shared, "list", env={"NO_COLOR": "", **env})
    try:
        assert t.wait_end() == 0
        assert (ESCAPE.encode() in t.raw) == coloured
    finally:
        t.close()


def test_what_takes_long_says_so_on_a_terminal_and_leaves_no_trace(make_agentd):
    agentd = make_agentd()
    agentd.create("slow")
    pid = agentd.daemon_pid
    t = Terminal(agentd, "checkpoint", "slow")
    os.kill(pid, signal.SIGSTOP)
    try:
        if t.process.poll() is None:
            t.wait(lambda s: re.search(r"agentd checkpoint: \d+\.\d s", str(s)), "the progress")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert t.wait_end() == 0
    assert re.fullmatch(r"checkpoint [0-9a-f]{16} of slow was taken", str(t.screen).strip()), t.screen
    t.close()


def test_many_things_say_how_far_they_are(make_agentd):
    agentd = make_agentd()
    stubborn = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]
    for name in ("one", "two"):
        s = agentd.run(stubborn, name, agent={"timeout_stop_sec": "1s"})
        wait_for(lambda s=s: "up" in agentd.request("GET", f"/sessions/{s['session_id']}/logs").body.decode(),
                 what="its trap")
    t = Terminal(agentd, "delete", "--force", "one", "two")
    t.wait_text("2 of 2")
    assert t.wait_end() == 0
    assert "2 of 2" not in str(t.screen) and "two (" in str(t.screen)
    t.close()
    assert "\r" not in agentd.cli("stop").stderr
