"""What our coverage session counts, and what cargo-llvm-cov does when it is called directly."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.tools import find_cargo_llvm_cov, need_llvm_tools
from tests.crates import CrateBuilder, run

if TYPE_CHECKING:
    from collections.abc import Sequence

Counts = dict[str, tuple[int, int]]
Variables = dict[str, str | None]

BACKENDS = ("cargo", "cargo-llvm-cov")


def measure(crate: CrateBuilder, *options: str, env: Variables | None = None) -> Counts:
    """Return what our coverage session counts, as {path: (covered, count)}."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "out.json")
        outcome = crate.coverage(*options, f"--json={report}", env=env)
        content = json.loads(report.read_text())
    assert content["lines"], outcome.text
    counts = {file["path"]: (file["covered"], file["count"]) for file in content["files"]}
    assert content["lines"]["covered"] == sum(covered for covered, _ in counts.values())
    assert content["lines"]["count"] == sum(count for _, count in counts.values())
    return counts


def directly(
    crate: CrateBuilder, *options: str, env: Variables | None = None, sets: Sequence[str] = ()
) -> Counts:
    """Return what ``cargo llvm-cov test`` counts in a target directory of its own.

    With `sets`, each of them features, that is ``--no-report`` for each of them, and one ``report``.
    """
    tool, llvm = find_cargo_llvm_cov(), need_llvm_tools(Cargo(directory=crate.directory))
    assert tool is not None
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "out.json")
        last = ["--json", "--skip-functions", f"--output-path={report}"]
        calls = [["test", "--no-report", *options, f"--features={features}"] for features in sets]
        calls.append(["report", *options, *last] if sets else ["test", *options, *last])
        for words in calls:
            outcome = run(
                [str(tool.path), "llvm-cov", *words],
                cwd=crate.directory,
                env={
                    "CARGO_TARGET_DIR": str(Path(place, "target")),
                    "LLVM_COV": str(llvm.cov),
                    "LLVM_PROFDATA": str(llvm.profdata),
                    **(env or {}),
                },
            )
            assert outcome.code == 0, outcome.text
        files = json.loads(report.read_text())["data"][0]["files"]
    root = Cargo(directory=crate.directory).workspace.root
    lines = {file["filename"]: file["summary"]["lines"] for file in files}
    return {
        (Path(name).relative_to(root) if Path(name).is_relative_to(root) else Path(name)).as_posix(): (
            counted["covered"],
            counted["count"],
        )
        for name, counted in lines.items()
    }


def both(crate: CrateBuilder, *options: str, env: Variables | None = None) -> Counts:
    """Return what both backends count, which is the same."""
    by_cargo, by_tool = (measure(crate, *options, f"--backend={name}", env=env) for name in BACKENDS)
    assert by_cargo == by_tool
    return by_cargo


def parse_xml(text: bytes) -> list[tuple[str, dict[str, str]]]:
    """Return every element with its attributes; raise an error where the XML is not well-formed."""
    elements: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, attributes: elements.append((tag, attributes))
    parser.Parse(text, True)
    return elements
