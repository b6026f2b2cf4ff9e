# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The roles, instance profiles and networks that compute environments name, looked up over HTTP.

Moto's Batch checks them through its own IAM and EC2 backends. The classes here have the methods that it calls, which
test_moto_has_not_moved.py checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from moto.ec2.exceptions import InvalidSubnetIdError
from moto.iam.exceptions import NotFoundException

from ..service_client import ServiceClient

T = TypeVar("T")


@dataclass(frozen=True)
class InstanceProfile:
    """An instance profile of IAM."""

    name: str
    arn: str


class _Looks:
    """A lookup for the API's threads; the requests run in `loop`."""

    def __init__(self, services: ServiceClient, loop: asyncio.AbstractEventLoop) -> None:
        self._services, self._loop = services, loop

    def _wait(self, request: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(request, self._loop).result()


class Roles(_Looks):
    """IAM, in the place of moto's backend."""

    def get_role_by_arn(self, arn: str) -> object:
        """Return what is known of a role. Raises NotFoundException."""
        trust = self._wait(self._services.role(arn))
        if trust is None:
            raise NotFoundException(f"Role {arn} not found")
        return trust

    def get_instance_profiles(self) -> list[InstanceProfile]:
        """Return all instance profiles."""
        return [InstanceProfile(name, arn) for name, arn in self._wait(self._services.instance_profiles())]


class Networks(_Looks):
    """EC2, in the place of moto's backend."""

    def get_subnet(self, subnet: str) -> str:
        """Return the ID of a subnet. Raises InvalidSubnetIdError."""
        if not self._wait(self._services.has_subnet(subnet)):
            raise InvalidSubnetIdError(subnet)
        return subnet

    def get_security_group_from_id(self, group: str) -> str | None:
        """Return the ID of a security group, None where there is none."""
        return group if self._wait(self._services.has_security_group(group)) else None
