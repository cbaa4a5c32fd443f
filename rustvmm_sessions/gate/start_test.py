"""Run by cargo before each test executable, and in place of rustdoc: does not start what is to be skipped.

``python -I -S start_test.py FOLDER VARIABLE=VALUE COUNT [PROGRAM ...] [ARGUMENT ...]``: PROGRAM, in COUNT
words, is the user's own runner, or rustdoc. FOLDER holds ``skipped``, the executables and libraries whose
tests are not run, one a line; the others go to ``started``. Everything else stays cargo's: VARIABLE, by
which it knows this program, is what it was before.
"""

import os
import sys

if __name__ == "__main__":
    folder, before, count, *command = sys.argv[1:]
    variable, _, value = before.partition("=")
    os.environ[variable] = value
    if not value:
        del os.environ[variable]
    subject = command[int(count)] if len(command) > int(count) else ""
    if variable == "RUSTDOC":  # the tests are those of --crate-name, which is among what they link to
        name = command[command.index("--crate-name") + 1] if "--crate-name" in command else ""
        linked = [word.partition("=") for word in command]
        found = [path for crate, _, path in linked if path and crate.rpartition(":")[2] == name]
        subject = found[0] if "--test" in command and found else ""
    with open(os.path.join(folder, "skipped")) as skipped:  # noqa: PTH118, PTH123 - starts with each test: no pathlib
        if subject and subject in skipped.read().split("\n"):
            sys.stderr.write("      Cached it is not run again\n")
            sys.exit()
    with open(os.path.join(folder, "started"), "a") as started:  # noqa: PTH118, PTH123 - as above
        started.write(subject + "\n")
    os.execvp(command[0], command)  # noqa: S606 - no shell
