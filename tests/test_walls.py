# SPDX-License-Identifier: MIT
"""Walls: between namespaces, between scopes, between runs, and against browsers.

What is tried comes from /openapi.json, so a new route is tried on the day it appears; if its body is required, it
wants a row in BODIES. Each test collects everything that got through before it fails.
"""
import http.client
import json
import os
import re
import socket
import subprocess
import sys

import pytest

from lib.agentd import BUILD, Agentd, wait_for
from lib.stream import Stream

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
NOBODY = 65534
SECRET = "secret-of-the-other-side"
SCOPES = ("read", "write", "admin")

# A body that is valid: only what is valid is looked up.
BODIES = {
    "createSession": {"name": "x", "model": "m"},
    "forkSession": {},
    "restoreSession": {"checkpoint_id": "0" * 16},
    "appendMessage": {"role": "user", "content": "x"},
    "setVariable": "1",
    "setMemory": {"key": "k", "value": 1},
    "setNamespaceMemory": {"key": "k", "value": 1},
    "searchMemory": {"query": "k"},
    "searchNamespaceMemory": {"query": "k"},
    "createToken": {},
}
QUERIES = {"deleteMemory": "key=k", "deleteNamespaceMemory": "key=k", "getMemoryHistory": "key=k", "getNamespaceMemoryHistory": "key=k",
           "getDiff": "from=now"}


def bearer(text):
    return {"Authorization": "Bearer " + text}


class Side:
    """A namespace with one session that has one of everything."""

    def __init__(self, agentd, namespace):
        self.namespace = namespace
        self.tokens = {s: agentd.api("POST", "/tokens", {"namespace": namespace, "scope": s, "name": SECRET}, expect=201).json
                       for s in SCOPES}
        made = agentd.run(["/bin/sh", "-c", f"echo {SECRET}; exec sleep 1000"], name=f"{SECRET}-{namespace}", namespace=namespace,
                          labels={"label": SECRET}, agent={"restart": "no"})
        self.id = made["session_id"]
        own = f"/sessions/{self.id}"
        wait_for(lambda: SECRET in agentd.request("GET", own + "/logs").body.decode(), what="the agent's line")
        self.node = agentd.api("POST", own + "/messages", {"role": "user", "content": SECRET}, expect=201).json["id"]
        agentd.api("PUT", f"{own}/variables/of-{namespace}", json.dumps(SECRET), expect=200)
        agentd.api("POST", own + "/memory", {"key": "of-" + namespace, "value": SECRET}, expect=201)
        self.checkpoint = agentd.api("POST", own + "/checkpoints?label=" + SECRET, expect=201).json["checkpoint_id"]
        self.run = agentd.api("GET", own + "/runs", expect=200).json[0]["run_id"]
        self.branch = agentd.api("GET", own + "/branches", expect=200).json[0]["branch_id"]

    def values(self):
        return {"id": self.id, "cp": self.checkpoint, "run": self.run, "name": "of-" + self.namespace,
                "token": self.tokens["read"]["token_id"]}

    def token(self, scope):
        return bearer(self.tokens[scope]["token"])


class Route:
    def __init__(self, method, path, row):
        self.method, self.pattern, self.operation = method.upper(), path, row["operationId"]
        self.access, self.run = row["x-access"], row["x-run"]
        self.names = re.findall(r"{(\w+)}", path)
        needs_body = row.get("requestBody", {}).get("required", False)
        assert not needs_body or self.operation in BODIES, f"{self.operation} wants a row in BODIES"
        required = [p["name"] for p in row.get("parameters", []) if p["in"] == "query" and p.get("required")]
        assert not required or self.operation in QUERIES, f"{self.operation} wants a row in QUERIES"
        self.body, self.query = BODIES.get(self.operation), QUERIES.get(self.operation)

    def path(self, values):
        text = re.sub(r"{(\w+)}", lambda m: values[m.group(1)], self.pattern)
        return text + ("?" + self.query if self.query else "")

    def ask(self, agentd, values, headers):
        return agentd.request(self.method, self.path(values), self.body, headers)

    def __str__(self):
        return f"{self.method} {self.pattern}"


