"""rerank_model.py: the house reranker as a PyTorch module, its tokenizer and its file.

The model is a BERT cross-encoder of LAYERS layers, [CLS] question [SEP] passage [SEP], whose score is read from [CLS] as
libllama does (pooling RANK: a dense layer, tanh, one number). Two things are unusual:

  Positions  The passage always begins at position DOCUMENT_AT; the question stands right in front of it, so that [CLS]
             is at DOCUMENT_AT - 2 - its length. libllama knows no segments (every token is of type 0); this way the
             position alone says which of the two a token belongs to. The file says so by the key
             `bert.rerank.document_position`, which src/engine/rerank.c follows. A program that does not know the key
             still computes scores, but poorer ones.
  Start      Three layers learn to compare words only after very many pairs. So the model begins as one that already
             does: see `Reranker.begin`.

The file is GGUF (architecture "bert"): matrices Q8_0, positions F16, the rest F32.
"""

import math
import struct

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F
from tokenizers import models, normalizers, pre_tokenizers

import static_model

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN, CLS, SEP, MASK = range(5)
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¿¡«»“”‘’–—…·°€£"
DOCUMENT_AT = 64
PASSAGE = 112  # pieces of a passage that are read at once
CONTEXT = DOCUMENT_AT + PASSAGE + 1
TABLE = 256  # positions that the module has; those from CONTEXT on are never used
EPSILON = 1e-12


# --- tokenizer ---------------------------------------------------------------------------------------------------


def make_tokenizer(pieces):
    """libllama's WordPiece: lower case, no accents, punctuation alone, longest match."""
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    result = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=1000))
    result.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True, handle_chinese_chars=True)
    result.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return result


