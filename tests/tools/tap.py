"""TAP for the Python tests of the tools: decorate functions with @case, end with run()."""

import sys

CASES = []


class Skip(Exception):
    """Raised by a case that cannot run here, with the reason."""


def case(function):
    CASES.append(function)
    return function


def run():
    print(f"1..{len(CASES)}", flush=True)
    failed = 0
    for number, function in enumerate(CASES, 1):
        title = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {title}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {title} # SKIP {reason}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"not ok {number} - {title}", flush=True)
            print("".join(f"# {line}\n" for line in str(error).splitlines()), end="", flush=True)
    sys.exit(1 if failed else 0)
