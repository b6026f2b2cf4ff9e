# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""CloudWatch Logs that knows FilterLogEvents' `logStreamNamePrefix`, which moto ignores."""

from __future__ import annotations

from typing import Any

from moto.logs import urls
from moto.logs.models import LogsBackend, logs_backends
from moto.logs.responses import LogsResponse

NO_SUCH_STREAM = "-"


class LocalLogsBackend(LogsBackend):
    """Moto's backend with the responses below."""

    @property
    def url_bases(self) -> list[str]:
        return list(urls.url_bases)

    @property
    def url_paths(self) -> dict[str, Any]:
        return {path.format(""): LocalLogsResponse.dispatch for path in urls.url_paths}


class LocalLogsResponse(LogsResponse):
    """Moto's responses, with `logStreamNamePrefix` in FilterLogEvents, and `interleaved` as AWS has it: always true."""

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:
        if param_name == "interleaved":
            return True
        prefix = super()._get_param("logStreamNamePrefix") if param_name == "logStreamNames" else None
        group = self.logs_backend.groups.get(super()._get_param("logGroupName"))
        if not prefix or group is None:
            return super()._get_param(param_name, if_none)
        return [name for name in list(group.streams) if name.startswith(prefix)] or [NO_SUCH_STREAM]


def install() -> None:
    """Make this process's moto use the backend above for CloudWatch Logs."""
    logs_backends.backend = LocalLogsBackend
