"""The page of a benchmark run in a real browser, headless Chromium: what fits, and what is drawn."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from typing import Any

import pytest

from rustvmm_sessions.bench.page import page
from tests.bench_reports import compared, eight, report

RUNS = {
    "one": report(compared("queue/pop descriptor chain/16", 2.6)),
    "eight": eight(),
    "hundred": report(
        *(compared(f"queue/walk a chain of descriptors/{n}", count=120) for n in range(97)),
        compared("tenfold", 900.0),
        compared("a third", -66.0, count=20),
        compared("hasty", count=3),
    ),
    "foreign": report(
        compared("x" * 190, 5.0),
        compared("<script>document.title = 'injected'</script>"),
        compared("日本語/🦀"),
        compared("a\nb\x1b[2J", base=3e9),
        only_in_base=tuple("y" * 150 + str(n) for n in range(20)),
    ),
}
WIDTHS = (320, 390, 700, 961, 1400)

# Each page in a frame of each width; what the frames hold is measured and left as the text of the body.
MEASURE = """
const boxes = (frame, selector) =>
  [...frame.contentDocument.querySelectorAll(selector)].map(e => e.getBoundingClientRect());
const meet = (one, other) => one.left < other.right && other.left < one.right &&
  one.top < other.bottom && other.top < one.bottom;
const overlaps = boxes => boxes.filter((one, i) => boxes.slice(i + 1).some(other => meet(one, other))).length;
const measured = [...document.querySelectorAll("iframe")].map(frame => {
  const root = frame.contentDocument.documentElement;
  const inner = frame.contentDocument;
  inner.querySelectorAll("details").forEach((details, n) => details.open = n < 3);
  const first = inner.querySelector(".plot"), mark = inner.querySelector(".plot .mark");
  const dots = inner.querySelector(".dots.base").getBoundingClientRect();
  const chart = inner.querySelector(".chart svg").getBoundingClientRect();
  return {
    run: frame.dataset.run, width: frame.width, title: inner.title,
    background: getComputedStyle(inner.body).backgroundColor,
    wider: root.scrollWidth - root.clientWidth,
    labels: overlaps(boxes(frame, ".ticks span")),
    heights: overlaps([...inner.querySelector(".y").children].map(e => e.getBoundingClientRect())),
    cells: overlaps([...inner.querySelector("summary").children].map(e => e.getBoundingClientRect())),
    plot: first.getBoundingClientRect().width,
    mark: mark.getBoundingClientRect().width,
    dots: dots.width / chart.width,
  };
});
document.body.textContent = JSON.stringify(measured);
"""


@pytest.fixture(scope="module", params=["light", "dark"])
def measured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What Chromium makes of every run at every width."""
    chromium = shutil.which("chromium")
    assert chromium, "these tests need Debian's package chromium"
    directory = tmp_path_factory.mktemp("page")
    frames = "".join(
        f'<iframe data-run="{name}" width="{width}" srcdoc="{html.escape(page(run))}"></iframe>'
        for name, run in RUNS.items()
        for width in WIDTHS
    )
    file = directory / "frames.html"
    file.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><body>{frames}'
        f'<script>addEventListener("load", () => {{{MEASURE}}})</script>'
    )
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={directory / 'profile'}",
            f"--blink-settings=preferredColorScheme={int(request.param == 'light')}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    text = html.unescape(done.stdout.partition("<body>")[2].partition("</body>")[0])
    found: list[dict[str, Any]] = json.loads(text)
    assert len(found) == len(RUNS) * len(WIDTHS)
    expected = "rgb(255, 255, 255)" if request.param == "light" else "rgb(13, 17, 23)"
    assert {frame["background"] for frame in found} == {expected}
    return found


def test_no_page_is_wider_than_its_window(measured: list[dict[str, Any]]) -> None:
    assert [frame for frame in measured if frame["wider"] > 0] == []


@pytest.mark.parametrize("what", ["labels", "heights", "cells"])
def test_nothing_overlaps(what: str, measured: list[dict[str, Any]]) -> None:
    assert [frame for frame in measured if frame[what]] == []


def test_plots_have_room_and_marks_keep_their_size(measured: list[dict[str, Any]]) -> None:
    for frame in measured:
        assert frame["plot"] > 200
        assert 9 < frame["mark"] < 16
        assert frame["dots"] > 0.6  # the pairs take the width of their chart


def test_an_id_is_not_run(measured: list[dict[str, Any]]) -> None:
    assert not [frame for frame in measured if "injected" in frame["title"]]
