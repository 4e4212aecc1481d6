# SPDX-License-Identifier: MIT
"""The command line against the real daemon: exit statuses, messages, tables, start and stop."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from lib.agentd import BUILD, alive, wait_for

pytestmark = pytest.mark.sanitized

SLEEPER = ["sh", "-c", "echo up; exec sleep 1000"]
COUNTER = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.005; done"]
ID = re.compile(r"\b[0-9a-f]{16}\b")

VERBS = ["start", "stop", "status", "version", "config", "reload", "doctor", "token", "create", "run", "restart", "pause",
         "resume", "stop-session", "kill", "fork", "restore", "archive", "delete", "list", "top", "show", "logs", "events",
         "messages", "checkpoints", "branches", "diff", "tree", "runs", "send", "checkpoint", "variables", "memory", "help",
         "completion"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from lib.agentd import Agentd
    instance = Agentd(tmp_path_factory.mktemp("cli")).start()
    yield instance
    instance.kill_everything()


@pytest.fixture
def nobody(make_agentd):
    """A folder where no daemon runs."""
    return make_agentd(start=False)


def good(done):
    assert done.returncode == 0, done
    return done.stdout


def refused(done, status, *texts):
    assert done.returncode == status, done
    assert done.stderr.startswith("agentd") and done.stderr.count("\n") == 1, done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr
    return done.stderr


def masked(text):
    text = ID.sub("<id>             ", text)
    return re.sub(r"\d+(s|min) ago", lambda m: "<ago>".ljust(len(m[0])), text)


# ---- help and wrong command lines ----

@pytest.mark.parametrize("args", [["--help"], ["help"]] + [[v, "--help"] for v in VERBS])
def test_help_is_on_stdout_within_80_columns_and_has_an_example(nobody, args):
    done = nobody.cli(*args)
    text = good(done)
    assert done.stderr == "" and "Example" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    if args[-1] == "--help" and len(args) == 2:
        assert text.startswith(f"agentd {args[0]}")


def test_help_lists_every_verb(nobody):
    text = good(nobody.cli("--help"))
    for verb in VERBS:
        assert re.search(rf"^  {verb}\b", text, re.M), verb


@pytest.mark.parametrize("args,nearest", [(["lits"], "'list'"), (["chekpoint", "x"], "'checkpoint'"),
                                          (["list", "--jsno"], "--json"), (["start", "--prot", "1"], "--port"),
                                          (["memory", "gte", "x"], "'get'"), (["token", "creat"], "'create'"),
                                          (["variables", "x", "gett"], "'get'")])
def test_what_is_misspelt_gets_the_nearest(nobody, args, nearest):
    refused(nobody.cli(*args), 2, f"did you mean {nearest}", "--help")


@pytest.mark.parametrize("args", [["pause"], ["kill", "a", "b"], ["list", "-o", "tall"], ["logs", "-n"], ["send", "x"],
                                  ["run"], ["create", "--name", "x"], ["messages", "x", "-n", "0"], ["start", "x", "-d"],
                                  ["restore", "x"], ["fork", "x", "--node", "1", "--checkpoint", "2"], ["memory", "set", "k"]])
def test_wrong_command_lines_exit_with_2(nobody, args):
    refused(nobody.cli(*args), 2, "see: agentd")


def test_version_of_the_program_needs_no_daemon(nobody):
    assert good(nobody.cli("-v")) == good(nobody.cli("--version"))
    assert re.fullmatch(r"agentd \d+\.\d+\.\d+\n", good(nobody.cli("-v")))


# ---- no daemon ----

@pytest.mark.parametrize("args", [["list"], ["status"], ["status", "x"], ["stop"], ["version"], ["logs", "-f", "x"],
                                  ["events", "-f"], ["run", "--", "true"], ["memory", "ls"], ["start", "x"]])
def test_without_a_daemon_every_verb_says_how_to_start_it(nobody, args):
    done = nobody.cli(*args)
    assert done.returncode == 1
    assert done.stderr == f"agentd is not running (no answer at {nobody.socket}); start it with: agentd start --detach\n"
    assert not nobody.own_pids(), "a client started a daemon"


def test_config_says_where_a_value_comes_from(nobody):
    rows = json.loads(good(nobody.cli("config", "--port", "9", "--json")))["keys"]
    by_name = {r["variable"]: r for r in rows}
    assert by_name["AGENT_RUNTIME_PORT"]["origin"] == "option --port"
    assert by_name["AGENT_RUNTIME_DB"]["origin"] == "environment AGENT_RUNTIME_DB"
    assert by_name["AGENT_RUNTIME_SESSION_TIMEOUT"]["origin"] == "default"


# ---- start ----

def test_a_second_start_says_who_is_there(agentd):
    refused(agentd.cli("start"), 1, "already running", f"pid {agentd.daemon_pid}", f"port {agentd.port}")
    refused(agentd.cli("start", "--detach"), 1, "already running")
    assert agentd.request("GET", "/ready").status == 200


def test_a_port_in_use_is_named_with_a_way_out(nobody):
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        port = blocker.getsockname()[1]
        refused(nobody.cli("start", "--port", port), 1, f"port {port}", "in use", "--port")
    assert not nobody.socket.exists() and not list(nobody.socket.parent.glob("agentd.sock*"))


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_ours_is_named(nobody, host):
    refused(nobody.cli("start", "--host", host), 1, host, "--host")


def test_bad_options_name_the_value(nobody):
    refused(nobody.cli("start", "--port", "70000"), 2, "--port 70000")
    refused(nobody.cli("start", env={"AGENT_RUNTIME_PORT": "eighty"}), 2, "AGENT_RUNTIME_PORT=eighty")


def test_detach_returns_when_it_is_ready_and_says_what_to_type(nobody):
    text = good(nobody.cli("start", "--detach"))
    assert "is running" in text and str(nobody.socket) in text and "agentd stop" in text
    assert nobody.request("GET", "/ready").status == 200
    assert (nobody.data / "agentd.log").stat().st_mode & 0o077 == 0
    # It belongs to no terminal and to none of us.
    assert os.getsid(nobody.keeper_pid) == nobody.keeper_pid


def test_detach_shows_why_it_failed(nobody):
    (nobody.data / "state.db").write_bytes(b"this is no database" * 100)
    done = nobody.cli("start", "--detach")
    assert done.returncode == 1 and "state.db" in done.stderr and "agentd.log" in done.stderr, done
    wait_for(lambda: not nobody.own_pids(), what="the end of what was started")


def test_of_many_starts_at_once_one_wins(nobody):
    command = [str(BUILD / "agentd"), "start", "--detach"]
    starts = [subprocess.Popen(command, env=nobody.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
              for _ in range(6)]
    results = [(p.communicate(timeout=60), p.returncode) for p in starts]
    assert sorted(code for _, code in results) == [0, 1, 1, 1, 1, 1], results
    for (_, err), code in results:
        assert code == 0 or "already running" in err, err
    assert nobody.cli("status").returncode == 0


def test_a_start_between_two_keepers_takes_nothing_away(agentd):
    """Until the daemon has started a new keeper nobody holds the keeper's lock."""
    daemon, keeper = agentd.daemon_pid, agentd.keeper_pid
    os.kill(daemon, signal.SIGSTOP)
    os.kill(keeper, signal.SIGKILL)
    agentd.process.wait()
    start = subprocess.Popen([str(BUILD / "agentd"), "start"], env=agentd.env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)

    def has_a_socket():
        fds = f"/proc/{start.pid}/fd"
        try:
            return any(os.readlink(f"{fds}/{fd}").startswith("socket:") for fd in os.listdir(fds))
        except FileNotFoundError:
            return False  # one was closed meanwhile
    wait_for(has_a_socket, what="its question to the daemon, or its own sockets")
    os.kill(daemon, signal.SIGCONT)
    _, err = start.communicate(timeout=60)
    assert start.returncode == 1 and "already running" in err, err
    assert agentd.daemon_pid == daemon
    wait_for(lambda: agentd.keeper_pid not in (None, keeper), what="the new keeper")


