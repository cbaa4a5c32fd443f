"""The reports of a coverage run for other programs: LCOV and Cobertura.

All are made from the profiles of the run that was judged; no test runs a second time for them.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say
from rustvmm_sessions.coverage.changed import real_path
from rustvmm_sessions.coverage.history import badge
from rustvmm_sessions.coverage.site import check_folder
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.git.git import Git

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.coverage.measurement import Lines
    from rustvmm_sessions.coverage.reporters import Reporter
    from rustvmm_sessions.coverage.request import CoverageRequest
    from rustvmm_sessions.rust.cargo import Cargo

INSTALL = "install the extra with it: `pip install 'rustvmm-sessions[tools]'`"


def lcov(request: CoverageRequest, reporter: Reporter, cargo: Cargo) -> str:
    """Return the LCOV tracefile where `request` asks for what is made of it."""
    if request.lcov is None and request.cobertura is None and request.html is None:
        return ""
    return with_real_paths(reporter.lcov(), cargo.workspace.roots)


def check(request: CoverageRequest) -> None:
    """Refuse reports that could not be made in the end.

    Raises:
        UserError: One has no place, or a library that makes it is missing.
    """
    if request.cobertura is not None:
        _need("lcov_cobertura")
    if request.html not in (None, Path()):
        check_folder(request.html)
    files.check_reports(
        {f"--{name}": getattr(request, name) for name in ("lcov", "cobertura", "json", "badge")}
    )


def write_lines(request: CoverageRequest, lcov: str, measured: Lines, cargo: Cargo) -> None:
    """Write the reports that are made of `lcov`, and the badge.

    Raises:
        UserError: A report cannot be written, or a library that makes it is missing.
    """
    workspace = cargo.workspace
    if request.badge is not None:
        _write(request.badge, badge(measured.percent), "Badge")
    if request.lcov is not None:
        _write(request.lcov, lcov, "LCOV report")
    if request.cobertura is not None:
        top = Git(directory=workspace.root).top or workspace.root
        _write(request.cobertura, cobertura(lcov, top), "Cobertura report")


def with_real_paths(lcov: str, roots: Sequence[Path]) -> str:
    """Return an LCOV tracefile with the paths of files, where rustc was told to give them others."""
    return re.sub(
        r"^SF:(.*)$", lambda match: f"SF:{real_path(Path(match[1]), roots)}", lcov, flags=re.MULTILINE
    )


def cobertura(lcov: str, root: Path) -> str:
    """Convert an LCOV tracefile to Cobertura XML with paths relative to `root`."""
    from lcov_cobertura import LcovCobertura  # noqa: PLC0415 - an optional dependency

    xml: str = LcovCobertura(lcov, base_dir=str(root)).convert()
    return xml


def _need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise UserError(f"the Python package {module} is missing", where=sys.executable, fix=INSTALL)


def _write(path: Path, text: str, what: str) -> None:
    files.write_report(path, text)
    say(f"{what}: {path}")
