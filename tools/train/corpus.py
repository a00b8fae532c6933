#!/usr/bin/env python3
"""corpus.py [FOLDER]: makes FOLDER/corpus.tsv, the sentences that the house embedder learns from.

Reads what tools/train/collect fetched into FOLDER/text. Each line of the result is

    kind TAB English text TAB Spanish text

and the lines are shuffled by a fixed seed, so that any prefix of the file is a fair sample of the whole. Kinds:

    gloss       WordNet: the words of a synset and what they mean
    entry       FreeDict (from Wiktionary): a headword and its definition; the headword's translation is a person's
    word        FreeDict: the headword alone, and its translation
    package     a Debian package's description, its first paragraph; the Spanish is a person's where there is one
    article     longer texts (to about 200 words): whole package descriptions, whole entries of the GCIDE
    sense       GCIDE: one definition or quotation
    question    "What is ...", "Who was ...": templates over WordNet, both languages from the template

Where nobody has translated a text, the Debian program apertium (package apertium-eng-spa, rule-based) does. Its word
order and agreement are often wrong, which a model that takes a mean over words does not see; what counts is that it
knows the words.

Needs: apertium with the pair eng-spa in PATH. Takes about ten minutes of one core. Translations are kept in
FOLDER/apertium, so that a stopped run goes on where it was.
"""

import concurrent.futures
import gzip
import hashlib
import pathlib
import random
import re
import subprocess
import sys

SEED = 20261122
SHORT_CHARS = 420  # of a text that is one statement
LONG_CHARS = 1100  # of an article: what the teacher reads, 256 tokens, and no more
TRANSLATE_LINES = 4000  # one run of apertium


def clean(text):
    """One line, single spaces."""
    return re.sub(r"\s+", " ", text).strip()


def clip(text, limit):
    """At most limit characters, cut between words."""
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0]


# --- the sources -------------------------------------------------------------------------------------------------


def wordnet(folder):
    """Yields (lexical file number, words, gloss) of every synset."""
    for part in ("noun", "verb", "adj", "adv"):
        path = folder / "wordnet-base/usr/share/wordnet" / f"data.{part}"
        for line in path.read_text("latin-1").splitlines():
            if line.startswith(" "):
                continue
            data, gloss = line.split("|", 1)
            fields = data.split()
            count = int(fields[3], 16)
            words = [re.sub(r"\(.*\)$", "", fields[4 + 2 * i]).replace("_", " ") for i in range(count)]
            yield int(fields[1]), words, clean(gloss.replace('"', ""))


def freedict(folder):
    """Yields (headword, translation, definition) of the English-Spanish dictionary; the definition may be empty."""
    path = folder / "dict-freedict-eng-spa/usr/share/dictd/freedict-eng-spa.dict.dz"
    head, body = None, []

    def entry():
        if head is None or not body:
            return None
        translation = re.sub(r"\s*\d+\.$", "", body[0])
        translation = clean(re.sub(r"^\d+\.|<[^>]*>|\[[^\]]*\]", "", translation))
        definition = body[1] if len(body) > 1 and len(body[1]) > 8 else ""
        return (head, translation, clean(definition)) if translation else None

    for line in gzip.open(path, "rt", encoding="utf-8"):
        match = re.match(r"^(\S.*?) /.*/ ?(<[^>]*>)?$", line)
        if match:
            if (found := entry()) is not None:
                yield found
            head, body = match.group(1), []
        elif not re.fullmatch(r"\s*\d+\.\s*", line):
            body.append(line.strip())
    if (found := entry()) is not None:
        yield found


def descriptions(folder, language):
    """Yields (md5 of the English description, short description, paragraphs) of every package."""
    for stanza in (folder / f"Translation-{language}").read_text("utf-8").split("\n\n"):
        match = re.match(rf"Package: .*\nDescription-md5: (\w+)\nDescription-{language}: (.*)\n?((?:.|\n)*)", stanza)
        if not match:
            continue
        paragraphs = [clean(p) for p in re.split(r"\n \.\n", match.group(3))]
        yield match.group(1), clean(match.group(2)), [p for p in paragraphs if p]


