# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The backend "awsbatch" of joblib: the batches of a `Parallel` are calls of a pool.

Its methods are described at https://joblib.readthedocs.io/en/stable/custom_parallel_backend.html
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import ParallelBackendBase

from .batch_pool import BatchPool

NAME = "awsbatch"


class AWSBatchBackend(ParallelBackendBase):  # type: ignore[misc]
    """A backend of joblib that submits each batch of tasks as one call of `pool`.

    A batch has `chunksize` tasks. Without `pool` the backend opens one of its own with `settings`, and shuts it down
    when the `Parallel` ends.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True

    def __init__(self, pool: BatchPool | None = None, chunksize: int = 1, **settings: Any) -> None:
        super().__init__(
            nesting_level=settings.pop("nesting_level", None),
            inner_max_num_threads=settings.pop("inner_max_num_threads", None),
        )
        if chunksize < 1:
            raise ValueError("chunksize must be at least 1.")
        if pool and settings:
            raise ValueError(f"The pool has its settings already: leave out {', '.join(sorted(settings))}.")
        self._pool, self._own, self._settings, self._chunksize = pool, pool is None, settings, chunksize
        self._open: set[Future[Any]] = set()
        self._callbacks: ThreadPoolExecutor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many batches run at once: -1 is as many as the pool allows."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        most = self._opened()._max_workers
        if n_jobs is None or n_jobs < 0:
            return max(1, most + 1 + (-1 if n_jobs is None else n_jobs))
        return min(n_jobs, most)

    def compute_batch_size(self) -> int:
        """Return how many tasks one call of the pool runs."""
        return self._chunksize

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Future[Any]:
        """Start a batch; `callback` gets its future, in a thread that may start further batches."""
        if self._callbacks is None:
            self._callbacks = ThreadPoolExecutor(1, "awsbatch-joblib")
        future = self._opened().submit(func)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        if callback:
            callbacks = self._callbacks
            future.add_done_callback(lambda ended: callbacks.submit(callback, ended))
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return the values of a batch. Raises its error."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the jobs of all batches that have not ended."""
        if self._pool and self._open:
            self._pool.cancel(*self._open)  # type: ignore[arg-type]
        if not ensure_ready:
            self.terminate()

    def terminate(self) -> None:
        """Shut the backend's own pool down; a pool that was given stays open."""
        callbacks, self._callbacks = self._callbacks, None
        if callbacks:
            callbacks.shutdown(wait=False)
        if self._own and self._pool:
            pool, self._pool = self._pool, None
            pool.shutdown()

    def _opened(self) -> BatchPool:
        if self._pool is None:
            self._pool = BatchPool(**self._settings)
        return self._pool


def register() -> None:
    """Make "awsbatch" a name of joblib's backends."""
    register_parallel_backend(NAME, AWSBatchBackend)
