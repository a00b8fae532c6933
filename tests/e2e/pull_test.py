#!/usr/bin/env python3
"""Models pulled from a hub on this machine (hub.py): whatever happens on the way, a whole file appears, or none.

Most cases use pull_try, which pulls as the service does but with pauses of a millisecond; the last ones use the service.

usage: pull_test.py JARVIS [CASE...]
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import threading

import hub as faults
from cli_support import DEADLINE_S, case, run_cases
from hub import Hub

PULL_TRY = os.environ["JARVIS_PULL_TRY"]
TINY = os.environ["JARVIS_TINY_MODELS"]
SEED = int(os.environ.get("JARVIS_TEST_SEED", "20261122"))
print(f"# seed {SEED} (set JARVIS_TEST_SEED to change it)")


def model(size=300_000, seed=0):
    """Bytes that begin as a GGUF file does."""
    return b"GGUF" + random.Random(SEED + seed).randbytes(size - 4)


def tiny(name):
    with open(os.path.join(TINY, name), "rb") as file:
        return file.read()


def start(home, hub, source, **options):
    words = [f"{key}={value}" for key, value in options.items()]
    return subprocess.Popen(
        [PULL_TRY, os.path.join(home.root, "models"), hub.url if hub else "http://127.0.0.1:9", source, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=DEADLINE_S)
    result = json.loads(out)
    result["phases"] = [line.split()[0] for line in err.splitlines()]
    return result


def pull(home, hub, source, **options):
    return finish(start(home, hub, source, **options))


def files_of(home):
    """Paths below the models directory."""
    root = os.path.join(home.root, "models")
    return sorted(os.path.relpath(os.path.join(at, name), root) for at, _, names in os.walk(root) for name in names)


def expect(result, **wanted):
    for key, value in wanted.items():
        assert result.get(key) == value, f"{key} is not {value!r}: {result}"


def expect_file(result, data):
    with open(result["path"], "rb") as file:
        assert file.read() == data, f"{result['path']} is not what the hub has"


def refused(home, result, code, left=()):
    expect(result, error=code)
    assert files_of(home) == sorted(left), files_of(home)


# ------------------------------------------------------------------ the usual


@case
def a_model_is_fetched_checked_and_named(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.add("owner/repo", "README.md", b"hello")
        result = pull(home, hub, "hf:owner/repo")
        expect(result, files=1, bytes=len(data), fetched=len(data), quant="Q8_0", verified=True)
        expect_file(result, data)
        assert files_of(home) == ["owner/repo/tiny-Q8_0.gguf"]
        assert "look" in result["phases"] and "download" in result["phases"]


@case
def what_is_there_is_not_fetched_again(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        pull(home, hub, "hf:owner/repo")
        again = pull(home, hub, "hf:owner/repo")
        expect(again, fetched=0, bytes=len(data), verified=True)
        assert len(hub.asked("/store/")) == 1


@case
def a_changed_model_is_fetched_anew(home):
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", model(seed=1))
        pull(home, hub, "hf:owner/repo")
        data = model(seed=2)
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        result = pull(home, hub, "hf:owner/repo")
        expect(result, fetched=len(data))
        expect_file(result, data)


@case
def a_long_list_comes_in_pages(home):
    data = model(2000)
    with Hub() as hub:
        hub.page = 7
        for i in range(30):
            hub.add("owner/repo", f"notes-{i}.txt", b"x")
        hub.add("owner/repo", "last-Q4_K_M.gguf", data)
        expect_file(pull(home, hub, "hf:owner/repo"), data)
        assert len(hub.asked("/api/")) == 5


@case
def the_quantisation_can_be_chosen(home):
    with Hub() as hub:
        for quant in ("Q2_K", "Q4_K_M", "Q8_0", "F16"):
            hub.add("owner/repo", f"m-{quant}.gguf", model(5000, seed=len(quant)))
        hub.add("owner/repo", "mmproj-m-F16.gguf", model(100))
        expect(pull(home, hub, "hf:owner/repo"), quant="Q4_K_M")
        expect(pull(home, hub, "hf:owner/repo:q8_0"), quant="Q8_0")
        expect(pull(home, hub, "hf:owner/repo/m-F16.gguf"), quant="F16")
        missing = pull(home, hub, "hf:owner/repo:Q5_K_M")
        expect(missing, error="not_found")
        assert "Q2_K, Q4_K_M, Q8_0, F16" in missing["message"], missing


@case
def a_quantisation_is_chosen_that_fits_the_memory(home):
    gib = 1 << 30
    with Hub() as hub:
        for quant, size in (("Q4_K_M", 8 * gib), ("Q3_K_M", 6 * gib), ("Q2_K", 4 * gib)):
            hub.add("owner/repo", f"m-{quant}.gguf", model(3000), size=size)
        # The sizes in the list decide; what comes is shorter, and is refused for it.
        for memory, quant in ((10, "Q4_K_M"), (8, "Q3_K_M"), (5, "Q2_K")):
            result = pull(home, hub, "hf:owner/repo", memory=memory * gib)
            expect(result, error="protocol")
            assert f"m-{quant}.gguf" in result["message"], result
        refused(home, pull(home, hub, "hf:owner/repo", memory=2 * gib), "model_too_large")


@case
def all_parts_of_a_split_model_come(home):
    with Hub() as hub:
        parts = {f"q4/m-Q4_K_M-0000{i}-of-00003.gguf": model(9000, seed=i) for i in (1, 2, 3)}
        for path, data in parts.items():
            hub.add("owner/repo", path, data)
        hub.add("owner/repo", "m-Q8_0-00001-of-00002.gguf", model(100))  # half of it is missing
        hub.faults = [faults.cut(5000)]
        result = pull(home, hub, "hf:owner/repo")
        expect(result, files=3, bytes=27000, quant="Q4_K_M", verified=True)
        assert result["path"].endswith("q4/m-Q4_K_M-00001-of-00003.gguf")
        for path, data in parts.items():
            with open(os.path.join(home.root, "models/owner/repo", path), "rb") as file:
                assert file.read() == data


@case
def an_address_and_a_path_are_sources_too(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        address = f"{hub.url}/store/1/owner/repo/tiny-Q8_0.gguf?download=true"
        result = pull(home, hub, address)
        expect(result, verified=False, quant="Q8_0")
        expect_file(result, data)
        right = hashlib.sha256(data).hexdigest()
        expect(pull(home, hub, address, sha256=right), verified=True, fetched=0)
        wrong = pull(home, hub, f"{hub.url}/store/1/owner/repo/tiny-Q8_0.gguf?x=2", sha256="0" * 64)
        expect(wrong, error="protocol")
        hinted = pull(home, hub, f"{hub.url}/owner/repo/resolve/main/tiny-Q8_0.gguf")
        expect(hinted, bytes=len(data))
    path = home.write("stick/mine-Q6_K.gguf", data)
    result = pull(home, None, f"file:{path}")
    expect(result, bytes=len(data), quant="Q6_K")
    expect_file(result, data)
    expect(pull(home, None, f"file:{path}x"), error="not_found")


# ------------------------------------------------------------------ interruptions


@case
def a_cut_download_goes_on_where_it_ended(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.cut(100_000), faults.cut(1), faults.cut(50_000)]
        result = pull(home, hub, "hf:owner/repo")
        expect(result, fetched=len(data))
        expect_file(result, data)
        ranges = [headers.get("Range") for _, headers in hub.asked("/store/")]
        assert ranges == [None, "bytes=100000-", "bytes=100001-", "bytes=150001-"], ranges


@case
def a_killed_pull_is_gone_on_with_by_the_next(home):
    data = model()
    release = threading.Event()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.hang(120_000, release)]
        process = start(home, hub, "hf:owner/repo")
        for line in process.stderr:
            if line.startswith("download") and not line.split()[2].startswith("0/"):
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
        release.set()
        names = files_of(home)
        assert names == ["owner/repo/tiny-Q8_0.gguf.part", "owner/repo/tiny-Q8_0.gguf.part.json"], names
        there = os.path.getsize(os.path.join(home.root, "models", names[0]))
        assert 0 < there <= 120_000, there
        result = pull(home, hub, "hf:owner/repo")
        expect(result, fetched=len(data) - there, bytes=len(data), verified=True)
        expect_file(result, data)
        assert files_of(home) == ["owner/repo/tiny-Q8_0.gguf"]


@case
def a_hub_that_falls_silent_is_given_up(home):
    data = model()
    release = threading.Event()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.hang(1000, release)]
        result = pull(home, hub, "hf:owner/repo", silence=1)
        release.set()
        expect_file(result, data)


@case
def a_deadline_ends_it_and_keeps_what_came(home):
    release = threading.Event()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", model())
        hub.faults = [faults.hang(1000, release)]
        result = pull(home, hub, "hf:owner/repo", deadline=1500)
        release.set()
        refused(
            home, result, "timeout", ["owner/repo/tiny-Q8_0.gguf.part", "owner/repo/tiny-Q8_0.gguf.part.json"]
        )


@case
def a_file_without_checksum_is_only_continued_while_its_tag_is_the_same(home):
    old, data = model(seed=1), model(seed=2)
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", old)
        address = f"{hub.url}/store/1/owner/repo/tiny-Q8_0.gguf"
        hub.faults = [faults.cut(200_000)] + [faults.status(500)] * 5
        expect(pull(home, hub, address), error="unavailable")
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        result = pull(home, hub, address)
        expect(result, fetched=len(data), verified=False)
        expect_file(result, data)
        last = hub.asked("/store/")[-1][1]
        assert last["Range"] == "bytes=200000-" and "If-Range" in last, last


@case
def a_server_that_knows_no_ranges_sends_all_of_it_again(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.cut(100_000), faults.ignore_range()]
        result = pull(home, hub, "hf:owner/repo")
        expect_file(result, data)


# ------------------------------------------------------------------ damage


@case
def a_damaged_file_never_gets_its_name(home):
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", model())
        hub.faults = [faults.corrupt(70_000)]
        refused(home, pull(home, hub, "hf:owner/repo"), "protocol")


@case
def a_damaged_part_is_thrown_away_and_fetched_anew(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.cut(100_000)] + [faults.status(500)] * 5
        expect(pull(home, hub, "hf:owner/repo"), error="unavailable")
        part = os.path.join(home.root, "models/owner/repo/tiny-Q8_0.gguf.part")
        with open(part, "r+b") as file:
            file.seek(50_000)
            file.write(b"\0\0\0\0\0\0\0\0")
        result = pull(home, hub, "hf:owner/repo")
        expect_file(result, data)
        expect(result, fetched=200_000 + 300_000)


@case
def wrong_lengths_are_found(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "short-Q8_0.gguf", data, size=len(data) + 5)
        refused(home, pull(home, hub, "hf:owner/repo/short-Q8_0.gguf"), "protocol")
        hub.add("owner/repo", "page-Q8_0.gguf", b"<!DOCTYPE html><html>" + data)
        refused(home, pull(home, hub, "hf:owner/repo/page-Q8_0.gguf"), "model_invalid")
        hub.add("owner/repo", "none-Q8_0.gguf", b"GG")
        refused(home, pull(home, hub, "hf:owner/repo/none-Q8_0.gguf"), "model_invalid")


@case
def a_range_from_elsewhere_is_not_taken(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.cut(100_000), faults.claim(first=90_000), faults.claim(total=5)]
        expect_file(pull(home, hub, "hf:owner/repo"), data)


# ------------------------------------------------------------------ a hub that refuses


@case
def a_busy_hub_is_tried_again(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.status(429, Retry_After="0"), faults.status(503), faults.status(500)]
        expect_file(pull(home, hub, "hf:owner/repo"), data)
        hub.faults = [faults.status(503, Retry_After="0")] * 20
        hub.add("owner/other", "tiny-Q8_0.gguf", data)
        expect(pull(home, hub, "hf:owner/other"), error="busy")
        assert len(hub.faults) == 15, "five tries that bring nothing are enough"


@case
def gated_repositories_want_a_token(home):
    data = model()
    with Hub() as hub:
        hub.add("owner/gated", "tiny-Q8_0.gguf", data)
        hub.repositories["owner/gated"].token = "hf_secret"
        without = pull(home, hub, "hf:owner/gated")
        expect(without, error="unauthorized")
        wrong = pull(home, hub, "hf:owner/gated", token="hf_wrong")
        expect(wrong, error="forbidden")
        assert "hf_wrong" not in wrong["message"]
        expect_file(pull(home, hub, "hf:owner/gated", token="hf_secret"), data)


@case
def the_token_stays_with_the_hub(home):
    data = model()
    with Hub() as hub, Hub() as store:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        store.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.redirect_to = f"{store.url}/store/1/owner/repo/tiny-Q8_0.gguf"
        expect_file(pull(home, hub, "hf:owner/repo", token="hf_secret"), data)
        assert all("Authorization" in headers for _, headers in hub.requests)
        assert len(store.requests) == 1 and "Authorization" not in store.requests[0][1]


@case
def redirects_are_bounded_and_stay_safe(home):
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", model())
        hub.redirects = 4
        expect(pull(home, hub, "hf:owner/repo"), files=1)
        hub.add("owner/other", "tiny-Q8_0.gguf", model(seed=3))
        hub.redirects = 100
        expect(pull(home, hub, "hf:owner/other"), error="protocol")
        for target in ("http://192.0.2.1/x.gguf", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://a@127.0.0.1/x"):
            hub.redirect_to = target
            expect(pull(home, hub, "hf:owner/other"), error="forbidden")


@case
def what_does_not_exist_is_said_at_once(home):
    with Hub() as hub:
        hub.add("owner/repo", "notes.txt", b"x")
        expect(pull(home, hub, "hf:owner/nothing"), error="not_found")
        expect(pull(home, hub, "hf:owner/repo"), error="not_found")
        expect(pull(home, hub, "hf:owner/repo/x.gguf"), error="not_found")
        assert len(hub.asked("owner/nothing")) == 1
    for source in ("tiny", "hf:repo", "hf:a/b/../c", "http://192.0.2.1/x.gguf", "file:x.gguf", "https://host", "hf:a/b:"):
        expect(pull(home, None, source), error="invalid_request")
    expect(pull(home, None, "hf:owner/repo"), error="unavailable")
    assert files_of(home) == []


@case
def the_disk_is_asked_first(home):
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", model())
        refused(home, pull(home, hub, "hf:owner/repo", disk=200_000), "disk_full")
        refused(home, pull(home, hub, "hf:owner/repo", max=200_000), "too_large")
        assert not hub.asked("/resolve/")
        address = f"{hub.url}/store/1/owner/repo/tiny-Q8_0.gguf"
        refused(home, pull(home, hub, address, disk=200_000), "disk_full")


# ------------------------------------------------------------------ several at once


@case
def two_processes_that_pull_one_model_share_the_download(home):
    data = model()
    release = threading.Event()
    with Hub() as hub:
        hub.add("owner/repo", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.hang(100_000, release)]
        first = start(home, hub, "hf:owner/repo")
        for line in first.stderr:
            if line.startswith("download"):
                break
        second = start(home, hub, "hf:owner/repo")
        for line in second.stderr:
            if line.startswith("wait"):
                break
        release.set()
        results = [finish(first), finish(second)]
        expect(results[0], fetched=len(data))
        expect(results[1], fetched=0, bytes=len(data))
        expect_file(results[1], data)
        assert len(hub.asked("/store/")) == 2, "the cut download and its end, once each"


# ------------------------------------------------------------------ the service


def serve(home, hub, **config):
    """Writes the configuration; the first command starts the service."""
    os.makedirs(os.path.join(home.home, "config"), exist_ok=True)
    with open(os.path.join(home.home, "config/jarvis.json"), "w", encoding="utf-8") as file:
        json.dump({"server.listen": "", "pull.hub_url": hub.url, **config}, file)


@case
def a_pulled_model_is_ready_to_use(home):
    data = tiny("tiny-chat.gguf")
    with Hub() as hub:
        hub.add("owner/tiny-GGUF", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.cut(len(data) // 2)]
        serve(home, hub)
        done = home.run("pull", "hf:owner/tiny-GGUF", "--json", code=0).json()
        assert done["verified"] and done["added"] and done["role"] == "chat", done
        models = home.run("models", "--json", code=0).json()["data"]
        assert any(m["id"] == done["id"] and m["jarvis"]["path"] == done["path"] for m in models), models
        again = home.run("pull", "hf:owner/tiny-GGUF", code=0)
        assert done["id"] in again.out and "already" in again.out, again
        spanish = home.run("pull", "hf:owner/tiny-GGUF", code=0, LANG="es_ES.UTF-8")
        assert "ya estaba" in spanish.out, spanish
        named = home.run("pull", f"./h/models/owner/tiny-GGUF/tiny-Q8_0.gguf", "--name", "copy", code=0)
        assert "copy" in named.out, named


@case
def a_terminal_shows_a_bar_and_ctrl_c_keeps_what_came(home):
    data = tiny("tiny-embed.gguf")
    release = threading.Event()
    with Hub() as hub:
        hub.add("owner/tiny-GGUF", "tiny-Q8_0.gguf", data)
        hub.faults = [faults.hang(len(data) // 2, release)]
        serve(home, hub)
        terminal = home.terminal("pull", "hf:owner/tiny-GGUF", columns=100)
        terminal.read_until("downloading")
        terminal.read_until("%")
        terminal.send("\x03")
        assert terminal.wait() == 130, terminal.text
        release.set()
        done = home.run("pull", "hf:owner/tiny-GGUF", "--json", code=0).json()
        assert done["bytes_fetched"] == len(data) - len(data) // 2, done
        assert done["role"] == "embedding", done


@case
def the_list_of_good_models_knows_this_machine(home):
    with Hub() as hub:
        serve(home, hub)
        answer = home.run("pull", "--recommend", "--json", code=0).json()
        assert answer["machine"]["cores"] >= 1 and answer["machine"]["memory_bytes"] > 0, answer
        for role in ("chat", "embedding", "rerank", "speech"):
            of_role = [entry for entry in answer["models"] if entry["role"] == role]
            assert sum(entry["recommended"] for entry in of_role) == 1, of_role
            assert {entry["license"] for entry in of_role} <= {"Apache-2.0", "MIT"}
        english = home.run("pull", "--recommend", code=0).out
        spanish = home.run("pull", "--recommend", code=0, LANG="es_ES.UTF-8").out
        assert "recommended" in english and "recomendado" in spanish, (english, spanish)
        # The hub has none of them, which shows which one was asked for.
        home.run("pull", "recommended:embedding", code=3)
        wanted = [entry for entry in answer["models"] if entry["role"] == "embedding" and entry["recommended"]][0]
        repository = wanted["source"][3:].split(":")[0]
        assert hub.asked(f"/api/models/{repository}/"), hub.requests
        home.run("pull", "99", code=3)
        home.run("pull", "recommended:cooking", code=2)


@case
def the_token_comes_from_a_file_and_is_told_nobody(home):
    with Hub() as hub:
        hub.add("owner/gated", "tiny-Q8_0.gguf", tiny("tiny-chat.gguf"))
        hub.repositories["owner/gated"].token = "hf_secret"
        serve(home, hub, **{"pull.token_file": home.write("token", "hf_secret\n")})
        home.run("pull", "hf:owner/gated", code=0)
        for at, _, names in os.walk(home.home):
            for name in names:
                path = os.path.join(at, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        assert b"hf_secret" not in file.read(), path


if __name__ == "__main__":
    run_cases()
