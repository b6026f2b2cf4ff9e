# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The large data of moto, which is read when a request needs it and not at the start.

Import this module before any other one that imports `moto.ec2`, as moto's Batch does. It saves the start of an offline
AWS a second of CPU time and 90 MiB: moto reads the instance types of 90 zones, 1,300 machine images and 1,600 managed
policies, and EC2's whole model for each list of Regions. tests/local/test_moto_has_not_moved.py compares the data with
moto's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any

from boto3 import Session
from botocore.regions import EndpointResolver
from moto.core.base_backend import AccountSpecificBackend
from moto.iam.models import IAMBackend
from moto.utilities import utils

OFFERINGS = "ec2/resources/instance_type_offerings"
MANAGED_POLICIES = "MOTO_IAM_LOAD_MANAGED_POLICIES"
_read_regions = Session.get_available_regions


class Offerings(dict[str, list[dict[str, Any]]]):
    """The instance types that are offered at locations of one type, by Region; read when the Region is asked for."""

    def __init__(self, location_type: str, regions: Iterable[str]) -> None:
        super().__init__({region: [] for region in regions})
        self._location_type = location_type

    def __getitem__(self, region: str) -> list[dict[str, Any]]:
        if not super().__getitem__(region):
            offerings = utils.load_resource(f"{OFFERINGS}/{self._location_type}/{region}.json")
            self[region] = [each | {"LocationType": self._location_type} for each in offerings]
        return super().__getitem__(region)

    def get(self, region: str, default: Any = None) -> Any:
        return self[region] if region in self else default  # noqa: SIM401 - this is `get`


@contextmanager
def _without_offerings() -> Iterator[None]:
    load = utils.load_resource
    utils.load_resource = lambda resource: [] if resource.startswith(OFFERINGS) else load(resource)
    try:
        yield
    finally:
        utils.load_resource = load


def _available_regions(
    session: Any, service_name: str, partition_name: str = "aws", allow_non_regional: bool = False
) -> list[str]:
    """Return the Regions of a service. Only where its endpoint has another name, boto3 reads the service's model."""
    resolver = _resolver()
    if not resolver.get_available_endpoints(service_name, "aws", allow_non_regional=True):
        return _read_regions(session, service_name, partition_name, allow_non_regional)
    regions: list[str] = resolver.get_available_endpoints(service_name, partition_name, allow_non_regional)
    return regions


@cache
def _resolver() -> Any:
    loader = AccountSpecificBackend.get_session()._session.get_component("data_loader")  # it has read the file already
    return EndpointResolver(loader.load_data_with_path("endpoints")[0])


def read_managed_policies_late(backend: IAMBackend) -> None:
    """Have a new IAM backend read AWS's managed policies when one is asked for; roles of compute environments do.

    The other partitions have none: moto would read all for each, and it searches all partitions for a request's key.
    """
    del backend.aws_managed_policies, backend.managed_policies


def _aws_managed_policies(backend: IAMBackend) -> Any:
    os.environ[MANAGED_POLICIES] = "true"
    try:
        return backend._init_aws_policies()
    finally:
        os.environ[MANAGED_POLICIES] = "false"


def _replace(owner: type, name: str, value: cached_property[Any]) -> None:
    value.__set_name__(owner, name)
    setattr(owner, name, value)


os.environ |= {MANAGED_POLICIES: "false", "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
_replace(IAMBackend, "aws_managed_policies", cached_property(_aws_managed_policies))
_replace(IAMBackend, "managed_policies", cached_property(IAMBackend._init_managed_policies))
Session.get_available_regions = _available_regions
with _without_offerings():
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

for _type, _regions in INSTANCE_TYPE_OFFERINGS.items():
    INSTANCE_TYPE_OFFERINGS[_type] = Offerings(_type, _regions)

__all__ = ["Offerings", "ec2_backends", "read_managed_policies_late"]
