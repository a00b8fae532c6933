#!/usr/bin/env python3
"""The command line against a scripted service: what it sends, what it prints, how it ends.

usage: cli_client_test.py JARVIS [CASE...]
"""

import json
import os
import subprocess

from cli_support import Home, case, run_cases  # noqa: F401

SOURCE = {
    "number": 1,
    "path": "/somewhere/licence.txt",
    "offset": 10,
    "length": 17,
    "line_start": 3,
    "line_end": 4,
    "text": "you may copy it\nfreely",
    "score": 0.75,
}


def answer(text, **extra):
    """A route that streams `text` in pieces of three characters."""

    def route(exchange):
        exchange.begin_stream()
        for at in range(0, len(text), 3):
            exchange.text(text[at : at + 3])
        exchange.finish(**extra)

    return route


CHAT = "POST /v1/chat/completions"


# ------------------------------------------------------------------ ask


@case
def ask_prints_answer_then_sources(home):
    service = home.fake()
    service.routes[CHAT] = answer("Yes, freely [1].", sources=[SOURCE])
    done = home.run("ask", "may", "I", "copy?", code=0)
    assert done.out == (
        "Yes, freely [1].\n\nSources:\n"
        '  [1] /somewhere/licence.txt:3-4  "you may copy it freely"\n'
    ), done
    body = service.requests[0][2]
    assert body["messages"] == [{"role": "user", "content": "may I copy?"}], body
    assert body["stream"] is True and body["model"] == "jarvis", body


@case
def ask_sends_its_options(home):
    service = home.fake()
    service.routes[CHAT] = answer("x")
    home.run("ask", "--store=a", "--store", "b", "--top-k", "3", "--alpha=0.25", "--model", "m", "q", code=0)
    body = service.requests[0][2]
    assert body["jarvis"] == {"stores": ["a", "b"], "top_k": 3, "alpha": 0.25}, body
    assert body["model"] == "m", body


@case
def ask_json_has_the_fixed_shape(home):
    service = home.fake()
    service.routes[CHAT] = answer("Sí: «ñ».", sources=[SOURCE], category="DEGRADED", notice="n")
    done = home.run("ask", "--json", "q", code=0)
    data = done.json()
    assert sorted(data) == ["answer", "category", "sources", "timings_ms"], data
    assert data["answer"] == "Sí: «ñ»." and data["category"] == "DEGRADED", data
    expected = {key: value for key, value in SOURCE.items() if key != "number"}
    assert data["sources"] == [expected], data
    assert data["timings_ms"] == {"total": 1.5}, data
    assert done.err == "", done


@case
def ask_tells_the_notice_on_standard_error(home):
    home.fake().routes[CHAT] = answer("x", notice="no model: do this", category="DEGRADED")
    done = home.run("ask", "q", code=0)
    assert "no model: do this" in done.err and "no model" not in done.out, done


@case
def language_of_the_reader_goes_to_the_service(home):
    service = home.fake()
    service.routes[CHAT] = answer("x", sources=[SOURCE])
    done = home.run("ask", "q", code=0, LANG="es_ES.UTF-8")
    assert service.requests[0][1]["Accept-Language"] == "es", service.requests
    assert "Fuentes:" in done.out, done


@case
def control_characters_do_not_reach_a_terminal(home):
    home.fake().routes[CHAT] = answer("a\x1b]0;evil\x07b\x1b[2Jc\u202ed")
    terminal = home.terminal("ask", "q")
    assert terminal.wait() == 0
    assert "a]0;evilb[2Jcd" in terminal.raw and "\x1b]0" not in terminal.raw, terminal.raw
    assert "\u202e" not in terminal.raw, terminal.raw


# ------------------------------------------------------------------ errors and exit codes


def refusing(code, status, message="because", **more):
    def route(exchange):
        exchange.json({"error": {"message": message, "code": code, "type": "t", "param": None, **more}}, status)

    return route


@case
def exit_codes_follow_the_error(home):
    service = home.fake()
    for code, status, expected in [
        ("invalid_request", 400, 2),
        ("not_found", 404, 3),
        ("model_not_found", 404, 3),
        ("no_embedder", 503, 4),
        ("busy", 503, 6),
        ("timeout", 504, 6),
        ("disk_full", 507, 7),
        ("never heard of", 500, 7),
    ]:
        service.routes["POST /v1/jarvis/search"] = refusing(code, status)
        done = home.run("search", "x", code=expected)
        assert done.err == "jarvis: because\n" and done.out == "", (code, done)


