# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Check everything that a task needs at AWS; one failed check does not hide another."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime

from ..aws.identity import Identity
from ..aws.logs import Logs
from ..aws.s3 import Store
from ..errors import AWSBatchError, NotAllowed, NotFound, Refused
from ..jobs.instance_types import type_patterns
from ..jobs.resources import fitted
from ..settings import Settings
from ..tasks.services import Services, base_image
from ..tasks.stuck import lacks
from . import checks, vcpu_quotas
from .checks import OK, UNKNOWN, WRONG, Finding
from .doctor_queries import Checkup
from .stack_names import configured_names

Look = Callable[[], Awaitable[Finding | Sequence[Finding]]]


class Doctor:
    """Checks one account with one set of settings."""

    def __init__(self, services: Services, settings: Settings) -> None:
        self._services, self._settings = services, settings
        self._ask = Checkup(services.aws)
        self._arn, self._who, self._region = "", Identity("", "aws"), ""
        self._bucket_key = ""  # the customer managed KMS key of the bucket's default encryption

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield the findings in order; without credentials there is only one."""
        async for finding in self._checked("credentials", self._credentials):
            yield finding
            if finding.name == "credentials" and not self._arn:
                return
        looks: dict[str, Look] = {
            "bucket": self._bucket,
            "bucket encryption": self._encryption,
            "bucket writable": self._writable,
            "repository": self._repository,
            "queue": self._queue,
            "compute environments": self._environments,
            "machines": self._machines,
            "vCPU quotas": self._quotas,
            "base image": self._base_image,  # after the queue, whose processor it must have
            "batch_execution_role_name": lambda: self._role("batch_execution_role_name"),
            "batch_job_role_name": lambda: self._role("batch_job_role_name"),
            "log group": self._log_group,
            "subnets": self._subnets,
            "permissions": self._permissions,
        }
        names_ok: set[str] = set()
        for name, look in looks.items():
            if name in _NEED_A_QUEUE and "queue" not in names_ok:
                yield Finding(name, UNKNOWN, "not checked: it depends on the queue")
                continue
            async for finding in self._checked(name, look):
                names_ok |= {finding.name} if finding.state == OK else set()
                yield finding

    async def _checked(self, name: str, look: Look) -> AsyncIterator[Finding]:
        try:
            findings = await look()
        except NotAllowed as error:  # requests that only the doctor makes: a task does not need them
            state = UNKNOWN if name in _DOCTOR_ONLY else WRONG
            findings = Finding(name, state, f"{error.happened} {error.says}".strip(), error.advice)
        except AWSBatchError as error:
            state = UNKNOWN if name in ("permissions", "vCPU quotas") else WRONG
            findings = Finding(name, state, f"{error.happened} {error.says}".strip(), error.advice)
        for each in [findings] if isinstance(findings, Finding) else findings:
            yield each

    async def _credentials(self) -> list[Finding]:
        arn, skew = await self._ask.caller()
        self._who, self._region = await self._services.identity(), await self._services.aws.region()
        self._arn = arn
        ends = await self._services.aws.credentials_end()
        return [
            checks.credentials(arn, ends, datetime.now(UTC)),
            Finding("region", OK, self._region),
            checks.clock(skew),
        ]

    @property
    def _store(self) -> Store:
        return self._services.store(self._settings.s3_bucket_name, self._who.account)

    # ---- what a task is sent to -----------------------------------------------------------------------------------
    async def _bucket(self) -> Finding:
        await self._store.check()
        return checks.bucket(self._store.bucket, await self._store.region(), self._region)

    async def _encryption(self) -> Finding:
        rules = await self._ask.encryption(self._store)
        self._bucket_key = checks.customer_key(rules)
        return checks.encryption(self._store.bucket, rules, self._settings.encryption)

    async def _writable(self) -> Finding:
        await self._ask.write(self._store, self._settings.encryption)
        return Finding("bucket writable", OK, "objects can be written to covalent-awsbatch/ and read")

    async def _repository(self) -> Finding:
        repository = await self._services.ecr.repository(self._settings.ecr_repo_name)
        return Finding("repository", OK, f"{repository.host}/{repository.name}, with a login")

    async def _base_image(self) -> Finding:
        repository = await self._services.ecr.repository(self._settings.ecr_repo_name)
        builder = await self._services.builder(self._settings)
        name = base_image(self._settings, platform.python_version())
        base = await builder.resolve_base(name, self._settings.platform, repository)
        return checks.python(name, base.python, platform.python_version())

    async def _role(self, setting: str) -> Finding:
        role = getattr(self._settings, setting)
        return checks.role(setting, role, await self._ask.trust(role))

    async def _log_group(self) -> Finding:
        group = self._settings.batch_job_log_group_name
        if await Logs(self._services.aws, group).check():
            return Finding("log group", OK, group)
        advice = "Grant `logs:DescribeLogGroups` on * to have it checked; tasks don't need it."
        return Finding("log group", UNKNOWN, f"{group}: AWS does not allow logs:DescribeLogGroups", advice)

    # ---- where it runs --------------------------------------------------------------------------------------------
    async def _queue(self) -> Finding:
        queue = await self._services.batch.queue(self._settings.batch_queue)
        self._settings, adjustments = fitted(
            self._settings, fargate=queue.fargate, platform=queue.platform, fair_share=queue.fair_share
        )
        kind = "Fargate" if queue.fargate else "EC2"
        return Finding(
            "queue", OK, f"{self._settings.batch_queue}, enabled and valid, on {kind}. {adjustments}".strip()
        )

    async def _environments(self) -> list[Finding]:
        environments = await self._services.batch.environments(self._settings.batch_queue)
        faults = [
            Finding("compute environments", WRONG, fault)
            for env in environments
            for fault in lacks(env, self._settings)
        ]
        names = ", ".join(f"{env['computeEnvironmentName']} ({_kind(env)})" for env in environments)
        fit = [] if faults else [Finding("compute environments", OK, names)]
        return [*faults, *fit, checks.architecture(self._settings.platform, environments)]

    async def _machines(self) -> list[Finding]:
        environments = await self._services.batch.environments(self._settings.batch_queue)
        return [
            checks.machines(
                env["computeEnvironmentName"], await self._services.batch.instance_types(patterns), self._settings
            )
            for env in environments
            if (patterns := type_patterns(env))  # Fargate's has none, and any legal size fits
        ]

    async def _quotas(self) -> list[Finding]:
        findings = []
        for env in await self._services.batch.environments(self._settings.batch_queue):
            values = [(quota, await self._ask.quota(quota)) for quota in vcpu_quotas.quotas(env)]
            findings += vcpu_quotas.judge(env, self._settings.vcpu, values)
        return findings

    async def _subnets(self) -> list[Finding]:
        environments = await self._services.batch.environments(self._settings.batch_queue)
        ids = sorted({subnet for env in environments for subnet in env.get("computeResources", {}).get("subnets", ())})
        fargate = any(_kind(env).startswith("FARGATE") for env in environments)
        findings = []
        for subnet in await self._ask.subnets(ids):
            if subnet.get("Ipv6Native"):
                findings.append(checks.ip_version(subnet["SubnetId"]))
                continue
            # a Fargate task asks for an address itself
            public = self._settings.assign_public_ip if fargate else bool(subnet.get("MapPublicIpOnLaunch"))
            routes, endpoints = await self._ask.routes(subnet), await self._ask.endpoints(subnet["VpcId"])
            finding = checks.way_out(subnet["SubnetId"], routes, public, endpoints, self._region, fargate=fargate)
            findings.append(finding)
        return findings

    # ---- what we may do -------------------------------------------------------------------------------------------
    async def _permissions(self) -> list[Finding]:
        # the key of the bucket, where none is set, and the roles with the paths that names do not show
        more = {"kms_key": self._settings.kms_key or self._bucket_key, **await self._role_arns()}
        settings = self._settings.model_copy(update=more)
        names = configured_names(settings, self._who.account, self._region, self._who.partition)
        others = checks.not_simulated(self._arn)
        findings = [others] if others else []
        roles = {} if others else {"dispatcher": await self._ask.principal(self._arn)}
        roles |= {"execution": names.role(names.execution_role), "job": names.role(names.job_role)}
        for role, arn in roles.items():
            missing = {
                sid: await self._ask.denied(arn, actions, resources)
                for sid, actions, resources in checks.wanted_permissions(role, names)
            }
            findings += checks.permissions(role, arn, missing)
        return findings

    async def _role_arns(self) -> dict[str, str]:
        """Return the roles' ARNs by setting; a role that does not exist has a finding of its own."""
        arns = {}
        for name in ("batch_execution_role_name", "batch_job_role_name"):
            with contextlib.suppress(NotFound, Refused):
                role = getattr(self._settings, name)
                arns[name] = await self._services.account.role_arn(role, name, self._who)
        return arns


_NEED_A_QUEUE = {"compute environments", "machines", "vCPU quotas", "subnets"}
# Checks whose requests only the doctor makes; a task does not need their permissions.
_DOCTOR_ONLY = {
    "bucket encryption", "batch_execution_role_name", "batch_job_role_name", "log group", "machines", "vCPU quotas",
    "subnets", "permissions",
}  # fmt: skip


def _kind(environment: object) -> str:
    resources = environment.get("computeResources") if isinstance(environment, dict) else None
    return str((resources or {}).get("type", ""))
