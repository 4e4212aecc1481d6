#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A room may include only itself and the rooms named for it here (ARCHITECTURE.md says why)."""
import pathlib
import re
import sys

ALLOWED = {
    "base": [],
    "contract": ["base"],
    "store": ["base"],
    "net": ["base"],
    "keeper": ["base", "exec/job.h"],
    "exec": ["base"],
    "sup": ["base", "contract/unit-keys.h", "keeper/protocol.h", "keeper/message.h", "exec/job.h"],
    "session": ["base", "store"],
    "memory": ["base", "store", "net/fetch.h"],
    "backup": ["base", "store"],
    "fsck": ["base", "store", "session/workspace-check.h", "keeper/protocol.h"],
    "import": ["base", "store", "session/session.h", "session/past.h"],
    "api": ["base", "contract", "net", "session/session.h", "memory/memory.h", "memory/search.h", "sup/sup.h", "sup/logs.h"],
    "daemon": ["*"],
    "cli": ["base", "contract", "net", "keeper/protocol.h", "keeper/message.h"],
}

# What a room's unit tests may include beside that: a real store behind the room that they test.
TESTS = {"api": ["store/schema-state.h"]}

root = pathlib.Path(__file__).resolve().parents[1] / "src"
bad = 0
for file in sorted(root.glob("*/*.[ch]")) + sorted(root.glob("*/*.def")):
    room = file.parent.name
    if room not in ALLOWED:
        print(f"{file.relative_to(root.parent)}: no row for the room '{room}' in tools/check-layers.py")
        bad += 1
        continue
    for number, line in enumerate(file.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match or "/" not in match[1]:
            continue
        target = match[1]
        other = target.split("/")[0]
        is_test = file.name.startswith("test-") and target in TESTS.get(room, [])
        if is_test or other == room or "*" in ALLOWED[room] or other in ALLOWED[room] or target in ALLOWED[room]:
            # What is private to a room is named …-internal.h and stays there.
            if is_test or other == room or not target.endswith("-internal.h"):
                continue
        print(f"{file.relative_to(root.parent)}:{number}: {room} may not include {target}")
        bad += 1
sys.exit(1 if bad else 0)
