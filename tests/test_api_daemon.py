# SPDX-License-Identifier: MIT
"""What the daemon tells about itself, and how it is asked to leave."""
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
