"""What a commit message must look like."""

from __future__ import annotations

from typing import Any

import pytest

from rustvmm_sessions.commits import rules as commits
from rustvmm_sessions.commits.rules import Commit, Message
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.settings import DEPENDABOT, CommitRules, settings

SIGNED = (("Signed-off-by", "Ann Lee <ann@example.com>"),)
RULES = CommitRules()


def message(title: str = "Add a thing", *body: str, signed: bool = True) -> Message:
    lines = [title, "", *body]
    trailers = SIGNED if signed else ()
    if signed:
        lines += ["", "Signed-off-by: Ann Lee <ann@example.com>"] if body else [": ".join(SIGNED[0])]
    return Message(text="\n".join(lines), trailers=trailers)


def commit(**given: Any) -> Commit:
    return Commit(
        **{
            "short": "aaaaaaa",
            "parents": ("b" * 40,),
            "author": "ann@example.com",
            "message": message(),
            **given,
        }
    )


def found(given: Message, rules: CommitRules = RULES) -> list[tuple[str, str]]:
    return [(fault.rule, fault.what) for fault in commits.faults(given, rules)]


def test_a_message_as_it_should_be_has_no_fault() -> None:
    assert found(message("Add a thing", "Because.", "- it is needed")) == []
    assert found(message()) == []


def test_a_title_may_have_60_characters_of_any_script() -> None:
    assert found(message("é" * 60)) == []
    assert found(message("é" * 61)) == [("title", "the title has 61 characters, 60 are allowed")]


def test_a_carriage_return_does_not_count() -> None:
    text = f"{'x' * 60}\r\n\r\n{'y' * 75}\r\n\r\nSigned-off-by: Ann Lee <ann@example.com>\r"

    assert found(Message(text=text, trailers=SIGNED)) == []
    assert Message(text=text).title == "x" * 60


def test_a_line_of_the_body_may_have_75_characters() -> None:
    assert found(message("Title", "x " * 37 + "x")) == []
    (fault,) = found(message("Title", "fine", "x" * 76))
    assert fault == ("body", f"line 4 has 76 characters, 75 are allowed: {'x' * 40}...")


@pytest.mark.parametrize(
    "line",
    [
        "see https://example.com/" + "x" * 80,
        "[1]: <https://example.com/" + "x" * 80 + ">",
        "> quoted " + "x" * 80,
        "    $ indented " + "x" * 80,
        "\tindented " + "x" * 80,
    ],
)
def test_what_cannot_be_broken_may_be_longer(line: str) -> None:
    assert found(message("Title", line)) == []


@pytest.mark.parametrize(
    "line",
    [
        "x" * 40 + " https://example.com/ " + "x" * 40,
        "http and more words " + "x" * 60,
        "Key: value " + "x" * 80,
    ],
)
def test_text_beside_a_url_and_lines_that_look_like_trailers_count(line: str) -> None:
    assert [rule for rule, _ in found(message("Title", line))] == ["body"]


def test_a_long_trailer_is_allowed_where_git_finds_one() -> None:
    long = "Reviewed-by: " + "x" * 80 + " <x@example.com>"
    text = f"Title\n\n{long}\nSigned-off-by: Ann Lee <ann@example.com>"
    reviewed = ("Reviewed-by", long.partition(": ")[2])

    assert found(Message(text=text, trailers=(reviewed, *SIGNED))) == []
    in_body = f"Title\n\n{long}\n\nSigned-off-by: Ann Lee <ann@example.com>"
    assert [rule for rule, _ in found(Message(text=in_body, trailers=SIGNED))] == ["body"]


def test_the_second_line_is_blank() -> None:
    given = Message(text="Title\nmore of it\n\nSigned-off-by: Ann Lee <ann@example.com>", trailers=SIGNED)

    assert found(given) == [("blank-line", "the line below the title is not blank")]


@pytest.mark.parametrize(
    "value",
    ["Ann Lee", "<ann@example.com>", "ann@example.com", "Ann <ann>", "Ann <a@b> and", "Ann Lee <>", ""],
)
def test_a_sign_off_has_a_name_and_an_address(value: str) -> None:
    given = Message(text=f"Title\n\nSigned-off-by: {value}", trailers=(("Signed-off-by", value),))

    assert found(given) == [
        (
            "sign-off",
            f"the sign-off {value!r} is not a name and an address: Signed-off-by: Name <address>",
        )
    ]