def test_a_stale_socket_is_no_hindrance(nobody):
    nobody.socket.parent.mkdir(parents=True)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(nobody.socket))
    stale.close()
    good(nobody.cli("start", "--detach"))


def test_localhost_is_reached_at_each_of_its_addresses(nobody):
    good(nobody.cli("start", "--detach", "--host", "localhost"))
    for family, _, _, _, address in socket.getaddrinfo("localhost", nobody.port, type=socket.SOCK_STREAM):
        with socket.socket(family, socket.SOCK_STREAM) as s:
            try:
                s.bind((address[0], 0))
            except OSError:
                continue  # this machine has no such address
            s.connect(address)


# ---- stop ----

def test_stop_waits_until_nothing_is_left(nobody):
    good(nobody.cli("start", "--detach"))
    pids = [nobody.daemon_pid, nobody.keeper_pid]
    assert "agentd is stopped" in good(nobody.cli("stop"))
    assert not any(alive(p) for p in pids)


def test_stop_names_the_kept_agents_and_start_takes_them_up(nobody):
    good(nobody.cli("start", "--detach"))
    good(nobody.cli("run", "--name", "keeper-of-bees", "--", *SLEEPER))
    pid = json.loads(good(nobody.cli("status", "keeper-of-bees", "--json")))["pid"]
    keeper = nobody.keeper_pid
    text = good(nobody.cli("stop"))
    assert "1 agent was kept running: keeper-of-bees" in text and "agentd stop --all" in text
    assert alive(pid)
    refused(nobody.cli("list"), 1, f"keeper (pid {keeper})", "agentd start")
    text = good(nobody.cli("start", "--detach"))
    assert "took up its agents" in text
    assert nobody.keeper_pid == keeper
    assert json.loads(good(nobody.cli("status", "keeper-of-bees", "--json")))["pid"] == pid
    good(nobody.cli("stop", "--all"))
    assert not alive(pid)
    wait_for(lambda: not nobody.own_pids(), what="the end of everything")


