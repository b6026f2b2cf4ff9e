# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The errors that this package raises: each says what failed, what AWS answered, and what to do.

"retry" marks errors after which the same call may succeed later (`retry_may_help`).

AWSBatchError
├── SettingError             a setting is wrong; nothing was sent yet
├── StagingError             the folder `cache_dir` cannot be used
├── NotPicklable             a function or an argument cannot be pickled
├── UnknownFormat            a handle or a file of another version of this package cannot be read
├── PoolInUse                another process uses the BatchPool of this name
├── ServiceError             AWS or a registry refused a request, or did not answer
│   ├── NotAuthenticated         the credentials are missing, expired or unknown to the service
│   ├── NotAllowed               the credentials lack a permission
│   ├── NotFound                 a bucket, repository, queue, role or image does not exist
│   ├── Refused                  the request is not valid
│   ├── Throttled                the request rate is above the service's limit            (retry)
│   └── Unreachable              no answer, or a server error                             (retry)
├── InfraFailed              Terraform could not create or delete a resource              (run it again to go on)
├── ImageError               the image cannot be built
│   ├── PythonMismatch           the image's Python cannot read pickles of this Python
│   └── EnvironmentFailed        the packages of the setting `environment` cannot be installed
└── JobFailed                the job ended without a result
    ├── Raised                   the user's function raised an exception
    ├── Unpicklable              the function's return value cannot be pickled
    ├── DiskFull                 the disk of the container has no room for the function's value
    ├── InputLost                the container could not read the function or an argument
    ├── Exited                   the function called sys.exit or os._exit
    ├── Killed                   a signal ended the function's process
    ├── OutOfMemory              the container needed more than `memory`
    ├── TimedOut                 an attempt ran longer than `time_limit`
    ├── HostLost                 the instance was terminated or failed                    (retry)
    ├── SpotInterrupted          AWS reclaimed the Spot capacity                          (retry)
    ├── ImagePullFailed          the container's image could not be pulled
    ├── RoleNotAssumable         the execution role or the job role could not be assumed
    ├── AgentFailed              the instance's container agent failed                    (retry)
    ├── StartFailed              the container could not be started for another reason
    │   ├── CommandNotRunnable       the image lacks the command, or cannot run it
    │   └── WrongArchitecture        the image is built for another processor
    ├── NeverStarted             the job ended before its first attempt started
    ├── Lost                     neither AWS Batch nor the bucket says how the job ended
    └── Cancelled                the job was cancelled or terminated
"""

from __future__ import annotations


class AWSBatchError(Exception):
    """Base class of this package's errors.

    `happened` says what failed, `says` holds the service's own words, `advice` says what to do; each may have several
    lines. `facts` (set by subclasses) adds what else is known. `retry_may_help` is True if the same call may succeed
    later, False if it cannot, and None if that is unknown.
    """

    retry_may_help: bool | None = False
    facts = ""

    def __init__(self, happened: str, *, says: str = "", advice: str = "") -> None:
        self.happened, self.says, self.advice = happened, says, advice
        super().__init__(happened, says, advice)

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.happened, self.says, self.advice, self.facts)))

    def text(self) -> str:
        """Return the whole text, which begins with the sentence that says what failed."""
        return str(self)


class SettingError(AWSBatchError, ValueError):
    """A setting is wrong. The text names the setting, its value, the place that set it, and its unit."""


class StagingError(AWSBatchError):
    """The folder `cache_dir` cannot be used."""


class NotPicklable(AWSBatchError):
    """A function or an argument cannot be pickled."""


class UnknownFormat(AWSBatchError):
    """A handle or a file on this machine was written by another version of this package, or by another program."""


class PoolInUse(AWSBatchError):
    """Another process, or another pool of this process, uses the BatchPool of this name."""


class ServiceError(AWSBatchError):
    """AWS or a registry refused a request or did not answer; after `worth_seconds` no further try is worth it."""

    worth_seconds = float("inf")


class NotAuthenticated(ServiceError):
    """The credentials are missing, expired, or unknown to the service."""


class NotAllowed(ServiceError):
    """The credentials lack a permission; `permission` is its name, such as `batch:SubmitJob`, or ""."""

    permission = ""


class NotFound(ServiceError):
    """A resource that the settings name does not exist."""


class Refused(ServiceError):
    """The service rejected the request as not valid."""


class Throttled(ServiceError):
    """The request rate is above the service's limit."""

    retry_may_help = True


class Unreachable(ServiceError):
    """The service did not answer, or answered with a server error."""

    retry_may_help = True


class InfraFailed(AWSBatchError):
    """Terraform could not create or delete a resource; running the command again continues the work."""

    retry_may_help = None


class ImageError(AWSBatchError):
    """The image cannot be built."""


class PythonMismatch(ImageError):
    """The image's Python cannot read what the pickling Python wrote."""


class EnvironmentFailed(ImageError):
    """The packages of the setting `environment` or of an electron's DepsPip cannot be installed."""


class JobFailed(AWSBatchError):
    """The job ended without a result. `log_link` is the console's page of its log, or "".

    `memory_matters` is False where the job's memory tells nothing about its end.
    """

    log_link = ""
    memory_matters = True

    def without_link(self) -> str:
        """Return the text without the link, for places that show the link below a traceback."""
        return super().__str__()

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.without_link(), self.log_link)))


class Raised(JobFailed):
    """The user's function raised an exception."""

    memory_matters = False


class Unpicklable(JobFailed):
    """The return value of the user's function cannot be pickled."""

    memory_matters = False


class DiskFull(JobFailed):
    """The disk of the container has no room for the function's return value."""

    memory_matters = False


class InputLost(JobFailed):
    """The container could not read the function or an argument."""

    memory_matters = False
    retry_may_help = None


class Exited(JobFailed):
    """The user's function called sys.exit or os._exit."""


class Killed(JobFailed):
    """A signal ended the user's process."""

    retry_may_help = None


class OutOfMemory(JobFailed):
    """The container needed more memory than the setting `memory` gives it."""


class TimedOut(JobFailed):
    """An attempt ran longer than the setting `time_limit` allows."""


class HostLost(JobFailed):
    """The instance was terminated or failed."""

    retry_may_help = True


class SpotInterrupted(JobFailed):
    """AWS reclaimed the Spot capacity."""

    retry_may_help = True


class ImagePullFailed(JobFailed):
    """The container's image could not be pulled."""

    retry_may_help = None


class RoleNotAssumable(JobFailed):
    """The execution role or the job role could not be assumed."""


class StartFailed(JobFailed):
    """The container could not be started."""

    retry_may_help: bool | None = None


class CommandNotRunnable(StartFailed):
    """The image lacks the command, or cannot run it."""

    retry_may_help = False


class WrongArchitecture(StartFailed):
    """The image is built for another processor than the instance has."""

    retry_may_help = False


class AgentFailed(JobFailed):
    """The instance's container agent lost the container; the container may still have finished its work."""

    retry_may_help = True


class NeverStarted(JobFailed):
    """The job ended before its first attempt started."""

    retry_may_help = None


class Lost(JobFailed):
    """Neither AWS Batch nor the bucket says how the job ended."""

    retry_may_help = None


class Cancelled(JobFailed):
    """The job was cancelled or terminated."""

    memory_matters = False
