"""Compare the benchmarks of the work tree with those of upstream, and say which changes are real."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog, files
from rustvmm_sessions.bench import builds as bench_builds
from rustvmm_sessions.bench import critcmp, criterion, document, host, page, summary, table, words
from rustvmm_sessions.bench import pairs as bench_runs
from rustvmm_sessions.bench.builds import Build, Executable
from rustvmm_sessions.bench.model import (
    SESSION,
    BenchReport,
    BenchVerdict,
    Comparison,
    Revision,
    TimeUp,
    with_option,
)
from rustvmm_sessions.bench.pairs import Harness, Machine, Unit
from rustvmm_sessions.bench.statistics import hear_witness, overall
from rustvmm_sessions.console import say, task, warn
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git import upstream, worktree
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.process import command_line
from rustvmm_sessions.results import Finding, Report
from rustvmm_sessions.rust.cargo import own_folder
from rustvmm_sessions.rust.choice import Choice, choose
from rustvmm_sessions.rust.tools import find_program
from rustvmm_sessions.settings import BenchRules, expression
from rustvmm_sessions.wording import counted, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rustvmm_sessions.bench.model import Host
    from rustvmm_sessions.rust.cargo import Cargo


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What is done with a report beside showing it.

    Attributes:
        json: A file for programs; None for none, as with the others.
        html: A page for people.
        critcmp: A folder that critcmp reads.
        strict: Whether an inconclusive run fails.
        report_only: Whether no verdict fails.
    """

    json: Path | None = None
    html: Path | None = None
    critcmp: Path | None = None
    strict: bool = False
    report_only: bool = False


@dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """What a comparison is asked to do.

    Attributes:
        cargo: Cargo in the crate's directory.
        choice: Which members' benchmarks are meant; without one, the workspace's default members.
        features: Those to build with beside the default ones; None for as many as may go together.
        base: The reference whose merge base with HEAD is compared with; empty for upstream.
        filter: A regular expression that is found in the ids of the benchmarks meant.
        rules: What the crate asks of its benchmarks.
        threshold: The slow-down in percent that passes; None for that of the rules.
        deadline: When the session's time is up.
        witness: Whether instructions are counted where valgrind is there.
        delivery: What is done with the report.
        command: The command line that asks for it, without options.
        report: What it finds goes there.
    """

    cargo: Cargo
    choice: Choice = field(default_factory=Choice)
    features: str | None = None
    base: str = ""
    filter: str = ""
    rules: BenchRules = field(default_factory=BenchRules)
    threshold: float | None = None
    deadline: Deadline = field(default_factory=Deadline)
    witness: bool = True
    delivery: Delivery = field(default_factory=Delivery)
    command: str = SESSION
    report: Report = field(default_factory=Report)

    @property
    def limit(self) -> float:
        """The slow-down in percent that passes."""
        return self.rules.threshold if self.threshold is None else self.threshold

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command line that ask for this comparison."""
        threshold = None if self.threshold is None else f"{self.threshold:g}"
        witness = None if self.witness else "off"
        given = (
            ("--base", self.base or None),
            *(("--package", name) for name in self.choice.packages),
            *(("--exclude", name) for name in self.choice.without),
            ("--changed", self.choice.changed),
            ("--features", self.features),
            ("--filter", self.filter or None),
            ("--threshold", threshold),
            ("--witness", witness),
        )
        return tuple(f"{name}={value}" for name, value in given if value is not None)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A comparison that is known to be possible, before anything is built.

    Attributes:
        request: What it is asked to do.
        wanted: The ids of the benchmarks meant.
        git: Git in the crate's directory.
        top: The directory of the user's work tree.
        base: What is compared with.
        head: The work tree.
    """

    request: BenchRequest
    wanted: re.Pattern[str]
    git: Git
    top: Path
    base: Revision
    head: Revision

    @contextlib.contextmanager
    def alone(self, path: Path, doing: str) -> Iterator[None]:
        """Hold the lock of `path`, for which other runs are waited for as long as there is time."""
        waiting = f"Another run {doing}; waiting for it."
        with files.locked(path, on_wait=lambda: say(waiting), timeout=self.request.deadline.left):
            yield

    def wants(self, prefix: str, title: str) -> bool:
        """Whether the benchmark of a title is meant; of one that is cut off that is not known yet."""
        return criterion.is_cut(title) or bool(self.wanted.search(prefix + title))

    def nothing(self, verdict: BenchVerdict, reason: str) -> BenchReport:
        """Return the report of a run that measured nothing."""
        return BenchReport(
            base=self.base,
            head=self.head,
            threshold=self.request.limit,
            options=self.request.options,
            command=self.request.command,
            verdict=verdict,
            reason=reason,
        )


