#!/usr/bin/env python3
"""make_fixture.py: writes what the C tests of the static embedder compare with, from the Python reference.

tests/unit/engine/static/tiny.gguf    a model of the real format with a few hundred random pieces of 16 dimensions
tests/unit/engine/static/tiny.tsv     text TAB piece ids TAB components of its vector, by that model
tests/unit/engine/static/house.tsv    the same by models/jarvis-embed.gguf, the first 8 components

Run it after models/jarvis-embed.gguf has changed.
"""

import pathlib
import random

import numpy as np

import static_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = [
    "", " ", "...", "a", "The boundary layer of a wing.", "¿Qué es la capa límite de un ala?",
    "Ñandú, pingüino; CORAZÓN – niño/NIÑO", "un pingüino (n + virgulilla: mañana)",
    "Straße Ærø œuvre Łódź İstanbul ı", "ﬁne ﬂow ﬀ ２０２６ ｆｕｌｌ ⅷ ½ x² ™ №", "soft­hyphen zero​width e\u0301t\u00e9",
    "Ελληνικά и русский 日本語 text", "emoji 👩‍🚀 and 𝕸𝖆𝖙𝖍 letters", "don't l'eau rock'n'roll C++ C# .NET",
    "x" * 64, "x" * 65, "y" * 200 + " z", "a1b2c3 3.14159 1,000,000 0xDEADBEEF",
    "ﬃ" * 30, "supercalifragilisticexpialidocious", "hidroelectricidad desafortunadamente antihistamínico",
    "tab_and_underscore-and-dash", "email@example.org https://example.org/path?q=1",
    "How does photosynthesis work? ¿Cómo funciona la fotosíntesis?", "K Å ſ", "word\u00a0nbsp\u2028line\u3000wide",
]


def write_expected(path, model, components):
    lines = []
    for text, vector in zip(TEXTS, model.encode(TEXTS)):
        ids = " ".join(map(str, model.tokenizer.encode(text)))
        lines.append(f"{text}\t{ids}\t{' '.join(f'{c:.7f}' for c in vector[:components])}\n")
    path.write_text("".join(lines), "utf-8", newline="\n")


def tiny_model(path):
    rng = random.Random(3)
    singles = "abcdefghijklmnopqrstuvwxyz0123456789"
    fold = static_model.make_fold()
    words = {w for text in TEXTS for w in static_model.WORD.findall(text.translate(fold))}
    pieces = {p for c in singles for p in (c, "##" + c)} | {w for w in sorted(words) if len(w) < 20 and rng.random() < .5}
    for word in sorted(words):
        begin = rng.randrange(len(word))
        piece = word[begin:begin + rng.randrange(1, 9)]
        pieces.add(piece if begin == 0 else "##" + piece)
    tokenizer = static_model.Tokenizer(sorted(pieces), fold)
    vectors = np.random.default_rng(3).standard_normal((len(pieces), 16)).astype(np.float32)
    rows, scale = static_model.quantize(vectors)
    static_model.save(path, tokenizer, rows, scale, {"general.name": "tiny"})


def main():
    folder = ROOT / "tests/unit/engine/static"
    folder.mkdir(exist_ok=True)
    tiny_model(folder / "tiny.gguf")
    write_expected(folder / "tiny.tsv", static_model.load(folder / "tiny.gguf"), 16)
    write_expected(folder / "house.tsv", static_model.load(ROOT / "models/jarvis-embed.gguf"), 8)


if __name__ == "__main__":
    main()
