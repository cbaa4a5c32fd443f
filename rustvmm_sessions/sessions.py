"""The nox side: ``register()``, and the crate it returns."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import re
import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nox
import nox.registry
from nox.logger import logger

from rustvmm_sessions import catalog, files, outcomes
from rustvmm_sessions.console import print_error, warn
from rustvmm_sessions.deadline import Deadline
from rustvmm_sessions.errors import CheckFailed, Skipped, UserError
from rustvmm_sessions.process import command_line, interrupted_status, interruptible
from rustvmm_sessions.results import Finding
from rustvmm_sessions.rust.cargo import Cargo, machine
from rustvmm_sessions.settings import (
    Override,
    OwnSession,
    Settings,
    default_of,
    own_session,
    settings,
)
from rustvmm_sessions.wording import counted, did_you_mean, nearest

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rustvmm_sessions.pipeline.custom_tests import CustomTest
    from rustvmm_sessions.pipeline.included import Command
    from rustvmm_sessions.process import Finished, Listener
    from rustvmm_sessions.results import Report

    Body = Callable[..., None]

_CRATE = "rustvmm_crate"
"""Where a session in nox's registry has its crate."""
_INTERRUPTED = 130
"""The exit status that nox gives any KeyboardInterrupt."""


def register(**given: Any) -> Crate:
    """Register the standard sessions for the crate whose noxfile calls this.

    A wrong option is printed as one message, and ends nox with exit status 2.

    Returns:
        The crate, to which sessions of its own can be added.
    """
    with _ending_with_message():
        _check_bytecode()
        crate = Crate(settings(Path.cwd(), given))
        described = _custom_tests(crate.settings)
    logger.addFilter(_name_nearest)
    files.hide_bytecode(crate.settings.directory)
    outcomes.collect()
    logger.addFilter(_not_shown_twice)
    for session in catalog.STANDARD:
        if session.name not in crate.settings.skip:
            crate._add_standard(session)  # noqa: SLF001 - the two are one
    for name, tests in described.items():
        crate._add_custom(name, tests)  # noqa: SLF001 - the two are one
    if crate.settings.pipeline_include:
        with _ending_with_message():
            crate._add_included(crate.settings.pipeline_include)  # noqa: SLF001 - the two are one
    return crate


def _document(function: Callable[..., Any]) -> None:
    """Give a function that takes the options of a crate their signature, and its docstring their help."""
    options = [f for f in fields(Settings) if f.metadata]
    first, _, rest = (function.__doc__ or "").partition("\n\n")
    told = "\n".join(f"        {f.name}: {f.metadata['what']}." for f in options)
    function.__doc__ = f"{first}\n\n    Args:\n{told}\n\n{rest}"
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(f.name, keyword, default=default_of(f)) for f in options]
    vars(function)["__signature__"] = inspect.Signature(parameters, return_annotation=Crate)


def _check_bytecode() -> None:
    """Refuse to go on where Python runs a noxfile as it was before its last change."""
    spec = getattr(sys.modules.get("user_nox_module"), "__spec__", None)  # as nox calls it
    if not spec or not spec.cached or files.bytecode_is_current(Path(spec.origin), Path(spec.cached)):
        return
    raise UserError(
        "Python has run an older version of this noxfile, whose bytecode it had kept",
        where=spec.origin,
        fix=f"remove that, and run it again: `rm -f {shlex.quote(spec.cached)}`",
    )


def _custom_tests(crate: Settings) -> dict[str, list[CustomTest]]:
    """Return the sessions that the crate's description files make, each with its tests."""
    from rustvmm_sessions.rust import members

    try:
        of_members = any(member.tests for member in members.of(crate))
    except UserError as error:
        if crate.members:
            raise
        warn(f"{error.what}\n --> {error.where}: so tests of members are no sessions")
        crate, of_members = replace(crate, members=False), False
    if not crate.custom_tests and not of_members:
        return {}
    from rustvmm_sessions.pipeline.generate import custom_tests_of

    found: dict[str, list[CustomTest]] = {}
    for test in custom_tests_of(crate, warn):
        found.setdefault(test.session, []).append(test)
    return found


