# SPDX-License-Identifier: MIT
"""Random requests against a model of what they should do, with deaths of the daemon in between; and many clients at
once on one session. A failure prints its seed: AGENTD_TEST_SEED repeats it."""
import copy
import os
import random
import signal
import threading

import pytest

from lib.agentd import alive, wait_for

pytestmark = pytest.mark.sanitized
SEED = os.environ.get("AGENTD_TEST_SEED")
STEPS = int(os.environ.get("AGENTD_TEST_STEPS", "250"))


def kill_daemon(agentd):
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()


class Model:
    """One session as it should be. A point is what a checkpoint holds: texts, variables, prompt."""

    def __init__(self, name):
        self.name, self.status, self.archived = name, "created", False
        self.point = {"texts": [], "vars": {}, "prompt": name}
        self.checkpoints = {}  # id: point, oldest first


class Walk:
    # verb: (states in which it works, state after it, label of the checkpoint that it takes)
    VERBS = {
        "start": (("created", "stopped"), "running", None),
        "pause": (("running",), "paused", "pause-checkpoint"),
        "resume": (("paused", "stopped"), "running", None),
        "stop": (("created", "running", "paused", "stopped"), "stopped", "stop-checkpoint"),
        "archive": (("created", "stopped"), "stopped", None),
    }

    def __init__(self, agentd, seed):
        self.agentd, self.random, self.sessions, self.n = agentd, random.Random(seed), {}, 0
        self.create()

    def api(self, method, path, body=None, expect=200):
        return self.agentd.api(method, path, body, expect=expect).json

    def fresh(self):
        self.n += 1
        return f"t{self.n}"

    def pick(self):
        session = self.random.choice(list(self.sessions))
        return session, self.sessions[session]

    def note(self, session, point):
        """A checkpoint that the last request took, of that point."""
        newest = self.api("GET", f"/sessions/{session}/checkpoints")[-1]
        assert newest["checkpoint_id"] not in self.sessions[session].checkpoints, "no checkpoint was taken"
        self.sessions[session].checkpoints[newest["checkpoint_id"]] = copy.deepcopy(point)
        return newest

    def create(self):
        name = self.fresh()
        session = self.api("POST", "/sessions", {"name": name, "model": "m", "system_prompt": name}, 201)["session_id"]
        self.sessions[session] = Model(name)

    def append(self):
        session, m = self.pick()
        text = self.fresh()
        self.api("POST", f"/sessions/{session}/messages", {"role": "user", "content": text}, 201)
        m.point["texts"].append(text)

    def put(self):
        session, m = self.pick()
        name, value = f"v{self.random.randrange(5)}", self.fresh()
        self.api("PUT", f"/sessions/{session}/variables/{name}", f'"{value}"')
        m.point["vars"][name] = value

    def remove(self):
        session, m = self.pick()
        name = f"v{self.random.randrange(5)}"
        self.api("DELETE", f"/sessions/{session}/variables/{name}", expect=200 if name in m.point["vars"] else 404)
        m.point["vars"].pop(name, None)

    def patch(self):
        session, m = self.pick()
        m.point["prompt"] = self.fresh()
        self.api("PATCH", f"/sessions/{session}", {"system_prompt": m.point["prompt"]})

    def checkpoint(self):
        session, m = self.pick()
        self.api("POST", f"/sessions/{session}/checkpoints?label=x", expect=201)
        self.note(session, m.point)

    def verb(self):
        session, m = self.pick()
        word = self.random.choice(list(self.VERBS))
        states, after, label = self.VERBS[word]
        takes = label and m.status in states and not (word == "stop" and m.status == "stopped")
        self.api("POST", f"/sessions/{session}/{word}", expect=200 if m.status in states else 400)
        if m.status not in states:
            return
        if word == "archive" and not m.archived:
            m.checkpoints = dict(list(m.checkpoints.items())[-5:])
        m.archived = word == "archive" or (m.archived and word == "stop")
        m.status = after
        if takes:
            assert self.note(session, m.point)["label"] == label

    def go_back(self):
        session, m = self.pick()
        if not m.checkpoints:
            return
        cp = self.random.choice(list(m.checkpoints))
        word = self.random.choice(("restore", "resume"))
        works = m.status != ("running" if word == "restore" else "created")
        self.api("POST", f"/sessions/{session}/{word}", {"checkpoint_id": cp}, 200 if works else 400)
        if not works:
            return
        kinds = [c["kind"] for c in self.api("GET", f"/sessions/{session}/checkpoints")]
        assert kinds[-1] == "pre-restore"
        self.note(session, m.point)
        m.point = copy.deepcopy(m.checkpoints[cp])
        if word == "resume":
            m.status, m.archived = "running", False

    def fork(self):
        session, m = self.pick()
        cp = self.random.choice([None, *m.checkpoints])
        forked = self.api("POST", f"/sessions/{session}/fork", {"checkpoint_id": cp, "name": "f"}, 201)["session_id"]
        self.sessions[forked] = Model("f")
        self.sessions[forked].point = copy.deepcopy(m.checkpoints[cp] if cp else m.point)

    def delete(self):
        session, m = self.pick()
        if len(self.sessions) < 4:
            return
        self.api("DELETE", f"/sessions/{session}?force=1")
        del self.sessions[session]

    def check(self):
        listed = [s["session_id"] for s in self.api("GET", "/sessions")]
        assert listed == sorted(s for s, m in self.sessions.items() if not m.archived)
        for session, m in self.sessions.items():
            self.check_point(self.api("GET", f"/sessions/{session}?messages=all"), m.point)
            state = self.agentd.session(session)
            assert (state["status"], state["name"]) == (m.status, m.name)
            assert [c["checkpoint_id"] for c in self.api("GET", f"/sessions/{session}/checkpoints")] == list(m.checkpoints)
            for cp, point in m.checkpoints.items():
                self.check_point(self.api("GET", f"/sessions/{session}/checkpoints/{cp}/state"), point)

    @staticmethod
    def check_point(state, point):
        assert [m["content"] for m in state["messages"]] == point["texts"]
        assert (state["memory"], state["system_prompt"]) == (point["vars"], point["prompt"])
        assert state["message_count"] == len(point["texts"])

    def step(self):
        self.random.choice([self.create, self.fork, self.delete, self.patch, self.remove, self.checkpoint, self.go_back,
                            self.go_back, self.verb, self.verb, self.verb, self.put, self.put] + [self.append] * 5)()


