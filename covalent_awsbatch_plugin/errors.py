# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Every error this package raises on purpose. Each is a short letter: what happened, what AWS said, what to do.

AWSBatchError
├── SettingError             a setting is wrong; found before anything is sent
├── StagingError             the cache folder can't be used
├── NotPicklable             a function or argument can't travel
├── UnknownFormat            a handle or a file of another version of this package can't be read
├── ServiceError             AWS or a registry said no, or said nothing
│   ├── NotAuthenticated         no credentials, expired ones, or ones the service does not know
│   ├── NotAllowed               the credentials lack a permission
│   ├── NotFound                 a bucket, repository, queue, role or image does not exist
│   ├── Refused                  the request itself was not acceptable
│   ├── Throttled                asked too often                                     (again may help)
│   └── Unreachable              no answer, or a server's error                      (again may help)
├── InfraFailed              Terraform could not make or remove something             (again goes on)
├── ImageError               the image can't be made
│   ├── PythonMismatch           its Python can't read what this Python pickles
│   └── EnvironmentFailed        the packages that `environment` asks for can't be had
└── JobFailed                the job ended without a result
    ├── Raised                   the user's function raised; carries the original exception where it can be imported
    ├── Unpicklable              it returned what can't be pickled
    ├── InputLost                the function or an argument could not be read in the container
    ├── Exited                   it left by sys.exit or os._exit
    ├── Killed                   a signal ended its process
    ├── OutOfMemory              the container needed more than `memory`
    ├── TimedOut                 an attempt ran longer than `time_limit`
    ├── HostLost                 the instance went away                              (again may help)
    ├── SpotInterrupted          AWS took the Spot capacity back                     (again may help)
    ├── ImagePullFailed          the container's image could not be pulled
    ├── RoleNotAssumable         the execution or job role could not be used
    ├── AgentFailed              the machine's container agent lost it               (again may help)
    ├── StartFailed              the container could not be started for another reason
    │   ├── CommandNotRunnable       the image has no such command, or can't run it
    │   └── WrongArchitecture        the image is for another processor
    ├── NeverStarted             the job ended before an attempt began
    ├── Lost                     AWS Batch and the bucket do not tell how it ended
    └── Cancelled                somebody ended it
"""

from __future__ import annotations


class AWSBatchError(Exception):
    """What happened, in whose words, what to do, and what else is known; `retry_may_help` None: nobody can know."""

    retry_may_help: bool | None = False
    facts = ""

    def __init__(self, happened: str, *, says: str = "", advice: str = "") -> None:
        self.happened, self.says, self.advice = happened, says, advice
        super().__init__(happened, says, advice)

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.happened, self.says, self.advice, self.facts)))

    def text(self) -> str:
        """The whole text, opened by the error's name, for places that show no type."""
        return f"{type(self).__name__}: {self}"


class SettingError(AWSBatchError, ValueError):
    """A setting is wrong; the message names it, its value, where that came from, and its unit."""


class StagingError(AWSBatchError):
    """The cache folder can't be used."""


class NotPicklable(AWSBatchError):
    """A function or an argument can't travel."""


class UnknownFormat(AWSBatchError):
    """A handle or a file on this machine was written by another version of this package, or by another program."""


class ServiceError(AWSBatchError):
    """AWS or a registry said no, or said nothing."""


class NotAuthenticated(ServiceError):
    """There are no credentials, they have expired, or the service does not know them."""


class NotAllowed(ServiceError):
    """The credentials lack a permission."""


class NotFound(ServiceError):
    """Something named in the settings does not exist."""


class Refused(ServiceError):
    """The request itself was not acceptable."""


class Throttled(ServiceError):
    """Asked too often."""

    retry_may_help = True


class Unreachable(ServiceError):
    """No answer came, or a server's own error."""

    retry_may_help = True


class InfraFailed(AWSBatchError):
    """Terraform could not make or remove something; run again, it goes on."""

    retry_may_help = None


class ImageError(AWSBatchError):
    """The image can't be made."""


class PythonMismatch(ImageError):
    """The image's Python can't read what the pickling Python wrote."""


class EnvironmentFailed(ImageError):
    """The packages that the setting `environment` or an electron's DepsPip asks for can't be had."""


class JobFailed(AWSBatchError):
    """The job ended without a result."""


class Raised(JobFailed):
    """The user's function raised."""


class Unpicklable(JobFailed):
    """The user's function returned what can't be pickled."""


class InputLost(JobFailed):
    """The function or an argument could not be read in the container."""

    retry_may_help = None


class Exited(JobFailed):
    """The user's function left by sys.exit or os._exit."""


class Killed(JobFailed):
    """A signal ended the user's process."""

    retry_may_help = None


class OutOfMemory(JobFailed):
    """The container needed more than its memory."""


class TimedOut(JobFailed):
    """An attempt ran longer than its time limit."""


class HostLost(JobFailed):
    """The instance went away."""

    retry_may_help = True


class SpotInterrupted(JobFailed):
    """AWS took the Spot capacity back."""

    retry_may_help = True


class ImagePullFailed(JobFailed):
    """The container's image could not be pulled."""

    retry_may_help = None


class RoleNotAssumable(JobFailed):
    """The execution role or the job role could not be used."""


class StartFailed(JobFailed):
    """The container could not be started."""

    retry_may_help: bool | None = None


class CommandNotRunnable(StartFailed):
    """The image has no such command, or can't run it."""

    retry_may_help = False


class WrongArchitecture(StartFailed):
    """The image is for another processor than the machine's."""

    retry_may_help = False


class AgentFailed(JobFailed):
    """The machine's container agent lost the container, whose work may be done all the same."""

    retry_may_help = True


class NeverStarted(JobFailed):
    """The job ended before an attempt began."""

    retry_may_help = None


class Lost(JobFailed):
    """AWS Batch and the bucket do not tell how the job ended."""

    retry_may_help = None


class Cancelled(JobFailed):
    """Somebody ended the job."""
