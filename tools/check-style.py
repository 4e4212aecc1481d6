#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""House rules that a compiler does not know: banned calls, function length, SPDX and head comments."""
import pathlib
import re
import sys

BANNED = {
    r"\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca|system|popen|localtime|gmtime|asctime|ctime)\s*\(":
        "unsafe or not thread-safe",
    r"\b(atoi|atol|atoll|strtol|strtoul)\s*\(": "use str_to_u64() or str_to_i64()",
    r"\bpipe\s*\(": "use pipe2(O_CLOEXEC)",
    r"\baccept\s*\(": "use accept4(SOCK_CLOEXEC)",
    r"\b(TODO|FIXME|XXX|HACK)\b": "finish it or leave it out",
}
FUNCTION_MAX = 100

root = pathlib.Path(__file__).resolve().parents[1]
problems = []


def check_functions(file, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if re.match(r"^[A-Za-z_].*\)\s*\{\s*$", line) or (start is None and line == "{"):
            start = number
        elif line.startswith("}") and start:
            if number - start > FUNCTION_MAX:
                problems.append(f"{file}:{start}: function of {number - start} lines (at most {FUNCTION_MAX})")
            start = None


for file in sorted(root.glob("src/*/*.[ch]")):
    text = file.read_text()
    lines = text.splitlines()
    name = file.relative_to(root)
    if not lines or "SPDX-License-Identifier: MIT" not in lines[0]:
        problems.append(f"{name}:1: the first line must be the SPDX line")
    if file.suffix == ".c" and "/*" not in "\n".join(lines[1:6]):
        problems.append(f"{name}:2: no head comment that says why this design")
    code = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    code = re.sub(r'"(\\.|[^"\\\n])*"', '""', code)
    for number, line in enumerate(code.splitlines(), 1):
        for pattern, why in BANNED.items():
            if re.search(pattern, line):
                problems.append(f"{name}:{number}: {line.strip()[:60]}: {why}")
        if re.search(r"\bsocket\s*\([^;]*\)", line) and "CLOEXEC" not in line and "=" in line:
            problems.append(f"{name}:{number}: socket() without SOCK_CLOEXEC")
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            problems.append(f"{name}:{number}: unfinished")
    check_functions(name, lines)

print("\n".join(problems))
sys.exit(1 if problems else 0)
