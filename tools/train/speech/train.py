#!/usr/bin/env python3
"""train.py FOLDER [--minutes N]: trains the house speech model on what make_data.py wrote.

What is learned, all at once:
  - the decoder's next token (cross entropy over the used tokens; the unused ones count as one row that stands for many);
  - the phoneme of every 20 ms, from the encoder: espeak-ng tells it, so the ear is trained frame by frame;
  - where to look: the top decoder layer's heads, and two of the layer below, are to look at the word that is said next,
    whose times espeak-ng tells too. This replaces the long wait until attention finds by itself what to look at, and gives
    the times of words (libwhisper's DTW, WHISPER_AHEADS_N_TOP_MOST with one layer).

Matrices inside the blocks are trained by Muon (Jordan et al. 2024: momentum, made orthogonal by Newton-Schulz), everything
else by Adam; the step shrinks over the second half of the time. The model that counts is a running mean of the weights.

A run may be stopped at any moment and started again: it goes on from FOLDER/checkpoint.pt, which is written every few
minutes. FOLDER/model.pt is the running mean alone, for export.py. Time, not steps, is what --minutes counts, over all
runs, so a slower machine learns less in as long.
"""

import argparse
import math
import os
import pathlib
import signal
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
import torch.nn.functional as F

import features
import windows
from model import LANGUAGE, Tokens, Whisper, transcribe
from sentences import LANGUAGES, Grammar

SEED = 20261122
CONTEXTS, SHARES = (256, 512, 768, 1500), (0.72, 0.19, 0.04, 0.05)
PHASE_1 = 0.35  # until then only the shortest context
PEAK_RATE, WARM_UP, DECAY_FROM = 2e-3, 150, 0.45
AVERAGE = 0.998


# --- optimiser ---------------------------------------------------------------------------------------------------


def orthogonal(stack):
    """The nearest half-orthogonal matrices of a stack [n, rows, columns], roughly: five Newton-Schulz steps."""
    x = stack.bfloat16()
    turned = x.shape[1] > x.shape[2]
    if turned:
        x = x.transpose(1, 2)
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).bfloat16()
    for _ in range(5):
        square = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.transpose(1, 2) if turned else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal, with steps as long as Adam's, so that one rate serves both. Equal shapes go together."""

    def __init__(self, parameters, momentum=0.95, decay=0.02):
        super().__init__(parameters, {"lr": 0.0, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for parameter in group["params"]:
                shapes.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in shapes.items():
                for parameter in parameters:
                    momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                    momentum.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = [p.grad.lerp(self.state[p]["momentum"], group["momentum"]) for p in parameters]
                length = group["lr"] * 0.2 * math.sqrt(max(shape))
                for parameter, update in zip(parameters, orthogonal(torch.stack(ahead))):
                    parameter.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-length)


def optimisers(net):
    inside = [p for name, p in net.named_parameters() if ".blocks." in name and p.ndim == 2]
    chosen = {id(p) for p in inside}
    others = [p for p in net.parameters() if id(p) not in chosen]
    return Muon(inside), torch.optim.Adam(others, lr=0.0, betas=(0.9, 0.98))


def learning_rate(step, elapsed):
    """elapsed: the share of the time that is over."""
    falling = 1 if elapsed < DECAY_FROM else max(0.02, (1 - elapsed) / (1 - DECAY_FROM))
    return PEAK_RATE * min(1, (step + 1) / WARM_UP) * falling


# --- one step ----------------------------------------------------------------------------------------------------


def losses(net, batch, elapsed):
    """(what to minimise, {name: value})"""
    mel, phonemes, rows, targets, spans = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        heard = net.encoder(mel)
        scores, looks = net.decoder(rows, heard)
        sounds = net.phonemes(heard)
    word = F.cross_entropy(scores.flatten(0, 1), targets.flatten(), ignore_index=windows.NO_LABEL)
    weights = (phonemes > 0).float() * 0.8 + 0.2
    sound = (F.cross_entropy(sounds.float().flatten(0, 1), phonemes.flatten(), reduction="none") * weights.flatten()).sum()
    sound = sound / weights.sum()
    look = looking(torch.cat([looks[-1], looks[-2][:, :2]], 1), spans)
    told = {"word": word.item(), "sound": sound.item(), "look": look.item()}
    hits = (scores.argmax(-1) == targets)[targets >= 0]
    told["right"] = hits.float().mean().item()
    return word + (1.0 if elapsed < PHASE_1 else 0.4) * sound + (0.4 if elapsed < PHASE_1 else 0.15) * look, told


def looking(weights, spans):
    """How little of the heads' attention [batch, heads, n, frames] lies where the next piece is said (mean -log)."""
    guided = spans.any(2)
    if not guided.any():
        return torch.zeros(())
    inside = (weights.transpose(1, 2)[guided].float() * spans[guided][:, None]).sum(2)
    return -torch.log(inside + 1e-3).mean()


class Average:
    """A running mean of the weights, shorter at the beginning."""

    def __init__(self, net):
        self.weights = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net, step):
        share = min(AVERAGE, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            self.weights[name].lerp_(value, 1 - share)


# --- how well ----------------------------------------------------------------------------------------------------


def word_errors(reference, heard):
    """Edits that turn one list of words into the other."""
    row = list(range(len(heard) + 1))
    for i, wanted in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, word in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (wanted != word))
    return row[-1]


