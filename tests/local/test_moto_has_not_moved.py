# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The offline AWS extends moto from outside. A failure here says that moto has moved: look, then widen its range."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import moto.batch.urls
import moto.ecr.urls
import moto.logs.urls
import pytest
from boto3 import Session
from moto.batch import models as batch
from moto.batch.responses import BatchResponse
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.base_backend import BackendDict, BaseBackend
from moto.ec2.models import EC2Backend
from moto.ecr import models as ecr
from moto.ecr.responses import ECRResponse
from moto.iam.access_control import AssumedRoleAccessKey, IAMPolicy, IAMPolicyStatement, IAMUserAccessKey
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse
from moto.logs.models import LogsBackend, LogStream
from moto.logs.responses import LogsResponse
from moto.sts.models import STSBackend
from moto.utilities.utils import load_resource

from covalent_awsbatch_plugin.local import moto_data
from covalent_awsbatch_plugin.local.iam.keys import TEMPORARY

SIGNATURES = {
    batch.JobDefinition.__init__: "name parameters _type container_properties node_properties eks_properties tags "
    "retry_strategy timeout backend platform_capabilities propagate_tags revision",
    batch.BatchBackend.__init__: "region_name account_id",
    batch.BatchBackend.get_job_definition: "identifier",
    batch.BatchBackend.get_job_definitions: "identifier",
    batch.BatchBackend.get_job_definition_by_name: "name",
    batch.BatchBackend.get_job_queue: "identifier",
    batch.BatchBackend.describe_job_definitions: "job_def_name job_def_list status",
    batch.BatchBackend.tag_resource: "resource_arn tags",
    ecr.ECRBackend.batch_delete_image: "repository_name registry_id image_ids",
    ecr.Image.__init__: "account_id tag manifest repository image_manifest_mediatype digest registry_id",
    ecr.Image.get_image_size_in_bytes: "",
    ecr.Image.update_tag: "tag",
    ecr.Image.remove_tag: "tag",
    ecr.Repository.is_tag_immutable: "",
    LogsBackend.ensure_log_group: "log_group_name",
    LogsBackend.ensure_log_stream: "log_group_name log_stream_name",
    LogsBackend.put_log_events: "log_group_name log_stream_name log_events",
    LogsResponse._get_param: "param_name if_none",
    LogStream.put_log_events: "log_events",
    STSBackend.assume_role: "region_name role_session_name role_arn policy duration external_id",
    ActionAuthenticatorMixin._authenticate_and_authorize_action: "iam_request_cls resource",
    IAMPolicyStatement.is_action_permitted: "action resource principal incoming_condition_values",
    IAMPolicy.__init__: "policy",
    BackendDict.__init__: "backend service_name use_boto3_regions additional_regions",
}
METHODS = {
    BatchResponse: "registerjobdefinition describejobdefinitions submitjob describejobs listjobs terminatejob "
    "canceljob updatecomputeenvironment createjobqueue updatejobqueue "
    "describejobqueues _get_action",
    ECRResponse: "get_authorization_token",
    IAMUserAccessKey: "collect_policies",
    AssumedRoleAccessKey: "collect_policies",
    EC2Backend: "create_internet_gateway attach_internet_gateway describe_route_tables create_route",
    IAMBackend: "list_role_policies get_role_policy list_attached_role_policies list_user_policies get_user_policy "
    "list_attached_user_policies",
    LogsResponse: "filter_log_events",
    ecr.ECRBackend: "create_repository",
}


@pytest.mark.parametrize("method", SIGNATURES, ids=lambda method: method.__qualname__)
def test_a_method_that_is_called_or_replaced_takes_what_it_took(method: Callable[..., Any]) -> None:
    assert list(inspect.signature(method).parameters)[1:] == SIGNATURES[method].split()


@pytest.mark.parametrize("owner", METHODS, ids=lambda owner: owner.__name__)
def test_a_request_that_is_answered_here_is_still_answered_there(owner: type) -> None:
    assert [name for name in METHODS[owner].split() if not callable(getattr(owner, name, None))] == []


@pytest.mark.parametrize("urls", [moto.batch.urls, moto.ecr.urls, moto.logs.urls], ids=lambda urls: urls.__name__)
def test_every_path_of_a_service_leads_to_one_class(urls: Any) -> None:
    """Ours takes its place at all of them."""
    assert {handler.__func__ for handler in urls.url_paths.values()} == {BatchResponse.dispatch.__func__}
    assert len({handler.__self__ for handler in urls.url_paths.values()}) == 1


def test_backends_are_looked_up_where_ours_stand() -> None:
    for name in ("url_bases", "url_paths"):
        assert isinstance(inspect.getattr_static(BaseBackend, name), property)
    assert "_job_definitions" in vars(batch.BatchBackend("us-east-1", "123456789012"))


def test_access_keys_are_kept_where_they_are_looked_up() -> None:
    held = IAMBackend("us-east-1", "123456789012").create_temp_access_key()
    assert held.access_key_id.startswith(TEMPORARY)
    assert (held.status, bool(held.secret_access_key)) == ("Active", True)
    assert STSBackend("us-east-1", "123456789012").assumed_roles == []


@pytest.mark.parametrize("service", ["batch", "ec2", "ecr", "ecs", "iam", "kms", "logs", "s3", "service-quotas", "sts"])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov", "aws-eusc"])
def test_regions_without_the_service_model_are_the_same(service: str, partition: str) -> None:
    session = Session()
    assert session.get_available_regions(service, partition) == moto_data._read_regions(session, service, partition)


@pytest.mark.parametrize("location_type", ["region", "availability-zone", "availability-zone-id"])
def test_instance_type_offerings_read_late_are_the_same(location_type: str) -> None:
    late = moto_data.INSTANCE_TYPE_OFFERINGS[location_type]
    assert isinstance(late, moto_data.Offerings) and late.get("nowhere", "default") == "default"
    read = load_resource(f"{moto_data.OFFERINGS}/{location_type}/eu-west-1.json")
    assert read and late.get("eu-west-1") == late["eu-west-1"] == [
        each | {"LocationType": location_type} for each in read
    ]


def test_managed_policies_read_late_are_those_of_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = IAMBackend("aws", "123456789012")
    assert backend.aws_managed_policies == [] and backend.managed_policies == {}
    moto_data.read_managed_policies_late(backend)
    monkeypatch.setenv(moto_data.MANAGED_POLICIES, "true")
    own = IAMBackend("aws", "123456789012")
    assert len(own.aws_managed_policies) > 1000
    assert list(backend.managed_policies) == list(own.managed_policies)
    assert [each.arn for each in backend.aws_managed_policies] == list(own.managed_policies)


def test_iam_does_not_simulate_yet() -> None:
    assert not hasattr(IamResponse, "simulate_principal_policy"), "moto's own can take the place of ours"


def test_moto_is_of_the_range_that_is_known_to_fit() -> None:
    assert version("moto").split(".")[:2] == ["5", "2"]