def test_agents_that_stop_with_the_daemon_are_not_called_kept(nobody):
    good(nobody.cli("start", "--detach"))
    good(nobody.cli("run", "-p", "on_daemon_stop=stop", "--", *SLEEPER))
    assert good(nobody.cli("stop")) == "agentd is stopped\n"
    assert not nobody.own_pids()


# ---- tables ----

def test_list_is_an_aligned_table(make_agentd):
    agentd = make_agentd()
    good(agentd.cli("create", "--name", "größe", "--model", "m"))
    good(agentd.cli("create", "--name", "b", "--model", "fableforge-14b", "--tools", "x"))
    good(agentd.cli("send", "b", "hi"))
    assert masked(good(agentd.cli("list"))) == (
        "ID                NAME   STATUS   MODEL/COMMAND   UPDATED  RESTARTS  MESSAGES\n"
        "<id>               größe  created  m               <ago>           0         0\n"
        "<id>               b      created  fableforge-14b  <ago>           0         1\n")
    assert good(agentd.cli("list", "-o", "name")) == "größe\nb\n"
    assert len(ID.findall(good(agentd.cli("list", "-q")))) == 2
    listed = json.loads(good(agentd.cli("list", "--json")))
    assert [s["name"] for s in listed] == ["größe", "b"] and listed[1]["tools"] == ["x"]
    assert "NAMESPACE" in good(agentd.cli("ls", "-o", "wide"))


def test_list_and_status_show_what_a_session_runs(shared):
    prompt = "say \x1b[31mhi\nto everybody" + " and everybody" * 100
    good(shared.cli("run", "--name", "what", "--", "/bin/sh", "-c", "sleep 1000", prompt))
    (line,) = [x for x in good(shared.cli("list")).splitlines() if " what " in x]
    assert '  sh -c "sleep 1000" "say \\x1b[31mhi\\x0at…  ' in line
    text = good(shared.cli("status", "what"))
    (line,) = [x for x in text.splitlines() if "Command:" in x]
    assert line.startswith('    Command: /bin/sh -c "sleep 1000" "say') and line.endswith("…") and len(line) == 13 + 200


def test_archived_sessions_show_with_all(shared):
    good(shared.cli("create", "--name", "old-one", "--model", "m"))
    good(shared.cli("archive", "old-one"))
    assert "old-one" not in good(shared.cli("list"))
    assert "old-one" in good(shared.cli("list", "--all"))
    assert "old-one" in [s["name"] for s in json.loads(good(shared.cli("list", "--all", "--json")))]


