"""The command ``rustvmm-sessions``, for what is wanted without a noxfile."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rustvmm_sessions import __version__, catalog, noxfile, vendored
from rustvmm_sessions.bench import options as bench
from rustvmm_sessions.commits import options as commits
from rustvmm_sessions.console import let_go, print_error
from rustvmm_sessions.container import options as container
from rustvmm_sessions.errors import CheckFailed, UserError
from rustvmm_sessions.invocation import long_options
from rustvmm_sessions.pipeline import options as pipeline
from rustvmm_sessions.process import command_line, interrupted_status, interruptible
from rustvmm_sessions.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from rustvmm_sessions.pipeline.model import Pipeline


def main(words: list[str] | None = None) -> int:
    """Run the command; return its exit status.

    0 done, 1 a check failed, 2 a wrong call or configuration; of ``reproduce``, that of the step;
    128 + N after signal N.
    """
    parser = _Parser(prog="rustvmm-sessions", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_text, options_of, _) in _COMMANDS.items():
        options_of(commands.add_parser(name, help=help_text, description=help_text, allow_abbrev=False))
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    words = sys.argv[1:] if words is None else words
    command = next((word for word in words if not word.startswith("-")), None)
    if command is not None and command not in _COMMANDS:
        parser.refuse(f"there is no command {command!r}", did_you_mean(command, _COMMANDS))
    given, rest = parser.parse_known_args(words)
    if rest:
        options = commands.choices[given.command]
        word = rest[0].partition("=")[0]
        options.refuse(f"{given.command} has no option {word!r}", did_you_mean(word, long_options(options)))
    given.repeat = command_line([parser.prog, *words])
    try:
        with interruptible():
            _require_directory()
            _COMMANDS[given.command][2](given)
    except CheckFailed as error:
        print_error(error)
        return error.status
    except UserError as error:
        print_error(error)
        return 2
    except BrokenPipeError:
        let_go(sys.stdout)
        return 128 + signal.SIGPIPE  # not 0: what was to be checked or written may not have been
    except KeyboardInterrupt as interrupt:
        return interrupted_status(interrupt)
    return 0


class _Parser(argparse.ArgumentParser):
    """Options, whose errors are ours: of a value they repeat no more than can be read."""

    def error(self, message: str) -> NoReturn:
        self.refuse(message)

    def refuse(self, what: str, fix: str = "") -> NoReturn:
        """End with what is wrong, and what to do about it."""
        self.print_usage(sys.stderr)
        print_error(UserError(what, fix=fix))
        self.exit(2)


def _require_directory() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UserError(
            "the directory in which this was called is gone",
            where=os.environ.get("PWD", ""),
            fix="call it elsewhere",
        ) from error


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _doctor(given: argparse.Namespace) -> None:
    noxfile.begin("doctor", given, noxfile.settings_in(Path.cwd()), given.repeat)


def _commit_format(given: argparse.Namespace) -> None:
    noxfile.begin("commit-format", given, noxfile.settings_in(Path.cwd()), given.repeat)


def _bench_options(parser: argparse.ArgumentParser) -> None:
    bench.add_options(parser)
    parser.add_argument(
        "--analyse", type=Path, metavar="FILE", help="measure nothing; judge the figures in FILE anew"
    )


def _bench(given: argparse.Namespace) -> None:
    if given.analyse is not None:
        from rustvmm_sessions.bench.compare import analyse

        analyse(given.analyse, given.threshold, bench.delivery(given, Path.cwd()))
        return
    settings = noxfile.settings_in(Path.cwd())
    noxfile.begin("bench", given, settings, given.repeat, command="rustvmm-sessions bench")


def _init_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dry-run", action="store_true", help="show what would be written, write nothing")
    add("--yes", action="store_true", help="create what is missing without asking")
    add(
        "--replace",
        action="append",
        default=[],
        metavar="FILE",
        help="replace FILE where it differs, instead of keeping it; may be repeated",
    )
    add(
        "--platforms",
        nargs="+",
        choices=catalog.KNOWN_PLATFORMS,
        metavar="PLATFORM",
        help=f"what CI runs on: {', '.join(catalog.PLATFORMS)}",
    )
    add(
        "--dependabot",
        choices=["weekly", "monthly", "none"],
        help="how often dependabot updates (default: weekly, or none beside renovate)",
    )
    add("--publish", action="store_true", help="publish packages on crates.io when their tags are pushed")
    add("--buildkite", action="store_true", help="let Buildkite's agents run the sessions")
    add(
        "--no-vendor",
        action="store_true",
        help=f"with --buildkite: keep no {vendored.VENDORED}; the agents' image brings nox",
    )
    add("--github", action="store_true", help="let GitHub's runners run them, by a workflow")
    add(
        "--pytest",
        action="store_true",
        help="make coverage a test of pytest's: `pytest --profile=devel tests/test_coverage.py`",
    )


def _init(given: argparse.Namespace) -> None:
    from rustvmm_sessions.init.scaffold import Wishes
    from rustvmm_sessions.init.write import InitRequest, initialize

    initialize(
        InitRequest(
            directory=Path.cwd(),
            wishes=Wishes(
                platforms=tuple(dict.fromkeys(given.platforms)) if given.platforms else None,
                dependabot=given.dependabot,
                publish=given.publish,
                buildkite=given.buildkite,
                github=given.github,
                vendor=given.buildkite and not given.no_vendor,
                pytest=given.pytest,
            ),
            workflow=noxfile.workflow_of,
            replace=tuple(given.replace),
            yes=given.yes,
            dry_run=given.dry_run,
        )
    )


def _described_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-t",
        "--test-description",
        type=Path,
        metavar="JSON",
        help="the tests, in rust-vmm-ci's form; without it, the standard ones",
    )
    add(
        "-p",
        "--platform-allowlist",
        type=Path,
        metavar="FILE",
        help="the platforms, one a line (default: .platform; where it is missing, x86_64 and aarch64)",
    )
    add(
        "--workspace-selective",
        type=_truth,
        nargs="?",
        const=True,
        default=False,
        metavar="BOOL",
        help="steps for each member of a workspace, run when it or what it depends on changes",
    )
    add("--include", type=Path, metavar="FILE", help="add the steps of a pipeline file, as they are")


def _pipeline_options(parser: argparse.ArgumentParser) -> None:
    _described_options(parser)
    pipeline.add_options(parser)


def _reproduce_options(parser: argparse.ArgumentParser) -> None:
    container.add_reproduce_options(parser)
    _described_options(parser)


def _zipapp_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("rustvmm-sessions.pyz"),
        metavar="FILE",
        help="(default: rustvmm-sessions.pyz)",
    )


def _zipapp(given: argparse.Namespace) -> None:
    vendored.write(given.output)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _pipeline(given: argparse.Namespace) -> None:
    from rustvmm_sessions.pipeline.generate import deliver

    words = ["rustvmm-sessions", "pipeline"]
    for option, value in (
        ("--test-description", given.test_description),
        ("--platform-allowlist", given.platform_allowlist),
        ("--include", given.include),
    ):
        words += [option, str(value)] if value else []
    words += ["--workspace-selective"] if given.workspace_selective else []
    deliver(_described(given), given, crate=Path(), called_from=Path(), command=tuple(words))


def _reproduce(given: argparse.Namespace) -> None:
    container.reproduce_step(_described(given), given, Path.cwd())


def _described(given: argparse.Namespace) -> Pipeline:
    from rustvmm_sessions.pipeline.generate import Described, of_description

    asked = Described(
        directory=Path(),
        description=given.test_description,
        platforms=given.platform_allowlist,
        selective=given.workspace_selective,
        include=given.include,
    )
    return of_description(asked)


_COMMANDS: dict[
    str,
    tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], None]],
] = {
    "doctor": ("say which tools are there and which are missing", _doctor_options, _doctor),
    "init": ("bring a repository the files it needs, after showing them", _init_options, _init),
    "commit-format": (
        "check the messages of the commits that are not upstream yet",
        commits.add_options,
        _commit_format,
    ),
    "bench": ("compare benchmarks with upstream", _bench_options, _bench),
    "pipeline": ("print the pipeline of a crate without a noxfile", _pipeline_options, _pipeline),
    "reproduce": ("run one step of that pipeline as CI's agent does", _reproduce_options, _reproduce),
    "zipapp": ("write nox and this library as one file that Python runs", _zipapp_options, _zipapp),
}

if __name__ == "__main__":
    sys.exit(main())