def routes(agentd):
    description = agentd.request("GET", "/openapi.json").json
    found = [Route(m, p, row) for p, methods in description["paths"].items() for m, row in methods.items()]
    assert len(found) >= 47
    return found


@pytest.fixture
def sides(agentd):
    return Side(agentd, "mine"), Side(agentd, "theirs")


def everything_of(agentd, side):
    """What must be the same before and after somebody else's attempts."""
    own = f"/sessions/{side.id}"
    paths = [own + rest for rest in ("/messages", "/variables", "/checkpoints", "/runs", "/branches", "/memory?details=1")]
    return [agentd.request("GET", p).json for p in [*paths, "/tokens?namespace=" + side.namespace]]


# ---- namespaces ----

def test_another_namespaces_session_does_not_exist_for_any_route(agentd, sides):
    mine, theirs = sides
    before, wrong = everything_of(agentd, theirs), {}
    for route in routes(agentd):
        if not route.names:
            continue
        answer = route.ask(agentd, theirs.values(), mine.token("admin"))
        if answer.status != 404 or SECRET in answer.body.decode():
            wrong[str(route)] = answer
    assert not wrong
    assert everything_of(agentd, theirs) == before
    assert agentd.session(theirs.id)["status"] == "running"


def test_what_belongs_to_another_session_is_not_reached_through_ones_own(agentd, sides):
    mine, theirs = sides
    wrong = {}
    for route in routes(agentd):
        if len(route.names) < 2 or route.operation == "setVariable":
            continue
        answer = route.ask(agentd, {**theirs.values(), "id": mine.id}, mine.token("admin"))
        if answer.status != 404 or SECRET in answer.body.decode():
            wrong[str(route)] = answer
    assert not wrong


@pytest.mark.parametrize("method,rest,body,expected", [
    ("GET", "/messages?branch={branch}", None, 404),
    ("GET", "/messages?after={node}", None, 404),
    ("GET", "/messages?before={node}", None, 404),
    ("GET", "/messages?wait=1&after={node}", None, 404),
    ("POST", "/fork", {"checkpoint_id": "{checkpoint}"}, 404),
    ("POST", "/fork", {"node": "{node}"}, 404),
    ("POST", "/restore", {"checkpoint_id": "{checkpoint}"}, 404),
    ("POST", "/restore", {"node": "{node}"}, 404),
    ("POST", "/resume", {"session_id": "{id}"}, 422),
    ("POST", "/resume", {"checkpoint_id": "{checkpoint}"}, 400),
])
def test_foreign_ids_in_query_and_body_lead_nowhere(agentd, sides, method, rest, body, expected):
    mine, theirs = sides
    if method == "POST":  # a running session is refused before its ids are looked at
        agentd.api("POST", f"/sessions/{mine.id}/stop", expect=200)
    fill = {"branch": theirs.branch, "node": theirs.node, "checkpoint": theirs.checkpoint, "id": theirs.id}
    path = f"/sessions/{mine.id}" + rest.format(**fill)
    body = {k: v.format(**fill) for k, v in body.items()} if body else None
    answer = agentd.request(method, path, body, mine.token("admin"))
    assert answer.status == expected and answer.json["code"] not in ("session_running", "already_running"), answer
    assert SECRET not in answer.body.decode()


def test_logs_of_a_foreign_run_or_cursor_are_empty_or_refused(agentd, sides):
    mine, theirs = sides
    answer = agentd.request("GET", f"/sessions/{mine.id}/logs?run={theirs.run}", headers=mine.token("read"))
    assert answer.status == 404 and answer.json["code"] == "run_not_found"
    events = agentd.request("GET", f"/sessions/{theirs.id}/logs", headers={"Accept": "text/event-stream"}).body.decode()
    cursor = re.search(r"^id: (\S+)$", events, re.M).group(1)
    answer = agentd.request("GET", f"/sessions/{mine.id}/logs?cursor={cursor}", headers=mine.token("read"))
    assert answer.status in (200, 422)
    assert theirs.run not in answer.body.decode()


