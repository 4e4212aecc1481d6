#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""check-routes.py SEEN-FILE BUILD: every route of the golden OpenAPI document was answered with success at
least once in the test run."""
import json
import pathlib
import sys

root = pathlib.Path(__file__).resolve().parents[1]
document = json.loads((root / "tests/golden/openapi.json").read_text())
seen = set()
for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
    method, path, status = line.rsplit(" ", 2)[0].split(" ")[0], line.split(" ")[1], line.rsplit(" ", 1)[1]
    if status.startswith("2"):
        seen.add((method, path))
missing = [
    f"{method.upper()} {path}"
    for path, methods in document["paths"].items()
    for method in methods
    if (method.upper(), path) not in seen
]
print("\n".join(f"no test used {m}" for m in missing))
sys.exit(1 if missing else 0)
