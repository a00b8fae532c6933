#!/usr/bin/env python3
"""The checkers of tools/ catch what they are there for, and nothing else. Prints TAP; standard library only.

Each case lays out a small tree in a temporary folder, runs one tool on it and looks at its status and words.
"""

import os
import shutil
import subprocess
import tempfile

import tap
from tap import case

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(tool, tree, *arguments):
    """Lays out {path: text} and runs a tool on it with --root: (status, everything it said)."""
    with tempfile.TemporaryDirectory() as folder:
        lay_out(folder, tree)
        command = [os.path.join(ROOT, "tools", tool), *(arguments or ["--root", folder])]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        made = {}
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and name not in tree:
                with open(path, encoding="utf-8") as file:
                    made[name] = file.read()
        return done.returncode, done.stdout + done.stderr, made


def lay_out(folder, tree):
    for path, text in tree.items():
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


def refused(tool, tree, *words):
    status, said, _ = run(tool, tree)
    assert status != 0, f"accepted: {tree}"
    for word in words:
        assert word in said, f"{word!r} not in {said!r}"


def accepted(tool, tree):
    status, said, _ = run(tool, tree)
    assert status == 0, said


# ---- check_layers


@case
def layers_accept_the_arrows():
    accepted("check_layers", {
        "src/cli/cmd_ask.c": '#include "server/http.h"\n#include "base/str.h"\n#include <stdio.h>\n',
        "src/cli/cmd_worker.c": '#include "engine/worker_main.h"\n',
        "src/engine/llm.c": '#include <llama.h>\n#include "ipc/protocol.h"\n#include "engine/llm.h"\n',
        "src/assistant/chat.c": '#include "retrieval/index.h"\n#include "config.h"\n#include "own.h"\n',
        "tests/unit/engine/test_llm.c": "#include <llama.h>\n",
    })


@case
def layers_refuse_upwards():
    refused("check_layers", {"src/base/str.c": 'int a;\n#include "config/schema.h"\n'}, "src/base/str.c:2", "nothing")


@case
def layers_refuse_siblings():
    refused("check_layers", {"src/retrieval/a.c": '#include "orchestrator/registry.h"\n'}, "src/retrieval/a.c:1")
    refused("check_layers", {"src/observe/a.c": '#include "ipc/frame.h"\n'}, "src/observe/a.c:1")
    refused("check_layers", {"src/engine/a.c": '#include "config/schema.h"\n'}, "src/engine/a.c:1")


@case
def layers_refuse_model_libraries_outside_engine():
    for header in ("<llama.h>", "<ggml.h>", "<ggml-backend.h>", "<gguf.h>", "<whisper.h>", '"llama.h"'):
        refused("check_layers", {"src/server/a.c": f"#include {header}\n"}, "only src/engine")


@case
def layers_refuse_the_engine_from_other_commands():
    refused("check_layers", {"src/cli/cmd_ask.c": '#include "engine/llm.h"\n'}, "src/cli/cmd_ask.c:1")


@case
def layers_refuse_unknown_layers_and_long_files():
    refused("check_layers", {"src/base/a.c": '#include "nowhere/a.h"\n'}, "in no layer")
    refused("check_layers", {"src/misc/a.c": "int a;\n"}, "not a layer")
    refused("check_layers", {"src/base/a.c": "\n" * 800}, "800 lines")


@case
def layers_do_not_read_comments():
    accepted("check_layers", {"src/base/a.c": '/*\n#include "server/http.h"\n*/\n// #include <llama.h>\n'})


# ---- check_banned


@case
def banned_refuses_calls():
    for call in ("strcpy(a, b)", "x = atoi (b)", "return system(a)", "if (!popen(a, b))", "signal(1, f)", "rand()"):
        refused("check_banned", {"src/base/a.c": f"void f(void)\n{{\n    {call};\n}}\n"}, "src/base/a.c:3", "use ")


@case
def banned_accepts_words_that_are_no_calls():
    accepted("check_banned", {"src/base/a.c": """
/* strcpy(a, b) is what we do not do */
int my_strcpy(char *a);
const char *text = "system(x)";
int f(struct ops *ops) { return ops->open(1) + ops->signal(2) + random_seed(3) + atoi_base; }
int system(const char *command);
"""})