def choose_pieces(house_pieces, size):
    """The first `size` of: special ones, what no text can do without, the house embedder's in their order."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    alone = [*SPECIAL, *PUNCTUATION, *letters, *("##" + c for c in letters)]
    known = set(alone)
    return (alone + [p for p in house_pieces if p not in known])[:size]


# --- model -------------------------------------------------------------------------------------------------------


class Layer(torch.nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.q, self.k, self.v, self.out = (torch.nn.Linear(width, width) for _ in range(4))
        self.up, self.down = torch.nn.Linear(width, inner), torch.nn.Linear(inner, width)
        self.norm1, self.norm2 = (torch.nn.LayerNorm(width, EPSILON) for _ in range(2))

    def forward(self, x, mask, heads):
        texts, length, width = x.shape

        def split(t):
            return t.view(texts, length, heads, -1).transpose(1, 2)

        q, k, v = (split(linear(x)) for linear in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(texts, length, width)))
        return self.norm2(x + self.down(F.gelu(self.up(x), approximate="tanh")))


class Reranker(torch.nn.Module):
    def __init__(self, pieces, width, layers, inner, heads):
        super().__init__()
        self.heads = heads
        self.tokens = torch.nn.Embedding(pieces, width)
        self.positions = torch.nn.Embedding(TABLE, width)
        self.norm = torch.nn.LayerNorm(width, EPSILON)
        self.layers = torch.nn.ModuleList(Layer(width, inner) for _ in range(layers))
        self.dense, self.score = torch.nn.Linear(width, width), torch.nn.Linear(width, 1)
        for module in self.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.normal_(module.weight, std=0.5 / math.sqrt(module.in_features))
                torch.nn.init.zeros_(module.bias)

    def forward(self, ids, positions, first):
        """Scores (texts) of token ids and positions (texts, length); `first`: where each [CLS] is."""
        x = self.norm(self.tokens(ids) + self.positions(positions))
        mask = torch.zeros(ids.shape, dtype=x.dtype).masked_fill(ids == PAD, -1e9)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask.to(x.dtype), self.heads)
        pooled = torch.tanh(self.dense(x[torch.arange(len(x)), first]))
        return self.score(pooled).squeeze(1)

    @torch.no_grad()
    def begin(self, vectors):
        """Starts as a model that compares words. `vectors`: (pieces, content) of the house embedder; zeros: none.

        Tokens     A token's vector is its house vector and two anchors, +a and -a, which make all tokens equally long:
                   layer normalisation then keeps apart long vectors (words that say much) and short ones.
        Positions  +1 in the question, -1 in the passage, and a few waves.
        Layer 1    Queries and keys are the same projection of the house vectors, and prefer the other side: a token
                   attends to where its meaning stands there, and to the last [SEP] where it stands nowhere. The
                   values carry "this is in the passage", so MATCH of what a token receives is how well it was matched.
        Last layer [CLS] averages MATCH over the question, long vectors first, and the score reads that.
        What is left is small random numbers.
        """
        width, content = self.tokens.weight.shape[1], vectors.shape[1]
        side, anchor, match, mark = content, content + 1, content + 3, content + 4
        lengths = np.linalg.norm(vectors, axis=1)
        scaled = torch.from_numpy((vectors / np.percentile(lengths[lengths > 0], 70) * 2).astype(np.float32))
        scaled /= scaled.norm(dim=1, keepdim=True).clamp(min=1.0)
        table = torch.randn_like(self.tokens.weight) * 0.01
        table[:, :content] = scaled
        spare = ((1.2 - scaled.square().sum(1)) / 2).sqrt()
        table[:, anchor], table[:, anchor + 1] = spare, -spare
        table[:, side], table[:, match:] = 0, 0
        table[SEP, mark], table[CLS, mark + 1] = 1.0, 1.0
        self.tokens.weight.copy_(table)

        where = torch.arange(TABLE).float() - DOCUMENT_AT
        places = torch.randn_like(self.positions.weight) * 0.005
        places[:, side] = torch.where(where < 0, 0.5, -0.5)
        first_wave = mark + 2
        for wave in range((width - first_wave) // 2):
            angle = where * (math.pi / 2 ** (wave + 1))
            places[:, first_wave + 2 * wave] = 0.1 * angle.sin()
            places[:, first_wave + 2 * wave + 1] = 0.1 * angle.cos()
        self.positions.weight.copy_(places)
        for layer in self.layers:
            layer.out.weight *= 0.1
            layer.down.weight *= 0.1
            layer.out.weight[match], layer.down.weight[match] = 0, 0
        self._begin_matching(content, side, match, mark)
        self._begin_counting(side, anchor, match, mark)

    def _begin_matching(self, content, side, match, mark):
        layer, width = self.layers[0], self.tokens.weight.shape[1]
        per_head = width // self.heads
        unit = math.sqrt(width / 1.5)  # what normalisation makes of a component of 1
        turn = torch.linalg.qr(torch.randn(content, content))[0]
        seen = min(per_head - 2, content)  # of the content's dimensions, by one head
        sharp = math.sqrt(SHARPNESS * math.sqrt(per_head) * content / seen) / unit
        across = math.sqrt(ACROSS * math.sqrt(per_head)) / (0.5 * unit)
        for h in range(self.heads):
            begin = h * per_head
            low = h * (content - seen) // max(1, self.heads - 1)
            for linear in (layer.q, layer.k):
                linear.weight[begin:begin + per_head] = 0
                linear.weight[begin:begin + seen, :content] = turn[low:low + seen] * sharp
            layer.q.weight[begin + per_head - 2, side] = across
            layer.k.weight[begin + per_head - 2, side] = -across
            layer.q.bias[begin + per_head - 1] = math.sqrt(per_head)
            layer.k.weight[begin + per_head - 1, mark] = SINK / unit
            # The first value of a head: 1 from the passage, -1 from the question, 0 from the last [SEP].
            layer.v.weight[begin] = 0
            layer.v.weight[begin, side] = -2 / unit
            layer.v.weight[begin, mark] = -1 / unit
        for h in range(self.heads):
            layer.out.weight[:, h * per_head] = 0
            layer.out.weight[match, h * per_head] = 2.0 / self.heads

    def _begin_counting(self, side, anchor, match, mark):
        layer, width = self.layers[-1], self.tokens.weight.shape[1]
        per_head = width // self.heads
        unit = math.sqrt(width / 1.5)
        layer.q.weight[:], layer.k.weight[:] = layer.q.weight * 0.1, layer.k.weight * 0.1
        for h in range(self.heads):
            begin = h * per_head
            layer.q.bias[begin] = math.sqrt(per_head)
            layer.k.weight[begin, :] = 0
            layer.k.weight[begin, side] = 12 / unit
            layer.k.weight[begin, anchor], layer.k.weight[begin, anchor + 1] = -WEIGHING / unit, WEIGHING / unit
            layer.k.weight[begin, mark], layer.k.weight[begin, mark + 1] = -6 / unit, -6 / unit
            layer.v.weight[begin] = 0
            layer.v.weight[begin, match] = 1
            layer.out.weight[:, begin] = 0
            layer.out.weight[match, begin] = 1 / self.heads
        self.dense.weight *= 0.2
        self.score.weight *= 0.1
        self.dense.weight[0, :] = 0
        self.dense.weight[0, match] = 0.15
        self.score.weight[0, 0] = 6.0


SHARPNESS = 12.0  # logit of a word that stands on the other side as well
SINK = 8.0  # logit of standing nowhere
ACROSS = 8.0  # how much the other side is preferred
WEIGHING = 4.0  # how much more long vectors count


# --- file --------------------------------------------------------------------------------------------------------

Q8_0, BF16 = 8, 30
BOOL = 7


def q8_0(array):
    """Blocks of 32 numbers: a float16 scale, 32 int8."""
    blocks = array.astype(np.float32).reshape(-1, 32)
    scale = (np.abs(blocks).max(1) / 127).astype(np.float16)
    divisor = scale.astype(np.float32)
    numbers = np.rint(blocks / np.where(divisor > 0, divisor, 1)[:, None]).clip(-127, 127).astype(np.int8)
    return np.concatenate([scale[:, None].view(np.int8), numbers], 1).tobytes()


def bf16(array):
    return torch.from_numpy(array).bfloat16().view(torch.int16).numpy().tobytes()


def f32(array):
    return array.astype("<f4").tobytes()


PACKED = {Q8_0: q8_0, BF16: bf16, static_model.F32: f32}


def _tensors(model):
    """Yields (name, array, type) as libllama names them."""
    def linear(name, module, kind=BF16):
        yield name + ".weight", module.weight, kind
        yield name + ".bias", module.bias, static_model.F32

    def norm(name, module):
        yield name + ".weight", module.weight, static_model.F32
        yield name + ".bias", module.bias, static_model.F32

    yield "token_embd.weight", model.tokens.weight, Q8_0
    yield "position_embd.weight", model.positions.weight[:CONTEXT], static_model.F32
    yield "token_types.weight", torch.zeros(2, model.tokens.weight.shape[1]), static_model.F32
    yield from norm("token_embd_norm", model.norm)
    for i, layer in enumerate(model.layers):
        for name, module in (("attn_q", layer.q), ("attn_k", layer.k), ("attn_v", layer.v),
                             ("attn_output", layer.out), ("ffn_up", layer.up), ("ffn_down", layer.down)):
            yield from linear(f"blk.{i}.{name}", module)
        yield from norm(f"blk.{i}.attn_output_norm", layer.norm1)
        yield from norm(f"blk.{i}.layer_output_norm", layer.norm2)
    yield from linear("cls", model.dense)
    yield from linear("cls.output", model.score, static_model.F32)


def _pack(value):
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, float):
        return struct.pack("<If", static_model.F32_VALUE, value)
    return static_model._value(value)


def save(path, model, pieces, facts):
    """Writes the model; `facts` are more general.* strings."""
    width = model.tokens.weight.shape[1]
    tokens = [p if p in SPECIAL else p[2:] if p.startswith("##") else "\u2581" + p for p in pieces]
    types = [3 if p in SPECIAL else 1 for p in pieces]
    pairs = {"general.architecture": "bert", "general.type": "model", **facts, "general.file_type": 7,
             "bert.vocab_size": len(pieces), "bert.context_length": CONTEXT, "bert.embedding_length": width,
             "bert.block_count": len(model.layers), "bert.feed_forward_length": model.layers[0].up.out_features,
             "bert.attention.head_count": model.heads, "bert.attention.layer_norm_epsilon": EPSILON,
             "bert.attention.causal": False, "bert.pooling_type": 4,
             "bert.rerank.document_position": DOCUMENT_AT,
             "tokenizer.ggml.model": "bert", "tokenizer.ggml.pre": "default", "tokenizer.ggml.tokens": tokens,
             "tokenizer.ggml.token_type_count": 2, "tokenizer.ggml.padding_token_id": PAD,
             "tokenizer.ggml.unknown_token_id": UNKNOWN, "tokenizer.ggml.bos_token_id": CLS,
             "tokenizer.ggml.cls_token_id": CLS, "tokenizer.ggml.eos_token_id": SEP,
             "tokenizer.ggml.seperator_token_id": SEP, "tokenizer.ggml.mask_token_id": MASK}
    types_pair = static_model._string("tokenizer.ggml.token_type") + struct.pack(
        f"<IIQ{len(types)}i", static_model.ARRAY, 5, len(types), *types)
    listed, data = b"", b""
    tensors = list(_tensors(model))
    for name, tensor, kind in tensors:
        array = tensor.detach().float().numpy()
        raw = PACKED[kind](array)
        listed += static_model._string(name) + struct.pack(f"<I{array.ndim}Q", array.ndim, *array.shape[::-1])
        listed += struct.pack("<IQ", kind, len(data))
        data += raw + bytes(-len(raw) % static_model.ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs) + 1)
    head += b"".join(static_model._string(key) + _pack(value) for key, value in pairs.items()) + types_pair + listed
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % static_model.ALIGNMENT) + data)
