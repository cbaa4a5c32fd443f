"""Running programs: what they print, how they end, and that nothing of them is left."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions import process
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from tests.crates import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

HANGS = 20.0
"""Seconds after which a run that should have ended by itself is ended, so that the test fails."""

TREE = "sh -c 'sleep 60 & sleep 60; :' & sleep 60 & echo up; wait"
"""A program with children and a grandchild, all in its process group."""


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


# What is printed


def test_nothing_is_lost_or_reordered_where_both_streams_are_busy(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    lines = 50_000
    code = (
        "import sys\n"
        f"for number in range({lines}):\n"
        "    sys.stdout.write(f'out {number}\\n')\n"
        "    sys.stderr.write(f'err {number}\\n')\n"
    )

    process.run([sys.executable, "-I", "-S", "-c", code], echo=False).check()

    out, err = capfdbinary.readouterr()
    assert out == b"".join(b"out %d\n" % number for number in range(lines))
    assert err == b"".join(b"err %d\n" % number for number in range(lines))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"first\nlast without a newline", id="no-newline-at-the-end"),
        pytest.param(b"x" * 5_000_000 + b"\nnext\n", id="long-line"),
        pytest.param(bytes(range(256)) * 1000 + b"\n\xff\xfe", id="no-utf-8"),
        pytest.param(b"10 %\r50 %\r100 %\r\n\n\n\nend\n", id="progress-and-empty-lines"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_every_byte_is_passed_on(
    data: bytes, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "data").write_bytes(data)

    process.run(shell("cat data; cat data >&2"), cwd=tmp_path, echo=False).check()

    assert capfdbinary.readouterr() == (data, data)


def test_a_line_is_passed_on_while_the_program_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Reader(io.StringIO):
        """A reader who lets the program go on once its first line has come."""

        def write(self, text: str) -> int:
            if text == "first\n":
                (tmp_path / "seen").touch()
            return super().write(text)

    reader = Reader()
    monkeypatch.setattr(sys, "stdout", reader)

    script = "echo first; until [ -e seen ]; do sleep 0.01; done; echo second"
    process.run(shell(script), cwd=tmp_path, echo=False, timeout=HANGS).check()

    assert reader.getvalue() == "first\nsecond\n"


@pytest.mark.parametrize("read", ["stdout", "stderr"])
def test_a_stream_that_is_read_is_kept_in_full_and_apart(
    read: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    long = "y" * (3 * process.KEPT_BYTES)
    (tmp_path / "long").write_text(long)
    script = "cat long; echo other >&2" if read == "stdout" else "cat long >&2; echo other"

    done = process.run(
        shell(script), cwd=tmp_path, read_stdout=read == "stdout", read_stderr=read == "stderr", echo=False
    )

    out, err = capfd.readouterr()
    assert (done.stdout, done.stderr) == ((long, "other\n") if read == "stdout" else ("other\n", long))
    assert (out, err) == (("", "other\n") if read == "stdout" else ("other\n", ""))


def test_of_a_stream_that_is_passed_on_the_end_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    numbers = "".join(f"{number}\n" for number in range(1_000_000))
    (tmp_path / "numbers").write_text(numbers)

    done = process.run(["cat", tmp_path / "numbers"], echo=False)

    assert capfd.readouterr().out == numbers
    assert done.stdout.endswith(numbers[-process.KEPT_BYTES :])
    assert len(done.stdout) <= 2 * process.KEPT_BYTES


def test_output_that_is_no_utf_8_can_be_read() -> None:
    assert (
        process.run(["printf", r"a\377b"], read_stdout=True, echo=False).stdout
        == "a\N{REPLACEMENT CHARACTER}b"
    )


def test_the_run_goes_on_when_nobody_reads_what_we_print(mark: str, tmp_path: Path) -> None:
    script = f"yes | head -c 1000000; touch {tmp_path}/finished"

    with driver(script, mark) as reader:
        assert reader.stdout is not None
        reader.stdout.close()
        reader.wait(HANGS)

    assert (tmp_path / "finished").exists()


# What a program is given

AWKWARD = [
    "; echo x",
    "$(echo x)",
    "*",
    "'",
    '"',
    "a b",
    "",
    "-rf",
    "--",
    "\\",
    "é",
    "two\nlines",
    "~",
    "# no",
]


def test_arguments_reach_the_program_untouched() -> None:
    done = process.run(["printf", "%s\\0", *AWKWARD], read_stdout=True, echo=False)

    assert done.stdout.split("\0")[:-1] == AWKWARD


def test_the_echoed_command_can_be_pasted_into_a_shell(capfd: pytest.CaptureFixture[str]) -> None:
    process.run(["printf", "%s|", *AWKWARD])

    out, err = capfd.readouterr()
    assert err.startswith("+ printf ")
    assert subprocess.check_output(shell(err.removeprefix("+ ")), text=True) == out


def test_the_command_is_echoed_before_the_program_runs(capfd: pytest.CaptureFixture[str]) -> None:
    process.run(shell("echo says >&2"))

    assert capfd.readouterr().err == "+ sh -c 'echo says >&2'\nsays\n"


def test_an_echoed_command_cannot_move_the_cursor(capfd: pytest.CaptureFixture[str]) -> None:
    process.run(["true", "\x1b[2J\r\u202e"])

    assert capfd.readouterr().err == "+ true '\\x1b[2J\\r\\u202e'\n"


def test_stdin_is_empty_whatever_ours_holds(mark: str) -> None:
    with driver("cat; echo end", mark, stdin=subprocess.PIPE) as parent:
        out, _ = parent.communicate("ours\n", timeout=HANGS)

    assert out == "end\n"


def test_variables_are_laid_over_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "caller's")
    monkeypatch.setenv("REPLACED", "caller's")
    monkeypatch.setenv("REMOVED", "caller's")

    done = process.run(
        shell('echo "$KEPT, $REPLACED, $NEW, ${REMOVED-none}"'),
        env={"REPLACED": "ours", "NEW": "$(x) 'y'", "REMOVED": None, "NEVER_SET": None},
        read_stdout=True,
        echo=False,
    )

    assert done.stdout == "caller's, ours, $(x) 'y', none\n"
    assert os.environ["REMOVED"] == "caller's"


def test_the_program_is_looked_up_on_the_path_that_it_is_given(tmp_path: Path) -> None:
    executable(tmp_path / "mine", "#!/bin/sh\npwd\n")

    done = process.run(["mine"], cwd=tmp_path, env={"PATH": str(tmp_path)}, read_stdout=True, echo=False)

    assert done.stdout == f"{tmp_path.resolve()}\n"


# What cannot be started


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("args", "cwd", "message"),
    [
        pytest.param(
            ["no-such-program", "--x"],
            ".",
            "the program 'no-such-program' is not there\n"
            " --> no-such-program --x\n"
            "help: install it, or correct PATH",
            id="missing",
        ),
        pytest.param(
            ["./plain"],
            ".",
            "cannot start './plain': Permission denied\n"
            " --> ./plain\n"
            "help: check that it is an executable for this machine; of a script, also its first line",
            id="not-executable",
        ),
        pytest.param(
            ["./garbage"],
            ".",
            "cannot start './garbage': Exec format error\n"
            " --> ./garbage\n"
            "help: check that it is an executable for this machine; of a script, also its first line",
            id="no-program-at-all",
        ),
        pytest.param(
            ["./script"],
            ".",
            "cannot start './script': No such file or directory\n"
            " --> ./script\n"
            "help: check that it is an executable for this machine; of a script, also its first line",
            id="interpreter-missing",
        ),
        pytest.param(
            ["true"],
            "nowhere",
            "the directory to run in does not exist\n --> nowhere\nhelp: make it, or correct its name",
            id="directory-missing",
        ),
        pytest.param(
            ["true"],
            "plain",
            "the directory to run in does not exist\n --> plain\nhelp: make it, or correct its name",
            id="directory-is-a-file",
        ),
        pytest.param(
            ["true", "a\0b"],
            ".",
            "cannot start 'true': embedded null byte\n"
            " --> true 'a\\x00b'\n"
            "help: correct the argument, or the variable of the environment",
            id="nul-byte",
        ),
    ],
)
def test_what_cannot_be_started_is_one_message(
    args: list[str], cwd: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain").touch()
    executable(Path("garbage"), "no program\n")
    executable(Path("script"), "#!/no/such/interpreter\n")

    with pytest.raises(UserError) as error:
        process.run(args, cwd=Path(cwd), echo=False)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("script", "ending"), [("exit 101", "exit status 101"), ("kill -ABRT $$", "killed by SIGABRT")]
)
def test_a_failed_check_says_how_the_program_ended(script: str, ending: str) -> None:
    done = process.run(shell(script), echo=False)

    assert not done.ok
    with pytest.raises(CheckFailed, match=f"^sh -c .*{ending}$"):
        done.check()


# How it ends


@pytest.mark.parametrize(
    ("minutes", "timeout", "limit"),
    [
        (0.01, None, "the time limit timeout_minutes=0.01"),
        (0.01, 9, "the time limit timeout_minutes=0.01"),
        (9, 0.6, "its time limit"),
    ],
)
def test_the_limit_that_comes_first_ends_a_program_and_is_named(
    minutes: float, timeout: float | None, limit: str
) -> None:
    done = process.run(["sleep", "60"], deadline=Deadline(minutes=minutes), timeout=timeout, echo=False)
    assert done.timed_out
    assert done.ending == f"stopped at {limit} after 1 s"


def test_a_program_is_not_started_when_the_time_is_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    late = Deadline(minutes=1)
    late.prolong(-60)
    done = process.run(["touch", tmp_path / "file"], deadline=late)
    assert done.timed_out
    assert done.status == 1
    with pytest.raises(CheckFailed, match=r"file: not started, past the time limit timeout_minutes=1$"):
        done.check()
    assert not (tmp_path / "file").exists()
    assert capfd.readouterr().err == ""


@pytest.fixture
def mark() -> Iterator[str]:
    """A word for the environment of all that a test starts; what is left of it is killed."""
    word = uuid.uuid4().hex
    yield word
    for pid in _marked(word):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def left(mark: str) -> dict[int, str]:
    """Return the processes with this mark; one that is just dying has two seconds to do so."""
    deadline = time.monotonic() + 2
    while (found := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.4)


@pytest.mark.usefixtures("short_grace")
def test_the_time_limit_ends_the_whole_tree(mark: str, capfd: pytest.CaptureFixture[str]) -> None:
    done = process.run(shell(TREE), env={"MARK": mark}, timeout=1, echo=False)

    assert capfd.readouterr().out == "up\n"
    assert left(mark) == {}
    assert done.timed_out
    with pytest.raises(CheckFailed, match="stopped at its time limit after 1 s"):
        done.check()


def test_what_a_program_says_in_its_grace_is_heard() -> None:
    """Programs that need different times to end after TERM; each says a last word."""

    def end_after(delay: float) -> process.Finished:
        script = f"trap 'sleep {delay}; echo clean; exit 3' TERM; while :; do sleep 0.02; done"
        return process.run(shell(script), timeout=1, read_stdout=True, echo=False)

    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        ends = list(pool.map(end_after, [0, 0.03, 0.06, 0.075, 0.09, 0.15, 0.18, 0.5]))

    assert [(end.timed_out, end.returncode, end.stdout) for end in ends] == [(True, 3, "clean\n")] * 8


@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize(
    ("script", "returncode"),
    [
        pytest.param("trap '' TERM; sleep 60; sleep 60", -signal.SIGKILL, id="program"),
        pytest.param("(trap '' TERM; sleep 60; sleep 60) & wait", -signal.SIGTERM, id="its-child"),
    ],
)
def test_who_ignores_term_is_killed_after_the_grace(mark: str, script: str, returncode: int) -> None:
    started = time.monotonic()
    done = process.run(shell(script), env={"MARK": mark}, timeout=0.5, echo=False)

    assert left(mark) == {}
    assert done.returncode == returncode
    assert time.monotonic() - started >= 0.5 + process.GRACE
    assert 0.5 <= done.seconds < 0.5 + process.GRACE  # when its limit came


def test_what_a_program_leaves_in_its_group_ends_with_it(mark: str) -> None:
    done = process.run(shell("sleep 60 & echo done"), env={"MARK": mark}, read_stdout=True, echo=False)

    assert left(mark) == {}
    assert (done.ok, done.stdout) == (True, "done\n")


@pytest.mark.parametrize("does", ["sleep 60", "sh -c 'while echo x; do sleep 0.01; done'"])
def test_a_daemon_that_keeps_the_pipes_open_is_not_waited_for(mark: str, does: str) -> None:
    done = process.run(
        shell(f"echo done; setsid {does} & sleep 0.2"),
        env={"MARK": mark},
        timeout=HANGS,
        read_stdout=True,
        echo=False,
    )

    assert (done.ok, done.stdout[:5]) == (True, "done\n")
    assert done.seconds < HANGS / 2


# Ctrl-C

DRIVER = """\
import ctypes, sys
from rustvmm_sessions import process