def test_lists_hold_ones_own_namespace_only(agentd, sides):
    mine, theirs = sides
    head = mine.token("admin")
    for path in ("/sessions", f"/sessions?ref={theirs.id}", f"/sessions?ref={theirs.id[:6]}", f"/sessions?name={SECRET}-theirs",
                 "/sessions?label=label&messages=all", "/sessions?status=running", "/sessions?after=0000000000000001"):
        assert all(s["session_id"] == mine.id for s in agentd.api("GET", path, headers=head, expect=200).json), path
    for path in ("/events", "/memory?details=1", "/tokens"):
        answer = agentd.api("GET", path, headers=head, expect=200)
        text = answer.body.decode()
        assert theirs.id not in text and "theirs" not in text and theirs.tokens["read"]["token_id"] not in text, path


def test_a_foreign_namespace_in_a_filter_does_not_exist(agentd, sides):
    mine, _ = sides
    wrong = {}
    for wanted in ("theirs", "never-made", "THEIRS", "mine "):
        for route in routes(agentd):
            if route.names or route.access == "public" or not route.pattern.startswith(("/sessions", "/events", "/memory", "/tokens")):
                continue
            body, path = route.body, route.path({})
            if route.operation in ("createSession", "createToken"):
                body = {**body, "namespace": wanted}
            else:
                path += ("&" if "?" in path else "?") + "namespace=" + wanted.replace(" ", "%20")
            answer = agentd.request(route.method, path, body, mine.token("admin"))
            if answer.status not in (404, 422):
                wrong[f"{route} {wanted}"] = answer
    assert not wrong


def test_an_event_stream_carries_ones_own_namespace_only(agentd, sides):
    mine, theirs = sides
    for path in ("/events", f"/sessions/{mine.id}/events"):
        with Stream(agentd, path, headers=mine.token("read")) as stream:
            for side in (theirs, theirs, mine):
                last = agentd.api("POST", f"/sessions/{side.id}/messages", {"role": "user", "content": "x"}, expect=201).json["id"]
            for event in stream.events():
                assert theirs.id not in json.dumps(event)
                if last in json.dumps(event):
                    break


# ---- scopes ----

RANK = {"public": 0, "read": 1, "write": 2, "admin": 3, "local": 4}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_allows_nothing_above_it(agentd, sides, scope):
    mine, _ = sides
    wrong = {}
    for route in routes(agentd):
        if RANK[route.access] > RANK[scope]:
            answer = route.ask(agentd, mine.values(), mine.token(scope))
            if answer.status != 403:
                wrong[str(route)] = answer
    assert not wrong
    assert agentd.session(mine.id)["status"] == "running"


def test_nobody_makes_a_token_for_more_than_his_own(agentd, sides):
    mine, theirs = sides
    for scope in ("read", "write"):
        assert agentd.request("POST", "/tokens", {"scope": scope}, mine.token(scope)).status == 403
    made = agentd.request("POST", "/tokens", {"scope": "admin"}, mine.token("admin"))
    assert made.status == 201 and made.json["namespace"] == "mine"
    assert agentd.request("POST", "/tokens", {"scope": "local"}, mine.token("admin")).status == 422
    assert agentd.request("GET", f"/sessions/{theirs.id}", headers=bearer(made.json["token"])).status == 404


def test_without_a_token_only_public_routes_answer(make_agentd):
    agentd = make_agentd(env={"AGENTD_AUTH_LOOPBACK": "token"})
    session = agentd.create()["session_id"]
    values = {"id": session, "cp": "1" * 16, "run": "1" * 16, "name": "n", "token": "1" * 16}
    port = agentd.port
    for attempt in ({}, bearer(""), {"Authorization": "Basic cm9vdDo="}, {"Authorization": "bearer"}, {"X-Api-Key": ""},
                    {"Authorization": "Basic x", "X-Api-Key": "y"}, bearer("agd_" + "0" * 64), bearer("\x7f"), bearer("a" * 8000)):
        for route in routes(agentd):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request(route.method, route.path(values), headers=attempt,
                               body=route.body if isinstance(route.body, str | None) else json.dumps(route.body))
            status = connection.getresponse().status
            connection.close()
            assert status == 401 or (route.access == "public" and status == 200), (str(route), attempt, status)