def _not_shown_twice(record: logging.LogRecord) -> bool:
    """Leave out of nox's list of sessions those that the end of the run shows, with what they found."""
    text = record.getMessage()
    if ran := re.match(r"Ran (\d+) sessions\b", text):
        return int(ran[1]) != len(outcomes.recorded_sessions())
    return not (
        text.startswith("* ") and any(text.startswith(f"* {name}: ") for name in outcomes.recorded_sessions())
    )


def registered() -> Crate | None:
    """Return the crate that the noxfile which was run last registers."""
    crates = (vars(function).get(_CRATE) for function in nox.registry.get().values())
    return next((crate for crate in crates if isinstance(crate, Crate)), None)


def _name_nearest(record: logging.LogRecord) -> bool:
    """Add the nearest right names to what nox says of sessions or tags that do not exist."""
    message, functions = record.getMessage(), nox.registry.get()
    if missing := re.match(r"Sessions not found: (.+)|Session (.+) not found", message):
        asked = (missing[1] or missing[2]).split(", ")
        right = {each.alias: each.name for each in catalog.STANDARD if each.alias and each.name in functions}
        right |= {name: name for name in functions}
    elif message.startswith("Tag selection caused no sessions"):
        options = argparse.ArgumentParser(add_help=False)
        options.add_argument("-t", "--tags", nargs="*", default=[])
        asked = options.parse_known_args(sys.argv[1:])[0].tags
        right = {tag: tag for function in functions.values() for tag in function.tags}
    else:
        return True
    close = [right[name] for name in (nearest(name, right, 0.6) for name in asked) if name]
    known = ", ".join(dict.fromkeys(right.values()))
    meant = f"did you mean {', '.join(map(repr, close))}?" if close else f"there are: {known}"
    record.msg, record.args = f"{message}\nhelp: {meant}", None
    return True


