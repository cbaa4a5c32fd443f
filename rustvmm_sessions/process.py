"""Run programs: the only module that starts one.

Every program gets its arguments as a list, an empty stdin and a process group of its own. What it
prints is passed on line by line as it comes. However the run ends (exit, time limit, Ctrl-C,
SIGTERM), no process of the group is left: TERM first, KILL after a grace in which tests that own
virtual machines can clean up.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from rustvmm_sessions.console import echoed, ended, pass_on, running, tell
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

GRACE = 10.0
"""Seconds between TERM and KILL."""

KEPT_BYTES = 1 << 20
"""How much of a stream that is passed on is kept as well, for messages that repeat its end."""

_TICK = 0.1
_LINGER = 1.0
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartError(UserError):
    """A program that is not there, or is none."""


class Listener(Protocol):
    """Reads along what a program prints, as it comes."""

    def stdout(self, data: bytes, /) -> None:
        """Take the next bytes of its standard output."""

    def stderr(self, data: bytes, /) -> None:
        """Take the next bytes of its standard error."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a program ended.

    Attributes:
        args: The program and its arguments.
        returncode: The exit status; ``-N`` after signal N.
        stdout: The last `KEPT_BYTES` of its standard output; all of it where it was read.
        stderr: The same of its standard error.
        seconds: Wall time until it ended, or its time limit came.
        limit: The time limit that ended it, in words; empty where none did.
    """

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float
    limit: str = ""

    @property
    def timed_out(self) -> bool:
        """Whether a time limit ended it, or was over before it."""
        return bool(self.limit)

    @property
    def ok(self) -> bool:
        """Whether it exited with status 0 within its time."""
        return self.returncode == 0 and not self.timed_out

    @property
    def output(self) -> str:
        """What is kept of both streams."""
        return self.stdout + self.stderr

    @property
    def status(self) -> int:
        """The exit status as shells give it: 128 + N after signal N, and 1 after its time limit."""
        if self.timed_out:
            return 1
        return self.returncode if self.returncode >= 0 else 128 - self.returncode

    @property
    def ending(self) -> str:
        """How it ended, in words: ``exit status 101``, ``killed by SIGABRT`` and so on."""
        if self.timed_out:
            stopped = f"stopped at {self.limit} after {self.seconds:.0f} s"
            return stopped if self.seconds else f"not started, past {self.limit}"
        if self.returncode >= 0:
            return f"exit status {self.returncode}"
        try:
            name = signal.Signals(-self.returncode).name
        except ValueError:
            name = f"signal {-self.returncode}"
        return f"killed by {name}"

    def check(self) -> Finished:
        """Return self if it succeeded.

        Raises:
            CheckFailed: Naming the command and how it ended.
        """
        if self.ok:
            return self
        raise CheckFailed(f"{command_line(self.args)}: {self.ending}")


def command_line(args: Sequence[str]) -> str:
    """Return `args` quoted so that they can be pasted into a POSIX shell."""
    return printable(shlex.join(args))


def run(  # noqa: PLR0913 - one place for what a run can be told
    args: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    deadline: Deadline | None = None,
    timeout: float | None = None,
    read_stdout: bool = False,
    read_stderr: bool = False,
    stderr: TextIO | None = None,
    echo: bool = True,
    processor: int | None = None,
    listener: Listener | None = None,
    given: str = "",
    grace: float = GRACE,
) -> Finished:
    """Run a program to its end.

    Args:
        args: The program and its arguments; the program is looked up on PATH.
        cwd: Its working directory; the caller's by default.
        env: Variables laid over the caller's; None removes one.
        deadline: When the session's time is up: the process group is ended then, and not started later.
        timeout: Seconds after which it is ended in any case.
        read_stdout: Keep standard output for the caller instead of passing it on.
        read_stderr: The same for standard error.
        stderr: Where standard error goes line by line; ours by default.
        echo: Print the command first, as ``+ cargo test ...``, on standard error.
        processor: The only processor it may run on; any by default.
        listener: Reads all that it prints along, beside what is passed on or kept.
        given: What it finds on its standard input.
        grace: Seconds between TERM and KILL.

    Raises:
        StartError: The program is not there or cannot be started.
        UserError: The directory is not there, or what is printed cannot be written.
        KeyboardInterrupt: After SIGINT, SIGTERM or SIGHUP, whose number it has, once the process
            group has ended.
    """
    argv = tuple(os.fspath(arg) for arg in args)
    deadline = deadline or Deadline()
    left, own = deadline.left, math.inf if timeout is None else timeout
    limit = "its time limit" if own < left else deadline.limit
    if left <= 0:
        return Finished(args=argv, returncode=-signal.SIGTERM, stdout="", stderr="", seconds=0.0, limit=limit)
    environment = dict(os.environ)
    for name, value in (env or {}).items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    started = time.monotonic()
    with echoed(_echo(argv)) if echo else contextlib.nullcontext(), _stop_signals() as stopped:
        with _pinned(processor):
            group = _start(argv, cwd, environment, given=given)
        try:
            streams = _Streams(
                group,
                None if read_stdout else sys.stdout,
                None if read_stderr else stderr or sys.stderr,
                listener,
            )
            timed_out = streams.drain(command_line(argv), started, min(left, own), stopped)
            seconds = time.monotonic() - started
            _end_group(group, streams, stopped, grace)
        except BaseException:
            _kill(group, signal.SIGKILL)
            raise
        finally:
            group.wait()
            streams.close()
            ended()
    if stopped:
        raise KeyboardInterrupt(stopped[0])
    return Finished(
        args=argv,
        returncode=group.returncode,
        stdout=streams.text("stdout"),
        stderr=streams.text("stderr"),
        seconds=seconds,
        limit=limit if timed_out else "",
    )


def attached(args: Sequence[str | Path]) -> int:
    """Run a program on our terminal, with our streams and in our process group; return how it ended.

    Without a process group of its own it stays in the foreground: what is typed is its. A stop
    signal that reaches us ends it by HUP, since shells on a terminal ignore TERM, after `GRACE` by
    KILL, and leaves the terminal as it was.

    Raises:
        StartError: The program is not there or cannot be started.
        KeyboardInterrupt: After a stop signal, whose number it has, once it has ended.
    """
    argv = tuple(os.fspath(arg) for arg in args)
    tell(f"+ {_echo(argv)}\n")
    settings = termios.tcgetattr(sys.stdin)
    with _stop_signals() as stopped:
        program = _start(argv, None, os.environ, alone=False)
        try:
            while program.poll() is None and not stopped:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    program.wait(_TICK)
            if stopped:
                program.send_signal(signal.SIGHUP)
                program.wait(GRACE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            program.kill()
            program.wait()
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
    if stopped:
        raise KeyboardInterrupt(stopped[0])
    return program.returncode


@contextlib.contextmanager
def _pinned(processor: int | None) -> Iterator[None]:
    """Let what is started inside inherit that it may run on one processor only; we go back to ours."""
    if processor is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP, too, unwind what runs inside, so that it can put back what it changed.

    Raises:
        KeyboardInterrupt: As for Ctrl-C, with the number of the signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signum)

    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGHUP)}
    ours = [signum for signum, handler in before.items() if handler is signal.SIG_DFL]
    for signum in ours:
        signal.signal(signum, stop)
    try:
        yield
    finally:
        for signum in ours:
            signal.signal(signum, signal.SIG_DFL)


def interrupted_status(interrupt: KeyboardInterrupt) -> int:
    """Return the exit status for a stop signal, 128 + N as shells give it; Python's own is of Ctrl-C."""
    return 128 + int(interrupt.args[0] if interrupt.args else signal.SIGINT)


