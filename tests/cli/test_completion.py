# SPDX-License-Identifier: MIT
"""Completion: what agentd offers, and that each shell takes it."""
import os
import shutil
import subprocess

import pytest

from lib.agentd import BUILD, Agentd

pytestmark = pytest.mark.sanitized


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    instance = Agentd(tmp_path_factory.mktemp("completion")).start()
    instance.one = instance.create("reader")
    instance.create("reading list")
    instance.create("other")
    instance.point = instance.api("POST", f"/sessions/{instance.one['session_id']}/checkpoints?label=here").json
    yield instance
    instance.kill_everything()


def offered(agentd, *words):
    done = agentd.cli("__complete", "--", *words)
    assert done.returncode == 0 and done.stderr == "", done
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def test_verbs_are_offered_and_the_hidden_one_is_not(shared):
    verbs = offered(shared, "")
    assert {"start", "list", "logs", "top", "help"} <= set(verbs) and "__complete" not in verbs
    assert offered(shared, "che") == ["checkpoints", "checkpoint"]
    assert "rm" in offered(shared, "r")
    assert "__complete" not in shared.cli("--help").stdout
    assert "__complete" not in shared.cli("__complet").stderr


def test_options_are_those_of_the_verb(shared):
    assert {"--follow", "--lines", "--json"} <= set(offered(shared, "logs", "--"))
    assert "--follow" not in offered(shared, "list", "--")
    assert "--checkpoint-interval" in offered(shared, "start", "--ch")


def test_values_of_options_are_offered(shared):
    assert offered(shared, "list", "--status", "") == ["created", "running", "paused", "stopped", "error", "archived"]
    assert offered(shared, "list", "--status=r") == ["--status=running"]
    assert offered(shared, "list", "--status", "=", "r") == ["running"]  # as bash cuts it
    assert offered(shared, "run", "--restart", "on-f") == ["on-failure"]
    assert offered(shared, "kill", "-s", "TER") == ["TERM"]
    assert offered(shared, "start", "--log-level", "d") == ["debug"]
    assert offered(shared, "send", "--role", "") == ["user", "assistant", "system", "tool"]


def test_sessions_are_offered_by_name_and_by_the_begin_of_their_id(shared):
    assert offered(shared, "status", "") == ["reader", "reading list", "other"]
    assert offered(shared, "--json", "status", "read") == ["reader", "reading list"]
    assert offered(shared, "delete", "reader", "o") == ["other"]
    identity = shared.one["session_id"]
    assert identity in offered(shared, "status", identity[:13])
    assert offered(shared, "status", "reader", "") == []


def test_further_arguments_are_offered(shared):
    assert offered(shared, "restore", "reader", "") == [shared.point["checkpoint_id"]]
    assert offered(shared, "resume", "reader", "--checkpoint-id", "") == [shared.point["checkpoint_id"]]
    assert offered(shared, "token", "") == ["create", "list", "revoke"]
    assert offered(shared, "memory", "") == ["get", "set", "ls", "rm", "search", "history"]
    assert offered(shared, "variables", "reader", "") == ["get", "set", "rm"]
    assert "logs" in offered(shared, "help", "lo")
    assert offered(shared, "completion", "") == ["bash", "zsh", "fish"]
    assert offered(shared, "run", "--", "py") == [] and offered(shared, "no-such-verb", "") == []


def test_without_a_daemon_it_is_silent(make_agentd):
    nobody = make_agentd(start=False)
    assert offered(nobody, "status", "") == [] and "status" in offered(nobody, "sta")


def run_shell(agentd, *command):
    done = subprocess.run(command, env={**agentd.env, "PATH": f"{BUILD}:{os.environ['PATH']}", "TERM": "dumb"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout


def need(shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed: its completion is not tested")


BASH = """
. <(agentd completion bash)
try() {
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        _agentd
        printf '<%s>' "${COMPREPLY[@]}"; echo
}
complete -p agentd
try agentd sta
try agentd status rea
try agentd list --status = run
try agentd logs --foll
"""


def test_bash_completes(shared):
    need("bash")
    lines = run_shell(shared, "bash", "--norc", "-euc", BASH).splitlines()
    assert lines[0] == "complete -o default -F _agentd agentd"
    assert lines[1] == "<start><status>"
    assert lines[2] == "<reader><reading\\ list>", "a space must be quoted"
    assert lines[3] == "<running>" and lines[4] == "<--follow>"


ZSH = r"""
autoload -U compinit && compinit -u -D
. <(agentd completion zsh)
[[ $_comps[agentd] == _agentd ]] || exit 9
_describe() { print -rl -- "${(@P)2}" }
_files() { print files }
try() { words=("$@"); CURRENT=$#; _agentd }
try agentd sta; print
try agentd status rea; print
try agentd run -- py
"""


def test_zsh_completes(shared):
    need("zsh")
    out = run_shell(shared, "zsh", "-fc", ZSH)
    verbs, sessions, command = out.split("\n\n")
    assert [line.split(":")[0] for line in verbs.splitlines()] == ["start", "status"]
    assert [line.split(":")[0] for line in sessions.splitlines()] == ["reader", "reading list"]
    assert command.strip() == "files"


def test_fish_completes(shared):
    need("fish")
    out = run_shell(shared, "fish", "--no-config", "-c",
                    "agentd completion fish | source; complete -C 'agentd sta'; echo; complete -C 'agentd status rea'")
    verbs, sessions = out.split("\n\n")
    assert [line.split("\t")[0] for line in verbs.splitlines()] == ["start", "status"]
    assert [line.split("\t")[0] for line in sessions.splitlines()] == ["reader", "reading list"]
