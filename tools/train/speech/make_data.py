#!/usr/bin/env python3
"""make_data.py FOLDER [--shards N] [--utterances N]: the speech that train.py learns from.

Each shard holds utterances as mel spectrograms in bytes, with the phoneme of every 20 ms and the times of every word.
A third of them are heard in a room. Noise is added later, in training, by adding powers: FOLDER/noise.npy holds noises
without speech, as spectrograms. The last shard, held.npz, has sentences and voices that are not trained on; train.py
watches its progress on it. A shard that is there is not made again; several processes may share the work (--only).
"""

import argparse
import pathlib
import random
import time

import numpy as np

import features
import synthesis
from sentences import LANGUAGES, Grammar

SEED = 20261122


def make_shard(path, header, seed, utterances, held):
    """One shard; `held`: from the sentences and voices of the evaluation."""
    rng = random.Random(seed)
    espeak, responses = synthesis.Espeak(), synthesis.rooms(path.parent)
    grammars = {language: Grammar(language) for language in LANGUAGES}
    mels, labels, rows, words, names = [], [], [], [], {"": 0}
    while len(rows) < utterances:
        language = rng.choice(LANGUAGES)
        variant = rng.choice(synthesis.HELD_OUT if held else synthesis.TRAINED)
        voice = rng.choice(synthesis.ACCENTS[language]) + (f"+{variant}" if variant else "")
        speed, pitch, spread = rng.randint(125, 215), rng.randint(15, 85), rng.randint(20, 80)
        for _ in range(1 if held else 4):  # a voice says a few sentences: setting it costs more than a sentence
            text = grammars[language].held_out(rng) if held else grammars[language].training(rng)
            audio, spans, phonemes = espeak.speak(text, voice, speed, pitch, spread)
            if rng.random() < 0.35:
                audio = synthesis.in_room(audio, rng.choice(responses))
            mel = features.to_bytes(features.log_mel(audio, header.filters))
            mel = mel[:len(mel) // 2 * 2]
            frames = np.zeros(len(mel) // 2, np.uint8)
            for name, begin, end in phonemes:
                frames[round(begin * 50):round(end * 50)] = names.setdefault(name, len(names))
            rows.append((LANGUAGES.index(language), text))
            words.append(np.array([(b * 100, e * 100) for _, b, e in spans], np.float32))
            mels.append(mel)
            labels.append(frames)
    temporary = path.with_suffix(".tmp.npz")
    np.savez(temporary, mel=np.concatenate(mels), labels=np.concatenate(labels),
             lengths=np.array([len(m) for m in mels], np.int32), phonemes=np.array(list(names)),
             languages=np.array([r[0] for r in rows], np.int8), texts=np.array([r[1] for r in rows]),
             words=np.concatenate(words), word_counts=np.array([len(w) for w in words], np.int32))
    temporary.replace(path)
    return sum(map(len, mels)) / 360000


def make_noise(path, header, seconds=1800, piece=30):
    """Noises, each `piece` seconds long, at a root mean square of 1 (to be made fainter)."""
    rng = np.random.default_rng(SEED)
    made = [features.log_mel(synthesis.noise(rng, piece * synthesis.RATE), header.filters) for _ in range(seconds // piece)]
    np.save(path, features.to_bytes(np.stack(made)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--header", default=features.HOUSE_MODEL, help="multilingual Whisper in ggml's format")
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--utterances", type=int, default=3000, help="in each shard")
    parser.add_argument("--only", default="0/1", help="I/N: this process makes every N-th shard, from the I-th")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    header = features.Header(options.header)
    part, parts = map(int, options.only.split("/"))
    jobs = [("held", 400)] + [(f"shard-{i:03}", options.utterances) for i in range(options.shards)]
    for index, (name, utterances) in enumerate(jobs):
        path, start = options.folder / f"{name}.npz", time.time()
        if index % parts == part and not path.exists():
            hours = make_shard(path, header, SEED + index, utterances, name == "held")
            print(f"{path.name}: {hours:.2f} h of speech in {time.time() - start:.0f} s", flush=True)
    if part == 0 and not (options.folder / "noise.npy").exists():
        make_noise(options.folder / "noise.npy", header)


if __name__ == "__main__":
    main()
