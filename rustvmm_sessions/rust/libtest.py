"""What ``cargo test`` says of tests: libtest's and rustdoc's output as a stream, and what it comes to."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rustvmm_sessions.results import ESCAPES, MOST_BYTES, Case, Finding
from rustvmm_sessions.rust.messages import Lines, findings_said
from rustvmm_sessions.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from rustvmm_sessions.process import Finished
    from rustvmm_sessions.results import CaseResult, Report
    from rustvmm_sessions.rust.messages import Place

_BEGIN = re.compile(r"running (\d+) tests?(?: \((shuffle seed: \d+)\))?")
_END = re.compile(
    r"test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored; (\d+) measured; "
    r"\d+ filtered out(?:; finished in [\d.]+s)?"
)
_SECTION = re.compile(r"---- (.+) (?:stdout|stderr) ----")
_RESULT = re.compile(r"(ok|FAILED|ignored(?:, .*)?|bench: .* ns/iter .*)(?: <([\d.]+)s>)?")
_LAST_RESULT = re.compile(r"(?:ok|FAILED)(?: <[\d.]+s>)?$")
_MODE = re.compile(r" - (?:should panic|compile fail|compile)$")
_ANNOUNCED = re.compile(
    r" *(?:Running (?P<kind>unittests )?(?P<source>.+) \((?P<file>.+)\)|Doc-tests (?P<doc>.+))"
)
_FAILED = re.compile(r"error: (?:doc)?test failed, to rerun pass `(.+)`")
_ENDED = re.compile(r"  process didn't exit successfully: `.*` \((.+)\)")
_PANIC = re.compile(
    r"thread '(?P<thread>.*)' (?:\(\d+\) )?panicked at (?:'.*', )?(?P<file>[^:']+):(?P<line>\d+):\d+:?"
)
_NO_PANIC = re.compile(r"note: test did not panic as expected at (?P<file>.+):(?P<line>\d+):\d+")
_DOC = re.compile(r"(?P<file>.+) - .*\(line (?P<line>\d+)\).*")
_MARKS = (b" ... ", b"running ", b"---- ", b"failures:", b"FAILED", b"test result: ")
"""What lines of the harness have in them."""
_LONG = 32
"""Tests whose output is kept as far as a report takes it; of the others a sixteenth is."""
_PANICS = 1000
"""Panics on standard error that are kept."""


class Kept:
    """The beginning and the end of what is said, however much that is."""

    def __init__(self, number: int) -> None:
        """Begin; `number` is how many there are before: of many that fail, the first matter most."""
        self._most = MOST_BYTES if number < _LONG else MOST_BYTES // 16
        self._data = bytearray()
        self._lost = 0

    def add(self, data: bytes) -> None:
        """Add what comes next."""
        self._data += data
        if len(self._data) > 4 * self._most:
            self._lost += len(self._data) - self._most
            del self._data[self._most // 4 : -(self._most * 3 // 4)]

    def text(self) -> str:
        """Return it, and where something is missing."""
        if not self._lost:
            return ESCAPES.sub("", self._data.decode(errors="replace"))
        head, tail = self._data[: self._most // 4], self._data[self._most // 4 :]
        mark = f"\n[... {self._lost} bytes left out ...]\n".encode()
        return ESCAPES.sub("", (head + mark + tail[tail.find(b"\n") + 1 :]).decode(errors="replace"))


@dataclass(kw_only=True)
class _Announced:
    """A test executable, or the documentation tests of a package, as cargo names it before it runs."""

    name: str
    doc: bool = False
    rerun: str = ""
    ending: str = ""


@dataclass(kw_only=True)
class _Block:
    """What one run of a test harness prints."""

    expected: int
    announced: int
    seed: str = ""
    results: dict[str, tuple[CaseResult, float | None]] = field(default_factory=dict)
    sections: dict[str, Kept] = field(default_factory=dict)
    totals: Counter[CaseResult] | None = None
    last: str = ""
    open: str = ""
    open_ended: str = ""
    listed: list[str] = field(default_factory=list)
    listing: bool = False

    def may_be(self, by: _Announced) -> bool:
        """Whether it may be what an executable printed, by its tests' names and by how it ended."""
        doc = any(_DOC.fullmatch(name) for name in self.results)
        failed = self.totals is None or self.totals["failed"] > 0
        return (
            (by.doc == doc or not self.results)
            and bool(by.rerun) == failed
            and (self.totals is None or not by.ending or "101" in by.ending)
        )

    def may_end(self, failed: int) -> bool:
        """Whether totals with so many failures are its own, and not those that a failed test prints.

        A test may run cargo test itself, on as many tests.
        """
        return not self.last or (
            0 < len(self.listed) == failed
            and all(self.results.get(name, ("",))[0] == "failed" for name in self.listed)
        )

    def end(self, totals: Counter[CaseResult]) -> None:
        """Take the totals; the names listed before them, and no others, are of tests that failed."""
        self.totals = totals
        if len(self.listed) == totals["failed"]:
            for name in [name for name, (result, _) in self.results.items() if result == "failed"]:
                if name not in self.listed:
                    del self.results[name]
            for name in self.listed:
                self.results.setdefault(name, ("failed", None))


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The tests of one executable, or the documentation tests of one package.

    Attributes:
        name: As cargo names it.
        results: How each test that is named ended, and after how many seconds.
        totals: How many tests ended in which way, those too that are not named.
        outputs: What failed tests printed.
        rerun: The options that make cargo run it again; empty where it passed.
        ending: How it ended where it crashed; else empty.
        missing: The tests without a result.
        running: The test that ran when it crashed; empty where that is not known.
    """

    name: str
    results: dict[str, tuple[CaseResult, float | None]]
    totals: Counter[CaseResult]
    outputs: dict[str, str]
    rerun: str = ""
    ending: str = ""
    missing: int = 0
    running: str = ""


class SuiteListener:
    """Listens to a run of ``cargo test``; holds names and results, and some output of what failed."""

    def __init__(self, *, skipped: Collection[str] = ()) -> None:
        """Listen; of what cargo announces, `skipped` is not run: file names, or ``NAME (documentation)``."""
        self._skipped = skipped
        self._out = Lines(self._on_line, self._on_lines)
        self._err = Lines(self._on_error)
        self._announced: list[_Announced] = []
        self._blocks: list[_Block] = []
        self._block: _Block | None = None
        self._panics: dict[tuple[int, str], Kept] = {}
        self._panic: Kept | None = None

    def stdout(self, data: bytes) -> None:
        """Take what comes on standard output."""
        self._out.feed(data)

    def stderr(self, data: bytes) -> None:
        """Take what comes on standard error."""
        self._err.feed(data)

    def _on_lines(self, data: bytes) -> bool:
        """Take lines of which none can be the harness's: nearly all where tests print much."""
        block = self._block
        if block is None:
            return b"running " not in data
        if block.open or block.listing or any(mark in data for mark in _MARKS):
            return False
        if block.last:
            block.sections[block.last].add(data + b"\n")
        return True

    def _on_line(self, data: bytes) -> None:
        block = self._block
        if (block is None or not block.last) and data.startswith(b"running "):  # no output of a failed test
            if match := _BEGIN.fullmatch(data.decode(errors="replace")):
                self._close()
                announced = len(self._announced)
                self._block = _Block(expected=int(match[1]), announced=announced, seed=match[2] or "")
                self._blocks.append(self._block)
        elif block is not None and not (
            _may_have_result(block, data) and self._on_result(block, ESCAPES.sub("", _text(data)))
        ):
            self._on_output(block, data)

    def _on_output(self, block: _Block, data: bytes) -> None:
        """Take a line of what failed tests printed, and of the list of their names."""
        if data == b"failures:":
            block.listed, block.listing = [], True
        elif block.listing and data.startswith(b"    ") and len(block.listed) < block.expected:
            block.listed.append(_text(data[4:]))
        elif data:
            block.listing = False
        if data.startswith(b"---- ") and (match := _SECTION.fullmatch(_text(data))):
            name = match[1]
            if name not in block.sections and block.results.get(name, ("",))[0] == "failed":
                block.sections[name] = Kept(len(block.sections))
                block.last = name
                return
        if block.last:
            block.sections[block.last].add(data + b"\n")

    def _on_result(self, block: _Block, line: str) -> bool:
        """Take a line with a test's result or the totals; return whether it is one."""
        if end := _END.match(line):
            passed, failed, ignored, measured = map(int, end.groups())
            if passed + failed + ignored + measured == block.expected and block.may_end(failed):
                self._end_open(block)
                block.end(Counter({"passed": passed + measured, "failed": failed, "ignored": ignored}))
                self._block = None
                return True
        if block.last:
            return False
        before, dots, result = line.rpartition(" ... ")
        start = before.rfind("test ") if dots else -1
        if start >= 0:
            name = _MODE.sub("", before[start + 5 :])
            if match := _RESULT.fullmatch(result):
                self._end_open(block)
                _add(block, name, match[1], match[2])
                return True
            if line.startswith("test "):  # with one thread, what the test prints comes before its result
                self._end_open(block)
                block.open = _MODE.sub("", line[5:].partition(" ... ")[0])
        elif line.endswith(" --- FAILED"):  # the short form names those alone that fail
            _add(block, line.removesuffix(" --- FAILED"), "FAILED", None)
            return True
        if block.open:
            match = _LAST_RESULT.search(line)
            block.open_ended = match[0] if match else ""
        return False

    def _end_open(self, block: _Block) -> None:
        if block.open and (match := _RESULT.fullmatch(block.open_ended)):
            _add(block, block.open, match[1], match[2])
            block.open = ""

    def _close(self) -> None:
        if self._block is not None:
            self._end_open(self._block)
        self._block = None

    def _on_error(self, data: bytes) -> None:
        if not data.startswith((b" ", b"thread '", b"error: ", b"\x1b")):
            if self._panic is not None:
                self._panic.add(data + b"\n")
            return
        line = ESCAPES.sub("", data.decode(errors="replace"))
        if match := _ANNOUNCED.fullmatch(line):
            self._panic = None
            announced = _announced(match)
            if not {announced.name, (match["file"] or "").rpartition("/")[2]}.intersection(self._skipped):
                self._announced.append(announced)
        elif match := _FAILED.match(line):
            self._panic = None
            if not self._announced or self._announced[-1].rerun:  # cargo test --quiet names none
                self._announced.append(_Announced(name=match[1], doc=match[1].endswith("--doc")))
            self._announced[-1].rerun = match[1]
        elif (match := _ENDED.fullmatch(line)) and self._announced:
            self._announced[-1].ending = match[1]
        elif (match := _PANIC.match(line)) and len(self._panics) < _PANICS:
            key = len(self._announced), match["thread"]
            self._panic = self._panics.setdefault(key, Kept(len(self._panics)))
        if self._panic is not None:
            self._panic.add(data + b"\n")

    def suites(self) -> tuple[Suite, ...]:
        """Return all that has been said, once the program has ended."""
        self._out.finish()
        self._err.finish()
        self._close()
        assigned = list(self._assigned())
        heard = {number for _, number in assigned}
        silent = [
            _Block(expected=0, announced=0) if each.rerun and number not in heard else None
            for number, each in enumerate(self._announced)
        ]
        assigned += [(block, number) for number, block in enumerate(silent) if block]
        return tuple(self._suite(block, number) for block, number in assigned)

    def _assigned(self) -> Iterator[tuple[_Block, int]]:
        """Yield what each harness printed with the number of the executable it is of, -1 for none.

        Both come in the same order, but over two pipes, and a test with a harness of its own prints
        no block. Where that leaves a choice, the executable is taken that was announced last before.
        """
        every, before = self._announced, -1
        for number, block in enumerate(self._blocks):
            last = max(len(every) - len(self._blocks) + number, before + 1)
            fitting = [n for n in range(before + 1, min(last + 1, len(every))) if block.may_be(every[n])]
            chosen = min(fitting, key=lambda n: abs(n + 1 - block.announced), default=None)
            if chosen is None:  # rustdoc may have two blocks: tests that it merges, and the others
                chosen = min(max(block.announced - 1, before), len(every) - 1)
            before = max(before, chosen)
            yield block, chosen

    def _suite(self, block: _Block, number: int) -> Suite:
        by = self._announced[number] if number >= 0 else _Announced(name="tests")
        outputs = {name: kept.text() for name, kept in block.sections.items()}
        if block.last:  # the list of names that follows the last
            outputs[block.last] = outputs[block.last].rpartition("\nfailures:\n")[0] or outputs[block.last]
        for name, (result, _) in block.results.items():
            panic = self._panics.get((number + 1, name))
            if result == "failed" and panic is not None:
                outputs[name] = outputs.get(name, "") + panic.text()
            if result == "failed" and block.seed:
                outputs[name] = f"{block.seed}\n{outputs.get(name, '')}"
        named = Counter(result for result, _ in block.results.values())
        totals = named if block.totals is None else block.totals
        return Suite(
            name=by.name,
            results=block.results,
            totals=totals,
            outputs={name: text.strip("\n") for name, text in outputs.items()},
            rerun=by.rerun,
            ending=by.ending if block.totals is None else "",
            missing=max(block.expected - totals.total(), 0),
            running=block.open,
        )


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _may_have_result(block: _Block, data: bytes) -> bool:
    """Whether it is worth a closer look; most of what tests print is not."""
    return (
        bool(block.open) or b" ... " in data or data.startswith(b"test result: ") or data.endswith(b"FAILED")
    )


