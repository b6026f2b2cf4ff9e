#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Run Lithops' public example scripts on the offline AWS with their imports changed, and print how each ended.

    git clone https://github.com/lithops-cloud/lithops
    make lithops-examples EXAMPLES=lithops/examples

Changed are the imports, the bucket's name (the scripts mark it "change-me"), and its words of sample data.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from covalent_awsbatch_plugin.local import LocalAWS  # noqa: E402

NAMES = "covalent_awsbatch_plugin.lithops_compat"
SAMPLES = {"obj1.txt": "one two three\ntwo three\n", "obj2.txt": "three\n", "obj3.txt": "one\n", "test/a.txt": "one\n"}
NOT_FOR_AWS_BATCH = {
    "call_async_cython.py": "needs a compiled module of Python 3.9",
    "call_async_java.py": "needs Java in the container",
    "function.py": "no script of its own",
    "ibmcos_arg.py": "IBM's object store",
    "multicloud.py": "IBM's and AWS Lambda's backends",
    "rabbitmq_arg.py": "needs RabbitMQ",
    "remote_logging.py": "Lithops' own log server over Redis",
    "map_reduce_localhost.py": "files of this machine on Lithops' localhost backend",
    "map_reduce_url.py": "files of hundreds of MB on the internet",
    "joblib_backend.py": "joblib: parallel_config(backend='awsbatch') instead",
    "sklearn_job_1.py": "joblib: parallel_config(backend='awsbatch') instead",
    "sklearn_job_2.py": "joblib: parallel_config(backend='awsbatch') instead",
    "sklearn_job_3.py": "joblib: parallel_config(backend='awsbatch') instead",
}


def changed(text: str, bucket: str) -> str:
    """Return a script with our imports and a bucket that is there; its long sleeps are a tenth."""
    text = re.sub(r"^import lithops$", f"import {NAMES} as lithops", text, flags=re.MULTILINE)
    text = re.sub(r"^from lithops[\w.]* import", f"from {NAMES} import", text, flags=re.MULTILINE)
    for name in ("lithops-sample-data", "'storage'", '"storage"'):
        text = text.replace(name, bucket if name.startswith("lithops") else f"'{bucket}'")
    # The job role may use the package's own part of the bucket alone.
    for key in ("obj1.txt", "obj2.txt", "obj3.txt", "test/", "cloudobject1.txt", "cloudobject2.txt", "retries-demo"):
        text = text.replace(key, f"covalent-awsbatch/{'results' if key == 'retries-demo' else 'objects'}/{key}")
    return text.replace(f"cos://{bucket}'", f"cos://{bucket}/covalent-awsbatch/objects/words/'")


def prepared(aws: LocalAWS, home: Path) -> None:
    """Write Covalent's config file for the offline AWS, and the sample objects."""
    import json

    import botocore.session

    section = aws.section() | {"poll_freq": 0.2, "array_linger": 0.2}
    (home / "covalent").mkdir()
    lines = [f"{name} = {json.dumps(value)}" for name, value in section.items()]
    (home / "covalent" / "covalent.conf").write_text("\n".join(["[executors.awsbatch]", *lines, ""]))
    session = botocore.session.Session(profile=section["profile"])
    session.set_config_variable("credentials_file", section["credentials"])
    s3 = session.create_client("s3")
    for key, words in SAMPLES.items():
        for folder in ("", "words/"):
            place = f"covalent-awsbatch/objects/{folder}{key}"
            s3.put_object(Bucket=section["s3_bucket_name"], Key=place, Body=words.encode())


async def main(scripts: list[Path]) -> int:
    """Run the scripts one after another; return how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        async with LocalAWS(engine="process", slots=4, grace_s=1) as aws:
            prepared(aws, home)
            environment = os.environ | {"COVALENT_CONFIG_DIR": str(home / "covalent"), "HOME": name}
            environment |= {"PYTHONPATH": str(ROOT)}
            for path in scripts:
                if reason := NOT_FOR_AWS_BATCH.get(path.name):
                    print(f"{path.name:<28} not run: {reason}", flush=True)
                    continue
                script = home / path.name
                script.write_text(changed(path.read_text(), aws.section()["s3_bucket_name"]))
                command = [sys.executable, str(script)]
                done = await asyncio.to_thread(
                    subprocess.run, command, env=environment, cwd=home, capture_output=True, text=True, check=False
                )
                failed += done.returncode != 0
                last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1:] or [""]
                print(f"{path.name:<28} {'ran' if done.returncode == 0 else 'FAILED'}: {last[0][:120]}", flush=True)
    return failed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(1 if asyncio.run(main(sorted(Path(sys.argv[1]).glob("*.py")))) else 0)
