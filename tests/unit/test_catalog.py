"""The table of standard sessions: complete in itself, and the same for everyone who reads it."""

from __future__ import annotations

import pytest

from rustvmm_sessions import catalog
from rustvmm_sessions.catalog import STANDARD, StandardSession

# DESIGN.md, Sessions: rust-vmm-ci's name, and the tags
CONTRACT = {
    "fmt": ("style", {"gate", "quick", "lint"}),
    "clippy": ("clippy", {"gate", "quick", "lint"}),
    "build-gnu": ("build-gnu", {"gate", "build"}),
    "build-musl": ("build-musl", {"gate", "build", "musl"}),
    "doc": ("doc", {"gate"}),
    "unit-tests": ("unittests-gnu", {"gate", "quick", "test"}),
    "unit-tests-release": ("unittests-gnu-release", {"gate", "test"}),
    "unit-tests-musl": ("unittests-musl", {"gate", "test", "musl"}),
    "unit-tests-musl-release": ("unittests-musl-release", {"gate", "test", "musl"}),
    "coverage": ("coverage", {"gate", "quick"}),
    "commit-format": ("commit-format", {"gate"}),
    "audit": ("cargo-audit", {"gate", "network"}),
    "bench": ("", {"bench"}),
    "fuzz": ("", {"extra"}),
    "targets": ("", {"extra"}),
    "release-check": ("", {"extra"}),
    "setup": ("", {"helpers"}),
    "doctor": ("", {"helpers"}),
    "pipeline": ("", {"helpers"}),
    "container": ("", {"helpers"}),
    "reproduce": ("", {"helpers"}),
}


@pytest.mark.parametrize("session", STANDARD, ids=lambda session: session.name)
def test_a_session_is_what_the_contract_says(session: StandardSession) -> None:
    alias, tags = CONTRACT[session.name]
    assert session.alias == alias
    assert sorted(session.tags) == sorted(tags)
    assert session.forwards == ("test" in tags)


@pytest.mark.parametrize("session", STANDARD, ids=lambda session: session.name)
def test_a_session_says_what_it_does_in_one_line(session: StandardSession) -> None:
    assert session.summary.endswith(".")
    assert "\n" not in session.summary
    assert len(session.summary) <= 80
    assert session.timeout_minutes > 0


def test_a_name_means_one_session() -> None:
    names = [name for session in STANDARD for name in {session.name, session.alias} if name]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("session", STANDARD, ids=lambda session: session.name)
def test_a_session_is_found_by_both_its_names(session: StandardSession) -> None:
    assert catalog.standard(session.name) is session
    assert catalog.standard(session.alias or session.name) is session


@pytest.mark.parametrize("name", ["", "Coverage", "coverag", "coverage "])
def test_what_is_no_name_finds_nothing(name: str) -> None:
    assert catalog.standard(name) is None


def test_platforms_and_the_time_limit_are_rust_vmm_cis() -> None:
    assert catalog.PLATFORMS == ("x86_64", "aarch64", "riscv64")
    assert catalog.TIMEOUT_MINUTES == 15