def test_a_revoked_token_ends_its_streams(agentd, sides):
    mine, _ = sides
    for path in ("/events", f"/sessions/{mine.id}/events", f"/sessions/{mine.id}/logs?follow=1", f"/sessions/{mine.id}/messages?wait=60"):
        made = agentd.api("POST", "/tokens", {"namespace": "mine", "scope": "read"}, expect=201).json
        other = agentd.api("POST", "/tokens", {"namespace": "mine", "scope": "read"}, expect=201).json
        taken, kept = open_raw(agentd, path, made["token"]), open_raw(agentd, path, other["token"])
        try:
            if "wait=" not in path:
                assert taken.recv(1) and kept.recv(1)
            else:  # both wait when a request behind them was answered
                agentd.session(mine.id)
            agentd.api("DELETE", f"/tokens/{made['token_id']}", expect=200)
            read_to_end(taken)
            kept.setblocking(False)
            with pytest.raises(BlockingIOError):
                while kept.recv(65536):
                    pass
        finally:
            taken.close()
            kept.close()


def open_raw(agentd, path, token):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(str(agentd.socket))
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: text/event-stream\r\n"
              f"Authorization: Bearer {token}\r\n\r\n".encode())
    return s


def read_to_end(s):
    got = b""
    while piece := s.recv(65536):
        got += piece
    return got


# ---- runs ----

def run_token(agentd, folder, namespace):
    """A session whose agent wrote its token down, and that token."""
    folder.mkdir()
    s = agentd.run(["/bin/sh", "-c", "echo $AGENTD_TOKEN > token; exec sleep 1000"], workspace=str(folder), namespace=namespace)
    secret = wait_for(lambda: (folder / "token").exists() and (folder / "token").read_text().strip(), what="the token")
    return s["session_id"], bearer(secret)


def test_a_run_reaches_its_own_session_and_nothing_more(agentd, sides):
    mine, theirs = sides
    own, token = run_token(agentd, agentd.folder / "w", "mine")
    before, wrong = [everything_of(agentd, side) for side in sides], {}
    for route in routes(agentd):
        if not route.run and route.access != "public":
            answer = route.ask(agentd, {**mine.values(), "id": own}, token)
            if answer.status != 403:
                wrong[f"{route}, own"] = answer
        if "id" in route.names:
            for side in sides:
                answer = route.ask(agentd, side.values(), token)
                if answer.status not in (403, 404) or SECRET in answer.body.decode():
                    wrong[f"{route}, {side.namespace}"] = answer
    assert not wrong
    assert [everything_of(agentd, side) for side in sides] == before
    for query in ("", f"?ref={mine.id}", f"?ref={theirs.id}", f"?name={SECRET}-mine", "?namespace=mine", "?status=running"):
        found = agentd.request("GET", "/sessions" + query, headers=token)
        assert found.status == 200 and all(s["session_id"] == own for s in found.json), query
    assert agentd.request("GET", "/sessions?namespace=theirs", headers=token).status == 404


ENVIRONS = r"""
import os, pathlib
print("OWN", dict(os.environ))
for p in pathlib.Path("/proc").iterdir():
    if p.name.isdigit() and int(p.name) != os.getpid():
        for name in ("environ", "cmdline"):
            try:
                print(p.name, name, (p / name).read_bytes())
            except OSError:
                pass
print("DONE", flush=True)
"""


class AgentdOf(Agentd):
    """Runs as somebody else."""

    def start(self, wait=True):
        for path in (self.folder, self.data):
            os.chown(path, NOBODY, NOBODY)
        self.process = subprocess.Popen([str(BUILD / "agentd"), "start", *self.args], env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, user=NOBODY, group=NOBODY, extra_groups=[])
        if wait:
            self.wait_ready()
        return self


