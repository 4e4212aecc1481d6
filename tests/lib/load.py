# SPDX-License-Identifier: MIT
"""Many requests in a short time: one thread, many keep-alive connections to the daemon's unix socket, each with
one request under way."""
import json
import re
import selectors
import socket

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


def request(method, path, body=None):
    """A request as bytes."""
    data = b"" if body is None else json.dumps(body).encode()
    return (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n").encode() + data


def open_socket(agentd, timeout=60):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect(str(agentd.socket))
    return s


def answer_end(data):
    """Where the answer in the buffer ends; None: it is not whole. Of chunked answers there may be only one."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = LENGTH.search(data, 0, head)
    if not length:
        return len(data) if data.endswith(b"\r\n0\r\n\r\n") else None
    end = head + 4 + int(length.group(1))
    return end if len(data) >= end else None


def send_all(agentd, requests, connections=64):
    """Sends them all and returns how many answers had which status: {201: 100}."""
    requests = iter(requests)
    selector = selectors.DefaultSelector()
    statuses = {}

    def next_request(s):
        data = next(requests, None)
        if data is None:
            selector.unregister(s)
            s.close()
        else:
            s.sendall(data)

    for _ in range(connections):
        s = open_socket(agentd)
        selector.register(s, selectors.EVENT_READ, bytearray())
        next_request(s)
    while selector.get_map():
        ready = selector.select(timeout=60)
        assert ready, "no answer for a minute"
        for key, _ in ready:
            piece = key.fileobj.recv(65536)
            assert piece, "the daemon hung up"
            key.data.extend(piece)
            end = answer_end(key.data)
            if end is None:
                continue
            status = int(key.data[9:12])
            statuses[status] = statuses.get(status, 0) + 1
            del key.data[:end]
            next_request(key.fileobj)
    selector.close()
    return statuses