def test_no_colour_outside_a_terminal_and_colour_inside(shared):
    import pty
    good(shared.cli("run", "--name", "coloured", "--", *SLEEPER))
    assert "\x1b" not in good(shared.cli("list"))

    def on_terminal(env):
        master, slave = pty.openpty()
        subprocess.run([str(BUILD / "agentd"), "list"], env=env, stdout=slave, check=True, timeout=60)
        os.close(slave)
        data = b""
        try:
            while chunk := os.read(master, 65536):
                data += chunk
        except OSError:
            pass
        os.close(master)
        return data
    plain = {**shared.env, "TERM": "xterm"}
    assert b"\x1b" not in on_terminal(plain)
    del plain["NO_COLOR"]
    assert b"\x1b[32m" in on_terminal(plain)


# ---- which session ----

def test_a_session_is_named_by_id_name_or_prefix(shared):
    s = shared.create("by-name")
    for ref in (s["session_id"], "by-name"):
        assert json.loads(good(shared.cli("show", ref, "--json")))["session_id"] == s["session_id"]
    others = [x["session_id"] for x in shared.api("GET", "/sessions?status=archived").json + shared.api("GET", "/sessions").json]
    prefix = next(s["session_id"][:n] for n in range(1, 17)
                  if sum(o.startswith(s["session_id"][:n]) for o in others) == 1)
    assert json.loads(good(shared.cli("show", prefix, "--json")))["session_id"] == s["session_id"]


def test_an_ambiguous_name_lists_the_candidates(shared):
    ids = [shared.create("twin")["session_id"] for _ in range(2)]
    refused(shared.cli("pause", "twin"), 2, "'twin'", *ids)


def test_an_unknown_session_exits_with_3(shared):
    for args in (["show", "nobody"], ["logs", "nobody"], ["delete", "nobody"], ["status", "nobody"], ["send", "nobody", "x"]):
        refused(shared.cli(*args), 3, "nobody", "agentd list")


def test_exit_statuses_come_from_the_error_table(shared):
    good(shared.cli("create", "--name", "states", "--model", "m"))
    refused(shared.cli("pause", "states"), 4, "is not running")
    refused(shared.cli("restore", "states", "0000000000000001"), 3, "Checkpoint")
    refused(shared.cli("kill", "states"), 4)
    good(shared.cli("start", "states"))
    refused(shared.cli("start", "states"), 1, "already running")
    refused(shared.cli("run", "--name", "x" * 5000, "--", "true"), 2, "name")
    assert "restart" in refused(shared.cli("run", "--restart", "sometimes", "--", "true"), 2)
    refused(shared.cli("run", "-p", "restart_secs=1", "--", "true"), 2, "restart_sec")
    refused(shared.cli("run", "-p", "memory_max=1G", "--", "true"), 2, "memory_max")


def test_no_permission_exits_with_5(shared):
    token = good(shared.cli("token", "create", "--scope", "read")).strip()
    env = {"AGENTD_URL": shared.url, "AGENTD_TOKEN": token}
    good(shared.cli("list", env=env))
    refused(shared.cli("create", "--name", "x", "--model", "m", env=env), 5, "scope")
    refused(shared.cli("list", env={**env, "AGENTD_TOKEN": "agd_" + "0" * 64}), 5, "token")


def test_tcp_by_options_and_by_url(shared):
    assert good(shared.cli("list", "-q", "--port", shared.port)) == good(shared.cli("list", "-q"))
    assert good(shared.cli("list", "-q", env={"AGENTD_URL": shared.url + "/"})) == good(shared.cli("list", "-q"))
    done = shared.cli("list", env={"AGENTD_URL": "http://127.0.0.1:1"})
    refused(done, 1, "http://127.0.0.1:1")


# ---- run ----

def test_run_answers_when_the_program_runs(shared):
    text = good(shared.cli("run", "--name", "up", "--", *SLEEPER))
    assert re.fullmatch(r"up \([0-9a-f]{16}\) is running\n", text)
    status = json.loads(good(shared.cli("status", "up", "--json")))
    assert status["status"] == "running" and alive(status["pid"]) and status["message_count"] == 0
    wait_for(lambda: good(shared.cli("logs", "up")) == "up\n", what="its output")
    text = good(shared.cli("status", "up"))
    assert re.search(r"^● up \([0-9a-f]{16}\)$", text, re.M) and re.search(rf"^   Main PID: {status['pid']}$", text, re.M)
    assert re.search(r"^     Status: running \(active\) since \d+s ago$", text, re.M) and text.endswith("\nup\n")
    runs = json.loads(good(shared.cli("runs", "up", "--json")))
    assert runs[-1]["pid"] == status["pid"]


