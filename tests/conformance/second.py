# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The second world, written by other people: MiniStack, with our Batch in front of it."""

from __future__ import annotations

import asyncio
import io
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from botocore.credentials import Credentials

from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.local.base_image.build import make_base_image
from covalent_awsbatch_plugin.local.provision import (
    BASE_REPOSITORY,
    PROFILE,
    PROVISIONER,
    Network,
    Provisioner,
    section,
)
from tests.conformance.front import Answer, Front, Upstream, client_session, site
from tests.conformance.ministack_adapter import Adapter
from tests.conformance.ministack_process import REGION, ministack
from tests.conformance.world import World
from tests.recorded_traffic import Record, WireRequest

NAME = "ministack"
SECRET = "unchecked"
BASE_TAG = "base"
AS_HTTPS = {"x-forwarded-proto": "https"}  # as a proxy that ends TLS says it; the stack's bucket denies plain HTTP


@asynccontextmanager
async def second(record: Record, folder: Path) -> AsyncIterator[World]:
    """Yield MiniStack with the resources of `Provisioner`, at the address of its front."""
    adapter: asyncio.Future[Adapter] = asyncio.get_running_loop().create_future()

    async def answer(request: WireRequest) -> Answer:
        return await (await adapter).answer(request)

    async def answer_registry(request: WireRequest) -> Answer:
        return await (await adapter).answer_registry(request)

    async with (
        client_session() as session,
        site(Front(NAME, record, answer).app()) as address,
        site(Front(NAME, record, answer_registry).app()) as registry,
        ministack(folder, PROVISIONER) as url,
    ):
        services = folder / "services"
        services.write_text(_profile(f"http://{address}"))
        async with LocalAWS(engine="process", slots=4, grace_s=1, services=services) as batch:
            batches = Upstream(session, batch.endpoint_url)
            root = Credentials(PROVISIONER, SECRET)
            made = Adapter(Upstream(session, url, AS_HTTPS), batches, root, REGION, registry)
            adapter.set_result(made)
            credentials = folder / "credentials"
            await asyncio.to_thread(_provision, f"http://{address}", credentials)
            image = await _push_base(session, f"http://{address}", registry)
            yield World(NAME, f"http://{address}", section(credentials, REGION, image), batch)


def _profile(endpoint_url: str) -> str:
    keys = f"aws_access_key_id = {PROVISIONER}\naws_secret_access_key = {SECRET}\n"
    return f"[{PROFILE}]\n{keys}region = {REGION}\nendpoint_url = {endpoint_url}\n"


def _provision(endpoint_url: str, credentials: Path) -> None:
    provisioner = Provisioner(endpoint_url, REGION, SECRET)
    ec2 = provisioner._client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    of_vpc = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnet = ec2.describe_subnets(Filters=of_vpc)["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"][0]["GroupId"]
    # At AWS the default VPC's main route table leads to its internet gateway: docs/conformance.md
    gateway = ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"]
    table = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    provisioner.run(Network(subnet, group), credentials)


async def _push_base(session: aiohttp.ClientSession, endpoint_url: str, registry: str) -> str:
    """Push the base image of the process engine with a login of the account's root. Return its name."""
    base = await asyncio.to_thread(make_base_image, whole=False, report=print)
    login = await asyncio.to_thread(_login, endpoint_url)
    auth = {"Authorization": "Basic " + b64encode(f"AWS:{login}".encode()).decode()}
    url = f"http://{registry}/v2/{BASE_REPOSITORY}"
    for digest, file in base.blobs.items():
        async with session.post(f"{url}/blobs/uploads/", headers=auth) as response:
            location = response.headers["Location"]
            assert response.status == 202, await response.text()
        target = f"http://{registry}{location}{'&' if '?' in location else '?'}digest={digest}"
        async with session.put(target, data=io.BytesIO(file.read_bytes()), headers=auth) as response:
            assert response.status == 201, await response.text()
    headers = auth | {"Content-Type": base.media_type}
    async with session.put(f"{url}/manifests/{BASE_TAG}", data=base.manifest, headers=headers) as response:
        assert response.status == 201, await response.text()
    return f"{registry}/{BASE_REPOSITORY}:{BASE_TAG}"


def _login(endpoint_url: str) -> Any:
    ecr = Provisioner(endpoint_url, REGION, SECRET)._client("ecr")
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return b64decode(token).decode().partition(":")[2]