def _echo(args: Sequence[str]) -> str:
    return shortened(command_line(args), most=10_000)  # longer than any that is to be copied


def _start(
    argv: tuple[str, ...], cwd: Path | None, env: Mapping[str, str], *, alone: bool = True, given: str = ""
) -> subprocess.Popen[bytes]:
    """Start a program: alone, in a process group of its own and with pipes; else on our terminal."""
    output = subprocess.PIPE if alone else None
    try:
        with tempfile.TemporaryFile() if given else Path(os.devnull).open("rb") as file:
            if given:
                file.write(given.encode(errors="replace"))
                file.seek(0)
            return subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
                argv,
                cwd=cwd,
                env=env,
                stdin=file if alone else None,
                stdout=output,
                stderr=output,
                process_group=0 if alone else None,
            )
    except OSError as error:
        if cwd is not None and not os.path.isdir(cwd):  # noqa: PTH112 - no error where it may not be looked at
            raise UserError(
                "the directory to run in does not exist", where=str(cwd), fix="make it, or correct its name"
            ) from error
        if isinstance(error, FileNotFoundError) and shutil.which(argv[0], path=env.get("PATH")) is None:
            raise StartError(
                f"the program {argv[0]!r} is not there",
                where=command_line(argv),
                fix="install it, or correct PATH",
            ) from error
        fix = "check that it is an executable for this machine; of a script, also its first line"
        if error.errno == errno.E2BIG:
            fix = "shorten what its longest argument is made of; Linux takes 128 KiB for one"
        raise StartError(
            f"cannot start {argv[0]!r}: {error.strerror}", where=command_line(argv), fix=fix
        ) from error
    except ValueError as error:  # a NUL byte in an argument
        raise UserError(
            f"cannot start {argv[0]!r}: {error}",
            where=command_line(argv),
            fix="correct the argument, or the variable of the environment",
        ) from error


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect stop signals instead of raising, so that none falls between fork and our knowing it.

    Outside the main thread Python delivers no signals; there the list stays empty.
    """
    stopped: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def note(signum: int, _frame: FrameType | None) -> None:
        stopped.append(signum)

    before = {signum: signal.getsignal(signum) for signum in _STOPPING}
    ours = [signum for signum, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for signum in ours:
        signal.signal(signum, note)
    try:
        yield stopped
    finally:
        for signum in ours:
            signal.signal(signum, before[signum])


@dataclass
class _Stream:
    """One pipe of the program: where its lines go and what is kept of it."""

    name: str
    descriptor: int
    sink: TextIO | None
    listen: Callable[[bytes], None] | None
    pending: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        if self.listen is not None:
            self.listen(data)
        self.kept += data
        if self.sink is None:
            return
        if len(self.kept) > 2 * KEPT_BYTES:
            del self.kept[:-KEPT_BYTES]
        self.pending += data
        end = max(self.pending.rfind(b"\n"), self.pending.rfind(b"\r")) + 1
        if end:
            pass_on(bytes(self.pending[:end]), self.sink)
            del self.pending[:end]

    def finish(self) -> None:
        if self.sink is not None and self.pending:
            pass_on(bytes(self.pending), self.sink)
            self.pending.clear()


class _Streams:
    """Both pipes of a program, drained without threads so that nothing can be left behind."""

    def __init__(
        self,
        group: subprocess.Popen[bytes],
        out: TextIO | None,
        err: TextIO | None,
        listener: Listener | None,
    ) -> None:
        if group.stdout is None or group.stderr is None:
            raise AssertionError("the program was started without pipes")
        self._group = group
        self._pipes = (group.stdout, group.stderr)
        self._streams = (
            _Stream("stdout", group.stdout.fileno(), out, listener.stdout if listener else None),
            _Stream("stderr", group.stderr.fileno(), err, listener.stderr if listener else None),
        )
        self._selector = selectors.DefaultSelector()
        for stream in self._streams:
            self._selector.register(stream.descriptor, selectors.EVENT_READ, stream)

    def drain(self, program: str, started: float, most: float, stopped: list[int]) -> bool:
        """Pass output on until the program has ended; return whether `most` seconds came first.

        A program may end while a daemon that it started keeps its pipes open: then they are read
        until it is silent, for a second at most, and the daemon is not waited for.
        """
        end = started + most
        over: float | None = None
        while not stopped:
            running(program, started)
            now = time.monotonic()
            if now >= end and over is None:
                return True
            if not self._selector.get_map():
                try:
                    self._group.wait(min(_TICK, end - now))
                except subprocess.TimeoutExpired:
                    continue
                return False
            silent = not self.read(min(_TICK, end - now))
            if self._group.poll() is not None:
                over = over or now
                if silent or now - over >= _LINGER:
                    return False
        return False

    def read(self, wait: float) -> bool:
        """Read what is there within `wait` seconds; return whether anything was."""
        events = self._selector.select(wait)
        for key, _ in events:
            stream: _Stream = key.data
            data = os.read(stream.descriptor, 1 << 16)
            if data:
                stream.feed(data)
            else:
                self._selector.unregister(stream.descriptor)
        return bool(events)

    def read_rest(self) -> None:
        """Read what an ended program left in its pipes, which hold 1 MiB at most."""
        for _ in range(16):
            if not self.read(0):
                return

    def close(self) -> None:
        self._selector.close()
        for stream, pipe in zip(self._streams, self._pipes, strict=True):
            stream.finish()
            pipe.close()

    def text(self, name: str) -> str:
        return next(s for s in self._streams if s.name == name).kept.decode(errors="replace")


def _end_group(group: subprocess.Popen[bytes], streams: _Streams, stopped: list[int], grace: float) -> None:
    """End the process group: TERM, `grace` seconds (a second Ctrl-C cuts them short), KILL."""
    seen = len(stopped)
    if _kill(group, signal.SIGTERM):
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and len(stopped) <= max(seen, 1):
            if not streams.read(_TICK / 2):
                time.sleep(_TICK / 2)
            group.poll()
            if not _alive(group):
                break
    _kill(group, signal.SIGKILL)
    group.wait()
    streams.read_rest()


def _alive(group: subprocess.Popen[bytes]) -> bool:
    """Whether a process of the group still runs; one that nobody has reaped does not.

    In a container whose first process reaps nothing, orphans stay in their group for ever.
    """
    if not _kill(group, 0):
        return False
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, of_group, *_ = path.read_bytes().rpartition(b")")[2].split()
            if int(of_group) == group.pid:
                members.append(state)
    return not members or any(state not in (b"Z", b"X") for state in members)


def _kill(group: subprocess.Popen[bytes], signum: int) -> bool:
    """Signal the whole group; return whether any process of it is left to be signalled."""
    try:
        os.killpg(group.pid, signum)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True
