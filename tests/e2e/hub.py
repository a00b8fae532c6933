"""A hub of models on this machine: the part of Hugging Face's protocol that `jarvis pull` speaks, and every fault that
a test asks for.

    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults.append(cut(1000))        # of the next downloads, one each
"""

import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse


class Fault:
    """What happens to one download. `do(handler, file)` answers it, or returns False to go on as usual."""

    def __init__(self, do):
        self.do = do


def status(code, **headers):
    """Answers with a status instead of the file."""

    def do(handler, _file):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return Fault(do)


def cut(after):
    """Closes the connection after so many bytes of the body."""

    def do(handler, file):
        handler.limit = after
        return False

    return Fault(do)


def hang(after, until):
    """Says nothing more after so many bytes, until the event is set."""

    def do(handler, file):
        handler.limit, handler.hold = after, until
        return False

    return Fault(do)


def corrupt(at):
    """One byte is another."""

    def do(handler, file):
        handler.damage = at
        return False

    return Fault(do)


def ignore_range():
    """Sends the whole file whatever was asked for."""

    def do(handler, file):
        handler.whole = True
        return False

    return Fault(do)


def claim(**lies):
    """Sends other headers than it should: length, total."""

    def do(handler, file):
        handler.lies = lies
        return False

    return Fault(do)


class Repository:
    def __init__(self):
        self.files = {}  # path -> bytes
        self.listed = {}  # path -> what the list says instead: {"size", "oid", "lfs": False}
        self.token = None


class Hub:
    def __init__(self):
        self.repositories = {}
        self.faults = []  # of downloads, used up one each
        self.list_faults = []
        self.requests = []  # (path, headers)
        self.redirects = 1  # hops between the hub and its store
        self.redirect_to = None  # where a hop leads instead
        self.page = 1000  # files in a page of the list
        self.lock = threading.Lock()
        self.version = 0  # part of the tags
        self.linked = True  # the hub tells the SHA-256 on the way
        hub = self

        class Handler(HubHandler):
            pass

        Handler.hub = hub
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients that leave early are what the tests are about
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def add(self, name, path, data, **listed):
        repository = self.repositories.setdefault(name, Repository())
        repository.files[path] = data
        if listed:
            repository.listed[path] = listed

    def asked(self, part):
        """The requests whose path holds `part`."""
        with self.lock:
            return [(path, headers) for path, headers in self.requests if part in path]

    def take(self, faults):
        with self.lock:
            return faults.pop(0) if faults else None


class HubHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.limit = self.hold = self.damage = None
        self.whole, self.lies = False, {}
        with self.hub.lock:
            self.hub.requests.append((self.path, dict(self.headers)))
        parts = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"] and parts[4:6] == ["tree", "main"]:
            self.list("/".join(parts[2:4]))
        elif parts[2:4] == ["resolve", "main"]:
            self.resolve("/".join(parts[:2]), "/".join(parts[4:]))
        elif parts[0] == "store":
            self.send_file("/".join(parts[2:4]), "/".join(parts[4:]), hop=int(parts[1]))
        else:
            self.fail(404)

    def fail(self, code, **headers):
        status(code, **headers).do(self, None)

    def repository(self, name):
        found = self.hub.repositories.get(name)
        if not found:
            self.fail(404)
        elif found.token and self.headers.get("Authorization") != f"Bearer {found.token}":
            self.fail(403 if self.headers.get("Authorization") else 401)
            return None
        return found

    def list(self, name):
        fault = self.hub.take(self.hub.list_faults)
        if fault and fault.do(self, None):
            return
        repository = self.repository(name)
        if not repository:
            return
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        begin = int(query.get("cursor", ["0"])[0])
        entries = [{"type": "directory", "path": "folder", "oid": "0" * 40, "size": 0}]
        for path, data in repository.files.items():
            listed = {"size": len(data), "oid": hashlib.sha256(data).hexdigest(), **repository.listed.get(path, {})}
            entry = {"type": "file", "path": path, "size": listed["size"], "oid": "0" * 40}
            if listed.get("lfs", True):
                entry["lfs"] = {"oid": listed["oid"], "size": listed["size"], "pointerSize": 134}
            entries.append(entry)
        body = json.dumps(entries[begin : begin + self.hub.page]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if begin + self.hub.page < len(entries):
            after = f"{self.hub.url}/api/models/{name}/tree/main?recursive=true&cursor={begin + self.hub.page}"
            self.send_header("Link", f'<{after}>; rel="next"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def resolve(self, name, path):
        repository = self.repository(name)
        if not repository:
            return
        data = repository.files.get(path)
        if data is None:
            self.fail(404)
        elif self.hub.redirects:
            self.redirect(name, path, data, 1)
        else:
            self.send_file(name, path, 0)

    def redirect(self, name, path, data, hop):
        self.send_response(302)
        to = self.hub.redirect_to or f"{self.hub.url}/store/{hop}/{name}/{urllib.parse.quote(path)}"
        self.send_header("Location", to)
        if self.hub.linked:
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def range(self, data, tag):
        """(first byte, whether it is a part) of what is asked for."""
        wanted = self.headers.get("Range", "")
        same = self.headers.get("If-Range") in (None, tag)
        if self.whole or not wanted.startswith("bytes=") or not same:
            return 0, False
        return int(wanted[6:].rstrip("-")), True

    def send_file(self, name, path, hop):
        repository = self.hub.repositories.get(name)
        data = repository.files.get(path) if repository else None
        if data is None:
            self.fail(404)
            return
        if 0 < hop < self.hub.redirects:
            self.redirect(name, path, data, hop + 1)
            return
        fault = self.hub.take(self.hub.faults)
        if fault and fault.do(self, data):
            return
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}-{self.hub.version}"'
        first, part = self.range(data, tag)
        if part and first >= len(data):
            self.fail(416, Content_Range=f"bytes */{len(data)}")
            return
        self.send_body(data, first, part, tag)

    def send_body(self, data, first, part, tag):
        if self.damage is not None:
            data = data[: self.damage] + bytes([data[self.damage] ^ 1]) + data[self.damage + 1 :]
        body = data[first:]
        self.send_response(206 if part else 200)
        if part:
            total = self.lies.get("total", len(data))
            self.send_header("Content-Range", f"bytes {self.lies.get('first', first)}-{len(data) - 1}/{total}")
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(self.lies.get("length", len(body))))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body if self.limit is None else body[: self.limit])
            self.wfile.flush()
            if self.hold:
                self.hold.wait(60)
        if self.limit is not None or len(body) != self.lies.get("length", len(body)):
            self.close_connection = True
