"""OpenAI's own Python client against the real service: every endpoint, errors, streams, many at once, a dead worker."""

import base64
import concurrent.futures
import math
import os
import signal
import struct
import sys

import openai

from openai_service import CHAT, EMBED, RERANK, Service, case, raises, run_cases

HELLO = [{"role": "user", "content": "hello"}]
WHALES = (
    b"Whales are mammals.\n\nThe blue whale is the largest animal that has ever lived. It eats krill.\n\n"
    b"Seals live on the coast. They sleep on the ice.\n"
)


@case
def models_are_listed(service):
    models = {model.id: model for model in service.client.models.list()}
    assert {"jarvis", CHAT, EMBED, RERANK} <= set(models), models
    assert models[EMBED].jarvis["role"] == "embedding"
    assert service.client.models.retrieve(CHAT).object == "model"
    with raises(openai.NotFoundError, "model_not_found"):
        service.client.models.retrieve("none")


@case
def chat_answers(service):
    answer = service.client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=8, seed=1)
    assert answer.object == "chat.completion" and answer.model == CHAT
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in ("length", "stop")
    assert answer.usage.completion_tokens <= 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.jarvis["category"] == "OK" and answer.jarvis["timings_ms"]["generate"] > 0


@case
def stream_gives_the_same_words(service):
    asked = {"model": CHAT, "messages": HELLO, "max_tokens": 24, "seed": 7, "temperature": 1}
    whole = service.client.chat.completions.create(**asked)
    pieces, usage, finish = [], None, None
    for chunk in service.client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked):
        if chunk.choices:
            pieces.append(chunk.choices[0].delta.content or "")
            finish = chunk.choices[0].finish_reason or finish
        usage = chunk.usage or usage
    assert "".join(pieces) == whole.choices[0].message.content
    assert finish == whole.choices[0].finish_reason
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert len(pieces) > 3, pieces


@case
def stop_ends_the_text(service):
    asked = {"model": CHAT, "messages": HELLO, "max_tokens": 32, "seed": 3, "temperature": 1}
    text = service.client.chat.completions.create(**asked).choices[0].message.content
    stop = next(letter for letter in text[2:] if letter.isascii() and letter.isalpha())
    cut = service.client.chat.completions.create(stop=[stop], **asked).choices[0]
    assert cut.message.content == text[: text.index(stop)], (text, stop, cut)
    assert cut.finish_reason == "stop"


@case
def completion_continues(service):
    answer = service.client.completions.create(model=CHAT, prompt="once upon", max_tokens=5, seed=1)
    assert answer.object == "text_completion" and isinstance(answer.choices[0].text, str)
    pieces = service.client.completions.create(model=CHAT, prompt="once upon", max_tokens=5, seed=1, stream=True)
    assert "".join(chunk.choices[0].text for chunk in pieces) == answer.choices[0].text


@case
def json_format_is_json(service):
    answer = service.client.chat.completions.create(
        model=CHAT, messages=HELLO, max_tokens=40, seed=5, response_format={"type": "json_object"}
    )
    assert answer.choices[0].message.content.startswith("{"), answer


@case
def errors_become_exceptions(service):
    client = service.client
    with raises(openai.NotFoundError, "model_not_found"):
        client.chat.completions.create(model="none", messages=HELLO)
    with raises(openai.NotFoundError, "model_not_found"):
        client.chat.completions.create(model="none", messages=HELLO, stream=True)
    with raises(openai.BadRequestError, "unsupported"):
        client.chat.completions.create(model=CHAT, messages=HELLO, n=2)
    with raises(openai.BadRequestError, "invalid_request"):
        client.chat.completions.create(model=CHAT, messages=HELLO, temperature=9)
    with raises(openai.BadRequestError, "invalid_request"):
        client.chat.completions.create(model=CHAT, messages=[])
    with raises(openai.BadRequestError, "unsupported"):
        client.embeddings.create(model=EMBED, input=[[1, 2, 3]])
    with raises(openai.NotFoundError, "not_found"):
        client.vector_stores.retrieve("vs_none")
    with raises(openai.NotFoundError, "not_found"):
        client.files.retrieve("file-none")
    with raises(openai.PermissionDeniedError, "forbidden"):
        client.post("/jarvis/shutdown", cast_to=object)
    spanish = service.new_client(default_headers={"Accept-Language": "es"})
    try:
        spanish.chat.completions.create(model=CHAT, messages=[])
    except openai.BadRequestError as error:
        assert "debe ser" in error.message and error.param == "messages", error