def _announced(match: re.Match[str]) -> _Announced:
    if match["doc"]:
        return _Announced(name=f"{match['doc']} (documentation)", doc=True)
    program = re.sub(r"-[0-9a-f]{16}$", "", match["file"].rpartition("/")[2])
    return _Announced(name=f"{program} ({match['source']})")


def _add(block: _Block, name: str, result: str, seconds: str | None) -> None:
    said: CaseResult = (
        "failed" if result == "FAILED" else "ignored" if result.startswith("ignored") else "passed"
    )
    block.results[name] = said, None if seconds is None else float(seconds)


def tell(
    report: Report,
    suites: Iterable[Suite],
    place: Place,
    features: str = "",
    *,
    again: bool = False,
) -> None:
    """Report what tests came to.

    Args:
        report: Where to.
        suites: What they said.
        place: Returns a file, as rustc and rustdoc name it, from the repository's top.
        features: The combination they were built with.
        again: Whether they have run before: then only those that fail are reported.
    """
    for suite in suites:
        for name, (result, seconds) in suite.results.items():
            output = suite.outputs.get(name, "")
            failed = result == "failed"
            case = Case(
                name=name,
                suite=suite.name,
                result=result,
                seconds=seconds,
                output=output,
                features=features,
            )
            if failed or not again:
                report.ran(case)
            if failed:
                report.found(failure(case, place))
        named = Counter(result for result, _ in suite.results.values())
        if not again:
            report.unnamed(Counter(suite.totals) - named)
        if suite.ending or (suite.rerun and "failed" not in named):
            report.found(_crash(suite))


