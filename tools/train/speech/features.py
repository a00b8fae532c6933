"""features.py: libwhisper's mel spectrogram, and the header and vocabulary of the ggml files it reads.

Filters and vocabulary are those of OpenAI's multilingual Whisper (MIT, by way of whisper.cpp); they are taken from the
beginning of a ggml file, any that has them: the house model's own by default.
"""

import pathlib
import struct

import numpy as np

HOUSE_MODEL = pathlib.Path(__file__).resolve().parents[3] / "models" / "jarvis-speech.bin"
HOP, WINDOW, BANDS = 160, 400, 80
STEPS, LOWEST = 18.5, -10.0  # a stored byte b stands for a log10 power of LOWEST + b / STEPS


class Header:
    """Hyperparameters, mel filters [bands, bins] and tokens (bytes) of a ggml Whisper file."""

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        self.hyperparameters = struct.unpack("12i", data[:48])
        bands, bins = struct.unpack("2i", data[48:56])
        at = 56 + 4 * bands * bins
        self.filters = np.frombuffer(data[56:at], "<f4").reshape(bands, bins)
        count, at = struct.unpack("i", data[at:at + 4])[0], at + 4
        self.tokens = []
        for _ in range(count):
            length = struct.unpack("i", data[at:at + 4])[0]
            self.tokens.append(data[at + 4:at + 4 + length])
            at += 4 + length
        self.tail = data[48:at]  # filters and vocabulary as they stand in the file
        self._ids = {token: i for i, token in enumerate(self.tokens)}

    def encode(self, word):
        """Token ids of one word with the space before it: the longest piece first, as libwhisper does with prompts."""
        data, ids = b" " + word.encode(), []
        while data:
            length = next(n for n in range(len(data), 0, -1) if data[:n] in self._ids)
            ids.append(self._ids[data[:length]])
            data = data[length:]
        return ids


def log_mel(audio, filters):
    """log10 of the mel power, [frames, bands] float32, one frame every 10 ms, not normalised."""
    frames = -(-len(audio) // HOP)
    padded = np.zeros((frames + 3) * HOP + WINDOW, np.float32)
    padded[WINDOW // 2:WINDOW // 2 + len(audio)] = audio
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    view = np.lib.stride_tricks.as_strided(padded, (frames, WINDOW), (HOP * 4, 4))
    power = np.abs(np.fft.rfft(view * window, axis=1)).astype(np.float32) ** 2
    return np.log10(np.maximum(power @ filters.T, 1e-10))


def to_bytes(log_power):
    return np.clip(np.round((log_power - LOWEST) * STEPS), 0, 255).astype(np.uint8)
