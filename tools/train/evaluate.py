#!/usr/bin/env python3
"""evaluate.py MODEL.gguf --data DIR [--work FOLDER]: the table of the model's card.

DIR holds sets that no model of this repository was trained on, a folder each: corpus.jsonl, queries.jsonl and qrels.tsv
as BEIR lays them out (cranfield, xquad-en, xquad-es). Search is dense only: cosine over whole texts, no title added.
Four tasks: Cranfield, English questions on English paragraphs, Spanish on Spanish, Spanish on English. The teacher's
vectors of the same texts are computed the same way and kept in FOLDER/evaluation. For orientation BM25 (plain folded
words, k1 1.2, b .75) and the two together (half of each, by their theoretical minimum and their maximum) are shown.

Intervals: percentile bootstrap over the questions, 2,000 draws, 95%; that of a ratio or a difference is paired.
"""

import argparse
import collections
import json
import pathlib

import numpy as np

import static_model

TASKS = [("Cranfield", "cranfield", "cranfield"), ("XQuAD en", "xquad-en", "xquad-en"),
         ("XQuAD es", "xquad-es", "xquad-es"), ("XQuAD es→en", "xquad-es", "xquad-en")]
DRAWS = 2000
SEED = 7


def read_lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def read_judgements(path):
    """{question id: set of relevant text ids}"""
    relevant = collections.defaultdict(set)
    for line in path.read_text("utf-8").splitlines()[1:]:
        query, text, grade = line.split("\t")
        if int(grade) > 0:
            relevant[query].add(text)
    return relevant


class Task:
    """Questions of one set on texts of another; ids of questions agree between the languages."""

    def __init__(self, data, questions, texts):
        corpus = read_lines(data / texts / "corpus.jsonl")
        judgements = read_judgements(data / texts / "qrels.tsv")
        asked = [q for q in read_lines(data / questions / "queries.jsonl") if judgements.get(q["_id"])]
        self.ids = [text["_id"] for text in corpus]
        self.texts = [text["text"] for text in corpus]
        self.questions = [q["text"] for q in asked]
        self.relevant = [judgements[q["_id"]] for q in asked]

    def measure(self, scores):
        """(nDCG@10, Recall@3) of each question from the scores (questions, texts)."""
        result = np.zeros((len(self.questions), 2))
        for i, row in enumerate(scores):
            best = [self.ids[j] in self.relevant[i] for j in np.argsort(-row, kind="stable")[:10]]
            discount = 1 / np.log2(np.arange(2, 12))
            ideal = discount[:min(10, len(self.relevant[i]))].sum()
            result[i] = (discount[:len(best)] @ best) / ideal, sum(best[:3]) / min(3, len(self.relevant[i]))
        return result


def bm25(task, tokenizer, k1=1.2, b=0.75):
    """Scores (questions, texts) over folded words."""
    documents = [collections.Counter(tokenizer.words(text)) for text in task.texts]
    lengths = np.array([sum(d.values()) for d in documents])
    postings = collections.defaultdict(list)
    for i, document in enumerate(documents):
        for word, count in document.items():
            postings[word].append((i, count))
    scores = np.zeros((len(task.questions), len(documents)))
    for row, question in zip(scores, task.questions):
        for word in tokenizer.words(question):
            if word in postings:
                where, counts = np.array(postings[word]).T
                idf = np.log(1 + (len(documents) - len(where) + .5) / (len(where) + .5))
                norm = k1 * (1 - b + b * lengths[where] / lengths.mean())
                row[where] += idf * counts * (k1 + 1) / (counts + norm)
    return scores


def hybrid(dense, sparse):
    """Half of each, normalised from the theoretical minimum (-1 and 0) to the question's maximum."""
    dense = (dense + 1) / (dense.max(1, keepdims=True) + 1)
    return dense / 2 + sparse / np.maximum(sparse.max(1, keepdims=True), 1e-9) / 2


def interval(values):
    """Mean and its 95% interval."""
    rng = np.random.default_rng(SEED)
    draws = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(1)
    return values.mean(), *np.percentile(draws, [2.5, 97.5])


def ratio(over, under):
    """Ratio of two means over the same questions, with its paired interval."""
    rng = np.random.default_rng(SEED)
    chosen = rng.integers(0, len(over), (DRAWS, len(over)))
    return over.mean() / under.mean(), *np.percentile(over[chosen].mean(1) / under[chosen].mean(1), [2.5, 97.5])


def teacher_vectors(folder, task_name, part, texts):
    path = folder / f"{task_name}-{part}.npy"
    if not path.exists():
        import teacher
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, teacher.Teacher().encode(texts))
    return np.load(path)


def show(triple):
    return "{:.3f} ({:.3f}–{:.3f})".format(*triple)


def evaluate(model, data, work):
    """Prints the table; returns {task name: per-question measures of the model}."""
    print("| task | system | nDCG@10 | Recall@3 |\n|---|---|---|---|")
    measured = {}
    for name, questions, texts in TASKS:
        task = Task(data, questions, texts)
        q = teacher_vectors(work / "evaluation", questions, "questions", task.questions)
        t = teacher_vectors(work / "evaluation", texts, "texts", task.texts)
        dense = model.encode(task.questions) @ model.encode(task.texts).T
        sparse = bm25(task, model.tokenizer)
        systems = {"teacher": q @ t.T, "house": dense, "BM25": sparse, "BM25 + house": hybrid(dense, sparse)}
        results = {system: task.measure(scores) for system, scores in systems.items()}
        for system, result in results.items():
            print(f"| {name} | {system} | {show(interval(result[:, 0]))} | {show(interval(result[:, 1]))} |")
        measured[name] = results
    print("\n| goal | measured |\n|---|---|")
    for name in ("Cranfield", "XQuAD en"):
        result = ratio(measured[name]["house"][:, 0], measured[name]["teacher"][:, 0])
        print(f"| {name}: house / teacher, nDCG@10, ≥ .80 | {show(result)} |")
    result = ratio(measured["XQuAD es"]["house"][:, 0], measured["XQuAD en"]["house"][:, 0])
    print(f"| XQuAD: es / en, nDCG@10, ≥ .90 | {show(result)} |")
    for name, _, _ in TASKS[:3]:
        change = measured[name]["BM25 + house"][:, 0] - measured[name]["BM25"][:, 0]
        print(f"| {name}: BM25 + house − BM25, nDCG@10, ≥ 0 | {show(interval(change))} |")
    return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path.home() / ".cache/jarvis/train")
    args = parser.parse_args()
    evaluate(static_model.load(args.model), args.data, args.work)


if __name__ == "__main__":
    main()
