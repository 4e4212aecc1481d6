#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A server that does what its paths say, good and bad, for test-fetch. Prints its port and that of its TLS twin, whose
certificate nobody knows, and ends when its standard input does."""
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def part(self, size, body):
        """The beginning of an answer that should be longer."""
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        what, _, argument = url.path[1:].partition("/")
        if what == "status":
            self.answer(int(argument), b"status", **{k: v for k, v in query.items() if k == "Retry-After"})
        elif what == "later":  # a date as Retry-After
            self.answer(503, b"", Retry_After=self.date_time_string(time.time() + int(argument)))
        elif what == "echo":
            self.answer(200, json.dumps({"method": self.command, "path": self.path, "headers": dict(self.headers),
                                         "body": body.decode("latin-1")}, sort_keys=True).encode())
        elif what == "port":  # of the other side: equal means the same connection
            self.answer(200, str(self.client_address[1]).encode())
        elif what == "size":
            self.answer(200, b"x" * int(argument))
        elif what == "redirect":
            self.answer(302, b"elsewhere", Location="/echo")
        elif what == "cut":
            self.part(1000, b"only this")
            self.hang_up()
        elif what == "hangup":
            self.hang_up()
        elif what == "garbage":
            self.wfile.write(b"220 this is a mail server\r\n\r\n")
            self.hang_up()
        elif what == "stall":
            if argument == "body":
                self.part(1000, b"a beginning")
            self.connection.recv(1)  # until the other side hangs up
            self.close_connection = True
        else:
            self.answer(404, b"no such path")

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *args):
        pass


def certificate(folder):
    path = os.path.join(folder, "both.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=localhost", "-days", "2", "-keyout", path, "-out", path + ".crt"],
                   check=True, stderr=subprocess.DEVNULL)
    with open(path + ".crt") as crt, open(path, "a") as both:
        both.write(crt.read())
    return path


def main():
    plain, secure = Server(("127.0.0.1", 0), Handler), Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(certificate(folder))
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    for server in plain, secure:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(plain.server_port, secure.server_port, flush=True)
    sys.stdin.read()


main()
