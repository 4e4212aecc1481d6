# SPDX-License-Identifier: MIT
"""Every row of the table "who gets in", with the traps."""
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from lib.agentd import cgroups_are_ours, wait_for

pytestmark = pytest.mark.sanitized

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
FOREIGN_UID = 65534

ASK = r"""
import http.client, json, os, sys
method, path, port, uid, header = sys.argv[1:6]
if int(uid):
    os.setgroups([]); os.setgid(int(uid)); os.setuid(int(uid))
c = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
c.request(method, path, headers=json.loads(header))
r = c.getresponse()
print(json.dumps([r.status, r.read().decode(), dict(r.getheaders())]))
"""


def ask(agentd, method, path, uid=0, headers=None):
    done = subprocess.run([sys.executable, "-c", ASK, method, path, str(agentd.port), str(uid), json.dumps(headers or {})],
                          capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def token(agentd, **fields):
    return agentd.api("POST", "/tokens", fields, expect=201).json


def bearer(text):
    return {"Authorization": "Bearer " + text}


def test_same_user_on_loopback_may_do_everything(agentd):
    assert agentd.tcp("GET", "/sessions").status == 200
    assert agentd.tcp("POST", "/sessions", {"name": "a", "model": "m"}).status == 201


@NEEDS_ROOT
def test_foreign_user_gets_health_and_nothing_else(agentd):
    assert ask(agentd, "GET", "/health", FOREIGN_UID)[0] == 200
    assert ask(agentd, "GET", "/ready", FOREIGN_UID)[0] == 200
    for method, path in (("GET", "/sessions"), ("GET", "/version"), ("POST", "/shutdown"), ("GET", "/events"),
                         ("GET", "/sessions/0000000000000000"), ("GET", "/openapi.json")):
        status, body, headers = ask(agentd, method, path, FOREIGN_UID)
        assert status == 401, (path, status)
        assert json.loads(body)["hint"]
        assert "Bearer" in {k.lower(): v for k, v in headers.items()}["www-authenticate"]


@NEEDS_ROOT
def test_foreign_user_that_sends_and_closes_is_not_taken_for_root(agentd):
    """A closed socket shows uid 0 in the kernel's table; the request must still not be carried out."""
    before = len(agentd.api("GET", "/sessions").json)
    body = b'{"name":"intruder","model":"m"}'
    request = (b"POST /sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
               % len(body)) + body
    script = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for _ in range(200):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(eval(sys.argv[2]))
    s.close()
"""
    subprocess.run([sys.executable, "-c", script, str(agentd.port), repr(request)], check=True, timeout=60)
    agentd.create("marker")
    names = [s["name"] for s in agentd.api("GET", "/sessions").json]
    assert "intruder" not in names and len(names) == before + 1


@NEEDS_ROOT
def test_foreign_user_with_a_token_gets_its_namespace_and_scope(agentd):
    mine = agentd.create("mine")["session_id"]
    theirs = agentd.create("theirs", namespace="team")["session_id"]
    read = token(agentd, namespace="team", scope="read")["token"]
    write = token(agentd, namespace="team", scope="write")["token"]
    assert ask(agentd, "GET", f"/sessions/{theirs}", FOREIGN_UID, bearer(read))[0] == 200
    assert ask(agentd, "GET", f"/sessions/{mine}", FOREIGN_UID, bearer(read))[0] == 404
    listed = json.loads(ask(agentd, "GET", "/sessions", FOREIGN_UID, bearer(read))[1])
    assert [s["session_id"] for s in listed] == [theirs]
    assert ask(agentd, "POST", f"/sessions/{theirs}/start", FOREIGN_UID, bearer(read))[0] == 403
    assert ask(agentd, "POST", f"/sessions/{theirs}/start", FOREIGN_UID, bearer(write))[0] == 200
    assert ask(agentd, "POST", "/shutdown", FOREIGN_UID, bearer(write))[0] == 403
    assert ask(agentd, "POST", f"/sessions/{mine}/start", FOREIGN_UID, bearer(write))[0] == 404


def test_wrong_revoked_and_expired_tokens_are_refused(agentd):
    assert agentd.tcp("GET", "/sessions", headers=bearer("agd_" + "0" * 64)).status == 401
    made = token(agentd, namespace="default", scope="read")
    assert agentd.tcp("GET", "/sessions", headers=bearer(made["token"])).status == 200
    agentd.api("DELETE", f"/tokens/{made['token_id']}", expect=200)
    assert agentd.tcp("GET", "/sessions", headers=bearer(made["token"])).status == 401


def test_tokens_are_shown_once_and_stored_as_hashes(agentd):
    made = token(agentd, namespace="default", scope="read")
    assert made["token"] not in json.dumps(agentd.api("GET", "/tokens", expect=200).json)
    agentd.stop()
    agentd.process.wait(timeout=30)
    for file in agentd.data.rglob("*"):
        if file.is_file():
            assert made["token"].encode() not in file.read_bytes(), file


def test_loopback_can_be_closed(make_agentd):
    agentd = make_agentd(env={"AGENTD_AUTH_LOOPBACK": "token"})
    assert agentd.tcp("GET", "/sessions").status == 401
    assert agentd.request("GET", "/sessions").status == 200
    made = token(agentd, namespace="default", scope="read")["token"]
    assert agentd.tcp("GET", "/sessions", headers=bearer(made)).status == 200


AGENT_ASKS = r"""
import http.client, json, os, socket, sys, urllib.parse
base = urllib.parse.urlsplit(os.environ["AGENTD_URL"])
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(os.environ["AGENTD_SOCKET"])
def ask(way, method, path, body=None, with_token=False):
    c = Unix("localhost") if way == "unix" else http.client.HTTPConnection(base.hostname, base.port)
    h = {"Authorization": "Bearer " + os.environ["AGENTD_TOKEN"]} if with_token else {}
    c.request(method, path, body=json.dumps(body) if body else None, headers=h)
    r = c.getresponse(); r.read(); return r.status
me, other = os.environ["AGENTD_SESSION_ID"], os.environ["OTHER"]
told_apart = open("/proc/self/cgroup").read().split() != os.environ["TESTS_CGROUP"].split()
out = {}
for way in ("tcp", "unix"):
    for with_token in (False, True):
        k = way + ("+token" if with_token else "")
        out[k] = [ask(way, "GET", f"/sessions/{me}", None, with_token),
                  ask(way, "POST", f"/sessions/{me}/messages", {"role": "user", "content": k}, with_token)]
        if not with_token and not told_apart:
            continue  # it is trusted, and what it would ask for would be done
        out[k] += [ask(way, "GET", f"/sessions/{other}", None, with_token),
                   ask(way, "POST", f"/sessions/{other}/messages", {"role": "user", "content": "hi"}, with_token),
                   ask(way, "POST", "/sessions", {"name": "x", "model": "m"}, with_token),
                   ask(way, "POST", "/shutdown", None, with_token),
                   ask(way, "POST", "/tokens", {"scope": "admin"}, with_token)]
print(json.dumps(out), flush=True)
"""


def test_an_agents_process_is_its_run_with_or_without_a_token(agentd):
    other = agentd.create("other")["session_id"]
    # Without cgroup v2 an agent's process can be told from its user's other programs by its token only.
    cgroup = " ".join(pathlib.Path("/proc/self/cgroup").read_text().split())
    s = agentd.run([sys.executable, "-c", AGENT_ASKS],
                   agent={"restart": "no", "environment": {"OTHER": other, "TESTS_CGROUP": cgroup}})["session_id"]
    agentd.wait_session(s, lambda x: x["status"] in ("stopped", "error"))
    text = agentd.request("GET", f"/sessions/{s}/logs").body.decode()
    answers = json.loads(text.splitlines()[0])
    for way, got in answers.items():
        own_get, own_post, *foreign = got
        assert (own_get, own_post) == (200, 201), (way, got)
        if not foreign:
            assert "token" not in way and not cgroups_are_ours(), way
            continue
        other_get, other_post, create, shutdown, mint = foreign
        assert other_get in (403, 404) and other_post in (403, 404), (way, got)
        assert create == 403 and shutdown == 403 and mint == 403, (way, got)


def test_a_run_token_works_only_for_its_session(agentd):
    folder = agentd.folder / "w"
    folder.mkdir()
    s = agentd.run(["/bin/sh", "-c", "echo $AGENTD_TOKEN > token; exec sleep 1000"], workspace=str(folder))["session_id"]
    wait_for(lambda: (folder / "token").exists() and (folder / "token").read_text().strip(), what="the token")
    secret = (folder / "token").read_text().strip()
    other = agentd.create("other")["session_id"]
    assert agentd.tcp("GET", f"/sessions/{s}", headers=bearer(secret)).status == 200
    assert agentd.tcp("GET", f"/sessions/{other}", headers=bearer(secret)).status == 404
    assert agentd.tcp("POST", f"/sessions/{s}/stop", headers=bearer(secret)).status == 403
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    gone = agentd.tcp("GET", f"/sessions/{s}", headers=bearer(secret))
    assert gone.status == 401 and gone.json["code"] == "stale_run"


@pytest.mark.parametrize("host,ok", [("localhost", True), ("127.0.0.1:8721", True), ("[::1]:8721", True),
                                     ("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.nip.io", False)])
def test_host_header_must_name_this_machine(agentd, host, ok):
    status = agentd.tcp("GET", "/sessions", headers={"Host": host}).status
    assert (status == 200) is ok, status


@pytest.mark.parametrize("origin,ok", [(None, True), ("http://evil.example", False), ("null", False)])
def test_foreign_origins_cannot_change_anything(agentd, origin, ok):
    headers = {"Origin": origin} if origin else {}
    answer = agentd.tcp("POST", "/sessions", {"name": "x", "model": "m"}, headers)
    assert (answer.status == 201) is ok, answer
    assert "access-control-allow-origin" not in answer.headers


def test_configured_origin_is_allowed(make_agentd):
    agentd = make_agentd(env={"AGENTD_ORIGINS": "https://panel.example"})
    answer = agentd.tcp("POST", "/sessions", {"name": "x", "model": "m"}, {"Origin": "https://panel.example"})
    assert answer.status == 201 and answer.headers["access-control-allow-origin"] == "https://panel.example"
    assert agentd.tcp("POST", "/sessions", {"name": "x", "model": "m"}, {"Origin": "https://evil.example"}).status == 403


def test_files_are_private(agentd):
    agentd.run(["/bin/true"])
    agentd.create("x")
    for path in [agentd.data / "run", *agentd.data.rglob("*")]:
        mode = path.lstat().st_mode & 0o777
        if not path.is_symlink():
            assert mode & 0o077 == 0, f"{path} has mode {mode:o}"
