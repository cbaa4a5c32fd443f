# /// script
# dependencies = ["nox"]
# ///
"""The project's own sessions: `nox -s tests` runs everything, `nox -s lint` is part of it."""

from __future__ import annotations

import os
from pathlib import Path

import nox

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rustvmm-sessions"

nox.options.envdir = str(CACHE / "nox")
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]


def install(session: nox.Session, *groups: str) -> None:
    """Install the project with the tools it drives and the given dependency groups."""
    pyproject = nox.project.load_toml("pyproject.toml")
    session.install("--quiet", "--editable", ".[tools]", *nox.project.dependency_groups(pyproject, *groups))


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, provide what is missing, and run all tests; arguments go to pytest instead of the folders."""
    install(session, "test", "lint", "docs")
    check(session)
    session.run("bash", ".ci/provision", external=True)
    os.environ.setdefault("CARGO_TERM_PROGRESS_WHEN", "never")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    # Podman has one state for all storages of a user: these run by themselves.
    podman = "tests/integration/container"
    session.run("pytest", podman)
    folders = ("tests/unit", "tests/integration", "tests/field")
    session.run("pytest", "-n2", "--dist=loadfile", f"--ignore={podman}", *folders)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    install(session, "test", "lint")
    check(session)


def check(session: nox.Session) -> None:
    """Run the linters, the type checker and the spelling checker."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", f"--cache-dir={CACHE / 'mypy'}")
    session.run("codespell")
    session.run("lint-imports", f"--cache-dir={CACHE / 'import-linter'}")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in site/; `-- serve` shows it, `-- picture` draws the README's picture anew."""
    install(session, "docs")
    if session.posargs == ["picture"]:
        session.run("python", "docs/picture.py")
        return
    session.run("mkdocs", *(session.posargs or ["build", "--strict"]))


@nox.session
def zipapp(session: nox.Session) -> None:
    """Build rustvmm-sessions.pyz; after `--`, its name."""
    install(session)
    session.run("rustvmm-sessions", "zipapp", *(f"--output={name}" for name in session.posargs))


@nox.session
def vendor(session: nox.Session) -> None:
    """Renew vendor/nox.zip, by which ./nox runs where nothing is installed."""
    install(session)
    write = "Path('vendor/nox.zip').write_bytes(zipapp.dependencies())"
    session.run("python", "-c", f"from pathlib import Path; from rustvmm_sessions import zipapp; {write}")


@nox.session
def speed(session: nox.Session) -> None:
    """Time coverage; or `-- gate`, `members`, `bench`, `bench-{simulation,layout}`, `shares`, `limits`."""
    install(session, "test")
    if session.posargs[:1] == ["limits"]:
        session.run("pytest", "tests/perf", *session.posargs[1:])
        return
    known = ("bench", "bench-layout", "bench-simulation", "coverage", "gate", "members", "shares")
    named = session.posargs[:1] and session.posargs[0] in known
    what, *rest = session.posargs if named else ["coverage", *session.posargs]
    session.run("python", "-m", f"tests.perf.{what.replace('-', '_')}", *rest)


@nox.session
def differential(session: nox.Session) -> None:
    """Hold sessions against cargo on generated workspaces: `-- --minutes N [--seed S]`, and `--help`."""
    install(session, "test")
    session.run("python", "-m", "tests.differential", *session.posargs)


if __name__ == "__main__":
    nox.main()
