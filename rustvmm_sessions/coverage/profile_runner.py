"""Run by cargo before each test executable: gives its profile a name of its own.

Cargo's ``runner`` setting starts ``python -I -S profile_runner.py DIRECTORY VARIABLE=VALUE COUNT [RUNNER ...]
EXECUTABLE [ARGUMENT ...]``, where RUNNER is the user's own runner in COUNT words. The profile goes to
``DIRECTORY/EXECUTABLE-PID-MODULE.profraw``; ``EXECUTABLE.started`` holds the PID. Everything else
(environment, working directory, order) stays cargo's: VARIABLE, by which cargo knows this program, is what
it was before, so that a cargo that the test starts does not run what it builds by it.
"""

import os
import sys

if __name__ == "__main__":
    directory, before, count, *command = sys.argv[1:]
    variable, _, value = before.partition("=")
    name = os.path.basename(command[int(count)])  # noqa: PTH119 - pathlib would double the start-up
    with open(os.path.join(directory, name + ".started"), "w") as started:  # noqa: PTH118, PTH123 - starts with each test: no pathlib
        started.write(str(os.getpid()))
    os.environ["LLVM_PROFILE_FILE"] = os.path.join(directory, name + "-%p-%m.profraw")  # noqa: PTH118 - starts with each test: no pathlib
    os.environ[variable] = value
    if not value:
        del os.environ[variable]
    os.execvp(command[0], command)  # noqa: S606 - no shell
