"""The bytecode of a zipapp's modules, kept in the user's cache: Python keeps none for a zip file."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib.util
import marshal
import os
import sys
import time
import zipimport
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.errors import UserError

if TYPE_CHECKING:
    from types import CodeType

Codes = dict[str, "CodeType"]
_OLD = 30 * 24 * 60 * 60


def keep(archive: str) -> None:
    """Import a zipapp's modules by the bytecode that is kept, and keep what had to be compiled.

    Where the cache cannot be read or written, everything is compiled, as it is without this.
    """
    with contextlib.suppress(OSError):
        data = os.fsencode(archive) + importlib.util.MAGIC_NUMBER + Path(archive).read_bytes()
        path = files.cache_directory() / "bytecode" / hashlib.sha256(data).hexdigest()[:32]
        _import_by(_read(path), path)


def _import_by(codes: Codes, path: Path) -> None:
    known = len(codes)

    class Importer(zipimport.zipimporter):
        def get_code(self, fullname: str) -> CodeType:
            if fullname not in codes:
                codes[fullname] = super().get_code(fullname)
            return codes[fullname]

        def get_filename(self, fullname: str) -> str:  # by itself it compiles the module for that
            return self.get_code(fullname).co_filename

    def write() -> None:
        if len(codes) > known:
            with contextlib.suppress(OSError, UserError):
                path.parent.mkdir(mode=0o700, exist_ok=True)
                files.write_atomic(path, marshal.dumps(codes))
                for other in path.parent.iterdir():
                    if other.stat().st_mtime < time.time() - _OLD:
                        other.unlink()

    sys.path_hooks.insert(0, Importer)
    sys.path_importer_cache.clear()
    atexit.register(write)


def _read(path: Path) -> Codes:
    """Return what is kept, if the file is this user's own: whoever writes it says what is run."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return {}
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return {}
        try:
            codes: Codes = marshal.loads(file.read())  # noqa: S302 - written by `keep`
        except (EOFError, ValueError, TypeError):
            return {}
        return codes