@case
def context_that_is_too_long_is_refused(service):
    with raises(openai.BadRequestError, "context_length_exceeded"):
        service.client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "word " * 5000}])


@case
def headers_tell_the_time(service):
    answer = service.client.embeddings.with_raw_response.create(model=EMBED, input="hello")
    assert "total;dur=" in answer.headers["Server-Timing"]
    assert answer.headers["X-Request-Id"] in answer.headers["traceparent"]


@case
def embeddings_in_both_forms(service):
    texts = ["the blue whale", "a seal on the ice", "the blue whale"]
    floats = service.client.embeddings.create(model=EMBED, input=texts, encoding_format="float")
    packed = service.client.embeddings.create(model=EMBED, input=texts)  # the client asks for base64 by itself
    assert [item.index for item in floats.data] == [0, 1, 2] and floats.usage.total_tokens > 0
    for one, other in zip(floats.data, packed.data):
        assert max(abs(a - b) for a, b in zip(one.embedding, other.embedding)) < 1e-3
        assert abs(math.hypot(*one.embedding) - 1) < 1e-3
    raw = service.client.embeddings.create(model=EMBED, input=texts[0], encoding_format="base64").data[0].embedding
    values = struct.unpack(f"<{len(floats.data[0].embedding)}f", base64.b64decode(raw))
    assert abs(math.hypot(*values) - 1) < 1e-3
    short = service.client.embeddings.create(model=EMBED, input=texts[0], dimensions=8).data[0].embedding
    assert len(short) == 8 and abs(math.hypot(*short) - 1) < 1e-3
    with raises(openai.BadRequestError, "invalid_request"):
        service.client.embeddings.create(model=EMBED, input="x", dimensions=100000)


@case
def rerank_sorts(service):
    asked = {"query": "whale", "documents": ["seal", "whale", {"text": "ice"}], "top_n": 2, "return_documents": True}
    answer = service.client.post("/rerank", body=asked, cast_to=object)
    scores = [result["relevance_score"] for result in answer["results"]]
    assert len(scores) == 2 and scores == sorted(scores, reverse=True)
    first = answer["results"][0]
    assert first["document"]["text"] == ["seal", "whale", "ice"][first["index"]]


@case
def files_are_kept(service):
    client = service.client
    content = b"uno\r\n\x00dos \xff"
    made = client.files.create(file=("notas a\xc3\xb1o.bin", content), purpose="assistants")
    assert made.bytes == len(content) and made.purpose == "assistants" and made.object == "file"
    assert client.files.retrieve(made.id).filename == made.filename
    assert client.files.content(made.id).read() == content
    assert made.id in [file.id for file in client.files.list()]
    assert client.files.delete(made.id).deleted
    with raises(openai.NotFoundError, "not_found"):
        client.files.content(made.id)


@case
def vector_store_finds(service):
    client = service.client
    file = client.files.create(file=("whales.md", WHALES), purpose="assistants")
    store = client.vector_stores.create(name="sea", file_ids=[file.id], metadata={"kind": "test"})
    assert store.status == "completed" and store.file_counts.completed == 1 and store.metadata["kind"] == "test"
    hits = client.vector_stores.search(store.id, query="blue whale", max_num_results=3).data
    assert hits and hits[0].file_id == file.id and hits[0].filename == "whales.md"
    assert "blue whale" in hits[0].content[0].text
    place = hits[0].jarvis
    assert WHALES[place["offset"] : place["offset"] + place["length"]].decode() == hits[0].content[0].text
    names = [entry.id for entry in client.vector_stores.files.list(store.id)]
    assert names == [file.id]
    assert client.vector_stores.files.retrieve(file.id, vector_store_id=store.id).status == "completed"
    page = client.vector_stores.files.content(file.id, vector_store_id=store.id)
    assert "".join(part.text for part in page) == WHALES.decode()
    assert client.vector_stores.update(store.id, name="ocean").name == "ocean"
    assert client.vector_stores.files.delete(file.id, vector_store_id=store.id).deleted
    assert not client.vector_stores.search(store.id, query="blue whale").data
    assert client.vector_stores.delete(store.id).deleted
    with raises(openai.NotFoundError, "not_found"):
        client.vector_stores.retrieve(store.id)
    client.files.delete(file.id)


