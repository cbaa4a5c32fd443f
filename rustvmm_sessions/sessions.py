"""The nox side: ``register()``, and the crate it returns."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nox
import nox.registry
from nox.logger import logger

from rustvmm_sessions import catalog, files, outcomes, standard, tools
from rustvmm_sessions.cargo import Cargo, machine
from rustvmm_sessions.config import Override, OwnSession, Settings, own_session, settings
from rustvmm_sessions.console import warn
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.process import interrupted_status, interruptible
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rustvmm_sessions.custom_tests import CustomTest
    from rustvmm_sessions.pipeline.included import Command

    Body = Callable[[nox.Session], None]

_CRATE = "rustvmm_crate"
"""Where a session in nox's registry has its crate."""
_INTERRUPTED = 130
"""The exit status that nox gives any KeyboardInterrupt."""


def register(  # noqa: PLR0913 - the options of a crate, all by name
    *,
    workspace: bool = True,
    features: Sequence[str] | None = None,
    depth: int | None = None,
    env: Mapping[str, str] | None = None,
    skip: Sequence[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    platforms: Sequence[str] | None = None,
    coverage_tolerance: float | None = None,
    audit_ignore: Mapping[str, tuple[str, str]] | None = None,
    bench: Mapping[str, Any] | None = None,
    commit_format: Mapping[str, Any] | None = None,
    custom_tests: str | Sequence[str] = (),
    pipeline_command: str | None = None,
    pipeline_include: str | None = None,
    **unknown: Any,  # noqa: ANN401 - named in a message
) -> Crate:
    """Register the standard sessions for the crate whose noxfile calls this.

    Args:
        workspace: Whether sessions mean the whole workspace, or only the noxfile's own package.
        features: The features to vary in builds, clippy and tests; all by default.
        depth: The most features to combine; no limit by default.
        env: Variables laid over the caller's in every session.
        skip: Standard sessions to leave out, by their names or rust-vmm-ci's.
        overrides: Settings of single sessions, such as
            ``{"coverage": {"timeout_minutes": 30, "devices": ["/dev/kvm"]}}``; the keys are those
            of `rustvmm_sessions.config.Override`.
        platforms: The architectures the crate is for: ``x86_64``, ``aarch64``, ``riscv64``.
        coverage_tolerance: Points by which coverage may differ from tests/coverage; 0 by default.
        audit_ignore: Advisories the crate lives with, each with a reason and the last day:
            ``{"RUSTSEC-2020-0071": ("no call of localtime_r", "2027-06-30")}``.
        bench: What is asked of benchmarks, such as ``{"threshold": 2}``; the keys are those of
            `rustvmm_sessions.bench.model.BenchRules`.
        commit_format: What is asked of commit messages, such as ``{"title": 72}``; the keys are
            those of `rustvmm_sessions.commits.CommitRules`.
        custom_tests: Description files of rust-vmm-ci, such as ``.buildkite/custom-tests.json``;
            their tests become sessions. Their commands are shell, and run by ``sh -e -c``.
        pipeline_command: The shell command that stands for ``nox`` in Buildkite's steps, where
            an image carries it in another form, such as ``python3 /opt/nox.pyz``.
        pipeline_include: A pipeline file of the crate's own, such as ``.buildkite/pipeline.yml``:
            its steps become part of the pipeline, and what they run becomes sessions.
        unknown: Nothing else; what is given is refused with the nearest right name.

    Returns:
        The crate, to which sessions of its own can be added.

    A wrong option is printed as one message, and ends nox with exit status 2.
    """
    given = {
        "workspace": workspace,
        "features": features,
        "depth": depth,
        "env": env,
        "skip": skip,
        "overrides": overrides,
        "platforms": platforms,
        "coverage_tolerance": coverage_tolerance,
        "audit_ignore": audit_ignore,
        "bench": bench,
        "commit_format": commit_format,
        "custom_tests": custom_tests,
        "pipeline_command": pipeline_command,
        "pipeline_include": pipeline_include,
        **unknown,
    }
    with _ending_with_message():
        crate = Crate(settings(Path.cwd(), given))
        described = _read_custom_tests(crate.settings)
    files.hide_bytecode(crate.settings.directory)
    outcomes.collect()
    for session in catalog.STANDARD:
        if session.name not in crate.settings.skip:
            crate._add_standard(session)  # noqa: SLF001 - the two are one
    for name, tests in described.items():
        crate._add_custom(name, tests)  # noqa: SLF001 - the two are one
    if crate.settings.pipeline_include:
        with _ending_with_message():
            crate._add_included(crate.settings.pipeline_include)  # noqa: SLF001
    return crate


def _read_custom_tests(checked: Settings) -> dict[str, tuple[CustomTest, ...]]:
    """Return the sessions that the crate's description files make."""
    if not checked.custom_tests:
        return {}
    from rustvmm_sessions import custom_tests  # noqa: PLC0415 - only crates that have some pay for it

    found: list[CustomTest] = []
    for name in checked.custom_tests:
        text = files.read_text(checked.directory / name)
        if text is None:
            raise UserError(
                "there is no such file", where=f"register(custom_tests={name!r})", fix="correct the path"
            )
        found += custom_tests.parse(text, name, warn)
    taken = {session.name for session in catalog.STANDARD} - checked.skip
    return custom_tests.sessions(found, taken, checked.overrides)


def settings_of(noxfile: Path) -> Settings:
    """Run a noxfile and return what its ``register()`` call says; the defaults where it has none.

    Raises:
        UserError: The noxfile cannot be run.
    """
    crate = _crate_of(noxfile, files.read_text(noxfile) or "")
    return crate.settings if crate else settings(noxfile.parent, {})


def workflow_of(text: str, platforms: tuple[str, ...]) -> str:
    """Return GitHub's workflow for the sessions that a noxfile of this directory registers.

    Args:
        text: The noxfile.
        platforms: What the crate is for, unless the noxfile says so.

    Raises:
        UserError: The noxfile cannot be run, or registers no crate.
    """
    from rustvmm_sessions.actions.pipeline import of_sessions, rendered  # noqa: PLC0415 - late

    noxfile = Path.cwd() / "noxfile.py"
    crate = _crate_of(noxfile, text)
    if crate is None:
        raise UserError("it calls no register()", where=str(noxfile), fix="add the call")
    known = replace(
        crate.settings,
        overrides=crate._overrides,  # noqa: SLF001 - the two are one
        platforms=crate.settings.platforms or platforms,
    )
    return rendered(of_sessions(known, crate._own, "github"), "github")  # noqa: SLF001


def _crate_of(noxfile: Path, text: str) -> Crate | None:
    """Run a noxfile's text, and return the crate that it registers."""
    said = io.StringIO()
    try:
        code = compile(text, str(noxfile), "exec", dont_inherit=True)
        with contextlib.redirect_stderr(said):
            exec(code, {"__name__": "noxfile", "__file__": str(noxfile)})  # noqa: S102 - as nox does
    except (Exception, SystemExit) as error:  # whatever a noxfile raises
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error  # our own, which is said already, for nox
        sys.stderr.write(said.getvalue())
        what = f"the noxfile cannot be run: {error}"
        raise UserError(what, where=str(noxfile), fix="correct it; `nox -l` shows more") from error
    sys.stderr.write(said.getvalue())
    crates = (vars(function).get(_CRATE) for function in nox.registry.get().values())
    return next((crate for crate in crates if isinstance(crate, Crate)), None)


class Crate:
    """A crate with registered sessions.

    Attributes:
        settings: What its ``register()`` call says.
    """

    def __init__(self, checked: Settings) -> None:
        self.settings = checked
        self._overrides: dict[str, Override] = dict(checked.overrides)
        self._names: set[str] = set()
        self._steps: dict[str, list[Body]] = {}
        self._own: list[OwnSession] = []
        self._started: dict[str, float] = {}

    def session(
        self,
        function: Body | None = None,
        /,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        **given: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - the function as nox registers it, or a decorator
        """Add a session of the crate's own; used as a decorator, with or without options.

        Args:
            function: What the session does; its docstring is its description.
            name: The session's name; the function's by default.
            tags: As in ``nox -t TAG``; with ``quick`` it is part of plain ``nox``.
            given: The settings of `rustvmm_sessions.config.Override`: ``platforms``,
                ``timeout_minutes``, ``devices``, ``env``, ``changed``.
        """
        if function is None:
            return lambda decorated: self.session(decorated, name=name, tags=tags, **given)
        name = name or function.__name__
        with _ending_with_message():
            if name in self._names or (catalog.standard(name) and name not in self.settings.skip):
                raise UserError(
                    f"there is a session {name!r} already",
                    where=f"@crate.session, {function.__name__}",
                    fix=f'give it another name, or leave the other out: register(skip=["{name}"])',
                )
            own = own_session(f"@crate.session, {function.__name__}", name, tags, given)
        self._overrides[name] = own.override
        self._own.append(own)
        return self._add(name, function, function.__doc__ or f"Run {name}.", own.tags)

    def before(self, *sessions: str) -> Callable[[Body], Body]:
        """Add a step that runs before the named sessions; used as a decorator.

        It runs once in a run of nox, however many of the sessions run, and gets the session that
        came first. If it fails, all of them fail, and the message names it. What it leaves for
        them are files, devices or namespaces: with ``nox -j`` they are processes of their own.

        Args:
            sessions: Names of sessions that are registered already, rust-vmm-ci's among them.
        """
        with _ending_with_message():
            if not sessions or callable(sessions[0]):  # used without parentheses, it gets the function
                raise UserError(
                    "no session is named", where="@crate.before", fix='write @crate.before("unit-tests")'
                )
            names = [self._registered(name) for name in sessions]

        def add(step: Body) -> Body:
            for name in names:
                self._steps.setdefault(name, []).append(step)
            return step

        return add

    def _registered(self, name: str) -> str:
        known = catalog.standard(name)
        found = name if name in self._names else known.name if known else name
        if found not in self._names:
            raise UserError(
                f"there is no session {name!r} yet",
                where="@crate.before",
                fix=did_you_mean(name, self._names),
            )
        return found

    def cargo(self, session: nox.Session, *args: str, env: Mapping[str, str | None] | None = None) -> None:
        """Run ``cargo ARGS`` in the crate's directory; the session fails if it does.

        Args:
            session: The running session; its time limit and variables hold.
            args: Arguments for cargo.
            env: More variables laid over the caller's.
        """
        setting = self._overrides.get(session.name, Override())
        cargo = Cargo(directory=self.settings.directory, env={**self.settings.env, **setting.env})
        cargo.run(*args, env=env, timeout=self._seconds_left(session)).check()

    def run(self, session: nox.Session, *args: str, env: Mapping[str, str | None] | None = None) -> None:
        """Run any program as `cargo` runs cargo: its process group ends with it."""
        from rustvmm_sessions.process import run  # noqa: PLC0415 - named like this method

        setting = self._overrides.get(session.name, Override())
        variables = {**self.settings.env, **setting.env, **(env or {})}
        left = self._seconds_left(session)
        run(args, cwd=self.settings.directory, env=variables, timeout=left).check()

    def _seconds_left(self, session: nox.Session) -> float:
        """Return how much of a running session's time is left: its limit is for all that it runs."""
        minutes = self._minutes(session.name)
        left = self._started[session.name] + 60 * minutes - time.monotonic()
        if left <= 0:
            raise CheckFailed(f"the session's time is up: timeout_minutes is {minutes:g}")
        return left

    def _minutes(self, name: str) -> float:
        known = catalog.named(name)
        default = known.timeout_minutes if known else catalog.TIMEOUT_MINUTES
        return self._overrides.get(name, Override()).minutes(default)

    def _add_standard(self, session: catalog.StandardSession) -> None:
        setting = self._overrides.get(session.name, Override())

        def body(running: nox.Session) -> None:
            standard.run(
                session,
                parser=standard.parser(session),
                words=running.posargs,
                settings=replace(self.settings, overrides=self._overrides),
                override=setting,
                invoked_from=Path(running.invoked_from),
                own=self._own,
            )

        description = f"{session.summary}\n\nIts options: nox -s {session.name} -- --help"
        self._add(session.name, body, description, session.tags, parallel=session.parallel)

    def _add_custom(self, name: str, tests: tuple[CustomTest, ...]) -> None:
        test = next((test for test in tests if test.is_for(machine())), tests[0])
        everywhere = tuple(platform for test in tests for platform in test.platforms)
        setting = replace(test.override, platforms=everywhere or None)
        self._overrides[name] = setting
        tags = ("gate", "custom")
        self._own += [OwnSession(name=name, tags=tags, override=each.override) for each in tests]

        def body(session: nox.Session) -> None:
            from rustvmm_sessions.actions.custom_tests import run_custom_test  # noqa: PLC0415 - late

            _refuse_words(session)
            cargo = Cargo(directory=self.settings.directory, env={**self.settings.env, **setting.env})
            run_custom_test(cargo, test, 60 * self._minutes(name))

        summary = test.command.splitlines()[0]
        self._add(name, body, f"Custom test: {summary}\n\n{test.command}", tags)

    def _add_included(self, file: Path) -> None:
        """Add what the steps of the crate's own pipeline file run, each by its label."""
        from rustvmm_sessions.actions.pipeline import read_included  # noqa: PLC0415 - only with such a file
        from rustvmm_sessions.actions.shell import run_shell  # noqa: PLC0415
        from rustvmm_sessions.pipeline.included import commands  # noqa: PLC0415

        for command in commands(read_included(self.settings.directory, file)):
            name = command.label
            taken = catalog.named(name) and name not in self.settings.skip
            if taken or name in self._overrides:
                raise UserError(
                    f"there is a session {name!r} already", where=str(file), fix="give the step another label"
                )
            setting = Override(env=dict(command.env), timeout_minutes=command.timeout_minutes)
            self._overrides[name] = setting

            def body(session: nox.Session, command: Command = command, setting: Override = setting) -> None:
                _refuse_words(session)
                if command.matrix:
                    raise UserError(
                        f"the step {command.label!r} has a matrix, which Buildkite expands",
                        where=str(file),
                        fix="run its command with the values filled in",
                    )
                cargo = Cargo(directory=self.settings.directory, env={**self.settings.env, **setting.env})
                run_shell("bash", command.script, cargo, 60 * self._minutes(command.label)).check()

            self._add(name, body, f"Run the step of {file}.\n\n{command.script}", ())

    def _add(
        self, name: str, body: Body, description: str, tags: Sequence[str], *, parallel: bool = False
    ) -> Any:  # noqa: ANN401
        setting = self._overrides.get(name, Override())
        self._names.add(name)

        def session_function(session: nox.Session) -> None:
            with interruptible(), _recorded(name) as record:
                platforms = setting.platforms or self.settings.platforms
                if platforms and machine() not in platforms:
                    reason = f"{name} is for {', '.join(platforms)}, this machine is {machine()}"
                    record("skipped", reason)
                    session.skip(reason)
                self._started[name] = time.monotonic()
                try:
                    for device in setting.devices:
                        tools.check_device(device)
                    for step in self._steps.get(name, []):
                        _run_once(step, session)
                    body(session)
                except (UserError, CheckFailed) as error:
                    record("failed", str(error), error.fix, getattr(error, "output", ""))
                    _fail(session, error)
                except KeyboardInterrupt as interrupt:
                    status = interrupted_status(interrupt)
                    if status == _INTERRUPTED:
                        raise
                    logger.error(f"Session {name} interrupted.")
                    raise SystemExit(status) from interrupt

        vars(session_function)[_CRATE] = self
        session_function.__name__ = name
        session_function.__doc__ = description
        decorate = nox.session(
            name=name,
            python=False,
            venv_backend="none",
            tags=list(tags),
            default="quick" in tags,
            allow_parallel=parallel,
        )
        return decorate(session_function)


def _refuse_words(session: nox.Session) -> None:
    """Refuse words after ``--`` where a session's command is fixed and would not see them."""
    if session.posargs:
        raise UserError(
            f"the session {session.name} takes no options",
            where=f"nox -s {session.name} -- {' '.join(session.posargs)}",
            fix="leave them out",
        )


def _fail(session: nox.Session, error: UserError | CheckFailed) -> None:
    """End a session that failed, and nox by the error's exit status where it has nothing else to do.

    nox itself knows 0 and 1. That holds where there are other sessions, and where a report is
    wanted, as by ``nox -j`` of the processes that it starts.
    """
    status = getattr(error, "status", 1)
    runner = session._runner  # noqa: SLF001 - nox has no other way to ask
    if status != 1 and len(runner.manifest) == 1 and not runner.global_config.report:
        logger.error(f"Session {session.name} aborted: {error}.")
        raise SystemExit(status)
    session.error(str(error))


def _run_once(step: Body, session: nox.Session) -> None:
    """Run a step unless it has run in this run of nox; its failure is every session's."""
    name = f"{step.__module__}.{step.__qualname__}"
    with outcomes.once(name) as done:
        if done.failure is None:
            try:
                step(session)
                done.failure = ""
            except Exception as error:  # whatever a noxfile's function raises
                # nox's own exceptions, those of session.error() for one, have private names
                said = isinstance(error, UserError | CheckFailed) or type(error).__name__.startswith("_")
                done.failure = str(error) if said else f"{type(error).__name__}: {error}"
                raise CheckFailed(
                    f"the step {step.__name__} before {session.name} failed: {done.failure}",
                    output=getattr(error, "output", "") or "",
                ) from error
        elif done.failure:
            raise CheckFailed(f"the step {step.__name__} failed before: {done.failure}")


@contextlib.contextmanager
def _recorded(name: str) -> Iterator[Callable[..., None]]:
    """Record how a session ends for the summary; failures that are ours to mend count as failed."""
    started = time.monotonic()
    ended: tuple[str, ...] = ("passed",)

    def record(*how: str) -> None:
        nonlocal ended
        ended = how

    try:
        yield record
    except BaseException:
        if ended == ("passed",):
            ended = ("failed", "it was interrupted, or raised an exception; see above")
        raise
    finally:
        result, message, fix, output = (*ended, "", "", "")[:4]
        outcomes.add(
            outcomes.SessionOutcome(
                session=name,
                result=result,
                seconds=time.monotonic() - started,
                message=message,
                fix=fix,
                output=output,
            )
        )


@contextlib.contextmanager
def _ending_with_message() -> Iterator[None]:
    """End nox with one message where a noxfile is wrong; nox would show a traceback."""
    try:
        yield
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from error
