#!/usr/bin/env python3
"""What models cost through Jarvis, beside llama-server doing the same in the same run (where tools/peer finds it).

usage: bench_models.py JARVIS TINY_MODELS_DIR [SECTION...]

Sections: swap-tiny swap-large latency clients roles threads. Each prints medians and the spread (10th to 90th
percentile), and takes two minutes at most. Nothing here passes or fails.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from grow_gguf import grow

JARVIS, TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "peer")
CORES = len(os.sched_getaffinity(0))
BUDGET_S = 80  # of one section's measurements
REQUESTS = 4  # of a piece of work whose time is compared
TEXTS = ["the dog eats meat in the garden of the house by the river, and the cat looks on from the wall"] * 64


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def post(port, path, body, timeout=120):
    """(answer, seconds) of one request on a connection of its own."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    seconds = time.perf_counter() - start
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {content[:300]!r}")
    return json.loads(content), seconds


def chat(port, model, tokens):
    """(tokens written, seconds)"""
    body = {"model": model, "max_tokens": tokens, "temperature": 0, "messages": [{"role": "user", "content": "hola"}]}
    answer, seconds = post(port, "/v1/chat/completions", body)
    return answer["usage"]["completion_tokens"], seconds


def chats(port, model, requests):
    """Tokens of several short answers, one after the other: models of random weights end theirs early."""
    return sum(chat(port, model, 48)[0] for _ in range(requests))


def embed(port, model, rounds):
    start = time.perf_counter()
    for _ in range(rounds):
        post(port, "/v1/embeddings", {"model": model, "input": TEXTS})
    return time.perf_counter() - start


def tell(what, seconds):
    """One line: median and spread in milliseconds."""
    ms = sorted(value * 1000 for value in seconds)
    low, high = ms[len(ms) // 10], ms[min(len(ms) - 1, len(ms) * 9 // 10)]
    print(f"  {what:<44} {statistics.median(ms):9.1f} ms   ({low:.1f} - {high:.1f}, n = {len(ms)})", flush=True)
    return statistics.median(ms)


class Server:
    """A process that answers on a port."""

    def __init__(self, words, port, health, env=None):
        self.port = port
        self.process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", health)
                if connection.getresponse().status == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{words[0]} does not start")
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


@contextlib.contextmanager
def jarvis(models, **config):
    """The service with these models: {name: (path, role, more)}."""
    root, port = tempfile.mkdtemp(prefix="jvb-"), free_port()
    os.makedirs(os.path.join(root, "config"))
    entries = [{"name": name, "path": path, "role": role, **more} for name, (path, role, more) in models.items()]
    with open(os.path.join(root, "config/jarvis.json"), "w", encoding="utf-8") as file:
        json.dump({"server.listen": f"127.0.0.1:{port}", "models": entries, **config}, file)
    env = {key: value for key, value in os.environ.items() if not key.startswith("JARVIS_")}
    server = Server([JARVIS, "serve"], port, "/healthz", env | {"JARVIS_HOME": root})
    try:
        yield port
    finally:
        server.stop()
        shutil.rmtree(root)


@contextlib.contextmanager
def llama_server(*words):
    """llama-server from Debian's llama.cpp-tools; None where there is none."""
    if subprocess.run([PEER, "--path", "llama-server"], capture_output=True, check=False).returncode != 0:
        print("  (no llama-server here: tools/sysroot peer fetches it; skipped)")
        yield None
        return
    port = free_port()
    server = Server([PEER, "llama-server", "--host", "127.0.0.1", "--port", str(port), "-t", str(CORES), *words], port, "/health")
    try:
        yield port
    finally:
        server.stop()


def alternate(measure, names, rounds):
    """Times of one token, a model after the other, each cold since the other was in between."""
    measure(names[1])
    times, end = [], time.monotonic() + BUDGET_S / 2
    for i in range(rounds):
        times.append(measure(names[i % 2]))
        if time.monotonic() > end and len(times) >= 3:
            break
    return times


def memory_of(models, name):
    """Bytes that the model takes once it is loaded."""
    with jarvis(models) as port:
        chat(port, name, 1)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/v1/models/{name}")
        facts = json.loads(connection.getresponse().read())["jarvis"]
        connection.close()
    return max(facts["resident_bytes"], facts["predicted_bytes"])


def swap(folder, files, rounds):
    """Two models of which only one fits: each request needs the one that is not there."""
    names = [os.path.splitext(os.path.basename(path))[0] for path in files]
    more = {"context_length": 512, "slots": 1}
    models = {name: (path, "chat", more) for name, path in zip(names, files)}
    limit = memory_of(models, names[0]) * 8 // 5
    with jarvis(models, **{"memory.limit_mib": (limit >> 20) + 1}) as port:
        ours = tell("Jarvis", alternate(lambda name: chat(port, name, 1)[1], names, rounds))
    with llama_server("--models-dir", folder, "--models-max", "1", "-c", "512", "-np", "1") as port:
        if port:
            theirs = tell("llama-server, its router", alternate(lambda name: chat(port, name, 1)[1], names, rounds))
            print(f"  Jarvis takes {ours / theirs:.2f} of the router's time")


def section_swap_tiny(work):
    folder = os.path.join(work, "tiny")
    os.makedirs(folder)
    files = [os.path.join(folder, f"tiny-{letter}.gguf") for letter in "ab"]
    for path in files:
        shutil.copy(os.path.join(TINY, "tiny-chat.gguf"), path)
    swap(folder, files, 40)


def section_swap_large(work):
    folder = os.path.join(work, "large")
    os.makedirs(folder)
    files = [os.path.join(folder, f"large-{letter}.gguf") for letter in "ab"]
    grow(os.path.join(TINY, "tiny-chat.gguf"), files[0], width=2048, layers=9)
    os.link(files[0], files[1])
    print(f"  ({os.path.getsize(files[0]) >> 20} MiB each)")
    swap(folder, files, 8)


def middle_model(work):
    path = os.path.join(work, "middle.gguf")
    if not os.path.exists(path):
        grow(os.path.join(TINY, "tiny-chat.gguf"), path, width=1024, layers=8)
    return path


def section_latency(work):
    """A warm model, one token: what the service adds to libllama, beside what llama-server adds."""
    path = os.path.join(TINY, "tiny-chat.gguf")
    with jarvis({"m": (path, "chat", {"context_length": 512, "slots": 1})}) as ours:
        with llama_server("-m", path, "-c", "512", "-np", "1") as theirs:
            times = {ours: [], theirs: []}
            for _ in range(300):  # in turns, so that the machine's other work meets both
                for port in filter(None, times):
                    times[port].append(chat(port, "m", 1)[1])
            mine = tell("Jarvis", times[ours][20:])
            if theirs:
                other = tell("llama-server, direct", times[theirs][20:])
                print(f"  Jarvis adds {mine - other:+.2f} ms a request")


def together(port, model, clients, tokens):
    """Tokens a second of so many clients at once."""
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        written = sum(count for count, _ in pool.map(lambda _: chat(port, model, tokens), range(clients)))
    return written / (time.perf_counter() - start)


def section_clients(work):
    """One model, eight slots, more and more clients."""
    path = middle_model(work)
    with jarvis({"m": (path, "chat", {"context_length": 512, "slots": 8})}) as ours:
        with llama_server("-m", path, "-c", str(512 * 8), "-np", "8") as theirs:
            for clients in (1, 2, 4, 8):
                rates = {port: [] for port in (ours, theirs) if port}
                for _ in range(4):
                    for port, rate in rates.items():
                        rate.append(together(port, "m", clients, 32))
                line = [statistics.median(rate[1:]) for rate in rates.values()]
                peer = f"   llama-server {line[1]:7.1f}   ratio {line[0] / line[1]:.2f}" if theirs else ""
                print(f"  {clients} clients: tokens/s: Jarvis {line[0]:7.1f}{peer}", flush=True)


def ratio_at_once(what, first, second):
    """How much of what two pieces of work do one after the other they do at once."""
    ratios = []
    end = time.monotonic() + BUDGET_S
    while len(ratios) < 9 and (time.monotonic() < end or not ratios):
        start = time.perf_counter()
        first()
        second()
        alone = time.perf_counter() - start
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(first), pool.submit(second)]:
                done.result()
        ratios.append(alone / (time.perf_counter() - start))
    ratios.sort()
    print(f"  {what:<44} {100 * statistics.median(ratios):5.0f} %   ({100 * ratios[0]:.0f} - {100 * ratios[-1]:.0f}, n = {len(ratios)})")


