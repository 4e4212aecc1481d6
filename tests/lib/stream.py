# SPDX-License-Identifier: MIT
"""Readers of answers that do not end: server-sent events and lines."""
import http.client
import json

from .agentd import UnixConnection

BROKEN = (OSError, http.client.HTTPException)


class Stream:
    def __init__(self, agentd, path, accept="text/event-stream", headers=None, timeout=60):
        self.connection = UnixConnection(agentd.socket, timeout)
        self.connection.request("GET", path, headers={"Accept": accept, **(headers or {})})
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.content_type = self.response.headers["Content-Type"]

    def close(self):
        self.response.close()
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def lines(self):
        """Whole lines, without their ends, as they come; ends with the answer."""
        while line := self.response.readline():
            if not line.endswith(b"\n"):
                raise http.client.IncompleteRead(line)
            yield line[:-1].decode()

    def events(self):
        """Dicts of id, event and data (parsed), as they come; what is cut off is no event."""
        fields = {}
        for line in self.lines():
            if line == "":
                if "data" in fields:
                    yield {**fields, "data": json.loads(fields["data"])}
                fields = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value

    def take(self, n):
        events = self.events()
        return [next(events) for _ in range(n)]


def follow(agentd, path, is_enough, last=None, got=None):
    """Reads events as a browser does: after each break it comes back with Last-Event-ID, until is_enough(event).
    Returns the events (got, which grows meanwhile) and how often it had to come back."""
    got, breaks = [] if got is None else got, 0
    while True:
        try:
            headers = {"Last-Event-ID": last} if last else {}
            with Stream(agentd, path, headers=headers) as stream:
                if stream.status != 200:
                    raise http.client.HTTPException(stream.status)
                for event in stream.events():
                    got.append(event)
                    last = event.get("id", last)
                    if is_enough(event):
                        return got, breaks
        except BROKEN:
            pass
        breaks += 1
        assert breaks < 1000, "the stream never stays"
