"""Run by cargo before each test executable: gives its profile a name of its own.

Cargo's ``runner`` setting starts ``python -I -S profile_runner.py DIRECTORY COUNT [RUNNER ...]
EXECUTABLE [ARGUMENT ...]``, where RUNNER is the user's own runner in COUNT words. The profile
goes to ``DIRECTORY/EXECUTABLE-PID-MODULE.profraw``; an empty ``EXECUTABLE.started`` tells that it
was to come. Everything else (environment, working directory, order) stays cargo's.
"""

import os
import sys

if __name__ == "__main__":
    directory, count, *command = sys.argv[1:]
    name = os.path.basename(command[int(count)])  # noqa: PTH119 - pathlib would double the start-up
    with open(os.path.join(directory, name + ".started"), "w"):  # noqa: PTH118, PTH123 - starts with each test: no pathlib
        pass
    os.environ["LLVM_PROFILE_FILE"] = os.path.join(directory, name + "-%p-%m.profraw")  # noqa: PTH118 - starts with each test: no pathlib
    os.execvp(command[0], command)  # noqa: S606 - no shell