@case
def errors_are_json_with_json(home):
    service = home.fake()
    service.routes["POST /v1/jarvis/search"] = refusing("busy", 503, retry_after_ms=2500)
    done = home.run("search", "--json", "x", code=6)
    error = json.loads(done.err)["error"]
    assert error["code"] == "busy" and error["message"] == "because" and error["exit_code"] == 6, error
    assert error["category"] == "TRANSIENT" and error["retry_after_ms"] == 2500, error
    assert done.out == "", done
    done = home.run("search", "--json", "--top-k=none", "x", code=2)
    assert json.loads(done.err)["error"]["param"] == "top-k", done


@case
def an_error_in_the_middle_of_an_answer(home):
    def route(exchange):
        exchange.begin_stream()
        exchange.text("half a ")
        exchange.event({"error": {"message": "the worker died", "code": "worker_died"}})

    home.fake().routes[CHAT] = route
    done = home.run("ask", "q", code=6)
    assert done.out == "half a \n" and done.err == "jarvis: the worker died\n", done


@case
def a_service_that_goes_away_in_the_middle(home):
    def route(exchange):
        exchange.begin_stream()
        exchange.text("half")

    home.fake().routes[CHAT] = route
    done = home.run("ask", "q", code=6)
    assert "went away in the middle" in done.err, done


@case
def an_answer_that_is_no_json(home):
    def route(exchange):
        exchange.handler.send_response(200)
        exchange.handler.send_header("Content-Length", "3")
        exchange.handler.end_headers()
        exchange.handler.wfile.write(b"wat")

    home.fake().routes["POST /v1/jarvis/search"] = route
    done = home.run("search", "x")
    assert done.code != 0 and "JSON" in done.err, done


@case
def wrong_words_are_explained(home):
    for words, part in [
        (["serch"], 'did you mean "search"'),
        (["ask", "--modle", "x", "y"], "did you mean --model"),
        (["ask"], "jarvis ask QUESTION"),
        (["ask", "--top-k"], "needs a value"),
        (["stop", "now"], "one word too many"),
        (["config", "gte", "x"], 'did you mean "get"'),
        (["search", "-x", "y"], "there is no option -x"),
    ]:
        done = home.run(*words, code=2)
        assert part in done.err, (words, done)
    done = home.run("serch", code=2, LANG="es_ES.UTF-8")
    assert "search" in done.err and "did you mean" not in done.err, done


@case
def help_for_every_command_in_both_languages(home):
    overview = home.run("help", code=0).out
    names = [line.split()[0] for line in overview.split("Commands:")[1].split("Exit codes:")[0].split("\n")
             if line.startswith("  ") and not line.startswith("   ")]
    assert len(names) >= 12 and "worker" not in names, names
    for name in names:
        english = home.run(name, "--help", code=0).out
        spanish = home.run("help", name, code=0, LANG="es").out
        assert english.startswith(f"usage: jarvis {name}"), english
        assert spanish.startswith(f"uso: jarvis {name}"), spanish
        assert home.run("help", name, code=0).out == english, name


# ------------------------------------------------------------------ colour, terminals, pipes


@case
def colour_on_a_terminal_only(home):
    service = home.fake()
    service.routes[CHAT] = answer("x", sources=[SOURCE])
    assert "\x1b[" not in home.run("ask", "q", code=0).out
    plain = home.terminal("ask", "q", NO_COLOR="1")
    assert plain.wait() == 0 and "\x1b[" not in plain.raw, plain.raw
    option = home.terminal("ask", "--no-color", "q")
    assert option.wait() == 0 and "\x1b[" not in option.raw, option.raw
    dumb = home.terminal("ask", "q", TERM="dumb")
    assert dumb.wait() == 0 and "\x1b[" not in dumb.raw, dumb.raw
    colour = home.terminal("ask", "q")
    assert colour.wait() == 0 and "\x1b[1mSources:" in colour.raw, colour.raw


