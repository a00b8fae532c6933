#!/usr/bin/env python3
"""The command line with the real service behind it: starting, reading, asking, ending.

usage: cli_live_test.py JARVIS [CASE...]
"""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess

from cli_support import DEADLINE_S, JARVIS, case, run_cases

LICENCE = """The Example Licence

Permission
----------

You may copy and distribute this work, provided that you keep this notice in all copies.

Warranty
--------

There is no warranty. The authors are not liable for any damage that the work may cause.
"""

RECETA = """# Tortilla de patatas

Pele las patatas y córtelas en láminas finas. Fríalas en aceite de oliva a fuego lento durante veinte minutos.

Bata seis huevos, mézclelos con las patatas y cuaje la tortilla por los dos lados.
"""


def ingest_two(home):
    licence = home.write("licence.txt", LICENCE)
    receta = home.write("receta.md", RECETA)
    home.run("ingest", "docs", code=0)
    return licence, receta


def status(home):
    return home.run("ps", "--json", code=0).json()


def processes_of(home):
    """Process ids whose environment has this home: the service and its workers."""
    wanted = f"JARVIS_HOME={home.home}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
            if wanted in file.read().split(b"\0"):
                found.append(int(name))
    return found


def wait_for_end(pid):
    """Waits until a process (no child of ours) has ended."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        ready, _, _ = select.select([fd], [], [], DEADLINE_S)
        os.close(fd)
        assert ready, f"process {pid} is still there"


@contextlib.contextmanager
def serving(home, *words, **env):
    """`jarvis serve` in the foreground; yields the process when it has told its socket."""
    process = subprocess.Popen([JARVIS, "serve", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=home.environment(**env))
    process.lines = []
    try:
        while not process.lines or not process.lines[-1].endswith("jarvis.sock"):
            line = process.stdout.readline().decode()
            assert line, process.stderr.read().decode()
            process.lines.append(line.rstrip("\n"))
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


# ------------------------------------------------------------------ starting and ending


@case
def a_command_starts_the_service_and_stop_leaves_nothing(home):
    assert home.run("ps", code=0).out == "No service is running.\n"
    ingest_two(home)
    pid = status(home)["pid"]
    assert pid in processes_of(home)
    assert home.run("stop", code=0).out == "The service has ended.\n"
    assert processes_of(home) == [], "stop waits until the service and its workers have gone"
    assert not os.path.exists(home.socket)
    assert home.run("stop", code=0).out == "No service is running.\n"


@case
def commands_at_once_start_one_service(home):
    running = [subprocess.Popen([JARVIS, "search", "--json", "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=home.environment()) for _ in range(6)]
    for process in running:
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0 and json.loads(out) == {"hits": [], "house_models": ["embedding"]}, (out, err)
    services = []
    for pid in processes_of(home):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"\0serve\0" in file.read():
                services.append(pid)
    assert services == [status(home)["pid"]], services


@case
def a_service_of_ones_own_opens_no_port(home):
    ingest_two(home)
    assert status(home)["address"] == "", status(home)
    mode = os.stat(home.socket).st_mode & 0o777
    assert mode & 0o077 == 0, oct(mode)


@case
def a_killed_service_is_replaced(home):
    ingest_two(home)
    pid = status(home)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    assert os.path.exists(home.socket), "the socket that it left is what this case is about"
    assert home.run("search", "--json", "warranty", code=0).json()["hits"]
    assert status(home)["pid"] != pid


@case
def serve_tells_where_it_is_and_ends_at_a_signal(home):
    with serving(home, "--listen", "127.0.0.1:0") as process:
        address = process.lines[1].strip()
        assert address.startswith("http://127.0.0.1:") and address.endswith("/v1"), process.lines
        host = address.split("/")[2]
        connection = http.client.HTTPConnection(host, timeout=DEADLINE_S)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0 and err == b"", (process.returncode, err)
    assert processes_of(home) == []


@case
def a_second_serve_is_refused(home):
    with serving(home, "--listen", "") as process:
        for words in (["serve"], ["serve", "--background"]):
            done = home.run(*words, code=2)
            assert f"process {process.pid}" in done.err and "jarvis stop" in done.err, done
        assert home.run("search", "x", code=0)


@case
def serve_tells_systemd(home):
    path = os.path.join(home.root, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(DEADLINE_S)
        with serving(home, "--listen", "", NOTIFY_SOCKET=path) as process:
            assert notify.recv(100) == b"READY=1"
            process.send_signal(signal.SIGINT)
            assert notify.recv(100) == b"STOPPING=1"
            assert process.wait(timeout=DEADLINE_S) == 0


@case
def a_second_signal_ends_at_once(home):
    path = os.path.join(home.root, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, \
         socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        notify.bind(path)
        notify.settimeout(DEADLINE_S)
        with serving(home, "--listen", "", NOTIFY_SOCKET=path) as process:
            assert notify.recv(100) == b"READY=1"
            client.connect(home.socket)  # a request that is never complete keeps the service from ending
            client.sendall(b"POST /v1/jarvis/search HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
            process.send_signal(signal.SIGTERM)
            assert notify.recv(100) == b"STOPPING=1"
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=DEADLINE_S) == -signal.SIGTERM
    for pid in processes_of(home):
        wait_for_end(pid)  # workers follow their service


@case
def a_port_that_is_taken_is_told_also_from_the_background(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        front = home.run("serve", "--listen", address, code=2)
        back = home.run("serve", "--background", "--listen", address, code=2)
        port = address.split(":")[1]
        assert port in front.err and front.err == back.err, (front, back)
        spanish = home.run("serve", "--background", "--listen", address, code=2, LANG="es_ES.UTF-8")
        assert spanish.err != back.err and port in spanish.err, spanish
    for pid in processes_of(home):  # told first, ended then
        wait_for_end(pid)


@case
def a_wrong_configuration_is_told_by_the_command_that_starts_the_service(home):
    home.run("config", "path", code=0)  # makes the directories
    with open(os.path.join(home.home, "config", "jarvis.json"), "w", encoding="utf-8") as file:
        file.write('{"retrieval": {"topk": 3}}')
    done = home.run("search", "x", code=4)
    assert "jarvis.json:1:" in done.err and "top_k" in done.err, done


@case
def an_idle_service_leaves(home):
    home.run("serve", "--background", "--listen", "", "--idle-exit", "1", code=0)
    for pid in processes_of(home):
        wait_for_end(pid)
    assert home.run("ps", code=0).out == "No service is running.\n"
    assert not os.path.exists(home.socket)


# ------------------------------------------------------------------ ingest


@case
def ingest_again_changes_nothing(home):
    ingest_two(home)
    again = home.run("ingest", "--json", "docs", code=0).json()
    counts = {key: again[key] for key in ("added", "changed", "unchanged", "removed", "failed")}
    assert counts == {"added": 0, "changed": 0, "unchanged": 2, "removed": 0, "failed": 0}, again
    assert again["passages"] == 0, again


@case
def ingest_follows_changes_and_removals(home):
    licence, receta = ingest_two(home)
    home.write("licence.txt", LICENCE + "\nThe licence is governed by the law of Andorra.\n")
    os.unlink(receta)
    home.write("new/third.txt", "A third document about windmills.\n")
    done = home.run("ingest", "--json", "docs", code=0).json()
    counts = {key: done[key] for key in ("added", "changed", "unchanged", "removed", "failed")}
    assert counts == {"added": 1, "changed": 1, "unchanged": 0, "removed": 1, "failed": 0}, done
    # By meaning any text is found by any question, if late: what counts is which is first, and which is gone.
    third = os.path.join(home.docs, "new/third.txt")
    for word, first in (("Andorra", licence), ("windmills", third)):
        assert home.run("search", "--json", word, code=0).json()["hits"][0]["path"] == first, word
    hits = home.run("search", "--json", "patatas", code=0).json()["hits"]
    assert receta not in [hit["path"] for hit in hits], hits


@case
def a_broken_file_is_reported_and_the_others_are_read(home):
    home.write("licence.txt", LICENCE)
    broken = home.write("noise.txt", bytes(range(256)) * 40)
    done = home.run("ingest", "docs", code=1)
    assert "1 added" in done.out and "1 failed" in done.out and "noise.txt: " in done.out, done
    done = home.run("ingest", "--json", "docs", code=1).json()
    assert [failure["path"] for failure in done["failures"]] == [broken], done
    assert done["failures"][0]["code"] == "document_unreadable" and done["failures"][0]["reason"], done
    assert home.run("search", "--json", "warranty", code=0).json()["hits"]


@case
def what_is_not_there_cannot_be_read(home):
    done = home.run("ingest", "nowhere", code=1)
    assert "1 failed" in done.out and "  nowhere: " in done.out, done
    done = home.run("ingest", "--json", "nowhere", code=1).json()
    assert [failure["code"] for failure in done["failures"]] == ["not_found"], done


@case
def stores_keep_documents_apart(home):
    home.write("a/licence.txt", LICENCE)
    home.write("b/receta.md", RECETA)
    home.run("ingest", "--store", "law", "docs/a", code=0)
    home.run("ingest", "--store", "kitchen", "docs/b", code=0)
    for store, name in (("law", "licence.txt"), ("kitchen", "receta.md")):
        hits = home.run("search", "--json", "--store", store, "patatas", code=0).json()["hits"]
        assert {os.path.basename(hit["path"]) for hit in hits} == {name}, hits
    both = home.run("search", "--json", "--store", "law", "--store", "kitchen", "patatas warranty", code=0).json()
    assert len({hit["path"] for hit in both["hits"]}) == 2, both
    assert "kitchn" in home.run("search", "--store", "kitchn", "x", code=3).err


# ------------------------------------------------------------------ asking


def check_source(source):
    """Its words stand where it says, in bytes and in lines."""
    with open(source["path"], "rb") as file:
        content = file.read()
    quoted = content[source["offset"] : source["offset"] + source["length"]]
    assert quoted.decode() == source["text"], source
    assert content[: source["offset"]].count(b"\n") + 1 == source["line_start"], source
    assert source["line_start"] + quoted.rstrip(b"\n").count(b"\n") == source["line_end"], source


@case
def ask_answers_with_sources_in_both_languages(home):
    licence, receta = ingest_two(home)
    for question, path, part, language in [
        ("Is there any warranty?", licence, "no warranty", "en_US.UTF-8"),
        ("¿Qué aceite se usa?", receta, "aceite de oliva", "es_ES.UTF-8"),
    ]:
        data = home.run("ask", "--json", question, code=0, LANG=language).json()
        assert sorted(data) == ["answer", "category", "house_models", "sources", "timings_ms"], data
        assert data["category"] == "DEGRADED", "there is no language model here"
        assert part in data["answer"], data
        assert data["sources"] and path in [source["path"] for source in data["sources"]], data
        for source in data["sources"]:
            keys = ["length", "line_end", "line_start", "offset", "path", "score", "text"]
            assert sorted(source) == keys, source
            check_source(source)
        assert all(isinstance(value, (int, float)) for value in data["timings_ms"].values()), data
    text = home.run("ask", "Is there any warranty?", code=0)
    assert "docs/licence.txt:" in text.out and "Sources:" in text.out, text
    assert "models add" in text.err, "the notice says how to get a model"


@case
def search_hits_are_bytes_of_the_file(home):
    ingest_two(home)
    hits = home.run("search", "--json", "--top-k", "3", "copy distribute warranty", code=0).json()["hits"]
    assert 0 < len(hits) <= 3
    for hit in hits:
        assert list(hit) == ["path", "offset", "length", "text", "score", "sparse", "dense"], hit
        with open(hit["path"], "rb") as file:
            file.seek(hit["offset"])
            assert file.read(hit["length"]).decode() == hit["text"], hit
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True), scores


@case
def chat_goes_on_when_the_service_has_left(home):
    ingest_two(home)
    home.run("stop", code=0)
    home.run("serve", "--background", "--listen", "", "--idle-exit", "1", code=0)
    services = processes_of(home)
    process = subprocess.Popen([JARVIS, "chat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=home.environment())
    for pid in services:
        wait_for_end(pid)
    out, err = process.communicate(b"Is there any warranty?\n", timeout=DEADLINE_S)
    assert process.returncode == 0 and b"no warranty" in out, (out, err)


# ------------------------------------------------------------------ doctor, models


@case
def doctor_finds_nothing_to_put_right_in_a_new_place(home):
    done = home.run("doctor", code=0)
    lines = [line for line in done.out.split("\n") if line[:4] in ("OK  ", "WARN", "FAIL")]
    assert len(lines) >= 12 and not any(line.startswith("FAIL") for line in lines), done
    checks = home.run("doctor", "--json", code=0).json()["checks"]
    assert {check["result"] for check in checks} <= {"OK", "WARN"}, checks
    sandbox = [check for check in checks if check["check"] == "sandbox"]
    assert len(sandbox) == 1, checks
    spanish = home.run("doctor", code=0, LANG="es_ES.UTF-8").out
    assert "aislamiento" in spanish and "Todo está bien." in spanish, spanish


@case
def doctor_tells_what_is_wrong(home):
    home.run("config", "path", code=0)
    with open(os.path.join(home.home, "config", "jarvis.json"), "w", encoding="utf-8") as file:
        file.write("{nonsense")
    done = home.run("doctor", code=1)
    failed = [line for line in done.out.split("\n") if line.startswith("FAIL")]
    assert any("jarvis.json" in line for line in failed), done
    assert "must be put right" in done.out, done
    assert home.run("doctor", "--json", code=1).json()["checks"]


@case
def a_file_that_is_no_model_is_refused(home):
    home.write("x.gguf", "this is not a GGUF file")
    done = home.run("models", "add", "docs/x.gguf", code=4)
    assert "x.gguf" in done.err, done
    listed = home.run("models", code=0).out
    assert "jarvis-embed" in listed and "x.gguf" not in listed, "nothing was added to what came with the program"
    assert home.run("embed", "x", code=0).out


def make_models(home):
    """The tiny models of tests/helper: {role: path}."""
    folder = os.path.join(home.root, "models")
    os.mkdir(folder)
    subprocess.run([os.environ["JARVIS_MAKE_MODELS"], folder], check=True, timeout=DEADLINE_S, capture_output=True)
    names = {"chat": "tiny-chat.gguf", "embedding": "tiny-embed.gguf", "rerank": "tiny-rerank.gguf"}
    return {role: os.path.join(folder, name) for role, name in names.items()}


@case
def models_are_added_used_and_removed(home):
    files = make_models(home)
    home.run("models", "add", files["chat"], "--name", "talker", code=0)
    home.run("models", "add", files["embedding"], code=0)
    assert home.run("models", "add", files["rerank"], code=0).out.endswith("(rerank).\n")
    ingest_two(home)
    vectors = home.run("embed", "--json", "one text", "another text", code=0).json()
    for row in vectors["data"]:
        assert abs(sum(value * value for value in row["embedding"]) - 1) < 1e-3, row
    assert vectors["data"][0]["embedding"] != vectors["data"][1]["embedding"], vectors
    data = home.run("ask", "--json", "Is there any warranty?", code=0).json()
    assert data["category"] == "OK", data
    for source in data["sources"]:
        check_source(source)
    states = {model["id"]: model["jarvis"] for model in status(home)["models"]}
    assert states["talker"]["state"] == "ready" and states["talker"]["uses"] >= 1, states
    assert "talker" in home.run("ps", code=0).out
    home.run("stop", code=0)
    assert processes_of(home) == [], "the workers have gone as well"
    home.run("models", "remove", "talker", code=0)
    assert "talker" not in home.run("models", code=0).out
    assert os.path.exists(files["chat"]), "remove leaves the file"


@case
def an_embedder_that_comes_later_gets_the_passages_that_are_there(home):
    ingest_two(home)
    home.run("models", "add", make_models(home)["embedding"], code=0)
    again = home.run("ingest", "--json", "docs", code=0).json()
    assert again["unchanged"] == 2 and again["passages"] == 0 and again["embedded"] > 0, again
    hits = home.run("search", "--json", "--alpha", "1", "warranty", code=0).json()["hits"]
    assert hits and any(hit["dense"] != 0 for hit in hits), hits


HOUSE_LINE = "using the built-in embedder"


@case
def built_in_models_are_told_once(home):
    ingest_two(home)
    for words in ["ingest", "docs"], ["search", "warranty"], ["ask", "What is required?"]:
        done = home.run(*words, code=0)
        assert done.err.count(HOUSE_LINE) == 1 and HOUSE_LINE not in done.out, done
        done = home.run(*words, "--json", code=0)
        assert HOUSE_LINE not in done.err and done.json()["house_models"] == ["embedding"], done
    done = home.run("search", "--alpha", "0", "warranty", code=0)  # words alone
    assert HOUSE_LINE not in done.err, done
    assert "se usa lo que trae el programa para embeddings" in home.run("search", "x", LANG="es_ES.UTF-8").err
    with open(os.path.join(home.home, "state", "jarvis.log")) as file:
        assert sum("that came with the program" in line for line in file) == 1


if __name__ == "__main__":
    run_cases()
