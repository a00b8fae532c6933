#!/usr/bin/env python3
"""What must not go wrong when something does: a killed worker, a killed service, hostile models, a full disk.

usage: faults_test.py JARVIS MODELS [CASE...]         MODELS: the directory that make_models wrote
"""

import contextlib
import http.client
import json
import os
import random
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time

MODELS = os.path.abspath(sys.argv.pop(2))

from cli_support import DEADLINE_S, JARVIS, case, run_cases  # noqa: E402 (it reads the arguments, too)

SEED = int(os.environ.get("JARVIS_TEST_SEED", "20261122"))
print(f"# seed {SEED} (set JARVIS_TEST_SEED to change it)")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the service's socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=DEADLINE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(self.path)


def request(home, method, path, body=None):
    connection = UnixConnection(home.socket)
    connection.request(method, path, json.dumps(body) if body is not None else None,
                       {"Content-Type": "application/json"})
    return connection.getresponse()


def add_models(home, *names):
    for name in names:
        home.run("models", "add", os.path.join(MODELS, f"tiny-{name}.gguf"), "--name", name, code=0)


def models(home):
    """What `jarvis ps` tells of each model, by name."""
    return {row["id"]: row["jarvis"] for row in home.run("ps", "--json", code=0).json()["models"]}


def worker_of(home, model):
    return models(home)[model]["pid"]


def service_pid(home):
    return home.run("ps", "--json", code=0).json()["pid"]


def kill(pid):
    """Kills a process that is no child of ours and waits until it has gone: its socket is answered until then."""
    fd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    gone, _, _ = select.select([fd], [], [], DEADLINE_S)
    os.close(fd)
    assert gone, f"process {pid} is still there"


# ------------------------------------------------------------------ a killed worker


def events(response):
    """The data of each server-sent event, as it comes."""
    for line in response:
        if line.startswith(b"data: "):
            yield line[6:].strip()


def stream(home, tokens):
    return request(home, "POST", "/v1/chat/completions",
                   {"model": "chat", "stream": True, "max_tokens": tokens, "temperature": 1, "seed": 3,
                    "messages": [{"role": "user", "content": "Tell me a long story."}]})


@case
def a_worker_killed_in_mid_answer_costs_one_answer(home):
    add_models(home, "chat")
    for _ in range(20):  # the tiny model may have finished before the signal comes: then once more
        response = stream(home, 440)
        assert response.status == 200, response.read()
        seen = []
        for data in events(response):
            seen.append(data)
            if len(seen) == 2:
                kill(worker_of(home, "chat"))
        if seen[-1] != b"[DONE]":
            break
    else:
        raise AssertionError("the model always finished before it was killed")
    error = json.loads(seen[-1])["error"]
    assert error["category"] == "TRANSIENT" and error["code"] == "worker_died", error
    again = request(home, "POST", "/v1/chat/completions",
                    {"model": "chat", "max_tokens": 4, "messages": [{"role": "user", "content": "And now?"}]})
    body = json.loads(again.read())
    assert again.status == 200 and body["usage"]["completion_tokens"] <= 4, body


@case
def a_worker_killed_while_idle_is_replaced_unseen(home):
    add_models(home, "embed")
    before = home.run("embed", "--json", "some words", code=0).json()
    kill(worker_of(home, "embed"))
    assert home.run("embed", "--json", "some words", code=0).json() == before


# ------------------------------------------------------------------ a killed service


DOCUMENTS = 400


def document(generation, number):
    """Several passages; the first and the last word occur in no other document of this generation."""
    middle = "\n\n".join(f"Paragraph {p} of generation {generation} says that water boils and rain falls. " * 5
                         for p in range(12))
    return f"opening{generation}x{number}\n\n{middle}\n\nclosing{generation}x{number}\n"


