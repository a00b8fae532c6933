#!/usr/bin/env python3
"""export.py FOLDER --out MODEL.bin [--half]: writes what train.py learned as libwhisper 1.9 reads it.

The file: magic and hyperparameters, mel filters and vocabulary (as they stand in the file that --header names), then tensors
to the end, each with its number of dimensions, length of name, type, dimensions (fastest first), name and data. Matrices
are Q8_0 (blocks of 32 int8 with a half float scale), or half floats with --half; convolutions are half floats, all the
rest floats.
"""

import argparse
import pathlib
import struct

import numpy as np
import torch

import features
from model import (AUDIO_CONTEXT, AUDIO_LAYERS, BANDS, HEADS, TEXT_CONTEXT, TEXT_LAYERS, VOCABULARY, WIDTH, Tokens, Whisper)
from sentences import LANGUAGES, Grammar

MAGIC = 0x67676D6C
FLOAT, HALF, Q8_0 = 0, 1, 8  # types of tensors in ggml
TRAINING_ONLY = ("decoder.text_embedding", "decoder.time_map", "decoder.unused")  # the table of tokens is made of them
FILE_HALF, FILE_Q8_0 = 1, 2007  # types of files; 2000 is the version of the quantisation


def q8_0(values):
    """The bytes of a matrix in blocks of 32: a half float scale, then 32 int8."""
    blocks = values.reshape(-1, 32)
    scale = np.abs(blocks).max(1, keepdims=True) / 127
    numbers = np.where(scale > 0, np.round(blocks / np.where(scale > 0, scale, 1)), 0).astype(np.int8)
    packed = np.empty(len(blocks), np.dtype([("scale", "<f2"), ("numbers", "i1", 32)]))
    packed["scale"], packed["numbers"] = scale[:, 0], numbers
    return packed.tobytes()


def write_tensor(file, name, values, kind):
    file.write(struct.pack("3i", values.ndim, len(name), kind))
    file.write(struct.pack(f"{values.ndim}i", *reversed(values.shape)))
    file.write(name.encode())
    values = np.ascontiguousarray(values, np.float32)
    file.write(q8_0(values) if kind == Q8_0 else values.astype("<f2" if kind == HALF else "<f4").tobytes())


def tensors(net, tokens):
    """[(name in the file, values)]"""
    for name, value in net.state_dict().items():
        if name.startswith("phonemes.") or name in TRAINING_ONLY:
            continue
        value = value.float().numpy()
        yield name, value[:, None] if name.startswith("encoder.conv") and name.endswith("bias") else value
    table = net.decoder.unused.detach().numpy()[None].repeat(VOCABULARY, 0)
    table[tokens.ids] = net.decoder.embedding().detach().numpy()
    yield "decoder.token_embedding.weight", table


def kind_of(name, values, half):
    if values.ndim == 3:
        return HALF
    if values.ndim == 2 and name.endswith(".weight"):
        return HALF if half else Q8_0
    return FLOAT


def write_model(path, header, net, tokens, half=False):
    with open(path, "wb") as file:
        file.write(struct.pack("12i", MAGIC, VOCABULARY, AUDIO_CONTEXT, WIDTH, HEADS, AUDIO_LAYERS,
                               TEXT_CONTEXT, WIDTH, HEADS, TEXT_LAYERS, BANDS, FILE_HALF if half else FILE_Q8_0))
        file.write(header.tail)
        for name, values in tensors(net, tokens):
            write_tensor(file, name, values, kind_of(name, values, half))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--header", default=features.HOUSE_MODEL, help="multilingual Whisper in ggml's format")
    parser.add_argument("--out", required=True)
    parser.add_argument("--half", action="store_true", help="half floats, not Q8_0")
    options = parser.parse_args()
    header = features.Header(options.header)
    tokens = Tokens(header, sorted({word for language in LANGUAGES for word in Grammar(language).words}))
    weights = torch.load(options.folder / "model.pt", weights_only=True)
    net = Whisper(len(tokens.ids), len(weights["phonemes.bias"]))
    net.load_state_dict(weights)
    write_model(options.out, header, net, tokens, options.half)
    print(f"{options.out}: {pathlib.Path(options.out).stat().st_size} bytes")


if __name__ == "__main__":
    main()