@NEEDS_ROOT
@pytest.mark.parametrize("cgroups", ["auto", "none"])
def test_what_the_daemon_was_started_with_is_not_seen_by_its_agents(cgroups):
    """An ordinary user's daemon: neither an agent's own environment nor that of any process it may look into."""
    import tempfile
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o755)
        agentd = AgentdOf(os.path.join(folder, "a"), env={"SOME_PROVIDERS_API_KEY": SECRET, "AGENTD_CGROUP_ROOT": cgroups})
        try:
            agentd.start()
            made = agentd.api("POST", "/tokens", {"scope": "admin"}, expect=201).json["token"]
            s = agentd.run([sys.executable, "-c", ENVIRONS], agent={"restart": "no"})["session_id"]
            agentd.wait_session(s, lambda x: x["status"] in ("stopped", "error"))
            text = agentd.request("GET", f"/sessions/{s}/logs").body.decode()
            assert "DONE" in text and "AGENTD_TOKEN" in text
            shown = [line[:100] for line in text.splitlines() if SECRET in line or made in line]
            assert not shown
            for path in (f"/sessions/{s}", "/events", "/version", f"/sessions/{s}/runs"):
                assert SECRET not in agentd.request("GET", path).body.decode()
            assert SECRET not in agentd.log_text() and made not in agentd.log_text()
        finally:
            agentd.kill_everything()


@NEEDS_ROOT
def test_a_runtime_folder_that_others_may_change_is_refused(make_agentd):
    for owner, mode in ((NOBODY, 0o700), (0, 0o777), (0, 0o720)):
        agentd = make_agentd(f"{owner}-{mode:o}", start=False)
        run = agentd.data / "run"
        run.mkdir()
        os.chown(run, owner, 0)
        os.chmod(run, mode)
        done = agentd.cli("start", "--detach")
        assert done.returncode != 0 and str(run) in done.stderr, done
        assert not agentd.socket.exists()


# ---- browsers ----

@pytest.mark.parametrize("host", [
    "localhost", "LOCALHOST", "localhost.", "localhost:1", "a.localhost", "127.0.0.1", "127.0.0.1.", "[::1]", "[::1]:8721",
])
def test_names_of_this_machine_are_served(agentd, host):
    assert agentd.tcp("GET", "/sessions", headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", [
    "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "evil.example@localhost",
    "localhost:80@evil.example", "localhost#evil.example", "localhost/evil.example", "localhost,evil.example", "localhost evil.example",
    "[::1].evil.example", "[::1", "::1]", "[localhost]", "[127.0.0.1]", "[::1]evil", "localhost:", "localhost:x", "localhost:123456",
    "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1..", ".", "..", ".localhost", ":8721", "", "localhost..",
    "xlocalhost", "localhost\\evil.example", "localhost%00.evil.example", "[::1%25lo]",
])
def test_host_tricks_do_not_name_this_machine(agentd, host):
    for method, path, body in (("GET", "/sessions", None), ("POST", "/sessions", {"name": "x", "model": "m"})):
        answer = agentd.tcp(method, path, body, {"Host": host})
        assert answer.status in (400, 421), answer
    assert agentd.api("GET", "/sessions").json == []


@pytest.mark.parametrize("origin", [
    "null", "", "http://evil.example", "http://{own}.evil.example", "http://{own}@evil.example", "http://evil.example@{own}",
    "http://evil.example#{own}", "{own}", "//{own}", "ftp://{own}", "file://{own}", "chrome-extension://{own}", "http://127.0.0.1",
    "http://127.0.0.1:1", "http://localhost:{port}", "https://127.0.0.1", "http://127.0.0.1.:{port}x", "http://{own}/", "http://{own} ",
    "http://{own}, http://evil.example", "http:///{own}", "http://[::1]:{port}", "http://{own}0", "http:/{own}", "javascript://{own}",
])
def test_origin_tricks_cannot_change_anything(agentd, origin):
    port = agentd.port
    origin = origin.format(own=f"127.0.0.1:{port}", port=port)
    answer = agentd.tcp("POST", "/sessions", {"name": "x", "model": "m"}, {"Origin": origin})
    if origin.strip() == f"http://127.0.0.1:{port}":  # white space around a value is not part of it
        return
    assert answer.status == 403, answer
    assert "access-control-allow-origin" not in answer.headers
    assert agentd.api("GET", "/sessions").json == []