@case
def banned_accepts_an_exception_with_a_reason():
    accepted("check_banned", {"src/base/a.c": "int f(void) { return setenv(a, b, 1); } /* allow(setenv): one thread */\n"})
    refused("check_banned", {"src/base/a.c": "int f(void) { return setenv(a, b, 1); } /* allow(setenv): */\n"}, "setenv")


@case
def banned_knows_where():
    accepted("check_banned", {"tests/unit/a.c": "int f(void) { return fork(); }\n"})
    refused("check_banned", {"src/base/a.c": "int f(void) { return fork(); }\n"}, "posix_spawn")
    refused("check_banned", {"tests/unit/a.c": "void f(void) { usleep(10); }\n"}, "deadline")


@case
def banned_wants_close_on_exec():
    refused("check_banned", {"src/base/a.c": "int f(void) { return open(p, O_RDONLY); }\n"}, "O_CLOEXEC")
    refused("check_banned", {"src/base/a.c": 'void f(void) { g = fopen(p, "rb"); }\n'}, '"e"')
    refused("check_banned", {"src/base/a.c": "int f(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }\n"}, "SOCK_CLOEXEC")
    accepted("check_banned", {"src/base/a.c": """
int f(void)
{
    g = fopen(p, "rbe");
    return open(p,
                O_RDONLY | O_CLOEXEC) + socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
"""})


# ---- check_catalogue and gen_catalogue

PO = 'msgid ""\nmsgstr ""\n"Language: es\\n"\n\n'


@case
def catalogue_refuses_a_message_without_spanish():
    code = 'bool f(void)\n{\n    return err_set(err, ERR_IO, "cannot read \\"%s\\"", path);\n}\n'
    refused("check_catalogue", {"src/base/a.c": code, "po/es/base.po": PO}, "src/base/a.c:3", "po/es/base.po")
    entry = 'msgid "cannot read \\"%s\\""\nmsgstr "no se puede leer \\"%s\\""\n'
    accepted("check_catalogue", {"src/base/a.c": code, "po/es/base.po": PO + entry})


@case
def catalogue_finds_every_form_of_message():
    for code in (
        'err_set_param(err, ERR_IO, "path", "the message")',
        'err_set_errno(err, ERR_IO, errno, "the " "mess"\n "age")',
        'puts(TR(lang, "the message"))',
        'puts(TR(lang, n == 1 ? "the message" : other))',
        'return N_("the message")',
    ):
        refused("check_catalogue", {"src/base/a.c": f"int x = {code};\n", "po/es/base.po": PO}, "'the message'")


@case
def catalogue_refuses_messages_made_of_pieces():
    code = 'int x = err_set(err, ERR_IO, "%" PRIu64 " bytes", n);\n'
    refused("check_catalogue", {"src/base/a.c": code, "po/es/base.po": PO}, "PRI")


def generate(text, second=""):
    tree = {"a.po": PO + text, "b.po": PO + second}
    return run("gen_catalogue", tree, "--output", "out.c", "a.po", "b.po")


@case
def generator_writes_a_sorted_table():
    status, said, made = generate(
        'msgid "b %s"\nmsgstr "be "\n"%s"\n', '# note\nmsgid "a\\n"\nmsgstr "añ\\"o?\\n"\n'
    )
    assert status == 0, said
    table = made["out.c"]
    assert table.index('"a\\n"'.replace("\\n", "\\012")) < table.index('"b %s"'), table
    assert '"a\\303\\261\\"o\\?\\012"' in table, table
    assert '"be %s"' in table and "lang_es_count = 2;" in table, table


@case
def generator_refuses_what_it_must():
    for text, second, words in (
        ('msgid "a"\nmsgstr "b"\n', 'msgid "a"\nmsgstr "c"\n', "b.po:5: already translated at a.po:5"),
        ('msgid "%s of %d"\nmsgstr "%d de %s"\n', "", "conversions differ"),
        ('msgid "%zu"\nmsgstr "%u"\n', "", "conversions differ"),
        ('msgid "a"\nmsgstr ""\n', "", "no translation"),
        ('msgid "a"\n', "", "msgid without msgstr"),
        ('msgid a\nmsgstr "b"\n', "", "a.po:5: expected one string"),
        ('msgid "\\q"\nmsgstr "b"\n', "", "unknown escape"),
    ):
        status, said, made = generate(text, second)
        assert status != 0 and words in said, f"{text!r}: {said!r}"
        assert "out.c" not in made, f"{text!r}: wrote a table"


