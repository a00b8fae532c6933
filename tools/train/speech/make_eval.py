#!/usr/bin/env python3
"""make_eval.py DIR [--utterances N]: the recordings on which the house speech model is measured.

Writes DIR/LANGUAGE/NNN.wav (16 kHz, mono, 16 bits), NNN.txt beside each with what is said, NNN.words with a line
"begin TAB end TAB word" in seconds for each word, and DIR/manifest.tsv with the columns wav, language, text. The sentences
and the voices are ones that training never hears; a third is in a room, and each has noise, 12 to 40 dB fainter. Besides,
DIR/silence holds recordings without speech, with language "-" and empty text in the manifest.

Always the same for the same espeak-ng (1.51 made those of the model card). Needs numpy, libespeak-ng1, espeak-ng-data, sox.
"""

import argparse
import pathlib
import random
import wave

import numpy as np

import synthesis
from sentences import LANGUAGES, Grammar

SEED = 41


def write_wav(path, audio):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(synthesis.RATE)
        out.writeframes((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())


def recording(rng, noise_rng, espeak, responses, text, language):
    """(samples, [(begin, end, word)]): the sentence, with some silence around it, in a room or not, with noise."""
    voice = f"{rng.choice(synthesis.ACCENTS[language])}+{rng.choice(synthesis.HELD_OUT)}"
    speech, words, _ = espeak.speak(text, voice, rng.randint(130, 200), rng.randint(20, 80), rng.randint(30, 70))
    if rng.random() < 1 / 3:
        speech = synthesis.in_room(speech, rng.choice(responses))
    before, after = rng.uniform(0.1, 0.6), rng.uniform(0.2, 0.6)
    audio = np.pad(speech, (int(before * synthesis.RATE), int(after * synthesis.RATE)))
    loudness = np.sqrt((speech ** 2).mean())
    audio += synthesis.noise(noise_rng, len(audio)) * loudness * 10 ** (-rng.uniform(12, 40) / 20)
    audio *= 10 ** (rng.uniform(-12, 0) / 20) * min(1, 0.9 / np.abs(audio).max())
    return audio, [(begin + before, end + before, word) for word, begin, end in words]


def write_language(folder, language, count, lines):
    rng, noise_rng = random.Random(f"{SEED} {language}"), np.random.default_rng(SEED)
    espeak, responses, grammar = synthesis.Espeak(), synthesis.rooms(folder), Grammar(language)
    (folder / language).mkdir(parents=True, exist_ok=True)
    texts = {}  # each once; a dictionary keeps their order
    while len(texts) < count:
        texts[grammar.held_out(rng)] = True
    for number, text in enumerate(texts):
        audio, words = recording(rng, noise_rng, espeak, responses, text, language)
        path = folder / language / f"{number:03}.wav"
        write_wav(path, audio)
        path.with_suffix(".txt").write_text(text + "\n", "utf-8")
        path.with_suffix(".words").write_text("".join(f"{b:.3f}\t{e:.3f}\t{w}\n" for b, e, w in words), "utf-8")
        lines.append(f"{language}/{path.name}\t{language}\t{text}\n")


def write_silence(folder, count, lines):
    rng = np.random.default_rng(SEED + 1)
    (folder / "silence").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        level = 0 if number == 0 else 10 ** (-rng.uniform(20, 60) / 20)
        write_wav(folder / "silence" / f"{number:03}.wav", synthesis.noise(rng, int(rng.uniform(1, 8) * 16000)) * level)
        lines.append(f"silence/{number:03}.wav\t-\t\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--utterances", type=int, default=200, help="in each language")
    options = parser.parse_args()
    lines = ["wav\tlanguage\ttext\n"]
    for language in LANGUAGES:
        write_language(options.folder, language, options.utterances, lines)
    write_silence(options.folder, max(1, options.utterances // 5), lines)
    (options.folder / "manifest.tsv").write_text("".join(lines), "utf-8")
    (options.folder / "rooms.npz").unlink()
    print(f"{options.folder}: {len(lines) - 1} recordings")


if __name__ == "__main__":
    main()
