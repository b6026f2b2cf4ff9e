# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Service Quotas' values of EC2 and Fargate, which moto lacks: `VCPUS` for every quota."""

from __future__ import annotations

from typing import Any

from moto.servicequotas.models import ServiceQuotasBackend

VCPUS = 512.0
_SERVICES = ("ec2", "fargate")


def install() -> None:
    """Add the quotas of EC2 and Fargate to this process's moto."""
    others = ServiceQuotasBackend.get_service_quota

    def get_service_quota(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
        if service_code not in _SERVICES:
            return others(self, service_code, quota_code)
        arn = f"arn:aws:servicequotas:{self.region_name}:{self.account_id}:{service_code}/{quota_code}"
        return {"ServiceCode": service_code, "QuotaCode": quota_code, "QuotaArn": arn, "Value": VCPUS}

    ServiceQuotasBackend.get_service_quota = get_service_quota