@dataclass(frozen=True, kw_only=True)
class _Built:
    """The benchmarks of both sides, built."""

    base: tuple[Executable, ...]
    head: tuple[Executable, ...]

    def prefix(self, executable: Executable) -> str:
        """Return what goes before the ids of a package where several have benchmarks."""
        several = len({e.package for e in (*self.base, *self.head)}) > 1
        return f"{executable.package}/" if several else ""

    @property
    def harnesses(self) -> list[Harness]:
        """The packages that have benchmarks on both sides."""
        bases = {executable.package: executable for executable in self.base}
        return [
            Harness(base=bases[head.package], head=head, prefix=self.prefix(head))
            for head in self.head
            if head.package in bases
        ]

    def ids_alone(self, side: tuple[Executable, ...], started: _Run) -> list[str]:
        """Return the ids of `side` in packages that have benchmarks only there."""
        both = {harness.head.package for harness in self.harnesses}
        return [
            self.prefix(executable) + title
            for executable in side
            if executable.package not in both
            for title in bench_runs.list_titles(executable, started.request.deadline)
            if started.wants(self.prefix(executable), title)
        ]


def check_benchmarks(request: BenchRequest) -> None:
    """Compare benchmarks with upstream, and report.

    Raises:
        CheckFailed: A benchmark got slower, or does not run; with `Delivery.strict` also where that
            cannot be said.
        UserError: The base cannot be had, or an option is wrong.
    """
    files.check_reports({"--json": request.delivery.json, "--html": request.delivery.html})
    started = _start(request)
    if request.delivery.critcmp is not None:
        files.own_directory(request.delivery.critcmp)  # an error now, not after minutes of measuring
    if started.base.commit == started.head.commit and not started.head.dirty:
        reason = "the work tree is clean, and HEAD is the base"
        deliver(started.nothing(BenchVerdict.IDENTICAL, reason), request.delivery, request.report)
        return
    own = own_folder(request.cargo.workspace, "rustvmm-bench")
    with started.alone(own, "compares benchmarks here"):
        try:
            report = _compare(started, own, worktree.own_place(started.top))
        except TimeUp as up:
            report = started.nothing(BenchVerdict.INCONCLUSIVE, str(up))
    deliver(report, request.delivery, request.report)


def analyse(file: Path, threshold: float | None, delivery: Delivery) -> None:
    """Judge the figures of an earlier run's JSON file anew.

    Args:
        file: What ``--json`` wrote.
        threshold: The slow-down in percent that still passes; None for that of the run.
        delivery: What is done with the report.

    Raises:
        CheckFailed: A benchmark got slower.
        UserError: It is no such file.
    """
    text = files.read_text(file, most_bytes=_MOST_JSON)
    if text is None:
        raise UserError("there is no such file", where=str(file), fix="name one that --json wrote")
    report = document.analyse(document.from_json(text, str(file)), threshold)
    if threshold is not None:
        report = replace(report, options=with_option(report.options, f"--threshold={threshold:g}"))
    deliver(report, delivery, Report())


