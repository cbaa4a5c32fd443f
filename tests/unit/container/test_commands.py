"""The command lines of docker and podman, argument by argument, and what they are made of."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import pytest

from rustvmm_sessions.container import model as container
from rustvmm_sessions.container.model import Bind, Container, Engine, Kind, Volume
from rustvmm_sessions.errors import UserError

DOCKER = Engine(kind=Kind.DOCKER, program="docker")
PODMAN = Engine(kind=Kind.PODMAN, program="podman")
BOTH = pytest.mark.parametrize("engine", [DOCKER, PODMAN], ids=lambda engine: engine.kind)

PLAIN = Container(image="docker.io/rustvmm/dev:g8b11be7", command=("true",))
FULL = Container(
    image="localhost:5000/x/y@sha256:0123",
    command=("-c", "echo $HOME; true"),
    pull="never",
    entrypoint="python3",
    user="0:0",
    name="rustvmm-1",
    labels={"a.b": "c d"},
    binds=(Bind(source="/crate", target="/crate", writable=True), Bind(source="/x.pyz", target="/opt/x.pyz")),
    volumes=(Volume(name="builds", target="/builds"),),
    devices=("/dev/kvm", "/dev/vhost-net"),
    variables={"A": "b=c d"},
    passed=("NO_COLOR",),
    directory="/crate/sub dir",
    privileged=True,
    interactive=True,
    platform="aarch64",
)
FULL_WORDS = (
    "run",
    "--rm",
    "--pull=never",
    "--name=rustvmm-1",
    "--label=a.b=c d",
    "--platform=linux/arm64",
    "--security-opt=seccomp=unconfined",
    "--interactive",
    "--tty",
    "--privileged",
    "--mount=type=bind,source=/crate,target=/crate",
    "--mount=type=bind,source=/x.pyz,target=/opt/x.pyz,readonly",
    "--mount=type=volume,source=builds,target=/builds",
    "--device=/dev/kvm",
    "--device=/dev/vhost-net",
    "--env=A=b=c d",
    "--env=NO_COLOR",
    "--user=0:0",
    "--workdir=/crate/sub dir",
    "--entrypoint=python3",
    "localhost:5000/x/y@sha256:0123",
    "-c",
    "echo $HOME; true",
)


@BOTH
def test_a_plain_container(engine: Engine) -> None:
    assert container.command(PLAIN, engine) == (
        *(engine.program, "run", "--rm", "--pull=missing", "--security-opt=seccomp=unconfined"),
        *("--workdir=/", "docker.io/rustvmm/dev:g8b11be7", "true"),
    )


@BOTH
def test_a_container_with_everything(engine: Engine) -> None:
    assert container.command(FULL, engine) == (engine.program, *FULL_WORDS)


@pytest.mark.parametrize(
    ("facts", "options"),
    [
        ({"selinux": True}, ["--security-opt=label=disable"]),
        ({"remapped": True}, ["--userns=host"]),
        ({"keeps_groups": True}, ["--group-add=keep-groups"]),
        ({"rootless": True}, []),
    ],
)
def test_what_an_engine_is_like_adds_options(facts: dict[str, Any], options: list[str]) -> None:
    words = container.command(FULL, replace(PODMAN, **facts))

    assert [word for word in words if word not in ("podman", *FULL_WORDS)] == options


def test_groups_are_kept_only_for_devices() -> None:
    engine = replace(PODMAN, keeps_groups=True)

    assert "--group-add=keep-groups" not in container.command(replace(FULL, devices=()), engine)


@pytest.mark.parametrize("path", ["/a b", "/a:b", "/a,b", '/a"b', '/",",readonly', "/a\nb", "/a=b", "/größe"])
@BOTH
def test_a_mount_is_one_line_of_csv_whatever_its_path(engine: Engine, path: str) -> None:
    mounted = replace(
        PLAIN, binds=(Bind(source=path, target=path),), volumes=(Volume(name="kept", target=path),)
    )

    words = container.command(mounted, engine)

    mounts = [word.removeprefix("--mount=") for word in words if word.startswith("--mount=")]
    assert [*csv.reader(mounts[:1]), *csv.reader(mounts[1:])] == [
        ["type=bind", f"source={path}", f"target={path}", "readonly"],
        ["type=volume", "source=kept", f"target={path}"],
    ]


@pytest.mark.parametrize("image", ["", "-v/:/x", "a b", "a\nb", "a;b", "--privileged"])
def test_what_is_no_name_of_an_image_is_refused(image: str) -> None:
    with pytest.raises(UserError, match="invalid image name"):
        container.command(replace(PLAIN, image=image), DOCKER)


def test_a_device_with_a_colon_is_refused() -> None:
    with pytest.raises(UserError, match="engines read the colon as a separator"):
        container.command(replace(PLAIN, devices=("/dev/kvm:/etc",)), PODMAN)


# Who files belong to


@pytest.mark.parametrize(
    ("engine", "uid", "who"),
    [
        (DOCKER, 0, "-"),
        (DOCKER, 1000, "1000:100:27,100"),
        (replace(DOCKER, rootless=True), 1000, "-"),
        (replace(PODMAN, rootless=True), 1000, "-"),
        (PODMAN, 1000, "1000:100:27,100"),
    ],
)
def test_programs_run_as_the_caller(engine: Engine, uid: int, who: str) -> None:
    assert container.caller(engine, uid, 100, [100, 27]) == who
    assert container.entered(who, "sh", "-c", "x")[1:] == ("--enter", who, "sh", "-c", "x")


# What is mounted, and where


def test_of_nested_directories_the_outermost_is_mounted_once() -> None:
    assert container.outermost(["/a/b/", "/a", "/ab", "/a", "/c/../d"]) == ("/a", "/ab", "/d")
    assert container.outermost([]) == ()


@pytest.mark.parametrize("path", ["/", "/root", "/usr/", "/opt", "/tmp"])
def test_nothing_is_mounted_over_what_the_image_has(path: str) -> None:
    with pytest.raises(UserError, match="would hide the image's"):
        container.check_place(path)


@pytest.mark.parametrize("path", ["/crate", "/root/crate", "/usr/src/crate", "/home/me"])
def test_other_places_can_be_mounted(path: str) -> None:
    container.check_place(path)


def test_each_work_tree_image_and_user_has_builds_of_its_own() -> None:
    cases = [("/a", "i", 0), ("/b", "i", 0), ("/a", "j", 0), ("/a", "i", 1)]
    builds = [container.volumes(*case)[0] for case in cases]
    downloads = [container.volumes(*case)[1].name for case in cases]

    assert len({volume.name for volume in builds}) == len(cases)
    assert {volume.target for volume in builds} == {container.TARGET}
    assert downloads == ["rustvmm-cargo-0"] * 3 + ["rustvmm-cargo-1"]
    assert container.volumes("/a", "i", 0)[0] == builds[0]


# Images and machines


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("rustvmm/dev:g8b11be7", "docker.io/rustvmm/dev:g8b11be7"),
        ("debian", "docker.io/library/debian"),
        ("ghcr.io/x/y:1", "ghcr.io/x/y:1"),
        ("localhost/x", "localhost/x"),
        ("registry:5000/x", "registry:5000/x"),
    ],
)
def test_an_image_is_completed_as_docker_does_it(name: str, full: str) -> None:
    assert container.qualified(name) == full


WITH_F = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n"


def test_another_architecture_needs_an_emulator_that_containers_can_use() -> None:
    assert container.emulator("", "x86_64", {}) == ""
    assert container.emulator("x86_64", "x86_64", {}) == ""
    assert container.emulator("aarch64", "x86_64", {"qemu-aarch64": WITH_F}) == "aarch64"


@pytest.mark.parametrize(
    "registered",
    [
        {},
        {"qemu-riscv64": WITH_F},
        {"qemu-aarch64": WITH_F.replace("POCF", "POC")},
        {"qemu-aarch64": WITH_F.replace("enabled", "disabled")},
    ],
)
def test_without_an_emulator_there_is_one_message(registered: dict[str, str]) -> None:
    with pytest.raises(UserError) as caught:
        container.emulator("aarch64", "x86_64", registered)

    assert str(caught.value) == (
        "the step is for aarch64, and nothing here (x86_64) runs its programs in containers\n"
        " --> /proc/sys/fs/binfmt_misc/qemu-aarch64\n"
        "help: install qemu-user-static (Debian, Ubuntu), or run the step on such a machine"
    )
