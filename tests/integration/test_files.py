"""Files: what a kill, a full disk, a missing permission or a second process does to them."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions import files
from rustvmm_sessions.errors import UserError
from tests.crates import REPOSITORY, CrateBuilder, new_crate, run

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITS = 20.0
"""Seconds after which a process that should have gone on is given up."""


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def message(error: pytest.ExceptionInfo[UserError]) -> str:
    return str(error.value)


def bound_by_permissions(code: str, *args: str | Path) -> str:
    """Run Python code as a user whom the modes of files bind; return what it prints.

    They do not bind root, in whose name CI often runs; without its capabilities it is like others.
    """
    plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return subprocess.check_output(
        [*plain, sys.executable, "-c", code, *args],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
        timeout=WAITS,
    )


# Reading


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str, linked: bool) -> None:
    path = tmp_path / "coverage"
    place = tmp_path / "elsewhere" if linked else path
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(place))
    else:
        place.symlink_to(kind)
    if linked:
        path.symlink_to(place)

    with pytest.raises(UserError) as caught:
        files.read_text(path)

    assert "a pipe, device or socket stands where a file is expected" in message(caught)
    assert str(path) in message(caught)


def test_a_pipe_that_the_shell_names_is_read() -> None:
    read, write = os.pipe()
    os.write(write, b"text")
    os.close(write)
    assert files.read_text(Path(f"/dev/fd/{read}")) == "text"
    os.close(read)


@pytest.mark.parametrize("name", ["noxfile.py", "tests/coverage", ".platform"])
def test_no_command_waits_for_a_pipe_in_the_place_of_a_file(tmp_path: Path, name: str) -> None:
    crate = new_crate(tmp_path).with_git()
    (tmp_path / "tests").mkdir(exist_ok=True)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    command = [sys.executable, "-m", "rustvmm_sessions.cli"]
    words = {
        "noxfile.py": [*command, "commit-format"],
        ".platform": [*command, "pipeline"],
        "tests/coverage": [sys.executable, "-m", "nox", "-s", "coverage"],
    }[name]

    outcome = run(["timeout", str(WAITS), *words], cwd=crate.directory)

    assert outcome.code == (1 if name == "tests/coverage" else 2), outcome.text
    assert "a pipe, device or socket stands where a file is expected" in outcome.err


# Writing

WRITE = """\
import sys
from pathlib import Path
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.files import write_atomic

try:
    write_atomic(Path(sys.argv[1]), sys.argv[2])
except UserError as error:
    print(error)
"""


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A file with an old text, as tests/coverage is one."""
    path = tmp_path / "tests" / "coverage"
    path.parent.mkdir()
    path.write_text("80.1\n")
    return path


def test_a_new_file_is_written_with_its_folders(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "a" / "b" / "coverage", "é 80.1")

    assert (tmp_path / "a" / "b" / "coverage").read_bytes() == "é 80.1".encode()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755])
def test_the_mode_is_kept_and_nothing_else_is_left(record: Path, mode: int) -> None:
    record.chmod(mode)

    files.write_atomic(record, "80.2\n")

    assert record.read_text() == "80.2\n"
    assert stat.S_IMODE(record.stat().st_mode) == mode
    assert names(record.parent) == ["coverage"]


def test_the_file_is_replaced_and_not_written_over(record: Path) -> None:
    """Who has it open, or linked, keeps the old text in full."""
    os.link(record, record.parent / "linked")

    files.write_atomic(record, "80.2\n")

    assert (record.parent / "linked").read_text() == "80.1\n"


