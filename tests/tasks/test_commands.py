# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The command line: it starts fast, its help helps, `explain` asks nobody, and errors have no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.settings import SETTING_NAMES, Settings
from tests.tasks.small_world import World
from tests.tasks.tasks import shout

ROOT = Path(__file__).parents[2]
HEAVY = {
    "aioboto3",
    "aiobotocore",
    "aiohttp",
    "boto3",
    "botocore",
    "cloudpickle",
    "covalent",
    "docker",
    "moto",
    "obstore",
}
# Whatever reaches for the network, or for somebody's credentials, fails.
CUT_OFF = """
import sys
def cut(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo") or (event == "open" and ".aws" in str(arguments[0])):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(cut)
from covalent_awsbatch_plugin.cli import main
main(sys.argv[1:])
"""


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment, check=False, timeout=120
    )


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "covalent_awsbatch_plugin.cli", *arguments, **environment)


def commands(group: click.Group, path: Sequence[str] = ()) -> Iterator[tuple[list[str], click.Command]]:
    for name, each in group.commands.items():
        yield [*path, name], each
        if isinstance(each, click.Group):
            yield from commands(each, [*path, name])


ALL = list(commands(main))


def test_starting_it_imports_nothing_heavy() -> None:
    done = python("-c", "import sys, covalent_awsbatch_plugin.cli; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("path", [path for path, _ in ALL], ids=" ".join)
def test_every_command_says_what_it_does_and_what_each_option_means(path: list[str]) -> None:
    each = {" ".join(path): each for path, each in ALL}[" ".join(path)]
    with click.Context(each, info_name=" ".join(path)) as context:
        text = each.get_help(context)
    assert text.startswith(f"Usage: {' '.join(path)}")
    assert each.help and each.help.strip()[0].isupper(), "a first sentence"
    for option in each.params:
        if isinstance(option, click.Option):
            assert option.help and option.help.strip()[0].isalpha(), option.name


def test_every_setting_is_an_option_with_its_meaning_and_default() -> None:
    done = command("hello", "--help-settings")
    told = " ".join(done.stdout.split())
    for name in SETTING_NAMES:
        assert f"--{name.replace('_', '-')} " in told
        assert " ".join(str(Settings.model_fields[name].description).split()) in told
    assert "a fraction is raised to the next whole number. [default: 2" in told


def test_explain_asks_nobody(tmp_path: Path) -> None:
    done = python("-c", CUT_OFF, "explain", "--region", "eu-west-1", "--vcpu", "4", COVALENT_CONFIG_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "vcpu = 4.0" in done.stdout
    assert "public.ecr.aws/docker/library/python:3." in done.stdout


def test_explain_shows_another_platform_without_a_download(tmp_path: Path) -> None:
    arguments = ("explain", "--platform", "linux/arm64", "--cache-dir", str(tmp_path / "cache"))
    done = command(*arguments, COVALENT_CONFIG_DIR=str(tmp_path), PIP_NO_INDEX="1")
    assert done.returncode == 0, done.stderr
    assert "could not be downloaded" in done.stdout


async def test_explain_shows_what_is_sent(world: World, tmp_path: Path) -> None:
    told = requests(command("explain", *flags(world.settings()), COVALENT_CONFIG_DIR=str(tmp_path)).stdout)
    before = world.sent().definitions
    keep = world.settings(delete_definitions=False)
    assert await world.value(keep, shout, "a") == "A"
    (new,) = world.sent().definitions - before
    sent = world.client("batch").describe_job_definitions(jobDefinitions=[new])["jobDefinitions"][0]
    ours, theirs = told["RegisterJobDefinition"], sent
    for name in ("type", "platformCapabilities", "timeout", "propagateTags"):
        assert ours[name] == theirs[name], name
    container = theirs["containerProperties"]
    for name in ("command", "resourceRequirements"):
        assert ours["containerProperties"][name] == container[name], name
    digest = container["image"].partition("@sha256:")[2]
    log = json.dumps(ours["containerProperties"]["logConfiguration"]).replace("<digest>", digest[:16])
    assert json.loads(log) == container["logConfiguration"]
    assert ours["jobDefinitionName"][:-16] == theirs["jobDefinitionName"][:-16]


def test_explain_shows_what_goes_to_the_bucket_instead_of_the_image(tmp_path: Path) -> None:
    done = command("explain", "--payload", "s3", COVALENT_CONFIG_DIR=str(tmp_path))
    (line,) = (line for line in done.stdout.splitlines() if layout.payload_key("") in line)
    digest = line.rpartition("/")[2]
    told = requests(done.stdout)["SubmitJob"]["containerOverrides"]["environment"]
    assert {"name": layout.ENV_PAYLOAD, "value": digest} in told
    assert "  task " not in done.stdout, "no layer of the task's own"


def requests(text: str) -> dict[str, Any]:
    """The requests that `explain` prints, by operation."""
    parts = [part.partition("\n") for part in text.split("\n\n")]
    return {title: json.loads(body) for title, _, body in parts if body.startswith("{")}


def flags(settings: Settings) -> list[str]:
    given = settings.model_dump(exclude_defaults=True)
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


# ---- errors ---------------------------------------------------------------------------------------------------------
def hello(world: World, *more: str) -> subprocess.CompletedProcess[str]:
    return command("hello", *flags(world.settings()), *more, COVALENT_CONFIG_DIR=str(world.folder / "no-config"))


def test_hello_says_hello(world: World) -> None:
    done = hello(world)
    assert done.returncode == 0, done.stderr
    assert "Result: Hello from Python 3." in done.stdout
    assert not done.stderr


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--batch-queue", "nobodys"], "Error: The job queue `nobodys` does not exist"),
        (
            ["--vcpu", "0"],
            "Error: The setting vcpu='0', given on the command line, can't be used: it must be",
        ),
        (["--profile", "nobodys"], "Error: The config profile (nobodys) could not be found."),
        (["--credentials", "/no/such/file"], "Error: The setting credentials='/no/such/file'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_error_is_printed_without_a_traceback(world: World, more: list[str], text: str) -> None:
    done = hello(world, *more)
    assert done.returncode == 1
    assert done.stderr.startswith(text), done.stderr
    assert "Traceback" not in done.stderr


def test_broken_config_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "covalent.conf").write_text("[executors")
    done = command("explain", COVALENT_CONFIG_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Covalent's config file "), done.stderr


def test_an_unknown_option_is_told_its_neighbour() -> None:
    done = command("hello", "--vcpus", "2")
    assert done.returncode == 2
    assert "Did you mean" in done.stderr and "--vcpu" in done.stderr.rpartition("mean")[2]


def test_help_shows_the_settings_that_matter_and_all_are_taken() -> None:
    clean = command("clean", "--help").stdout
    assert clean.index("--older-than") < clean.index("--batch-queue"), "its own options come first"
    assert "--vcpu" not in clean
    assert {"--vcpu", "--batch-queue"} <= {flag for each in main.commands["clean"].params for flag in each.opts}


@pytest.mark.parametrize("words", [("explain",), ("jobs", "--profile", "nobodys")])
def test_a_misspelt_key_of_the_config_section_is_told(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "covalent.conf").write_text('[executors.awsbatch]\nbatch_que = "x"\nlog_stdout = "out.log"\n')
    said = command(*words, COVALENT_CONFIG_DIR=str(tmp_path)).stderr.splitlines()
    assert said[0].endswith("has `batch_que`, which is no setting and is ignored. Did you mean `batch_queue`?")
    assert not any("log_stdout" in line for line in said)
