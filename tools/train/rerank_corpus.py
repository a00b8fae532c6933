#!/usr/bin/env python3
"""rerank_corpus.py [FOLDER]: makes passages and questions that the house reranker learns from.

Reads what tools/train/collect and rerank_collect fetched into FOLDER/text and writes two files, seeded:

    FOLDER/rerank/passages.jsonl   {"source", "document", "title", "text", "title_es", "text_es"}
    FOLDER/rerank/questions.jsonl  {"passage": line number, "text", "language", "meaning"}

Passages are runs of paragraphs of one page, 40 to 170 words. Manuals that somebody translated keep their paragraphs in
step, so their Spanish text stands beside the English one; so do package descriptions (a person's translation, else
apertium's, which corpus.py keeps) and groups of WordNet's glosses (apertium's). Other passages have no Spanish.

Nobody asks about these texts, so questions are made of their sentences by rule: titles; a sentence with its number, name
or some other part taken out and a question word put in front; a sentence that lost words, some of the others replaced by
a synonym; and loose key words. `meaning` is the English that a question stands for, which the teacher reads: the question
itself when it is English, the sentence beside it when it is Spanish. In a third of the cases the sentence is marked as
"hide": it is taken out of its passage when the pair is trained on, so that equal words are not all there is to learn.
"""

import html.parser
import json
import pathlib
import random
import re
import sys
import zlib

import corpus

SEED = 20261123
WORDS_MIN, WORDS_MAX = 40, 170
BLOCKS = {"p", "li", "dd", "dt", "h1", "h2", "h3", "h4", "td", "title", "item", "note", "desc"}
HEADINGS = {"h1", "h2", "h3", "h4", "title"}
SKIPPED = {"script", "style", "nav", "header", "aside", "noscript", "info", "pre", "footer", "head", "screen"}


# --- pages -------------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """The blocks of one page: [(tag, text)]. Reads HTML and Mallard."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.blocks, self.tag, self.parts, self.skipping = [], "p", [], []
        self.feed(text)
        self.flush()

    def flush(self):
        text = corpus.clean("".join(self.parts))
        if text:
            self.blocks.append((self.tag, text))
        self.parts = []

    def handle_starttag(self, tag, attributes):
        if tag in SKIPPED:
            self.skipping.append(tag)
        elif tag in BLOCKS:
            self.flush()
            self.tag = tag

    def handle_endtag(self, tag):
        if self.skipping and tag == self.skipping[-1]:
            self.skipping.pop()
        elif tag in BLOCKS:
            self.flush()
            self.tag = "p"

    def handle_data(self, data):
        if not self.skipping:
            self.parts.append(data)


def runs(blocks):
    """Yields (title, indices of blocks): neighbours under one heading, WORDS_MIN to WORDS_MAX words together."""
    title, chosen, words = "", [], 0
    for i, (tag, text) in enumerate(blocks):
        count = len(text.split())
        if tag in HEADINGS or words + count > WORDS_MAX:
            if words >= WORDS_MIN:
                yield title, chosen
            chosen, words = [], 0
        if tag in HEADINGS:
            title = i
        elif count <= WORDS_MAX:
            chosen.append(i)
            words += count
    if words >= WORDS_MIN:
        yield title, chosen


def passages_of(source, document, english, spanish):
    """Passages of a page; `spanish` may be None, and is left out where its blocks are not those of the English."""
    blocks = Page(english).blocks
    other = Page(spanish).blocks if spanish else []
    aligned = [tag for tag, _ in blocks] == [tag for tag, _ in other]
    for title, chosen in runs(blocks):
        row = {"source": source, "document": document, "title": blocks[title][1] if title != "" else "",
               "text": " ".join(blocks[i][1] for i in chosen)}
        if aligned:
            row["text_es"] = " ".join(other[i][1] for i in chosen)
            row["title_es"] = other[title][1] if title != "" else ""
            if row["text_es"] == row["text"]:
                continue  # not translated after all
        yield row


# Folder of the English pages, of the Spanish ones (None: there are none), and the pages' names.
MANUALS = [
    ("libreoffice-help-en-us/usr/share/libreoffice/help/en-US/text",
     "libreoffice-help-es/usr/share/libreoffice/help/es/text", "*.html"),
    ("gnome-user-docs/usr/share/help/C", "gnome-user-docs/usr/share/help/es", "*.page"),
    ("debian-handbook/usr/share/doc/debian-handbook/html/en-US",
     "debian-handbook/usr/share/doc/debian-handbook/html/es-ES", "*.html"),
    ("apache2-doc/usr/share/doc/apache2-doc/manual/en", "apache2-doc/usr/share/doc/apache2-doc/manual/es", "*.html"),
    ("postgresql-doc-18/usr/share/doc", None, "*.html"),
    ("sqlite3-doc/usr/share/doc", None, "*.html"),
]