def test_what_is_no_regular_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    """Root could put a file in the place of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    files.write_atomic(pipe, "text\n")

    assert os.read(reader, 100) == b"text\n"
    os.close(reader)
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("target", ["outside", "nowhere", "coverage"])
def test_a_link_in_place_of_the_hidden_file_is_not_followed(record: Path, target: str) -> None:
    outside = record.parent / "outside"
    outside.write_text("precious\n")
    (record.parent / ".coverage.new").symlink_to(target)

    files.write_atomic(record, "80.2\n")

    assert (record.read_text(), record.is_symlink()) == ("80.2\n", False)
    assert outside.read_text() == "precious\n"
    assert names(record.parent) == ["coverage", "outside"]


def test_the_new_text_is_on_the_disk_before_it_gets_the_name(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power failure could leave an empty file; what the system is asked stands for that."""
    asked = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: asked.append((file_of(descriptor), record.read_text()))
    )

    files.write_atomic(record, "80.2\n")

    assert asked == [(".coverage.new", "80.1\n"), ("tests", "80.2\n")]


def file_of(descriptor: int) -> str:
    return Path(f"/proc/self/fd/{descriptor}").readlink().name


KILL_AT_EACH_LINE = """\
import os, signal, sys
from pathlib import Path
from rustvmm_sessions import files

path, old, new = Path(sys.argv[1]), "old\\n" * 50, "new text\\n" * 60

def killed_at(number):
    left = [number]
    def on_line(frame, event, _):
        if frame.f_code.co_filename == files.__file__:
            if event == "line":
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
            return on_line
    sys.settrace(on_line)
    files.write_atomic(path, new)

ended, number = False, 0
while not ended:
    number += 1
    files.write_atomic(path, old)
    path.chmod(0o640)
    child = os.fork()
    if not child:
        killed_at(number)
        os._exit(0)
    ended = os.waitpid(child, 0)[1] == 0
    text = path.read_text()
    print(number, {old: "old", new: "new"}.get(text, repr(text)), oct(path.stat().st_mode & 0o777))
"""


def test_killed_at_any_line_the_file_holds_the_old_or_the_new_text(record: Path) -> None:
    out = subprocess.check_output([sys.executable, "-c", KILL_AT_EACH_LINE, record], text=True, timeout=WAITS)

    seen = [line.split() for line in out.splitlines()]
    assert len(seen) > 10
    assert {mode for _, _, mode in seen} == {"0o640"}
    held = [text for _, text, _ in seen]
    assert sorted(held, reverse=True) == held
    assert set(held) == {"old", "new"}
    assert names(record.parent) == ["coverage"]


KILL_AT_ANY_TIME = """\
import os, random, signal, sys, time
from pathlib import Path
from rustvmm_sessions import files

path, texts = Path(sys.argv[1]), ["old " * 50_000, "new\\n" * 80_000]
seen, rounds = set(), 0
random.seed(int(sys.argv[2]))
started = time.monotonic()
files.write_atomic(path, texts[0])
took = time.monotonic() - started
while rounds < 60 or len(seen) < 2:
    rounds += 1
    child = os.fork()
    while not child:
        for text in texts:
            files.write_atomic(path, text)
    time.sleep(random.uniform(0, 3 * took))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seen.add(texts.index(path.read_text()))
print(seen)
"""


def test_killed_at_any_time_the_file_holds_one_text_in_full(record: Path) -> None:
    seed = time.time_ns()
    out = subprocess.check_output(
        [sys.executable, "-c", KILL_AT_ANY_TIME, record, str(seed)], text=True, timeout=WAITS
    )

    assert out == "{0, 1}\n", seed


def test_on_a_full_disk_the_old_text_stays(record: Path) -> None:
    """The system refuses the end of the text; a limit on files does so wherever this test runs."""
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n{WRITE}"

    out = bound_by_permissions(full, record, "x" * 5000)

    assert out == (
        "cannot be written, and still holds what it held: File too large\n"
        f" --> {record}\n"
        "help: free some space, or correct the path or its permissions, then run again\n"
    )
    assert record.read_text() == "80.1\n"
    assert names(record.parent) == ["coverage"]


