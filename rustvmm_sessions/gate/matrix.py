"""The sessions that cargo does: formatting, documentation, and the feature matrix of the others."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions import catalog
from rustvmm_sessions.console import say, task, terminal_columns, warn
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.files import files_in, write_atomic
from rustvmm_sessions.gate import plan as features
from rustvmm_sessions.gate.cached import Cached, known_passes
from rustvmm_sessions.gate.commands import (
    GateRequest,
    commands,
    packages_of,
    pasteable,
    placed,
    start,
)
from rustvmm_sessions.gate.executables import BuiltFile, built_files
from rustvmm_sessions.gate.flaky import Repeated
from rustvmm_sessions.results import Case
from rustvmm_sessions.rust import durations, nextest
from rustvmm_sessions.rust.cargo import Cargo, machine, messages_format, own_folder, package_specs
from rustvmm_sessions.rust.choice import choose, kept
from rustvmm_sessions.rust.configuration import configured_targets, with_flags
from rustvmm_sessions.rust.libtest import SuiteListener
from rustvmm_sessions.rust.libtest import tell as tell_tests
from rustvmm_sessions.rust.lockfile import lockfile_kept
from rustvmm_sessions.rust.messages import Printer, diagnostics, finding, findings_said
from rustvmm_sessions.rust.quarantine import is_complete
from rustvmm_sessions.rust.tools import SETUP, find_program, musl_triple, need_component, need_musl_target
from rustvmm_sessions.rust.turns import in_turn
from rustvmm_sessions.wording import counted, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from rustvmm_sessions.gate.passes import Suite
    from rustvmm_sessions.process import Finished
    from rustvmm_sessions.results import CaseResult
    from rustvmm_sessions.rust.cargo import Workspace
    from rustvmm_sessions.rust.features import Run


def run_matrix(request: GateRequest) -> None:
    """Run a session's cargo command once for each feature combination that makes a difference.

    Raises:
        CheckFailed: A combination failed; it is named, with the command that repeats it.
        UserError: A tool or target is missing, or the manifest's table cannot be understood.
    """
    spec = request.session.matrix
    if spec is None:
        raise AssertionError(f"{request.session.name} has no feature matrix")
    cargo = request.cargo
    packages = choose(request.cargo, request.choice)
    if packages is not None and not packages:
        say("Nothing to run.")
        return
    plan = _plan(request, packages)
    for warning in (*plan.warnings, *(request.quarantine.released if spec.tests else ())):
        warn(warning)
    # Not beside the runs: a Cargo.lock made here is gone before --fix, which wants a clean work tree.
    with lockfile_kept(cargo.workspace, own_folder(cargo.workspace, "rustvmm-sessions")):
        request = replace(request, specs=package_specs(cargo, make=not request.listing))
    if request.listing:
        with lockfile(cargo) if request.cached else contextlib.nullcontext():  # tests may read Cargo.lock
            _say_plan(request, spec, plan)
        return
    if not plan.runs:
        say("Nothing to run: there are more shares than runs.")
        return
    if "clippy" in spec.command:
        need_component(cargo, "clippy", "clippy")
    triple = need_musl_target(cargo, machine()) if spec.musl else ""
    with lockfile(cargo, reuse=not request.fix):
        known = known_passes(request, start(request), triple) if request.cached else None
        try:
            _run_all(request, _Matrix(spec=spec, triple=triple, tested=set(), cached=known), plan.runs)
        finally:
            if known is not None:
                known.save()


def _run_all(request: GateRequest, matrix: _Matrix, runs: tuple[Run, ...]) -> None:
    """Run each combination; a member that fails alone may pass as rust-vmm-ci runs it, among all others."""
    whole: dict[Run, bool] = {}
    for number, run in enumerate(runs, 1):
        say(f"[{number}/{len(runs)}] {run.describe()}")
        alone = _is_alone(request, run)
        lacking = ", alone: without the features that other members switch on" if alone else ""
        own = replace(request, report=request.report.apart())
        passed_over = False
        try:
            with task(share=f"{number}/{len(runs)}"), _timed(request, run):
                _run_combination(own, matrix, run, f"in run {number} of {len(runs)}{lacking}")
        except CheckFailed:
            if not alone or request.alone or request.fix:
                raise
            joined = replace(run, packages=kept(request.cargo, request.choice))
            if joined not in whole:
                whole[joined] = _passes(request, matrix, joined)
            if not whole[joined]:
                raise
            passed_over = True
            _warn_of_features(request, run, joined, matrix.triple)
        finally:
            if not passed_over:
                request.report.add(own.report)
        request = _after_first_fix(request)


@contextlib.contextmanager
def _timed(request: GateRequest, run: Run) -> Iterator[None]:
    """Keep what a whole run takes, for shares of the next; that it cannot be kept changes no verdict."""
    started = time.monotonic()
    yield
    if request.results and not request.rest and request.repeat == 1 and not request.cached:
        took = {run.describe(): time.monotonic() - started}
        with contextlib.suppress(UserError):
            durations.keep(request.results, request.session.name, took)


def _is_alone(request: GateRequest, run: Run) -> bool:
    """Whether a run has one member alone, which rust-vmm-ci's cargo all-features runs among all others."""
    return request.workspace and len(run.packages) == 1 < len(request.cargo.workspace.members)


