"""What the tests of the command line share: cases that print TAP, a scripted service, the program on a terminal.

Standard library only. Every case gets a directory of its own as JARVIS_HOME; what it starts is ended with it. Nothing
sleeps: whoever waits, waits for an event until DEADLINE_S.
"""

import contextlib
import fcntl
import http.server
import json
import os
import pty
import re
import select
import shutil
import signal
import socketserver
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

DEADLINE_S = 60 * float(os.environ.get("JARVIS_TEST_SLOWNESS", "1"))
JARVIS = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else ""

# ------------------------------------------------------------------ cases

_cases = []


def case(function):
    """Marks a test: a function of one argument, its Home. It may return why it was skipped."""
    _cases.append(function)
    return function


def run_cases():
    """Runs all cases and prints TAP; the exit status is 1 when one failed."""
    only = sys.argv[2:]
    chosen = [function for function in _cases if not only or function.__name__ in only]
    print(f"1..{len(chosen)}")
    failed = 0
    for number, function in enumerate(chosen, 1):
        name = function.__name__.replace("_", " ")
        try:
            with Home() as home:
                skipped = function(home)
            print(f"ok {number} - {name}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
        except Exception:  # a case may fail in any way; the others still run
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(failed > 0)


class Result:
    """What a finished program left."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Home:
    """A directory for one case: JARVIS_HOME, and a place for documents."""

    def __enter__(self):
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="jv-"))
        self.home = os.path.join(self.root, "h")
        self.docs = os.path.join(self.root, "docs")
        os.makedirs(self.docs)
        self.closing = contextlib.ExitStack()
        return self

    def __exit__(self, *_):
        self.closing.close()
        if os.path.exists(self.socket):
            self.run("stop")
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def socket(self):
        return os.path.join(self.home, "run", "jarvis.sock")

    def environment(self, **more):
        # A name of the caller's settings must not decide what a test sees.
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "JARVIS_", "NO_COLOR", "COLUMNS"))}
        env.update(JARVIS_HOME=self.home, LANG="en_US.UTF-8", TERM="xterm-256color")
        env.update(more)
        return {k: v for k, v in env.items() if v is not None}

    def run(self, *words, stdin="", code=None, **env):
        """Runs jarvis to its end. `code`: the exit code it must have."""
        done = subprocess.run(
            [JARVIS, *words],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=DEADLINE_S,
            env=self.environment(**env),
            cwd=self.root,
            check=False,
        )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert code is None or result.code == code, f"exit code is not {code}: {words} {result!r}"
        return result

    def write(self, name, text):
        """Writes a document and returns its path."""
        path = os.path.join(self.docs, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        return path

    def terminal(self, *words, columns=80, **env):
        terminal = Terminal(self, words, columns, env)
        self.closing.callback(terminal.close)
        return terminal

    def fake(self):
        service = FakeService(self.socket)
        self.closing.callback(service.close)
        return service


# ------------------------------------------------------------------ a terminal

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")


class Terminal:
    """The program with a pseudo-terminal as standard input, output and error."""

    def __init__(self, home, words, columns, env):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [JARVIS, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=home.environment(**env),
            cwd=home.root,
            preexec_fn=own_terminal,
        )
        os.close(slave)
        self.raw = ""
        self.seen = 0  # what read_until() has passed

    @property
    def text(self):
        """All that was printed, without escapes."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def _read(self, until):
        left = until - time.monotonic()
        ready, _, _ = select.select([self.master], [], [], max(0, left))
        if not ready:
            raise AssertionError(f"nothing more came; so far: {self.raw!r}")
        try:
            piece = os.read(self.master, 65536)
        except OSError:  # EIO: the other side has closed
            piece = b""
        self.raw += piece.decode(errors="replace")
        return piece != b""

    def read_until(self, wanted):
        """Reads until `wanted` comes after what was waited for before."""
        until = time.monotonic() + DEADLINE_S
        while (at := self.text.find(wanted, self.seen)) < 0:
            if not self._read(until):
                raise AssertionError(f"it ended without {wanted!r}: {self.raw[:4000]!r}")
        self.seen = at + len(wanted)

    def send(self, text):
        os.write(self.master, text.encode())

    def wait(self):
        """Reads to the end; returns the exit code."""
        until = time.monotonic() + DEADLINE_S
        while self._read(until):
            pass
        return self.process.wait(timeout=DEADLINE_S)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)


# ------------------------------------------------------------------ a scripted service


class FakeService:
    """Answers on the socket with what the case scripted: service.routes["POST /path"] = function(exchange)."""

    def __init__(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.routes = {}
        self.requests = []  # (method and path, headers, body)
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def address_string(self):
                return "socket"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                key = f"{self.command} {self.path}"
                service.requests.append((key, self.headers, json.loads(body) if body else None))
                exchange = Exchange(self, body)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if key in service.routes:
                        service.routes[key](exchange)
                    else:
                        exchange.json({"error": {"message": f"no route {key}", "code": "not_found"}}, 404)

            do_GET = do_POST = do_DELETE = answer

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # clients of these tests leave early on purpose

        self.server = Server(path, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.path = path

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        os.unlink(self.path)


class Exchange:
    """One request and the ways to answer it."""

    def __init__(self, handler, body):
        self.handler, self.raw = handler, body
        self.body = json.loads(body) if body else None
        self.language = handler.headers.get("Accept-Language")

    def json(self, value, status=200, **headers):
        body = json.dumps(value).encode()
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", "application/json")
        for name, text in headers.items():
            self.handler.send_header(name.replace("_", "-"), text)
        self.handler.send_header("Content-Length", str(len(body)))
        self.handler.end_headers()
        self.handler.wfile.write(body)

    def begin_stream(self):
        self.handler.send_response(200)
        self.handler.send_header("Content-Type", "text/event-stream")
        self.handler.send_header("Connection", "close")
        self.handler.end_headers()
        self.handler.close_connection = True

    def send(self, text):
        self.handler.wfile.write(text.encode())
        self.handler.wfile.flush()

    def event(self, value, name=None):
        self.send((f"event: {name}\n" if name else "") + f"data: {json.dumps(value)}\n\n")

    def text(self, text):
        self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    def finish(self, **extra):
        extra = {"category": "OK", "notice": "", "sources": [], "timings_ms": {"total": 1.5}, **extra}
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "jarvis": extra})
        self.send("data: [DONE]\n\n")

    def wait_until_client_leaves(self):
        """Returns when the client has closed the connection."""
        self.handler.connection.settimeout(DEADLINE_S)
        assert self.handler.connection.recv(1) == b"", "the client sent something"
