# SPDX-License-Identifier: MIT
"""The other end of tests/failing/fail-calls.c: which call of which program fails, and what became of it."""
import collections
import mmap
import os
import struct
import subprocess

SLOTS = ("agentd", "agentd-daemon", "agentd-keeper", "agentd-exec")
N_SLOTS, SLOT_BYTES, N_FRAMES = 8, 480, 24
MEMORY, SYSTEM = 1, 2
ALL = 1 << 62

Failed = collections.namedtuple("Failed", "program number call error where module frames")


class Calls:
    """A file that the programs map; give `environment` to them."""

    def __init__(self, file):
        file.write_bytes(bytes(N_SLOTS * SLOT_BYTES))
        self.file = open(file, "r+b")
        self.map = mmap.mmap(self.file.fileno(), N_SLOTS * SLOT_BYTES)
        for i, name in enumerate(SLOTS):
            self.map[i * SLOT_BYTES:i * SLOT_BYTES + len(name)] = name.encode()

    @property
    def environment(self):
        return {"FAIL_CALLS": self.file.name}

    def _set(self, program, offset, value):
        at = SLOTS.index(program) * SLOT_BYTES + offset
        self.map[at:at + 8] = struct.pack("=Q", value)

    def _get(self, program, offset):
        return struct.unpack_from("=Q", self.map, SLOTS.index(program) * SLOT_BYTES + offset)[0]

    def arm(self, program, number=0, which=0, kinds=MEMORY | SYSTEM, n=1):
        """From now on calls are counted; number `number` and the n - 1 behind it fail (0: none)."""
        self.disarm()
        for offset, value in ((40, 0), (48, number or ALL), (56, n), (64, which), (72, kinds), (80, 0)):
            self._set(program, offset, value)
        self._set(program, 32, 1)

    def disarm(self):
        for program in SLOTS:
            self._set(program, 32, 0)

    def count(self, program):
        return self._get(program, 40)

    def failed(self, program):
        """What failed last, or None."""
        if self._get(program, 80) == 0:
            return None
        at = SLOTS.index(program) * SLOT_BYTES
        error = struct.unpack_from("=i", self.map, at + 92)[0]
        call = self.map[at + 96:at + 128].split(b"\0")[0].decode()
        frames = [f for f in struct.unpack_from(f"={N_FRAMES}Q", self.map, at + 128) if f]
        module = self.map[at + 320:at + 480].split(b"\0")[0].decode()
        return Failed(program, self._get(program, 48), call, os.strerror(error), names(module, frames[:6]), module, frames)


known = {}


def names(module, frames):
    """The functions that were under way, innermost first: "fs_read_file:41 < config_load:88"."""
    missing = [f for f in frames if (module, f) not in known]
    if missing and os.path.exists(module):
        # A return address is behind the call.
        out = subprocess.run(["addr2line", "-f", "-s", "-e", module, *(hex(f - 1) for f in missing)],
                             capture_output=True, text=True).stdout.splitlines()
        for frame, function, line in zip(missing, out[::2], out[1::2]):
            known[module, frame] = f"{function}:{line.rpartition(':')[2].split()[0]}"
    return " < ".join(known.get((module, f), hex(f)) for f in frames)