@case
def a_reader_that_leaves_ends_the_answer_quietly(home):
    def route(exchange):
        exchange.begin_stream()
        while True:  # ends with the client
            exchange.text("word " * 2000)

    home.fake().routes[CHAT] = route
    read, write = os.pipe()
    from cli_support import DEADLINE_S, JARVIS

    process = subprocess.Popen(
        [JARVIS, "ask", "q"], stdout=write, stderr=subprocess.PIPE, env=home.environment()
    )
    os.close(write)
    assert os.read(read, 10)
    os.close(read)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0 and err == b"", (process.returncode, err)


@case
def a_full_disk_is_told(home):
    if not os.path.exists("/dev/full"):
        return
    from cli_support import DEADLINE_S, JARVIS

    with open("/dev/full", "wb") as full:
        done = subprocess.run([JARVIS, "help"], stdout=full, stderr=subprocess.PIPE, env=home.environment(),
                              timeout=DEADLINE_S, check=False)
    assert done.returncode == 7, done


@case
def long_sources_wrap_at_the_width_of_the_terminal(home):
    source = dict(SOURCE, text="word " * 60)
    home.fake().routes[CHAT] = answer("x", sources=[source])
    terminal = home.terminal("ask", "q", columns=50)
    assert terminal.wait() == 0
    widths = [len(line) for line in terminal.text.split("\n")]
    assert max(widths) < 50, terminal.text


# ------------------------------------------------------------------ search, embed


HIT = {"path": "/a/b.txt", "offset": 5, "length": 21, "text": "Licences grant rights", "score": 0.5,
       "sparse": 2.5, "dense": 0.25, "line_start": 2, "line_end": 2, "title": "b"}


@case
def search_json_has_the_fixed_shape(home):
    service = home.fake()
    service.routes["POST /v1/jarvis/search"] = lambda exchange: exchange.json({"hits": [HIT], "notice": ""})
    data = home.run("search", "--json", "--top-k=2", "--alpha", "1", "--store", "s", "licence", code=0).json()
    keys = ["path", "offset", "length", "text", "score", "sparse", "dense"]
    assert data == {"hits": [{key: HIT[key] for key in keys}]}, data
    assert service.requests[0][2] == {"query": "licence", "stores": ["s"], "top_k": 2, "alpha": 1.0}, service.requests


@case
def search_marks_the_words_on_a_terminal(home):
    home.fake().routes["POST /v1/jarvis/search"] = lambda exchange: exchange.json({"hits": [HIT]})
    terminal = home.terminal("search", "licence")
    assert terminal.wait() == 0
    assert "\x1b[33mLicences\x1b[0m grant" in terminal.raw, terminal.raw
    assert "/a/b.txt:2-2" in terminal.text, terminal.text


@case
def search_that_finds_nothing_says_so(home):
    home.fake().routes["POST /v1/jarvis/search"] = lambda exchange: exchange.json({"hits": []})
    assert home.run("search", "x", code=0).out == "Nothing was found.\n"
    assert home.run("search", "--json", "x", code=0).json() == {"hits": []}


@case
def embed_reads_words_or_lines(home):
    def route(exchange):
        data = [{"index": i, "embedding": [float(len(text)), 0.5]} for i, text in enumerate(exchange.body["input"])]
        exchange.json({"model": "e", "data": data})

    service = home.fake()
    service.routes["POST /v1/embeddings"] = route
    data = home.run("embed", "--json", "one two", "x", code=0).json()
    assert data == {"model": "e", "data": [{"text": "one two", "embedding": [7.0, 0.5]},
                                           {"text": "x", "embedding": [1.0, 0.5]}]}, data
    lines = "".join(f"line {i}\n" for i in range(300))
    data = home.run("embed", "--json", stdin=lines, code=0).json()
    assert [row["text"] for row in data["data"]] == lines.split("\n")[:-1], "order of the lines"
    assert len(service.requests) == 1 + 3, "300 lines go in three requests"
    assert "2 dimensions" in home.run("embed", "x", code=0).out


# ------------------------------------------------------------------ ingest


def ingesting(summary, steps=4):
    def route(exchange):
        exchange.begin_stream()
        for done in range(steps + 1):
            exchange.event({"phase": "read", "done": done, "total": steps, "bytes_done": done * 1000,
                            "path": f"/docs/file{done}.txt"}, "progress")
        exchange.event(summary, "done")

    return route


