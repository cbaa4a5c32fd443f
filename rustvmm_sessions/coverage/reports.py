"""The reports of a coverage run: HTML, LCOV, Cobertura, and the coverage of changed lines.

All are made from the profiles of the run that was judged; no test runs a second time for them.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git import upstream
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.process import run
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from rustvmm_sessions.coverage.reporters import Reporter
    from rustvmm_sessions.coverage.request import CoverageRequest
    from rustvmm_sessions.rust.cargo import Cargo

INSTALL = "install the extra with it: `pip install 'rustvmm-sessions[tools]'`"


def write(request: CoverageRequest, reporter: Reporter, cargo: Cargo, own: Path) -> None:
    """Write the reports that `request` asks for.

    Raises:
        UserError: A report cannot be written, or a library that makes it is missing.
    """
    if request.html is not None:
        page = reporter.html(files.own_directory(request.html if request.html != Path() else own / "report"))
        say(f"HTML report: {page}")
    if request.lcov is None and request.cobertura is None and request.diff is None:
        return
    lcov = reporter.lcov()
    if request.lcov is not None:
        _write(request.lcov, lcov, "LCOV")
    if request.cobertura is not None:
        _write(request.cobertura, cobertura(lcov, cargo.workspace.root), "Cobertura")
    if request.diff is not None:
        _say_diff(request, lcov)


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


def _say_diff(request: CoverageRequest, lcov: str) -> None:
    """Print the coverage of the lines changed since the merge base, uncommitted and new files included."""
    base = _diff_base(request)
    since = f"since {base.commit[:12]} (merge base with {base.name})"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "lcov.info").write_text(lcov)
        (folder / "changes.diff").write_text(changes(Git(directory=request.directory), base.commit, folder))
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
            cwd=request.directory,
            deadline=request.deadline,
            read_stdout=True,
            echo=False,
        ).check()
        result = json.loads((folder / "out.json").read_text())
    total, missed = result["total_num_lines"], result["total_num_violations"]
    if not total:
        say(f"No line that can be covered was changed {since}.")
        return
    covered = f"{total - missed} of {counted(total, 'line')} covered"
    say(f"Changed {since}: {covered}.")
    for path, statistics in sorted(result["src_stats"].items()):
        for line in statistics["violation_lines"]:
            say(f"  {path}:{line}")


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
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--unified=0", "--relative")
    settings = ("-c", "diff.mnemonicPrefix=false", "-c", "diff.noprefix=false")
    return with_new.output(*settings, "diff", *options, base, "--", ".")


def _need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UserError(f"the Python package {module} is missing", where=sys.executable, fix=INSTALL)


def _write(path: Path, text: str, what: str) -> None:
    files.write_report(path, text)
    say(f"{what} report: {path}")