def _passes(request: GateRequest, matrix: _Matrix, run: Run) -> bool:
    say(f"Once more as the workspace builds it: {run.describe()}")
    own = replace(request, report=request.report.apart())
    try:
        _run_combination(own, matrix, run, "with the whole workspace")
    except CheckFailed:
        return False
    request.report.add(own.report)
    return True


def _warn_of_features(request: GateRequest, alone: Run, joined: Run, triple: str) -> None:
    """Warn of a member that fails alone, and name the features that it has from others."""
    lacks, has = (_features_on(request, run, triple) for run in (alone, joined))
    missing = {name: has[name] - on for name, on in lacks.items() if has.get(name, on) - on}
    (member,) = alone.packages
    named = "; ".join(f"{name} with {', '.join(sorted(on))}" for name, on in sorted(missing.items()))
    warn(
        f"{alone.describe()} fails alone, and passes where the workspace's other members switch on more: "
        f"{named or 'see `cargo tree --edges=features`'}. Let the Cargo.toml of {member} require what it "
        "needs; with register(alone=True) this is a failure."
    )


def _features_on(request: GateRequest, run: Run, triple: str) -> dict[str, frozenset[str]]:
    """Return the features that a run switches on, by the name of each package that it builds."""
    target = (f"--target={triple}",) if triple else ()
    asked = ("--edges=normal,build,dev", "--prefix=none", "--format={p}\t{f}", "--charset=ascii")
    done = start(request).read("tree", *run.arguments(request.specs), *target, *asked)
    found: dict[str, frozenset[str]] = {}
    for package, _, on in (line.partition("\t") for line in done.stdout.splitlines()):
        name = package.partition(" ")[0]
        found[name] = found.get(name, frozenset()) | frozenset(re.findall(r"[^\s,()*]+", on))
    return found


@dataclass(frozen=True, kw_only=True)
class _Matrix:
    """What the runs of a session have in common.

    Attributes:
        spec: What is done with each combination.
        triple: The musl target it is for; empty for the machine's own.
        tested: The test executables that have run.
        cached: What is known of those that have passed before; None where they run all the same.
    """

    spec: catalog.CargoRun
    triple: str
    tested: set[BuiltFile]
    cached: Cached | None = None


