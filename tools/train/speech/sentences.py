#!/usr/bin/env python3
"""sentences.py: what the house speech model hears in training and in evaluation: sentences of two small grammars.

A grammar (grammar_en.txt, grammar_es.txt) has lines "name: alternative | alternative"; {name} inside an alternative stands
for any alternative of that name. Each expansion starts at {sentence}. Together they make far more sentences than anyone
could train on; the words are about 800 in each language.

Which side a sentence falls on is decided by its own checksum (is_held_out), so that no evaluation sentence can have been
trained on, whatever the seeds.
"""

import pathlib
import re
import zlib

HERE = pathlib.Path(__file__).parent
LANGUAGES = ("en", "es")
MAX_WORDS = 16
_REFERENCE = re.compile(r"\{(\w+)\}")


def is_held_out(text):
    """Whether a sentence belongs to the evaluation; one in eight does."""
    return zlib.crc32(text.encode()) % 8 == 0


class Grammar:
    """The sentences of one language."""

    def __init__(self, language):
        self.rules = {}
        for line in (HERE / f"grammar_{language}.txt").read_text("utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                name, alternatives = line.split(":", 1)
                self.rules[name] = [a.strip() for a in alternatives.split("|")]
        self.words = sorted({word for alternatives in self.rules.values() for text in alternatives
                             for word in _REFERENCE.sub(" ", text).split()})

    def _expand(self, rng, text, depth=0):
        if depth > 12:
            raise RecursionError
        return _REFERENCE.sub(lambda m: self._expand(rng, rng.choice(self.rules[m[1]]), depth + 1), text)

    def sentence(self, rng):
        """One sentence of at most MAX_WORDS words, by `rng` (random.Random)."""
        while True:
            try:
                text = self._expand(rng, "{sentence}")
            except RecursionError:
                continue
            if len(text.split()) <= MAX_WORDS:
                return text

    def held_out(self, rng):
        """A sentence of at least two words that training never sees."""
        while True:
            text = self.sentence(rng)
            if is_held_out(text) and len(text.split()) > 1:
                return text

    def salad(self, rng):
        """Words in no order, so that rare words are heard as often as common ones and the ear learns, not only the habit."""
        return " ".join(rng.choice(self.words) for _ in range(rng.randint(1, 9)))

    def training(self, rng):
        """A sentence to train on: one in five is salad."""
        while True:
            text = self.salad(rng) if rng.random() < 0.2 else self.sentence(rng)
            if not is_held_out(text):
                return text


if __name__ == "__main__":
    import random
    for language in LANGUAGES:
        grammar, rng = Grammar(language), random.Random(1)
        print(language, len(grammar.words), "words")
        for _ in range(12):
            print("  ", grammar.sentence(rng))
