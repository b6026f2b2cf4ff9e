# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What you write: a Covalent workflow whose heavy functions run on AWS Batch. `make demo` runs it."""

import os
import platform
import random
import signal
import textwrap

import covalent as ct

# Each setting not given here comes from [executors.awsbatch] of Covalent's config file, and then from its default.
larger = ct.executor.AWSBatchExecutor(vcpu=1, memory=1, time_limit=120)


@ct.electron(executor="awsbatch")
def throw_darts(seed, throws):
    """Darts at a square; how many hit the circle inside it?"""
    rng = random.Random(seed)
    hits = sum(rng.random() ** 2 + rng.random() ** 2 < 1 for _ in range(throws))
    print(f"Seed {seed}: {hits:,} of {throws:,} hit. Thrown by process {os.getpid()} on {platform.node()}.")
    return hits


@ct.electron(executor=larger)
def area(hits_one, hits_two, throws):
    return 4 * (hits_one + hits_two) / throws


@ct.lattice
def pi(throws):
    return area(throw_darts(1, throws), throw_darts(2, throws), throws=2 * throws)


@ct.electron(executor="awsbatch")
def weigh(mass_kg):
    print("Putting it on the scales ...")
    if mass_kg < 0:
        raise ValueError(f"nothing weighs {mass_kg} kg")
    return mass_kg


@ct.electron(executor="awsbatch")
def vanish():
    print("I am half way through, and all is well.", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does to a process that takes too much memory


@ct.lattice
def mishaps():
    return weigh(-2), vanish()


def tell(result):
    """What each electron left: its status, what it printed, and why it failed."""
    for node in result.get_all_node_results():
        if node["node_name"].startswith(":"):
            continue  # Covalent's own: parameters, and what puts the workflow's value together
        print(f"    {node['node_name']}: {node['status']}")
        for part in ("stdout", "error"):
            if node[part]:
                print(textwrap.indent(node[part].rstrip(), f"        {part:>6} | ", lambda _line: True))


def main():
    print("A workflow: two electrons throw darts, a third makes pi of their hits.")
    result = ct.dispatch_sync(pi)(200_000)
    tell(result)
    print(f"    its value: {result.result}")
    print("    And called as a plain function, right here:")
    here = pi(200_000)
    assert result.result == here, f"AWS Batch says {result.result}, this process says {here}"

    print("\nA workflow that fails twice: one electron raises, the other is killed.")
    result = ct.dispatch_sync(mishaps)()
    tell(result)
    assert result.status == ct.status.FAILED, f"it should have failed, and is {result.status}"


if __name__ == "__main__":
    main()
