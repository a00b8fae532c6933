#!/usr/bin/env python3
"""distil.py [FOLDER] [--out MODEL.gguf]: trains the piece vectors of the house embedder from the teacher's vectors.

What is learned: one vector a piece, so that the sum of a text's pieces, brought to unit length, points where the teacher
points for the English of that text, whichever of the two languages the pieces are of.

  1. Target  The teacher's 384 dimensions are turned to the D directions that carry most of them (PCA, not centred, so
             that dot products are kept as well as D dimensions can).
  2. Start   An English piece begins as the teacher's vector of that piece alone (model2vec's idea), a new one as the
             mean of the texts that it stands in. Both are weighted by a / (a + frequency), so that "the" says little.
  3. Train   Adam over shuffled pairs. Per batch: cosine of each whole text to its target, and a contrast (InfoNCE) in
             which a random part of each text, in either language, must find its own target among all of the batch. The
             contrast makes a question find a longer text and teaches which words matter; the cosine keeps the
             teacher's geometry.
  4. Write   int8 with a scale a piece, as GGUF; what is measured is the written file.

Texts whose heading hashes to one in twenty, and half of the packages whose Spanish a person wrote, are never trained on:
they are the development set, on which choices were made (never on the evaluation sets): package descriptions found by
their short description, dictionary definitions found by another dictionary's definition of the same word, in each
language and from Spanish to English. A run stopped between epochs goes on from FOLDER/checkpoint.pt.
"""

import argparse
import os
import pathlib
import time
import zlib

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F

import static_model
import teacher as teaching

SEED = 20261122
SIF_A = 1e-3


# --- data --------------------------------------------------------------------------------------------------------


def head_of(text):
    return text.split(": ", 1)[0]


def is_held_out(kind, english, human):
    """Whether a line belongs to the development set; `human`: short descriptions that a person translated."""
    key = zlib.crc32(head_of(english).split(", ")[0].encode())
    return key % 20 == 0 or (kind in ("package", "article") and head_of(english).split(". ")[0] in human
                             and key % 2 == 0)


def read_corpus(folder, rows):
    """(lines, indices to train on, indices held out) of the first `rows` lines; the vectors' rows agree."""
    lines = [line.split("\t") for line in (folder / "corpus.tsv").read_text("utf-8").splitlines()]
    packages = {english for kind, english, _ in lines if kind == "package"}
    human = {head_of(text) for text in packages if ": " in text} & packages
    held = [is_held_out(kind, english, human) for kind, english, _ in lines]
    training = np.array([i for i in range(min(rows, len(lines))) if not held[i]])
    return lines, training, [lines[i] for i in range(len(lines)) if held[i]], human


class Bags:
    """Token ids of many texts, one after the other."""

    def __init__(self, tokenizer, texts, limit=320):
        encoded = [tokenizer.encode(text)[:limit] or [0] for text in texts]
        self.lengths = np.array([len(ids) for ids in encoded])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.ids = np.fromiter((i for ids in encoded for i in ids), np.int32)

    def batch(self, rows, rng=None):
        """(ids, offsets) of the texts; with rng, a random part of each: from 20% to all of its pieces."""
        lengths = self.lengths[rows]
        begins = np.repeat(self.starts[rows], lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ids = self.ids[begins + np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)]
        if rng is not None:
            share = np.repeat(rng.uniform(0.2, 1.0, len(rows)), lengths)
            keep = rng.random(len(ids)) < share
            keep[offsets[:-1] + (rng.random(len(rows)) * lengths).astype(int)] = True  # never none
            offsets = np.concatenate([[0], np.cumsum(np.add.reduceat(keep, offsets[:-1]))])
            ids = ids[keep]
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(offsets[:-1].astype(np.int64))


