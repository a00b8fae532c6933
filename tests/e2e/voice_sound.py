"""Sounds that tests make: a voice that says nothing, silence, hum."""

import math
import random
import struct
import wave

RATE = 16000
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
SYLLABLES_A_SECOND = 4


def voice(seconds):
    """A glottal buzz through three formants, in syllables: what a detector takes for a person."""
    noise = random.Random(1)
    samples, phase = [], 0.0
    state = [[0.0, 0.0] for _ in range(3)]
    for i in range(int(seconds * RATE)):
        at = i / RATE
        phase += (120 + 25 * math.sin(2 * math.pi * 0.7 * at) + noise.uniform(-3, 3)) / RATE
        pulse = 1.0 if phase >= 1 else 0.0
        phase %= 1
        value = 0.0
        for k, formant in enumerate(VOWELS[int(at * SYLLABLES_A_SECOND) % len(VOWELS)]):
            radius = math.exp(-math.pi * (80 + 40 * k) / RATE)
            before, earlier = state[k]
            now = pulse + noise.uniform(-0.02, 0.02) + 2 * radius * math.cos(2 * math.pi * formant / RATE) * before
            now -= radius * radius * earlier
            state[k] = [now, before]
            value += now / (k + 1)
        loudness = max(0.0, min(1.0, 1.3 * math.sin(math.pi * (at * SYLLABLES_A_SECOND % 1))))
        samples.append(0.06 * value * loudness)
    return samples


def silence(seconds):
    return [0.0] * int(seconds * RATE)


def hum(seconds):
    return [0.1 * math.sin(2 * math.pi * 50 * i / RATE) for i in range(int(seconds * RATE))]


def write(path, *parts):
    """A WAV file of 16 bits; returns its path."""
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for part in parts:
            file.writeframes(b"".join(struct.pack("<h", int(32767 * max(-1, min(1, value)))) for value in part))
    return path
