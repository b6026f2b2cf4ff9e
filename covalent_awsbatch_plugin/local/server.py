# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The process of the offline AWS: moto's server in threads; the registry, credentials and jobs in one event loop."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from .moto_data import ec2_backends, read_managed_policies_late  # before all that imports moto

# isort: split
from aiohttp import web
from botocore.credentials import Credentials
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.utilities.utils import get_partition
from werkzeug.serving import make_server

from ..core.files import atomic_write
from . import logs, service_quotas
from .access import before_all
from .base_image.build import BaseImage, make_base_image
from .batch import api as batch
from .batch.instance import Host
from .batch.scheduler import Limits, Scheduler
from .ecr import api as ecr
from .ecr.blobs import BlobStore
from .ecr.registry import Manifest, Registry, problem
from .engines import choice as engines
from .engines.watchdog import watchdog
from .faults.request_filter import Gate, before_moto, before_registry
from .iam import enforcement as iam
from .iam import policy_sizes
from .iam.keys import Keys
from .iam.origin import only_own
from .iam.task_credentials import CredentialsEndpoint
from .provision import BASE_REPOSITORY, PROVISIONER, Network, Provisioner, create_internet_gateway, section
from .s3 import before_s3
from .service_client import Endpoints, ServiceClient

HOST = "127.0.0.1"
CREDENTIALS_FILE = "credentials"
STATE_FILE = "state.json"
IAM_LOG = "iam.jsonl"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """The options of an offline AWS. `slots` None runs two jobs per processor at a time.

    `Limits` describes `grace_s` and `minute_s`; `Gate` describes `quotas`. `registry_name` is the host:port by which
    clients reach the registry, where a proxy is in front of it. With `services`, a credentials file, only Batch is
    served, and all else is at that file's endpoint: see `batch_alone`.
    """

    state_dir: Path
    engine: str = engines.AUTO
    region: str = "us-east-1"
    slots: int | None = None
    grace_s: float = 30.0
    minute_s: float = 60.0
    mounting: bool = True
    enforce_iam: bool = False
    quotas: Mapping[str, float] = field(default_factory=dict)
    registry_name: str | None = None
    services: Path | None = None

    @property
    def limits(self) -> Limits:
        """The limits of the scheduler."""
        return Limits(self.slots or 2 * (os.cpu_count() or 1), self.grace_s, self.minute_s)


@asynccontextmanager
async def offline_aws(options: Options, report: Report) -> AsyncIterator[dict[str, Any]]:
    """Run an offline AWS; yield the content of `state.json`. The folder `work` of the state directory is emptied."""
    work = options.state_dir / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, mode=0o700)  # also where the state directory is open to others
    name = await asyncio.to_thread(engines.choose, options.engine)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        blobs, catalog = BlobStore(work / "registry"), ecr.ECRCatalog(ACCOUNT, options.region)
        gate, keys, control_token = Gate(options.quotas), Keys(), token_urlsafe(48)
        registry_app = Registry(blobs, catalog, mounting=options.mounting).app()
        registry_app.middlewares.insert(0, only_own(_denied))
        registry_app.middlewares.append(before_registry(gate, _too_many))
        registry = await stack.enter_async_context(site(registry_app))
        name_of_registry = options.registry_name or registry
        read_managed_policies_late(iam_backends[ACCOUNT][get_partition(options.region)])
        endpoint_url, ungated_url = serve_moto(gate, keys, control_token, options.region)
        key = Credentials(iam.SERVICE, stack.enter_context(keys.lent(iam.SERVICE)))
        services = ServiceClient(Endpoints(ungated_url), options.region, key)
        stack.push_async_callback(services.close)
        credentials = CredentialsEndpoint(services)
        credentials_site = await stack.enter_async_context(site(credentials.app()))
        token, _ = ecr.LocalECRResponse.new_login()
        stack.enter_context(watchdog(name, work / "engine"))
        engine = engines.make(name, work / "engine", name_of_registry, token, options.limits.slots)
        stack.push_async_callback(engine.close)
        urls = endpoint_url, f"http://{credentials_site}"
        host = Host(ACCOUNT, options.region, *urls, credentials, services, options.enforce_iam)
        scheduler = Scheduler(engine, host, options.limits, gate.faults)
        stack.push_async_callback(scheduler.close)
        _install(name_of_registry, scheduler, services)
        with keys.lent(PROVISIONER) as secret:
            await asyncio.to_thread(_provision, options, endpoint_url, secret)
        iam.install(options.state_dir / IAM_LOG if options.enforce_iam else None)
        base = await asyncio.to_thread(make_base_image, whole=engine.name == engines.DOCKER, report=report)
        logging.getLogger(__name__).warning(engine.note)
        report(engine.note)
        image = _push(base, blobs, catalog, name_of_registry)
        keeping = asyncio.create_task(engine.keep(image))  # in the background
        stack.push_async_callback(asyncio.wait, [keeping])
        settings = section(options.state_dir / CREDENTIALS_FILE, options.region, image)
        yield {
            "pid": os.getpid(),
            "endpoint_url": endpoint_url,
            "registry": registry,
            "engine": name,
            "region": options.region,
            "section": settings,
            "control_token": control_token,
        }


