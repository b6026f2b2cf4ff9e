# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Batch alone, beside another emulator that has S3, ECR, IAM, STS, CloudWatch Logs and EC2.

Requests for Batch must be signed with the key of the other's credentials file; who may send them is checked in front.
Containers reach the other emulator, and Batch, at the file's endpoint.
"""

from __future__ import annotations

import asyncio
import configparser
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_urlsafe
from typing import Any

from botocore.credentials import Credentials

from .batch import api as batch
from .batch.instance import Host
from .batch.scheduler import Scheduler
from .engines import choice as engines
from .engines.watchdog import watchdog
from .faults.request_filter import Gate
from .iam import enforcement
from .iam.keys import Keys
from .iam.task_credentials import CredentialsEndpoint
from .provision import ACCOUNT, PROFILE
from .server import Options, serve_moto, site
from .service_client import Endpoints, ServiceClient


@asynccontextmanager
async def batch_alone(options: Options, report: Callable[[str], None]) -> AsyncIterator[dict[str, Any]]:
    """Run AWS Batch; yield the content of `state.json`. The folder `work` of the state directory is emptied."""
    profile = configparser.ConfigParser()
    assert options.services is not None
    profile.read(options.services)
    lines = profile[PROFILE]
    work = options.state_dir / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, mode=0o700)
    name = await asyncio.to_thread(engines.choose, options.engine)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        gate, keys, control_token = Gate(options.quotas), Keys(), token_urlsafe(48)
        keys.add(lines["aws_access_key_id"], lines["aws_secret_access_key"])
        key = Credentials(lines["aws_access_key_id"], lines["aws_secret_access_key"])
        services = ServiceClient(Endpoints(lines["endpoint_url"]), options.region, key)
        stack.push_async_callback(services.close)
        credentials = CredentialsEndpoint(services)
        credentials_site = await stack.enter_async_context(site(credentials.app()))
        stack.enter_context(watchdog(name, work / "engine"))
        engine = engines.make(name, work / "engine", "", "", options.limits.slots)
        stack.push_async_callback(engine.close)
        urls = lines["endpoint_url"], f"http://{credentials_site}"
        host = Host(ACCOUNT, options.region, *urls, credentials, services)
        scheduler = Scheduler(engine, host, options.limits, gate.faults)
        stack.push_async_callback(scheduler.close)
        batch.install(asyncio.get_running_loop(), scheduler, services, ec2_is_moto=False)
        enforcement.install(None)
        endpoint_url, _ = serve_moto(gate, keys, control_token, options.region)
        logging.getLogger(__name__).warning(engine.note)
        report(engine.note)
        yield {
            "pid": os.getpid(),
            "endpoint_url": endpoint_url,
            "registry": "",
            "engine": name,
            "region": options.region,
            "section": {},
            "control_token": control_token,
        }