def held_out_batches(data, size=40):
    """Clean windows of the held-out utterances that fit 5.12 s, with language and words."""
    fitting = [i for i in range(len(data)) if len(data.mels[i]) < 500]
    for start in range(0, min(len(fitting), 4 * size), size):
        chosen = fitting[start:start + size]
        power = torch.zeros(len(chosen), 512, features.BANDS)
        for row, index in enumerate(chosen):
            mel = torch.from_numpy(data.mels[index]).float()
            power[row, 6:6 + len(mel)] = mel[:506]
        power = power / features.STEPS + features.LOWEST
        mel = (torch.maximum(power, power.amax((1, 2), keepdim=True) - 8) + 4) / 4
        yield mel.transpose(1, 2).contiguous(), [(data.languages[i], data.texts[i]) for i in chosen]


def evaluate(net, tokens, data):
    """(word error rate, share of right languages, an example) on voices and sentences not trained on."""
    errors = words = right = total = 0
    for mel, wanted in held_out_batches(data):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            heard = transcribe(net, tokens, mel)
        for (language, text), (tag, said) in zip(wanted, heard):
            errors, words = errors + word_errors(text, said.split()), words + len(text)
            right, total = right + (tag == language), total + 1
    return errors / words, right / total, f"{' '.join(text)} -> {said}"


# --- the run -----------------------------------------------------------------------------------------------------


class Run:
    def __init__(self, folder, header, minutes):
        self.folder, self.limit = folder, minutes * 60
        words = sorted({word for language in LANGUAGES for word in Grammar(language).words})
        self.tokens = Tokens(features.Header(header), words)
        shards = sorted(folder.glob("shard-*.npz"))
        if not shards:
            raise SystemExit(f"{folder} holds no shards: run make_data.py first")
        data = windows.Utterances(shards)
        self.held = windows.Utterances([folder / "held.npz"], dict(data.phonemes))
        self.rng = np.random.default_rng(SEED)
        self.builder = windows.Builder(data, windows.load_noise(folder), self.tokens, self.rng)
        torch.manual_seed(SEED)
        self.net = Whisper(len(self.tokens.ids), len(data.phonemes) + 40)  # room for what later shards may add
        self.optimisers = optimisers(self.net)
        self.average, self.step, self.seconds = Average(self.net), 0, 0.0
        print(f"{len(data)} utterances, {len(self.tokens.ids)} tokens, {len(data.phonemes)} phonemes, "
              f"{sum(p.numel() for p in self.net.parameters())} parameters", flush=True)

    def load(self):
        path = self.folder / "checkpoint.pt"
        if path.exists():
            kept = torch.load(path, weights_only=False)
            self.net.load_state_dict(kept["net"])
            self.average.weights, self.step, self.seconds = kept["average"], kept["step"], kept["seconds"]
            for optimiser, state in zip(self.optimisers, kept["optimisers"]):
                optimiser.load_state_dict(state)
            self.rng.bit_generator.state = kept["rng"]
            print(f"going on from step {self.step}, {self.seconds / 60:.1f} minutes", flush=True)

    def save(self):
        for name, content in (("checkpoint.pt", {"net": self.net.state_dict(), "average": self.average.weights,
                                                 "step": self.step, "seconds": self.seconds,
                                                 "optimisers": [o.state_dict() for o in self.optimisers],
                                                 "rng": self.rng.bit_generator.state}),
                              ("model.pt", self.average.weights)):
            torch.save(content, self.folder / (name + ".tmp"))
            (self.folder / (name + ".tmp")).replace(self.folder / name)

    def evaluate(self):
        current = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.average.weights)
        rate, tags, example = evaluate(self.net, self.tokens, self.held)
        self.net.load_state_dict(current)
        print(f"held out: WER {rate:.3f}, language {tags:.3f}; {example}", flush=True)

    def train(self, batch_size, every_minutes):
        told, saved, stop = [], self.seconds, []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
        while self.seconds < self.limit and not stop:
            start, elapsed = time.time(), self.seconds / self.limit
            context = CONTEXTS[0] if elapsed < PHASE_1 else int(self.rng.choice(CONTEXTS, p=SHARES))
            batch = self.builder.batch(max(2, batch_size * CONTEXTS[0] // context), context)
            loss, values = losses(self.net, batch, elapsed)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            for optimiser in self.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(self.step, elapsed)
                optimiser.step()
                optimiser.zero_grad()
            self.average.update(self.net, self.step)
            self.step += 1
            told.append(values)
            self.seconds += time.time() - start
            if self.step % 50 == 0:
                means = " ".join(f"{name} {np.mean([t[name] for t in told]):.3f}" for name in values)
                print(f"step {self.step} at {self.seconds:.0f} s: {means}", flush=True)
                told = []
            if self.seconds - saved > 60 * every_minutes:
                self.save()
                self.evaluate()
                saved = self.seconds
        self.save()
        self.evaluate()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--header", default=features.HOUSE_MODEL, help="multilingual Whisper in ggml's format")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--batch", type=int, default=16, help="windows of 5.12 s in a step")
    parser.add_argument("--save-minutes", type=float, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = Run(options.folder, options.header, options.minutes)
    run.load()
    run.train(options.batch, options.save_minutes)


if __name__ == "__main__":
    main()