def _run_combination(request: GateRequest, matrix: _Matrix, run: Run, place: str) -> None:
    """Do what the session does with one combination."""
    messages = _build_tests(request, matrix.spec, run, matrix.triple, place)
    members = request.cargo.workspace.members
    selected = {member.id for member in members if not run.packages or member.name in run.packages}
    built = built_files(
        messages,
        members={member.id for member in members},
        selected=selected,
        doctests=request.doctests,
    )
    if built and built <= matrix.tested and not request.words.options:
        say("Its tests are the very files that have run already.")
        return
    suites = matrix.cached.suites(messages, selected) if matrix.cached else ()
    for args in commands(request, matrix.spec, run, matrix.triple):
        whole = {"--tests", "--doc"}.isdisjoint(args) and not request.words.targets
        mine = tuple(suite for suite in suites if whole or suite.documentation == ("--doc" in args))
        skipped = _skip(request, matrix.cached, mine, run) if matrix.cached else ()
        if mine and skipped == mine:
            continue
        command = _Command(
            args=args,
            spec=matrix.spec,
            triple=matrix.triple,
            what=run.describe(),
            place=place,
            cached=matrix.cached if mine else None,
            suites=mine,
            skipped=skipped,
        )
        _run_in_turn(request, command)
    matrix.tested.update(built)


def _skip(request: GateRequest, cached: Cached, suites: tuple[Suite, ...], run: Run) -> tuple[Suite, ...]:
    """Return the suites that are not run, as they have passed before; say and report them."""
    passes = [(suite, known) for suite in suites if (known := cached.book.passed(suite))]
    for suite, known in passes:
        for name, result in known.cases or ():
            how: CaseResult = "cached" if result == "passed" else result
            request.report.ran(Case(name=name, suite=suite.name, result=how, features=run.describe()))
        request.report.unnamed(Counter({"cached": known.unnamed}))
        cached.book = cached.book.with_end(replace(known, runs=(run.describe(),)))
    if passes:
        say(f"Cached, not run again: {', '.join(suite.name for suite, _ in passes)}")
    return tuple(suite for suite, _ in passes)


def _builds_first(request: GateRequest, spec: catalog.CargoRun) -> bool:
    """Whether there are tests, and they are built before they run.

    With options for cargo test, which might choose other tests than cargo is asked to build, only where
    what has passed before is not run.
    """
    return spec.tests and (request.cached or not request.words.options)


def _comparable(request: GateRequest, spec: catalog.CargoRun, plan: features.Plan) -> bool:
    """Whether runs of the plan may come to the same test executables.

    Two runs of one package never do, as its features differ.
    """
    several = len(plan.runs) > 1 and any(len(run.packages) != 1 for run in plan.runs)
    return several and spec.tests and not request.words.options


def _build_tests(request: GateRequest, spec: catalog.CargoRun, run: Run, triple: str, place: str) -> str:
    """Build the tests of one combination before they take their turn; return what cargo says of them.

    With the examples, as plain cargo test does and --tests does not: once_cell's tests start one.
    """
    if not _builds_first(request, spec):
        return ""
    target = (f"--target={triple}",) if triple else ()
    args = (*spec.command[1:], *run.arguments(request.specs), *target)
    if request.words.options:
        words = request.words.of_run(run, packages_of(request, run)) or request.words
        args += words.without("--doc", "--no-run", "--message-format")
    cargo = start(request)
    asked = ("test", "--no-run", "--message-format=json-render-diagnostics", *args)
    done = cargo.read(*asked, echo=True, deadline=request.deadline)
    if not done.ok:
        _report_errors(request, done)
        repeat = pasteable(request, (cargo.program, "test", *args), {})
        ending = f"{done.ending}, {place}"
        raise failure(run.describe(), repeat, done=done, ending=ending, output=done.stderr)
    return done.stdout


def _after_first_fix(request: GateRequest) -> GateRequest:
    """Allow a dirty tree after the first --fix: the edits are ours."""
    if not request.fix or "--allow-dirty" in request.rest:
        return request
    return replace(request, rest=("--allow-dirty", *request.rest))