@pytest.mark.parametrize(
    ("path_mode", "folder_mode", "reason"),
    [
        pytest.param(0o444, 0o755, "the file is read-only", id="file"),
        pytest.param(0o644, 0o555, "Permission denied", id="directory"),
    ],
)
def test_what_is_read_only_is_not_written(
    record: Path, path_mode: int, folder_mode: int, reason: str
) -> None:
    record.chmod(path_mode)
    record.parent.chmod(folder_mode)

    out = bound_by_permissions(WRITE, record, "80.2\n")

    record.parent.chmod(0o755)
    assert out.startswith(f"cannot be written, and still holds what it held: {reason}\n --> {record}\n")
    assert record.read_text() == "80.1\n"
    assert names(record.parent) == ["coverage"]


def test_a_directory_that_may_be_written_but_not_listed_is_enough(record: Path) -> None:
    record.parent.chmod(0o300)

    out = bound_by_permissions(WRITE, record, "80.2\n")

    record.parent.chmod(0o755)
    assert (out, record.read_text()) == ("", "80.2\n")


def test_a_directory_in_the_files_place_is_named(record: Path) -> None:
    record.unlink()
    record.mkdir()

    with pytest.raises(
        UserError, match="cannot be written, and still holds what it held: Is a directory"
    ) as error:
        files.write_atomic(record, "80.2\n")

    assert f"--> {record}\n" in message(error)
    assert names(record.parent) == ["coverage"]


# Reading


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert files.read_text(tmp_path / "coverage") is None
    assert files.read_text(tmp_path / "no" / "folder") is None


def test_a_text_is_read_as_it_is(record: Path) -> None:
    record.write_bytes("80.1\r\né".encode())

    assert files.read_text(record) == "80.1\r\né"


@pytest.mark.parametrize(
    ("content", "what", "line", "fix"),
    [
        pytest.param("80.1".encode("utf-16"), "not UTF-8", ":1", "save it as UTF-8", id="utf-16"),
        pytest.param(b"80.1\n\xe9\n", "not UTF-8", ":2", "save it as UTF-8", id="latin-1"),
        pytest.param(b"8" * (files.MAX_BYTES + 1), "more than 1 MiB", "", "git checkout", id="megabytes"),
    ],
)
def test_a_file_that_is_no_small_text_is_named(
    record: Path, content: bytes, what: str, line: str, fix: str
) -> None:
    record.write_bytes(content)

    with pytest.raises(UserError, match=what) as error:
        files.read_text(record)

    assert f"\n --> {record}{line}\n" in message(error)
    assert fix in error.value.fix


def test_the_largest_text_is_read(record: Path) -> None:
    record.write_text("8" * files.MAX_BYTES)

    assert files.read_text(record) == "8" * files.MAX_BYTES


def test_a_directory_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        files.read_text(tmp_path)

    assert message(error) == (
        f"a directory stands where a file is expected\n --> {tmp_path}\nhelp: move it away"
    )


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("nowhere", "the symbolic link points to nothing"),
        ("coverage", "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_a_link_that_leads_nowhere_is_not_taken_for_a_missing_file(
    record: Path, target: str, what: str
) -> None:
    record.unlink()
    record.symlink_to(target)

    with pytest.raises(UserError) as error:
        files.read_text(record)

    assert message(error).startswith(f"{what}\n --> {record}\nhelp: ")


def test_a_file_that_may_not_be_read_is_named(record: Path) -> None:
    record.chmod(0)

    out = bound_by_permissions(
        "import sys\n"
        "from pathlib import Path\n"
        "from rustvmm_sessions import errors, files\n"
        "try:\n"
        "    print(files.read_text(Path(sys.argv[1])))\n"
        "except errors.UserError as error:\n"
        "    print(error)\n",
        record,
    )

    assert out == f"cannot be read: Permission denied\n --> {record}\nhelp: check its permissions\n"


# Locks

