"""windows.py: what the model is shown: windows of sound, built from the utterances that make_data.py wrote.

A window is as long as an audio context (256 steps of 20 ms, or 512, or 1500). It holds some silence, then one or more
utterances of one voice, perhaps noise, perhaps a little more silence; the rest is empty, as libwhisper pads it. As in
streaming, the sound may stop in the middle of a word (only whole words are to be written), or begin behind a word that
the prompt holds already. One window in twelve has no speech.
"""

import pathlib

import numpy as np
import torch

import features
from model import END, LANGUAGE, NEWLINE, NO_SPEECH, NO_TIMES, PREVIOUS, START, TIME_0, TIMES, TRANSCRIBE
from sentences import LANGUAGES

SILENT = 1 / 12
UNKNOWN = 0.07  # share of a prompt's tokens that are replaced by one that is not trained: prompts hold anything
NO_LABEL = -1


class Utterances:
    """The shards of a folder, in memory: about 90 MB an hour."""

    def __init__(self, paths, phonemes=None):
        self.mels, self.labels, self.texts, self.languages, self.words = [], [], [], [], []
        self.phonemes = phonemes or {"": 0}
        for path in paths:
            with np.load(path) as shard:
                names = [self.phonemes.setdefault(str(n), len(self.phonemes)) for n in shard["phonemes"]]
                labels = np.array(names, np.int16)[shard["labels"]]
                ends, word_ends = np.cumsum(shard["lengths"]), np.cumsum(shard["word_counts"])
                self.mels += np.split(shard["mel"], ends[:-1])
                self.labels += np.split(labels, ends[:-1] // 2)
                self.words += np.split(shard["words"], word_ends[:-1])
                self.texts += [str(t).split() for t in shard["texts"]]
                self.languages += [LANGUAGES[i] for i in shard["languages"]]

    def __len__(self):
        return len(self.mels)


class Window:
    """One window while it is being filled; times in mel frames of 10 ms."""

    def __init__(self, frames):
        self.mel = np.zeros((frames, features.BANDS), np.uint8)
        self.labels = np.zeros(frames // 2, np.int64)
        self.segments, self.prompt, self.language, self.sound_end = [], [], None, frames

    def place(self, data, index, at, first=0, last=None):
        """Puts words first..last of an utterance at frame `at`; returns where they end. What does not fit is cut."""
        words = data.words[index]
        begin = 0 if first == 0 else int(words[first, 0]) // 2 * 2
        mel = data.mels[index][begin:]
        length = min(len(mel), (len(self.mel) - at) // 2 * 2)
        if last is not None:
            length = min(length, last)
        length = max(0, length // 2 * 2)
        self.mel[at:at + length] = mel[:length]
        self.labels[at // 2:(at + length) // 2] = data.labels[index][begin // 2:(begin + length) // 2]
        kept = [(word, at + b - begin, at + e - begin)
                for word, (b, e) in list(zip(data.texts[index], words))[first:] if e - begin <= length + 4]
        if kept:
            self.segments.append(kept)
        self.language = data.languages[index]
        return at + length


class Builder:
    """Makes batches of windows; rng: numpy's, so that a run can be repeated and resumed."""

    def __init__(self, data, noise, tokens, rng):
        self.data, self.noise, self.tokens, self.rng = data, noise, tokens, rng

    def chance(self, share):
        return self.rng.random() < share

    def window(self, frames):
        rng, data, window = self.rng, self.data, Window(frames)
        if self.chance(SILENT):
            window.sound_end = int(rng.integers(0, frames + 1))
            return window
        index = int(rng.integers(len(data)))
        at = 0 if self.chance(0.15) else int(rng.integers(0, 30 if self.chance(0.7) else 110)) * 2
        first = 0
        if self.chance(0.12) and len(data.texts[index]) > 2:  # begins behind a word
            first = int(rng.integers(1, len(data.texts[index])))
            window.prompt = data.texts[index][:first] if self.chance(0.7) else []
        elif self.chance(0.12):  # some earlier sentence
            window.prompt = data.texts[max(0, index - 1)]
        cut, alone = self.chance(0.3), frames > 600 and self.chance(0.4)
        while True:
            room = frames - at
            if cut and (room < len(data.mels[index]) or self.chance(0.4)):
                at = window.place(data, index, at, first, int(rng.integers(20, max(21, len(data.mels[index])))))
                window.sound_end = at
                return window
            at = window.place(data, index, at, first)
            gap, index, first = int(rng.integers(5, 60)) * 2, (index + 1) % len(data), 0
            if alone or at + gap + (60 if cut else len(data.mels[index])) > frames \
                    or data.languages[index] != window.language:
                break
            at += gap
        window.sound_end = min(frames, at + int(rng.integers(0, 100))) if self.chance(0.7) else frames
        return window

    def sequence(self, window):
        """(token ids, which of them are to be predicted, [(first, last) frame of 20 ms that each is heard in or None]).

        A token of a prompt that the model does not know is None."""
        rng, times = self.rng, self.chance(0.45)
        ids, learn, spans = [], [], []

        def add(token, learned=True, span=None):
            ids.append(token)
            learn.append(learned)
            spans.append(span)

        if window.prompt:
            add(PREVIOUS, False)
            for word in window.prompt:
                for piece in self.tokens.pieces[word]:
                    add(piece if rng.random() > UNKNOWN else None, False)
        add(START, False)
        add(LANGUAGE[window.language or str(rng.choice(LANGUAGES))], window.language is not None)
        add(TRANSCRIBE, False)
        if not times:
            add(NO_TIMES, False)
        if not window.segments:
            draw = rng.random()
            if draw < 0.65:
                add(NO_SPEECH)
            elif times:
                add(TIME_0)
            elif draw > 0.9:  # libwhisper may forbid both "no speech" and an empty text: then a line break is said
                add(NEWLINE)
        for segment in window.segments:
            if times:
                add(TIME_0 + min(TIMES - 1, round(segment[0][1] / 2)))
            for word, begin, end in segment:
                pieces = self.tokens.pieces[word]
                for i, piece in enumerate(pieces):
                    step = (end - begin) / len(pieces)
                    add(piece, True, ((begin + i * step) / 2 - 1, (begin + (i + 1) * step) / 2 + 1))
            if times:
                add(TIME_0 + min(TIMES - 1, round(segment[-1][2] / 2)))
        add(END)
        return ids, learn, spans

    def batch(self, size, context):
        """(spectrograms, phonemes of the frames, rows in, rows out, where to look [batch, n, context])."""
        windows = [self.window(2 * context) for _ in range(size)]
        sequences = [self.sequence(window) for window in windows]
        longest = -(-(max(len(ids) for ids, _, _ in sequences) - 1) // 8) * 8  # few sizes: each costs oneDNN a compilation
        rows = np.full((size, longest), self.tokens.row[END])
        targets = np.full((size, longest), NO_LABEL)
        spans = np.zeros((size, longest, context), bool)
        for b, (ids, learn, heard) in enumerate(sequences):
            rows[b, :len(ids) - 1] = [self.tokens.row.get(i, len(self.tokens.ids)) for i in ids[:-1]]
            for n in range(1, len(ids)):
                if learn[n]:
                    targets[b, n - 1] = self.tokens.row[ids[n]]
                if heard[n]:
                    spans[b, n - 1, max(0, int(heard[n][0])):int(heard[n][1]) + 1] = True
        labels = np.stack([window.labels for window in windows])
        return (self.spectrograms(windows), torch.from_numpy(labels), torch.from_numpy(rows), torch.from_numpy(targets),
                torch.from_numpy(spans))

    def spectrograms(self, windows):
        """Normalised as libwhisper does, [batch, bands, frames]; louder or fainter, with noise, and a band or two masked."""
        rng, frames = self.rng, len(windows[0].mel)
        power = torch.from_numpy(np.stack([w.mel for w in windows])).float() / features.STEPS + features.LOWEST
        gain, tilt = rng.uniform(-2.2, 0.6, len(windows)), rng.uniform(-0.7, 0.7, len(windows))
        slope = tilt[:, None] * np.linspace(-0.5, 0.5, features.BANDS)[None]
        power += torch.from_numpy(gain[:, None, None] + slope[:, None]).float()
        for b, window in enumerate(windows):
            end = window.sound_end
            if end > 2 and self.chance(0.65 if window.segments else 0.85):
                piece = self.noise[int(rng.integers(len(self.noise)))]
                start = int(rng.integers(0, len(piece) - end + 1)) if end < len(piece) else 0
                sound = torch.from_numpy(piece[start:start + end].astype(np.float32)) / features.STEPS + features.LOWEST
                # speech has an RMS of about 0.1 (-2 in powers of ten); noise is 5 to 50 dB fainter
                level = gain[b] - 2 - rng.uniform(0.5, 5) if window.segments else rng.uniform(-7, -1)
                part = power[b, :len(sound)]
                power[b, :len(sound)] = torch.log10(10 ** part + 10 ** (sound + level))
            power[b, end:] = features.LOWEST
        power.clamp_(min=features.LOWEST)
        peak = power.amax((1, 2), keepdim=True)
        mel = (torch.maximum(power, peak - 8) + 4) / 4
        for b in range(len(windows)):
            if self.chance(0.3):
                width, length = int(rng.integers(1, 10)), int(rng.integers(1, 12))
                band, time = int(rng.integers(0, features.BANDS - width)), int(rng.integers(0, frames - length))
                mel[b, :, band:band + width] = mel[b].mean()
                mel[b, time:time + length] = mel[b].mean()
        return mel.transpose(1, 2).contiguous()


def load_noise(folder):
    return np.load(pathlib.Path(folder) / "noise.npy", mmap_mode="r")