def _install(registry: str, scheduler: Scheduler, services: ServiceClient) -> None:
    ecr.install(registry)
    logs.install()
    batch.install(asyncio.get_running_loop(), scheduler, services, ec2_is_moto=True)
    policy_sizes.install()
    service_quotas.install()


def _provision(options: Options, endpoint_url: str, secret: str) -> None:
    ec2 = ec2_backends[ACCOUNT][options.region]
    subnet = next(iter(next(iter(ec2.subnets.values())).values()))
    group = ec2.get_default_security_group(subnet.vpc_id)
    assert group is not None
    network = Network(subnet.id, group.id)
    create_internet_gateway(ec2, subnet.vpc_id)
    Provisioner(endpoint_url, options.region, secret).run(network, options.state_dir / CREDENTIALS_FILE)


def _push(base: BaseImage, blobs: BlobStore, catalog: ecr.ECRCatalog, registry: str) -> str:
    """Store the base image in the registry. Return its name there."""
    sizes, tag = catalog.blobs(BASE_REPOSITORY), f"3.{sys.version_info.minor}-slim"
    assert sizes is not None
    for digest, file in base.blobs.items():
        sizes[digest] = blobs.adopt(file, digest)
    catalog.put(BASE_REPOSITORY, tag, Manifest(base.manifest, base.media_type, base.digest), sum(sizes.values()))
    return f"{registry}/{BASE_REPOSITORY}:{tag}"


@asynccontextmanager
async def site(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free port; yield its host:port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, backlog=1024).start()
        yield "{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


def _too_many() -> web.Response:
    return problem(429, "TOOMANYREQUESTS", "Rate exceeded")


def _denied(message: str) -> web.Response:
    return problem(403, "DENIED", message)


def serve_moto(gate: Gate, keys: Keys, control_token: str, region: str) -> tuple[str, str]:
    """Start moto's server in threads that end with this process. Return its URL, and one that no quota or fault is for.

    AWS Batch's own requests go to the second one.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for every request
    moto: Any = DomainDispatcherApplication(create_backend_app)
    moto.get_backend_for_host = functools.cache(moto.get_backend_for_host)  # else 200 patterns for each request
    moto = before_s3(ACCOUNT, region, moto)
    gated = before_moto(gate, moto)  # from the first request on
    return _served(before_all(keys, control_token, gated)), _served(before_all(keys, control_token, moto))


def _served(app: Any) -> str:
    """Serve an application in threads; return its URL."""
    server = make_server(HOST, 0, _with_one_server(app), threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{HOST}:{server.port}"


def _with_one_server(app: Any) -> Any:
    """Return the application without its own Server and Date headers: werkzeug sends them, and clients refuse two."""

    def one_server(environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            own = [(name, value) for name, value in headers if name.lower() not in ("server", "date")]
            return start_response(status, own, *error)

        return app(environ, start)

    return one_server


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write `state.json` in one step. Its presence means that every service answers."""
    atomic_write(folder / STATE_FILE, json.dumps(state, indent=2), mode=0o600)