def test_a_line_that_is_no_trailer_does_not_sign_off() -> None:
    given = Message(text="Title\n\nSigned-off-by: Ann <ann@example.com>\n\nAn afterthought.")

    assert found(given) == [
        (
            "sign-off",
            "the Signed-off-by line is no trailer: it belongs into the last paragraph, below a blank line",
        )
    ]


@pytest.mark.parametrize("prefix", ["fixup", "squash", "amend"])
def test_what_is_to_be_squashed_is_named_and_its_title_not_measured_twice(prefix: str) -> None:
    assert found(message(f"{prefix}! " + "x" * 60)) == [
        ("fixup", f"{prefix}! commits are to be squashed into those they fix")
    ]
    assert found(message(f"{prefix} the thing")) == []


@pytest.mark.parametrize(
    "around", ['Revert "{}"', 'Reapply "{}"', 'Revert "Reapply "{}""', 'Revert "Revert "{}""']
)
def test_what_git_puts_around_a_title_does_not_count(around: str) -> None:
    assert found(message(around.format("x" * 60))) == []
    assert found(message(around.format("x" * 61))) == [
        ("title", "the title has 61 characters, 60 are allowed")
    ]
    assert [rule for rule, _ in found(message("fixup! " + around.format("x" * 60)))] == ["fixup"]


@pytest.mark.parametrize("title", ['Revert ""', 'Revert "x" ' + "x" * 60, f'Undo "{"x" * 60}"'])
def test_a_title_that_only_begins_like_git_s_counts(title: str) -> None:
    expected = (
        [("title", f"the title has {len(title)} characters, 60 are allowed")] if len(title) > 60 else []
    )
    assert found(message(title)) == expected


@pytest.mark.parametrize("name", ["a" * 40, "0" * 64, f"1234567 ({'A title ' * 7}, 2026-11-28)"])
def test_lines_of_git_s_own_may_be_longer(name: str) -> None:
    lines = [
        f"This reverts commit {name}.",
        f"This reverts commit {name}, reversing",
        f"changes made to {name}.",
    ]
    assert found(message("Title", *lines)) == []
    assert found(message("Title", f"(cherry picked from commit {'a' * 64})")) == []


@pytest.mark.parametrize(
    "line", [f"This reverts commit {'a' * 64}, as it broke", f"It reverts commit {'a' * 64}."]
)
def test_lines_that_only_begin_like_git_s_count(line: str) -> None:
    assert [rule for rule, _ in found(message("Title", line))] == ["body"]


def test_all_faults_of_a_message_are_found() -> None:
    given = Message(text=f"fixup! {'x' * 61}\nsecond\n{'y' * 80}")

    assert [rule for rule, _ in found(given)] == ["fixup", "title", "blank-line", "body", "sign-off"]


@pytest.mark.parametrize("text", ["", "\n", "  \n\t"])
def test_an_empty_message_is_a_fault(text: str) -> None:
    assert found(Message(text=text)) == [("title", "the message is empty")]


# Who is not checked


def test_merges_and_dependabot_are_exempt() -> None:
    assert commits.exempt(commit(parents=("b", "c")), RULES) == "merge"
    for address in DEPENDABOT:
        assert commits.exempt(commit(author=address), RULES) == f"by {address}"


@pytest.mark.parametrize(
    "address",
    [
        "dependabot@example.com",
        "dependabot[bot]@users.noreply.github.com",
        "x49699333+dependabot[bot]@users.noreply.github.com",
        "49699333+dependabot[bot]@users.noreply.github.com.example.com",
        "SUPPORT@dependabot.com",
        "",
    ],
)
def test_who_only_looks_like_dependabot_is_checked(address: str) -> None:
    assert commits.exempt(commit(author=address), RULES) == ""


# What mends it


@pytest.mark.parametrize(
    ("given", "head", "expected"),
    [
        (message("x" * 61), True, "git commit --amend"),
        (message("x" * 61), False, "git rebase --interactive aaaaaaa^  # and mark aaaaaaa as reword"),
        (message(signed=False), True, "git commit --amend --no-edit --signoff"),
        (message(signed=False), False, "git rebase --signoff base"),
        (message("fixup! x"), True, "git rebase --interactive --autosquash base"),
        (Message(text="T\n\nSigned-off-by: a\n\nmore"), True, "git commit --amend"),
    ],
)
def test_each_fault_has_the_command_that_mends_it(given: Message, head: bool, expected: str) -> None:
    (fault,) = commits.faults(given, RULES)

    assert commits.command(fault, commit(message=given), head=head, base="base") == expected


