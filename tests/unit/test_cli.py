"""The command's answers to wrong calls: what is wrong, and the nearest right name."""

from __future__ import annotations

import pytest

from rustvmm_sessions import __version__
from rustvmm_sessions.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["int"], "error: there is no command 'int'\nhelp: did you mean 'init'?\n"),
        (["init", "--githb"], "error: init has no option '--githb'\nhelp: did you mean '--github'?\n"),
        (["init", "--githb=x"], "error: init has no option '--githb'\nhelp: did you mean '--github'?\n"),
        (["doctor", "now"], "error: doctor has no option 'now'\nhelp: there are: --help, --json\n"),
        (["init", "--platforms"], "error: argument --platforms: expected at least one argument\n"),
        ([], "error: the following arguments are required: COMMAND\n"),
    ],
    ids=str,
)
def test_a_wrong_word_is_answered_with_the_nearest(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("usage: rustvmm-sessions")
    assert printed.err.endswith(f"\n{said}")


def test_a_wrong_word_of_any_length_and_content_is_one_short_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "\x1b[2J" + 9999 * "x"])
    message = capsys.readouterr().err.partition("error: ")[2]
    assert "\x1b" not in message
    assert len(message) < 1100


def test_the_command_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"rustvmm-sessions {__version__}\n"
