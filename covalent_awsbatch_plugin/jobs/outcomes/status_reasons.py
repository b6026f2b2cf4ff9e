# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The meaning of the reasons of AWS Batch, ECS, Docker and the kubelet: a verdict for a text.

Texts come in either case, cut at 255 characters, with and without a final dot, with a dash, an en dash or a colon
between their parts, one error's name inside another's. So the thing that a text names decides before the error that
names it: a missing log group is the same problem in a ResourceInitializationError and in a CannotStartContainerError.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
 https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
"""

from __future__ import annotations

import re

from .causes import Blame, Cause, Verdict, verdict
from .image_pulls import IS_A_PULL, pull_verdict

MATCHED_CHARACTERS = 2000  # reasons have 255; longer texts would cost time only

_INFRA, _CONFIG, _UNKNOWN = Blame.INFRASTRUCTURE, Blame.CONFIGURATION, Blame.UNKNOWN
_STATE_LIMIT = r"^(canceled by jobstatetimelimit action due to reason: ?)?"
_API = r"^(error:? |an error occurred \()?"  # as botocore and others open their messages


def _start(blame: Blame, retry: bool | None) -> Verdict:
    return verdict(Cause.CONTAINER_START, blame=blame, retry_may_help=retry)


def _init(blame: Blame, retry: bool | None, advice: str) -> Verdict:
    return verdict(Cause.RESOURCE_INIT, blame=blame, retry_may_help=retry, advice=advice)


def _waits(blame: Blame, retry: bool | None, advice: str) -> Verdict:
    return verdict(Cause.NEVER_STARTED, blame=blame, retry_may_help=retry, advice=advice)


_FITS = "Use less vcpu, memory or num_gpus, or give the compute environment bigger instances and more maxvCpus."
_LIMIT = "Raise the account's quota for these instances, or run fewer jobs at once."
_QUEUE = r"job ?queue\b.{0,200}?"
_REFUSED = r"denied|not permitted|invalid|no such|not found|not exist|unknown|given by server|unsupported|not supported"
_PASSING = (
    r"time(d)? ?out|deadline|resource temporarily|dev(ice)? ?mapper|thin pool|no space left|already in use"
    r"|already allocated|input/output|too many open|shim .*(closed|died)"
)

# The first match decides. Whole sentences of AWS come first, then named things, then the error's own name.
_RULES = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"^job attempt duration exceeded|^deadlineexceeded|longer than (the )?specified deadline",
         verdict(Cause.TIMED_OUT)),
        (r"^your spot task was interrupted|^spotinterruption", verdict(Cause.FARGATE_SPOT_INTERRUPTED)),
        (r"^host ec2\b|^ecs is performing maintenance|^container instance .*(deregister|terminat|drain)"
         r"|^(imminent )?node ?(shutdown|lost|\S* (is )?(not ready|terminat))|^evicted|task retirement|being retired",
         verdict(Cause.HOST_LOST)),
        (r"^dependent job|^dependency", verdict(Cause.DEPENDENCY_FAILED)),
        (r"^array child job",
         verdict(Cause.DEPENDENCY_FAILED, happened="failed because a child job of its array failed",
                 advice="Run `covalent-awsbatch why` for its failed child jobs.")),
        (rf"^([a-z]+(exception|error):? *|[^:]{{0,80}} operation: )?{_QUEUE}"
         r"(delet|disabled|not exist|not found|n[o']t be found|inactive|invalid|not in)",
         verdict(Cause.QUEUE_GONE)),
        # ---- the codes of jobs that wait, alone or as the reason of the queue's own cancel
        (_STATE_LIMIT + r"capacity:[a-z]+_", _waits(_INFRA, True, "Wait, or allow more instance types and zones.")),
        (_STATE_LIMIT + r"misconfigur(ation|ed):+ ?job_resource",
         _waits(_CONFIG, False, f"{_FITS} While an environment still scales up, this can be a false alarm.")),
        (_STATE_LIMIT + r"misconfigur(ation|ed):+ ?(service_role|\S*permission)",
         _waits(_CONFIG, False, "Compare the compute environment's service role with AWSBatchServiceRole.")),
        (_STATE_LIMIT + r"misconfigur(ation|ed):+ ?ec2_inst",
         _waits(_CONFIG, False, "Allow instance types that the environment's Region, zones and template have.")),
        (_STATE_LIMIT + r"misconfigur(ation|ed):", _waits(_CONFIG, False, _FITS)),
        (_STATE_LIMIT + r"(invalid - )?(action_required|client_error)\b",
         _waits(_CONFIG, False, "Check the compute environment: its status is INVALID and its statusReason says why.")),
        (_STATE_LIMIT + r"undetermined\b", verdict(Cause.NEVER_STARTED, retry_may_help=True)),
        (_STATE_LIMIT + r"internal_error\b", _waits(_INFRA, True, "Wait, and check the compute environment.")),
        (r"^cancell?ed by jobstatetimelimit", verdict(Cause.STOPPED_BY_POLICY)),
        # ---- what is named, in whichever error
        (r"outofmemory|oom-?_?kill|killed due to memory|out of memory", verdict(Cause.OUT_OF_MEMORY)),
        (r"un?able to assume|(can ?not|could not) assume|assume the (service|role)|service.linked role|trust relation"
         r"|(perform|action):? *(sts:assumerole|iam:passrole)|\brole\b.{0,120}(not exist|not valid|invalid)"
         r"|(invalid|missing).{0,20}\brole\b",
         verdict(Cause.ROLE)),
        (r"exec format error|descriptor (matching|for) platform|no match(ing manifest)? for"
         r"|does not match the \S+ ?(host )?platform|image operating system|wrong architecture",
         verdict(Cause.WRONG_ARCHITECTURE)),
        (IS_A_PULL.pattern, None),
        (r"executable file not found|exec user process|no command specified|can't open file|no such command"
         r"|exec: .*(no such|stat |not found|denied|is a directory)|\bexec /\S+: (no such|permission)|chdir to cwd",
         verdict(Cause.COMMAND_NOT_RUNNABLE)),
        (r"logging driver|logger arg|log ?group|log ?stream|awslogs|logs:(create|put)|cloudwatch",
         _init(_CONFIG, False, "Create the log group, give the execution role (on EC2 the instance's)"
                               " `logs:CreateLogStream` and `logs:PutLogEvents` on it, and give the network a route to"
                               " CloudWatch Logs: AWS gives the same reason for all three.")),
        (r"\befs\b|mount\.nfs|\bnfs4?\b", _start(_CONFIG, False)),
        (rf"(volume|mount|chown|copy-up).*({_PASSING})", _start(_INFRA, True)),
        (rf"(volume|mount|chown|copy-up|device).*({_REFUSED})", _start(_CONFIG, False)),
        (r"secret|\bssm\b|\basm\b|parameter store|registry auth|environment file|\bkms:",
         _init(_CONFIG, False, "Let the execution role read them, and give the network a route to ECR, Secrets Manager"
                               " and Systems Manager: a public address, a NAT gateway or VPC endpoints.")),
        (r"^timeout waiting for|attempting to attach network interface|configure eni|netplugin"
         r"|(network interface|\beni\b|ephemeral ?storage).*(timeout|timed out|internal|authfailure)",
         _init(_INFRA, True, "Run it again, with fewer at once.")),
        (r"(network interface|\beni\b).*(violation|unauthorized|not authorized|denied|not exist|invalid|not found)",
         _init(_CONFIG, False, "Correct what AWS's message names: a permission, a tag policy, a subnet or a security"
                               " group.")),
        (r"^internalerror\b", _init(_INFRA, True, "Run it again.")),
        (r"network interface|\beni\b|free ?addresses",
         _init(_CONFIG, None, "Check the subnet's free addresses, its security groups and the service role's"
                              " permissions.")),
        # ---- machines that could not be had
        (r"vcpulimitexceeded|spotinstancecount|limit on the number|reached the (limit|maximum)"
         r"|limitexceeded.*(vcpu|inst)",
         _waits(_CONFIG, None, _LIMIT)),
        (r"capacity is unavailable|insufficient\w* ?(instance|host|reserved)? ?capacity",
         _waits(_INFRA, True, "Wait, or allow more instance types and zones.")),
        (r"^resource:|no container instances|^attribute\b|unable to place a task|not compatible with the selected",
         _waits(_CONFIG, None, _FITS)),
        (r"throttl|too ?many ?requests|rate exceeded|requestlimitexceeded|slow ?down", verdict(Cause.THROTTLED)),
        # ---- errors' own names
        (r"^agent$|dockertimeout|runtimetimeout|could not transition to|cannotinspect|cannotstop|cgroup ?error"
         r"|platform resources|agent.{0,40}disconnect|docker daemon|dockerstateerror|containerruntimeerror",
         verdict(Cause.AGENT)),
        (rf"(cannotstart|cannotcreate|error response from daemon|api error|oci runtime).*({_PASSING})",
         _start(_INFRA, True)),
        (r"select device driver|prestart hook|unsatisfied condition", _start(_CONFIG, False)),
        (r"nvidia|\bgpu\b|cuda", _start(_INFRA, None)),
        (rf"(cannotstart|cannotcreate|container config|invalid volume).*({_REFUSED})|invalid (volume|mount|argument)",
         _start(_CONFIG, False)),
        (r"cannotcreate|api error", _start(_UNKNOWN, True)),
        (r"cannotstart|error response from daemon|oci runtime|shim task|runtime task|containercannotrun|starterror"
         r"|createcontainer|runcontainererror", verdict(Cause.CONTAINER_START)),
        (r"resourceinitialization", verdict(Cause.RESOURCE_INIT)),
        (rf"{_API}(client|validation|serialization|accessdenied|unauthorized|unrecognized|invalid|missing)\w*"
         r"(exception|error|parameter|request|operation)?[):]|length must be|overrides? (length|exceed)"
         r"|not authorized to perform|no fargate configuration|must be less than \d+ kib"
         r"|error code: (client|validation|invalid\w*|accessdenied)exception",
         verdict(Cause.REQUEST_REJECTED)),
        (r"^internal ?(server|failure)|serverexception|service ?unavailable",
         verdict(Cause.UNKNOWN, blame=_INFRA, retry_may_help=True, happened="failed because of an internal error of"
                                                                            " AWS",
                 advice="Run it again.")),
        (r"^scaling activity|health ?checks?\b|^preempt", verdict(Cause.STOPPED_BY_POLICY, blame=_UNKNOWN)),
        (r"^task failed to start\W*$", _start(_UNKNOWN, True)),
    )
)  # fmt: skip


def plain(text: str) -> str:
    """Return a text as the rules read it: lower case, one kind of dash and quote, single spaces."""
    text = text[:MATCHED_CHARACTERS].lower().replace("–", "-").replace("—", "-").replace("’", "'")
    return " ".join(text.replace('\\"', '"').split())


def reason_verdict(text: str) -> Verdict | None:
    """Return what a reason names; None where it names nothing, as "Essential container in task exited" does."""
    words = plain(text)
    words = re.sub(r"^task failed to start( due to)?[ :-]+", "", words) or words
    for pattern, meaning in _RULES:
        if pattern.search(words):
            return meaning or pull_verdict(words)
    return None


# ---- a cancel reason is free text and may have misleading words such as "capacity"------------------------------------
_AWS_OPENS = re.compile(
    r"essential container|task failed to start|host ec2|your spot task|job attempt duration|dependent job|array child"
    r"|job ?queue|cancell?ed by jobstatetimelimit|(misconfiguration|capacity):[a-z]+_|undetermined -|action_required"
    r"|(client|internal)_error|ecs (was|is) |agent$|(an error occurred \()?[a-z]+(error|exception|exceeded)\b"
    r"|error response from|timeout waiting|unexpected ec2|unable to|container (overrides|instance)|scaling activity"
    r"|(pull image manifest|inspect image|ref pull) has been|api error|toomanyrequests|task failed elb"
)
_A_PERSON_ENDS = re.compile(
    r"(?<![a-z])(cancel|terminat|kill|abort|stop|supersed|obsolete|duplicate|stale|orphan|reap|shut ?down|shutting)"
    r"|\b(request(ed)? (by|of)|user request|on request|by user|manual|clean ?(up|ing)"
    r"|(no longer|not) (need|requir|want))"
)
_NAMES_AN_ERROR = re.compile(
    r"error|exception|fail|unable|cannot|can't|could not|invalid|denied|not (found|authorized|permitted)|exceed|expired"
    r"|time(d)? ?out|unavailable|unexpected|unknown|missing|unsupported|refused|throttl|insufficient|does not"
    r"|[a-z]_[a-z]"
)


def runs_to_an_end(text: str) -> bool:
    """Return whether the status reason only says that the container ended, as for a success."""
    return plain(text).startswith("essential container")


def is_awss_own(text: str) -> bool:
    """Return whether a status reason opens as AWS's do.

    Whoever cancels a job can write any text, so only the opening counts.
    """
    return bool(_AWS_OPENS.match(plain(text)))


def says_that_somebody_ended_it(text: str) -> bool:
    """Return whether a status reason is the text of a TerminateJob or CancelJob that says so."""
    return not is_awss_own(text) and bool(_A_PERSON_ENDS.search(plain(text)))


def is_free_words(text: str) -> bool:
    """Return whether a status reason names no error at all, so that it can only be the text of a CancelJob."""
    return bool(text.strip()) and not is_awss_own(text) and not _NAMES_AN_ERROR.search(plain(text))
