"""The service without a chat model: answers are quotations, and every quotation is where it says."""

import sys

import openai

from openai_service import EMBED, Service, case, raises, run_cases

TEXT = (
    "Las ballenas son mamíferos.\r\n\r\nLa ballena azul es el mayor animal que ha existido. Come kril.\r\n\r\n"
    "The seal sleeps on the ice. It is seldom hungry.\r\n"
)


def ask(service, question, **more):
    file = service.client.files.create(file=("animales.txt", TEXT.encode()), purpose="assistants")
    store = service.client.vector_stores.create(name=f"animals {question}", file_ids=[file.id])
    answer = service.client.chat.completions.create(
        model="jarvis",
        messages=[{"role": "user", "content": question}],
        extra_body={"jarvis": {"stores": [store.id]}},
        **more,
    )
    return answer, file


def check_sources(extension):
    assert extension["category"] == "DEGRADED" and extension["notice"], extension
    assert extension["sources"], extension
    content = TEXT.encode()
    for source in extension["sources"]:
        quoted = content[source["offset"] : source["offset"] + source["length"]]
        assert quoted.decode() == source["text"], source
        assert content[: source["offset"]].count(b"\n") + 1 == source["line_start"], source


@case
def answer_is_quoted(service):
    answer, file = ask(service, "What does the seal do?")
    check_sources(answer.jarvis)
    assert "seal sleeps" in answer.choices[0].message.content
    annotation = answer.choices[0].message.annotations[0]
    assert annotation.type == "file_citation" and annotation.file_id == file.id, annotation
    assert "models add" in answer.jarvis["notice"]


@case
def stream_carries_the_sources(service):
    chunks, _ = ask(service, "¿Qué come la ballena azul?", stream=True, extra_headers={"Accept-Language": "es"})
    chunks = list(chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "ballena azul" in text, text
    last = [chunk for chunk in chunks if chunk.choices[0].finish_reason]
    assert len(last) == 1 and last[0].choices[0].finish_reason == "stop"
    check_sources(last[0].jarvis)
    assert "modelo" in last[0].jarvis["notice"]


@case
def chat_without_documents_is_refused(service):
    with raises(openai.InternalServerError, "no_chat_model"):
        service.client.completions.create(model="", prompt="once")


@case
def readiness_says_what_is_missing(service):
    url = service.base_url.removesuffix("/v1") + "/readyz"
    answer = service.client.get(url, cast_to=object)
    assert answer["status"] == "degraded" and not answer["roles"]["chat"]["ready"]
    assert any("chat model" in line for line in answer["missing"]), answer


if __name__ == "__main__":
    with Service([EMBED]) as running:
        STATUS = run_cases(running)
    sys.exit(STATUS)