def test_run_says_why_it_did_not_start(shared):
    done = shared.cli("run", "--restart", "no", "--name", "absent", "--", "/no/such/program")
    refused(done, 1, "absent", "/no/such/program")
    good(shared.cli("create", "--name", "no-program", "--model", "m"))
    assert "is running (idle)" in good(shared.cli("start", "no-program"))


def test_status_says_how_the_last_run_ended(shared):
    shared.cli("run", "--restart", "no", "--name", "thirty-seven", "--", "sh", "-c", "echo out; exit 37")
    wait_for(lambda: json.loads(good(shared.cli("status", "thirty-seven", "--json")))["status"] == "error", what="the end")
    text = good(shared.cli("status", "thirty-seven"))
    assert re.search(r"^     Status: error \(failed\) since", text, re.M) and "exit status 37" in text and "Main PID" not in text
    assert "37" in good(shared.cli("runs", "thirty-seven"))


def test_default_names_are_the_programs_and_unique(shared):
    names = [good(shared.cli("run", "--", "/bin/sleep", "1000")).split()[0] for _ in range(3)]
    assert names == ["sleep", "sleep-2", "sleep-3"]


def cli_in(agentd, folder, *args):
    return subprocess.run([str(BUILD / "agentd"), *args], env=agentd.env, cwd=folder, capture_output=True, text=True, timeout=60)


def output_of(agentd, name):
    agentd.wait_session(json.loads(good(agentd.cli("show", name, "--json")))["session_id"],
                        lambda s: s["status"] == "stopped")
    return good(agentd.cli("logs", name))


def test_without_a_workspace_it_runs_where_it_was_typed(shared, tmp_path):
    good(cli_in(shared, tmp_path, "run", "--name", "here", "--", "pwd"))
    assert output_of(shared, "here") == f"{tmp_path}\n"


def test_with_a_workspace_files_from_here_are_still_found(shared, tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "t.sh").write_text("pwd; cat \"$1\"")
    (tmp_path / "work" / "in").mkdir(parents=True)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_text("outside")
    (tmp_path / "work" / "in" / "x").write_text("inside")
    good(cli_in(shared, tmp_path, "run", "--name", "there", "--workspace", "work", "--", "sh", "tools/t.sh", "in/x"))
    assert output_of(shared, "there") == f"{tmp_path}/work\ninside\n"


def test_a_workspace_must_exist(shared, tmp_path):
    refused(cli_in(shared, tmp_path, "run", "--workspace", "nowhere", "--", "true"), 1, f"{tmp_path}/nowhere", "mkdir")


def test_environment_and_properties_reach_the_agent(shared):
    good(shared.cli("run", "--name", "env", "-e", "A=b=c", "-e", "E=", "-p", "timeout_stop_sec=5s", "-p", "restart_steps=3",
                    "--label", "team=x", "--", "sh", "-c", "echo \"$A-$E-\""))
    assert output_of(shared, "env") == "b=c--\n"
    agent = json.loads(good(shared.cli("show", "env", "--json")))
    assert agent["agent"]["restart_steps"] == 3 and agent["labels"] == {"team": "x"}
    assert good(shared.cli("list", "--label", "team=x", "-o", "name")) == "env\n"


def test_an_agent_may_use_the_command_line_itself(shared):
    program = f'{BUILD}/agentd send "$AGENTD_SESSION_ID" "it is me" && {BUILD}/agentd messages "$AGENTD_SESSION_ID" -n 1'
    good(shared.cli("run", "--name", "talker", "--restart", "no", "--", "sh", "-c", program))
    assert "it is me" in output_of(shared, "talker")


# ---- the life of a session ----

