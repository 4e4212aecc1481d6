# SPDX-License-Identifier: MIT
"""What the daemon tells about itself, and how it is asked to leave."""
import base64
import hashlib
import html.parser
import json
import pathlib
import re

import pytest

from lib.agentd import alive, wait_for

pytestmark = pytest.mark.sanitized
ROUTES = re.compile(r'ROUTE\(ROUTE_\w+, \w+, "(\w+)", "([A-Z]+)", "([^"]+)"')
TABLE = pathlib.Path(__file__).resolve().parents[1] / "src/contract/routes.def"


def test_ready_and_version(agentd):
    assert agentd.api("GET", "/ready", expect=200).json == {"status": "ready"}
    version = agentd.version()
    assert alive(version["daemon_pid"]) and alive(version["keeper_pid"])
    assert version["port"] > 0 and version["state_schema"] >= 1 and version["memory_schema"] >= 1
    assert agentd.tcp("GET", "/version").json == version


def test_openapi_describes_every_route_of_the_table(agentd):
    answer = agentd.api("GET", "/openapi.json", expect=200)
    assert answer.headers["content-type"] == "application/json"
    document = answer.json
    assert document["openapi"].startswith("3.1")
    described = {(o["operationId"], m.upper(), p) for p, ms in document["paths"].items() for m, o in ms.items()}
    assert described == set(ROUTES.findall(TABLE.read_text()))
    text = json.dumps(document)
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', text))
    assert references and references <= set(document["components"]["schemas"])


def test_request_ids_are_echoed(agentd):
    for method, path, body in (("GET", "/health", None), ("GET", "/sessions/x", None), ("POST", "/sessions", {})):
        assert agentd.api(method, path, body, {"X-Request-Id": "r-1"}).headers["x-request-id"] == "r-1"


def test_head_is_get_without_a_body(agentd):
    for path in ("/health", "/sessions", "/openapi.json"):
        answer = agentd.request("HEAD", path)
        assert answer.status == 200 and answer.body == b"" and answer.headers["content-type"] == "application/json"


def test_shutdown_answers_and_then_the_daemon_leaves(agentd):
    s = agentd.create()["session_id"]
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    pids = [agentd.daemon_pid, agentd.keeper_pid]
    assert agentd.api("POST", "/shutdown", expect=202).json == {"status": "stopping"}
    wait_for(lambda: not any(alive(p) for p in pids), 20, "their leaving")
    agentd.process.wait(timeout=20)
    agentd.start()
    assert agentd.session(s)["status"] == "running"
    labels = [c["label"] for c in agentd.api("GET", f"/sessions/{s}/checkpoints").json]
    assert labels == ["shutdown-checkpoint"]


def test_the_daemon_says_where_it_listens(agentd):
    version = agentd.version()
    assert version["urls"] == [f"http://127.0.0.1:{version['port']}", f"unix:{agentd.socket}"]


def test_a_living_run_tells_what_it_uses_and_a_dead_one_does_not(agentd):
    s = agentd.run(["sh", "-c", "while :; do :; done & wait"])["session_id"]
    agentd.wait_session(s, lambda x: x["substate"] == "active")

    def busy():
        run = agentd.api("GET", f"/sessions/{s}/runs").json[0]
        assert agentd.api("GET", f"/sessions/{s}/runs/{run['run_id']}", expect=200).json["run_id"] == run["run_id"]
        return run if (run["tasks"] or 0) >= 2 and (run["cpu_usec"] or 0) > 0 else None
    assert wait_for(busy, what="its use of the processor")["memory_bytes"] > 0
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    run = agentd.api("GET", f"/sessions/{s}/runs").json[0]
    assert (run["tasks"], run["memory_bytes"], run["cpu_usec"]) == (None, None, None)


def test_the_page_for_people_has_every_route_and_needs_nothing_else(agentd):
    answer = agentd.api("GET", "/docs", expect=200)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.body.decode()
    for name, _, path in ROUTES.findall(TABLE.read_text()):
        assert f'<details id="{name}">' in page and f"<code>{path}</code>" in page
    assert not re.search(r"""(src|href)=["'](https?:)?//|@import|url\(""", page)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        text = re.search(rf"<{element}>(.*?)</{element}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert "onclick" not in page and 'style="' not in page
    checker = Balanced()
    checker.feed(page)
    assert checker.open == []


def test_the_root_leads_a_browser_to_the_page_and_tells_programs_where_to_look(agentd):
    index = agentd.api("GET", "/", expect=200).json
    assert (index["name"], index["version"]) == ("agentd", agentd.version()["version"])
    for word in ("docs", "openapi", "health", "metrics"):
        assert agentd.api("GET", index[word], expect=200)
    assert agentd.tcp("GET", "/", headers={"Accept": "*/*"}).json == index
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    answer = agentd.api("GET", "/", headers=browser, expect=302)
    assert (answer.headers["location"], answer.headers["vary"]) == ("docs", "Accept")
    assert agentd.request("POST", "/", {}).status == 405 and agentd.request("GET", "//").status == 404
    assert agentd.tcp("GET", "/", headers={"Authorization": "Bearer agd_x", **browser}).status == 401


class Balanced(html.parser.HTMLParser):
    """Every element that was opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())