def test_every_changing_route_refuses_a_foreign_origin(agentd):
    values = {"id": "1" * 16, "cp": "1" * 16, "run": "1" * 16, "name": "n", "token": "1" * 16}
    wrong = {}
    for route in routes(agentd):
        answer = agentd.tcp(route.method, route.path(values), route.body, {"Origin": "http://evil.example"})
        if "access-control-allow-origin" in answer.headers or (route.method != "GET" and answer.status != 403):
            wrong[str(route)] = answer
    assert not wrong


def test_an_agents_log_is_never_a_script(agentd, sides):
    mine, _ = sides
    answer = agentd.request("GET", f"/sessions/{mine.id}/logs")
    assert answer.headers["content-type"].startswith("text/plain") and answer.headers["x-content-type-options"] == "nosniff"


# ---- headers ----

def test_text_of_clients_cannot_begin_a_header(agentd):
    s = agentd.create("a", labels={"k": "v\r\nX-Evil: 1"}, system_prompt="\r\nX-Evil: 1")["session_id"]
    agentd.create("b")
    for path in (f"/sessions?limit=1&label=k%3Dv%0D%0AX-Evil:%201", "/sessions?limit=1&x=%0D%0AX-Evil:%201", f"/sessions/{s}%0D%0AX-Evil:1",
                 f"/sessions/{s}/variables/%0D%0AX-Evil:%201", f"/sessions/{s}/logs?cursor=%0D%0AX-Evil:1"):
        answer = agentd.request("GET", path, headers={"X-Request-Id": "1"})
        assert "x-evil" not in answer.headers, path


@pytest.mark.parametrize("method,path,body,status", [
    ("GET", "/nowhere", None, 404),
    ("PUT", "/sessions", b"{}", 405),
    ("GET", "/sessions?x=%ff", None, 422),
    ("POST", "/sessions", b" " * 2000, 413),
    ("GET", "/sessions/nope", None, 404),
    ("GET", "/health", None, 200),
])
def test_a_requests_own_id_comes_back_on_every_answer(make_agentd, method, path, body, status):
    agentd = make_agentd(env={"AGENTD_BODY_MAX": "1024"})
    answer = agentd.request(method, path, body, {"X-Request-Id": "r-1"})
    assert answer.status == status and answer.headers["x-request-id"] == "r-1"
    assert "x-request-id" not in agentd.request(method, path, body, {"X-Request-Id": "r" * 129}).headers


# ---- limits ----

def test_what_clients_may_pile_up_has_limits(make_agentd):
    agentd = make_agentd(env={"AGENTD_MAX_SESSIONS": "2", "AGENTD_MESSAGE_MAX": "2048", "AGENTD_BODY_MAX": "65536",
                              "AGENTD_MAX_CONNECTIONS": "16"})
    s = agentd.create()["session_id"]
    agentd.create()
    refused = agentd.request("POST", "/sessions", {"name": "x", "model": "m"})
    assert refused.status == 429 or refused.json["code"] == "session_limit", refused
    big = agentd.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": "x" * 4096})
    assert 400 <= big.status < 500, big
    assert agentd.request("PUT", f"/sessions/{s}/variables/v", json.dumps("x" * 70000)).status == 413
    streams = []
    try:
        while len(streams) < 14:
            stream = open_raw(agentd, "/events", "")
            streams.append(stream)
            if not stream.recv(4096).startswith(b"HTTP/1.1 200"):
                break
        assert 4 <= len(streams) <= 13
        assert agentd.session(s)["session_id"] == s
    finally:
        for stream in streams:
            stream.close()
