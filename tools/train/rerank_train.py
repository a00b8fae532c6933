#!/usr/bin/env python3
"""rerank_train.py [FOLDER] [--minutes M] [--out MODEL.gguf]: trains the house reranker.

What is learned: to give a question's own passage a higher score than the others that search finds for it. The model begins
as one that compares words by the house embedder's vectors (rerank_model.py), whose table stays as it is; layers and
positions are trained.

  1. Pieces  27,500 of the embedder's 39,558: the first 15,500 English ones (its teacher's order is by frequency) and all
             Spanish ones; their vectors are turned to the 160 directions that carry most.
  2. Lists   Of each question its own passage and WRONG others, some from the top of what search finds, some from further
             down. An English question reads English passages, a Spanish one Spanish or English ones. Of a long passage
             the part is read that shares most pieces with the question, as the product does.
  3. Train   Cross entropy over the scores of a list; Adam, bfloat16, a rate that rises and falls with the clock.
  4. Judge   On the held-out documents: reciprocal rank of the own passage among 20, by the model alone and mixed with
             search.

The clock rules: a run takes --minutes, and one that was stopped goes on from FOLDER/rerank/NAME.pt with what is left.
"""

import argparse
import copy
import json
import os
import pathlib
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F

import rerank_corpus
import rerank_mine
import rerank_model as modelling
import static_model

SEED = 20261123
SHAPE = {"width": 192, "layers": 2, "inner": 384, "heads": 1}
CONTENT = 160
ENGLISH, SPANISH_FROM, PIECES = 15500, 27558, 27500
WRONG = 5
LISTS = 8  # of a step
STRIDE = 28
JUDGED = 40  # questions of each kind, every so often
SHARES = (0, .2, .4, .6, .8, 1)  # of the model in a mix


# --- text to tokens ----------------------------------------------------------------------------------------------


def best_part(passage, question, room=modelling.PASSAGE):
    """The `room` pieces of the passage that hold most of the question's."""
    if len(passage) <= room:
        return passage
    wanted = set(question)
    starts = range(0, len(passage) - room + STRIDE, STRIDE)
    return max((passage[s:s + room] for s in starts), key=lambda part: len(wanted.intersection(part)))


def tensors(pairs):
    """(ids, positions, first) of (question, passage) pairs of pieces; [CLS] is always the first token."""
    rows, begins = [], []
    for question, passage in pairs:
        question = question[:modelling.DOCUMENT_AT - 2]
        rows.append([modelling.CLS, *question, modelling.SEP, *passage, modelling.SEP])
        begins.append(modelling.DOCUMENT_AT - 2 - len(question))
    ids = np.full((len(rows), max(map(len, rows))), modelling.PAD)
    for row, tokens in zip(ids, rows):
        row[:len(tokens)] = tokens
    positions = np.minimum(np.array(begins)[:, None] + np.arange(ids.shape[1]), modelling.TABLE - 1)
    return torch.from_numpy(ids), torch.from_numpy(positions), torch.zeros(len(rows), dtype=torch.long)


class Corpus:
    def __init__(self, folder, tokenizer):
        self.passages = rerank_mine.read(folder / "passages.jsonl")
        self.questions = rerank_mine.read(folder / "questions.jsonl")
        mined = np.load(folder / "lists.npz")
        self.candidates, self.hybrid = mined["candidates"], mined["hybrid"].astype(np.float32)
        self.tokenizer = tokenizer
        self.known = {}
        held = [rerank_corpus.is_held_out(row) for row in self.passages]
        titles = {}
        for q in self.questions:
            titles[q["text"]] = titles.get(q["text"], 0) + 1
        use = [i for i, q in enumerate(self.questions) if titles[q["text"]] < 3]
        self.training = np.array([i for i in use if not held[self.questions[i]["passage"]]])
        self.held = np.array([i for i in use if held[self.questions[i]["passage"]]])

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def passage(self, row, spanish, hidden):
        text = self.passages[row]["text_es" if spanish else "text"]
        if hidden and hidden in text:
            return self.encode(text.replace(hidden, " "))
        key = 2 * row + spanish
        if key not in self.known:
            self.known[key] = np.array(self.encode(text), np.uint16)
        return self.known[key].tolist()

    def list_of(self, number, spanish, chosen):
        """The pairs of one question with the chosen candidates; the first is its own passage."""
        asked = self.questions[number]
        question = self.encode(asked["text"])
        hidden = asked.get("hide_es" if spanish else "hide")
        pairs = []
        for at in chosen:
            row = int(self.candidates[number, at])
            if not spanish or "text_es" in self.passages[row]:
                pairs.append((question, best_part(self.passage(row, spanish, hidden if at == 0 else None), question)))
        return pairs

    def draw(self, number, rng):
        """A list to train on: own passage, then WRONG others; None where there are too few in the language."""
        asked = self.questions[number]
        both = "text_es" in self.passages[asked["passage"]]
        spanish = both and rng.random() < (0.5 if asked["language"] == "es" else 0.1)
        near = rng.choice(np.arange(1, 9), 4, replace=False)
        far = rng.choice(np.arange(9, rerank_mine.CANDIDATES), 4, replace=False)
        mixed = [at for two in zip(near, far) for at in two]
        pairs = self.list_of(number, spanish, [0, *mixed])[:1 + WRONG]
        return pairs if len(pairs) == 1 + WRONG else None