HOLD = """\
import sys
from pathlib import Path
from rustvmm_sessions import files

def say(word):
    print(word, flush=True)

with files.locked(Path(sys.argv[1]), on_wait=lambda: say("waiting")):
    say("held")
    sys.stdin.read()
say("released")
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that takes the lock of a path and holds it until its stdin ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        too_long = threading.Timer(WAITS, process.kill)
        too_long.start()
        try:
            yield process
        finally:
            too_long.cancel()
            process.kill()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("killed", [False, True])
def test_one_process_at_a_time_holds_a_lock_and_the_next_says_that_it_waits(
    tmp_path: Path, *, killed: bool
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with holder(tmp_path / "target") as first:
        assert says(first) == "held"
        with holder(tmp_path / "link") as second:
            assert says(second) == "waiting"
            assert first.poll() is None

            if killed:
                first.send_signal(signal.SIGKILL)
            else:
                first.communicate(timeout=WAITS)

            assert says(second) == "held"
            assert second.communicate(timeout=WAITS)[0] == "released\n"

    assert names(tmp_path) == ["link"]


@pytest.mark.usefixtures("_own_cache")
def test_locks_of_different_paths_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with holder(tmp_path / "one") as one, holder(tmp_path / "other") as other:
        assert (says(one), says(other)) == ("held", "held")


def test_a_lock_can_be_had_where_there_is_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number that no user has."""

    def no_user(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_user)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with files.locked(tmp_path / "target"):
        assert names(tmp_path) == [f"rustvmm-sessions-{os.getuid()}"]


@pytest.mark.usefixtures("_own_cache")
def test_a_lock_is_waited_for_as_long_as_there_is_time(tmp_path: Path) -> None:
    with holder(tmp_path / "target") as process:
        assert says(process) == "held"
        with (
            pytest.raises(UserError, match="the time was up while another run was using it"),
            files.locked(tmp_path / "target", timeout=0.3),
        ):
            pytest.fail("two held it")
        process.communicate(timeout=WAITS)
    with files.locked(tmp_path / "target", timeout=0.3):
        pass


def test_a_lock_can_be_had_where_the_cache_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o555)

    out = bound_by_permissions(
        "import os, sys, tempfile\n"
        "from pathlib import Path\n"
        "from rustvmm_sessions import files\n"
        "os.environ['XDG_CACHE_HOME'], tempfile.tempdir = sys.argv[1:]\n"
        "with files.locked(Path('target')):\n"
        "    print(files.cache_directory())\n",
        tmp_path / "cache",
        tmp_path,
    )

    assert out == f"{tmp_path}/rustvmm-sessions-{os.getuid()}\n"


# Folders of our own


def test_an_own_directory_is_not_seen_by_git(tmp_path: Path) -> None:
    crate = CrateBuilder(tmp_path).with_file("README.md", "text\n")
    crate.git("init", "--quiet")
    crate.git("add", "--all")
    crate.commit("start")

    made = files.own_directory(tmp_path / "build" / "rustvmm-coverage")
    (made / "profile").touch()

    assert crate.git("status", "--porcelain") == ""


def test_an_existing_directory_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()

    assert files.own_directory(tmp_path) == tmp_path
    assert names(tmp_path) == ["theirs"]


def test_several_may_make_the_same_directory_at_once(tmp_path: Path) -> None:
    errors: list[UserError] = []

    def make(path: Path, start: threading.Barrier) -> None:
        start.wait(WAITS)
        try:
            files.own_directory(path)
        except UserError as error:
            errors.append(error)

    for number in range(100):
        start = threading.Barrier(4)
        threads = [threading.Thread(target=make, args=(tmp_path / f"{number}", start)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert errors == []


def test_a_file_where_the_directory_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "target").touch()

    with pytest.raises(UserError) as error:
        files.own_directory(tmp_path / "target" / "rustvmm-coverage")

    assert message(error) == (
        "the directory cannot be made: Not a directory\n"
        f" --> {tmp_path}/target/rustvmm-coverage\n"
        "help: free some space, or correct the path or its permissions, then run again"
    )