def deliver(report: BenchReport, delivery: Delivery, found: Report) -> None:
    """Show a report, write it where it is wanted, and fail where its verdict does.

    Args:
        report: It.
        delivery: Where it is wanted.
        found: Where its findings go.

    Raises:
        CheckFailed: It does.
    """
    for line in table.lines(report):
        say(line)
    found.figures["benchmarks"] = words.headline(report)
    for finding in findings(report, fails=not delivery.report_only, strict=delivery.strict):
        found.found(finding)
    if delivery.json is not None:
        files.write_report(delivery.json, json.dumps(document.to_json(report), indent=1) + "\n")
    if delivery.html is not None:
        files.write_report(delivery.html, page.page(report))
        say(f"HTML report: {delivery.html}")
    if delivery.critcmp is not None:
        _write_baselines(report, delivery.critcmp)
    summary.tell(report, found)
    if delivery.report_only:
        return
    if report.verdict is BenchVerdict.INCONCLUSIVE and not report.benchmarks:
        raise CheckFailed(
            f"nothing was measured: {report.reason}; run it again, builds are kept, or {bench_runs.MORE_TIME}"
        )
    slower = [c.id for c in report.benchmarks if c.judgement.verdict is BenchVerdict.REGRESSION]
    if slower:
        raise CheckFailed(
            f"slower than the base by more than {report.threshold:g} %: {', '.join(slower)}",
            fix="see the table; `--threshold PERCENT` accepts more",
        )
    if delivery.strict and report.verdict is BenchVerdict.INCONCLUSIVE:
        raise CheckFailed(
            "it cannot be said whether benchmarks got slower, and --strict asks for that",
            fix="run it on a quieter machine, or give it more time",
        )


def _write_baselines(report: BenchReport, directory: Path) -> None:
    folder = files.own_directory(directory)
    for name, text in critcmp.baselines(report).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_report(file, text)
    command = ("critcmp", "--target-dir", str(directory), "base", "head")
    say(f"Baselines: {command_line(command)}")


def findings(report: BenchReport, *, fails: bool, strict: bool) -> Iterator[Finding]:
    """Yield the benchmarks that got slower, or may have; an error is what the verdict fails for."""
    for comparison in words.ranked(report):
        judgement = comparison.judgement
        slower = judgement.verdict is BenchVerdict.REGRESSION
        if slower or (strict and judgement.verdict is BenchVerdict.INCONCLUSIVE):
            base, head = map(words.duration, comparison.medians)
            yield Finding(
                kind="bench",
                title=f"{one_line(comparison.id)}: {words.VERDICTS[judgement.verdict]}, "
                f"{words.change(judgement)}",
                level="error" if fails else "warning",
                message=f"{words.interval(judgement)}, {base} -> {head}, "
                f"{counted(len(comparison.pairs), 'pair')}",
            )


def _start(request: BenchRequest) -> _Run:
    wanted = expression(request.filter, "--filter")
    git = Git(directory=request.cargo.directory)
    base = upstream.find_base(git, request.base, fetch=True, option="--base")
    return _Run(
        request=request,
        wanted=wanted,
        git=git,
        top=git.work_tree(),
        base=Revision(ref=base.name, commit=base.commit),
        head=Revision(commit=git.commit("HEAD") or "", dirty=bool(git.line("status", "--porcelain"))),
    )


