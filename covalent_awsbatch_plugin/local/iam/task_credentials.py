# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The credentials endpoint of ECS, which returns the job role's keys to a request with the task's token.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

from datetime import UTC
from secrets import compare_digest, token_urlsafe

from aiohttp import web
from moto.sts.models import sts_backends

from .origin import only_own

DURATION_S = 6 * 3600
PATH = "/v2/credentials/"


def _denied(message: str) -> web.Response:
    return web.json_response({"code": "AccessDenied", "message": message}, status=403)


class CredentialsEndpoint:
    """An endpoint with a path for each task. Its credentials come from moto's STS, so that IAM can be enforced."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id, self._region = account_id, region
        self._tasks: dict[str, tuple[str, str]] = {}  # task id -> role, token

    def admit(self, task_id: str, role_arn: str) -> tuple[str, str]:
        """Return the path and token of the role's credentials for a task, valid until `dismiss`."""
        token = token_urlsafe(32)
        self._tasks[task_id] = (role_arn, token)
        return PATH + task_id, token

    def dismiss(self, task_id: str) -> None:
        self._tasks.pop(task_id, None)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[only_own(_denied)])
        app.router.add_get(PATH + "{task_id}", self._credentials)
        return app

    async def _credentials(self, request: web.Request) -> web.Response:
        role, token = self._tasks.get(request.match_info["task_id"], ("", ""))
        if not token or not compare_digest(request.headers.get("Authorization", ""), token):
            return web.json_response({"code": "AccessDenied", "message": "unknown task or token"}, status=401)
        return web.json_response(self._assume(role, request.match_info["task_id"]))

    def _assume(self, role_arn: str, session: str) -> dict[str, str]:
        role = sts_backends[self._account_id]["aws"].assume_role(
            region_name=self._region,
            role_session_name=session,
            role_arn=role_arn,
            policy="",
            duration=DURATION_S,
            external_id="",
        )
        return {
            "RoleArn": role_arn,
            "AccessKeyId": role.access_key_id,
            "SecretAccessKey": role.secret_access_key,
            "Token": role.session_token,
            "Expiration": role.expiration.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