class Crate:
    """A crate with registered sessions.

    Attributes:
        settings: What its ``register()`` call says, and the sessions of its own.
    """

    def __init__(self, checked: Settings) -> None:
        self._settings = checked
        self._names: set[str] = set()
        self._steps: dict[str, list[Body]] = {}
        self._deadlines: dict[str, Deadline] = {}
        self._reports: dict[str, Report] = {}

    @property
    def settings(self) -> Settings:
        """What its ``register()`` call says, and the sessions of its own, each with its parameters."""
        own: list[OwnSession] = []
        for each in self._settings.own:
            parameters = _parameters(nox.registry.get().get(each.name))
            own += [each] if parameters is None else []
            own += [
                replace(each, name=f"{each.name}({p})", alias=each.name, tags=(*each.tags, *p.tags))
                for p in parameters or ()
            ]
        return replace(self._settings, own=tuple(own))

    def session(
        self,
        function: Body | None = None,
        /,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        **given: Any,
    ) -> Any:
        """Add a session of the crate's own; used as a decorator, with or without options.

        Args:
            function: What the session does; its docstring is its description.
            name: The session's name; the function's by default.
            tags: As in ``nox -t TAG``; with ``quick`` it is part of plain ``nox``.
            given: The settings of `rustvmm_sessions.settings.Override`: ``platforms``,
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
        description = function.__doc__ or f"Run {name}."
        return self._add_own(own, function, description, _parameters(function))

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
        cargo, deadline = self._cargo(session), self._deadlines[session.name]
        self._heard(session, lambda heard: cargo.run(*args, env=env, deadline=deadline, listener=heard))

    def run(self, session: nox.Session, *args: str, env: Mapping[str, str | None] | None = None) -> None:
        """Run any program as `cargo` runs cargo: its process group ends with it."""
        from rustvmm_sessions.process import run

        cargo, deadline = self._cargo(session), self._deadlines[session.name]
        directory, variables = cargo.directory, {**cargo.env, **(env or {})}
        self._heard(
            session,
            lambda heard: run(args, cwd=directory, env=variables, deadline=deadline, listener=heard),
        )

    def _heard(self, session: nox.Session, start: Callable[[Listener], Finished]) -> None:
        """Run a program; what it says of tests and of what does not compile is reported."""
        from rustvmm_sessions.rust.libtest import heard

        report = self._reports[session.name]
        heard(start, report, report.file).check()

    def finding(self, session: nox.Session, title: str, **given: Any) -> None:
        """Report what the session has found; one of level ``error`` fails it when it ends.

        Args:
            session: The running session.
            title: What is wrong, in one line.
            given: The other fields of `rustvmm_sessions.results.Finding`: ``kind`` (``lint`` unless
                given), ``level``, ``message``, ``file`` (from the crate's directory), ``line``, ``end_line``.
        """
        report = self._reports[session.name]
        found = Finding(**{"kind": "lint", "title": title, **given})
        report.found(replace(found, file=report.file(found.file) if found.file else None))

    def _cargo(self, session: nox.Session) -> Cargo:
        """Return cargo in the crate's directory, with the variables of a running session."""
        return Cargo(directory=self.settings.directory, env=self.settings.session(session.name).env)

    def _add_standard(self, session: catalog.StandardSession) -> None:
        def body(running: nox.Session) -> None:
            from rustvmm_sessions import standard

            standard.run(
                session.name,
                words=running.posargs,
                crate=self.settings,
                deadline=self._deadlines[session.name],
                called_from=Path(running.invoked_from),
                report=self._reports[session.name],
                known=_names(running),
            )

        description = f"{session.summary}\n\nIts options: nox -s {session.name} -- --help"
        tags = self.settings.session(session.name).row.tags
        self._add(session.name, body, description, tags, parallel=session.parallel)

    def _add_custom(self, name: str, tests: Sequence[CustomTest]) -> None:
        """Add the session of tests that share a name, each for machines of its own."""
        test = next((test for test in tests if test.is_for(machine())), tests[0])
        everywhere = tuple(platform for each in tests for platform in each.platforms)
        own = OwnSession(
            name=name,
            tags=("custom",) if test.skipped else ("gate", "custom"),
            override=replace(test.override, platforms=everywhere or None),
            described=True,
        )

        def body(session: nox.Session) -> None:
            from rustvmm_sessions.pipeline.shell import run_custom_test

            if not any(test.cases):
                _refuse_words(session)
            run_custom_test(
                self._cargo(session), test, session.posargs, self._deadlines[name], self._reports[name]
            )

        summary = test.command.splitlines()[0]
        self._add_own(own, body, f"Custom test: {summary}\n\n{test.command}")

    def _add_included(self, file: Path) -> None:
        """Add what the steps of the crate's own pipeline file run, each by its label."""
        from rustvmm_sessions.pipeline.generate import read_included
        from rustvmm_sessions.pipeline.included import commands
        from rustvmm_sessions.pipeline.shell import Script, run_script

        found = commands(read_included(self.settings.directory, file))
        for command in {
            command.label: command for command in found
        }.values():  # with a matrix, some share one
            if command.label in self._names:
                standard = f': register(skip=["{command.label}"])' if catalog.named(command.label) else ""
                raise UserError(
                    f"there is a session {command.label!r} already",
                    where=str(file),
                    fix=f"give the step another label, or leave the session out{standard}",
                )

            def body(session: nox.Session, command: Command = command) -> None:
                _refuse_words(session)
                if command.matrix:
                    raise UserError(
                        f"the step {command.label!r} has a matrix, which Buildkite expands",
                        where=str(file),
                        fix="run its command with the values filled in",
                    )
                script = Script(
                    name=command.label, program="bash", text=command.script, soft_fail=command.soft_fail
                )
                run_script(
                    script,
                    self._cargo(session),
                    self._deadlines[session.name],
                    self._reports[session.name],
                )

            override = Override(env=dict(command.env), timeout_minutes=command.timeout_minutes)
            own = OwnSession(name=command.label, override=override, described=True)
            self._add_own(own, body, f"Run the step of {file}.\n\n{command.script}")

    def _add_own(
        self, own: OwnSession, body: Body, description: str, parameters: list[Any] | None = None
    ) -> Any:
        self._settings = replace(self._settings, own=(*self._settings.own, own))
        added = self._add(own.name, body, description, own.tags)
        if parameters is not None:
            added.parametrize = parameters
        return added

    def _add(
        self, name: str, body: Body, description: str, tags: Sequence[str], *, parallel: bool = False
    ) -> Any:
        self._names.add(name)
        own = any(each.name == name for each in self._settings.own)

        def session_function(session: nox.Session, /, **parameters: Any) -> None:
            setting = self.settings.session(name)
            config = session._runner.global_config  # noqa: SLF001 - nox has no other way to ask
            if (
                getattr(config, "parallel_worker", False) and config.color
            ):  # what it prints ends on the terminal of `nox -j`
                os.environ.setdefault("CARGO_TERM_COLOR", "always")
            with interruptible(), _ending(session), _recorded(session) as report:
                if not setting.runs_on(machine()):
                    platforms = ", ".join(setting.platforms)
                    raise Skipped(f"{name} is for {platforms}, this machine is {machine()}")
                if config.install_only:
                    raise Skipped("nothing is to be run: --install-only")
                self._deadlines[session.name] = Deadline(minutes=setting.timeout_minutes)
                self._reports[session.name] = report
                for device in setting.devices:
                    from rustvmm_sessions.rust.tools import check_device

                    check_device(device)
                for step in self._steps.get(name, []):
                    _run_once(step, session)
                body(session, **parameters)
                if wrong := [each.title for each in report.findings if own and each.level == "error"]:
                    raise CheckFailed(f"{counted(len(wrong), 'finding')}: {wrong[0]}")

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


_document(register)


def _parameters(function: object) -> list[Any] | None:
    """Return what ``nox.parametrize`` has put on a function, None where it has not been used."""
    return getattr(function, "parametrize", None)


def _names(session: nox.Session) -> frozenset[str]:
    """Return the names by which nox knows the sessions of the noxfile."""
    every = session._runner.manifest.list_all_sessions()  # noqa: SLF001 - nox has no other way to ask
    return frozenset(name for runner, _ in every for name in (runner.name, *runner.signatures))


def _refuse_words(session: nox.Session) -> None:
    """Refuse words after ``--`` where a session's command is fixed and would not see them."""
    if session.posargs:
        raise UserError(
            f"the session {session.name} takes no options",
            where=f"nox -s {session.name} -- {' '.join(session.posargs)}",
            fix="leave them out",
        )


@contextlib.contextmanager
def _ending(session: nox.Session) -> Iterator[None]:
    """End a session in nox as what is raised in it says, after one message.

    nox itself knows the statuses 0, 1 and, after any interrupt, 130. An error's own status is that of nox
    where it has no other session, and no report to make, as ``nox -j`` wants of processes that it starts.
    """
    try:
        yield
    except Skipped as reason:
        session.skip(str(reason))
    except (UserError, CheckFailed) as error:
        print_error(error)
        status = getattr(error, "status", 1)
        runner = session._runner  # noqa: SLF001 - nox has no other way to ask
        if status != 1 and len(runner.manifest) == 1 and not runner.global_config.report:
            logger.error(f"Session {session.name} aborted.")
            raise SystemExit(status) from error
        session.error()
    except KeyboardInterrupt as interrupt:
        status = interrupted_status(interrupt)
        if status == _INTERRUPTED:
            raise
        logger.error(f"Session {session.name} interrupted.")
        raise SystemExit(status) from interrupt


def _recorded(session: nox.Session) -> contextlib.AbstractContextManager[Report]:
    config = session._runner.global_config  # noqa: SLF001 - nox has no other way to ask
    called_from = Path(session.invoked_from)
    noxfile = os.path.relpath(config.noxfile, called_from)
    named = [] if noxfile == "noxfile.py" else ["-f", noxfile]
    words = ["--", *session.posargs] if session.posargs else []
    return outcomes.recorded(
        session.name,
        command_line(["nox", *named, "-s", session.name, *words]),
        directory=Path.cwd(),
        called_from=called_from,
        summed=True,
    )


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
def _ending_with_message() -> Iterator[None]:
    """End nox with one message where a noxfile is wrong; nox would show a traceback."""
    try:
        yield
    except UserError as error:
        print_error(error)
        raise SystemExit(2) from error
