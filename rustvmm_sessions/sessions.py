"""The nox side: ``register()``, the crate it returns, and how sessions read their options."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import nox

from rustvmm_sessions import catalog, files
from rustvmm_sessions.cargo import Cargo, machine
from rustvmm_sessions.config import Override, Settings, did_you_mean, override, settings
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.model import Backend, Profile, Scope
from rustvmm_sessions.process import interruptible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Body = Callable[[nox.Session], None]

PROFILE_VARIABLE = "RUSTVMM_PROFILE"


def register(  # noqa: PLR0913 - the options of a crate, all by name
    *,
    workspace: bool = True,
    env: Mapping[str, str] | None = None,
    skip: Sequence[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    platforms: Sequence[str] | None = None,
    coverage_tolerance: float | None = None,
    **unknown: Any,  # noqa: ANN401 - named in a message
) -> Crate:
    """Register the standard sessions for the crate whose noxfile calls this.

    Args:
        workspace: Whether sessions mean the whole workspace, or only the noxfile's own package.
        env: Variables laid over the caller's in every session.
        skip: Standard sessions to leave out, by their names or rust-vmm-ci's.
        overrides: Settings of single sessions, such as
            ``{"coverage": {"timeout_minutes": 30, "devices": ["/dev/kvm"]}}``; the keys are those
            of `rustvmm_sessions.config.Override`.
        platforms: The architectures the crate is for: ``x86_64``, ``aarch64``, ``riscv64``.
        coverage_tolerance: Points by which coverage may differ from tests/coverage; 0 by default.
        unknown: Nothing else; what is given is refused with the nearest right name.

    Returns:
        The crate, to which sessions of its own can be added.

    A wrong option is printed as one message, and ends nox with exit status 2.
    """
    given = {
        "workspace": workspace,
        "env": env,
        "skip": skip,
        "overrides": overrides,
        "platforms": platforms,
        "coverage_tolerance": coverage_tolerance,
        **unknown,
    }
    with _ending_with_message():
        crate = Crate(settings(Path.cwd(), given))
    files.hide_bytecode(crate.settings.directory)
    for standard in catalog.STANDARD:
        if standard.name not in crate.settings.skip:
            crate._add_standard(standard)  # noqa: SLF001 - the two are one
    return crate


class Crate:
    """A crate with registered sessions.

    Attributes:
        settings: What its ``register()`` call says.
    """

    def __init__(self, checked: Settings) -> None:
        self.settings = checked
        self._overrides: dict[str, Override] = dict(checked.overrides)

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
                ``timeout_minutes``, ``devices``, ``env``.
        """
        if function is None:
            return lambda decorated: self.session(decorated, name=name, tags=tags, **given)
        name = name or function.__name__
        with _ending_with_message():
            if name in self._overrides or (catalog.standard(name) and name not in self.settings.skip):
                raise UserError(
                    f"there is a session {name!r} already",
                    where=f"@crate.session, {function.__name__}",
                    fix=f'give it another name, or leave the other out: register(skip=["{name}"])',
                )
            self._overrides[name] = override(f"@crate.session, {function.__name__}", given)
        return self._add(name, function, function.__doc__ or f"Run {name}.", tags)

    def cargo(self, session: nox.Session, *args: str, env: Mapping[str, str | None] | None = None) -> None:
        """Run ``cargo ARGS`` in the crate's directory; the session fails if it does.

        Args:
            session: The running session; its time limit and variables hold.
            args: Arguments for cargo.
            env: More variables laid over the caller's.
        """
        with _ending_session(session):
            self._cargo(session.name).run(*args, env=env, timeout=self._timeout(session.name)).check()

    def run(self, session: nox.Session, *args: str, env: Mapping[str, str | None] | None = None) -> None:
        """Run any program as `cargo` runs cargo: its process group ends with it."""
        from rustvmm_sessions.process import run  # noqa: PLC0415 - named like this method

        with _ending_session(session):
            variables = {**self._variables(session.name), **(env or {})}
            run(args, cwd=self.settings.directory, env=variables, timeout=self._timeout(session.name)).check()

    def _add_standard(self, standard: catalog.StandardSession) -> None:
        body = _BODIES[standard.name]
        options = _OPTIONS[standard.name](standard)

        def run_session(session: nox.Session) -> None:
            given = _parse(options, session.posargs, standard)
            if given is not None:
                given.invoked_from = Path(session.invoked_from)
                body(self, given)

        description = f"{standard.summary}\n\n{options.format_help()}"
        self._add(standard.name, run_session, description, standard.tags)

    def _add(self, name: str, body: Body, description: str, tags: Sequence[str]) -> Any:  # noqa: ANN401
        setting = self._overrides.get(name, Override())

        def session_function(session: nox.Session) -> None:
            platforms = setting.platforms or self.settings.platforms
            if platforms and machine() not in platforms:
                session.skip(f"{name} is for {', '.join(platforms)}, this machine is {machine()}")
            with _ending_session(session), interruptible():
                for device in setting.devices:
                    _check_device(device)
                body(session)

        session_function.__name__ = name
        session_function.__doc__ = description
        decorate = nox.session(
            name=name, python=False, venv_backend="none", tags=list(tags), default="quick" in tags
        )
        return decorate(session_function)

    def _variables(self, name: str) -> dict[str, str]:
        return {**self.settings.env, **self._overrides.get(name, Override()).env}

    def _cargo(self, name: str, toolchain: str = "") -> Cargo:
        chosen = {"RUSTUP_TOOLCHAIN": toolchain} if toolchain else {}
        return Cargo(directory=self.settings.directory, env={**self._variables(name), **chosen})

    def _timeout(self, name: str) -> float:
        minutes = self._overrides.get(name, Override()).timeout_minutes
        if minutes is None:
            standard = catalog.standard(name)
            minutes = standard.timeout_minutes if standard else catalog.TIMEOUT_MINUTES
        return 60 * minutes


