"""What libFuzzer prints, and how a test repeats the input that it found."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

CRASH, HANG = "crash", "hang"
_KINDS = {
    "libFuzzer: timeout": HANG,
    "libFuzzer: out-of-memory": "out of memory",
    "LeakSanitizer": "memory leak",
}
"""What is found, by what the error begins with; all else is a crash."""
MOST_BYTES = 256
"""The longest input that stands in a test's source."""
_PROGRESS = re.compile(r"#(\d+):?\s.*?cov: (\d+) .*?corp: (\d+).*?exec/s:? (\d+)")
_INPUT = re.compile(r"^Running: (.*)$|Test unit written to (.*)$", re.MULTILINE)
_PANIC = re.compile(r"^thread .* panicked at (.+):(\d+):\d+:\n(.*)$", re.MULTILINE)
_ERROR = re.compile(r"^==\d+==\s*ERROR: (.*?)(?: on (?:unknown )?address .*| \(pid.*)?$", re.MULTILINE)
_FRAME = re.compile(
    r"^ +#\d+ 0x\w+ in (?!.*/(?:rustc|registry|git/checkouts)/)\S.*? (/.+?\.rs):(\d+)", re.MULTILINE
)
_NO_USE = re.compile(r" +#\d+ 0x|NOTE: |note: |\n| +Combine libFuzzer")
_TARGET = re.compile(r"fuzz_target!\(\s*(?:move\s+)?\|\s*(\w+)\s*(?::\s*([^|]+?))?\s*\|\s*")
_FOREIGN = re.compile(
    r"^ +#\d+ .*(?:/rustc/|/registry/|/git/checkouts/|/sysdeps/|/nptl/|/stdlib/|_start |libc\.so)"
)
_USES = re.compile(r"^use (?!libfuzzer_sys\b)[^;]+;", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a fuzzer is: inputs run, edges of the program reached, inputs kept, inputs a second."""

    executions: int
    coverage: int
    kept: int
    rate: int

    def __str__(self) -> str:
        return (
            f"{self.executions:,} executions, {self.rate:,} per second, "
            f"coverage {self.coverage:,}, corpus {self.kept:,}"
        )


def progress_in(line: str) -> Progress | None:
    """Return what a line says of the progress, None where it says nothing."""
    match = _PROGRESS.match(line)
    if match is None:
        return None
    executions, coverage, kept, rate = map(int, match.groups())
    return Progress(executions=executions, coverage=coverage, kept=kept, rate=rate)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What libFuzzer says of the input that it stopped at.

    Attributes:
        kind: ``crash``, ``hang``, ``out of memory`` or ``memory leak``.
        input: The file that holds the input.
        why: The panic's message, or the sanitizer's error.
        file: The source that panicked, as rustc names it; empty where nothing says.
        line: The line in it.
    """

    kind: str
    input: str
    why: str
    file: str = ""
    line: int | None = None


def failure_in(output: str) -> Failure | None:
    """Return why libFuzzer stopped; None where it names no input."""
    named, error = [*_INPUT.finditer(output)], _ERROR.search(output)
    if not named or error is None:
        return None
    kind = next((kind for start, kind in _KINDS.items() if error[1].startswith(start)), CRASH)
    panic, frame = _PANIC.search(output), _FRAME.search(output)
    place = panic or frame
    return Failure(
        kind=kind,
        input=named[-1][1] or named[-1][2],
        why=panic[3] if panic and kind == CRASH else error[1].removeprefix("libFuzzer: "),
        file=place[1] if place else "",
        line=int(place[2]) if place else None,
    )


def told(output: str) -> str:
    """Return the part of the output that says why libFuzzer stopped, with the frames of the workspace."""
    lines = output.splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if re.match(r"thread .* panicked at|==\d+==", line)), 0)
    end = next((n for n, line in enumerate(lines) if line.startswith("SUMMARY: ")), len(lines))
    return "".join(line for line in lines[start:end] if _FRAME.match(line) or not _NO_USE.match(line))


def literal(data: bytes) -> str:
    """Return bytes as a literal of Rust."""
    escaped = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0: "\\0"}
    return 'b"{}"'.format(
        "".join(escaped.get(b, chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}") for b in data)
    )


def test_of(name: str, data: bytes, source: str, *, file: str) -> str:
    """Return a unit test that does with an input what the fuzz target does.

    Args:
        name: The test's name.
        data: The input.
        source: The source of the fuzz target.
        file: Where the input is, for one that is too long to stand in the test.
    """
    short = len(data) <= MOST_BYTES
    taken = literal(data) if short else f'include_bytes!("{name}.bin")'
    lines = [] if short else [f"// {name}.bin is a copy of {file}"]
    match = _TARGET.search(source)
    body = match and _block(source, match.end())
    if match is None or body is None:
        lines += [f"let data: &[u8] = {taken};", "// what the fuzz target does with data"]
    else:
        variable, kind = match[1], " ".join((match[2] or "&[u8]").split())
        if kind != "&[u8]":
            taken = (
                f"<{kind} as arbitrary::Arbitrary>::arbitrary_take_rest"
                f"(arbitrary::Unstructured::new({taken})).unwrap()"
            )
        lines += [*_USES.findall(source), f"let {variable}: {kind} = {taken};", *body.splitlines()]
    return "\n".join(["#[test]", f"fn {name}() {{", textwrap.indent("\n".join(lines), "    "), "}"])


def _block(source: str, start: int) -> str | None:
    """Return what stands in the braces that begin at `start`; None where none do, or they do not end."""
    depth = 0
    parts = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.[^\']*|[^\'\\])\'|[{}]', re.DOTALL)
    if source[start : start + 1] != "{":
        return None
    for part in parts.finditer(source, start):
        depth += {"{": 1, "}": -1}.get(part.group(), 0)
        if depth == 0:
            return textwrap.dedent(source[start + 1 : part.start()].strip("\n")).rstrip()
    return None