def _plan(request: GateRequest, packages: tuple[str, ...] | None) -> features.Plan:
    metadata = request.cargo.metadata
    plan = features.plan(metadata, packages=packages, features=request.vary, depth=request.depth)
    if request.words.choose_features and plan.runs:
        plain = replace(plan.runs[0], features=(), no_default=False, all_features=False)
        plan = replace(plan, runs=(plain,), distinct=1, notes=())
    if not request.workspace:
        plan = replace(plan, runs=tuple(replace(run, manifest="") for run in plan.runs))
    apt = tuple(run for run in plan.runs if request.words.of_run(run, packages_of(request, run)))
    plan = replace(plan, runs=apt or plan.runs)  # cargo says what no package has
    if machine() == catalog.RISCV64 and not request.words.choose_features:
        # Emulated agents: all features only, as rust-vmm-ci does.
        full = [run for run in plan.runs if run.all_features] or [r for r in plan.runs if not r.packages]
        plan = replace(plan, runs=tuple(full))
    return plan if request.partition is None else features.partition(plan, *request.partition)


def _say_plan(request: GateRequest, spec: catalog.CargoRun, plan: features.Plan) -> None:
    triple = musl_triple(machine()) if spec.musl else ""
    known = known_passes(request, start(request), triple) if request.cached else None
    for run in plan.runs:
        for args in commands(request, spec, run, triple):
            command, what = shlex.join(("cargo", *args)), f"# {run.describe()}"
            line, room = f"{command}    {what}", terminal_columns()
            say(line if room is None or width(line) <= room else f"{what}\n{command}")
        if known is not None and (cached := known.would_skip(run.describe())):
            say(f"    # cached, not run again: {', '.join(cached)}")
    for note in plan.notes:
        say(note)
    if _comparable(request, spec, plan):
        say("A run whose tests turn out to be the very files of runs before it is not repeated.")
    runs, distinct = counted(len(plan.runs), "run"), counted(plan.distinct, "distinct pair")
    share = "" if request.partition is None else " (this is share {}/{})".format(*request.partition[:2])
    say(
        f"{runs} of cargo, {distinct} of package and features; "
        f"cargo all-features would run {counted(plan.predecessor_runs, 'package')}{share}."
    )


@dataclass(frozen=True, kw_only=True)
class _Command:
    """One command of the matrix, and what is said of it where it fails.

    Attributes:
        args: Words after ``cargo``.
        spec: What its session does with each combination.
        triple: The musl target it is for; empty for the machine's own.
        what: The combination.
        place: Where in the plan it is.
        cached: What is known of passes; None where all tests run.
        suites: The tests that it is for.
        skipped: Those of them that it does not run, as they have passed.
    """

    args: tuple[str, ...]
    spec: catalog.CargoRun
    triple: str
    what: str
    place: str
    cached: Cached | None = None
    suites: tuple[Suite, ...] = ()
    skipped: tuple[Suite, ...] = ()


def _run_in_turn(request: GateRequest, command: _Command) -> None:
    """Run one command; documentation tests, of which cargo runs many side by side anyway, wait for none."""
    tests = command.spec.tests and "--doc" not in command.args
    root = request.cargo.workspace.root
    with in_turn(root, request.deadline) if tests else contextlib.nullcontext():
        _run_one(request, command)


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """How a command of the matrix ended.

    Attributes:
        done: The program.
        output: What it said.
        command: What repeats it.
        env: The variables of that.
        denied: What fails it although cargo succeeds.
    """

    done: Finished
    output: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    denied: str = ""


def _run_one(request: GateRequest, asked: _Command) -> None:
    if asked.spec.tests:
        late = request.repeat > 1 or request.quarantine.held
        ended = _run_repeatedly(request, _failing_late(request, asked) if late else asked)
    elif request.fix:
        ended = _run_tests(request, asked)
    else:
        ended = _build(request, asked)
    if ended.denied or not ended.done.ok:
        repeat = pasteable(request, ended.command, ended.env)
        ending = f"{ended.denied or ended.done.ending}, {asked.place}"
        raise failure(asked.what, repeat, done=ended.done, ending=ending, output=ended.output)


