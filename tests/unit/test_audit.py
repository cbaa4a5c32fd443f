"""What cargo-audit says in its JSON, as findings."""

from __future__ import annotations

import json

import pytest

from rustvmm_sessions.audit import findings

LOCK = """\
version = 4

[[package]]
name = "libc"
version = "0.2.1"

[[package]]
name = "time"
version = "0.1.43"
"""
SAID = {
    "vulnerabilities": {
        "found": True,
        "count": 1,
        "list": [
            {
                "advisory": {"id": "RUSTSEC-2020-0071", "title": "Potential segfault", "package": "time"},
                "versions": {"patched": [">=0.2.23"], "unaffected": []},
                "package": {"name": "time", "version": "0.1.43"},
            }
        ],
    },
    "warnings": {
        "yanked": [{"kind": "yanked", "package": {"name": "libc", "version": "0.2.1"}, "advisory": None}],
        "unmaintained": [
            {
                "kind": "unmaintained",
                "package": {"name": "gone", "version": "1.0.0"},
                "advisory": {"id": "RUSTSEC-2021-1", "title": "gone is unmaintained"},
                "versions": {"patched": []},
            }
        ],
    },
}


def test_each_dependency_has_its_advisory_its_remedy_and_its_line() -> None:
    found = [(f.title, f.message, f.line) for f in findings(json.dumps(SAID), LOCK)]
    assert found == [
        (
            "time 0.1.43: RUSTSEC-2020-0071: Potential segfault",
            "https://rustsec.org/advisories/RUSTSEC-2020-0071\nfixed in >=0.2.23",
            8,
        ),
        ("libc 0.2.1: yanked", "", 4),
        (
            "gone 1.0.0: RUSTSEC-2021-1: gone is unmaintained",
            "https://rustsec.org/advisories/RUSTSEC-2021-1",
            None,
        ),
    ]


@pytest.mark.parametrize("text", ["", "error: no database", "{}"])
def test_where_it_says_nothing_there_is_no_finding(text: str) -> None:
    assert findings(text, LOCK) == []