def gcide(folder):
    """Yields (headword, senses and quotations) of the Collaborative International Dictionary of English."""
    path = next((folder / "dict-gcide").rglob("*.dict.dz"))
    head, parts = None, []
    for block in re.split(r"\n\s*\n", gzip.open(path, "rt", encoding="utf-8", errors="ignore").read()):
        if not block.startswith(" ") and (match := re.match(r"(\S[^\\\n]*?) \\", block)):
            if head and parts:
                yield head, parts
            head, parts = clean(match.group(1)), []
        text = re.sub(r"\[[^\]]*\]|\{|\}|--\s*[\w. ]+\.?\s*$|^\s*\d+\.|\([a-z]\)", " ", block.split("\\")[-1])
        text = clean(text)
        if head and len(text) > 30 and "Note:" not in text and "Syn:" not in text:
            parts.append(text)


# --- templates ---------------------------------------------------------------------------------------------------

# WordNet's lexical files: which questions fit the words of a synset. {} is the word, in each language.
QUESTIONS = {
    "thing": [("What is {}?", "¿Qué es {}?"), ("How does {} work?", "¿Cómo funciona {}?"),
              ("What is {} used for?", "¿Para qué se usa {}?"), ("What kind of {} was it?", "¿Qué tipo de {} era?"),
              ("How many {} are there?", "¿Cuántos {} hay?"), ("Which {} was the first?", "¿Cuál fue el primer {}?"),
              ("What causes {}?", "¿Qué causa {}?"), ("What is another name for {}?", "¿Qué otro nombre recibe {}?"),
              ("Why is {} important?", "¿Por qué es importante {}?"), ("What does {} mean?", "¿Qué significa {}?")],
    "person": [("Who was {}?", "¿Quién fue {}?"), ("When was {} born?", "¿Cuándo nació {}?"),
               ("What did {} do?", "¿Qué hizo {}?"), ("Whose {} was it?", "¿De quién era {}?"),
               ("In what year did {} die?", "¿En qué año murió {}?")],
    "place": [("Where is {}?", "¿Dónde está {}?"), ("What is the population of {}?", "¿Cuál es la población de {}?"),
              ("How large is {}?", "¿Cómo de grande es {}?"), ("Who lives in {}?", "¿Quién vive en {}?"),
              ("When was {} founded?", "¿Cuándo se fundó {}?")],
    "act": [("How do you {}?", "¿Cómo se puede {}?"), ("Who can {}?", "¿Quién puede {}?"),
            ("When did they {}?", "¿Cuándo pudieron {}?"), ("How long does it take to {}?", "¿Cuánto se tarda en {}?")],
}


def question_kind(lexical_file):
    if lexical_file == 18:
        return "person"
    if lexical_file == 15:
        return "place"
    if 29 <= lexical_file <= 43:
        return "act"
    return "thing" if 3 <= lexical_file <= 28 else None


# Words of software that the program translates as words of the kitchen; only in descriptions of packages.
SOFTWARE = {"envase": "paquete", "envases": "paquetes", "lima": "archivo", "limas": "archivos", "pitón": "Python",
            "enmohecer": "Rust", "alocución": "dirección", "alocuciones": "direcciones", "cáscara": "shell",
            "anfitrión": "host", "anfitriones": "hosts", "dato": "datos"}


def as_software(spanish):
    """The same with the words that a person would use, and some by their common synonym so that both are learned."""
    def replace(match):
        word = SOFTWARE.get(match.group().lower(), match.group())
        return "fichero" + word[7:] if word.startswith("archivo") and match.start() % 3 == 0 else word
    return re.sub(r"\w+", replace, spanish)


# --- translation -------------------------------------------------------------------------------------------------


def apertium(lines, cache):
    """Spanish of each line, by one run of the program; words that it does not know stay English."""
    key = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:24]
    path = cache / key
    if not path.exists():
        # A full stop ends the sentence, a blank line keeps lines apart; the line count must come back unchanged.
        source = "\n\n".join(re.sub(r"[\[\]{}<>\\^$*@/]", " ", line) for line in lines) + "\n"
        done = subprocess.run(["apertium", "-u", "eng-spa"], input=source, capture_output=True, text=True, check=True)
        result = [clean(line) for line in done.stdout.rstrip("\n").split("\n\n")]
        if len(result) != len(lines):
            raise RuntimeError(f"apertium made {len(result)} lines of {len(lines)}")
        path.write_text("\n".join(result))
    return path.read_text().split("\n")


