# SPDX-License-Identifier: MIT
"""The soak's load works, for some seconds; tests/soak.py says what the hour is about.

AGENTD_SOAK_SECONDS makes it longer: an hour in `script/test long`."""
import os
import pathlib
import subprocess
import sys

import pytest

SOAK = pathlib.Path(__file__).parent / "soak.py"


def soak(seconds, every, out, *more):
    options = [f"--seconds={seconds}", f"--every={every}", f"--out={out}", *more]
    done = subprocess.run([sys.executable, str(SOAK), *options], capture_output=True, text=True)
    print(done.stdout)
    return done


def test_a_mixed_load_is_answered_right_by_the_same_processes(tmp_path):
    done = soak(8, 0.5, tmp_path / "samples", "--only-answers")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "samples").read_text().splitlines()) >= 10


@pytest.mark.long
@pytest.mark.timeout(0)
def test_an_hour_of_mixed_load_leaves_memory_and_descriptors_as_they_were(tmp_path):
    seconds = os.environ.get("AGENTD_SOAK_SECONDS", "3600")
    done = soak(seconds, 10, tmp_path / "samples")
    assert done.returncode == 0, done.stdout + done.stderr
