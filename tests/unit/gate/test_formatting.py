"""What rustfmt would change, as findings."""

from __future__ import annotations

from pathlib import Path

from rustvmm_sessions.gate.single import unformatted
from rustvmm_sessions.results import Report

SAID = f"""\
Diff in /crate/src/lib.rs:1:
 //! A crate.
{" "}
\x1b[31m-fn  one() {{
\x1b(B\x1b[m\x1b[31m-}}
\x1b(B\x1b[m\x1b[32m+fn one() {{}}
\x1b(B\x1b[m{" "}
 // end
Diff in /crate/src/a b.rs at line 40:
+use a;
 use b;
-use a;
Diff in /elsewhere/lib.rs:7:
-x
+y
"""


def test_each_difference_has_the_lines_that_rustfmt_would_change() -> None:
    found = list(unformatted(SAID, Report(Path("/crate")).file))
    assert [(f.kind, f.file, f.line, f.end_line) for f in found] == [
        ("format", "src/lib.rs", 3, 4),
        ("format", "src/a b.rs", 40, None),
        ("format", None, None, None),
    ]
    assert found[0].message == " //! A crate.\n \n-fn  one() {\n-}\n+fn one() {}\n \n // end"


def test_what_is_no_difference_is_none() -> None:
    assert list(unformatted("error: expected one of\n --> src/lib.rs:1:1\n", Report().file)) == []
