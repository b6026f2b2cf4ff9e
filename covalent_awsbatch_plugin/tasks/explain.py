# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A preview of a submission as text, from the functions that submit; names stand where AWS would return ARNs."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..aws.endpoints import s3_url
from ..core.url_passwords import without_passwords
from ..errors import ImageError
from ..images.layer import Layer, compressed_layer, layer
from ..images.runner_layer import runner_files
from ..jobs import definition as jobs
from ..settings import Settings
from .cache_folder import cache_folder
from .image_and_payload import image_files, payload_of
from .packing import Package, pack
from .services import base_image
from .staging import stage_call

DISPATCH = "00000000-0000-0000-0000-000000000000"


def explanation(settings: Settings) -> str:
    """Return settings, layers with their sizes in bytes, and the two requests, for a task that adds two numbers."""
    placement, package = _place(settings), _example(settings)
    payload = None if settings.has_own_image else payload_of([package], [DISPATCH], 1)
    definition = jobs.job_definition(settings, placement, f"{settings.ecr_repo_name}@sha256:<digest>")
    prefix, url = jobs.results_prefix(DISPATCH, 0), s3_url(placement.region)
    environment = jobs.environment(DISPATCH, settings.s3_bucket_name, placement.region, url, prefix)
    environment |= jobs.encryption(settings) | jobs.sharing(settings, 1)
    submission = jobs.submission(
        name=jobs.job_name([(DISPATCH, 0)]),
        size=1,
        definition=f"{definition['jobDefinitionName']}:<revision>",
        queue=settings.batch_queue,
        environment=environment | (payload.environment if payload else {}),
        tags=jobs.tags(DISPATCH, 0, platform.node()),
        share=jobs.fair_share(settings),
    )
    layers = [_layer_line(compressed_layer(image_files([package], [DISPATCH], 1), "task"))] if payload is None else []
    return "\n\n".join(
        (
            "Settings\n" + "\n".join(f"  {name} = {_shown(value)}" for name, value in settings),
            "Image, bottom up\n" + "\n".join([*_image(settings), *layers]),
            *([f"Object in the bucket\n  {payload.size:,} bytes  {payload.key}"] if payload else []),
            "RegisterJobDefinition\n" + json.dumps(definition, indent=2),
            "SubmitJob\n" + json.dumps(submission, indent=2),
        )
    )


def _shown(value: object) -> str:
    return without_passwords(repr(value))


def _image(settings: Settings) -> list[str]:
    """Return the lines of the image's layers, without the task's own."""
    lines = [_line("base", base_image(settings, platform.python_version())), _runner(settings)]
    if settings.environment:
        lines.append(_line("packages", "`covalent-awsbatch env show` lists them"))
    return lines


def _runner(settings: Settings) -> str:
    try:
        files = runner_files(settings.platform, cache_folder(settings.cache_dir))
    except ImageError as error:  # for another platform it takes a download, and this command needs no network
        return _line("runner", f"for {settings.platform}. {error.happened}")
    return _layer_line(layer(files, "runner"))


def _layer_line(layer_: Layer) -> str:
    return _line(layer_.comment, f"{layer_.size:>10,} bytes  {layer_.digest}")


def _line(name: str, text: str) -> str:
    return f"  {name:<9} {text}"


def _example(settings: Settings) -> Package:
    """Return the package of `add(1, 2)`, without its result key: a real description is 64 characters longer."""
    with tempfile.TemporaryDirectory() as folder:
        group = stage_call(_adder(), (1, 2), {}, Path(folder), dispatch_id=DISPATCH, node_id=0)
        return pack(group, round(settings.max_baked_mib * 1024 * 1024), lambda _: b"")


def _adder() -> Callable[[int, int], int]:
    """Return a function that is pickled by value, like a workflow's functions, and not by its name in this module."""

    def add(x: int, y: int) -> int:
        return x + y

    return add


def _place(settings: Settings) -> jobs.JobPlacement:
    return jobs.JobPlacement(
        account="<account>",
        region=settings.region or "<region>",
        queue_arn=settings.batch_queue,
        fargate=False,
        execution_role_arn=settings.batch_execution_role_name,
        job_role_arn=settings.batch_job_role_name,
    )
