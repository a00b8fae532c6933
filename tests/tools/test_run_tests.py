#!/usr/bin/env python3
"""tools/run_tests counts what happened, whatever a test program does. Prints TAP; standard library only.

A stand-in for Meson writes the log that Meson would write; run_tests is looked at from outside.
"""

import json
import os
import subprocess
import tempfile

import tap
from tap import case

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MESON = """#!/bin/sh
mkdir -p "$3/meson-logs"
[ ! -f "$0.log" ] || cp "$0.log" "$3/meson-logs/testlog.json"
"""


def run(*programs):
    """Runs run_tests over programs given as (result, stdout): (status, last line, everything, the totals file)."""
    with tempfile.TemporaryDirectory() as folder:
        meson = os.path.join(folder, "meson")
        with open(meson, "w", encoding="utf-8") as file:
            file.write(MESON)
        os.chmod(meson, 0o755)
        if programs:
            with open(meson + ".log", "w", encoding="utf-8") as file:
                for number, (result, stdout) in enumerate(programs):
                    entry = {"name": f"program{number}", "result": result, "stdout": stdout, "duration": 0.1}
                    file.write(json.dumps(entry) + "\n")
        totals = os.path.join(folder, "totals")
        environment = dict(os.environ, PATH=folder + ":" + os.environ["PATH"], JARVIS_TOTALS=totals)
        done = subprocess.run(
            [os.path.join(ROOT, "tools/run_tests"), os.path.join(folder, "build")],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )
        added = ""
        if os.path.exists(totals):
            with open(totals, encoding="utf-8") as file:
                added = file.read()
        lines = done.stdout.splitlines()
        return done.returncode, lines[-1] if lines else "", done.stdout + done.stderr, added


def expect(status, last, *programs):
    got_status, got_last, said, added = run(*programs)
    assert (got_status, got_last) == (status, last), f"{got_status}, {got_last!r}: {said}"
    assert added == "{} {} {}\n".format(*(word for word in last.split() if word.isdigit())), added
    return said


@case
def cases_are_counted_one_by_one():
    expect(0, "5 passed, 0 failed, 1 skipped",
           ("OK", "TAP version 14\n1..3\nok 1 - a\nok 2 - b # SKIP no data\nok 3\n"),
           ("OK", "# seed 7\n1..3\nok 1 - x\nok 2 - y\nok 3 - z\n"))


@case
def a_failed_case_fails_the_run_and_shows_its_log():
    said = expect(1, "1 passed, 1 failed, 0 skipped",
                  ("FAIL", "1..2\nok 1 - a\nnot ok 2 - breaks\n# because\n"))
    assert "failed: breaks" in said and "# because" in said, said


@case
def cases_that_did_not_run_have_failed():
    expect(1, "1 passed, 2 failed, 0 skipped", ("ERROR", "1..3\nok 1 - a\n"))
    expect(1, "0 passed, 4 failed, 0 skipped", ("TIMEOUT", "1..4\n"))


@case
def a_bad_end_after_good_cases_is_a_failure():
    expect(1, "2 passed, 1 failed, 0 skipped", ("ERROR", "1..2\nok 1 - a\nok 2 - b\n(leak)\n"))
    expect(1, "0 passed, 1 failed, 0 skipped", ("ERROR", ""))


@case
def skips_are_told_with_their_reason():
    said = expect(0, "0 passed, 0 failed, 1 skipped", ("SKIP", "1..0 # SKIP no ../shared/data\n"))
    assert "program0: no ../shared/data" in said, said
    said = expect(0, "1 passed, 0 failed, 1 skipped", ("OK", "1..2\nok 1 - a # SKIP no network\nok 2 - b\n"))
    assert "a: no network" in said, said


@case
def an_expected_failure_is_no_failure():
    expect(0, "1 passed, 0 failed, 0 skipped", ("OK", "1..1\nnot ok 1 - a # TODO later\n"))


@case
def output_that_looks_like_a_result_is_not_one():
    expect(0, "1 passed, 0 failed, 0 skipped", ("OK", "1..1\nokay\n  ok 7 - within\nok 1 - a\nnothing\n"))


@case
def no_test_at_all_is_a_failure():
    status, _, said, added = run()
    assert status != 0 and "ran no test" in said and not added, said


if __name__ == "__main__":
    tap.run()