def _compare(started: _Run, own: Path, place: Path) -> BenchReport:
    request = started.request
    facts = host.examine()  # before building makes the machine busy
    say(f"Base: {started.base.commit[:12]}, the merge base with {started.base.ref}.")
    worktree.check_out(started.git, started.base.commit, place / "base")
    here = request.cargo.directory.resolve()
    _bring(request.rules.files, here, there := place / "base" / here.relative_to(started.top.resolve()))
    packages = choose(request.cargo, request.choice)
    if not (there / "Cargo.toml").is_file():
        return started.nothing(BenchVerdict.NOTHING, "the base has no crate in this directory")
    targets = {"HEAD": own / "build", "base": place / "build"}
    # The target directories come last: they may lie in the others, and the last that matches counts.
    remap = (
        *((folder, "/crate") for folder in (started.top.resolve(), place / "base")),
        *((folder, "/target") for folder in targets.values()),
    )
    head = Build(
        name="HEAD",
        cargo=request.cargo,
        target=targets["HEAD"],
        packages=packages,
        remap=remap,
        deadline=request.deadline,
    )
    base = replace(
        head,
        name="base",
        cargo=replace(request.cargo, directory=there),
        target=targets["base"],
        config=bench_builds.foreign_configuration(request.cargo, place / "base"),
    )
    reason = _why_nothing(base, head)
    if reason:
        return started.nothing(BenchVerdict.NOTHING, reason)
    bench_builds.warn_of_toolchains(base.cargo, head.cargo)
    of_base, of_head = bench_builds.build_both(base, head, own, request.features)
    if not of_base:
        return started.nothing(BenchVerdict.NOTHING, "the benchmarks of the base are not criterion's")
    built = _Built(base=of_base, head=of_head)
    scratch = bench_builds.empty(place / "scratch")
    changed = [h for h in built.harnesses if not bench_builds.same_program(h.base.path, h.head.path, scratch)]
    if not changed:
        reason = "both builds give the same program"
        return started.nothing(BenchVerdict.IDENTICAL, reason)
    with started.alone(files.cache_directory() / "bench", "measures"):
        for doubt in facts.doubts:
            warn(doubt)
        machine = Machine(scratch=scratch, processor=facts.processor, deadline=request.deadline)
        report = _measure(started, changed, machine, facts)
    return replace(
        report,
        only_in_base=(*report.only_in_base, *built.ids_alone(built.base, started)),
        only_in_head=(*report.only_in_head, *built.ids_alone(built.head, started)),
    )


def _bring(patterns: Sequence[str], here: Path, there: Path) -> None:
    """Copy what matches in the crate's folder to the base's, but for files that the base has itself."""

    def copy(source: str, target: str) -> None:
        if not os.path.lexists(target):
            shutil.copy2(source, target)

    for pattern in patterns:
        found = sorted(path for path in here.glob(pattern) if path.exists())
        if not found:
            warn(f"register(bench=...), files: nothing here matches {pattern!r}")
        for path in found:
            target = there / path.relative_to(here)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if path.is_dir():
                    shutil.copytree(path, target, copy_function=copy, dirs_exist_ok=True)
                else:
                    copy(str(path), str(target))
            except OSError as error:
                raise UserError(
                    f"it cannot be copied to the base: {error}", where=str(path), fix="correct what it says"
                ) from error


def _why_nothing(base: Build, head: Build) -> str:
    """Return why there is nothing to compare, before anything is built; empty where there is."""
    if head.packages == ():
        return "no member is to be compared"
    of_head, of_base = head.harnesses, {member.name for member in base.cargo.workspace.members}
    if head.packages and not of_base.intersection(head.packages):
        return f"the base has no package {', '.join(head.packages)}"
    if not set(of_head) & set(base.harnesses):
        which, side = ("HEAD", head) if not of_head else ("the base", base)
        others = f", only {', '.join(side.others)}" if side.others else ""
        return f'{which} has no benchmarks: no target `[[bench]] name = "{catalog.HARNESS}"`{others}'
    return ""


