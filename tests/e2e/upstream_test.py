#!/usr/bin/env python3
"""A real llama-server as an upstream: answers, streams, its end, and the model that stands in for it.

usage: upstream_test.py JARVIS MODELS PEER [CASE...]     MODELS: the directory that make_models wrote
PEER is tools/peer, which knows where llama-server is; without one the cases are skipped.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

MODELS = os.path.abspath(sys.argv.pop(2))
PEER = os.path.abspath(sys.argv.pop(2))

from cli_support import DEADLINE_S, case, run_cases  # noqa: E402 (it reads the arguments, too)

NO_PEER = "no llama-server here: tools/sysroot peer fetches it"


def peer_is_there():
    return os.access(PEER, os.X_OK) and subprocess.run(
        [PEER, "--path", "llama-server"], capture_output=True, check=False).returncode == 0


class LlamaServer:
    """llama-server with one tiny model, on a port of its own."""

    def __init__(self, model, *words):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.words = [PEER, "llama-server", "--host", "127.0.0.1", "--port", str(self.port), "-t", "1",
                      "-m", os.path.join(MODELS, f"tiny-{model}.gguf"), *words]
        self.process = None
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + DEADLINE_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            assert self.process.poll() is None and time.monotonic() < until, "llama-server does not start"
            time.sleep(0.05)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def configure(home, models, **settings):
    """Writes jarvis.json where the program looks for it."""
    path = home.run("config", "path", "--json", code=0).json()["config"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**settings, "models": models}, file)


def ask(home, body):
    connection = http.client.HTTPConnection("localhost", timeout=DEADLINE_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(DEADLINE_S)
    connection.sock.connect(home.socket)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse()


QUESTION = {"messages": [{"role": "user", "content": "Tell me something."}], "max_tokens": 8, "temperature": 0}


def models(far, **more):
    return [
        {"name": "far", "role": "chat", "upstream": {"urls": [far.url], "model": "tiny", **more}, "fallback": ["near"]},
        {"name": "near", "role": "chat", "path": os.path.join(MODELS, "tiny-chat.gguf")},
    ]


@case
def answers_come_from_there(home):
    if not peer_is_there():
        return NO_PEER
    with LlamaServer("chat", "-c", "512") as far:
        configure(home, models(far))
        home.run("models", code=0)  # starts the service
        whole = ask(home, {"model": "far", **QUESTION})
        answer = json.loads(whole.read())
        assert whole.status == 200 and whole.getheader("Jarvis-Degraded") is None, answer
        assert answer["jarvis"]["model"] == "far" and answer["jarvis"]["degraded"] is None, answer["jarvis"]
        assert 0 < answer["usage"]["completion_tokens"] <= 8 and answer["usage"]["prompt_tokens"] > 0, answer["usage"]
        streamed = ask(home, {"model": "far", "stream": True, **QUESTION}).read().decode()
        events = [json.loads(line[6:]) for line in streamed.splitlines()
                  if line.startswith("data: ") and line != "data: [DONE]"]
        text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])
        assert text == answer["choices"][0]["message"]["content"], (text, answer)
    return None


@case
def another_model_stands_in_when_it_ends(home):
    if not peer_is_there():
        return NO_PEER
    with LlamaServer("chat", "-c", "512") as far:
        configure(home, models(far), **{"errors.retries": 0, "errors.circuit_open_s": 1,
                                        "upstream.health_interval_s": 1})
        home.run("models", code=0)
        assert json.loads(ask(home, {"model": "far", **QUESTION}).read())["jarvis"]["model"] == "far"
        far.stop()
        for stream in (False, True):
            answer = ask(home, {"model": "far", "stream": stream, **QUESTION})
            body = answer.read().decode()
            assert answer.status == 200 and '"near"' in body, body
            assert answer.getheader("Jarvis-Degraded", "").endswith("model=near"), answer.getheaders()
        far.start()
        until = time.monotonic() + DEADLINE_S
        while json.loads(ask(home, {"model": "far", **QUESTION}).read())["jarvis"]["model"] != "far":
            assert time.monotonic() < until, "the server is there again and not used"
            time.sleep(0.05)
    return None


@case
def embeddings_are_those_of_the_file(home):
    if not peer_is_there():
        return NO_PEER
    with LlamaServer("embed", "--embedding", "--pooling", "mean", "-c", "512") as far:
        configure(home, [
            {"name": "far", "role": "embedding", "upstream": {"urls": [far.url], "model": "tiny"}},
            {"name": "near", "role": "embedding", "path": os.path.join(MODELS, "tiny-embed.gguf")},
        ])
        vectors = [home.run("embed", "--json", "--model", name, "some words", code=0).json() for name in ("far", "near")]
        rows = [vector["data"][0]["embedding"] for vector in vectors]
        assert len(rows[0]) == len(rows[1]) > 0
        cosine = sum(a * b for a, b in zip(*rows))
        assert cosine > 0.98, cosine
    return None


run_cases()
