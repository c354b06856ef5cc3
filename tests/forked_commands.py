"""Runs commands of the package, each in a process of its own that has imported the package already.

``python -m tests.forked_commands`` reads a line of JSON for each: arguments, environment, and what is given
on standard input. It answers with a line: exit code, standard output and standard error.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import tempfile
from importlib import import_module
from typing import Any

from tests.processes import PATIENCE


def main() -> None:
    for command in ("close", "doctor", "sandbox"):
        import_module(f"threecommas_async.commands.{command}")
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        asked: dict[str, Any] = json.loads(line)
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(asked["given"].encode())
            given.seek(0)
            child = os.fork()
            if child == 0:
                for number, file in enumerate((given, out, err)):
                    os.dup2(file.fileno(), number)
                break
            _, status = os.waitpid(child, 0)
            told = [os.waitstatus_to_exitcode(status), *(_content(file) for file in (out, err))]
        answers.write(json.dumps(told) + "\n")
        answers.flush()
    else:
        return
    answers.close()
    signal.alarm(round(PATIENCE))  # Whoever does not end is killed.
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv[1:] = asked["arguments"]
    runpy.run_module("threecommas_async", run_name="__main__", alter_sys=True)


def _content(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode())


if __name__ == "__main__":
    main()