def test_verbs_say_what_the_session_is_then(shared):
    good(shared.cli("run", "--name", "life", "--", *SLEEPER))
    assert re.fullmatch(r"life \(.*\) is paused \((frozen|parked)\)\n", good(shared.cli("pause", "life")))
    assert "is running" in good(shared.cli("resume", "life"))
    assert "is running" in good(shared.cli("restart", "life"))
    assert "SIGUSR1 was sent" in good(shared.cli("kill", "-s", "SIGUSR1", "life"))
    assert re.fullmatch(r"life \(.*\) is stopped\n", good(shared.cli("stop", "life")))
    assert good(shared.cli("stop-session", "-q", "life")) == ""
    assert json.loads(good(shared.cli("start", "life", "--json")))["status"] == "running"
    refused(shared.cli("delete", "life"), 1, "is running")
    good(shared.cli("delete", "--force", "life"))
    refused(shared.cli("show", "life"), 3)


def test_conversation_checkpoints_restore_and_fork(shared):
    good(shared.cli("create", "--name", "talk", "--model", "m"))
    good(shared.cli("send", "talk", "one"))
    cp = good(shared.cli("checkpoint", "-q", "talk", "--label", "after-one")).strip()
    good(shared.cli("send", "talk", "-", input="two\nlines\n"))
    assert [m["content"] for m in json.loads(good(shared.cli("messages", "talk", "--json")))] == ["one", "two\nlines\n"]
    assert re.search(r"^user  \S+Z  [0-9a-f]{16}\n    one\nuser .*\n    two\n    lines\n$", good(shared.cli("messages", "talk")))
    assert "after-one" in good(shared.cli("checkpoints", "talk"))
    assert "1 message; go on with: agentd" in good(shared.cli("restore", "talk", cp))
    assert len(json.loads(good(shared.cli("messages", "talk", "--json")))) == 1
    assert len(json.loads(good(shared.cli("branches", "talk", "--json")))) == 2
    assert good(shared.cli("fork", "talk", "--checkpoint", cp, "--name", "talk-2")).startswith("talk-2 (")
    good(shared.cli("start", "talk"))
    assert json.loads(good(shared.cli("resume", "talk", "--checkpoint-id", cp, "--json")))["status"] == "running"


def test_values_are_json_if_they_read_as_json(shared):
    good(shared.cli("create", "--name", "vars", "--model", "m"))
    for text, expected in (("3", 3), ("1e2", 100), ("hello", "hello"), ('{"a": [1]}', {"a": [1]}), ("null", None)):
        good(shared.cli("variables", "vars", "set", "v/1", text))
        assert json.loads(good(shared.cli("variables", "vars", "get", "v/1", "--json")))["value"] == expected
        for where in ([], ["vars"]):
            good(shared.cli("memory", "set", "a key", text, *where))
            assert json.loads(good(shared.cli("memory", "get", "a key", *where, "--json")))["value"] == expected
    good(shared.cli("memory", "set", "--string", "a key", "3"))
    assert good(shared.cli("memory", "get", "a key")) == "3\n"
    assert json.loads(good(shared.cli("memory", "get", "a key", "--json")))["value"] == "3"
    assert "v/1" in good(shared.cli("vars", "vars"))
    assert "a key" in good(shared.cli("memory", "ls"))
    good(shared.cli("variables", "vars", "rm", "v/1"))
    refused(shared.cli("variables", "vars", "get", "v/1"), 3)
    good(shared.cli("memory", "rm", "a key"))
    refused(shared.cli("memory", "get", "a key"), 3, "agentd memory ls")


def test_memory_is_searched_and_its_past_read(shared):
    session = json.loads(good(shared.cli("create", "--name", "elephant", "--model", "m", "--json")))["session_id"]
    good(shared.cli("memory", "set", "trunk", "grey and long", session, "--scope", "session", "--tag", "part", "--metadata", "side=front"))
    then = json.loads(good(shared.cli("memory", "get", "trunk", session, "--scope", "session", "--json")))
    assert then["tags"] == ["part"] and then["metadata"] == {"side": "front"}
    good(shared.cli("memory", "set", "trunk", "shorter", session, "--scope", "session", "--ttl", "12h", "--importance", "0.5"))
    assert "trunk" in good(shared.cli("memory", "search", "what is shorter?", session))
    assert "Nothing was found" in shared.cli("memory", "search", "grey", session).stderr
    assert "grey and long" in good(shared.cli("memory", "search", "grey", session, "--as-of", then["timestamp"], "--tag", "part"))
    history = good(shared.cli("memory", "history", "trunk", session, "--scope", "session"))
    assert "shorter" in history and "replaced" in history
    assert good(shared.cli("memory", "get", "trunk", session, "--scope", "session", "--as-of", then["timestamp"])) == "grey and long\n"
    refused(shared.cli("memory", "get", "trunk", "--scope", "session"), 2, "session")
    refused(shared.cli("memory", "get", "trunk", session), 3)
    refused(shared.cli("memory", "get", "trunk", session, "--scope", "galaxy"), 2, "'agent' or 'session'")
    refused(shared.cli("memory", "set", "k", "1", "--ttl", "soon"), 2, "12h")
    refused(shared.cli("memory", "set", "k", "1", "--importance", "7"), 2, "less than or equal to 1")


