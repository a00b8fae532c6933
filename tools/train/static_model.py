"""static_model.py: the house embedder as a file and as a reference implementation.

The model: a text becomes words, words become pieces, each piece has one vector (its weight is the vector's length), and
the text's vector is the sum of its pieces' vectors, brought to unit length. src/engine/static_embed.c computes the same
from the same file; the tests hold the two together.

The tokenizer, in full:
  1. Every character is folded: the file's table says what it becomes, zero to four characters of [a-z0-9]. A character
     that the table does not name and that is no [a-z0-9] itself ends a word. The table lower-cases, takes accents off
     (n with tilde too), dissolves ligatures and full-width forms, and drops combining marks and soft hyphens.
  2. A word longer than WORD_MAX characters is cut there, and what follows is a word of its own.
  3. A word becomes pieces by longest match from the left; a piece that does not begin a word is written "##piece". The
     vocabulary holds every single character both ways, so a match is always found.
  4. Only the first `context_length` pieces of a text count.
A text without any piece has the zero vector.

The file is GGUF, version 3:
  general.architecture "jarvis-static"      jarvis-static.embedding_length, .context_length, .pooling_type (1: mean)
  tokenizer.ggml.model "jarvis-wordpiece"   tokenizer.ggml.tokens: the pieces
  jarvis-static.fold_from (u32 array) and jarvis-static.fold_to (string array): the table of step 1, ascending
  tensors token_embd.weight (I8, a row a piece) and token_embd.scale (F32, a number a piece)
"""

import re
import struct
import unicodedata

import numpy as np

ARCHITECTURE = "jarvis-static"
WORD_MAX = 64
CONTEXT_LENGTH = 8192
ALIGNMENT = 32
PLAIN = re.compile(r"[a-z0-9]*")
WORD = re.compile(r"[a-z0-9]+")
U32, F32_VALUE, STRING, ARRAY = 4, 6, 8, 9  # GGUF's types of values
F32, I8 = 0, 24  # ggml's types of tensors


# --- tokenizer ---------------------------------------------------------------------------------------------------


def make_fold():
    """The table of step 1, from Unicode's data: {code point: replacement}, only what [a-z0-9] does not say itself."""
    fold = {ord(c): c.lower() for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    fold.update({ord(k): v for k, v in {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th",
                                        "ı": "i", "ħ": "h", "ŋ": "n", "ŧ": "t", "ĸ": "k"}.items()})
    for point in range(0x80, 0x10000):
        if 0xD800 <= point < 0xE000 or point in fold:
            continue
        char = chr(point)
        if 0x300 <= point < 0x370 or unicodedata.category(char) == "Cf":
            fold[point] = ""
            continue
        parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
        parts = "".join(fold.get(ord(c), c) for c in parts if not unicodedata.combining(c))
        if parts and len(parts) <= 4 and PLAIN.fullmatch(parts):
            fold[point] = parts
    return fold


class Tokenizer:
    def __init__(self, pieces, fold):
        self.pieces = pieces
        self.fold = fold
        self.ids = {piece: i for i, piece in enumerate(pieces)}
        self.longest = max(len(piece.removeprefix("##")) for piece in pieces)
        self.known = {}  # words seen: their pieces

    def words(self, text):
        for word in WORD.findall(text.translate(self.fold)):
            for begin in range(0, len(word), WORD_MAX):
                yield word[begin:begin + WORD_MAX]

    def split(self, word):
        """Piece ids of one word, longest match first."""
        ids, begin = [], 0
        while begin < len(word):
            prefix = "##" if begin else ""
            end = min(len(word), begin + self.longest)
            while (found := self.ids.get(prefix + word[begin:end])) is None:
                end -= 1
            ids.append(found)
            begin = end
        return ids

    def encode(self, text):
        result = []
        for word in self.words(text):
            ids = self.known.get(word)
            if ids is None:
                ids = self.known[word] = self.split(word)
            result.extend(ids)
        return result[:CONTEXT_LENGTH]


# --- model -------------------------------------------------------------------------------------------------------


def quantize(vectors):
    """Rows as int8 with a scale each: the largest component becomes 127."""
    scale = np.abs(vectors).max(1) / 127
    rows = np.rint(vectors / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
    return rows, scale.astype(np.float32)


class StaticModel:
    def __init__(self, tokenizer, rows, scale):
        self.tokenizer = tokenizer
        self.vectors = rows.astype(np.float32) * scale[:, None]

    def encode(self, texts):
        """Unit vectors, float32 (len(texts), dimensions)."""
        result = np.zeros((len(texts), self.vectors.shape[1]), np.float32)
        for i, text in enumerate(texts):
            ids = self.tokenizer.encode(text)
            if ids:
                total = self.vectors[ids].sum(0)
                length = np.linalg.norm(total)
                result[i] = total / length if length > 0 else 0
        return result


# --- GGUF --------------------------------------------------------------------------------------------------------


def _string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value):
    """One value with its type in front: int, str, a list of str, or a list of int."""
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_string, value))
    return struct.pack("<IIQ", ARRAY, U32, len(value)) + struct.pack(f"<{len(value)}I", *value)


