#!/usr/bin/env python3
"""rerank_evaluate.py JARVIS --model FILE --data DIR [--limit N]: the table of the reranker's card, made by the product itself.

JARVIS is the program, FILE the rerank model, DIR holds the sets that evaluate.py describes. For each task `jarvis eval` searches with and without
the rerank model and writes its rankings; here they are compared question by question. The service that it starts keeps
its files in a folder of its own, which is removed afterwards.

Intervals: percentile bootstrap over the questions, 2,000 draws, 95%; that of a difference is paired.
"""

import argparse
import collections
import os
import pathlib
import subprocess
import tempfile

import numpy as np

import evaluate

METHODS = ("hybrid", "hybrid+rerank")


def rankings(path):
    """{method: {question: texts, best first}} of a file in trec_eval's form."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for line in path.read_text("utf-8").splitlines():
        question, _, text, rank, _, method = line.split()
        found[method][question].append((int(rank), text))
    return {method: {q: [t for _, t in sorted(rows)] for q, rows in asked.items()} for method, asked in found.items()}


def measures(ranked, relevant):
    """(nDCG@10, Recall@3) of one question."""
    hits = np.array([text in relevant for text in ranked[:10]], float)
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = discount[:min(10, len(relevant))].sum()
    return discount[:len(hits)] @ hits / ideal, hits[:3].sum() / min(3, len(relevant))


def run(program, model, data, questions, texts, limit, home):
    environment = {**os.environ, "JARVIS_HOME": home}

    def jarvis(*words):
        subprocess.run([program, *words], check=True, env=environment, stdout=subprocess.DEVNULL)

    jarvis("models", "add", str(model.resolve()), "--role", "rerank")
    out = pathlib.Path(home) / "rankings"
    command = ["eval", str(data / texts), "--queries", str(data / questions / "queries.jsonl"),
               "--rankings", str(out)]
    if limit:
        command += ["--limit", str(limit)]
    jarvis(*command)
    jarvis("stop")
    return rankings(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="only the first N questions of each task")
    args = parser.parse_args()
    print("| task | questions | search | nDCG@10 | Recall@3 |\n|---|---|---|---|---|")
    for name, questions, texts in evaluate.TASKS:
        relevant = evaluate.read_judgements(args.data / texts / "qrels.tsv")
        with tempfile.TemporaryDirectory() as home:
            found = run(args.program, args.model, args.data, questions, texts, args.limit, home)
        asked = sorted(found[METHODS[0]])
        table = {m: np.array([measures(found[m].get(q, []), relevant[q]) for q in asked]) for m in METHODS}
        for method, values in table.items():
            cells = " | ".join(evaluate.show(evaluate.interval(values[:, i])) for i in (0, 1))
            print(f"| {name} | {len(asked)} | {method} | {cells} |", flush=True)
        change = table[METHODS[1]] - table[METHODS[0]]
        cells = " | ".join("{:+.3f} ({:+.3f}–{:+.3f})".format(*evaluate.interval(change[:, i])) for i in (0, 1))
        print(f"| {name} | {len(asked)} | difference | {cells} |", flush=True)


if __name__ == "__main__":
    main()
