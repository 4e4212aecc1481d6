# SPDX-License-Identifier: MIT
"""The disk of a daemon under test: tests/preload/disk-trouble.c seen from outside.

Rules are changed while the daemon runs; a rule counts the calls it looks at and says which of them wait, are
slow, or fail. The first two rules are the databases' logs, which most tests are about; the rest is free.
"""
import mmap
import pathlib
import struct

import pytest

from lib import preload as libraries

OPEN, WRITE, SYNC, TRUNCATE, RENAME, UNLINK, MKDIR, LINK, SPLICE = (1 << i for i in range(9))
ANY = (1 << 9) - 1
RULES = 4
FOREVER = 2**63

_HEAD = struct.Struct("64sQQ")
_RULE = struct.Struct("128sIiIIQQQQQ")
_FIELDS = {name: struct.Struct(kind) for name, kind in (
    ("kinds", "I"), ("error", "i"), ("is_short", "I"), ("hold", "I"), ("delay_usec", "Q"), ("first", "Q"),
    ("last", "Q"), ("calls", "Q"), ("failures", "Q"))}
_OFFSETS = dict(zip(_FIELDS, (128, 132, 136, 140, 144, 152, 160, 168, 176)))


class Rule:
    def __init__(self, memory, offset):
        self._memory, self._offset = memory, offset

    def __getattr__(self, name):
        if name not in _FIELDS:
            raise AttributeError(name)
        return _FIELDS[name].unpack_from(self._memory, self._offset + _OFFSETS[name])[0]

    def put(self, **fields):
        for name, value in fields.items():
            _FIELDS[name].pack_into(self._memory, self._offset + _OFFSETS[name], value)

    def set(self, pattern, kinds, error=0, first=1, last=FOREVER, is_short=False, delay=0.0):
        """From here on; the count begins anew. error 0: only counts (and takes `delay` seconds longer)."""
        self.put(kinds=0)
        _RULE.pack_into(self._memory, self._offset, pattern.encode(), 0, error, is_short, 0, int(delay * 1e6), first,
                        last, 0, 0)
        self.put(kinds=kinds)
        return self

    def off(self):
        self.put(kinds=0, hold=0, error=0, delay_usec=0)


class Disk:
    """What the disk does to a daemon that was started with `env`."""

    def __init__(self, folder, library, programs=("agentd-daemon",), trace=False):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.env = {"LD_PRELOAD": str(library), "DISK_TROUBLE": str(self.folder)}
        head = _HEAD.pack(f" {' '.join(programs)} ".encode(), trace, 0)
        (self.folder / "control").write_bytes(head + bytes(_RULE.size * RULES))
        with open(self.folder / "control", "r+b") as f:
            self._memory = mmap.mmap(f.fileno(), 0)
        rules = [Rule(self._memory, _HEAD.size + i * _RULE.size) for i in range(RULES)]
        self.log_syncs = rules[0].set("*-wal", SYNC)
        self.log_writes = rules[1].set("*-wal", WRITE)
        self.rule, self.other = rules[2:]

    # ---- the databases' logs ----

    def hold(self):
        self.log_syncs.put(hold=1)

    def release(self):
        self.log_syncs.put(hold=0)

    def fail(self, what, error):
        rule = {"sync": self.log_syncs, "write": self.log_writes}[what]
        rule.put(first=1, last=FOREVER, error=error)

    def heal(self):
        self.log_syncs.put(error=0)
        self.log_writes.put(error=0)
        self.rule.off()
        self.other.off()

    @property
    def syncs(self):
        return self.log_syncs.calls

    # ---- the trace ----

    @property
    def records(self):
        return _HEAD.unpack_from(self._memory)[2]


# For the files whose daemons have such a disk: they import the fixtures that they use.

@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return libraries.build("disk-trouble", tmp_path_factory.mktemp("preload"))


@pytest.fixture
def disk(tmp_path, library):
    d = Disk(tmp_path / "disk", library)
    yield d
    d.heal()
