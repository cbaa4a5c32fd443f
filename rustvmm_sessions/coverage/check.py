"""The coverage check: measure, compare with the record, explain, and record what got better."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import files
from rustvmm_sessions.console import say, warn
from rustvmm_sessions.coverage import changed, explain, findings, llvm_export, ratchet, site
from rustvmm_sessions.coverage import reports as coverage_reports
from rustvmm_sessions.coverage.config import SCORE_TOLERANCE, CoverageConfig, parse_coverage_config
from rustvmm_sessions.coverage.exclusions import python_pattern
from rustvmm_sessions.coverage.instrumented import LEAVE_OUT, Instrumented, ProfiledTests, TestSelection
from rustvmm_sessions.coverage.measurement import (
    Backend,
    Decision,
    Lines,
    Measurement,
    Profile,
    Recorded,
    Scope,
    Spread,
    UnstableLine,
    Verdict,
)
from rustvmm_sessions.coverage.outcome import Outcome, as_json
from rustvmm_sessions.coverage.ratchet import RECORD
from rustvmm_sessions.coverage.reporters import (
    NO_LINE,
    CargoLlvmCovReporter,
    Counted,
    Damaged,
    LlvmReporter,
    Reporter,
    merge,
)
from rustvmm_sessions.coverage.table import table
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.git import upstream
from rustvmm_sessions.git.git import Git
from rustvmm_sessions.rust.cargo import Cargo, machine, own_folder
from rustvmm_sessions.rust.lockfile import lockfile_kept
from rustvmm_sessions.rust.tools import SETUP, find_cargo_llvm_cov, need_llvm_tools
from rustvmm_sessions.rust.turns import alone
from rustvmm_sessions.wording import rounded

if TYPE_CHECKING:
    from rustvmm_sessions.coverage.changed import Changes
    from rustvmm_sessions.coverage.request import CoverageRequest
    from rustvmm_sessions.rust.tools import CargoLlvmCov


def check_coverage(request: CoverageRequest) -> None:
    """Measure the crate's line coverage and compare it with what is recorded.

    Raises:
        CheckFailed: A test failed, nothing was measured, or the coverage is not what is recorded.
        UserError: A file, option or tool is not as it must be.
    """
    outcome = Outcome()
    coverage_reports.check(request)
    try:
        judge(request, outcome, changed.look(request))
    finally:
        if request.json is not None:
            files.write_report(request.json, json.dumps(as_json(request, outcome), indent=1) + "\n")


def has_baseline(directory: Path) -> bool:
    """Whether a folder has a record or a configuration of its own."""
    return (directory / RECORD).exists() or any(directory.glob("coverage_config_*.json"))


def judge(request: CoverageRequest, outcome: Outcome, changes: Changes | None) -> None:
    """Measure and judge one crate; `outcome` has all that is known, also where that raises.

    `changes` are those of the sources that are built: they are found before.
    """
    config = _read_config(request.directory)
    outcome.recorded = _read_record(request, config)
    cargo = request.cargo
    with ThreadPoolExecutor(1) as background:
        toolchain = background.submit(lambda: cargo.toolchain)  # rustc says it while cargo says the other
        workspace = cargo.workspace
        toolchain.result()
    for warning in (*config.warnings, *stale_patterns(config, workspace.root, workspace.target_directory)):
        warn(warning)
    files.own_directory(workspace.target_directory)
    own = own_folder(workspace, "rustvmm-coverage")

    with (
        ThreadPoolExecutor(1) as background,
        alone(own, request.deadline, f"another coverage run builds in {own}; waiting for it to end"),
        _untouched_lockfile(request, cargo),
    ):
        lowered = background.submit(_lowered, request, outcome.recorded)
        reporter, measurement = _measure(request, config, cargo, own, outcome)
        outcome.measurement = measurement
        say(explain.measured(measurement))
        outcome.lcov = coverage_reports.lcov(request, reporter, cargo)
        if changes:
            outcome.changed = changed.coverage_of(changes, [measurement], workspace.roots)
        if not request.together:
            coverage_reports.write_lines(request, outcome.lcov, measurement.lines, cargo)
        _judge(request, config, outcome, own, lowered.result())


def _untouched_lockfile(request: CoverageRequest, cargo: Cargo) -> contextlib.AbstractContextManager[None]:
    """In CI Cargo.lock stays as it is; a developer's cargo may update it, as it always does."""
    if request.profile is Profile.CI:
        return lockfile_kept(cargo.workspace, own_folder(cargo.workspace, "rustvmm-sessions"))
    return contextlib.nullcontext()


# What is recorded


