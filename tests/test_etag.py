# SPDX-License-Identifier: MIT
"""ETag, If-None-Match and If-Match: what was read is not sent again, and nobody's change is written over."""
import concurrent.futures

import pytest

pytestmark = pytest.mark.sanitized


def tag(answer):
    value = answer.headers["etag"]
    assert len(value) == 18 and value[0] == value[-1] == '"'
    return value


def make_all(agentd):
    s = agentd.create(variables={"x": 1})["session_id"]
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints?label=a", expect=201).json["checkpoint_id"]
    return s, [f"/sessions/{s}", f"/sessions/{s}/variables", f"/sessions/{s}/variables/x", f"/sessions/{s}/checkpoints/{cp}"]


def test_what_the_client_has_is_not_sent_again(agentd):
    _, paths = make_all(agentd)
    for path in paths:
        etag = tag(agentd.api("GET", path, expect=200))
        for have in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            answer = agentd.api("GET", path, headers={"If-None-Match": have}, expect=304)
            assert answer.body == b"" and tag(answer) == etag
        assert agentd.api("GET", path, headers={"If-None-Match": '"0000000000000000"'}, expect=200).body
        head = agentd.request("HEAD", path, headers={"If-None-Match": etag})
        assert head.status == 304 and tag(head) == etag


def test_a_tag_changes_with_everything_that_shows(agentd):
    s, (session, *_, checkpoint) = make_all(agentd)
    changes = [
        ("POST", session + "/messages", {"role": "user", "content": "a"}),
        ("PUT", session + "/variables/x", 2),
        ("PATCH", session, {"name": "b"}),
        ("PATCH", session, {"labels": {"a": "b"}}),
        ("PATCH", session, {"model": "other"}),
        ("POST", session + "/checkpoints", None),
        ("POST", session + "/start", None),
        ("POST", session + "/stop", None),
    ]
    seen = {tag(agentd.api("GET", session))}
    for n, (method, path, body) in enumerate(changes, 2):
        answer = agentd.api(method, path, body)
        assert answer.status in (200, 201)
        now = tag(agentd.api("GET", session, expect=200))
        seen.add(now)
        assert len(seen) == n, (method, path, body)
        assert agentd.api("GET", session, headers={"If-None-Match": now}, expect=304)
    one = tag(agentd.api("GET", checkpoint))
    agentd.api("PATCH", checkpoint, {"pinned": True}, expect=200)
    two = tag(agentd.api("GET", checkpoint))
    agentd.api("PATCH", checkpoint, {"label": "b"}, expect=200)
    assert len({one, two, tag(agentd.api("GET", checkpoint))}) == 3


def test_a_change_of_something_else_by_now_is_refused(agentd):
    s, (session, *_, checkpoint) = make_all(agentd)
    for path, change, other in ((session, {"name": "new"}, {"name": "theirs"}),
                                (checkpoint, {"label": "new"}, {"label": "theirs"})):
        old = tag(agentd.api("GET", path))
        agentd.api("PATCH", path, other, {"If-Match": old}, expect=200)
        for method, body in (("PATCH", change), ("DELETE", None)):
            answer = agentd.api(method, path, body, {"If-Match": old}, expect=412)
            assert answer.json["code"] == "precondition_failed" and tag(answer) in answer.json["detail"]
            assert tag(answer) == tag(agentd.api("GET", path)) != old
        agentd.api("PATCH", path, change, {"If-Match": f'{old}, {tag(agentd.api("GET", path))}'}, expect=200)
        agentd.api("PATCH", path, change, {"If-Match": "*"}, expect=200)
        agentd.api("PATCH", path, change, {"If-Match": "W/" + tag(agentd.api("GET", path))}, expect=412)
    agentd.api("DELETE", checkpoint, None, {"If-Match": tag(agentd.api("GET", checkpoint))}, expect=200)
    agentd.api("DELETE", session, None, {"If-Match": tag(agentd.api("GET", session))}, expect=200)
    agentd.api("PATCH", session, {"name": "x"}, {"If-Match": "*"}, expect=404)


@pytest.mark.parametrize("which", [0, 3])
def test_of_those_who_change_the_same_at_once_one_wins(agentd, which):
    _, paths = make_all(agentd)
    path = paths[which]
    for turn in range(5):
        etag = tag(agentd.api("GET", path))
        field = "label" if which else "name"
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            statuses = list(pool.map(
                lambda n: agentd.api("PATCH", path, {field: f"{turn}-{n}"}, {"If-Match": etag}).status, range(6)))
        assert sorted(statuses) == [200] + [412] * 5