@case
def helpers_that_poll_come_to_an_end(service):
    client = service.client
    store = client.vector_stores.create(name="polled")
    path = service.write("seals.txt", b"Seals sleep on the ice.\n")
    with open(path, "rb") as content:
        attached = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=content)
    assert attached.status == "completed"
    file = client.files.create(file=("krill.txt", b"Krill is small.\n"), purpose="assistants")
    batch = client.vector_stores.file_batches.create_and_poll(vector_store_id=store.id, file_ids=[file.id])
    assert batch.status == "completed" and batch.file_counts.completed == 1
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 2
    empty = client.files.create(file=("picture.bin", bytes(range(256)) * 8), purpose="assistants")
    with raises(openai.UnprocessableEntityError, "document_unreadable"):
        client.vector_stores.files.create(vector_store_id=store.id, file_id=empty.id)
    client.vector_stores.delete(store.id)


@case
def pages_follow_each_other(service):
    client = service.client
    made = [client.vector_stores.create(name=f"page {number}").id for number in range(5)]
    newest_first = [store.id for store in client.vector_stores.list(limit=2) if store.id in made]
    assert newest_first == made[::-1], (newest_first, made)
    oldest_first = [store.id for store in client.vector_stores.list(limit=2, order="asc") if store.id in made]
    assert oldest_first == made
    for store in made:
        client.vector_stores.delete(store)


@case
def chat_over_a_store(service):
    client = service.client
    file = client.files.create(file=("whales.md", WHALES), purpose="assistants")
    store = client.vector_stores.create(name="chat", file_ids=[file.id])
    tools = [{"type": "file_search", "vector_store_ids": [store.id], "max_num_results": 2}]
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=4, tools=tools)
    assert answer.usage.prompt_tokens > 20 and "retrieve" in answer.jarvis["timings_ms"]
    with raises(openai.NotFoundError, "not_found"):
        client.chat.completions.create(
            model=CHAT, messages=HELLO, tools=[{"type": "file_search", "vector_store_ids": ["vs_none"]}]
        )
    client.vector_stores.delete(store.id)


@case
def many_at_once(service):
    def ask(number):
        asked = {"model": CHAT, "messages": [{"role": "user", "content": f"number {number}"}], "max_tokens": 6}
        return service.client.chat.completions.create(seed=number, **asked).choices[0].finish_reason

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, range(24))) <= {"length", "stop"}


@case
def stream_that_is_left_early(service):
    for _ in range(5):
        stream = service.client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=400, stream=True)
        next(iter(stream))
        stream.close()
    assert service.client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=2).choices


@case
def worker_killed_in_mid_answer(service):
    def pid():
        return service.client.models.retrieve(CHAT).jarvis["pid"]

    service.client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=1)
    first = pid()
    stream = iter(
        service.client.chat.completions.create(
            model=CHAT, messages=HELLO, max_tokens=450, stream=True, extra_body={"grammar": 'root ::= "a"{450}'}
        )
    )
    next(stream)
    os.kill(first, signal.SIGKILL)
    try:
        for _ in stream:
            pass
    except openai.APIError as error:
        assert error.body["code"] == "worker_died" and error.body["category"] == "TRANSIENT", error.body
    else:
        raise AssertionError("the stream ended as if nothing had happened")
    assert service.client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=1).choices
    assert pid() not in (0, first)


if __name__ == "__main__":
    with Service([CHAT, EMBED, RERANK]) as running:
        STATUS = run_cases(running)
    sys.exit(STATUS)
