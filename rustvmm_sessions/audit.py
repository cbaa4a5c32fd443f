"""Look for dependencies with known vulnerabilities, by cargo-audit."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say, warn
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.process import Finished, run
from rustvmm_sessions.results import Finding, Report
from rustvmm_sessions.rust.cargo import Cargo, own_folder
from rustvmm_sessions.rust.lockfile import lockfile_kept
from rustvmm_sessions.rust.tools import SETUP, find_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rustvmm_sessions.invocation import Invocation, Parser
    from rustvmm_sessions.settings import Excused

DATABASE_VARIABLE = "RUSTVMM_ADVISORY_DB"
"""Names a local copy of the advisory database, for machines that cannot fetch it."""


@dataclass(frozen=True, kw_only=True)
class AuditRequest:
    """What an audit is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory.
        ignored: Advisories to ignore until a date.
        database: A local advisory database, used as it is; None to fetch RustSec's.
        today: The day that decides which of `ignored` still hold.
        deadline: When the session's time is up.
        report: What it finds goes there.
    """

    cargo: Cargo
    ignored: tuple[Excused, ...] = ()
    database: Path | None = None
    today: dt.date
    deadline: Deadline = field(default_factory=Deadline)
    report: Report = field(default_factory=Report)


def audit(request: AuditRequest) -> None:
    """Run cargo-audit with warnings denied; a crate that commits no Cargo.lock is left without one.

    Raises:
        CheckFailed: A dependency is vulnerable, unmaintained, unsound or yanked.
        UserError: cargo-audit or the advisory database is not to be had.
    """
    cargo = request.cargo
    tool = find_program("cargo-audit", "CARGO_AUDIT")
    if tool is None:
        raise UserError("cargo-audit is missing", where="PATH and the Python packages", fix=SETUP)
    args = [str(tool), "audit", "--quiet", "--deny=warnings"]
    for entry in request.ignored:
        if request.today > entry.until:
            warn(f"{entry.name} is no longer ignored since {entry.until} ({entry.reason})")
        else:
            say(f"{entry.name} is ignored until {entry.until}: {entry.reason}")
            args.append(f"--ignore={entry.name}")
    if request.database is not None:
        args += [f"--db={request.database}", "--no-fetch"]
    own = own_folder(cargo.workspace, "rustvmm-sessions")
    has_lockfile = (cargo.workspace.root / "Cargo.lock").exists()
    with lockfile_kept(cargo.workspace, own):
        if not has_lockfile:  # what is audited is what a build of today takes, not what one took before
            cargo.run("generate-lockfile", deadline=request.deadline).check()
        done = _audit(request, args)
        if not done.ok and not done.timed_out:
            _report(request, [*args, *(() if "--no-fetch" in args else ("--no-fetch",))])
    if done.timed_out:
        raise CheckFailed(f"cargo-audit was {done.ending}", output=done.output)
    if not done.ok:
        found = re.search(r"^error: (\d+ .*found)!", done.stderr, re.MULTILINE)
        raise CheckFailed(
            f"cargo-audit: {found[1]}; update the dependency, or list the advisory in "
            "register(audit_ignore=...) with a reason and a last day"
            if found
            else f"cargo-audit failed: {done.ending}; see what it says above",
            output=done.output,
        )


def _report(request: AuditRequest, args: Sequence[str]) -> None:
    """Report what cargo-audit has found, by its JSON."""
    cargo = request.cargo
    done = run(
        [*args, "--json"],
        cwd=cargo.workspace.root,
        env=cargo.env,
        deadline=request.deadline,
        read_stdout=True,
        read_stderr=True,
        echo=False,
    )
    lock = cargo.workspace.root / "Cargo.lock"
    committed = Git(directory=cargo.workspace.root).line("ls-files", "--", "Cargo.lock")
    for finding in findings(done.stdout, files.read_text(lock, most_bytes=1 << 26) or ""):
        file = request.report.file(lock) if committed else None
        request.report.found(replace(finding, file=file, line=finding.line if file else None))


def findings(text: str, lock: str) -> list[Finding]:
    """Return what cargo-audit says in its JSON; the line of each is that of the package in Cargo.lock."""
    try:
        said = json.loads(text)
    except ValueError:
        return []  # it could not read the database, and says so
    warnings = (each for kind in said.get("warnings", {}).values() for each in kind)
    found = []
    for each in (*said.get("vulnerabilities", {}).get("list", ()), *warnings):
        package, advisory = each["package"], each.get("advisory") or {}
        named = f"{package['name']} {package['version']}"
        patched = ", ".join((each.get("versions") or {}).get("patched", ()))
        entry = f'name = "{package["name"]}"\nversion = "{package["version"]}"\n'
        what = f"{advisory['id']}: {advisory['title']}" if advisory else each.get("kind", "")
        told = [f"https://rustsec.org/advisories/{advisory['id']}"] if advisory else []
        told += [f"fixed in {patched}"] if patched else []
        found.append(
            Finding(
                kind="advisory",
                title=f"{named}: {what}",
                message="\n".join(told),
                line=lock.count("\n", 0, lock.find(entry)) + 1 if entry in lock else None,
            )
        )
    return found


def _audit(request: AuditRequest, args: Sequence[str]) -> Finished:
    """Run cargo-audit; where it cannot read its cache of the database, once more without the cache."""
    done = _run(request, args)
    if not _without_database(done):
        return done
    if request.database is not None:
        raise _no_database(
            done, str(request.database), "name a folder that holds `crates/` as RustSec's does"
        )
    cache = request.cargo.home / "advisory-db"
    if cache.exists() and os.access(cache.parent, os.W_OK):
        say(f"the cache of the advisory database cannot be used; fetching it anew into {cache}")
        done = _run_without(cache, request, args)
    if _without_database(done):
        raise _no_database(
            done,
            str(cache),
            f"check the network, or name a local copy: --db DIR, or the variable {DATABASE_VARIABLE}",
        )
    return done


def _run_without(cache: Path, request: AuditRequest, args: Sequence[str]) -> Finished:
    """Run cargo-audit with the cache moved aside; it comes back where no new one could be fetched."""
    aside = cache.with_name(f"{cache.name}.{os.getpid()}")
    cache.rename(aside)
    fetched = False
    try:
        done = _run(request, args)
        fetched = not _without_database(done) and cache.is_dir()
    finally:
        shutil.rmtree(aside if fetched else cache, ignore_errors=True)
        if not fetched:
            aside.rename(cache)
    return done


def _without_database(done: Finished) -> bool:
    return not done.ok and re.search(r"^error: .*advisory database", done.stderr, re.MULTILINE) is not None


def _run(request: AuditRequest, args: Sequence[str]) -> Finished:
    cargo = request.cargo
    return run(args, cwd=cargo.workspace.root, env=cargo.env, deadline=request.deadline)


def _no_database(done: Finished, where: str, fix: str) -> UserError:
    why = next((line for line in done.stderr.splitlines() if line.startswith("error:")), done.ending)
    return UserError(
        f"the advisory database cannot be read: {why.removeprefix('error: ')}", where=where, fix=fix
    )


def add_options(parser: Parser) -> None:
    """Add the options of the session."""
    parser.add_argument(
        "--db", type=Path, metavar="DIR", help="a local advisory database; nothing is fetched"
    )


def run_audit(invocation: Invocation) -> None:
    """Look for vulnerable dependencies, by the option's database or the variable's."""
    named = os.environ.get(DATABASE_VARIABLE)
    audit(
        AuditRequest(
            cargo=invocation.cargo,
            ignored=invocation.crate.audit_ignore,
            database=invocation.path("db") or (invocation.called_from / named if named else None),
            today=dt.datetime.now(tz=dt.UTC).date(),
            deadline=invocation.deadline,
            report=invocation.report,
        )
    )
