"""What the checkers in tools/ share: reading C text without a compiler. Standard library only."""

import os
import re
import sys

TOKEN = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)"""
    r"""|(?P<string>"(?:\\.|[^"\\\n])*")"""
    r"""|(?P<char>'(?:\\.|[^'\\\n])*')""",
    re.DOTALL,
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]+|[0-7]{1,3}|.)", re.DOTALL)
# The only words that may stand right before a call.
BEFORE_CALL = ("return", "else", "do", "case")
SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def files(root, *folders, suffixes=(".c", ".h")):
    """The project's C files under some folders, relative to root, sorted."""
    found = []
    for folder in folders:
        for where, names, leaves in os.walk(os.path.join(root, folder)):
            names.sort()
            for leaf in leaves:
                if leaf.endswith(suffixes):
                    found.append(os.path.relpath(os.path.join(where, leaf), root))
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def blank(text, kinds):
    """The text with comments, strings or chars (those in `kinds`) turned to spaces: every offset and line stays."""

    def one(match):
        if match.lastgroup not in kinds:
            return match.group()
        return re.sub(r"[^\n]", " ", match.group())

    return TOKEN.sub(one, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def includes(text):
    """(line, '<' or '"', path) of each #include."""
    visible = blank(text, {"comment"})
    return [(line_of(visible, m.start(1)), m.group(1), m.group(2)) for m in INCLUDE.finditer(visible)]


def calls(text, name_pattern):
    """(line, name, [arguments]) of each call of a function or macro whose name matches.

    A member (`p->open(...)`) is no call; nor is a declaration, which has a type's name right before the function's.
    """
    code = blank(text, {"comment"})
    bare = blank(text, {"comment", "string", "char"})
    for match in re.finditer(rf"(?<![\w.])(?<!->)({name_pattern})\s*\(", bare):
        word = re.search(r"(\w+)\s*$", bare[: match.start()])
        if word and word.group(1) not in BEFORE_CALL:
            continue
        yield line_of(bare, match.start()), match.group(1), arguments(code, bare, match.end())


def arguments(code, bare, start):
    """The argument texts of the call whose '(' ends right before `start`."""
    depth, begin, result = 0, start, []
    for at in range(start, len(bare)):
        char = bare[at]
        if char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0:
                result.append(code[begin:at].strip())
                return result
            depth -= 1
        elif char == "," and depth == 0:
            result.append(code[begin:at].strip())
            begin = at + 1
    return result


def literals(argument):
    """The string literals of an expression, neighbours joined as the compiler joins them: ["…", …]."""
    groups, end = [], None
    for match in TOKEN.finditer(argument):
        if match.lastgroup != "string":
            continue
        text = unescape(match.group()[1:-1])
        if end is not None and not argument[end : match.start()].strip():
            groups[-1] += text
        else:
            groups.append(text)
        end = match.end()
    return groups


def unescape(text):
    """The characters that the inside of a C string literal stands for (octal and hex escapes as UTF-8 bytes)."""
    out = bytearray()
    at = 0
    for match in ESCAPE.finditer(text):
        out += text[at : match.start()].encode()
        body = match.group(1)
        if body[0] == "x":
            out.append(int(body[1:], 16) & 255)
        elif body[0] in "01234567":
            out.append(int(body, 8) & 255)
        else:
            out += SIMPLE_ESCAPES.get(body, body).encode()
        at = match.end()
    out += text[at:].encode()
    return out.decode("utf-8", "replace")


def report(name, faults, count):
    """Prints the faults and ends the program: status 1 if there are any."""
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(f"{name}: {len(faults)} fault(s) in {count} files")
    print(f"{name}: {count} files, no fault")


def checkout():
    """The root to check: --root DIR or the checkout this script is in."""
    if len(sys.argv) == 3 and sys.argv[1] == "--root":
        return sys.argv[2]
    if len(sys.argv) > 1:
        sys.exit(f"usage: {os.path.basename(sys.argv[0])} [--root DIR]")
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
