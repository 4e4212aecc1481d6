# SPDX-License-Identifier: MIT
"""Libraries in tests/preload that are loaded into the programs by LD_PRELOAD."""
import os
import pathlib
import subprocess

import pytest

from .agentd import BUILD

SOURCES = pathlib.Path(__file__).parents[1] / "preload"


def build(name, folder, source=None, *flags):
    """Compiles tests/preload/NAME.c (or source) and returns the library; skips under a sanitizer of addresses."""
    if b"__asan_init" in (BUILD / "agentd-daemon").read_bytes():
        pytest.skip("a sanitizer's library must be the first one")
    library = pathlib.Path(folder) / f"{name}.so"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *flags,
                    "-o", str(library), str(source or SOURCES / f"{name}.c")], check=True)
    return library
