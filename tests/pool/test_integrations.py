# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Other people's programs on a pool: joblib's `Parallel`, a grid search, a dask graph, an optimizer of scipy.

A small sample runs in CI; SOAK=1 runs the sizes at which users run them.
"""

from __future__ import annotations

from typing import Any

import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.pool.joblib_backend import AWSBatchBackend, register


def test_parallel_runs_its_tasks_in_the_pool(settings: dict[str, Any]) -> None:
    import joblib

    register()
    with BatchPool(**settings, environment="auto") as pool, joblib.parallel_config("awsbatch", pool=pool, n_jobs=3):
        values = joblib.Parallel()(joblib.delayed(lambda x: x * x)(number) for number in range(6))
        assert values == [0, 1, 4, 9, 16, 25]
        assert pool.engine.counts.succeeded == 6
        assert pool.submit(int, "7").result(timeout=60) == 7, "a pool that was given stays open"


def test_the_backend_counts_jobs_as_joblib_does(settings: dict[str, Any]) -> None:
    with BatchPool(**settings, max_workers=8) as pool:
        backend = AWSBatchBackend(pool)
        assert [backend.effective_n_jobs(jobs) for jobs in (None, -1, -2, 3, 50)] == [8, 8, 7, 3, 8]
        with pytest.raises(ValueError, match="n_jobs == 0"):
            backend.effective_n_jobs(0)
        with pytest.raises(ValueError, match="leave out memory"):
            AWSBatchBackend(pool, memory=4)


@pytest.mark.soak
def test_an_optimizer_of_scipy_maps_over_the_pool(settings: dict[str, Any]) -> None:
    from scipy.optimize import differential_evolution

    with BatchPool(**settings, environment="auto", tasks_per_job=20, parallel_tasks=4) as pool:
        best = differential_evolution(
            lambda x: float((x[0] - 1) ** 2), [(-2, 2)], workers=pool.map, updating="deferred",
            maxiter=10, popsize=20, polish=False, seed=1,
        )  # fmt: skip
    assert abs(best.x[0] - 1) < 1


@pytest.mark.soak
def test_a_dask_graph_of_1000_nodes(settings: dict[str, Any]) -> None:
    import dask

    add = dask.delayed(lambda *numbers: sum(numbers))
    parts = [add(*[dask.delayed(int)(row * 9 + column) for column in range(9)]) for row in range(100)]
    with BatchPool(**settings, environment="auto", tasks_per_job=50, parallel_tasks=4) as pool:
        assert dask.compute(add(*parts), scheduler=pool) == (sum(range(900)),)


@pytest.mark.soak
def test_a_grid_search_of_200_fits(settings: dict[str, Any]) -> None:
    import joblib
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    register()
    inputs, labels = make_classification(n_samples=200, random_state=1)
    grid = {"C": [10.0 ** (power / 8) for power in range(-20, 20)]}
    search = GridSearchCV(LogisticRegression(), grid, cv=5, n_jobs=50)
    with (
        BatchPool(**settings, environment="auto", tasks_per_job=50, parallel_tasks=4) as pool,
        joblib.parallel_config("awsbatch", pool=pool, n_jobs=50),
    ):
        search.fit(inputs, labels)
        assert pool.engine.counts.succeeded == 200
    assert search.best_score_ > 0.8
