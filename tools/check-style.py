#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""House rules that a compiler does not know: banned calls, size of files and functions, SPDX and head comments."""
import pathlib
import re
import sys

BANNED = {
    r"\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca|system|popen|localtime|gmtime|asctime|ctime)\s*\(":
        "unsafe or not thread-safe",
    r"\b(atoi|atol|atoll)\s*\(": "use str_to_u64() or str_to_i64()",
    r"\bpipe\s*\(": "use pipe2(O_CLOEXEC)",
    r"\baccept\s*\(": "use accept4(SOCK_CLOEXEC)",
    r"\b(TODO|FIXME|XXX|HACK)\b": "finish it or leave it out",
}
# Not in tests, which read what they have written themselves.
BANNED_IN_PROGRAMS = {
    r"\b(strtol|strtoul|strtoll|strtoull)\s*\(": "use str_to_u64() or str_to_i64()",
    r"\b(setenv|unsetenv|putenv|rand|random|ttyname|getpw(?:nam|uid|ent)|getgr(?:nam|gid|ent)|inet_ntoa|tmpnam)\s*\(": "not thread-safe",
}
FUNCTION_MAX = 100
PARAMETERS_MAX = 8
NESTING_MAX = 4
FILE_WARN, FILE_MAX = 500, 800

root = pathlib.Path(__file__).resolve().parents[1]
problems, warnings = [], []


def blank(match):
    """The text without its letters: as many lines."""
    return "\n" * match[0].count("\n")


def code_of(text):
    """Without comments, strings, characters and preprocessor lines, line by line."""
    def replace(match):
        return blank(match) if match[0].startswith("/") else match[0][0] * 2
    text = re.sub(r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", replace, text, flags=re.S)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.M)


def functions(code):
    """(line, name, parameters, body) of each definition; clang-format puts its end in the first column."""
    pattern = r"^(?!typedef|struct|union|enum)[A-Za-z_][^;{}=]*?\b(\w+)\s*(\([^;{}]*\))\s*\{(.*?)^\}"
    for match in re.finditer(pattern, code, re.M | re.S):
        yield code.count("\n", 0, match.start()) + 1, match[1], match[2], match[3]


def parameters(text):
    """How many, of a list in brackets; a function pointer's own do not count."""
    depth, n = 0, 1
    for c in text:
        depth += (c in "([") - (c in ")]")
        n += c == "," and depth == 1
    return n if re.search(r"\w", text) else 0


def nesting(body):
    """The deepest block. Braces that begin a value nest no statements: they follow '=', '(', ',', '{' or a cast."""
    depth = deepest = 0
    blocks = []
    before = ""
    for match in re.finditer(r"\S", body):
        c = match[0]
        if c == "{":
            is_block = before not in ("=", ",", "(", "[", "?", ":", "{") or (before == "{" and blocks[-1:] == [True])
            # "(type) {" and "(type[]) {" are values; "if (x) {" is a block. clang-format 14 writes the first without space.
            if before == ")" and body[match.start() - 1] == ")":
                is_block = False
            if body[match.start() - 1] == "(":
                is_block = True  # a statement expression
            blocks.append(is_block)
            depth += is_block
            deepest = max(deepest, depth)
        elif c == "}" and blocks:
            depth -= blocks.pop()
        before = c
    return deepest


def check_functions(file, code):
    for line, name, list_, body in functions(code):
        n = body.count("\n") + 1
        if n > FUNCTION_MAX:
            problems.append(f"{file}:{line}: {name}() has {n} lines (at most {FUNCTION_MAX})")
        n = parameters(list_)
        if n > PARAMETERS_MAX:
            problems.append(f"{file}:{line}: {name}() has {n} parameters (at most {PARAMETERS_MAX})")
        n = nesting(body)
        if n > NESTING_MAX:
            problems.append(f"{file}:{line}: {name}() is nested {n} deep (at most {NESTING_MAX})")


def check_size(file, lines):
    if len(lines) > FILE_MAX:
        problems.append(f"{file}: {len(lines)} lines (at most {FILE_MAX}): split it by topic")
    elif len(lines) > FILE_WARN:
        warnings.append(f"{file}: {len(lines)} lines: may be two files")


for file in sorted(root.glob("src/*/*.[ch]")):
    text = file.read_text()
    lines = text.splitlines()
    name = file.relative_to(root)
    if not lines or "SPDX-License-Identifier: MIT" not in lines[0]:
        problems.append(f"{name}:1: the first line must be the SPDX line")
    if file.suffix == ".c" and "/*" not in "\n".join(lines[1:6]):
        problems.append(f"{name}:2: no head comment that says why this design")
    code = code_of(text)
    banned = BANNED if file.name.startswith("test-") else BANNED | BANNED_IN_PROGRAMS
    for number, line in enumerate(code.splitlines(), 1):
        for pattern, why in banned.items():
            if re.search(pattern, line):
                problems.append(f"{name}:{number}: {line.strip()[:60]}: {why}")
        if re.search(r"\bsocket\s*\([^;]*\)", line) and "CLOEXEC" not in line and "=" in line:
            problems.append(f"{name}:{number}: socket() without SOCK_CLOEXEC")
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
            problems.append(f"{name}:{number}: unfinished")
    check_functions(name, code)
    check_size(name, lines)

if warnings:
    print("\n".join(warnings))
if problems:
    print("\n".join(problems))
sys.exit(1 if problems else 0)
