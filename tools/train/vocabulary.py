#!/usr/bin/env python3
"""vocabulary.py [FOLDER] [--new N]: makes FOLDER/vocabulary.txt, the pieces of the bilingual tokenizer.

English: the pieces of the teacher's vocabulary that are plain [a-z0-9] (about 27,500: it counted far more English than
is here, and each of its words has a vector to begin with). Spanish, and what else the corpus has often: N pieces that a
WordPiece trainer finds in the folded words that the teacher does not have as a whole, most of them whole words.
"""

import argparse
import collections
import pathlib

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

import static_model
import teacher

SINGLES = "abcdefghijklmnopqrstuvwxyz0123456789"


def teacher_pieces():
    lines = (teacher.model_folder() / "vocab.txt").read_text("utf-8").split("\n")
    return [line for line in lines if static_model.WORD.fullmatch(line.removeprefix("##"))]


def count_words(path, fold):
    counts = collections.Counter()
    with open(path, encoding="utf-8") as file:
        for line in file:
            _, english, spanish = line.rstrip("\n").split("\t")
            for text in (english, spanish):
                counts.update(static_model.WORD.findall(text.translate(fold)))
    return counts


def new_pieces(counts, known, wanted):
    """The pieces that a WordPiece trainer makes of the words; it is asked for more until `wanted` are new."""
    def words():
        for word, count in counts.items():
            if word not in known and count > 2 and word.isalpha() and len(word) <= 24:
                for _ in range(min(count, 400)):
                    yield word

    size = wanted
    while True:
        model = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=["[UNK]"], show_progress=False)
        model.train_from_iterator(words(), trainer)
        ranked = sorted(model.get_vocab().items(), key=lambda item: item[1])
        pieces = [p for p, _ in ranked if p not in known and p != "[UNK]"]
        if len(pieces) >= wanted:
            return pieces[:wanted]
        size += wanted - len(pieces) + 50


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path.home() / ".cache/jarvis/train")
    parser.add_argument("--new", type=int, default=12000)
    args = parser.parse_args()
    english = teacher_pieces()
    known = set(english)
    missing = [p for c in SINGLES for p in (c, "##" + c) if p not in known]
    counts = count_words(args.folder / "corpus.tsv", static_model.make_fold())
    added = new_pieces(counts, known | set(missing), args.new)
    pieces = english + missing + added
    (args.folder / "vocabulary.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    print(f"{len(english)} pieces of the teacher, {len(missing)} single characters, {len(added)} new ones, of which "
          f"{sum(not p.startswith('##') for p in added)} begin a word")


if __name__ == "__main__":
    main()