# Reading


def test_a_log_is_read_whatever_is_in_the_messages() -> None:
    first = (
        "aaaaaaa",
        "b" * 40,
        "a@x",
        "Title\n\nBody\n\nAcked-by: X <x@y>\n",
        "Acked-by: X <x@y>\n",
    )
    second = ("bbbbbbb", f"{'c' * 40} {'d' * 40}", "", "\n", "")
    log = "".join("\0".join(fields) + "\0\n" for fields in (first, second))

    one, two = commits.parse_log(log)

    assert one.message == Message(
        text="Title\n\nBody\n\nAcked-by: X <x@y>", trailers=(("Acked-by", "X <x@y>"),)
    )
    assert (one.short, two.short) == ("aaaaaaa", "bbbbbbb")
    assert two.parents == ("c" * 40, "d" * 40)
    assert two.message.text == ""
    assert commits.parse_log("") == ()


def test_only_a_newline_ends_a_trailer() -> None:
    odd = "Signed-off-by: Ann\x0cLee\u2028<ann@example.com>\nAcked-by: X <x@y>\n"

    assert [key for key, _ in commits.parse_trailers(odd)] == ["Signed-off-by", "Acked-by"]
    assert commits.cleaned("Title\x0cand\u2028more\n", "#", strips=True) == "Title\x0cand\u2028more"


def test_git_s_comments_and_what_is_below_the_scissors_are_no_message() -> None:
    text = (
        "\nTitle  \n# a comment\n\nBody\n# ------------------------ >8 ------------------------\ndiff --git\n"
    )

    assert commits.cleaned(text, "#", strips=True) == "Title\n\nBody"
    assert commits.cleaned(text, "#", strips=False) == "Title\n# a comment\n\nBody"
    assert commits.cleaned("# 12 is a title\n", ";", strips=True) == "# 12 is a title"


@pytest.mark.parametrize(
    ("cleanup", "edited", "strips"),
    [
        ("", True, True),
        ("", False, False),
        ("default", True, True),
        ("strip", False, True),
        ("scissors", True, False),
        ("whitespace", True, False),
        ("verbatim", True, False),
    ],
)
def test_commit_cleanup_says_whether_git_takes_comments_out(
    cleanup: str, *, edited: bool, strips: bool
) -> None:
    assert commits.strips_comments(cleanup, edited=edited) is strips


def test_where_git_chooses_what_starts_a_comment_the_file_shows_it() -> None:
    chosen = "# 12\n\nautomatic\n; Please enter the commit message\n;\n; On branch main\n"

    assert commits.cleaned(chosen, "auto", strips=True) == "# 12\n\nautomatic"
    assert commits.cleaned("automatic\n# Please\n#\n", "auto", strips=True) == "automatic"
    assert commits.cleaned("automatic\n\n; no comment\n", "auto", strips=False) == "automatic\n\n; no comment"


# Settings


def test_limits_and_exemptions_are_settings(tmp_path: Any) -> None:
    given = {"title": 72, "body": 100, "signed_off": False, "exempt": ["bot@example.com"]}
    rules = settings(tmp_path, {"commit_format": given}).commit_format

    assert found(message("x" * 72, "y" * 100, signed=False), rules) == []
    assert [rule for rule, _ in found(message("x" * 73, "y" * 101, signed=False), rules)] == ["title", "body"]
    assert commits.exempt(commit(author="bot@example.com"), rules)
    assert not commits.exempt(commit(author=DEPENDABOT[0]), rules)


@pytest.mark.parametrize(
    ("given", "what", "fix"),
    [
        ({"titel": 72}, "there is no option 'titel'", "did you mean 'title'?"),
        ({"title": 0}, "0 is not a whole number from 1", "correct the noxfile"),
        ({"body": True}, "True is not a whole number from 1", "correct the noxfile"),
        ({"signed_off": "no"}, "'no' is not True or False", "correct the noxfile"),
        ({"exempt": "bot@example.com"}, "'bot@example.com' is not a list of strings", "correct the noxfile"),
        (72, "72 is not a dict such as", "correct the noxfile"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Any, given: Any, what: str, fix: str) -> None:
    with pytest.raises(UserError) as error:
        settings(tmp_path, {"commit_format": given})

    assert what in error.value.what
    assert "commit_format" in error.value.where
    assert error.value.fix == fix