def heard(
    start: Callable[[SuiteListener], Finished],
    report: Report,
    place: Place,
    features: str = "",
    *,
    again: bool = False,
) -> Finished:
    """Run what `start` starts, and report what is said of tests, and of what does not compile.

    Args:
        start: Runs a program that may build and run tests, with a listener.
        report: As the other arguments, see `tell`.
        place: See there.
        features: See there.
        again: See there.
    """
    listener = SuiteListener()
    try:
        done = start(listener)
    finally:
        tell(report, listener.suites(), place, features, again=again)
    if not done.ok:
        for each in findings_said(done.stderr, place):
            report.found(each)
    return done


def failure(case: Case, place: Place) -> Finding:
    """Return the finding that a failed test is."""
    named, line = location(case.name, case.output)
    file = place(named) if named else None
    return Finding(kind="test", title=case.title, message=case.output, file=file, line=line if file else None)


def _crash(suite: Suite) -> Finding:
    said = [f"{counted(suite.missing, 'test')} without a result"] if suite.missing else []
    said += [f"it was running {suite.running}"] if suite.running else []
    said += [f"repeat: cargo test {suite.rerun}"] if suite.rerun else []
    return Finding(
        kind="test",
        title=f"{suite.name} ended with {suite.ending}" if suite.ending else f"{suite.name} failed",
        message="\n".join(said),
    )


def location(name: str, output: str) -> tuple[str, int | None]:
    """Return the file and line where a test failed; of a documentation test, where it begins."""
    if match := _DOC.fullmatch(name):
        return match["file"], int(match["line"])
    panics = list(_PANIC.finditer(output))
    match = next((m for m in panics if m["thread"] == name), panics[0] if panics else None)
    match = match or _NO_PANIC.search(output)
    return (match["file"], int(match["line"])) if match else ("", None)
