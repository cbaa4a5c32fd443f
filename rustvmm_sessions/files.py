"""Files: read with a limit, written atomically, locked, and folders that git does not see."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import marshal
import os
import stat
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_BYTES = 1 << 20
"""More than any configuration file of a crate has."""


def unwritable(what: str, path: Path, error: OSError) -> UserError:
    """Return the error that `what` says of a file or folder: ``the report cannot be written``."""
    return UserError(
        f"{what}: {error.strerror}",
        where=str(path),
        fix="free some space, or correct the path or its permissions, then run again",
    )


def read_text(path: Path, *, most_bytes: int = MAX_BYTES, encoding: str = "utf-8") -> str | None:
    """Return the text of a file, or None where there is no such file.

    Raises:
        UserError: It is no file (a pipe of the shell's, in /dev, is one), unreadable, larger than
            `most_bytes`, or not in that encoding (the line of the first bad byte is named), or the
            encoding is unknown.
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or path.is_relative_to("/dev")):
            raise UserError(
                "a pipe, device or socket stands where a file is expected",
                where=str(path),
                fix="move it away",
            )
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise UserError(
                "the symbolic link points to nothing",
                where=str(path),
                fix="restore its target, or remove the link",
            ) from None
        return None
    except IsADirectoryError:
        raise UserError(
            "a directory stands where a file is expected", where=str(path), fix="move it away"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot be read: {error.strerror}", where=str(path), fix="check its permissions"
        ) from error
    if len(data) > most_bytes:
        raise UserError(
            f"the file has more than {most_bytes >> 20} MiB",
            where=str(path),
            fix="restore it with git checkout",
        )
    try:
        return data.decode(encoding)
    except LookupError as error:
        raise UserError(
            f"there is no encoding {encoding!r}", where=str(path), fix="correct its name"
        ) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"the file is not {encoding.upper()} text",
            where=f"{path}:{line}",
            fix=f"save it as {encoding.upper()}",
        ) from error


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the files and links below a folder, without those of git and of folders that are caches."""
    for place, folders, names in os.walk(folder):
        here = Path(place)
        if "CACHEDIR.TAG" in names:  # cargo's target directory
            folders.clear()
            continue
        yield from (here / name for name in sorted(names + [n for n in folders if (here / n).is_symlink()]))
        folders[:] = sorted(name for name in folders if name != ".git")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace the file's content so that at any moment it holds the old or the new one.

    The new one goes to a hidden file beside it, to the disk, and is then renamed over the old
    one. Mode and owner are kept. A hidden file that a killed run left is removed by the next.
    The caller holds the lock of `path` and has resolved symbolic links. Into a device or a pipe it is
    written: as root, the new file would take the place of /dev/null.

    Raises:
        UserError: The directory or the disk does not take it; the old content is still there.
    """
    fresh = path.with_name(f".{path.name}.new")
    data = content.encode() if isinstance(content, str) else content
    try:
        before = path.stat() if path.exists() else None
        if before is not None and not stat.S_ISREG(before.st_mode):
            path.write_bytes(data)
            return
        if before is not None and not os.access(path, os.W_OK):
            raise PermissionError(13, "the file is read-only")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.unlink(missing_ok=True)  # a killed run's; a link there is not to be followed
            with fresh.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if before is not None:
                with contextlib.suppress(PermissionError):  # only root gives files away
                    os.chown(fresh, before.st_uid, before.st_gid)
                fresh.chmod(stat.S_IMODE(before.st_mode))
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise unwritable("cannot be written, and still holds what it held", path, error) from error


