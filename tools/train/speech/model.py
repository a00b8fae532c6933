"""model.py: the network, a Whisper of 128 dimensions, and the tokens that it uses.

Whisper's vocabulary has 51,865 tokens; the sentences use about 2,000, and there are 1,501 for times. Only those are trained:
the others share one row, and the softmax counts that row as often as it stands in the file. The rows of times are a
linear map of the same sines that mark the encoder's frames: a time that was never heard lies between those that were.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

END, START, TRANSCRIBE, PREVIOUS, NO_SPEECH, NO_TIMES, TIME_0, TIMES = 50257, 50258, 50359, 50361, 50362, 50363, 50364, 1501
LANGUAGE = {"en": 50259, "es": 50262}
NEWLINE = 198
VOCABULARY = 51865
WIDTH, HEADS, AUDIO_LAYERS, TEXT_LAYERS, AUDIO_CONTEXT, TEXT_CONTEXT, BANDS = 128, 4, 4, 3, 1500, 256, 80


def sines(length, width=WIDTH):
    """Whisper's positional embedding, [length, width]."""
    rates = torch.exp(-math.log(10000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


class Tokens:
    """Which tokens are trained: Whisper's ids in the order of the model's rows; times are the last rows."""

    def __init__(self, header, words):
        self.pieces = {word: header.encode(word) for word in words}
        text = sorted({i for ids in self.pieces.values() for i in ids} | {NEWLINE})
        special = [END, START, TRANSCRIBE, PREVIOUS, NO_SPEECH, NO_TIMES, *LANGUAGE.values()]
        self.ids = text + special + list(range(TIME_0, TIME_0 + TIMES))
        self.row = {token: row for row, token in enumerate(self.ids)}
        self.spelling = header.tokens

    def text(self, ids):
        return b"".join(self.spelling[i] for i in ids if i < END).decode("utf-8", "replace").strip()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, source, mask=None):
        """(result [batch, n, width], weights [batch, heads, n, frames]). Plain products: on a CPU their backward is
        faster than that of torch's fused attention."""
        batch, n, _ = x.shape
        query, key, value = (part.view(batch, -1, HEADS, WIDTH // HEADS).transpose(1, 2)
                             for part in (self.query(x) * (WIDTH // HEADS) ** -0.5, self.key(source), self.value(source)))
        weights = query @ key.transpose(2, 3)
        if mask is not None:
            weights = weights + mask[:n, :n].to(weights.dtype)
        weights = weights.softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(batch, n, WIDTH)), weights


class Block(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        self.attn, self.attn_ln = Attention(), nn.LayerNorm(WIDTH)
        if decoder:
            self.cross_attn, self.cross_attn_ln = Attention(), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.mlp_ln = nn.LayerNorm(WIDTH)

    def forward(self, x, heard=None, mask=None):
        inside, weights = self.attn_ln(x), None
        x = x + self.attn(inside, inside, mask)[0]
        if heard is not None:
            result, weights = self.cross_attn(self.cross_attn_ln(x), heard)
            x = x + result
        return x + self.mlp(self.mlp_ln(x)), weights


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", sines(AUDIO_CONTEXT))
        self.blocks = nn.ModuleList(Block(False) for _ in range(AUDIO_LAYERS))
        self.ln_post = nn.LayerNorm(WIDTH)

    def forward(self, mel):
        """[batch, frames / 2, width] of a normalised spectrogram [batch, bands, frames]."""
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.positional_embedding[:x.shape[1]]
        for block in self.blocks:
            x, _ = block(x)
        return self.ln_post(x)


class Decoder(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.text_embedding = nn.Parameter(torch.randn(rows - TIMES, WIDTH) * 0.05)
        self.time_map = nn.Parameter(torch.randn(WIDTH, WIDTH) * 0.05 / math.sqrt(WIDTH / 2))
        self.unused = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(sines(TEXT_CONTEXT) * 0.05)
        self.blocks = nn.ModuleList(Block(True) for _ in range(TEXT_LAYERS))
        self.ln = nn.LayerNorm(WIDTH)
        self.register_buffer("sines", sines(TIMES), persistent=False)
        self.register_buffer("mask", torch.full((TEXT_CONTEXT, TEXT_CONTEXT), -1e4).triu(1), persistent=False)
        self.rest = math.log(VOCABULARY - rows)

    def embedding(self):
        return torch.cat([self.text_embedding, self.sines @ self.time_map])

    def forward(self, rows, heard):
        """(scores [batch, n, rows + 1], the last of all unused tokens together; cross-attention of every layer)."""
        embedding = torch.cat([self.embedding(), self.unused[None]])
        x = embedding[rows] + self.positional_embedding[:rows.shape[1]]
        looks = []
        for block in self.blocks:
            x, weights = block(x, heard, self.mask)
            looks.append(weights)
        scores = self.ln(x) @ embedding.T
        return torch.cat([scores[..., :-1].float(), scores[..., -1:].float() + self.rest], -1), looks


class Whisper(nn.Module):
    def __init__(self, rows, phonemes):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder(rows)
        self.phonemes = nn.Linear(WIDTH, phonemes)  # for training only


@torch.no_grad()
def transcribe(net, tokens, mel, language=None, limit=60):
    """Greedy texts, without times, of a batch of spectrograms: [(language, text)]. What libwhisper does, but simpler."""
    heard = net.encoder(mel)
    rows = torch.full((len(mel), 1), tokens.row[START])
    tags = torch.tensor([tokens.row[t] for t in LANGUAGE.values()])
    best = net.decoder(rows, heard)[0][:, -1, tags].argmax(-1)
    spoken = [list(LANGUAGE)[i] for i in best]
    first = tags[best] if language is None else torch.full((len(mel),), tokens.row[LANGUAGE[language]])
    fixed = torch.tensor([tokens.row[TRANSCRIBE], tokens.row[NO_TIMES]]).expand(len(mel), 2)
    rows = torch.cat([rows, first[:, None], fixed], 1)
    done, end, begin = torch.zeros(len(mel), dtype=torch.bool), tokens.row[END], rows.shape[1]
    while not done.all() and rows.shape[1] < limit:
        scores = net.decoder(rows, heard)[0][:, -1, :len(tokens.ids) - TIMES]
        following = scores.argmax(-1).masked_fill(done, end)
        done |= (following == end) | (following == tokens.row[NO_SPEECH])
        rows = torch.cat([rows, following[:, None]], 1)
    return [(tag, tokens.text([tokens.ids[r] for r in line[begin:]])) for tag, line in zip(spoken, rows.tolist())]
