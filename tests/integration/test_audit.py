"""audit: a vulnerable dependency is found, offline, and nothing is left behind.

Real cargo-audit, cargo and git, with a local advisory database of one advisory.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.crates import MANIFEST, CrateBuilder, new_crate
from tests.integration.sessions import crate_in, ending, script, session

if TYPE_CHECKING:
    from pathlib import Path

ADVISORY = "RUSTSEC-2020-0071"
ADVISORY_FILE = f"""\
```toml
[advisory]
id = "{ADVISORY}"
package = "time"
date = "2020-11-18"
url = "https://github.com/time-rs/time/issues/293"

[versions]
patched = [">= 0.2.23"]
```

# Potential segfault in the time crate

Functions that read the time zone may crash while another thread changes the environment.
"""

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
LOCK = f"""\
version = 3

[[package]]
name = "libc"
version = "0.2.150"
source = "{REGISTRY}"
checksum = "89d92a4743f9a61002fae18374ed11e7973f530cb3a3255fb354818118b2203c"

[[package]]
name = "sample"
version = "0.1.0"
dependencies = [
 "time",
]

[[package]]
name = "time"
version = "0.1.43"
source = "{REGISTRY}"
checksum = "ca8a50ef2360fbd1eeb0ecd46795a87a19024eb4b53c5dc916ca1fd95fe62438"
dependencies = [
 "libc",
]
"""

VULNERABLE = (
    "cargo-audit: 1 vulnerability found; update the dependency, or list the advisory in register(audit_ignore"
)
NO_NETWORK: dict[str, str | None] = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """An advisory database as `cargo audit --db` takes it, without git."""
    file = tmp_path / "db/crates/time" / f"{ADVISORY}.md"
    file.parent.mkdir(parents=True)
    file.write_text(ADVISORY_FILE)
    return tmp_path / "db"


def vulnerable(directory: Path, options: str = "") -> CrateBuilder:
    """Return a crate that depends on a vulnerable version of time; it is never built."""
    manifest = f'{MANIFEST.format(name="sample")}\n[dependencies]\ntime = "=0.1.43"\n'
    crate = new_crate(directory, options=options).with_file("Cargo.toml", manifest)
    return crate.with_file("Cargo.lock", LOCK).with_git()


def ignoring(until: str) -> str:
    return f'audit_ignore={{"{ADVISORY}": ("no call of localtime_r", "{until}")}}'


def test_a_vulnerable_dependency_is_found(tmp_path: Path, database: Path) -> None:
    crate = vulnerable(tmp_path / "crate")
    outcome = session(crate, "audit", "--db", str(database))
    assert outcome.code == 1
    assert f"ID:        {ADVISORY}" in outcome.out
    assert "Crate:     time" in outcome.out
    assert "Solution:  Upgrade to >=0.2.23" in outcome.out
    assert f"error: {VULNERABLE}" in ending(outcome)


def test_the_database_may_be_named_by_a_variable(tmp_path: Path, database: Path) -> None:
    crate = vulnerable(tmp_path / "crate")
    for named in (str(database), "../db"):
        outcome = session(crate, "audit", env={"RUSTVMM_ADVISORY_DB": named})
        assert outcome.code == 1
        assert VULNERABLE in ending(outcome)
    empty = tmp_path / "empty/crates"
    empty.mkdir(parents=True)
    outcome = session(crate, "audit", "--db=../empty", env={"RUSTVMM_ADVISORY_DB": str(database)})
    assert outcome.code == 0, outcome.text


def test_an_advisory_is_ignored_until_its_day_and_the_reason_is_said(tmp_path: Path, database: Path) -> None:
    crate = vulnerable(tmp_path / "crate", ignoring("2199-12-31"))
    outcome = session(crate, "audit", "--db", str(database))
    assert outcome.code == 0, outcome.text
    assert f"{ADVISORY} is ignored until 2199-12-31: no call of localtime_r\n" in outcome.out


def test_an_advisory_whose_day_is_over_counts_again(tmp_path: Path, database: Path) -> None:
    crate = vulnerable(tmp_path / "crate", ignoring("2026-01-31"))
    outcome = session(crate, "audit", "--db", str(database))
    assert outcome.code == 1
    assert (
        f"warning: {ADVISORY} is no longer ignored since 2026-01-31 (no call of localtime_r)" in outcome.err
    )
    assert VULNERABLE in ending(outcome)


def test_a_crate_without_a_lockfile_is_left_without_one(tmp_path: Path, database: Path) -> None:
    crate = crate_in(tmp_path / "crate")
    for _ in range(2):
        outcome = session(crate, "audit", "--db", str(database))
        assert outcome.code == 0, outcome.text
        assert "+ cargo generate-lockfile" in outcome.err  # today's versions, not those of a build before
        assert not (crate.directory / "Cargo.lock").exists()


def test_a_committed_lockfile_is_audited_as_it_is(tmp_path: Path, database: Path) -> None:
    crate = vulnerable(tmp_path / "crate")
    outcome = session(crate, "audit", "--db", str(database))
    assert "generate-lockfile" not in outcome.err
    assert (crate.directory / "Cargo.lock").read_text() == LOCK


def test_a_local_database_that_is_broken_is_named_and_not_touched(tmp_path: Path, database: Path) -> None:
    crate = vulnerable(tmp_path / "crate")
    file = database / "crates/time" / f"{ADVISORY}.md"
    file.write_text("junk")
    outcome = session(crate, "audit", "--db", str(database))
    assert outcome.code == 1
    assert "error: the advisory database cannot be read: error loading" in ending(outcome)
    assert f"\n --> {database}\nhelp: name a folder that holds `crates/`" in ending(outcome)
    assert file.read_text() == "junk"
    missing = session(crate, "audit", "--db", "nowhere")
    assert missing.code == 1
    assert f"\n --> {crate.directory}/nowhere\n" in ending(missing)


def test_a_broken_cache_comes_back_where_no_new_one_can_be_fetched(tmp_path: Path) -> None:
    home = tmp_path / "cargo-home"
    (home / "advisory-db").mkdir(parents=True)
    (home / "advisory-db/mine").write_text("kept")
    crate = vulnerable(tmp_path / "crate")
    outcome = session(crate, "audit", env={"CARGO_HOME": str(home), **NO_NETWORK})
    assert outcome.code == 1
    assert f"cannot be used; fetching it anew into {home}/advisory-db" in outcome.out
    assert "the advisory database cannot be read: couldn't fetch" in ending(outcome)
    assert f"\n --> {home}/advisory-db\n" in ending(outcome)
    assert "help: check the network, or name a local copy: --db DIR, or the variable" in ending(outcome)
    assert (home / "advisory-db/mine").read_text() == "kept"
    assert [path.name for path in home.glob("advisory-db*") if path.is_dir()] == ["advisory-db"]


def test_without_a_cache_and_the_network_it_is_said_once(tmp_path: Path) -> None:
    outcome = session(
        vulnerable(tmp_path / "crate"), "audit", env={"CARGO_HOME": str(tmp_path / "home"), **NO_NETWORK}
    )
    assert outcome.code == 1
    assert outcome.err.count("\nerror: couldn't fetch advisory database") == 1
    assert "fetching it anew" not in outcome.out


# cargo-audit as it is with a network: it fetches where there is nothing, and refuses what is broken
FETCHING = """\
case $1 in generate-lockfile) exec cargo "$@" ;; esac
cd "$CARGO_HOME"
if [ -e advisory-db/broken ]; then
    echo "error: couldn't fetch advisory database: git operation failed" >&2
    exit 1
