"""What of the usual ways to publish a package is seen in a workflow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rustvmm_sessions.pipeline.publishing import ANY, published_by


def published(**step: Any) -> set[str]:
    return published_by(json.dumps({"on": "push", "jobs": {"x": {"steps": [{"uses": "a/b@v1"}, step]}}}))


@pytest.mark.parametrize(
    ("run", "names"),
    [
        ("cargo publish", {ANY}),
        ("cargo +stable publish --locked", {ANY}),
        ("cargo --locked publish -p one --package=two-x --package three@0.1.0", {"one", "two-x", "three"}),
        ('cargo publish -p "$CRATE"', {ANY}),
        ("cargo publish -p ${{ matrix.crate }}", {ANY}),
        ("cd one\n~/.cargo/bin/cargo publish", {ANY}),
        ("set -e; if true; then cargo publish -p one; fi", {"one"}),
        ("bash -c 'cargo publish -p one'", {"one"}),
        ("cargo publish --dry-run && cargo publish -p one", {"one"}),
        ("cargo release publish --execute --no-confirm", {ANY}),
        ("cargo release patch -x -p one", {"one"}),
        ("cargo smart-release --execute one", {ANY}),
        ("cargo workspaces publish --from-git", {ANY}),
        ("cargo ws publish", {ANY}),
        ("release-plz release", {ANY}),
        ("just publish", set()),
        ("cargo publish --dry-run", set()),
        ("cargo publish -n -p one", set()),
        ("cargo workspaces publish --dry-run", set()),
        ("cargo workspaces version", set()),
        ("cargo release patch", set()),
        ("cargo release version patch --execute", set()),
        ("cargo release --execute --no-publish", set()),
        ("release-plz release-pr", set()),
        ("# cargo publish\ncargo test", set()),
        ("echo cargo", set()),
        ("cargo test publish", set()),
    ],
)
def test_what_a_command_publishes(run: str, names: set[str]) -> None:
    assert published(run=run) == names


def test_what_an_action_publishes() -> None:
    token = {"env": {"CARGO_REGISTRY_TOKEN": "${{ secrets.CARGO_REGISTRY_TOKEN }}"}}
    assert published(uses="release-plz/action@v0.5") == {ANY}
    assert published(uses="MarcoIeni/release-plz-action@v0.5", **{"with": {"command": "release"}}) == {ANY}
    assert published(uses="release-plz/action@v0.5", **{"with": {"command": "release-pr"}}, **token) == set()
    assert published(uses="release-plz/action@v0.5", **{"with": {"dry_run": True}}) == set()
    given = {"registry-token": "${{ secrets.CARGO_REGISTRY_TOKEN }}"}
    assert published(uses="katyo/publish-crates@v2", **{"with": given}) == {ANY}
    assert published(uses="katyo/publish-crates@v2", **{"with": {**given, "dry-run": True}}) == set()
    assert published(run="just publish", **token) == {ANY}
    assert published(run="cargo publish --dry-run", **token) == set()
    assert published(uses="actions/checkout@v4") == set()


@pytest.mark.parametrize("text", ["", "[", "jobs: 5", "jobs: {x: {steps: }}", "- run: 5"])
def test_a_file_that_is_no_workflow_publishes_nothing(text: str) -> None:
    assert published_by(text) == set()