SUMMARY = {"added": 3, "changed": 1, "unchanged": 2, "removed": 1, "skipped": 0, "failed": 0, "passages": 9,
           "embedded": 0, "failures": [], "notice": ""}


@case
def ingest_sends_absolute_paths_and_prints_a_summary(home):
    service = home.fake()
    service.routes["POST /v1/jarvis/ingest"] = ingesting(SUMMARY)
    done = home.run("ingest", "docs", "gone.txt", "--store", "s", code=0)
    assert service.requests[0][2] == {"paths": [home.docs, os.path.join(home.root, "gone.txt")], "store": "s"}, service.requests
    assert done.out.startswith("3 added, 1 changed, 2 unchanged, 1 removed, 0 skipped, 0 failed"), done
    assert "reading: 0/4 (0%)" in done.err and "reading: 4/4 (100%)" in done.err, done
    assert "\r" not in done.err, done
    assert home.run("ingest", "--json", "docs", code=0).json() == SUMMARY


@case
def ingest_with_failures_ends_with_one(home):
    summary = dict(SUMMARY, failed=2, failures=[{"path": "/docs/a.bin", "reason": "it is binary", "code": "document_unreadable"}])
    home.fake().routes["POST /v1/jarvis/ingest"] = ingesting(summary)
    done = home.run("ingest", "docs", code=1)
    assert "/docs/a.bin: it is binary\n" in done.out and "and 1 more" in done.out, done


@case
def ingest_draws_a_bar_on_a_terminal(home):
    home.fake().routes["POST /v1/jarvis/ingest"] = ingesting(SUMMARY)
    terminal = home.terminal("ingest", "docs", columns=70)
    assert terminal.wait() == 0
    assert "█" in terminal.raw and "4/4" in terminal.raw and "file4.txt" in terminal.raw, terminal.raw
    assert terminal.text.rstrip().split("\n")[-2].lstrip("\r").find("3 added") >= 0, terminal.text
    plain = home.terminal("ingest", "docs", columns=70, LANG="C")
    assert plain.wait() == 0 and "[###" in plain.raw and "█" not in plain.raw, plain.raw


@case
def ingest_stops_at_ctrl_c(home):
    def route(exchange):
        exchange.begin_stream()
        exchange.event({"phase": "read", "done": 1, "total": 9, "bytes_done": 1, "path": "/x"}, "progress")
        exchange.wait_until_client_leaves()

    home.fake().routes["POST /v1/jarvis/ingest"] = route
    terminal = home.terminal("ingest", "docs")
    terminal.read_until("1/9")
    terminal.send("\x03")
    assert terminal.wait() == 130, terminal.raw


# ------------------------------------------------------------------ chat


@case
def chat_answers_plain_lines_and_sends_the_conversation(home):
    service = home.fake()
    service.routes[CHAT] = answer("fine")
    done = home.run("chat", stdin="one\n\ntwo\n/new\nthree\n", code=0)
    assert done.out.count("fine") == 3, done
    bodies = [[(m["role"], m["content"]) for m in request[2]["messages"]] for request in service.requests]
    assert bodies == [
        [("user", "one")],
        [("user", "one"), ("assistant", "fine"), ("user", "two")],
        [("user", "three")],
    ], bodies


@case
def chat_forgets_a_question_that_failed(home):
    service = home.fake()
    service.routes[CHAT] = refusing("busy", 503)
    service_ok = answer("fine")

    def flaky(exchange):
        route = refusing("busy", 503) if len(service.requests) == 1 else service_ok
        route(exchange)

    service.routes[CHAT] = flaky
    done = home.run("chat", stdin="one\ntwo\n", code=0)
    assert "because" in done.err and "fine" in done.out, done
    assert [m["content"] for m in service.requests[1][2]["messages"]] == ["two"], service.requests


@case
def chat_commands(home):
    service = home.fake()
    service.routes[CHAT] = answer("x", sources=[SOURCE])
    done = home.run("chat", stdin="/model m\n/store s\nq\n/sources\n/hlep\n/help\n/exit\nnever\n", code=0)
    body = service.requests[0][2]
    assert body["model"] == "m" and body["jarvis"]["stores"] == ["s"], body
    assert done.out.count("licence.txt:3-4") == 2, done
    assert "did you mean /help" in done.err and "/sources" in done.out, done
    assert len(service.requests) == 1, "nothing is asked after /exit"