def _build(request: GateRequest, asked: _Command) -> _Ended:
    """Build or lint, and report what the compiler denies."""
    cargo, args = start(request), asked.args
    at = args.index("--") if "--" in args else len(args)
    words = (*args[:at], messages_format(), *args[at:])
    done = cargo.read(*words, echo=True, deadline=request.deadline, listener=Printer())
    said = diagnostics(done.stdout, (asked.triple,) if asked.triple else configured_targets(cargo))
    env: Mapping[str, str] = {}
    denied = ""
    if done.ok and said.warnings and asked.spec.deny_warnings:
        # Cargo repeats warnings and succeeds; the command that repeats the failure denies them.
        env = with_flags(cargo, "rustflags", ("-D", "warnings"), triple=asked.triple)
        denied = counted(said.warnings, "warning")
        if _sets_level_of_warnings(cargo.workspace, env):
            say("Once more with -D warnings, as the crate sets the level of warnings itself.")
            if cargo.run(*args, env=env, deadline=request.deadline).ok:
                denied = ""
    if denied or not done.ok:
        for each in filter(None, (finding(told, placed(request)) for told in said.denied)):
            request.report.found(each)
    return _Ended(
        done=done,
        output=said.text + done.stderr,
        command=(cargo.program, *args),
        env=env,
        denied=denied,
    )


def _failing_late(request: GateRequest, asked: _Command) -> _Command:
    """Let all tests run, also after one has failed."""
    word = "--no-fail-fast"
    at = 2 if asked.args[0] == "nextest" else 1
    said = word in request.words.options
    return asked if said else replace(asked, args=(*asked.args[:at], word, *asked.args[at:]))


def _run_repeatedly(request: GateRequest, asked: _Command) -> _Ended:
    """Run tests as often as is asked; those fail that fail once, unless they are quarantined."""
    run = _run_nextest if asked.args[0] == "nextest" else _run_tests
    if request.repeat == 1:
        return run(request, asked)
    repeated = Repeated()
    try:
        while True:
            say(f"Run {repeated.runs + 1} of {request.repeat}")
            heard = request.report.apart()
            ended = run(replace(request, report=heard), asked)
            repeated.add(heard)
            failed = any(case.result == "failed" for case in heard.cases)
            crashed = not ended.done.ok and (not failed or ended.done.timed_out)
            if crashed or (failed and request.until_fail) or repeated.runs == request.repeat:
                break
    finally:
        repeated.tell(request.report, placed(request))
        for line in repeated.table():
            say(line)
    return replace(ended, denied=f"a test failed in {counted(repeated.runs, 'run')}" * repeated.failed)


def _run_nextest(request: GateRequest, asked: _Command) -> _Ended:
    tool = find_program("cargo-nextest", "CARGO_NEXTEST")
    if tool is None:
        raise UserError("cargo-nextest is missing", where='runner="nextest"', fix=SETUP)
    with tempfile.TemporaryDirectory(prefix="rustvmm-nextest-") as folder:
        configuration, results = Path(folder, "nextest.toml"), Path(folder, "junit.xml")
        configuration.write_text(nextest.CONFIGURATION.format(file=json.dumps(str(results))))
        words = (*asked.args[:2], f"--tool-config-file=rustvmm-sessions:{configuration}", *asked.args[2:])
        try:
            done = start(request).run_tool(tool, *words, deadline=request.deadline)
        finally:
            heard = request.report.apart()
            nextest.tell(heard, results, placed(request), asked.what)
            excused = request.quarantine.settle(heard, request.report)
    done = _without_excused(done, excused if done.returncode == nextest.FAILED else ())
    _report_errors(request, done)
    return _Ended(done=done, output=done.output, command=(str(tool), *asked.args))


