#!/usr/bin/env python3
"""The sentences of tools/train/speech, and the model file made with them. Prints TAP; standard library only."""

import pathlib
import random
import re
import struct
import sys

import tap
from tap import Skip, case

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEECH = ROOT / "tools" / "train" / "speech"
MODEL = ROOT / "models" / "jarvis-speech.bin"
sys.path.insert(0, str(SPEECH))
sys.dont_write_bytecode = True

from sentences import LANGUAGES, MAX_WORDS, Grammar, is_held_out  # noqa: E402

SEED = 7
BLOCK_BYTES = {0: (1, 4), 1: (1, 2), 8: (32, 34)}  # ggml's float, half, Q8_0: values and bytes of a block


@case
def every_name_of_a_grammar_is_defined_and_used():
    for language in LANGUAGES:
        rules = Grammar(language).rules
        named = {name for alternatives in rules.values() for text in alternatives for name in re.findall(r"\{(\w+)\}", text)}
        assert named <= set(rules), f"{language}: not defined: {sorted(named - set(rules))}"
        assert set(rules) - named == {"sentence"}, f"{language}: not used: {sorted(set(rules) - named)}"


@case
def words_are_lower_case_letters():
    for language in LANGUAGES:
        wrong = [word for word in Grammar(language).words if not word.isalpha() or word != word.lower()]
        assert not wrong, f"{language}: {wrong}"


@case
def the_same_seed_gives_the_same_sentences():
    for language in LANGUAGES:
        grammar = Grammar(language)
        first, second = ([grammar.sentence(rng) for _ in range(50)] for rng in (random.Random(SEED), random.Random(SEED)))
        assert first == second
        assert all(1 <= len(text.split()) <= MAX_WORDS for text in first)


@case
def no_sentence_is_both_trained_on_and_measured_on():
    for language in LANGUAGES:
        grammar, rng = Grammar(language), random.Random(SEED)
        assert not any(is_held_out(grammar.training(rng)) for _ in range(500)), f"seed {SEED}"
        assert all(is_held_out(grammar.held_out(rng)) for _ in range(50)), f"seed {SEED}"


def tensors_of(data, at):
    """[(name, dimensions, type, bytes)] to the end of the file."""
    found = []
    while at < len(data):
        count, length, kind = struct.unpack_from("<3i", data, at)
        dimensions = struct.unpack_from(f"<{count}i", data, at + 12)
        at += 12 + 4 * count
        name = data[at:at + length].decode()
        size = 1
        for side in dimensions:
            size *= side
        values, width = BLOCK_BYTES[kind]
        assert dimensions[0] % values == 0 or kind != 8, name
        at += length + size // values * width
        found.append((name, dimensions, kind))
    assert at == len(data), "the file ends in the middle of a tensor"
    return found


@case
def the_house_speech_model_has_the_tensors_that_its_header_promises():
    if not MODEL.exists():
        raise Skip("models/jarvis-speech.bin is not there")
    data = MODEL.read_bytes()
    assert len(data) <= 12 << 20, f"{len(data)} bytes"
    magic, vocabulary, audio, width, _, ears, text, _, _, layers, bands, _ = struct.unpack_from("<12i", data)
    assert magic == 0x67676D6C
    assert layers != 2, "libwhisper takes two text layers for a distilled model without times"
    filters = struct.unpack_from("<2i", data, 48)
    at = 56 + 4 * filters[0] * filters[1]
    words = struct.unpack_from("<i", data, at)[0]
    at += 4
    for _ in range(words):
        at += 4 + struct.unpack_from("<i", data, at)[0]
    found = {name: dimensions for name, dimensions, _ in tensors_of(data, at)}
    assert found["decoder.token_embedding.weight"] == (width, vocabulary)
    assert found["encoder.positional_embedding"] == (width, audio)
    assert found["decoder.positional_embedding"] == (width, text)
    assert found["encoder.conv1.weight"] == (3, bands, width)
    assert len(found) == 10 + ears * 15 + layers * 24 + 1, len(found)


if __name__ == "__main__":
    tap.run()