def _read_config(directory: Path) -> CoverageConfig:
    path = directory / f"coverage_config_{machine()}.json"
    text = files.read_text(path)
    return CoverageConfig(path=path) if text is None else parse_coverage_config(text, path)


def _record_path(directory: Path) -> Path:
    """Return the file that tests/coverage is; a symbolic link counts only inside the crate."""
    path = directory / RECORD
    target = path.resolve()
    if not target.is_relative_to(directory.resolve()):
        raise UserError(
            f"{RECORD} is a symbolic link that leads out of the crate",
            where=f"{path} -> {target}",
            fix="make it a file of the crate",
        )
    return target


def _read_record(request: CoverageRequest, config: CoverageConfig) -> Recorded | None:
    path = _record_path(request.directory)
    shown = request.directory / RECORD
    text = files.read_text(path)
    tolerance = request.tolerance
    if text is not None:
        return ratchet.parse(text, shown).recorded(shown, machine(), tolerance or Fraction(0))
    if config.score is not None:
        return Recorded(
            path=config.path,
            percent=config.score,
            decimals=None,
            tolerance=SCORE_TOLERANCE if tolerance is None else tolerance,
            is_score=True,
        )
    return None


def stale_patterns(config: CoverageConfig, root: Path, target_directory: Path) -> list[str]:
    """Return a warning for each pattern of ``exclude_path`` that no source file of the workspace matches."""
    if not config.exclude:
        return []
    sources: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".") and Path(folder, f) != target_directory]
        sources += [os.path.join(folder, name) for name in names if name.endswith(".rs")]  # noqa: PTH118 - many files; paths would take as long again
    return [
        f"{config.path}: exclude_path: {pattern!r} matches no source file; delete it, or correct it"
        for pattern in config.exclude
        if not any(re.search(python_pattern(pattern), source) for source in sources)
    ]


# Measuring


def _measure(
    request: CoverageRequest, config: CoverageConfig, cargo: Cargo, own: Path, outcome: Outcome
) -> tuple[Reporter, Measurement]:
    outcome.toolchain = cargo.toolchain.release
    llvm = need_llvm_tools(cargo)
    tool = _cargo_llvm_cov(request)
    outcome.backend = Backend.CARGO if tool is None else Backend.CARGO_LLVM_COV
    selection = TestSelection(
        workspace=request.scope is Scope.WORKSPACE,
        feature_sets=_feature_sets(request, config),
        default_features=request.default_features,
    )
    selection.members(cargo)  # where there are none, nothing is built
    tests = ProfiledTests(
        cargo=cargo,
        own=own,
        selection=selection,
        deadline=request.deadline,
        report=request.report,
        quarantine=request.quarantine,
    )
    build = tests.build()
    if len(build.triples) > 1 and tool is not None:
        _refuse_several_targets(request, build)
        tool, outcome.backend = None, Backend.CARGO
    counted = Counted(
        cargo=cargo,
        build=build,
        selection=selection,
        exclude=config.exclude,
        llvm=llvm,
        deadline=request.deadline,
    )
    reporter: Reporter = (
        LlvmReporter(counted=counted) if tool is None else CargoLlvmCovReporter(counted=counted, tool=tool)
    )
    runs = _Runs(counted=counted, reporter=reporter, kept=own / "runs")
    while True:
        runs.add((*tests.run(build, again=bool(runs.exports)), *build.profiles))
        measurement = runs.measure()
        if measurement.lines.covered == 0:
            ran = ", ".join(f"{what} ({name})" for name, what in sorted(build.tests.items()))
            raise CheckFailed(f"nothing was measured: no test reached a line of the crate; there ran {ran}")
        number = len(runs.exports)
        if number < request.repeat:
            say(f"run {number + 1} of {request.repeat}")
        elif number <= request.reruns and _differs(measurement, outcome.recorded):
            say(f"Measured and recorded differ. Run {number + 1} of at most {request.reruns + 1}:")
        else:
            break
    if request.repeat > 1 and not explain.unstable(measurement):
        say(f"the same lines were reached in all {number} runs")
    return reporter, measurement


def _feature_sets(request: CoverageRequest, config: CoverageConfig) -> tuple[tuple[str, ...] | None, ...]:
    return request.feature_sets or (config.features,)


def _differs(measurement: Measurement, recorded: Recorded | None) -> bool:
    if recorded is None:
        return False
    verdict, _ = ratchet.compare(measurement.lines, recorded, measurement.spread)
    return verdict is not Verdict.EQUAL


