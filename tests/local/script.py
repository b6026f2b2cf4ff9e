# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What the tests' image runs: one deed, named by the first argument."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request


def say(*words: str) -> None:
    print(*words)


def leave(code: str) -> None:
    sys.exit(int(code))


def leave_by_attempt(*codes: str) -> None:
    """The code for this attempt."""
    sys.exit(int(codes[int(os.environ["AWS_BATCH_JOB_ATTEMPT"]) - 1]))


def leave_by_index(*codes: str) -> None:
    sys.exit(int(codes[int(os.environ["AWS_BATCH_JOB_ARRAY_INDEX"])]))


def environment() -> None:
    print(json.dumps(dict(os.environ)))


def both() -> None:
    """Standard output and error, from this process and from a child's descriptors."""
    print("from stdout")
    print("from stderr", file=sys.stderr, flush=True)
    sys.stdout.flush()
    subprocess.run(["/bin/sh", "-c", "echo child out; echo child err >&2"], check=True)


def sleep(seconds: str) -> None:
    print("asleep", flush=True)
    time.sleep(float(seconds))


def stubborn() -> None:
    signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM came", flush=True))
    print("asleep", flush=True)
    while True:
        time.sleep(0.1)


def polite() -> None:
    def end(*_: object) -> None:
        print("goodbye", flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("asleep", flush=True)
    while True:
        time.sleep(0.1)


def leave_a_child() -> None:
    """A child in a session of its own, that outlives its parent wherever nothing ends it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print(child.pid, flush=True)


def eat(mebibytes: str) -> None:
    kept = []
    for _ in range(int(mebibytes)):
        kept.append(bytearray(os.urandom(1 << 20)))
        time.sleep(0.001)
    print("ate it all")


def eat_in_a_child(mebibytes: str) -> None:
    """In a process group of its own."""
    child = subprocess.run([sys.executable, __file__, "eat", mebibytes], check=False, process_group=0)
    print("child ended with", child.returncode, flush=True)
    sys.exit(5)


def store(bucket: str) -> None:
    """With obstore and nothing but the environment."""
    from obstore.store import S3Store

    s3 = S3Store(bucket, client_options={"allow_http": True})
    s3.put("written-by-a-job", b"hello")
    print(bytes(s3.get("written-by-a-job").bytes()).decode())


def long_line(size: str) -> None:
    print("é" * int(size))


def who_am_i() -> None:
    """The role's access key, from the endpoint that ECS gives a task."""
    with open(os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]) as file:
        token = file.read()
    request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": token})
    with urllib.request.urlopen(request) as answer:
        told = json.load(answer)
    print(json.dumps({name: told[name] for name in ("AccessKeyId", "RoleArn", "Expiration")}))


def packages() -> None:
    """The installed packages that this Python and its children see, and what each finds of one by name."""
    look = "from importlib import metadata; print(sorted({each.name.lower() for each in metadata.distributions()}))"
    for command in (["-c", look], ["-s", "-c", look], ["-c", "import covalent"], ["-m", "pip", "--version"]):
        child = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        print((child.stdout or child.stderr).strip().splitlines()[-1], flush=True)
    subprocess.run(["pip", "--version"], check=True)


globals()[sys.argv[1]](*sys.argv[2:])
