# SPDX-License-Identifier: MIT
import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib.agentd import Agentd  # noqa: E402


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One instance for all tests of a file that ask for it: for tests that leave nothing in each other's way."""
    instance = Agentd(tmp_path_factory.mktemp("shared")).start()
    yield instance
    instance.kill_everything()
    complaints = instance.complaints()
    assert not complaints, "the programs complained:\n" + complaints


@pytest.fixture
def make_agentd(tmp_path):
    """Makes instances in folders of their own and ends them all afterwards."""
    made = []

    def make(name="a", start=True, **options):
        instance = Agentd(tmp_path / name, **options)
        made.append(instance)
        return instance.start() if start else instance

    yield make
    for instance in made:
        instance.kill_everything()
    for instance in made:
        complaints = instance.complaints()
        assert not complaints, "the programs complained:\n" + complaints


@pytest.fixture
def agentd(make_agentd):
    return make_agentd()