def translate(texts, cache):
    """A dictionary from each text to its Spanish."""
    cache.mkdir(parents=True, exist_ok=True)
    texts = sorted(set(texts))
    result = {}
    batches = [texts[i:i + TRANSLATE_LINES] for i in range(0, len(texts), TRANSLATE_LINES)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for number, (batch, spanish) in enumerate(zip(batches, pool.map(lambda b: apertium(b, cache), batches))):
            result.update(zip(batch, spanish))
            print(f"\rtranslated {number + 1} of {len(batches)} batches", end="", file=sys.stderr)
    print(file=sys.stderr)
    return result


# --- all of it ---------------------------------------------------------------------------------------------------


def gather(folder, rng):
    """Lists (kind, English, Spanish template): {t:TEXT} stands for the translation of TEXT, to be filled in."""
    rows = []
    subjects = {}
    for lexical_file, words, gloss in wordnet(folder):
        head, gloss = ", ".join(words[:4]), clip(gloss, SHORT_CHARS)
        rows.append(("gloss", f"{head}: {gloss}", (None, f"{head}: {gloss}")))
        if (kind := question_kind(lexical_file)) is not None:
            subjects.setdefault(kind, []).append(words[0])
    for kind, words in subjects.items():
        for word in rng.sample(words, min(len(words), 8000)):
            english, spanish = rng.choice(QUESTIONS[kind])
            rows.append(("question", english.format(word), (spanish, word)))
    for head, translation, definition in freedict(folder):
        rows.append(("word", head, (translation, None)))
        if definition:
            definition = clip(re.sub(r"^\([^)]*\)\s*", "", definition), SHORT_CHARS)
            rows.append(("entry", f"{head}: {definition}", (translation + ": {}", definition)))
    spanish = {key: (short, paragraphs) for key, short, paragraphs in descriptions(folder, "es")}
    seen = set()
    for key, short, paragraphs in descriptions(folder, "en"):
        first = clip(paragraphs[0] if paragraphs else "", SHORT_CHARS)
        if first in seen or not first:
            continue
        seen.add(first)
        whole = clip(f"{short}. {' '.join(paragraphs)}", LONG_CHARS)
        human = spanish.get(key)
        if human and human[1]:
            rows.append(("package", f"{short}: {first}", (f"{human[0]}: {clip(human[1][0], SHORT_CHARS)}", None)))
            rows.append(("package", short, (human[0], None)))
            rows.append(("article", whole, (clip(f"{human[0]}. {' '.join(human[1])}", LONG_CHARS + 100), None)))
            continue
        rows.append(("package", f"{short}: {first}", (None, f"{short}: {first}")))
        if len(whole) > SHORT_CHARS + 200 and rng.random() < 0.3:
            rows.append(("article", whole, (None, whole)))
    for head, parts in gcide(folder):
        for part in parts:
            if rng.random() < 0.25:
                rows.append(("sense", clip(part, SHORT_CHARS), (None, clip(part, SHORT_CHARS))))
        whole = clip(f"{head}. {' '.join(parts)}", LONG_CHARS)
        if len(whole) > SHORT_CHARS + 200 and rng.random() < 0.5:
            rows.append(("article", whole, (None, whole)))
    return rows


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path.home() / ".cache/jarvis/train")
    rng = random.Random(SEED)
    rows = gather(folder / "text", rng)
    spanish = translate((text for _, _, (_, text) in rows if text), folder / "apertium")
    lines = set()
    for kind, english, (template, text) in rows:
        translated = spanish[text] if text else ""
        target = template.replace("{}", translated) if template else translated
        if english and target:
            lines.add((kind, english.replace("\t", " "), target.replace("\t", " ")))
    lines = sorted(lines)
    rng.shuffle(lines)
    lines = [(kind, english, as_software(target) if kind in ("package", "article") else target)
             for kind, english, target in lines]
    temporary = folder / "corpus.tmp"
    temporary.write_text("".join("\t".join(line) + "\n" for line in lines), "utf-8")
    temporary.rename(folder / "corpus.tsv")
    for kind in sorted({line[0] for line in lines}):
        chosen = [line for line in lines if line[0] == kind]
        print(f"{kind:10} {len(chosen):8} texts, {sum(len(line[1].split()) for line in chosen):9} English words")


if __name__ == "__main__":
    main()
