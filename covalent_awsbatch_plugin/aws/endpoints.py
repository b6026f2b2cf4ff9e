# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Host names of AWS in every Region and partition, by botocore's endpoint rules, whatever `endpoint_url` is set."""

from __future__ import annotations

import functools

from botocore.exceptions import UnknownRegionError
from botocore.regions import EndpointResolver

from .profile import loader
from .session import AWS

COMMERCIAL = "aws"
# The rules have no consoles. https://docs.aws.amazon.com/IAM/latest/UserGuide/console_controlling-access.html (aws),
# https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-Beijing.html,
# https://docs.aws.amazon.com/govcloud-us/latest/UserGuide/using-govcloud-endpoints.html
_CONSOLES = {
    COMMERCIAL: "{region}.console.aws.amazon.com",
    "aws-cn": "{region}.console.amazonaws.cn",
    "aws-us-gov": "{region}.console.amazonaws-us-gov.com",
}


@functools.cache
def _resolver() -> EndpointResolver:
    return EndpointResolver(loader().load_data("endpoints"))


def partition_of(region: str) -> str:
    """Return the partition of a Region, such as `aws-cn`; of a Region that botocore can't place, `aws`."""
    try:
        return str(_resolver().get_partition_for_region(region))
    except UnknownRegionError:
        return COMMERCIAL


def s3_url(region: str, aws: AWS | None = None) -> str:
    """Return the URL of S3 in a Region, with the FIPS and dual-stack endpoints that the user's profile asks for."""
    variants = {name: bool(aws and aws.variable(name)) for name in ("use_fips_endpoint", "use_dualstack_endpoint")}
    endpoint = _resolver().construct_endpoint("s3", region, **variants)
    return f"https://{endpoint['hostname'] if endpoint else f's3.{region}.amazonaws.com'}"


def console(region: str) -> str:
    """Return the host of a Region's console; "" in a partition whose console is not public."""
    return _CONSOLES.get(partition_of(region), "").format(region=region)
