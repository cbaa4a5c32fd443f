"""The reports of a coverage run: HTML, LCOV, Cobertura, and the coverage of changed lines.

All are made from the profiles of the run that was judged; no test runs a second time for them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say
from rustvmm_sessions.coverage.llvm_export import spans
from rustvmm_sessions.coverage.measurement import FileCoverage, Lines
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git import upstream
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.process import run
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.coverage.reporters import Reporter
    from rustvmm_sessions.coverage.request import CoverageRequest
    from rustvmm_sessions.rust.cargo import Cargo

INSTALL = "install the extra with it: `pip install 'rustvmm-sessions[tools]'`"


@dataclass(frozen=True, kw_only=True)
class ChangedLines:
    """The coverage of the lines changed since the merge base.

    Attributes:
        base: The merge base, a commit.
        files: The changed files that the report knows: path from the repository's top, lines, and ranges of
            those that are not covered.
        unknown: Changed sources of the workspace that it does not know.
    """

    base: str
    files: tuple[FileCoverage, ...]
    unknown: tuple[str, ...]

    @property
    def lines(self) -> Lines:
        """All files together."""
        return Lines(
            covered=sum(file.lines.covered for file in self.files),
            count=sum(file.lines.count for file in self.files),
        )


def write(request: CoverageRequest, reporter: Reporter, cargo: Cargo, own: Path) -> str:
    """Write the pages that `request` asks for; return the LCOV tracefile where it asks for what needs one."""
    if request.html is not None:
        page = reporter.html(files.own_directory(pages(request, own) / request.package))
        say(f"HTML report: {page}")
    if request.lcov is None and request.cobertura is None and request.diff is None:
        return ""
    return with_real_paths(reporter.lcov(), _roots(cargo))


def pages(request: CoverageRequest, own: Path) -> Path:
    """Return the folder of the HTML pages."""
    return own / "report" if request.html in (None, Path()) else request.html


def _roots(cargo: Cargo) -> list[Path]:
    return [cargo.workspace.root, *(member.directory for member in cargo.workspace.members)]


def write_lines(request: CoverageRequest, lcov: str, cargo: Cargo) -> ChangedLines | None:
    """Write the reports that are made of `lcov`; return the coverage of changed lines where it is asked for.

    Raises:
        UserError: A report cannot be written, or a library that makes it is missing.
    """
    workspace = cargo.workspace
    if request.lcov is not None:
        _write(request.lcov, lcov, "LCOV")
    if request.cobertura is not None:
        top = Git(directory=workspace.root).top or workspace.root
        _write(request.cobertura, cobertura(lcov, top), "Cobertura")
    if request.diff is None:
        return None
    base = _diff_base(request)
    changed = _changed_lines(request, lcov, base.commit, _roots(cargo))
    _say_changed(changed, request, f"since {base.commit[:12]} (merge base with {base.name})")
    return changed


def with_real_paths(lcov: str, roots: Sequence[Path]) -> str:
    """Return an LCOV tracefile with the paths of files, where rustc was told to give them others.

    Such a path ends as the file's does (``--remap-path-prefix``); the first of `roots` that has it counts.
    """

    def real(match: re.Match[str]) -> str:
        path = Path(match[1])
        if path.is_file():
            return match[0]
        ends = (path.parts[start:] for start in range(len(path.parts)))
        found = (root.joinpath(*end) for end in ends if end[0] != "/" for root in roots)
        return f"SF:{next((file for file in found if file.is_file()), path)}"

    return re.sub(r"^SF:(.*)$", real, lcov, flags=re.MULTILINE)


def check(request: CoverageRequest) -> None:
    """Refuse reports that could not be made in the end.

    Raises:
        UserError: A library is missing, or the changed lines cannot be told.
    """
    if request.cobertura is not None:
        _need("lcov_cobertura")
    if request.diff is not None:
        _need("diff_cover")
        _diff_base(request)


def cobertura(lcov: str, root: Path) -> str:
    """Convert an LCOV tracefile to Cobertura XML with paths relative to `root`."""
    from lcov_cobertura import LcovCobertura  # noqa: PLC0415 - an optional dependency

    xml: str = LcovCobertura(lcov, base_dir=str(root)).convert()
    return xml


def _changed_lines(request: CoverageRequest, lcov: str, base: str, roots: Sequence[Path]) -> ChangedLines:
    """Find the coverage of the lines changed since `base`, uncommitted and new files included."""
    git = Git(directory=request.directory)
    top = git.work_tree()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "lcov.info").write_text(lcov)
        diff = changes(Git(directory=top), base, folder)
        (folder / "changes.diff").write_text(diff)
        run(
            [
                sys.executable,
                "-m",
                "diff_cover.diff_cover_tool",
                str(folder / "lcov.info"),
                f"--diff-file={folder / 'changes.diff'}",
                f"--format=json:{folder / 'out.json'}",
                "--quiet",
            ],
            cwd=top,
            deadline=request.deadline,
            read_stdout=True,
            echo=False,
        ).check()
        result = json.loads((folder / "out.json").read_text())["src_stats"]
    known = {os.path.realpath(path) for path in re.findall(r"^SF:(.*)$", lcov, re.MULTILINE)}
    changed = [
        name for name in re.findall(r"^\+\+\+ b/(.*?)\t?$", diff, re.MULTILINE) if name.endswith(".rs")
    ]
    return ChangedLines(
        base=base,
        files=tuple(
            FileCoverage(
                path=path,
                lines=Lines(
                    covered=len(found["covered_lines"]),
                    count=len(found["covered_lines"]) + len(found["violation_lines"]),
                ),
                uncovered=spans(sorted(found["violation_lines"])),
            )
            for path, found in sorted(result.items())
        ),
        unknown=tuple(
            name
            for name in changed
            if os.path.realpath(top / name) not in known
            and any((top / name).is_relative_to(root.resolve()) for root in roots)
        ),
    )


def _say_changed(changed: ChangedLines, request: CoverageRequest, since: str) -> None:
    lines = changed.lines
    if lines.count:
        say(f"Changed {since}: {lines.covered} of {counted(lines.count, 'line')} covered.")
    elif not changed.unknown:
        say(f"No line that can be covered was changed {since}.")
    top = Git(directory=request.directory).work_tree()

    def shown(path: str) -> str:
        here = request.directory.resolve()
        return str((top / path).relative_to(here)) if (top / path).is_relative_to(here) else path

    for file in changed.files:
        for first, last in file.uncovered:
            for line in range(first, last + 1):
                say(f"  {shown(file.path)}:{line}")
    if changed.unknown:
        names = ", ".join(shown(path) for path in changed.unknown)
        say(f"Changed {since}, and not in the report, as tests and what is left out are not: {names}")


def _diff_base(request: CoverageRequest) -> upstream.Base:
    git = Git(directory=request.directory)
    return upstream.find_base(git, request.diff or "", fetch=False, option="--diff")


def changes(git: Git, base: str, scratch: Path) -> str:
    """Return the diff of the work tree against `base`: committed, staged, unstaged and new files.

    New files are entered into a copy of the index only; the repository's own stays as it is.
    """
    index = scratch / "index"
    own_index = git.line("rev-parse", "--path-format=absolute", "--git-path", "index")
    if own_index and Path(own_index).exists():
        shutil.copyfile(own_index, index)
    with_new = Git(directory=git.directory, env={"GIT_INDEX_FILE": str(index)})
    with_new.output("add", "--intent-to-add", "--", ".")
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--unified=0", "--no-relative")
    settings = ("core.quotePath=false", "diff.mnemonicPrefix=false", "diff.noprefix=false")
    return with_new.output(
        *(word for each in settings for word in ("-c", each)), "diff", *options, base, "--", "."
    )


def _need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UserError(f"the Python package {module} is missing", where=sys.executable, fix=INSTALL)


def _write(path: Path, text: str, what: str) -> None:
    files.write_report(path, text)
    say(f"{what} report: {path}")
