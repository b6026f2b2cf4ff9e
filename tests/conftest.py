# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What all tests share: a home that is nobody's, and a plugin that leaves no test out in silence."""

import atexit
import os
import shutil
import signal
import sys
import tempfile

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.nothing_left_out", "tests.clouds", "tests.offline", "tests.processes"]

# At import, and not in a fixture: covalent reads HOME when it is imported, creates its config there, and test modules
# import it while they are collected.
HOME = tempfile.mkdtemp(prefix="covalent-awsbatch-tests-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

# Tests that were started in the background of a script ignore Ctrl-C, and so does all that they start; some send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Whoever runs the tests may have settings of their own; none of them may reach a test, and no test may reach theirs.
FOREIGN = ("AWS_", "COVALENT_", "XDG_", "ECS_")
for name in [name for name in os.environ if name.startswith(FOREIGN)]:
    del os.environ[name]
os.environ |= {
    "HOME": HOME,
    "XDG_CACHE_HOME": os.path.join(HOME, ".cache"),
    "AWS_EC2_METADATA_DISABLED": "true",  # a test without credentials must not wait for 169.254.169.254
    "COVALENT_DISABLE_DASK": "1",  # as in the config of the tests' servers: the default executor is "local"
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}

# The tests start hundreds of processes. Without byte code each would compile all of this project that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A busy machine draws its examples slowly; no test here is about time.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
