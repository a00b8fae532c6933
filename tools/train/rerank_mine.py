#!/usr/bin/env python3
"""rerank_mine.py [FOLDER]: for each question of the reranker's corpus, the passages that it must tell apart.

For every question, CANDIDATES passages: its own first, then the best others that the product's own search finds (half
BM25, half house embedder) among the passages of the same half of the corpus: trained on, or held out. A Spanish question
searches by the English that stands beside it, so that a list can be shown in either language.

Writes FOLDER/rerank/lists.npz: candidates (questions, CANDIDATES) int32 and their search scores, hybrid float16. About
two minutes of one core. Needs models/jarvis-embed.gguf.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

import evaluate
import rerank_corpus
import static_model

CANDIDATES = 20
HOUSE = pathlib.Path(__file__).resolve().parents[2] / "models/jarvis-embed.gguf"


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Half:
    """The passages of one half of the corpus, searchable like the product does."""

    def __init__(self, rows, texts, house):
        self.rows = rows
        self.house = house
        self.dense = house.encode([texts[i] for i in rows])
        postings, lengths = {}, np.zeros(len(rows), np.float32)
        for at, i in enumerate(rows):
            words = list(house.tokenizer.words(texts[i]))
            lengths[at] = len(words)
            for word in set(words):
                postings.setdefault(word, []).append((at, words.count(word)))
        self.postings = {}
        for word, found in postings.items():
            where, counts = np.array(found, np.int32).T
            idf = np.log(1 + (len(rows) - len(where) + .5) / (len(where) + .5))
            norm = 1.2 * (.25 + .75 * lengths[where] / lengths.mean())
            self.postings[word] = where, (idf * counts * 2.2 / (counts + norm)).astype(np.float32)

    def sparse(self, question):
        scores = np.zeros(len(self.rows), np.float32)
        for word in self.house.tokenizer.words(question):
            if word in self.postings:
                where, weights = self.postings[word]
                scores[where] += weights
        return scores

    def search(self, texts):
        """Hybrid scores (texts, passages)."""
        dense = self.house.encode(texts) @ self.dense.T
        return evaluate.hybrid(dense, np.stack([self.sparse(text) for text in texts]))


def mine(half, numbers, questions, ret):
    place = {row: at for at, row in enumerate(half.rows)}
    for begin in range(0, len(numbers), 1024):
        part = numbers[begin:begin + 1024]
        scores = half.search([questions[i]["meaning"] for i in part])
        for row, i in zip(scores, part):
            own = place[questions[i]["passage"]]
            best = np.argpartition(-row, CANDIDATES)[:CANDIDATES]
            best = best[np.argsort(-row[best], kind="stable")]
            chosen = [own, *best[best != own][:CANDIDATES - 1]]
            ret["candidates"][i] = half.rows[chosen]
            ret["hybrid"][i] = row[chosen]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path.home() / ".cache/jarvis/train")
    folder = parser.parse_args().folder / "rerank"
    rows, questions = read(folder / "passages.jsonl"), read(folder / "questions.jsonl")
    house = static_model.load(HOUSE)
    held = np.array([rerank_corpus.is_held_out(row) for row in rows])
    result = {"candidates": np.zeros((len(questions), CANDIDATES), np.int32),
              "hybrid": np.zeros((len(questions), CANDIDATES), np.float16)}
    for side in (False, True):
        half = Half(np.flatnonzero(held == side), [row["text"] for row in rows], house)
        numbers = [i for i, q in enumerate(questions) if held[q["passage"]] == side]
        mine(half, numbers, questions, result)
        found = result["hybrid"][numbers]
        first = (found[:, :1] >= found[:, 1:]).all(1).mean()
        print(f"{len(numbers)} questions on {len(half.rows)} passages; search puts the own one first for {first:.2f}")
    np.savez(folder / "lists.npz", **result)


if __name__ == "__main__":
    main()
