# SPDX-License-Identifier: MIT
"""GET /metrics: a strict reader accepts it, the figures move with what happens, and it costs little."""
import re

import pytest

from lib import load, prometheus
from lib.agentd import wait_for

pytestmark = pytest.mark.sanitized


def scrape(agentd, **more):
    answer = agentd.api("GET", "/metrics", expect=200, **more)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return prometheus.parse(answer.body.decode())


def value(families, name, **labels):
    family = families.get(name) or families[name.rsplit("_", 1)[0]]
    return family.samples.get((name, tuple(sorted(labels.items()))), 0)


def test_every_family_is_well_formed_and_the_expected_are_there(agentd):
    families = scrape(agentd)
    assert {"agentd_build_info", "agentd_sessions", "agentd_runs_started_total", "agentd_restarts_total",
            "agentd_http_requests_total", "agentd_http_request_duration_seconds", "agentd_store_commits_total",
            "agentd_store_sync_seconds_total", "agentd_store_queue_transactions", "agentd_store_wal_bytes",
            "agentd_keeper_pid", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
            "process_max_fds", "process_start_time_seconds", "process_virtual_memory_bytes"} <= set(families)
    version = agentd.version()
    assert value(families, "agentd_build_info", version=version["version"]) == 1
    assert value(families, "agentd_keeper_pid") == version["keeper_pid"]
    assert value(families, "process_resident_memory_bytes") > 1 << 20
    assert 5 < value(families, "process_open_fds") < value(families, "process_max_fds")


def test_figures_move_with_what_happens(agentd):
    before = scrape(agentd)
    s = agentd.run(["sh", "-c", "exit 3"], agent={"restart": "on-failure", "restart_sec": "10ms"})["session_id"]
    other = agentd.create()["session_id"]
    agentd.api("GET", f"/sessions/{other}", expect=200)
    agentd.api("GET", "/sessions/0123456789abcdef", expect=404)
    agentd.request("GET", "/nowhere")
    wait_for(lambda: value(scrape(agentd), "agentd_restarts_total") >= 1 and
             value(scrape(agentd), "agentd_runs_started_total") >= value(before, "agentd_runs_started_total") + 2,
             what="a restart")
    agentd.api("POST", f"/sessions/{s}/stop")
    after = scrape(agentd)

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)
    assert grown("agentd_runs_started_total") >= 2 and grown("agentd_runs_ended_total") >= 1
    assert grown("agentd_events_total", type="session.created") == 2
    route = {"route": "/sessions/{id}", "method": "GET"}
    assert grown("agentd_http_requests_total", code="200", **route) == 1
    assert grown("agentd_http_requests_total", code="404", **route) == 1
    assert grown("agentd_http_requests_total", code="404", route="", method="") == 1
    assert grown("agentd_http_request_duration_seconds_count", **route) == 2
    assert grown("agentd_store_commits_total", database="state") >= 3
    assert grown("agentd_store_transactions_total", database="state") >= grown("agentd_store_commits_total", database="state")
    assert value(after, "agentd_sessions", status="created") == 1
    assert sum(after["agentd_sessions"].samples.values()) == 2


def test_no_label_names_a_session(agentd):
    ids = [agentd.create(f"name-{n}")["session_id"] for n in range(3)]
    for s in ids:
        agentd.api("GET", f"/sessions/{s}/messages", expect=200)
    text = agentd.api("GET", "/metrics").body.decode()
    assert not any(s in text for s in ids) and "name-" not in text


def test_labels_of_requests_are_the_table_of_routes_whatever_is_asked(agentd):
    s = agentd.create()["session_id"]
    for n in range(200):
        agentd.request("GET", f"/nowhere/{n}")
        agentd.request("GET", f"/sessions/{n:016x}/runs/{n}?after={n}")
        agentd.request(f"X{n}", f"/sessions/{s}")
        agentd.request("PUT", f"/sessions/{s}/variables/name{n}", n)
    routes = {(path, method.upper()) for path, methods in agentd.request("GET", "/openapi.json").json["paths"].items()
              for method in methods}
    requests = scrape(agentd)["agentd_http_requests_total"]
    assert requests.type == "counter"
    for (name, labels), count in requests.samples.items():
        told = dict(labels)
        assert set(told) == {"route", "method", "code"} and count > 0
        assert (told["route"], told["method"]) in routes | {("", "")}
        assert re.fullmatch("[1-5][0-9][0-9]", told["code"])
    assert len(requests.samples) < 30
    assert value({requests.name: requests}, requests.name, code="200", method="PUT",
                 route="/sessions/{id}/variables/{name}") == 200


def test_the_end_of_a_run_is_told_in_words(agentd):
    s = agentd.run(["sh", "-c", "exit 3"], agent={"restart": "no"})["session_id"]
    agentd.wait_session(s, lambda x: x["status"] == "error")
    events = agentd.api("GET", f"/sessions/{s}/events?after=0000000000000000").json
    assert [e["data"]["result"] for e in events if e["type"] == "run.ended"] == ["exit-code"]


def test_who_may_read_it(agentd):
    token = agentd.api("POST", "/tokens", {"scope": "read"}, expect=201).json["token"]
    assert agentd.tcp("GET", "/metrics", headers={"Authorization": f"Bearer {token}"}).status == 200
    assert agentd.tcp("GET", "/metrics", headers={"Authorization": "Bearer agd_x"}).status == 401


def test_it_costs_the_same_with_many_sessions(agentd):
    few = len(scrape(agentd)["agentd_sessions"].samples)
    made = load.send_all(agentd, (load.request("POST", "/sessions", {"name": f"s{n}", "model": "m"}) for n in range(2000)))
    assert made == {201: 2000}
    families = scrape(agentd)
    assert len(families["agentd_sessions"].samples) == few
    assert value(families, "agentd_sessions", status="created") == 2000