# --- training ----------------------------------------------------------------------------------------------------


def start(house):
    """(pieces, their vectors) to begin with."""
    english, spanish = house.tokenizer.pieces[:SPANISH_FROM], house.tokenizer.pieces[SPANISH_FROM:]
    pieces = modelling.choose_pieces(english[:ENGLISH] + spanish, PIECES)
    rows = np.array([house.tokenizer.ids.get(piece, -1) for piece in pieces])
    _, directions = np.linalg.eigh(house.vectors.T @ house.vectors)
    vectors = np.where(rows[:, None] >= 0, house.vectors[rows], 0)
    return pieces, (vectors @ directions[:, ::-1][:, :CONTENT]).astype(np.float32)


def judging_lists(corpus):
    """{kind: [(pairs, search scores)]} of held-out questions."""
    lists = {"en": [], "es": [], "es-en": []}
    everything = np.arange(rerank_mine.CANDIDATES)
    for number in np.random.default_rng(SEED).permutation(corpus.held):
        asked = corpus.questions[number]
        kind = "en" if asked["language"] == "en" else ("es" if number % 2 else "es-en")
        if len(lists[kind]) < JUDGED:
            rows = corpus.candidates[number]
            kept = [at for at in everything if kind != "es" or "text_es" in corpus.passages[rows[at]]]
            lists[kind].append((corpus.list_of(number, kind == "es", kept), corpus.hybrid[number, kept]))
    return lists


def judge(model, lists):
    """{kind: reciprocal rank by search, by mixes with more and more of the model, by the model alone}."""
    result = {}
    for kind, items in lists.items():
        ranks = []
        for pairs, hybrid in items:
            with torch.no_grad():
                chance = torch.sigmoid(model(*tensors(pairs)).float()).numpy()
            mixes = [share * chance + (1 - share) * hybrid / hybrid.max() for share in SHARES]
            ranks.append([1 / (1 + (mix > mix[0]).sum()) for mix in mixes])
        result[kind] = np.mean(ranks, 0).round(3).tolist()
    return result


def calibrate(model, lists):
    """Changes the score so that its logistic function is the probability of being the own passage (Platt): training by
    lists leaves scale and level open, and the product mixes that probability with the search's score."""
    with torch.no_grad():
        scores = [model(*tensors(pairs)).float() for items in lists.values() for pairs, _ in items]
        right = torch.cat([torch.eye(len(s))[0] for s in scores])
        scores = torch.cat(scores)
    scale, level = torch.ones((), requires_grad=True), torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([scale, level], max_iter=100)

    def closure():
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(scale * scores + level, right)
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        model.score.weight *= scale
        model.score.bias.mul_(scale).add_(level)


def train(model, corpus, args, report):
    trained = [p for name, p in model.named_parameters() if name != "tokens.weight"]
    model.tokens.weight.requires_grad_(False)
    optimiser = torch.optim.AdamW(trained, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01)
    spent, step, total = 0.0, 0, 0.0
    if args.checkpoint.exists():
        saved = torch.load(args.checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        spent, step = saved["spent"], saved["step"]
    rng = np.random.default_rng([SEED, step])
    order, at, reported, began = rng.permutation(corpus.training), 0, time.monotonic(), time.monotonic() - spent
    while (spent := time.monotonic() - began) < args.minutes * 60:
        part = min(1.0, spent / (args.minutes * 60))
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min(1.0, (step + 1) / 100) * (1 - part) + 1e-6
        batch = []
        while len(batch) < LISTS:
            if at == len(order):
                order, at = rng.permutation(corpus.training), 0
            drawn = corpus.draw(int(order[at]), rng)
            at += 1
            if drawn:
                batch.append(drawn)
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(*tensors([pair for pairs in batch for pair in pairs])).float().view(LISTS, 1 + WRONG)
        loss = F.cross_entropy(scores, torch.zeros(LISTS, dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        step, total = step + 1, total + loss.item()
        if step % 10 == 0:
            print(f"{spent / 60:.1f} min, step {step}: loss {total / 10:.3f}", flush=True)
            total = 0.0
        if time.monotonic() - reported > args.report * 60:
            report(model)
            torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "spent": spent,
                        "step": step}, args.checkpoint)
            reported = time.monotonic()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path.home() / ".cache/jarvis/train")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("models/jarvis-rerank.gguf"))
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--report", type=float, default=6, help="judge and save every so many minutes")
    args = parser.parse_args()
    args.checkpoint = args.folder / "rerank" / (args.out.stem + ".pt")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    pieces, vectors = start(static_model.load(rerank_mine.HOUSE))
    model = modelling.Reranker(len(pieces), **SHAPE)
    model.begin(vectors)
    corpus = Corpus(args.folder / "rerank", modelling.make_tokenizer(pieces))
    lists = judging_lists(corpus)
    print(f"{len(corpus.training)} questions, {len(corpus.held)} held out", flush=True)

    def report(trained):
        model = copy.deepcopy(trained)
        calibrate(model, lists)
        print("  " + json.dumps(judge(model, lists)), flush=True)
        modelling.save(args.out, model, pieces, {
            "general.name": "jarvis-rerank", "general.license": "MIT", "general.languages": ["en", "es"],
            "general.description": "small bilingual cross-encoder for questions and passages"})

    report(model)
    train(model, corpus, args, report)
    report(model)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
