"""Find what cargo would take for unchanged in a build that is kept.

Cargo compares time stamps: a source that was replaced by one with an older time (``cp -p``, ``rsync``, a
restored cache of CI; rust-lang/cargo#6529) is no change to it. So the contents of all files that a build
read are noted, and what was built from others is removed, which makes cargo build it anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INPUT = re.compile(r"cargo::?rerun-if-changed=(.*)")


@dataclass(frozen=True, kw_only=True)
class KeptBuild:
    """A target directory of cargo's that is kept between runs.

    Attributes:
        directory: The target directory.
        root: The workspace's directory, where rustc runs.
        immutable: Folders whose files never change, such as the sources of published crates.
    """

    directory: Path
    root: Path
    immutable: tuple[Path, ...]

    @property
    def _record(self) -> Path:
        return self.directory / "sources.json"

    def remove_outdated(self) -> None:
        """Remove what was built from other contents than the files have now, where cargo would not see it."""
        for name, unit in self._recorded().items():
            info = Path(name)
            if _modified(info) == unit["built"] and any(
                _is_hidden_change(Path(source), state, unit["built"])
                for source, state in unit["sources"].items()
            ):
                for output in _outputs(info):
                    output.unlink()

    def note(self, build_scripts: Iterable[tuple[Path, Path]]) -> None:
        """Note what the last build read; `build_scripts` are output folders with their packages' folders."""
        before = self._recorded()
        inputs = {
            **dict.fromkeys(self._dep_infos()),
            **{folder.parent / "output": package for folder, package in build_scripts},
        }
        after: dict[str, Any] = {}
        for info, package in inputs.items():
            built = _modified(info)
            if built is None:
                continue
            known = before.get(str(info))
            if known and known["built"] == built:
                after[str(info)] = known
                continue
            sources = _script_inputs(info, package) if package else dep_info(info.read_text(errors="replace"))
            paths = {self.root / source for source in sources}
            after[str(info)] = {
                "built": built,
                "sources": {str(path): state for path in paths if (state := self._state(path))},
            }
        files.write_atomic(self._record, json.dumps(after))

    def _recorded(self) -> dict[str, Any]:
        try:
            content = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _dep_infos(self) -> Iterator[Path]:
        for profile in ("debug", "*/debug"):
            for place in ("deps", "examples", "build/*", "build/*/*/out"):
                yield from self.directory.glob(f"{profile}/{place}/*.d")

    def _state(self, path: Path) -> list[Any] | None:
        if any(path.is_relative_to(folder) for folder in (self.directory, *self.immutable)):
            return None
        signature = _signature(path)
        return signature and [signature, _digest(path)]


def dep_info(text: str) -> list[str]:
    """Return the files that rustc's dep-info names, as it names them."""
    lines = (line for line in text.splitlines() if line.endswith(":") and not line.startswith("#"))
    return [line[:-1].replace("\\ ", " ") for line in lines]


def _script_inputs(output: Path, package: Path) -> Iterator[Path]:
    """Yield what a build script asks to be run again for; where it says nothing, that is its package."""
    named = [
        match[1] for line in output.read_text(errors="replace").splitlines() if (match := _INPUT.match(line))
    ]
    for path in [package / name for name in named] or [package]:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = [n for n in folders if not n.startswith(".") and not _is_target(Path(folder, n))]
            yield from (Path(folder, name) for name in names)


def _is_target(folder: Path) -> bool:
    return (folder / "CACHEDIR.TAG").exists() or (folder / ".rustc_info.json").exists()


def _is_hidden_change(path: Path, state: list[Any], built: int) -> bool:
    signature = _signature(path)
    if signature is None or signature == state[0] or signature[0] > built:
        return False  # cargo sees that a file is gone, or newer
    return bool(_digest(path) != state[1])


def _signature(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns]


def _modified(path: Path) -> int | None:
    signature = _signature(path)
    return None if signature is None else signature[0]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError:
        return ""


def _outputs(info: Path) -> list[Path]:
    """Return the files without which cargo runs a unit again."""
    if info.suffix != ".d":
        return [info]
    names = {info.stem, f"lib{info.stem}"}  # a crate's own name may begin with lib
    return [path for path in info.parent.iterdir() if path.name.partition(".")[0] in names and path != info]