def section_roles(work):
    """Writing while passages are embedded, against one after the other."""
    chatting = (middle_model(work), "chat", {"context_length": 512, "slots": 1})
    embedding = (os.path.join(TINY, "tiny-embed.gguf"), "embedding", {})
    with jarvis({"c": chatting, "e": embedding}) as port:
        chat(port, "c", 1)
        once = embed(port, "e", 2) / 2
        start = time.perf_counter()
        words = chats(port, "c", REQUESTS)
        rounds = max(1, round((time.perf_counter() - start) / once))
        ratio_at_once("chat and embeddings at once", lambda: chats(port, "c", REQUESTS), lambda: embed(port, "e", rounds))
        print(f"  ({words} tokens beside {rounds * len(TEXTS)} texts, {CORES} cores)")


def section_threads(work):
    """Two models that write at once share the cores: what they do against one after the other."""
    path = middle_model(work)
    other = os.path.join(work, "other.gguf")
    os.link(path, other)
    more = {"context_length": 512, "slots": 1}
    with jarvis({"a": (path, "chat", more), "b": (other, "chat", more)}) as port:
        chat(port, "a", 1)
        chat(port, "b", 1)
        ratio_at_once(f"two chat models on {CORES} cores", lambda: chats(port, "a", REQUESTS), lambda: chats(port, "b", REQUESTS))


SECTIONS = {
    "swap-tiny": ("cold swap to the first token, tiny model", section_swap_tiny),
    "swap-large": ("cold swap to the first token, about 500 MB", section_swap_large),
    "latency": ("one token of a warm tiny model", section_latency),
    "clients": ("tokens a second with several clients, 8 slots, about 100 MB", section_clients),
    "roles": ("two roles at once, of what they do one after the other", section_roles),
    "threads": ("two models at once, of what they do one after the other", section_threads),
}


def main():
    work = tempfile.mkdtemp(prefix="jvb-models-")
    try:
        for name in sys.argv[3:] or SECTIONS:
            title, section = SECTIONS[name]
            print(f"{name}: {title}", flush=True)
            section(work)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
