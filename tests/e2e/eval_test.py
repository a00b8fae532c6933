#!/usr/bin/env python3
"""`jarvis eval` with the real service, its measures computed a second time here, from the rankings that it writes.

usage: eval_test.py JARVIS [CASE...]
"""

import json
import math
import os
import random
import signal
import subprocess
from collections import defaultdict

from cli_support import DEADLINE_S, JARVIS, case, run_cases

SEED = int(os.environ.get("JARVIS_TEST_SEED", "20260601"))

# A topic: words of its documents, a question in English and in Spanish.
TOPICS = [
    ("volcano lava eruption magma crater ash", "what comes out of a volcano", "qué sale de un volcán"),
    ("bread flour yeast oven dough baker", "how does bread rise", "cómo sube el pan"),
    ("guitar string chord fret melody song", "how to play a guitar chord", "cómo tocar un acorde de guitarra"),
    ("ship harbour anchor sailor mast storm", "where does a ship drop its anchor", "dónde echa el ancla un barco"),
    ("doctor hospital fever medicine patient nurse", "who treats a fever", "quién trata la fiebre"),
    ("river bridge water bank flood fish", "what crosses the river", "qué cruza el río"),
]


def write_corpus(home, per_topic=8):
    """Documents of each topic, some of them without a title, and one without any word of it; graded judgements."""
    print(f"# seed {SEED}")
    chance = random.Random(SEED)
    documents, queries, spanish, qrels = [], [], [], ["query-id\tcorpus-id\tscore"]
    filler = "the of and a to in is that was for it with as his on be at by".split()
    for topic, (words, question, pregunta) in enumerate(TOPICS):
        query = f"q{topic}"
        queries.append({"_id": query, "text": question})
        spanish.append({"_id": query, "text": pregunta})
        for number in range(per_topic):
            identity = f"d{topic}-{number}"
            own = words.split()
            text = " ".join(chance.choice(own if chance.random() < 0.4 else filler) for _ in range(40))
            documents.append({"_id": identity, "title": own[0] if number % 2 else "", "text": text})
            if number < 4:
                qrels.append(f"{query}\t{identity}\t{[2, 1, 1, 0][number]}")
    queries.append({"_id": "unjudged", "text": "what nobody judged"})
    documents.append({"_id": "empty", "text": ""})
    chance.shuffle(documents)
    for name, rows in ("corpus", documents), ("queries", queries), ("spanish", spanish):
        home.write(f"set/{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    home.write("set/qrels.tsv", "\n".join(qrels) + "\n")
    return os.path.join(home.docs, "set")


def measures(ranked, grades):
    """The measures of one question. ranked: ids; grades: id -> grade."""
    gain = lambda values: sum(value / math.log2(rank + 2) for rank, value in enumerate(values[:10]))
    relevant = {document for document, grade in grades.items() if grade > 0}
    found = lambda depth: len(relevant & set(ranked[:depth])) / len(relevant)
    first = next((rank for rank, document in enumerate(ranked[:10], 1) if document in relevant), None)
    return {
        "ndcg@10": gain([grades.get(d, 0) for d in ranked]) / gain(sorted(grades.values(), reverse=True)),
        "recall@3": found(3),
        "recall@10": found(10),
        "recall@100": found(100),
        "mrr@10": 1 / first if first else 0,
    }


def recompute(folder, run):
    """method -> measure -> mean, from the judgements and the rankings."""
    grades, ranked = defaultdict(dict), defaultdict(dict)
    with open(os.path.join(folder, "qrels.tsv")) as file:
        for line in list(file)[1:]:
            query, document, grade = line.rstrip("\n").split("\t")
            grades[query][document] = int(grade)
    with open(run) as file:
        for line in file:
            query, _, document, rank, _, method = line.split()
            places = ranked[method].setdefault(query, [])
            assert len(places) + 1 == int(rank) and document not in places, line
            places.append(document)
    means = {}
    for method, by_query in ranked.items():
        rows = [measures(by_query.get(query, []), grades[query]) for query in grades]
        means[method] = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    return means


def assert_nothing_left(home):
    stores = home.run("ps", "--json", code=0).json()["stores"]
    assert [store["name"] for store in stores] == ["default"], stores
    assert not [name for name in os.listdir(os.path.join(home.home, "cache")) if name.startswith("eval-")]


@case
def measures_equal_an_independent_computation(home):
    folder = write_corpus(home)
    run = os.path.join(home.root, "run")
    told = home.run("eval", folder, "--json", "--rankings", run, code=0).json()
    expected = recompute(folder, run)
    assert set(told["methods"]) == set(expected) >= {"sparse", "dense", "hybrid"}, told["methods"].keys()
    assert set(told["methods"]) ^ set(told["absent"]) == {"sparse", "dense", "hybrid", "hybrid+rerank"}
    assert (told["documents"], told["questions"]) == (len(TOPICS) * 8 + 1, len(TOPICS))
    for method, row in told["methods"].items():
        assert set(row) == {*expected[method], "p50_ms", "p95_ms"}, row
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        for name, value in expected[method].items():
            assert abs(row[name] - value) < 1e-9, (method, name, row[name], value)
            low, high = told["intervals"][method][name]
            assert low <= value <= high, (method, name)
    assert told["methods"]["sparse"]["recall@100"] > 0.5
    assert_nothing_left(home)


@case
def what_is_on_disk_already_is_left_alone(home):
    home.write("mine.txt", "My volcano diary: lava everywhere.")
    home.run("ingest", os.path.join(home.docs, "mine.txt"), code=0)
    home.run("eval", write_corpus(home), "--limit", "2", code=0)
    hits = home.run("search", "volcano", "--json", code=0).json()["hits"]
    assert [os.path.basename(hit["path"]) for hit in hits] == ["mine.txt"], hits
    assert_nothing_left(home)


@case
def a_table_and_a_page_in_two_languages(home):
    folder = write_corpus(home)
    page = os.path.join(home.root, "page.html")
    english = home.run("eval", folder, "--limit", "3", "--html", page, code=0)
    assert "nDCG@10" in english.out and "3 questions" in english.out
    assert "hybrid against sparse" in english.out and "\nhybrid+rerank " in english.out, english
    with open(page) as file:
        html = file.read()
    assert html.count("<svg") == 3 and "prefers-color-scheme:dark" in html
    assert "http" not in html, "the page wants something from elsewhere"
    spanish = home.run("eval", folder, "--limit", "3", "--html", page, code=0, LANG="es_ES.UTF-8")
    assert "3 preguntas" in spanish.out and "hybrid frente a sparse" in spanish.out, spanish
    with open(page) as file:
        assert "Las preguntas que salieron peor" in file.read()


@case
def other_questions_to_the_same_documents(home):
    folder = write_corpus(home)
    own = home.run("eval", folder, "--json", code=0).json()
    other = home.run("eval", folder, "--queries", os.path.join(folder, "spanish.jsonl"), "--json", code=0).json()
    assert other["questions"] == own["questions"]
    assert other["methods"]["sparse"] != own["methods"]["sparse"]


@case
def faults_are_told(home):
    folder = write_corpus(home)
    assert "name one folder" in home.run("eval", code=2).err
    assert "cannot read" in home.run("eval", home.root, code=3).err
    home.write("set/qrels.tsv", "nobody\tnothing\t1\n")
    assert "do the ids" in home.run("eval", folder, code=2).err
    home.write("set/corpus.jsonl", '{"_id": "1", "text": "x"}\n{"text": "no id"}\n')
    assert "line 2" in home.run("eval", folder, code=2).err


@case
def an_interrupt_leaves_nothing(home):
    folder = write_corpus(home, per_topic=150)
    process = subprocess.Popen(
        [JARVIS, "eval", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=home.environment(), cwd=home.root
    )
    while line := process.stderr.readline():  # interrupted while it reads the corpus
        if line.startswith(b"reading: ") and not line.startswith(b"reading: 0/"):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, process.returncode
    assert_nothing_left(home)


def ranking(home):
    """What the store says about its ranking, through the search that uses it."""
    return home.run("tune", "topics", "--dry-run", "--json", "--count", "24", code=0).json()


@case
def tune_keeps_what_shows_a_gain(home):
    folder = write_corpus(home)
    with open(os.path.join(folder, "corpus.jsonl")) as file:
        for row in map(json.loads, file):
            if row["text"]:
                home.write(f"topics/{row['_id']}.txt", row["text"].capitalize() + ".")
    home.run("ingest", "--store", "topics", os.path.join(home.docs, "topics"), code=0)
    told = ranking(home)
    assert told["made_from"] == "passages" and told["questions"] == 24 and not told["stored"], told
    assert len(told["alpha"]["ndcg@10"]) == 21 and told["alpha"]["before"] == 0.5, told
    # Answers by file name; what is found by words is wrong, what is found by meaning is right or not: both are told.
    queries = [{"_id": f"{t}-{n}", "text": question} for t, (_, question, _) in enumerate(TOPICS) for n in range(4)]
    home.write("q.jsonl", "".join(json.dumps(row) + "\n" for row in queries))
    home.write("q.tsv", "".join(f"{row['_id']}\td{row['_id'].split('-')[0]}-0.txt\t1\n" for row in queries))
    files = ["--queries", os.path.join(home.docs, "q.jsonl"), "--qrels", os.path.join(home.docs, "q.tsv")]
    told = home.run("tune", "topics", "--json", *files, code=0).json()
    assert told["made_from"] == "labels" and told["questions"] == len(queries), told
    assert told["stored"] == told["alpha"]["shown"] or "rerank_depth" in told, told
    assert ranking(home)["alpha"]["before"] == told["alpha"]["after"]
    assert "as the settings say again" in home.run("tune", "topics", "--reset", code=0).out
    assert ranking(home)["alpha"]["before"] == 0.5
    text = home.run("tune", "topics", "--dry-run", "--count", "24", code=0, LANG="es_ES.UTF-8")
    assert "24 preguntas hechas con pasajes" in text.out and "sin guardar" in text.out, text


@case
def tune_says_what_it_needs(home):
    home.write("one.txt", "A sentence that has more than six words, alone in its store.")
    home.run("ingest", "--store", "one", os.path.join(home.docs, "one.txt"), code=0)
    assert "too few" in home.run("tune", "one", code=2).err
    assert home.run("tune", "nowhere", code=3)
    assert "go together" in home.run("tune", "one", "--queries", "x", code=2).err
    assert "name one store" in home.run("tune", code=2).err


run_cases()
