"""vendor/nox.zip, by which ./nox runs in a crate that has this repository as a submodule."""

from __future__ import annotations

import email
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rustvmm_sessions.vendored import versions
from tests.crates import REPOSITORY

ARCHIVE = REPOSITORY / "vendor" / "nox.zip"
RENEW = "make it anew with `nox -s vendor`"


@pytest.fixture(scope="module")
def required() -> list[Requirement]:
    """What this project requires, and what that requires in turn."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    found = [Requirement(text) for text in project["dependencies"]]
    with zipfile.ZipFile(ARCHIVE) as opened:
        for name in opened.namelist():
            if name.endswith(".dist-info/METADATA"):
                head = email.message_from_bytes(opened.read(name))
                found += map(Requirement, head.get_all("Requires-Dist", []))
    return found


def test_all_that_is_required_is_there_in_a_version_that_does(required: list[Requirement]) -> None:
    there = versions(ARCHIVE.read_bytes())

    for requirement in required:
        name = canonicalize_name(requirement.name)
        assert name in there, f"{name} is missing: {RENEW}"
        assert requirement.specifier.contains(there[name]), f"{requirement}, not {there[name]}: {RENEW}"


def test_nothing_else_is_there(required: list[Requirement]) -> None:
    assert {*versions(ARCHIVE.read_bytes())} == {canonicalize_name(each.name) for each in required}, RENEW
    with zipfile.ZipFile(ARCHIVE) as opened:
        assert not [name for name in opened.namelist() if name.endswith((".so", ".pyc"))]
        assert not [name for name in opened.namelist() if name.startswith("rustvmm_sessions")]