def test_tokens_are_listed_and_revoked(shared):
    made = json.loads(good(shared.cli("token", "create", "--name", "ci", "--expires", "1h", "--json")))
    assert made["token_id"] in good(shared.cli("token", "list"))
    good(shared.cli("token", "revoke", made["token_id"]))
    assert made["token_id"] not in good(shared.cli("token", "list"))
    refused(shared.cli("token", "revoke", made["token_id"]), 3)


# ---- logs and events ----

def test_logs_take_the_last_lines_and_one_stream(shared):
    good(shared.cli("run", "--name", "lines", "--", "sh", "-c", "echo a; echo b; echo c; echo bad >&2"))
    output_of(shared, "lines")
    wait_for(lambda: "bad" in good(shared.cli("logs", "lines")), what="all lines")
    assert good(shared.cli("logs", "--stream", "stdout", "lines")) == "a\nb\nc\n"
    assert good(shared.cli("logs", "--stream", "stdout", "-n", "2", "lines")) == "b\nc\n"
    assert good(shared.cli("logs", "--grep", "ba", "lines")) == "bad\n"
    assert good(shared.cli("logs", "--since", "1h", "lines", "--stream", "stderr")) == "bad\n"
    first = json.loads(good(shared.cli("logs", "--json", "lines")).splitlines()[0])
    assert first["text"] == "a" and first["stream"] == "stdout"


class Follower:
    """A client in the background whose lines are read as they come."""

    def __init__(self, agentd, *args, **env):
        self.process = subprocess.Popen([str(BUILD / "agentd"), *args],
                                        env={**agentd.env, **env}, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)
        self.reader.join()
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return errors


def replace_daemon(agentd):
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()


def test_following_logs_goes_on_through_daemon_deaths_without_loss(agentd):
    good(agentd.cli("run", "--name", "counter", "--", *COUNTER))
    follower = Follower(agentd, "logs", "-f", "-n", "all", "counter")
    try:
        for _ in range(5):
            n = len(follower.lines)
            wait_for(lambda: len(follower.lines) > n + 20, what="more lines")
            replace_daemon(agentd)
        n = len(follower.lines)
        wait_for(lambda: len(follower.lines) > n + 20, what="lines of the last daemon")
    finally:
        errors = follower.end()
    assert errors == ""
    assert follower.lines == [f"line {i + 1}\n" for i in range(len(follower.lines))]


def test_following_goes_on_after_a_graceful_stop_and_start(agentd):
    good(agentd.cli("run", "--name", "counter", "--", *COUNTER))
    follower = Follower(agentd, "logs", "-f", "-n", "all", "counter")
    try:
        wait_for(lambda: len(follower.lines) > 20, what="lines")
        good(agentd.cli("stop"))
        good(agentd.cli("start", "--detach"))
        n = len(follower.lines)
        wait_for(lambda: len(follower.lines) > n + 20, what="lines of the second daemon")
    finally:
        errors = follower.end()
    assert errors == ""
    assert follower.lines == [f"line {i + 1}\n" for i in range(len(follower.lines))]


def test_following_events_goes_on_through_daemon_deaths_without_loss(agentd):
    s = agentd.create("chatty")["session_id"]
    follower = Follower(agentd, "events", "-f", "--json", "chatty", "--since", "1h")
    try:
        for i in range(6):
            for k in range(10):
                agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": f"{i} {k}"}, expect=201)
            replace_daemon(agentd)
        wait_for(lambda: sum("message.appended" in line for line in follower.lines) >= 60, what="60 events")
    finally:
        errors = follower.end()
    assert errors == ""
    events = [json.loads(line) for line in follower.lines]
    counts = [e["data"]["message_count"] for e in events if e["type"] == "message.appended"]
    assert counts == list(range(1, 61))
    ids = [e["id"] for e in events]
    assert ids == sorted(set(ids))


