"""Each member of a workspace by its own tests, features, exclusions and record, as in its own folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustvmm_sessions import files
from rustvmm_sessions.console import print_error, say, task, terminal_columns
from rustvmm_sessions.coverage import changed, explain, findings, page, site
from rustvmm_sessions.coverage import reports as coverage_reports
from rustvmm_sessions.coverage.check import check_coverage, has_baseline, judge
from rustvmm_sessions.coverage.measurement import Scope, Verdict, summed
from rustvmm_sessions.coverage.outcome import Outcome, as_json
from rustvmm_sessions.coverage.ratchet import RECORD
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.rust.cargo import own_folder
from rustvmm_sessions.rust.choice import choose, named
from rustvmm_sessions.wording import columns, rounded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from rustvmm_sessions.coverage.changed import Changes
    from rustvmm_sessions.coverage.request import CoverageRequest
    from rustvmm_sessions.rust.cargo import Package
    from rustvmm_sessions.rust.choice import Choice
    from rustvmm_sessions.settings import FeatureSets

_WORST_FIRST = (Verdict.LOWER, Verdict.NONE, Verdict.HIGHER, Verdict.EQUAL)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A member, or the whole workspace, and what became of it.

    Attributes:
        request: What was asked; without a package it is the workspace.
        outcome: What is known of it.
        error: Why it failed; None where it passed.
    """

    request: CoverageRequest
    outcome: Outcome
    error: CheckFailed | UserError | None


def check_members(request: CoverageRequest, choice: Choice, sets: Mapping[str, FeatureSets]) -> None:
    """Measure and judge each member that is chosen, or the whole workspace where none stands for itself.

    A record or a configuration at the top, and a package there, mean the whole workspace, which is judged
    as well; with ``--package`` only where that package is named.

    Args:
        request: What is asked of the workspace, and of each member.
        choice: Which members.
        sets: The feature sets by member; that of the empty name is for all that say nothing else.

    Raises:
        CheckFailed: A member failed; the others were measured all the same.
        UserError: There is no such member, or a file, option or tool is not as it must be.
    """
    by_name = bool(choice.packages or choice.without)
    by_member = bool(choice.members or by_name or choice.excluded)
    if not by_member and any(sets.keys() - {""}):
        raise UserError(
            "members have features of their own, and are not judged by themselves",
            where="register(coverage_features=...)",
            fix='add members=True, or write a list such as [["xen"], ["postcopy"]]',
        )
    if by_member or choice.changed is not None:
        names = choose(request.cargo, choice)
        if names == ():
            _pass_without_members(request)
            return
    if not by_member:
        check_coverage(request)
        return
    workspace = request.cargo.workspace
    chosen = [m for m in workspace.members if names is None or m.name in names]
    top = workspace.current
    requests = [_request(request, member, sets) for member in chosen if member != top]
    whole = top in chosen if by_name else top is not None or has_baseline(request.directory)
    if whole and not requests:
        check_coverage(request)
        return
    if whole:
        requests.append(replace(request, together=True))
    _check(request, requests)


def _pass_without_members(request: CoverageRequest) -> None:
    say("Nothing to measure.")
    if request.json is not None:
        document = as_json(request, Outcome(passed=True))
        files.write_report(request.json, json.dumps(document, indent=1) + "\n")


def _request(request: CoverageRequest, member: Package, sets: Mapping[str, FeatureSets]) -> CoverageRequest:
    cargo = request.cargo
    packages = {package["id"]: package for package in cargo.metadata["packages"]}
    folders = {m.name: os.path.relpath(m.directory, cargo.workspace.root) for m in cargo.workspace.members}
    where = "register(coverage_features=...)"
    own = {name: given for word, given in sets.items() if word for name in named(folders, [word], where)}
    return replace(
        request,
        cargo=replace(cargo, directory=member.directory),
        scope=Scope.CRATE,
        feature_sets=feature_sets(own.get(member.name), sets.get("", ()), packages[member.id]["features"]),
        package=member.name,
        together=True,
        folder=Path(os.path.relpath(member.directory, request.directory)).as_posix(),
    )


def feature_sets(
    own: FeatureSets | None, of_all: FeatureSets, features: Collection[str]
) -> tuple[tuple[str, ...], ...]:
    """Return the feature sets of a member: its own, else those of all, as far as it has such features.

    It is as cargo does it in a workspace: a feature is for the members that have it.
    """
    if own is not None:
        return own
    known = tuple(dict.fromkeys(tuple(name for name in each if name in features) for each in of_all))
    return known if any(known) or () in of_all else ()


