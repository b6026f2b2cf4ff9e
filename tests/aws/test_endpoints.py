# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Host names in every partition, as botocore's endpoint rules have them, where no `endpoint_url` is set."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from botocore.loaders import create_loader

from covalent_awsbatch_plugin.aws.endpoints import console, partition_of, s3_url
from covalent_awsbatch_plugin.aws.logs import link
from covalent_awsbatch_plugin.aws.s3_fast_get import base_url
from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.iam import ec2_principal

# Region -> partition, S3's host, the console's host
REGIONS = {
    "cn-north-1": ("aws-cn", "s3.cn-north-1.amazonaws.com.cn", "cn-north-1.console.amazonaws.cn"),
    "us-gov-west-1": (
        "aws-us-gov", "s3.us-gov-west-1.amazonaws.com", "us-gov-west-1.console.amazonaws-us-gov.com",
    ),
    "eu-west-1": ("aws", "s3.eu-west-1.amazonaws.com", "eu-west-1.console.aws.amazon.com"),
    "me-central-1": ("aws", "s3.me-central-1.amazonaws.com", "me-central-1.console.aws.amazon.com"),
    "us-east-1": ("aws", "s3.us-east-1.amazonaws.com", "us-east-1.console.aws.amazon.com"),
    "us-iso-east-1": ("aws-iso", "s3.us-iso-east-1.c2s.ic.gov", ""),
}  # fmt: skip


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")


@pytest.mark.parametrize(("region", "partition", "s3", "page"), [(name, *hosts) for name, hosts in REGIONS.items()])
def test_partition_bucket_and_console_of_a_region(region: str, partition: str, s3: str, page: str) -> None:
    assert (partition_of(region), s3_url(region), console(region)) == (partition, f"https://{s3}", page)


@pytest.mark.parametrize("connection", ["eu-west-1", "us-east-1"])
@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("bucket", ["plain", "with.dots"])
async def test_a_small_read_asks_the_buckets_region(region: str, connection: str, bucket: str) -> None:
    async with AWS(Connection(region=connection)) as aws:
        client = await aws.client("s3", region=region)
        there = urlsplit(await base_url(client, bucket))
    host = REGIONS[region][1]
    virtual = f"{bucket}.{host}", "/"
    path_style = host, f"/{bucket}/"
    assert (there.scheme, there.netloc, there.path) == ("https", *(virtual if bucket == "plain" else path_style))


@pytest.mark.parametrize("region", REGIONS)
async def test_every_request_asks_the_buckets_region(region: str) -> None:
    hosts: list[str] = []

    class Seen(Exception):
        pass

    def note(request: object, **_: object) -> None:
        hosts.append(urlsplit(str(getattr(request, "url", ""))).netloc)
        raise Seen

    async with AWS(Connection(region=region)) as aws:
        client = await aws.client("s3")
        client.meta.events.register("before-send", note)
        with pytest.raises(Seen):
            await client.put_object(Bucket="plain", Key="k", Body=b"")
    assert hosts == [f"plain.{REGIONS[region][1]}"]


async def test_the_profiles_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    async with AWS(Connection(region="us-gov-west-1")) as aws:
        assert s3_url("us-gov-west-1", aws) == "https://s3-fips.us-gov-west-1.amazonaws.com"


def test_ec2s_principal_ends_as_the_host_names_of_each_partition() -> None:
    partitions = create_loader().load_data("endpoints")["partitions"]
    assert {each["partition"]: ec2_principal(each["partition"]) for each in partitions} == {
        each["partition"]: f"ec2.{each['dnsSuffix']}" for each in partitions
    }


def test_a_region_that_botocore_does_not_know_is_of_the_commercial_partition() -> None:
    assert s3_url("xx-new-1") == "https://s3.xx-new-1.amazonaws.com"


def test_a_console_link_leads_to_the_partitions_console() -> None:
    assert link("cn-north-1", "g", "a/b").startswith("https://cn-north-1.console.amazonaws.cn/cloudwatch/home?region=")
    named = link("us-iso-east-1", "group", "a/b")
    assert not re.search("https?:", named)
    assert "a/b" in named and "group" in named