def test_following_begins_again_when_the_first_connection_is_cut(agentd):
    """The daemon that took the request died before it answered: the next one is asked."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(20)
    event = b'id: 1\nevent: daemon.started\ndata: {"id":"1","type":"daemon.started"}\n\n'

    def serve():
        for answer in (b"", b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + event):
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    follower = Follower(agentd, "events", "-f", "--json", AGENTD_URL=url)
    try:
        wait_for(lambda: follower.lines, what="the event of the third connection")
    finally:
        server.close()
        errors = follower.end()
        thread.join()
    assert errors == "" and json.loads(follower.lines[0])["id"] == "1"


def test_past_events_are_shown_from_the_end(shared):
    s = shared.create("past")["session_id"]
    for i in range(5):
        good(shared.cli("send", "past", str(i)))
    lines = good(shared.cli("events", "past", "-n", "2")).splitlines()
    assert len(lines) == 2 and all(s in line and "message.appended" in line for line in lines)
    assert "message_count=5" in lines[-1]
    assert len(good(shared.cli("events", "past", "--json", "-n", "all")).splitlines()) == 6


def test_run_with_follow_shows_the_output(agentd):
    follower = Follower(agentd, "run", "-f", "--name", "seen", "--", *SLEEPER)
    try:
        wait_for(lambda: "up\n" in follower.lines, what="its output")
    finally:
        follower.end()
    assert follower.lines[0].endswith("is running\n")
    assert json.loads(good(agentd.cli("status", "seen", "--json")))["status"] == "running"


def test_a_pipe_that_is_full_is_an_error(shared):
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(BUILD / "agentd"), "list"], env=shared.env, stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=60)
    assert done.returncode == 1 and "cannot be written" in done.stderr


def test_a_command_that_was_given_as_a_line_is_shown_as_that_line(shared):
    shared.create("as-a-line", agent={"exec": "/bin/sleep 1000"})
    assert ": /bin/sleep 1000  " in good(shared.cli("list", "--name", "as-a-line"))
    assert "Command: /bin/sleep 1000\n" in good(shared.cli("status", "as-a-line"))


def test_run_finds_the_program_in_the_path_of_who_typed_it(shared, tmp_path):
    """A daemon that a service manager started knows nothing of ~/.local/bin."""
    for name in ("only-here", "its-helper"):
        (tmp_path / name).write_text("#!/bin/sh\n" + ("exec its-helper\n" if name == "only-here" else "exec sleep 100000\n"))
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{shared.env['PATH']}"
    good(shared.cli("run", "--name", "found", "--", "only-here", env={"PATH": path}))
    good(shared.cli("run", "--name", "said", "--env", f"PATH={path}", "--", "only-here"))
    for name in ("found", "said"):
        good(shared.cli("stop", name))
    refused = shared.cli("run", "--name", "nowhere", "--", "only-here")
    assert refused.returncode == 1 and "only-here" in refused.stderr


def test_a_checkpoint_is_named_by_its_label_or_the_begin_of_its_id(shared):
    s = shared.create("labelled")["session_id"]
    good(shared.cli("send", "labelled", "one"))
    cp = shared.api("POST", f"/sessions/{s}/checkpoints?label=here", expect=201).json["checkpoint_id"]
    for ref in ("here", cp[:14], cp):
        good(shared.cli("send", "labelled", "two"))
        assert ": 1 message;" in good(shared.cli("restore", "labelled", ref))
    good(shared.cli("fork", "labelled", "--checkpoint", "here", "--name", "labelled-fork"))
    good(shared.cli("start", "labelled"))
    good(shared.cli("resume", "labelled", "--checkpoint-id", "here"))
    shared.api("POST", f"/sessions/{s}/checkpoints?label=here", expect=201)
    several = shared.cli("restore", "labelled", "here")
    assert several.returncode == 2 and cp in several.stderr and "2 things" in several.stderr
    unknown = shared.cli("restore", "labelled", "nowhere")
    assert unknown.returncode == 3 and "agentd checkpoints labelled" in unknown.stderr