def stored(home):
    """Path → text of what the database holds. Fails when it is damaged or passages do not cover their document."""
    with contextlib.closing(sqlite3.connect(f"file:{home.home}/data/jarvis.db?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        texts = {}
        for number, path, passages in database.execute("SELECT number, path, passages FROM documents").fetchall():
            assert path not in texts, path
            pieces = database.execute("SELECT bytes FROM texts WHERE document = ? ORDER BY piece", (number,))
            text = b"".join(row[0] for row in pieces)
            chunks = database.execute("SELECT text_offset, text_length FROM chunks WHERE document = ?"
                                      " ORDER BY ordinal", (number,)).fetchall()
            assert len(chunks) == passages > 0, path
            assert chunks[0][0] == 0 and sum(chunks[-1]) == len(text.rstrip()), path
            texts[path] = text.decode()
        return texts


def hits_of(home, word):
    return home.run("search", "--json", "--top-k", "3", word, code=0).json()["hits"]


def kill_in_mid_ingest(home, at_file):
    """Begins to ingest all documents and kills the service when it has come to file number `at_file`."""
    home.run("models", code=0)  # starts the service when none runs
    pid = service_pid(home)
    response = request(home, "POST", "/v1/jarvis/ingest", {"paths": [home.docs]})
    for data in events(response):
        if json.loads(data).get("done", DOCUMENTS) >= at_file:
            break
    kill(pid)


@case
def a_service_killed_in_mid_ingest_keeps_whole_documents(home):
    chance = random.Random(SEED)
    before, in_between = {}, 0
    for generation in range(10):
        texts = {home.write(f"{i:03}.txt", document(generation, i)): document(generation, i)
                 for i in range(DOCUMENTS)}
        kill_in_mid_ingest(home, chance.randrange(DOCUMENTS * 3 // 4))
        now = stored(home)
        assert before.keys() <= now.keys(), "a document that was stored has gone"
        new = [path for path in now if now[path] == texts[path]]
        for path, text in now.items():
            assert text in (texts[path], before.get(path)), f"{path} is neither the old nor the new"
        in_between += 0 < len(new) < DOCUMENTS
        # What the index makes of it after the restart is the same.
        for path in chance.sample(sorted(now), min(3, len(now))):
            for word in (now[path].split()[0], now[path].split()[-1]):
                found = hits_of(home, word)
                assert found and found[0]["path"] == path, (word, found)
        before = now
    assert in_between >= 3, f"only {in_between} of 10 kills came in between"
    summary = home.run("ingest", "--json", "docs", code=0).json()
    assert summary["changed"] + summary["added"] + summary["unchanged"] == DOCUMENTS, summary
    assert summary["failed"] == 0 and stored(home) == texts


# ------------------------------------------------------------------ hostile models


@case
def hostile_models_cost_an_error_and_no_service(home):
    chance = random.Random(SEED)
    with open(os.path.join(MODELS, "tiny-chat.gguf"), "rb") as file:
        good = file.read()
    add_models(home, "chat")
    pid = service_pid(home)
    samples = [b"", b"GGUF", b"not a model at all", good[:-1], good[: len(good) // 2]]
    samples += [good[: chance.randrange(4, 4000)] for _ in range(8)]
    for _ in range(12):  # a few bytes of the header are wrong: counts, lengths, types
        broken = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            broken[chance.randrange(4, 3000)] = chance.randrange(256)
        samples.append(bytes(broken))
    refused = 0
    for number, sample in enumerate(samples):
        path = home.write(f"hostile{number}.gguf", sample)
        done = home.run("models", "add", path, "--name", f"h{number}", "--role", "chat")
        if done.code != 0:
            refused += 1
            assert done.err.strip(), done
            continue
        answer = request(home, "POST", "/v1/chat/completions",
                         {"model": f"h{number}", "max_tokens": 2, "messages": [{"role": "user", "content": "x"}]})
        body = json.loads(answer.read())
        assert answer.status == 200 or body["error"]["message"], body
    assert refused >= 5, refused
    assert service_pid(home) == pid, "the service was replaced"
    answer = request(home, "POST", "/v1/chat/completions",
                     {"model": "chat", "max_tokens": 2, "messages": [{"role": "user", "content": "x"}]})
    assert answer.status == 200, answer.read()


# ------------------------------------------------------------------ a full disk


@case
def a_full_disk_loses_nothing_that_was_stored(home):
    os.makedirs(home.home)
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", home.home], capture_output=True, check=False).returncode == 0
    if not mounted:
        return "mounting a small file system is not allowed here"
    try:
        home.write("first.txt", "The lighthouse keeper counts the ships.\n")
        home.run("ingest", "docs", code=0)
        pid = service_pid(home)
        chance = random.Random(SEED)
        for i in range(60):
            words = " ".join("".join(chance.choices("abcdefghij", k=8)) for _ in range(9000))
            home.write(f"big{i}.txt", words)
        done = home.run("ingest", "docs", code=7)
        assert "No space left" in done.err or "full" in done.err, done
        assert hits_of(home, "lighthouse")[0]["text"].startswith("The lighthouse keeper")
        assert service_pid(home) == pid
        for i in range(60):
            os.unlink(os.path.join(home.docs, f"big{i}.txt"))
        home.write("second.txt", "The baker sings before dawn.\n")
        subprocess.run(["mount", "-o", "remount,size=64m", home.home], check=True)
        home.run("ingest", "docs", code=0)
        assert hits_of(home, "baker")[0]["text"].startswith("The baker")
        assert sorted(map(os.path.basename, stored(home))) == ["first.txt", "second.txt"]
    finally:
        home.run("stop")
        subprocess.run(["umount", home.home], check=True)
    return None


# ------------------------------------------------------------------ clients that leave


@case
def a_client_that_leaves_stops_the_work(home):
    add_models(home, "chat")
    for _ in range(5):
        connection = stream(home, 440)
        next(events(connection))
        connection.close()
    # What they left behind does not hold up the next one.
    answer = request(home, "POST", "/v1/chat/completions",
                     {"model": "chat", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]})
    assert answer.status == 200, answer.read()
    until = time.monotonic() + DEADLINE_S
    while models(home)["chat"]["in_flight"] > 0:
        assert time.monotonic() < until, models(home)


run_cases()
