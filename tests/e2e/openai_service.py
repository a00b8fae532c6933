"""A real jarvis service with tiny models, and cases that print TAP: what the tests with OpenAI's client share.

usage of a test script: SCRIPT JARVIS MAKE_MODELS [CASE...]

One service for all cases of a script: they must not depend on each other's leftovers. Nothing sleeps: whoever waits,
waits for an event until DEADLINE_S.
"""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import openai

DEADLINE_S = 60 * float(os.environ.get("JARVIS_TEST_SLOWNESS", "1"))
JARVIS = os.path.abspath(sys.argv[1])
MAKE_MODELS = os.path.abspath(sys.argv[2])

CHAT, EMBED, RERANK, SPEECH = "tiny-chat", "tiny-embed", "tiny-rerank", "tiny-speech"
ROLES = {CHAT: "chat", EMBED: "embedding", RERANK: "rerank", SPEECH: "speech"}
ENDINGS = {SPEECH: "bin"}  # of the file; the others are GGUF

_cases = []


def case(function):
    """Marks a test: a function of one argument, the Service."""
    _cases.append(function)
    return function


def run_cases(service):
    """Runs all cases (or those named on the command line) and prints TAP; leaves with 1 when one failed."""
    only = sys.argv[3:]
    chosen = [function for function in _cases if not only or function.__name__ in only]
    print(f"1..{len(chosen)}")
    failed = 0
    for number, function in enumerate(chosen, 1):
        name = function.__name__.replace("_", " ")
        try:
            function(service)
            print(f"ok {number} - {name}", flush=True)
        except Exception:  # a case may fail in any way; the others still run
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    return 1 if failed else 0


@contextlib.contextmanager
def raises(kind, code=None):
    """The block must raise openai's exception `kind`; its error object must have that code."""
    try:
        yield
    except kind as error:
        assert code is None or error.code == code, f"code {error.code}, not {code}: {error}"
        return
    raise AssertionError(f"{kind.__name__} was not raised")


class Service:
    """`jarvis serve` on a free port, with the named tiny models, in a directory of its own."""

    def __init__(self, models):
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="jv-"))
        self.home = os.path.join(self.root, "h")
        self.models = models

    def __enter__(self):
        models = os.path.join(self.home, "models")
        config = os.path.join(self.home, "config")
        os.makedirs(models)
        os.makedirs(config)
        subprocess.run([MAKE_MODELS, models], check=True, stdout=subprocess.DEVNULL)
        entries = [{"name": name, "path": f"{name}.{ENDINGS.get(name, 'gguf')}", "role": ROLES[name]} for name in self.models]
        with open(os.path.join(config, "jarvis.json"), "w", encoding="utf-8") as file:
            json.dump({"models": entries}, file)
        self.start()
        try:
            self.base_url = self.wait_for_address()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.client = self.new_client()
        return self

    def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "JARVIS_", "PYTHON"))}
        environment.update(JARVIS_HOME=self.home, LANG="C.UTF-8")
        self.log = open(os.path.join(self.root, "serve.err"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [JARVIS, "serve", "--listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
        )

    def wait_for_address(self):
        """The service prints its address when it is ready."""
        until = time.monotonic() + DEADLINE_S
        printed = b""
        while time.monotonic() < until:
            ready, _, _ = select.select([self.process.stdout], [], [], until - time.monotonic())
            piece = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            printed += piece
            for line in printed.decode().splitlines(keepends=True):
                if line.strip().startswith("http://") and line.endswith("\n"):
                    return line.strip()
            if not piece:
                break
        self.log.seek(0)
        raise AssertionError(f"jarvis serve did not start: {self.log.read()}")

    def new_client(self, **options):
        return openai.OpenAI(base_url=self.base_url, api_key="none", timeout=DEADLINE_S, max_retries=0, **options)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.seek(0)
        complaints = self.log.read()
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)
        # A sanitizer's report ends the service with another status.
        assert self.process.returncode == 0, f"the service left with {self.process.returncode}:\n{complaints}"

    def write(self, name, content):
        """Writes a file and returns its path."""
        path = os.path.join(self.root, name)
        with open(path, "wb") as file:
            file.write(content)
        return path