script, process.GRACE, nobody_reaps = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
if nobody_reaps:  # orphans become children of this process, as of the first one of a container
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
print("starting", file=sys.stderr, flush=True)
process.run(["sh", "-c", script], echo=False)
"""


@contextlib.contextmanager
def driver(
    script: str, mark: str, *options: str, grace: float = 0.4, stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """Start a Python program that runs a shell script as sessions run cargo."""
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, script, str(grace), *options],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "MARK": mark},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        too_long = threading.Timer(2 * HANGS, program.kill)
        too_long.start()
        try:
            yield program
        finally:
            too_long.cancel()
            program.kill()


def first_line(program: subprocess.Popen[str], stream: str = "stdout") -> str:
    pipe = getattr(program, stream)
    assert pipe is not None
    return str(pipe.readline())


STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("signum", STOPPING)
def test_a_stop_signal_lets_the_program_clean_up_and_leaves_nothing(
    mark: str, signum: signal.Signals
) -> None:
    script = f"trap 'sleep 0.2; echo cleaned; exit 1' TERM; ({TREE}) & wait"
    with driver(script, mark, grace=HANGS) as program:
        assert first_line(program) == "up\n"

        program.send_signal(signum)
        out, err = program.communicate(timeout=HANGS)

    assert left(mark) == {}
    assert out == "cleaned\n"
    assert "KeyboardInterrupt" in err
    assert program.returncode == -signal.SIGINT


@pytest.mark.parametrize("signum", STOPPING)
def test_a_stop_signal_at_the_start_leaves_nothing(mark: str, signum: signal.Signals) -> None:
    """Signals before, while and after the program is started, two milliseconds apart."""
    with contextlib.ExitStack() as stack:
        programs = []
        for number in range(8):
            program = stack.enter_context(driver(TREE, mark))
            assert first_line(program, "stderr") == "starting\n"
            time.sleep(number * 0.002)
            program.send_signal(signum)
            programs.append(program)
        for program in programs:
            program.communicate(timeout=HANGS)

    assert left(mark) == {}
    assert {program.returncode for program in programs} <= {-signal.SIGINT, -signum}


def test_a_program_that_ignores_term_does_not_survive_ctrl_c(mark: str) -> None:
    with driver("trap '' TERM; sleep 60 & echo up; wait", mark) as program:
        assert first_line(program) == "up\n"

        program.send_signal(signal.SIGINT)
        program.communicate(timeout=HANGS)

    assert left(mark) == {}


def test_a_second_ctrl_c_cuts_the_grace_short(mark: str) -> None:
    started = time.monotonic()
    script = "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done"
    with driver(script, mark, grace=10 * HANGS) as program:
        assert first_line(program) == "up\n"
        program.send_signal(signal.SIGINT)
        assert first_line(program) == "asked\n"

        program.send_signal(signal.SIGINT)
        program.communicate(timeout=HANGS)

    assert left(mark) == {}
    assert time.monotonic() - started < HANGS


def test_a_hangup_that_the_caller_ignores_is_ignored(mark: str, tmp_path: Path) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a new program inherits
    try:
        with driver(f"echo up; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo end", mark) as program:
            assert first_line(program) == "up\n"

            program.send_signal(signal.SIGHUP)
            (tmp_path / "go").touch()
            out, _ = program.communicate(timeout=HANGS)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert (out, program.returncode) == ("end\n", 0)


def test_orphans_that_nobody_reaps_cost_no_grace(mark: str) -> None:
    """The first process of a container often reaps nothing: dead orphans stay in their group."""
    with driver("sleep 0.05 & echo end", mark, "nobody-reaps", grace=10 * HANGS) as program:
        out, _ = program.communicate(timeout=HANGS)

    assert (out, program.returncode) == ("end\n", 0)


# On our terminal

ATTACHED = """\
import sys, termios
from rustvmm_sessions import process

