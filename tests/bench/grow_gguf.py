"""A chat model of any size for measurements: the vocabulary and template of the tiny one, and weights that mean nothing.

    grow("tiny-chat.gguf", "large.gguf", width=2048, layers=9)   # Q8_0; 55 MB a layer at that width
"""

import os
import random
import struct

ALIGNMENT = 32
Q8_0, F32 = 8, 0
U32, FLOAT, STRING, ARRAY, U64 = 4, 6, 8, 9, 10
FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def skip_value(self, kind):
        if kind == STRING:
            self.take(self.number("Q"))
        elif kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip_value(inner)
        else:
            self.take(FIXED[kind])


def read_settings(path):
    """{key: the bytes of its type and value}"""
    with open(path, "rb") as file:
        reader = Reader(file.read())
    assert reader.take(4) == b"GGUF"
    reader.number("I")
    reader.number("Q")
    settings = {}
    for _ in range(reader.number("Q")):
        key = reader.take(reader.number("Q")).decode()
        begin = reader.at
        reader.skip_value(reader.number("I"))
        settings[key] = reader.data[begin : reader.at]
    return settings


def count_of(value):
    """Elements of an array, from the bytes of its setting."""
    return struct.unpack("<Q", value[8:16])[0]


def text(name):
    return struct.pack("<Q", len(name)) + name.encode()


def tensors_of(width, inner, layers, tokens):
    """(name, type, dimensions), in the order of a llama."""
    yield "token_embd.weight", Q8_0, (width, tokens)
    for i in range(layers):
        yield f"blk.{i}.attn_norm.weight", F32, (width,)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{i}.{part}.weight", Q8_0, (width, width)
        yield f"blk.{i}.ffn_norm.weight", F32, (width,)
        yield f"blk.{i}.ffn_gate.weight", Q8_0, (width, inner)
        yield f"blk.{i}.ffn_up.weight", Q8_0, (width, inner)
        yield f"blk.{i}.ffn_down.weight", Q8_0, (inner, width)
    yield "output_norm.weight", F32, (width,)
    yield "output.weight", Q8_0, (width, tokens)


def bytes_of(kind, dimensions):
    count = 1
    for dimension in dimensions:
        count *= dimension
    return count * 4 if kind == F32 else count // 32 * 34


def weights(generator):
    """A mebibyte or so of Q8_0 blocks, which is repeated: what they hold does not matter, only that it is not zero."""
    scale = struct.pack("<e", 0.0005)
    return b"".join(scale + generator.randbytes(32) for _ in range(32768))


def grow(source, target, width, layers, inner=None, seed=1):
    inner = inner or width * 11 // 4 // 32 * 32
    settings = read_settings(source)
    heads = width // 64
    for key, number in {
        "embedding_length": width, "block_count": layers, "feed_forward_length": inner, "context_length": 4096,
        "attention.head_count": heads, "attention.head_count_kv": heads, "rope.dimension_count": 64,
    }.items():  # fmt: skip
        settings[f"llama.{key}"] = struct.pack("<II", U32, number)
    settings["general.file_type"] = struct.pack("<II", U32, 7)
    for key in ("llama.attention.key_length", "llama.attention.value_length", "general.name"):
        settings.pop(key, None)
    tensors = list(tensors_of(width, inner, layers, count_of(settings["tokenizer.ggml.tokens"])))
    filler = weights(random.Random(seed))
    with open(target + ".tmp", "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(settings)))
        for key, value in settings.items():
            file.write(text(key) + value)
        offset = 0
        for name, kind, dimensions in tensors:
            file.write(text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset))
            offset += -(-bytes_of(kind, dimensions) // ALIGNMENT) * ALIGNMENT
        file.write(b"\0" * (-file.tell() % ALIGNMENT))
        for name, kind, dimensions in tensors:
            left = bytes_of(kind, dimensions)
            padding = -left % ALIGNMENT
            if kind == F32:
                file.write(struct.pack("<f", 1.0) * (left // 4))
                left = 0
            while left > 0:
                left -= file.write(filler[:left])
            file.write(b"\0" * padding)
    os.replace(target + ".tmp", target)
