# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""IAM's SimulatePrincipalPolicy, which moto lacks.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse

from .required_actions import Need

# account, headers of the request, ARN of the principal, its policies, and the permission -> whether they allow it
Permits = Callable[[str, Mapping[str, str], str, list[Any], Need], bool]


def install(permits: Permits) -> None:
    """Add SimulatePrincipalPolicy to this process's moto. `permits` evaluates a principal's policies."""

    def simulate(self: IamResponse) -> str:
        account, arn = self.current_account, self._get_param("PolicySourceArn")
        policies = _policies(account, arn)
        context = _context(self.querystring)
        actions = _listed(self.querystring, "ActionNames")
        resources = _listed(self.querystring, "ResourceArns") or ["*"]
        results = [
            (action, resource, permits(account, self.headers, arn, policies, Need(action, resource, context)))
            for action in actions
            for resource in resources
        ]
        return _answer(results)

    IamResponse.simulate_principal_policy = simulate


def _listed(query: dict[str, list[str]], name: str) -> list[str]:
    return [value[0] for key, value in query.items() if key.startswith(f"{name}.member.")]


def _policies(account: str, arn: str) -> list[Any]:
    """Return a principal's policies. Raises NotFoundException for an ARN that no principal has, as one without path."""
    backend, name = iam_backends[account]["aws"], arn.rpartition("/")[2]
    of_user = ":user/" in arn
    if (backend.get_user(name) if of_user else backend.get_role(name)).arn != arn:
        raise NotFoundException(f"The entity {arn} does not exist.")
    if of_user:
        inline: list[Any] = [backend.get_user_policy(name, each) for each in backend.list_user_policies(name)]
        return [*inline, *backend.list_attached_user_policies(name)[0]]
    inline = [backend.get_role_policy(name, each)[1] for each in backend.list_role_policies(name)]
    return [*inline, *backend.list_attached_role_policies(name)[0]]


def _context(query: dict[str, list[str]]) -> tuple[tuple[str, str], ...]:
    names = sorted(key for key in query if key.endswith(".ContextKeyName"))
    values = (query.get(key.replace("Name", "Values.member.1"), [""])[0] for key in names)
    return tuple(zip((query[key][0] for key in names), values, strict=True))


def _answer(results: list[tuple[str, str, bool]]) -> str:
    members = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>{escape(resource)}"
        f"</EvalResourceName><EvalDecision>{'allowed' if allowed else 'implicitDeny'}</EvalDecision></member>"
        for action, resource, allowed in results
    )
    return (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>{members}"
        "</EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    )
