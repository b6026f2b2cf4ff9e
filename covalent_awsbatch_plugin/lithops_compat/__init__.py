# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' names over `BatchPool`: a Lithops script changes its import, and its functions run as AWS Batch jobs.

    import covalent_awsbatch_plugin.lithops_compat as lithops

docs/lithops.md compares verbs, keys and options. A container has the part in `runner/lithops_names.py`.
"""

from __future__ import annotations

from ..runner.lithops_names import (
    ALL_COMPLETED,
    ALWAYS,
    ANY_COMPLETED,
    CloudObject,
    Invocation,
    ObjectPart,
    StorageNoSuchKeyError,
)
from .client_storage import Storage
from .function_executor import FunctionExecutor, ServerlessExecutor, StandaloneExecutor
from .lithops_config import setup_lithops_logger
from .response_future import FuturesList, ResponseFuture
from .retrying_executor import RetryingFunctionExecutor, RetryingFuture
from .waiting import get_result, wait

__all__ = [
    "ALL_COMPLETED",
    "ALWAYS",
    "ANY_COMPLETED",
    "CloudObject",
    "FunctionExecutor",
    "FuturesList",
    "Invocation",
    "ObjectPart",
    "ResponseFuture",
    "RetryingFunctionExecutor",
    "RetryingFuture",
    "ServerlessExecutor",
    "StandaloneExecutor",
    "Storage",
    "StorageNoSuchKeyError",
    "get_result",
    "setup_lithops_logger",
    "wait",
]
