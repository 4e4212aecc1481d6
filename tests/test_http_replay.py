# SPDX-License-Identifier: MIT
"""Broken requests never get more than a broken request deserves; tests/http_replay.py says what is sent and looked at."""
import os
import random

import pytest

from http_replay import replay
from lib.agentd import BUILD

IS_SANITIZED = b"__asan_init" in (BUILD / "agentd-daemon").read_bytes()
GROWTH_KIB = 2048


def seed():
    chosen = int(os.environ.get("AGENTD_REPLAY_SEED", random.SystemRandom().randrange(1 << 30)))
    print(f"seed {chosen}")
    return chosen


@pytest.mark.sanitized
def test_broken_requests_are_answered_well(agentd):
    result = replay(agentd, 20 if IS_SANITIZED else 5, seed())
    assert result["cases"] >= 40 and result["statuses"].get(200, 0) > 0


@pytest.mark.long
@pytest.mark.timeout(0)
def test_ten_minutes_of_broken_requests_leave_memory_as_it_was(agentd):
    result = replay(agentd, float(os.environ.get("AGENTD_REPLAY_SECONDS", "600")), seed())
    half = result["private KiB"][len(result["private KiB"]) // 2:]
    if not IS_SANITIZED:  # whose allocator keeps what was freed
        # Readers of searches come and go with caches of 2 MiB each: what grows is above all that was before, and stays.
        third = len(half) // 3
        assert min(half[-third:]) - max(half[:third]) <= GROWTH_KIB, f"private memory: {half}"