@contextlib.contextmanager
def _ending_session(session: nox.Session) -> Iterator[None]:
    """Turn what is the user's to mend, or a failed check, into the end of the session."""
    try:
        yield
    except (UserError, CheckFailed) as error:
        session.error(str(error))


@contextlib.contextmanager
def _ending_with_message() -> Iterator[None]:
    """End nox with one message where a noxfile is wrong; nox would show a traceback."""
    try:
        yield
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from error


def _check_device(device: str) -> None:
    if not os.path.exists(device):  # noqa: PTH110
        raise UserError(
            f"the device {device} is not there",
            where=device,
            fix="run on a machine with virtualisation switched on, or load its module: `sudo modprobe kvm`"
            if device == "/dev/kvm"
            else "run where the device is, or take it out of devices= in the noxfile",
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise UserError(
            f"the device {device} may not be opened by this user",
            where=device,
            fix="join the group that owns it, and log in anew: `sudo usermod -aG kvm $USER`"
            if device == "/dev/kvm"
            else "change its permissions",
        )


# Options after --


class _Parser(argparse.ArgumentParser):
    """Options of a session: no abbreviations, and errors that name the options there are."""

    def __init__(self, standard: catalog.StandardSession) -> None:
        super().__init__(
            prog=f"nox -s {standard.name} --",
            usage=f"nox -s {standard.name} -- [+TOOLCHAIN] [OPTION ...]",
            add_help=False,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100, max_help_position=30),
        )
        self.session = standard.name
        self.add_argument("--help", action="store_true", help="show this help")

    @property
    def known(self) -> list[str]:
        """The long names of all options."""
        return [string for action in self._actions for string in action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print before it exits with nox."""
        raise UserError(
            message, where=f"nox -s {self.session} --", fix=f"the options are {', '.join(self.known)}"
        )


def _parse(
    parser: _Parser, words: Sequence[str], standard: catalog.StandardSession
) -> argparse.Namespace | None:
    """Return the options given, or None after showing the help.

    The attribute `rest` holds the words that the session does not know, in sessions that forward
    them; `toolchain` the name after a leading ``+``.
    """
    toolchain = ""
    if words and words[0].startswith("+"):
        toolchain, words = words[0][1:], words[1:]
    given, rest = parser.parse_known_args(list(words))
    if given.help:
        sys.stdout.write(parser.format_help())
        return None
    if rest and not standard.forwards:
        word = rest[0].partition("=")[0]
        raise UserError(
            f"the session {standard.name} has no option {word!r}",
            where=f"nox -s {standard.name} -- {' '.join(words)}",
            fix=f"{did_you_mean(word, parser.known)} (all of them: {', '.join(parser.known)})",
        )
    given.rest = rest
    given.toolchain = toolchain
    return given


def _coverage_options(standard: catalog.StandardSession) -> _Parser:
    parser = _Parser(standard)
    add = parser.add_argument
    add(
        "--profile",
        choices=[str(profile) for profile in Profile],  # messages show what is to be typed
        help="ci (default; also by RUSTVMM_PROFILE) or devel, which records",
    )
    backends = [str(backend) for backend in Backend]
    add("--backend", choices=backends, default=str(Backend.AUTO), help="what counts the lines")
    add(
        "--scope",
        choices=[str(scope) for scope in Scope],
        help="all members of the workspace, or this package",
    )
    add("--no-default-features", action="store_true", help="without the crate's default features")
    add(
        "--html",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="DIR",
        help="write HTML pages, and print the path of the first",
    )
    add("--lcov", type=Path, metavar="FILE", help="write an LCOV tracefile")
    add("--cobertura", type=Path, metavar="FILE", help="write a Cobertura report")
    add("--json", type=Path, metavar="FILE", help="write the outcome as JSON, also when the check fails")
    add(
        "--diff",
        nargs="?",
        const="",
        metavar="REF",
        help="coverage of the lines changed since the merge base",
    )
    add(
        "--repeat",
        type=_count,
        default=1,
        metavar="N",
        help="run the tests N times, name lines not always reached",
    )
    add("--allow-lower", action="store_true", help="let devel record a lower value")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return int(text)


def _profile(given: str | None) -> Profile:
    name = given or os.environ.get(PROFILE_VARIABLE) or Profile.CI
    if name not in list(Profile):
        raise UserError(
            f"there is no profile {name!r}",
            where=f"{PROFILE_VARIABLE}={name}",
            fix=did_you_mean(name, list(Profile)),
        )
    return Profile(name)


def _coverage(crate: Crate, given: argparse.Namespace) -> None:
    from rustvmm_sessions.actions.coverage import CoverageRequest, check_coverage  # noqa: PLC0415

    directory = crate.settings.directory
    cargo = crate._cargo("coverage", given.toolchain)  # noqa: SLF001
    profile = _profile(given.profile)
    if given.allow_lower and profile is not Profile.DEVEL:
        raise UserError(
            "--allow-lower has no meaning under the profile ci, which never writes",
            where="--allow-lower",
            fix="add --profile devel",
        )

    def output(path: Path | None) -> Path | None:
        return path and given.invoked_from / path

    check_coverage(
        CoverageRequest(
            directory=directory,
            profile=profile,
            scope=Scope(given.scope or (Scope.WORKSPACE if crate.settings.workspace else Scope.CRATE)),
            backend=Backend(given.backend),
            default_features=not given.no_default_features,
            tolerance=crate.settings.coverage_tolerance,
            allow_lower=given.allow_lower,
            repeat=given.repeat,
            html=given.html and (given.html if given.html == Path() else given.invoked_from / given.html),
            lcov=output(given.lcov),
            cobertura=output(given.cobertura),
            json=output(given.json),
            diff=given.diff,
            timeout=crate._timeout("coverage"),  # noqa: SLF001
            env=cargo.env,
        )
    )


def _setup(crate: Crate, given: argparse.Namespace) -> None:
    from rustvmm_sessions.actions.setup import provide_tools  # noqa: PLC0415

    provide_tools(crate._cargo("setup", given.toolchain))  # noqa: SLF001


_BODIES: dict[str, Callable[[Crate, argparse.Namespace], None]] = {"coverage": _coverage, "setup": _setup}
_OPTIONS: dict[str, Callable[[catalog.StandardSession], _Parser]] = {
    "coverage": _coverage_options,
    "setup": _Parser,
}