def manuals(folder):
    for english, spanish, names in MANUALS:
        source = english.split("/")[0]
        for path in sorted((folder / english).rglob(names)):
            other = folder / spanish / path.relative_to(folder / english) if spanish else None
            text = path.read_text("utf-8", "ignore")
            twin = other.read_text("utf-8", "ignore") if other and other.exists() else None
            yield from passages_of(source, f"{source}/{path.name}", text, twin)


def packages(folder, translated):
    """Longer package descriptions that have a Spanish side."""
    spanish = {key: (short, " ".join(paragraphs)) for key, short, paragraphs in corpus.descriptions(folder, "es")}
    for key, short, paragraphs in corpus.descriptions(folder, "en"):
        text = " ".join(paragraphs)
        whole = corpus.clip(f"{short}. {text}", corpus.LONG_CHARS)
        if not WORDS_MIN <= len(text.split()) <= WORDS_MAX:
            continue
        if key in spanish and spanish[key][1]:
            other = spanish[key]
        elif whole in translated:
            other = translated[whole].partition(". ")[::2]
        else:
            continue
        yield {"source": "packages", "document": f"packages/{short}", "title": short, "text": text,
               "title_es": other[0], "text_es": other[1]}


def glosses(folder, translated, rng):
    """What WordNet says of words that mean a kind of the same thing, a few together."""
    groups = {}
    for part in ("noun", "verb"):
        path = folder / "wordnet-base/usr/share/wordnet" / f"data.{part}"
        for line in path.read_text("latin-1").splitlines():
            if line.startswith(" "):
                continue
            data, gloss = line.split("|", 1)
            fields = data.split()
            count = int(fields[3], 16)
            words = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
            above = re.search(r"@ (\d{8}) [nv]", data)
            text = f"{', '.join(words[:4])}: {corpus.clip(corpus.clean(gloss.replace(chr(34), '')), corpus.SHORT_CHARS)}"
            if above and text in translated:
                groups.setdefault(part + above.group(1), []).append((words[0], text, translated[text]))
    for key, members in sorted(groups.items()):
        rng.shuffle(members)
        for at in range(0, len(members), 5):
            chosen = members[at:at + rng.randint(3, 5)]
            text = ". ".join(text for _, text, _ in chosen)
            if len(text.split()) >= WORDS_MIN:
                yield {"source": "wordnet", "document": f"wordnet/{key}", "title": "",
                       "text": corpus.clip(text, corpus.LONG_CHARS), "title_es": "",
                       "text_es": corpus.clip(". ".join(text for _, _, text in chosen), corpus.LONG_CHARS + 100)}


# --- questions ---------------------------------------------------------------------------------------------------

WORD = re.compile(r"[^\W_](?:[\w'’.+#-]*\w)?")
STOP = {
    "en": set("the a an of to in on at by for with and or as is are was were be been it its this that these those from "
              "which who whom what when where how why you your can may will not if then than there their they he she his "
              "her has have had do does did but also such any all some more most other into only no so we our i".split()),
    "es": set("el la los las un una unos unas de del a al en con por para y o u e que se su sus lo como es son fue era "
              "ser está este esta esto estos estas ese esa si no más muy ya hay ha han le les pero también sobre entre "
              "cuando donde quien cual cuyo todo todos toda todas otro otra puede pueden".split()),
}
NUMBER = {"en": ["how many", "how much", "when", "in what year", "what is the number of", "how large"],
          "es": ["cuántos", "cuántas", "cuánto", "cuándo", "en qué año", "cuál es el número de"]}
NAME = {"en": ["who", "which", "what", "where", "what is the name of", "whose"],
        "es": ["quién", "cuál", "qué", "dónde", "cómo se llama", "a quién"]}
THING = {"en": ["what", "what is", "how", "why", "which", "what are", "what does", "how does", "how do", "what kind of",
                "what type of", "how to", "what did", "how can", "is it true that", "has anyone described"],
         "es": ["qué", "qué es", "cómo", "por qué", "cuál", "cuáles son", "qué tipo de", "para qué", "de qué manera",
                "cómo se puede", "qué hace"]}


def sentences(text):
    return [s for s in re.split(r"(?<=[.!?;:])\s+(?=[\w¿¡\"(])", text) if s]


def usable(sentence):
    return 6 <= len(sentence.split()) <= 45


def synonyms(folder):
    """{word: other words of its synsets}, single lower-case words only."""
    found = {}
    for _, words, _ in corpus.wordnet(folder):
        plain = [w for w in words if w.isalpha() and w.islower()]
        for word in plain:
            found.setdefault(word, set()).update(plain)
    return {word: sorted(others - {word}) for word, others in found.items() if len(others) > 1}


