#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a text file as one C string literal, for #include in an initializer.

usage: embed-text.py INPUT OUTPUT

The text stays a file of its own that editors and other programs understand, and the program needs no
file at run time. Objcopy and .incbin were no option: neither is checked by the compiler.
"""
import sys

ESCAPES = {'\\': '\\\\', '"': '\\"', '\n': '\\n', '\t': '\\t'}


def literal(line):
    text = ''.join(ESCAPES.get(c, c) for c in line)
    # A ? may begin a trigraph and a control character cannot be written as it is.
    text = text.replace('??', '?\\?')
    return '"' + ''.join(c if c.isprintable() else f'\\{ord(c):03o}' for c in text) + '"'


def main():
    with open(sys.argv[1], encoding='utf-8') as f:
        lines = f.read().splitlines(keepends=True)
    with open(sys.argv[2], 'w', encoding='utf-8') as f:
        f.write('\n'.join(literal(line) for line in lines) or '""')
        f.write('\n')


if __name__ == '__main__':
    main()