@case
def generator_knows_percent_signs():
    status, said, _ = generate('msgid "100%% of %-5.2f"\nmsgstr "el 100%% de %-5.2f"\n')
    assert status == 0, said


# ---- check_errors

ERR_TABLE_H = """#define ERR_TABLE(X)                                    \\
    X(ERR_NONE, "none", ERR_PERMANENT, 200, "none", 0, false, 0, false, "a")          \\
    X(ERR_BUSY, "busy", ERR_TRANSIENT, 503, "server_error", 6, true, 1500, true, "ask \\"again\\"")  \\
    X(ERR_LONG, "long", ERR_CRITICAL, 500, "server_error",      \\
      7, false, 0, false, "act")
"""
BEGIN, END = "<!-- the table begins: tools/check_errors --write -->\n", "<!-- the table ends -->\n"
TABLE = """| code | category | HTTP | type | exit code | retried | Retry-After | fallback | hint |
|---|---|---|---|---|---|---|---|---|
| `busy` | TRANSIENT | 503 | server_error | 6 | yes | 1.5 s | yes | ask "again" |
| `long` | CRITICAL | 500 | server_error | 7 | no |  | no | act |
"""
HINTS = 'msgid "ask \\"again\\""\nmsgstr "x"\n\nmsgid "act"\nmsgstr "y"\n'


def errors_tree(page, header=ERR_TABLE_H, hints=HINTS):
    return {"src/base/err_table.h": header, "docs/ERRORS.md": page, "po/es/base.po": hints}


@case
def errors_accept_the_table_of_the_header():
    accepted("check_errors", errors_tree("# E\n" + BEGIN + TABLE + END + "more\n"))


@case
def errors_refuse_another_table():
    for page in (BEGIN + END, BEGIN + TABLE.replace("503", "500") + END, BEGIN + TABLE.replace("1.5", "2") + END):
        refused("check_errors", errors_tree(page), "check_errors --write")
    refused("check_errors", errors_tree(TABLE), "markers")
    odd = ERR_TABLE_H.replace('"busy", ERR_TRANSIENT', '"busy", some_category')
    refused("check_errors", errors_tree(BEGIN + TABLE + END, header=odd), "another shape")
    refused("check_errors", errors_tree(BEGIN + TABLE + END, hints=HINTS.replace("act", "wait")), "no Spanish")


# ---- the configurations of clang-format, clang-tidy and cppcheck


def analyse(command, text):
    """Runs a program of `make lint` on one file in a folder with the project's configuration: (status, words)."""
    if not shutil.which(command[0]):
        raise tap.Skip(f"{command[0]} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        lay_out(folder, {"a.c": text})
        for name in (".clang-format", ".clang-tidy"):
            shutil.copy(os.path.join(ROOT, name), folder)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr


FORMATTED = "int add(int a, int b)\n{\n    return a + b;\n}\n"


@case
def format_refuses_another_layout():
    command = ["clang-format", "--dry-run", "-Werror", "a.c"]
    status, said = analyse(command, FORMATTED)
    assert status == 0, said
    status, said = analyse(command, "int add(int a, int b) {\n  return a + b;\n}\n")
    assert status != 0, said


@case
def tidy_refuses_bugs():
    command = ["clang-tidy", "--quiet", "a.c", "--"]
    status, said = analyse(command, FORMATTED)
    assert status == 0, said
    branches = "".join(f"    if (a == {n} && b)\n        for (; b; b--)\n            a += {n} % b;\n" for n in range(20))
    for text, words in (
        ("int *f(void)\n{\n    int a = 1;\n    int *p = 0;\n    if (a)\n        *p = a;\n    return p;\n}\n", "null"),
        ("int f(int a)\n{\n    if (a)\n        return 1;\n    else\n        return 1;\n}\n", "branch"),
        (f"int f(int a, int b)\n{{\n{branches}    return a;\n}}\n", "cognitive complexity"),
    ):
        status, said = analyse(command, text)
        assert status != 0 and words in said, said


@case
def cppcheck_refuses_bugs():
    command = ["cppcheck", "--quiet", "--error-exitcode=1", "a.c"]
    status, said = analyse(command, "int f(void)\n{\n    int a[2] = {1, 2};\n    return a[2];\n}\n")
    assert status != 0 and "out of bounds" in said, said


if __name__ == "__main__":
    tap.run()