def development(held, human):
    """{name: (questions, texts)} where question i asks for text i."""
    tasks = {name: ([], []) for name in ("packages en", "packages es", "packages es-en",
                                         "words en", "words es", "words es-en")}
    shorts = {english: spanish for kind, english, spanish in held if kind == "package"}
    for english, spanish in shorts.items():
        head = head_of(english)
        if head in human and head in shorts and ": " in english and spanish.startswith(shorts[head] + ": "):
            text, texto = english[len(head) + 2:], spanish[len(shorts[head]) + 2:]
            for name, question, answer in (("packages en", head, text), ("packages es", shorts[head], texto),
                                           ("packages es-en", shorts[head], text)):
                tasks[name][0].append(question)
                tasks[name][1].append(answer)
    entries = {head_of(e): (e, s) for kind, e, s in held if kind == "entry"}
    glosses = {}
    for kind, english, spanish in held:
        if kind == "gloss":
            glosses.setdefault(head_of(english).split(", ")[0], []).append((english, spanish))
    for head, (english, spanish) in sorted(entries.items()):
        if len(glosses.get(head, ())) == 1:
            other, otro = glosses[head][0]
            cut = [text.split(": ", 1)[-1] for text in (english, spanish, other, otro)]
            for name, question, answer in (("words en", cut[0], cut[2]), ("words es", cut[1], cut[3]),
                                           ("words es-en", cut[1], cut[2])):
                tasks[name][0].append(question)
                tasks[name][1].append(answer)
    return tasks


def reciprocal_rank(questions, texts):
    """Mean reciprocal rank of text i for question i."""
    scores = questions @ texts.T
    own = scores.diagonal()[:, None]
    return float((1 / (1 + (scores > own).sum(1))).mean())


def judge(model, tasks):
    return {name: reciprocal_rank(model.encode(q), model.encode(t)) for name, (q, t) in tasks.items()}


# --- the start ---------------------------------------------------------------------------------------------------


def principal(vectors, dimensions):
    """(384, D) matrix of the directions that carry most of the vectors."""
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    return np.ascontiguousarray(directions[:, ::-1][:, :dimensions]).astype(np.float32)


