# SPDX-License-Identifier: MIT
"""A program on a terminal: a pty, and a model of the screen behind it that understands what our programs send.

The model is strict: a sequence that it does not know fails the test, so that nothing is sent to people's
terminals that no test has looked at. Wide characters take two cells, combining ones none."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

from .agentd import BUILD, READY_SECONDS

CSI = re.compile(rb"\x1b\[([?]?[0-9;:]*)([A-Za-z])")


class Screen:
    def __init__(self, rows, columns):
        self.alternate = False
        self.cursor_shown = self.wraps = True
        self.clears = 0
        self.resize(rows, columns)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.styles = [[""] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.style = ""
        self.pending = b""

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def __str__(self):
        return "\n".join(self.lines())

    def style_of(self, text):
        """The style of the first cell of this text, e.g. "7" (reverse) or "32" (green)."""
        for cells, styles in zip(self.cells, self.styles):
            at = "".join(c or "" for c in cells).find(text)
            if at >= 0:
                # Cells behind a wide character are empty: count them.
                seen = 0
                for i, c in enumerate(cells):
                    if seen >= at and c:
                        return styles[i]
                    seen += len(c)
        raise AssertionError(f"{text!r} is not on the screen:\n{self}")

    def feed(self, data):
        data = self.pending + data
        self.pending = b""
        i = 0
        while i < len(data):
            if data[i] == 0x1b:
                found = CSI.match(data, i)
                if not found:
                    if len(data) - i > 32:
                        raise AssertionError(f"an unknown sequence: {data[i:i + 32]!r}")
                    self.pending = data[i:]
                    return
                self.control(found[1].decode(), found[2].decode())
                i = found.end()
                continue
            length = 1 if data[i] < 0x80 else 2 if data[i] < 0xe0 else 3 if data[i] < 0xf0 else 4
            if i + length > len(data):
                self.pending = data[i:]
                return
            self.put(data[i:i + length].decode())
            i += length

    def put(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\n":
            self.row += 1
            if self.row >= self.rows:
                assert not self.alternate, "the full screen scrolls"
                self.cells = self.cells[1:] + [[" "] * self.columns]
                self.styles = self.styles[1:] + [[""] * self.columns]
                self.row = self.rows - 1
        elif c == "\a":
            pass
        else:
            assert c >= " " and not "\x7f" <= c < "\xa0", f"a control character: {c!r}"
            if unicodedata.combining(c):
                return
            width = 2 if unicodedata.east_asian_width(c) in "WF" else 1
            assert not self.alternate or self.column + width <= self.columns, f"line {self.row} is too wide:\n{self}"
            if self.column + width <= self.columns:
                self.cells[self.row][self.column] = c
                self.styles[self.row][self.column] = self.style
                if width == 2:
                    self.cells[self.row][self.column + 1] = ""
                    self.styles[self.row][self.column + 1] = self.style
            self.column += width

    def control(self, parameters, final):
        numbers = [int(n) if n else 0 for n in re.split("[;:]", parameters.lstrip("?"))]
        if final == "H":
            self.row = (numbers[0] or 1) - 1
            self.column = (numbers[1] if len(numbers) > 1 and numbers[1] else 1) - 1
            assert self.row < self.rows, "a line below the screen"
        elif final == "K" and numbers[0] == 0:
            for i in range(self.column, self.columns):
                self.cells[self.row][i], self.styles[self.row][i] = " ", ""
        elif final == "J" and numbers[0] in (0, 2):
            self.clears += numbers[0] == 2
            first = 0 if numbers[0] == 2 else self.row
            for row in range(first, self.rows):
                self.cells[row], self.styles[row] = [" "] * self.columns, [""] * self.columns
        elif final == "m":
            self.style = "" if parameters in ("", "0") else parameters
        elif parameters.startswith("?") and final in "hl":
            on = final == "h"
            if numbers == [1049]:
                self.alternate = on
            elif numbers == [25]:
                self.cursor_shown = on
            elif numbers == [7]:
                self.wraps = on
            else:
                raise AssertionError(f"an unknown mode: {parameters}")
        else:
            raise AssertionError(f"an unknown sequence: CSI {parameters} {final}")


class Terminal:
    """`agentd ARGS` of an instance, with the terminal as its stdin, stdout and stderr."""

    def __init__(self, agentd, *args, rows=24, columns=80, env=None):
        self.master, self.slave = pty.openpty()
        self.screen = Screen(rows, columns)
        self.raw = b""
        self.frames = 0
        self._size(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        environment = {**agentd.env, "TERM": "xterm-256color", **(env or {})}
        self.process = subprocess.Popen([str(BUILD / "agentd"), *map(str, args)], env=environment, stdin=self.slave,
                                        stdout=self.slave, stderr=self.slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def _size(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.read(0)
        self.screen.resize(rows, columns)
        self._size(rows, columns)

    def read(self, timeout):
        """Takes what comes within this time; False: nothing."""
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        data = os.read(self.master, 1 << 20)
        self.raw += data
        self.frames += 1
        self.screen.feed(data)
        return True

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self, claim, what="what is expected on the screen", seconds=READY_SECONDS):
        """Until claim(screen) is true."""
        end = time.monotonic() + seconds
        while not claim(self.screen):
            self.read(0.1)
            assert time.monotonic() < end, f"{what} did not come:\n{self.screen}"
        return self.screen

    def wait_text(self, *texts, **options):
        return self.wait(lambda s: all(t in str(s) for t in texts), f"{texts}", **options)

    def wait_end(self, seconds=READY_SECONDS):
        """Reads on until the program ends; its exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            self.read(0.02)
            assert time.monotonic() < end, f"it does not end:\n{self.screen}"
        while self.read(0):
            pass
        return self.process.returncode

    def is_restored(self):
        return (termios.tcgetattr(self.slave) == self.before and not self.screen.alternate and
                self.screen.cursor_shown and self.screen.wraps)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
