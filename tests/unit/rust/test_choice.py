"""Which members are meant by words, and which of them the crate leaves out."""

from __future__ import annotations

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust.choice import Choice, left_out, named
from rustvmm_sessions.rust.members import Member
from rustvmm_sessions.settings import Platforms

FOLDERS = {"top": ".", "vm-memory": "vm-memory", "vhost": "crates/vhost", "backend": "crates/vm-memory"}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], []),
        (["vhost"], ["vhost"]),
        (["vhost", "top", "vhost"], ["vhost", "top"]),
        (["crates/vhost"], ["vhost"]),
        (["./crates/vhost/"], ["vhost"]),
        (["vm-memory"], ["vm-memory"]),
        (["crates/vm-memory"], ["backend"]),
        (["."], ["top"]),
        (["v*"], ["vm-memory", "vhost"]),
        (["vhost@0.1.0"], ["vhost"]),
    ],
)
def test_a_member_is_named_by_its_name_its_folder_or_a_pattern(words: list[str], names: list[str]) -> None:
    assert list(named(FOLDERS, words, "--package")) == names


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("vm-memry", "did you mean 'vm-memory'?"),
        ("Vhost", "did you mean 'vhost'?"),
        ("crates", "there are: backend, top, vhost, vm-memory"),
        ("", "there are: backend, top, vhost, vm-memory"),
        ("z*", "there are: backend, top, vhost, vm-memory"),
        ("--all", "there are: backend, top, vhost, vm-memory"),
    ],
)
def test_a_misspelt_member_is_answered_with_the_nearest(word: str, fix: str) -> None:
    with pytest.raises(UserError) as caught:
        named(FOLDERS, ["vhost", word], "--package")
    assert caught.value.what == f"there is no member {word!r}"
    assert (caught.value.where, caught.value.fix) == ("--package", fix)


def member(name: str, *platforms: str) -> Member:
    folder = FOLDERS[name]
    source = f"{folder}/.platform" if platforms else "the defaults"
    return Member(name=name, path=folder, platforms=Platforms(names=platforms or ("x86_64",), source=source))


def test_the_crate_leaves_members_out_by_platform_and_by_name() -> None:
    members = (member("vm-memory"), member("vhost", "x86_64"), member("backend", "riscv64"))
    asked = Choice(members=members, excluded=("crates/vhost",), excluded_by="here")
    assert left_out(FOLDERS, asked, "x86_64") == {
        "backend": "it is for riscv64 (crates/vm-memory/.platform), not for x86_64",
        "vhost": "here",
    }
    assert left_out(FOLDERS, Choice(members=members), "x86_64").keys() == {"backend"}
    assert left_out(FOLDERS, Choice(members=members), "riscv64").keys() == {"vhost"}
    with pytest.raises(UserError, match="there is no member 'vost'"):
        left_out(FOLDERS, Choice(excluded=("vost",), excluded_by="here"), "x86_64")