def _measure(started: _Run, harnesses: Sequence[Harness], machine: Machine, facts: Host) -> BenchReport:
    request = started.request
    units: list[Unit] = []
    gone: list[str] = []
    new: list[str] = []
    for harness in harnesses:
        of_base, of_head = (
            [
                title
                for title in bench_runs.list_titles(side, machine.deadline)
                if started.wants(harness.prefix, title)
            ]
            for side in (harness.base, harness.head)
        )
        gone += [harness.prefix + title for title in of_base if title not in of_head]
        new += [harness.prefix + title for title in of_head if title not in of_base]
        patterns = criterion.patterns([title for title in of_head if title in of_base])
        for number, pattern in enumerate(patterns, 1):
            with task(share=f"{number}/{len(patterns)}", what="trying out how long each takes"):
                unit = bench_runs.try_out(harness, pattern, machine)
            ids = tuple(id_ for id_ in unit.ids if started.wanted.search(harness.prefix + id_))
            units += [replace(unit, ids=ids)] if ids else []
    if not units and not gone and not new:
        if request.filter:
            programs = [command_line([str(harness.head.path), *criterion.LIST]) for harness in harnesses]
            raise UserError(
                f"no benchmark matches --filter {request.filter!r}",
                fix=f"list the ids: `{'; '.join(programs)}`",
            )
        packages = ", ".join(harness.head.package for harness in harnesses)
        raise UserError("no benchmarks are listed", where=packages, fix=bench_builds.WITH_CRITERION)
    names = [unit.harness.prefix + id_ for unit in units for id_ in unit.ids]
    if units:
        _say_plan(units, bench_runs.plan(units, len(names), machine))
    compared: list[Comparison] = []
    for unit, comparison in bench_runs.compare_all(units, machine, request.limit):
        heard = _hear_witness(request, unit, comparison, machine)
        compared.append(heard)
        judgement = heard.judgement
        say(
            f"  {one_line(heard.id)}: {words.change(judgement)}, {words.interval(judgement)}: "
            f"{words.VERDICTS[judgement.verdict]} after {counted(len(heard.pairs), 'pair')}"
        )
    if units and not compared:
        raise TimeUp("the time was up before a pair was measured")
    measured = {comparison.id for comparison in compared}
    unmeasured = tuple(name for name in names if name not in measured)
    verdicts = [c.judgement.verdict for c in compared]
    return BenchReport(
        base=started.base,
        head=started.head,
        threshold=request.limit,
        options=request.options,
        command=request.command,
        verdict=overall(verdicts, complete=not unmeasured) if compared else BenchVerdict.NOTHING,
        host=facts,
        benchmarks=tuple(compared),
        only_in_base=tuple(gone),
        only_in_head=tuple(new),
        unmeasured=unmeasured,
        reason="" if compared else "no benchmark is on both sides",
    )


def _say_plan(units: Sequence[Unit], plans: Sequence[bench_runs.Plan]) -> None:
    """Say how long it takes, before it does."""
    first = sum(unit.seconds * planned.looks.pairs[0] for unit, planned in zip(units, plans, strict=True))
    last = sum(unit.seconds * planned.looks.pairs[-1] for unit, planned in zip(units, plans, strict=True))
    count = sum(len(unit.ids) for unit in units)
    times = " to ".join(dict.fromkeys((words.lasting(first), words.lasting(last))))
    say(f"Measuring {counted(count, 'benchmark')}: {times}.")
    missing = sum(unit.seconds * planned.pairs_missing for unit, planned in zip(units, plans, strict=True))
    if missing:
        warn(
            f"that is too short to prove a slow-down in each of them: it takes {words.lasting(missing)} more "
            "(--max-minutes), or fewer benchmarks (--filter)"
        )


def _hear_witness(request: BenchRequest, unit: Unit, comparison: Comparison, machine: Machine) -> Comparison:
    """Count instructions where the times prove a change that instructions could speak against."""
    if any(re.search(pattern, comparison.id) for pattern in request.rules.time_only):
        return replace(comparison, time_only=True)
    decided = comparison.judgement.verdict in (BenchVerdict.REGRESSION, BenchVerdict.IMPROVEMENT)
    valgrind = find_program("valgrind", "VALGRIND") if request.witness and decided else None
    if valgrind is None or len(unit.ids) > 1:
        _, note = hear_witness(comparison.judgement, None)
        return replace(comparison, note=note)
    return bench_runs.witness(unit, comparison, valgrind, machine)


_MOST_JSON = 1 << 28