def _without_excused(done: Finished, excused: Sequence[str]) -> Finished:
    """Let tests have passed where all that failed may fail."""
    if done.ok or done.timed_out or not excused:
        return done
    for line in excused:
        warn(line)
    return replace(done, returncode=0)


def _report_errors(request: GateRequest, done: Finished) -> None:
    """Report what does not compile, where the program builds before it runs tests."""
    if not done.ok:
        for each in findings_said(done.stderr, placed(request)):
            request.report.found(each)


def _run_tests(request: GateRequest, asked: _Command) -> _Ended:
    """Run cargo test, or clippy --fix; report what is said of each test."""
    listener = SuiteListener(skipped=[suite.announced for suite in asked.skipped])
    cargo, cached = start(request), asked.cached
    with contextlib.ExitStack() as stack:
        env, started = dict[str, str](), Path(os.devnull)
        if cached is not None:
            env, started = stack.enter_context(cached.starting(asked.skipped, asked.args))
        try:
            done = cargo.run(*asked.args, env=env, deadline=request.deadline, listener=listener)
        finally:
            heard, suites = request.report.apart(), listener.suites()
            tell_tests(heard, suites, placed(request), asked.what)
            excused = request.quarantine.settle(heard, request.report)
        if cached is not None and (done.ok or "--no-fail-fast" not in asked.args):
            cached.ended(asked.suites, asked.what, started, suites, ok=done.ok)
    done = _without_excused(done, excused if is_complete(suites, done.stderr) else ())
    _report_errors(request, done)
    return _Ended(done=done, output=done.output, command=(cargo.program, *asked.args))


def _sets_level_of_warnings(workspace: Workspace, flags: Mapping[str, str]) -> bool:
    """Whether flags or sources say how much -D warnings counts, which the messages do not tell."""
    return any("--cap-lints" in value for value in flags.values()) or any(
        re.search(rb"\bwarn\s*\([^)]*\bwarnings\b", source.read_bytes())
        for member in workspace.members
        for source in files_in(member.directory)
        if source.suffix == ".rs" and source.is_file()
    )


def failure(what: str, repeat: str, *, done: Finished, ending: str, output: str) -> CheckFailed:
    """Return the verdict on a command that failed, with the one that repeats it."""
    why = ", as the session's time is up (settings: timeout_minutes, depth, shares)" if done.timed_out else ""
    return CheckFailed(f"{what} fails{why}; repeat it:\n  {repeat}\n  {ending}", fix=repeat, output=output)


def lockfile(cargo: Cargo, *, reuse: bool = True) -> AbstractContextManager[None]:
    """Leave Cargo.lock as it is found; warn where another clone builds in the same directory."""
    own = own_folder(cargo.workspace, "rustvmm-sessions")
    if not own.is_relative_to(cargo.workspace.root):
        _warn_of_clones(cargo.workspace, own)
    return lockfile_kept(cargo.workspace, own, reuse=reuse)


def _warn_of_clones(workspace: Workspace, own: Path) -> None:
    """Warn where another clone builds in the same target directory.

    Cargo takes what it built of one for the other's (cargo#17312): what it then checks and runs is
    the other's code. Only coverage has a build of its own.
    """
    names = {member.name for member in workspace.members}
    with contextlib.suppress(UserError):  # a full disk: then cargo says so
        write_atomic(own / "workspace", json.dumps([str(workspace.root), *sorted(names)]))
    for note in sorted(own.parent.glob("*/workspace")):
        root, *others = json.loads(note.read_text())
        if root != str(workspace.root) and names & set(others) and Path(root, "Cargo.toml").exists():
            warn(
                f"{root} is built in {workspace.target_directory} as well, and cargo may take its "
                f"{', '.join(sorted(names & set(others)))} for those of {workspace.root} (cargo#17312); "
                "set CARGO_TARGET_DIR to a directory of each one's own"
            )