process.GRACE = 1
status = process.attached(["sh", "-c", sys.argv[1]])
print("returned", status, "echo" if termios.tcgetattr(0)[3] & termios.ECHO else "no echo")
"""


def attached(script: str, typed: str = "", signum: signal.Signals | None = None) -> tuple[int, str]:
    """Run a script on a terminal of its own; return how its parent ended, and the screen."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = str(REPOSITORY)
        os.execv(sys.executable, [sys.executable, "-c", ATTACHED, script])
    screen = b""
    too_long = threading.Timer(HANGS, os.kill, (pid, signal.SIGKILL))
    too_long.start()
    with contextlib.suppress(OSError):  # which the end of the last process on it is
        while data := os.read(terminal, 1 << 16):
            screen += data
            if b"up\r\n" in data:
                os.write(terminal, typed.encode())
                if signum:
                    os.kill(pid, signum)
    _, status = os.waitpid(pid, 0)
    too_long.cancel()
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), screen.decode()


def test_what_is_typed_reaches_an_attached_program() -> None:
    code, screen = attached("stty -echo; echo up; read x; echo got $x; exit 3", "word\n")

    assert code == 0
    assert screen.endswith("got word\r\nreturned 3 echo\r\n")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("script", ["exec sleep 60", "trap '' HUP TERM; while :; do sleep 0.1; done"])
def test_a_stop_signal_ends_an_attached_program(script: str, signum: signal.Signals) -> None:
    code, screen = attached(f"echo up; {script}", signum=signum)

    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in screen


def test_the_terminal_is_left_as_it_was() -> None:
    code, screen = attached("stty raw -echo; printf 'up\\r\\n'; kill -KILL $$")

    assert code == 0
    assert screen.endswith("returned -9 echo\r\n")


def test_an_argument_of_any_length_is_neither_taken_nor_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(process.StartError) as caught:
        process.run(["true", "x" * 200_000])

    assert "cannot start 'true': Argument list too long" in str(caught.value)
    assert "shorten what its longest argument is made of" in str(caught.value)
    assert max(len(line) for line in (str(caught.value) + capfd.readouterr().err).splitlines()) < 1000
