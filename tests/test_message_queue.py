# SPDX-License-Identifier: MIT
"""Large messages wait for a thread that prepares them, so many and no more. (Not under sanitizers: there the daemon
takes longer to read a message than its thread to prepare it, and nothing waits.)"""
import base64
import concurrent.futures
import os

from lib.agentd import wait_for


def test_large_messages_that_wait_for_a_thread(make_agentd):
    agentd = make_agentd(env={"AGENTD_MESSAGE_THREADS": "1", "AGENTD_MESSAGE_QUEUE": "1"})
    sessions = [agentd.create(f"s{i}")["session_id"] for i in range(12)]

    def append(s):
        body = {"role": "user", "content": base64.b64encode(os.urandom(3_000_000)).decode()}
        return agentd.request("POST", f"/sessions/{s}/messages", body)

    def round():
        with concurrent.futures.ThreadPoolExecutor(len(sessions)) as pool:
            return list(pool.map(append, sessions))
    # A slow client (this one, beside a sanitizer) may not be fast enough the first time.
    answers = wait_for(lambda: (a := round()) and {x.status for x in a} == {201, 503} and a, what="a full queue and its answers")
    assert all(a.json["code"] == "store_busy" for a in answers if a.status == 503)
    written = {s: agentd.session(s)["message_count"] for s in sessions}
    last = round()
    for s, a in zip(sessions, last):
        assert agentd.session(s)["message_count"] == written[s] + (a.status == 201), "refused and there, or the other way round"
