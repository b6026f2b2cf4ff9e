# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Plain Python on AWS Batch: `BatchPool`, an executor of `concurrent.futures` whose calls run as AWS Batch jobs.

| file | what it holds |
|---|---|
| `batch_pool.py` | the methods that users call, each a thin layer over the rest |
| `call_executor.py` | `submit` and `map`, of a pool and of a pool with other settings |
| `fuse.py` | the limits of equal failures and of vCPU-hours |
| `progress.py` | the live line, and the tables of a notebook |
| `job_reports.py` | the log of a call's job, and why it ended |
| `joblib_backend.py` | the backend "awsbatch" of joblib |
| `staged_calls.py` | `CallPickler`: the function pickled once, the arguments of each call, big shared arguments once |
| `call.py` | `Call`, the small record of one call, and `CallEnd`, which unpickles a value when it is asked for |
| `started_map.py` | `StartedMap`: the calls of a `map`, started ahead of the reader and read as they end |
| `call_future.py` | `CallFuture`: the future of `submit`, a listener of one `Call` |
| `engine.py` | `Engine`: calls wait by `Kind` until an array may begin; counts, cancel and the end of the pool |
| `array_under_way.py` | `ArrayUnderWay`: one array job until its last call has ended, by one coroutine |
| `stored_value.py` | a value that stays in the bucket until it is asked for |
| `background_loop.py` | the event loop of all pools, in a thread of its own |

A call goes this way: `pool.new_call(pickler, args, kwargs, listener)` pickles it and returns its `Call`;
`pool.start(calls, chunksize)` gives it to the engine; an `ArrayUnderWay` packs, submits and watches it; the engine sets
`call.end` and calls `listener.ended(call)` and every function of `engine.on_end`, in the loop's thread.
`engine.counts` has how many calls are in each state. A failed call keeps its pickled arguments: to run it again, make a
new `Call` of the same `function`, `data`, `shared` and `key`, and start that.
"""