def _check(request: CoverageRequest, requests: Sequence[CoverageRequest]) -> None:
    coverage_reports.check(request)
    if len(requests) > 1:  # a table of files each would be long; theirs follows
        request, *requests = (replace(each, screen=None) for each in (request, *requests))
    judged: list[Judged] = []
    together = Outcome()
    try:
        changes = changed.look(request)
        for number, each in enumerate(requests, 1):
            with task(share=f"{number}/{len(requests)}"):
                judged.append(_judged(each, changes))
        if changes:
            measured = [each.outcome.measurement for each in judged if each.outcome.measurement]
            together.changed = changed.coverage_of(changes, measured, request.cargo.workspace.roots)
        _write_together(request, judged, together)
    finally:
        if request.json is not None:
            document = _document(request, judged, together, complete=len(judged) == len(requests))
            files.write_report(request.json, json.dumps(document, indent=1) + "\n")
    findings.tell_changed(request.report, together.changed, request.patch)
    lines = [
        *explain.changed(request, together.changed),
        *table(judged, terminal_columns()),
    ]
    say("")
    for line in lines:
        say(line)
    failed = [each for each in judged if each.error]
    what = []
    if failed:
        names = ", ".join(map(_name, failed))
        what.append(f"coverage of {names} failed; {len(judged) - len(failed)} of {len(judged)} passed")
    fixes = {_next(each) for each in failed}
    if short := explain.short(together.changed, request.patch):
        what.append(short)
        fixes.add(explain.remedy_of_changed())
    if what:
        raise CheckFailed(
            "; ".join(what), fix=fixes.pop() if len(fixes) == 1 else "", output="\n".join(lines)
        )


def _judged(request: CoverageRequest, changes: Changes | None) -> Judged:
    outcome = Outcome()
    say("")
    say(f"{request.package or 'the workspace'}:")
    try:
        judge(request, outcome, changes)
    except (CheckFailed, UserError) as error:
        print_error(error)
        return Judged(request=request, outcome=outcome, error=error)
    return Judged(request=request, outcome=outcome, error=None)


def _name(judged: Judged) -> str:
    return judged.request.package or "the workspace"


def table(judged: Sequence[Judged], most: int | None = None) -> list[str]:
    """Return the lines that say how each ended, of at most `most` columns."""
    rows = [("member", "measured", "recorded", "verdict", "what to do")]
    for each in judged:
        measurement, decision = each.outcome.measurement, each.outcome.decision
        verdict = str(decision.verdict) if decision else "failed"
        rows.append(
            (
                _name(each),
                str(measurement.lines) if measurement else "nothing",
                _recorded(each),
                "recorded" if each.outcome.wrote else verdict,
                _next(each),
            )
        )
    return columns(rows, most=most)


def _recorded(judged: Judged) -> str:
    recorded = judged.outcome.recorded
    if recorded is None:
        return "nothing"
    return str(recorded.lines or f"{rounded(recorded.percent, recorded.decimals or 2):f} %")


def _next(judged: Judged) -> str:
    """Return what to do about it, in one line."""
    package, error = judged.request.package, judged.error
    if judged.outcome.wrote:
        return f"git add {'/'.join(filter(None, (judged.request.folder, RECORD)))}"
    if error is None:
        return ""
    decision = judged.outcome.decision
    if decision is None:
        return error.fix or (error.what if isinstance(error, UserError) else str(error).splitlines()[0])
    return explain.remedy(decision, package) or explain.command("--html", package)


def _write_together(request: CoverageRequest, judged: Sequence[Judged], together: Outcome) -> None:
    """Write the reports that hold all members."""
    cargo = request.cargo
    members = [each.outcome for each in judged if each.request.package]
    measured = [outcome.measurement.lines for outcome in members if outcome.measurement]
    if measured:
        tracefile = "".join(outcome.lcov for outcome in members)
        coverage_reports.write_lines(request, tracefile, summed(measured), cargo)
    site.write(request, own_folder(cargo.workspace, "rustvmm-coverage"), _pages(request, judged, together))


def _pages(
    request: CoverageRequest, judged: Sequence[Judged], together: Outcome
) -> Iterator[tuple[str, str]]:
    """Yield the pages of all members, and the one that leads to them."""
    rows = []
    for each in judged:
        outcome = each.outcome
        member = f"members/{each.request.package}" if each.request.package else "workspace"
        index = ""
        for path, content in site.pages(
            each.request, outcome, "../" * (member.count("/") + 1) + "index.html"
        ):
            yield (index := f"{member}/{path}"), content
        rows.append(
            page.Row(
                name=_name(each),
                page=index,
                lines=outcome.measurement.lines if outcome.measurement else None,
                recorded=_recorded(each),
                verdict=outcome.decision.verdict if outcome.decision else None,
                passed=each.error is None,
                why=str(each.error).splitlines()[0] if each.error else "",
            )
        )
    said = explain.changed(request, together.changed)
    yield (
        "index.html",
        page.overview(request.cargo.workspace.root.name, site.revision(request.directory), rows, said),
    )


def _document(
    request: CoverageRequest, judged: Sequence[Judged], together: Outcome, *, complete: bool
) -> dict[str, Any]:
    """Return the outcome as JSON: that of the workspace, or as much as is true of all, with each member's."""
    whole = next((each.outcome for each in judged if not each.request.package), None)
    first = judged[0].outcome if judged else Outcome()
    base = whole or Outcome(toolchain=first.toolchain, backend=first.backend)
    base.changed = together.changed
    document = as_json(request, base)
    verdicts = [each.outcome.decision.verdict if each.outcome.decision else Verdict.NONE for each in judged]
    return {
        **document,
        "verdict": min(verdicts, key=_WORST_FIRST.index, default=Verdict.NONE),
        "passed": complete
        and all(each.error is None for each in judged)
        and not explain.short(together.changed, request.patch),
        "wrote": any(each.outcome.wrote for each in judged),
        **({} if whole else {"recorded": None}),
        "members": [
            {**as_json(each.request, each.outcome), "package": each.request.package}
            for each in judged
            if each.request.package
        ],
    }