def save(path, tokenizer, rows, scale, facts):
    """Writes the model; `facts` are more general.* strings (name, license, ...)."""
    fold = sorted(tokenizer.fold.items())
    pairs = {"general.architecture": ARCHITECTURE, "general.type": "model", **facts,
             f"{ARCHITECTURE}.embedding_length": rows.shape[1], f"{ARCHITECTURE}.context_length": CONTEXT_LENGTH,
             f"{ARCHITECTURE}.pooling_type": 1, f"{ARCHITECTURE}.block_count": 1,
             "tokenizer.ggml.model": "jarvis-wordpiece", "tokenizer.ggml.tokens": tokenizer.pieces,
             f"{ARCHITECTURE}.fold_from": [k for k, _ in fold], f"{ARCHITECTURE}.fold_to": [v for _, v in fold]}
    tensors = [("token_embd.weight", I8, np.ascontiguousarray(rows)), ("token_embd.scale", F32, scale)]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(_string(key) + _value(value) for key, value in pairs.items())
    data = b""
    for name, kind, array in tensors:
        head += _string(name) + struct.pack("<I", array.ndim) + struct.pack(f"<{array.ndim}Q", *array.shape[::-1])
        head += struct.pack("<IQ", kind, len(data))
        data += array.tobytes() + bytes(-array.nbytes % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT) + data)


class _Reader:
    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def string(self):
        length = self.take("Q")
        self.at += length
        return self.raw[self.at - length:self.at].decode()

    def value(self, kind=None):
        kind = self.take("I") if kind is None else kind
        if kind == U32:
            return self.take("I")
        if kind == F32_VALUE:
            return self.take("f")
        if kind == STRING:
            return self.string()
        inner, count = self.take("IQ")
        return [self.value(inner) for _ in range(count)]


def load(path):
    """The model in a file that save() wrote."""
    reader = _Reader(open(path, "rb").read())
    if reader.take("4sI") != (b"GGUF", 3):
        raise ValueError(f"{path} is no GGUF file of version 3")
    tensors, pairs = reader.take("QQ")
    facts = {reader.string(): reader.value() for _ in range(pairs)}
    table = {}
    for _ in range(tensors):
        name, shape = reader.string(), [reader.take("Q") for _ in range(reader.take("I"))]
        table[name] = (shape[::-1], *reader.take("IQ"))
    start = reader.at + -reader.at % ALIGNMENT

    def tensor(name, dtype):
        shape, _, offset = table[name]
        return np.frombuffer(reader.raw, dtype, int(np.prod(shape)), start + offset).reshape(shape)

    fold = dict(zip(facts[f"{ARCHITECTURE}.fold_from"], facts[f"{ARCHITECTURE}.fold_to"]))
    tokenizer = Tokenizer(facts["tokenizer.ggml.tokens"], fold)
    return StaticModel(tokenizer, tensor("token_embd.weight", np.int8), tensor("token_embd.scale", np.float32))