def vary(words, language, others, drop, replace, rng):
    """The words without some of them, and with synonyms for some."""
    result = []
    for word in words:
        common = word.lower() in STOP[language]
        if rng.random() < (drop * 0.7 if common else drop):
            continue
        choice = others.get(word.lower()) if language == "en" and not common else None
        result.append(rng.choice(choice) if choice and rng.random() < replace else word)
    return result


def asked(words, language, others, rng):
    """A question whose answer is a part of the sentence."""
    numbers = [i for i, w in enumerate(words) if w[0].isdigit()]
    names = [i for i, w in enumerate(words) if i and w[0].isupper()]
    if numbers and rng.random() < 0.6:
        at, lead = rng.choice(numbers), NUMBER
    elif names and rng.random() < 0.6:
        at, lead = rng.choice(names), NAME
    else:
        at, lead = rng.randrange(len(words)), THING
    reach = rng.randint(4, 10)
    near = words[max(0, at - reach):at] + words[at + rng.randint(1, 2):at + reach]
    text = " ".join([rng.choice(lead[language])] + vary(near, language, others, 0.15, 0.15, rng))
    return ("¿" if language == "es" else "") + text[0].upper() + text[1:] + "?"


def loose(words, language, rng):
    """Key words, without order."""
    content = [w for w in words if w.lower() not in STOP[language] and len(w) > 2]
    chosen = rng.sample(content, min(len(content), rng.randint(2, 6)))
    return " ".join(chosen).lower()


def make_question(sentence, language, others, rng):
    words = WORD.findall(sentence)
    if len(words) < 5:
        return None
    kind = rng.random()
    if kind < 0.55:
        text = asked(words, language, others, rng)
    elif kind < 0.85:
        begin = rng.randrange(max(1, len(words) - 20))
        text = " ".join(vary(words[begin:begin + rng.randint(8, 22)], language, others, 0.3, 0.25, rng)).lower()
    else:
        text = loose(words, language, rng)
    return text if len(text.split()) >= 2 else None


def questions_of(row, number, others, rng):
    """Yields questions about one passage; about half of them Spanish where there is Spanish."""
    english = sentences(row["text"])
    spanish = sentences(row.get("text_es", ""))
    in_step = len(english) == len(spanish)
    title = row["title"]
    if len(title.split()) >= 2 and rng.random() < 0.7:
        if row.get("title_es") and rng.random() < 0.5:
            yield {"passage": number, "text": row["title_es"], "language": "es", "meaning": title}
        else:
            yield {"passage": number, "text": title, "language": "en", "meaning": title}
    chosen = [i for i, s in enumerate(english) if usable(s)]
    for i in rng.sample(chosen, min(len(chosen), 3)):
        hide = rng.random() < 0.3 and len(english) > 2
        if spanish and in_step and usable(spanish[i]) and rng.random() < 0.5:
            text = make_question(spanish[i], "es", others, rng)
            row_out = {"passage": number, "text": text, "language": "es", "meaning": english[i]}
        else:
            text = make_question(english[i], "en", others, rng)
            row_out = {"passage": number, "text": text, "language": "en", "meaning": text}
        if hide:
            row_out["hide"] = english[i]
            row_out["hide_es"] = spanish[i] if in_step and spanish else ""
        if text:
            yield row_out


def is_held_out(row):
    """One document in twenty is never trained on."""
    return zlib.crc32(row["document"].encode()) % 20 == 0


# Passages of each source that are kept, so that none is most of the whole.
SHARES = {"libreoffice-help-en-us": 4500, "packages": 5000, "wordnet": 6000, "postgresql-doc-18": 1500,
          "sqlite3-doc": 1500}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path.home() / ".cache/jarvis/train")
    rng = random.Random(SEED)
    lines = (line.split("\t") for line in (folder / "corpus.tsv").read_text("utf-8").splitlines())
    translated = {english: spanish for kind, english, spanish in lines if kind in ("article", "gloss")}
    text = folder / "text"
    by_source = {}
    for row in [*manuals(text), *packages(text, translated), *glosses(text, translated, rng)]:
        by_source.setdefault(row["source"], {})[row["text"]] = row
    rows = []
    for source, found in sorted(by_source.items()):
        found = sorted(found.values(), key=lambda row: row["text"])
        rows += rng.sample(found, min(len(found), SHARES.get(source, 4000)))
        print(f"{source:24} {len(found):7} passages, {sum('text_es' in row for row in found):7} with Spanish")
    rng.shuffle(rows)
    others = synonyms(text)
    asked_of = [q for i, row in enumerate(rows) for q in questions_of(row, i, others, rng)]
    rng.shuffle(asked_of)
    out = folder / "rerank"
    out.mkdir(exist_ok=True)
    for name, items in (("passages", rows), ("questions", asked_of)):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in items), "utf-8")
    print(f"{len(rows)} passages, {len(asked_of)} questions, {sum(q['language'] == 'es' for q in asked_of)} Spanish")


if __name__ == "__main__":
    main()
