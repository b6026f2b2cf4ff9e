# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The credentials endpoint of ECS, which returns the job role's keys to a request with the task's token.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

from secrets import compare_digest, token_urlsafe

from aiohttp import web

from ..service_client import ServiceClient
from .origin import only_own

DURATION_S = 6 * 3600
PATH = "/v2/credentials/"


def _denied(message: str) -> web.Response:
    return web.json_response({"code": "AccessDenied", "message": message}, status=403)


class CredentialsEndpoint:
    """An endpoint with a path for each task. Its credentials come from STS, so that IAM can be enforced."""

    def __init__(self, services: ServiceClient) -> None:
        self._services = services
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
        return web.json_response(await self._assume(role, request.match_info["task_id"]))

    async def _assume(self, role_arn: str, session: str) -> dict[str, str]:
        assumed = await self._services.assume(role_arn, session, DURATION_S)
        return {
            "RoleArn": role_arn,
            "AccessKeyId": assumed.key.access_key,
            "SecretAccessKey": assumed.key.secret_key,
            "Token": assumed.key.token,
            "Expiration": assumed.expiration,
        }