def piece_vectors(folder, pieces):
    """The teacher's vectors of its own pieces, each alone; zeros for pieces that are new."""
    path = folder / "pieces.npy"
    if path.exists() and len(found := np.load(path)) == len(pieces):
        return found
    teacher = teaching.Teacher()
    result = np.zeros((len(pieces), 384), np.float32)
    begin, end = (teacher.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    known = [(i, t) for i, piece in enumerate(pieces) if (t := teacher.tokenizer.token_to_id(piece)) is not None]
    for at in range(0, len(known), 512):
        rows, tokens = zip(*known[at:at + 512])
        result[list(rows)] = teacher.forward(torch.tensor([[begin, t, end] for t in tokens])).numpy()
    np.save(path, result)
    return result


def start(pieces, bags, training, target):
    """(pieces, D) vectors to begin with."""
    counts = np.zeros(len(pieces))
    for bag in bags:
        counts += np.bincount(bag.ids, minlength=len(pieces))
    fresh = ~pieces.any(1)
    centred = target - target.mean(0)
    sums = torch.zeros(pieces.shape)
    for bag in bags:
        for at in range(0, len(training), 8192):
            rows = training[at:at + 8192]
            ids, offsets = bag.batch(rows)
            lengths = torch.diff(offsets, append=torch.tensor([len(ids)]))
            spread = torch.repeat_interleave(centred[at:at + 8192] / lengths[:, None], lengths, 0)
            chosen = torch.from_numpy(fresh)[ids]
            sums.index_add_(0, ids[chosen], spread[chosen])
    vectors = np.where(fresh[:, None], sums.numpy(), pieces - pieces[~fresh].mean(0))
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    rng = np.random.default_rng(SEED)
    missing = ~vectors.any(1)
    vectors[missing] = rng.standard_normal((missing.sum(), vectors.shape[1])) / vectors.shape[1] ** .5
    return vectors * (SIF_A / (SIF_A + counts / counts.sum()))[:, None]


# --- training ----------------------------------------------------------------------------------------------------


def contrast(found, target, temperature):
    logits = found @ target.T / temperature
    return F.cross_entropy(logits, torch.arange(len(found)))


def embed(table, ids_offsets):
    return F.normalize(F.embedding_bag(ids_offsets[0], table, ids_offsets[1], mode="sum"), dim=-1)


def loss_of(table, english, spanish, target, rows, at, rng, args):
    """Of one batch: `rows` are texts, `at` their rows in the targets."""
    goal = target[at]
    whole_en, whole_es = embed(table, english.batch(rows)), embed(table, spanish.batch(rows))
    near = 2 - (whole_en * goal).sum(1).mean() - (whole_es * goal).sum(1).mean()
    if args.contrast == 0:
        return near
    part_en, part_es = embed(table, english.batch(rows, rng)), embed(table, spanish.batch(rows, rng))
    far = (contrast(part_en, goal, args.temperature) + contrast(part_es, goal, args.temperature)
           + contrast(part_en, whole_en, args.temperature) + contrast(part_es, whole_es, args.temperature)
           + contrast(part_es, whole_en, args.temperature))
    return near + args.contrast * far


def train(table, english, spanish, target, training, args, report):
    """Changes `table` in place."""
    optimiser = torch.optim.Adam([table], lr=args.rate)
    steps = args.epochs * (len(training) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, total_steps=steps + 1, pct_start=0.05)
    first = 0
    if args.checkpoint.exists():
        saved = torch.load(args.checkpoint, weights_only=True)
        with torch.no_grad():
            table.copy_(saved["table"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["epoch"]
    for epoch in range(first, args.epochs):
        rng = np.random.default_rng([SEED, epoch])
        order, total, started = rng.permutation(len(training)), 0.0, time.monotonic()
        for begin in range(0, len(order) - args.batch + 1, args.batch):
            at = order[begin:begin + args.batch]
            loss = loss_of(table, english, spanish, target, training[at], torch.from_numpy(at), rng, args)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        torch.save({"table": table.detach(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict(),
                    "epoch": epoch + 1}, args.checkpoint)
        mean = total / (len(order) // args.batch)
        print(f"epoch {epoch + 1}: loss {mean:.4f}, {time.monotonic() - started:.0f} s", flush=True)
        if (epoch + 1) % args.report == 0 or epoch + 1 == args.epochs:
            report(table)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path.home() / ".cache/jarvis/train")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("models/jarvis-embed.gguf"))
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--temperature", type=float, default=0.05)
    parser.add_argument("--contrast", type=float, default=0.1, help="weight of the contrast; 0: cosine alone")
    parser.add_argument("--report", type=int, default=3, help="judge every so many epochs")
    parser.add_argument("--shards", type=int, default=10**6, help="use at most so many of the teacher's shards")
    args = parser.parse_args()
    args.checkpoint = args.folder / (args.out.stem + ".checkpoint.pt")
    return args


def main():
    args = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    shards = sorted((args.folder / "teacher").glob("*.npy"))[:args.shards]
    assert [int(path.stem) for path in shards] == list(range(len(shards))), "a shard is missing: run teacher.py"
    vectors = np.concatenate([np.load(path) for path in shards]).astype(np.float32)
    lines, training, held, human = read_corpus(args.folder, len(vectors))
    pieces = (args.folder / "vocabulary.txt").read_text("utf-8").split()
    tokenizer = static_model.Tokenizer(pieces, static_model.make_fold())
    english, spanish = (Bags(tokenizer, [line[side] for line in lines[:len(vectors)]]) for side in (1, 2))
    tasks = development(held, human)
    turn = principal(vectors[:20000], args.dimensions)
    target = F.normalize(torch.from_numpy(vectors[training] @ turn), dim=-1)
    begin = start(piece_vectors(args.folder, pieces) @ turn, (english, spanish), training, target)
    table = torch.nn.Parameter(torch.from_numpy(begin.astype(np.float32)))
    print(f"{len(training)} pairs, {len(pieces)} pieces, {args.dimensions} dimensions;",
          "development:", {name: len(q) for name, (q, _) in tasks.items()}, flush=True)

    def report(table):
        rows, scale = static_model.quantize(table.detach().numpy())
        judged = judge(static_model.StaticModel(tokenizer, rows, scale), tasks)
        print("  " + ", ".join(f"{name} {value:.3f}" for name, value in judged.items()), flush=True)

    report(table)
    train(table, english, spanish, target, training, args, report)
    rows, scale = static_model.quantize(table.detach().numpy())
    static_model.save(args.out, tokenizer, rows, scale, {
        "general.name": "jarvis-embed", "general.license": "MIT", "general.languages": ["en", "es"],
        "general.description": "static bilingual text embeddings distilled from all-MiniLM-L6-v2"})
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