@pytest.mark.parametrize("round_", range(3))
def test_random_requests_do_what_the_model_does(agentd, round_):
    seed = int(SEED) if SEED else random.randrange(1 << 32)
    print("AGENTD_TEST_SEED:", seed)
    walk = Walk(agentd, seed)
    for step in range(1, STEPS + 1):
        walk.step()
        if step % (STEPS // 5) == 0:
            walk.check()
            kill_daemon(agentd)
            walk.check()


def test_many_clients_on_one_session_leave_a_sound_tree(agentd):
    s = agentd.create("shared")["session_id"]
    acknowledged, unexpected = [], []

    def work(number):
        r = random.Random(number)
        for i in range(40):
            what = r.random()
            if what < 0.7:
                answer = agentd.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": f"{number}.{i}"})
                acknowledged.extend([f"{number}.{i}"] * (answer.status == 201))
            elif what < 0.8:
                answer = agentd.request("POST", f"/sessions/{s}/checkpoints")
            elif what < 0.9:
                answer = agentd.request("POST", f"/sessions/{s}/fork", {"name": "f"})
            else:
                points = agentd.request("GET", f"/sessions/{s}/checkpoints").json
                answer = agentd.request("POST", f"/sessions/{s}/restore", {"checkpoint_id": r.choice(points)["checkpoint_id"]}) \
                    if points else agentd.request("GET", f"/sessions/{s}")
            if answer.status not in (200, 201):
                unexpected.append(answer)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(120)
    assert not unexpected, unexpected[:3]
    kill_daemon(agentd)

    nodes, branches = {}, agentd.api("GET", f"/sessions/{s}/branches", expect=200).json
    for branch in branches:
        line = agentd.api("GET", f"/sessions/{s}/messages?branch={branch['branch_id']}", expect=200).json
        assert len(line) == branch["message_count"] and (line[-1]["id"] if line else None) == branch["head"]
        assert [m["parent"] for m in line] == [None] * bool(line) + [m["id"] for m in line[:-1]]
        nodes.update((m["id"], m["content"]) for m in line)
    assert sorted(nodes.values()) == sorted(acknowledged), "a message is missing, or was stored twice"
    assert sum(b["current"] for b in branches) == 1
    for f in agentd.api("GET", "/sessions?name=f&messages=all", expect=200).json:
        assert {m["id"] for m in f["messages"]} <= set(nodes) and len(f["messages"]) == f["message_count"]