fi
mkdir -p advisory-db/crates
{then}
"""


@pytest.mark.parametrize(
    ("then", "code", "said"),
    [
        ("exit 0", 0, "was successful"),
        ("echo 'error: 2 vulnerabilities found!' >&2; exit 1", 1, "2 vulnerabilities found;"),
    ],
    ids=["nothing found", "something found"],
)
def test_a_broken_cache_is_replaced_by_what_is_fetched(
    tmp_path: Path, then: str, code: int, said: str
) -> None:
    home = tmp_path / "home"
    (home / "advisory-db").mkdir(parents=True)
    (home / "advisory-db/broken").touch()
    tool = script(tmp_path / "cargo-audit", FETCHING.format(then=then))
    crate = vulnerable(tmp_path / "crate")
    outcome = session(crate, "audit", env={"CARGO_AUDIT": str(tool), "CARGO_HOME": str(home)})
    assert outcome.code == code
    assert said in ending(outcome)
    assert [path.name for path in home.glob("advisory-db*") if path.is_dir()] == ["advisory-db"]
    assert os.listdir(home / "advisory-db") == ["crates"]


def test_what_is_no_verdict_is_not_called_one(tmp_path: Path) -> None:
    tool = script(tmp_path / "cargo-audit", "echo 'error: this is no lockfile' >&2; exit 2")
    outcome = session(vulnerable(tmp_path / "crate"), "audit", env={"CARGO_AUDIT": str(tool)})
    assert outcome.code == 1
    assert "error: cargo-audit failed: exit status 2; see what it says above" in ending(outcome)


def test_making_the_lockfile_and_auditing_share_the_time(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, options='overrides={"audit": {"timeout_minutes": 0.1}}')
    slow = 'case "$1" in generate-lockfile) sleep 4 ;; esac\nexec cargo "$@"'
    programs = {
        "CARGO": script(tmp_path / "cargo", slow),
        "CARGO_AUDIT": script(tmp_path / "audit", "sleep 4"),
    }
    outcome = session(crate, "audit", env={name: str(path) for name, path in programs.items()})
    assert outcome.code == 1
    assert "cargo-audit was stopped at the time limit timeout_minutes=0.1 after" in ending(outcome)