@case
def ctrl_c_stops_a_reply_and_not_the_chat(home):
    service = home.fake()
    left = []

    def route(exchange):
        exchange.begin_stream()
        if len(service.requests) > 1:
            exchange.text("second answer")
            exchange.finish()
            return
        exchange.text("endless story")
        exchange.wait_until_client_leaves()
        left.append(True)

    service.routes[CHAT] = route
    terminal = home.terminal("chat")
    terminal.read_until("> ")
    terminal.send("first\r")
    terminal.read_until("endless")
    terminal.send("\x03")
    terminal.read_until("(stopped)")
    terminal.read_until("> ")
    terminal.send("second\r")
    terminal.read_until("second answer")
    terminal.read_until("> ")
    terminal.send("abc\x03")  # at the prompt it drops the line
    terminal.read_until("> ")
    terminal.send("\x04")
    assert terminal.wait() == 0, terminal.raw
    assert left == [True], "the service sees that the client has left"
    messages = [(m["role"], m["content"]) for m in service.requests[1][2]["messages"]]
    assert messages == [("user", "first"), ("assistant", "endless story"), ("user", "second")], messages
    assert len(service.requests) == 2, service.requests


@case
def chat_keeps_a_history_of_lines(home):
    home.fake().routes[CHAT] = answer("fine")
    terminal = home.terminal("chat")
    terminal.read_until("> ")
    terminal.send("a question to keep\r")
    terminal.read_until("fine")
    terminal.read_until("> ")
    terminal.send("\x04")
    assert terminal.wait() == 0
    with open(os.path.join(home.home, "state", "chat_history"), encoding="utf-8") as history:
        assert "a question to keep" in history.read()
    again = home.terminal("chat")
    again.read_until("> ")
    again.send("\x1b[A")
    again.read_until("a question to keep")
    again.send("\x03\x04")
    assert again.wait() == 0


# ------------------------------------------------------------------ models, config


MODEL = {"id": "m", "object": "model", "jarvis": {"role": "chat", "state": "cold", "path": "/m.gguf",
                                                   "file_bytes": 5 * 1024 * 1024}}


@case
def models_lists_adds_and_removes(home):
    service = home.fake()
    service.routes["GET /v1/models"] = lambda exchange: exchange.json(
        {"data": [{"id": "jarvis", "object": "model", "jarvis": {"role": "chat"}}, MODEL]})
    service.routes["POST /v1/models"] = lambda exchange: exchange.json(MODEL)
    service.routes["DELETE /v1/models/a%2Fb%20c"] = lambda exchange: exchange.json({"deleted": True})
    lines = home.run("models", code=0).out.split("\n")
    assert lines[0].split() == ["NAME", "ROLE", "STATE", "FILE", "SIZE", "FILE"], lines
    assert lines[1].split() == ["m", "chat", "not", "loaded", "5.0", "MiB", "/m.gguf"] and lines[2] == "", lines
    path = home.write("x.gguf", "GGUF")
    done = home.run("models", "add", "docs/x.gguf", "--name", "n", "--role", "rerank", code=0)
    assert service.requests[1][2] == {"path": path, "name": "n", "role": "rerank"}, service.requests
    assert done.out == "Added m (chat).\n", done
    home.run("models", "remove", "a/b c", code=0)
    assert service.requests[2][0] == "DELETE /v1/models/a%2Fb%20c", service.requests
    home.run("models", "add", "docs/missing.gguf", code=3)


@case
def config_shows_settings_and_paths(home):
    assert home.run("config", "get", "server.listen", code=0).out == "127.0.0.1:8317\n"
    done = home.run("config", "get", "server.lisen", code=3)
    assert "server.listen" in done.err, done
    shown = home.run("config", "show", "--json", code=0).json()
    assert shown["retrieval.top_k"] == 8 and shown["log.level"] == "info", shown
    paths = home.run("config", "path", "--json", code=0).json()
    assert paths["socket"] == home.socket, paths


@case
def version_as_text_and_as_json(home):
    text = home.run("--version", code=0).out
    data = home.run("version", "--json", code=0).json()
    assert text == f"jarvis {data['version']}\n", (text, data)


if __name__ == "__main__":
    run_cases()
