"""A shell in the container, on a terminal of its own, with real podman."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.containers import ours
from tests.crates import REPOSITORY, CrateBuilder
from tests.integration.container.calls import HANGS, PODMAN, SECONDS, contain, small

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("storage")


def on_terminal(
    crate: CrateBuilder, typed: str, *words: str, then: Callable[[int, int], object] | None = None
) -> tuple[int, str]:
    """Run ``nox -s container`` on a terminal of its own, type, and return how it ended and the screen.

    When the screen shows ``ready``, `then` is called with nox's process and the terminal.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(crate.directory)
        os.environ.update({"PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"})
        os.execv(sys.executable, [sys.executable, "-m", "nox", "-s", "container", "--", *words])
    screen = b""
    os.write(terminal, typed.encode())
    deadline = time.monotonic() + HANGS
    while True:
        if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"it hangs: {screen!r}")
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # the last process on it has ended
            break
        screen += data
        if then and b"ready\r\n" in screen:
            then(pid, terminal)
            then = None
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode(errors="replace")


def test_without_sessions_it_is_a_shell(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")

    code, screen = on_terminal(crate, "pwd; tty; nox -l | head -1; exit\n", *PODMAN)

    assert code == 0, screen
    assert f"{crate.directory}\r\n" in screen
    assert "/dev/pts/" in screen
    assert f"Sessions defined in {crate.directory}/noxfile.py:" in screen


def test_a_shell_that_fails_says_how(tmp_path: Path) -> None:
    code, screen = on_terminal(small(tmp_path / "crate"), "exit 7\n", *PODMAN)

    assert code == 7
    assert "the shell ended in the container: exit status 7" in screen


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_a_shell_within_seconds(signum: signal.Signals, tmp_path: Path) -> None:
    began = time.monotonic()

    code, screen = on_terminal(
        small(tmp_path / "crate"),
        "trap '' TERM; echo rea''dy; sleep 300\n",
        *PODMAN,
        then=lambda pid, _: os.kill(pid, signum),
    )

    assert "ready\r\n" in screen
    assert code == 128 + signum
    assert time.monotonic() - began < SECONDS
    assert ours() == []


def test_ctrl_c_in_a_shell_is_the_programs_in_it(tmp_path: Path) -> None:
    def press(_: int, terminal: int) -> None:
        time.sleep(1)  # until sleep sleeps
        os.write(terminal, b"\x03")
        os.write(terminal, b"exit 4\n")

    crate = small(tmp_path / "crate")
    code, screen = on_terminal(crate, "echo rea''dy; sleep 300; exit 3\n", *PODMAN, then=press)

    assert "the shell ended in the container: exit status 4" in screen
    assert code == 4


def test_a_shell_without_a_terminal_is_one_message(tmp_path: Path) -> None:
    outcome = contain(small(tmp_path / "crate"))

    assert outcome.code == 1
    assert "a shell needs a terminal\n" in outcome.err


def test_only_a_terminal_makes_it_interactive(tmp_path: Path) -> None:
    crate = small(tmp_path / "crate")

    outcome = contain(crate, "--dry-run")
    _, screen = on_terminal(crate, "", *PODMAN, "--dry-run")

    assert "--interactive" not in outcome.out
    assert " --interactive --tty " in screen