@dataclass(kw_only=True)
class _Runs:
    """The runs of one build's tests; that in the middle counts, and the reports are of it."""

    counted: Counted
    reporter: Reporter
    kept: Path
    exports: list[str] = field(default_factory=list)

    def add(self, profiles: tuple[Path, ...]) -> None:
        for damaged in merge(self.counted, profiles):
            _tell_damaged(damaged, self.counted.build)
        self.exports.append(self.reporter.json())
        self.kept.mkdir(exist_ok=True)
        shutil.copyfile(self.counted.profile, self.kept / f"{len(self.exports) - 1}.profdata")

    def measure(self) -> Measurement:
        """Return what was measured so far."""
        cargo = self.counted.cargo
        root = cargo.workspace.root
        runs = [llvm_export.parse(export, root) for export in self.exports]
        spread: Spread | None = None
        varying: tuple[UnstableLine, ...] = ()
        middle = sorted(range(len(runs)), key=lambda number: runs[number][0].covered)[len(runs) // 2]
        if len(runs) > 1:
            varying = ratchet.unstable([llvm_export.reached(export, root) for export in self.exports])
            profiles = [self.kept / f"{number}.profdata" for number in range(len(runs))]
            merge(self.counted, profiles)
            together = llvm_export.parse(self.reporter.json(), root)[1]
            spread = ratchet.spread([counted for _, counted in runs], together, varying)
            merge(self.counted, [profiles[middle]])
        lines, counted_files = runs[middle]
        if lines.count == 0:
            raise CheckFailed(NO_LINE)
        return Measurement(
            arch=machine(),
            toolchain=cargo.toolchain.release,
            backend=self.reporter.name,
            lines=lines,
            files=counted_files,
            spread=spread,
            unstable=varying,
        )


def _tell_damaged(damaged: Damaged, build: Instrumented) -> None:
    """Warn of a profile that cannot be read; that of a test executable itself is all that it reached.

    Raises:
        CheckFailed: It is that of a test executable.
    """
    name = next((name for name in build.tests if damaged.path.name.startswith(f"{name}-")), "")
    what = f"{build.tests[name]} ({name})" if name else "a program that ran while the crate was built"
    started = files.read_text(damaged.path.with_name(f"{name}.started"))
    if started and damaged.path.name.startswith(f"{name}-{started}-"):
        say(LEAVE_OUT)
        raise CheckFailed(
            f"the profile of {what} cannot be read, was the disk full? {damaged.reason}: {damaged.path}",
            fix=LEAVE_OUT,
        )
    warn(
        f"a profile of a program that {what} started cannot be read, and does not count: {damaged.reason}: "
        f"{damaged.path}; was the program killed, or kept from writing as much? {LEAVE_OUT}"
    )


def _cargo_llvm_cov(request: CoverageRequest) -> CargoLlvmCov | None:
    """Return cargo-llvm-cov where it is to count."""
    if request.backend is Backend.CARGO:
        return None
    found = find_cargo_llvm_cov()
    if found is None and request.backend is Backend.CARGO_LLVM_COV:
        raise UserError("cargo-llvm-cov 0.9 or newer is missing", where="--backend=cargo-llvm-cov", fix=SETUP)
    return found


def _refuse_several_targets(request: CoverageRequest, build: Instrumented) -> None:
    """Refuse cargo-llvm-cov, which counts what is built for one target only, where it was asked for."""
    if request.backend is Backend.CARGO_LLVM_COV:
        raise UserError(
            f"cargo-llvm-cov cannot count what is built for several targets: {', '.join(build.triples)}",
            where="build.target in cargo's configuration",
            fix="run with --backend=cargo",
        )


# Judging


def _judge(
    request: CoverageRequest, config: CoverageConfig, outcome: Outcome, own: Path, notes: list[str]
) -> None:
    measurement = outcome.measurement
    if measurement is None:
        raise AssertionError("judged before measured")
    if text := explain.unstable(measurement):
        warn(text)
    decision = _decide(request, outcome, measurement)
    short = "" if request.together else explain.short(outcome.changed, request.patch)
    if short:
        decision = replace(decision, write=False)
    elif decision.write:
        decision = _record(request, config, outcome, measurement)
        outcome.wrote = decision.write
    outcome.decision = decision
    outcome.passed = decision.passed and not short
    recorded = outcome.recorded
    last = _last_pass_file(request, config, measurement, own)
    before = _last_pass(last) if decision.verdict is not Verdict.EQUAL else {}
    path = f"{request.folder}/{RECORD}" if request.folder else RECORD
    if not (decision.passed and short):  # what is short of tests is not to be recorded
        outcome.commands = explain.commands(
            decision, path, allow_lower=request.allow_lower, package=request.package
        )
    lines = _explained(
        request, outcome, measurement, decision, [*notes, *_moved(request, measurement, decision, before)]
    )
    findings.tell_judged(
        request.report,
        decision,
        measurement,
        recorded,
        before,
        source=request.report.file(recorded.path) if recorded else None,
        package=request.package,
        place=lambda name: request.report.file(request.cargo.workspace.root / name),
    )
    if not request.together:
        findings.tell_changed(request.report, outcome.changed, request.patch)
    if not request.together:
        site.write(request, own, site.pages(request, outcome))
    if not outcome.passed:
        output = "\n".join([explain.measured(measurement), *lines])
        failed = "" if decision.passed else explain.summary(decision, measurement, recorded)
        remedy = explain.remedy_of_changed(request.package)
        fix = explain.remedy(decision, request.package) if failed else remedy
        raise CheckFailed("; ".join(filter(None, (failed, short))), fix=fix, output=output)
    counts = [[file.path, file.lines.covered, file.lines.count] for file in measurement.files]
    files.write_atomic(last, json.dumps(counts))


def _explained(
    request: CoverageRequest, outcome: Outcome, measurement: Measurement, decision: Decision, notes: list[str]
) -> list[str]:
    """Say what became of it; return the lines without the table of files."""
    recorded = outcome.recorded
    source = RECORD if recorded is None else recorded.path.relative_to(request.directory).as_posix()
    lines = [
        *([] if request.together else explain.changed(request, outcome.changed)),
        explain.recorded(recorded, source),
        *explain.difference(decision, measurement, recorded),
        *notes,
        *outcome.commands,
    ]
    shown = table(measurement.files, outcome.changed, request.screen) if request.screen else []
    for line in (*shown, *lines):
        say(line)
    return lines


def _moved(
    request: CoverageRequest, measurement: Measurement, decision: Decision, before: dict[str, Lines]
) -> list[str]:
    if decision.verdict is Verdict.EQUAL:
        return []
    moved = explain.moved(measurement.files, before) if before else []
    return moved or ([] if request.screen else explain.least_covered(measurement.files))


def _decide(request: CoverageRequest, outcome: Outcome, measurement: Measurement) -> Decision:
    return ratchet.decide(
        measurement.lines,
        outcome.recorded,
        request.profile,
        allow_lower=request.allow_lower,
        spread=measurement.spread,
    )


def _record(
    request: CoverageRequest, config: CoverageConfig, outcome: Outcome, measurement: Measurement
) -> Decision:
    """Write tests/coverage, unless another run recorded as much meanwhile; return what then holds."""
    path = _record_path(request.directory)
    new = ratchet.ArchRecord(arch=measurement.arch, lines=measurement.lines, toolchain=measurement.toolchain)
    with files.locked(path):
        outcome.recorded = _read_record(request, config)
        decision = _decide(request, outcome, measurement)
        if decision.write:
            text = files.read_text(path)
            content = (
                ratchet.first_record(new)
                if text is None
                else ratchet.parse(text, request.directory / RECORD).updated(new)
            )
            files.write_atomic(path, str(content))
    return decision


def _lowered(request: CoverageRequest, recorded: Recorded | None) -> list[str]:
    """Say so where the record itself is lower than upstream's: the check then passes too easily."""
    path = request.directory / RECORD
    if recorded is None or recorded.path != path:
        return []
    git = Git(directory=request.directory)
    with contextlib.suppress(UserError):  # no git, no upstream, a wrong file there: no note
        base = upstream.find_base(git, fetch=False)
        text = git.file_at(base.commit, path) or ""
        before = ratchet.parse(text, path).recorded(path, machine(), Fraction(0))
        if recorded.percent < before.percent:
            return [
                f"Note: {RECORD} was lowered: {rounded(before.percent, 2)} % at the merge base with "
                f"{base.name}, {rounded(recorded.percent, 2)} % here."
            ]
    return []


def _last_pass_file(
    request: CoverageRequest, config: CoverageConfig, measurement: Measurement, own: Path
) -> Path:
    """Return the file with the counts of the last passing run that measured the same thing."""
    what = [
        str(request.directory),
        request.scope,
        request.default_features,
        _feature_sets(request, config),
        measurement.arch,
        measurement.toolchain,
    ]
    return own / f"last-pass-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}.json"


def _last_pass(path: Path) -> dict[str, Lines]:
    try:
        return {name: Lines(covered=hit, count=count) for name, hit, count in json.loads(path.read_text())}
    except (OSError, ValueError, TypeError):
        return {}