def _sync_directory(directory: Path) -> None:
    """Bring the new name to the disk too, where the directory may be read; it holds without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def repository_top(directory: Path) -> Path:
    """Return the top of the repository around a directory, or the directory where there is none."""
    here = directory.resolve()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def own_directory(path: Path) -> Path:
    """Make a directory that ignores itself, so that it never shows in ``git status``.

    A directory that is there already is used as it is.
    """
    try:
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)  # another run may be as far as this one
            (path / ".gitignore").write_text("*\n")
    except OSError as error:
        raise unwritable("the directory cannot be made", path, error) from error
    return path


def check_reports(places: Mapping[str, Path | None]) -> None:
    """Refuse, before minutes of work, reports that have no place.

    Args:
        places: The option that asks for each report, and its file; None for none.
    """
    for option, path in places.items():
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            wrong = "a directory has that name" if path.is_dir() else "its directory does not exist"
            raise UserError(
                f"the report cannot be written there: {wrong}",
                where=f"{option}={path}",
                fix="name a file in an existing directory",
            )


def write_report(path: Path, text: str) -> None:
    """Write a report where the user wants it, which may be no regular file.

    Raises:
        UserError: It cannot be written there.
    """
    try:
        path.write_text(text)
    except OSError as error:
        raise unwritable("the report cannot be written", path, error) from error


def hide_bytecode(directory: Path) -> None:
    """Let the ``__pycache__`` that Python makes of a noxfile ignore itself, as our own folders do."""
    folder = directory / "__pycache__"
    with contextlib.suppress(OSError):  # a read-only work tree has nothing to hide
        if folder.is_dir() and not (folder / ".gitignore").exists():
            (folder / ".gitignore").write_text("*\n")


def bytecode_is_current(source: Path, kept: Path) -> bool:
    """Whether the bytecode that Python has run is the file's; from now on Python goes by the content.

    By itself it takes the bytecode that it keeps for current where size and second of the time stamp
    agree: a file written anew within a second, with as many characters, runs as it was before.
    """
    try:
        status, data = source.stat(), kept.read_bytes()
    except OSError:
        return True  # none is kept
    stamp = struct.pack("<III", 0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    if data[:16] != importlib.util.MAGIC_NUMBER + stamp:
        return True
    import py_compile  # noqa: PLC0415 - only a noxfile's first run pays for it

    code = compile(source.read_bytes(), str(source), "exec", dont_inherit=True)
    with contextlib.suppress(OSError):
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        py_compile.compile(str(source), str(kept), doraise=True, invalidation_mode=mode)
    return bool(marshal.loads(data[16:]) == code)  # noqa: S302 - Python has run it


def cache_directory() -> Path:
    """Return our folder of the user's cache directory, or of the temporary one where that fails."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()  # noqa: PTH117 - of a variable, empty or not
        (home / "rustvmm-sessions").mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        pass
    else:
        if os.access(home / "rustvmm-sessions", os.W_OK):
            return home / "rustvmm-sessions"
    fallback = Path(tempfile.gettempdir()) / f"rustvmm-sessions-{os.getuid()}"
    fallback.mkdir(mode=0o700, exist_ok=True)
    return fallback


def name_of(path: Path) -> str:
    """Return a short name for what lies at a path, for files of ours that belong to it."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]


@contextlib.contextmanager
def locked(
    path: Path, *, on_wait: Callable[[], None] | None = None, timeout: float | None = None
) -> Iterator[None]:
    """Hold the lock that belongs to `path` (a file or directory, which need not exist).

    The lock itself lies in the user's cache directory, never in the work tree, and is released
    by the system when its holder dies.

    Args:
        path: What is to be used by one process at a time.
        on_wait: Called once when another process holds the lock, before waiting for it.
        timeout: Seconds to wait for it; None for as long as it takes.

    Raises:
        UserError: The other process still holds it then.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - only runs that write pay for it

    directory = cache_directory() / "locks"
    directory.mkdir(exist_ok=True)
    lock = FileLock(directory / f"{name_of(path)}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if on_wait is not None:
            on_wait()
        try:
            lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout), poll_interval=0.1)
        except Timeout:
            raise UserError(
                "the time was up while another run was using it",
                where=str(path),
                fix="wait for the other run, or give this one more time",
            ) from None
    try:
        yield
    finally:
        lock.release()
