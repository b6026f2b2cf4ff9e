# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

# The compute environments, in the order of var.compute, and the queue before them.

locals {
  kinds        = split(",", var.compute)
  on_instances = !startswith(local.kinds[0], "FARGATE")
  arm64        = var.platform == "linux/arm64"

  instance_types = (
    var.instance_types != "" ? split(",", var.instance_types) :
    var.gpu ? (local.arm64 ? ["g5g"] : ["g4dn", "g5", "g6"]) :
    local.arm64 ? ["m7g", "c7g", "r7g"] : ["optimal"]
  )
}

resource "aws_batch_compute_environment" "this" {
  for_each = toset(local.kinds)

  # A change that AWS can't make in place replaces an environment: the new one is there before the old one goes, and so
  # needs another name.
  compute_environment_name_prefix = "${var.prefix}-batch-${lower(replace(each.key, "_", "-"))}-"
  type                            = "MANAGED"
  service_role                    = aws_iam_role.service.arn

  compute_resources {
    type               = each.key
    max_vcpus          = var.max_vcpus
    subnets            = local.subnets
    security_group_ids = [aws_security_group.jobs.id]

    min_vcpus           = local.on_instances ? 0 : null # nothing runs, and nothing is paid, while there is no job
    instance_role       = local.on_instances ? aws_iam_instance_profile.instance[0].arn : null
    instance_type       = local.on_instances ? local.instance_types : null
    allocation_strategy = each.key == "SPOT" ? "SPOT_PRICE_CAPACITY_OPTIMIZED" : each.key == "EC2" ? "BEST_FIT_PROGRESSIVE" : null
    tags                = local.on_instances ? merge(local.tags, { Name = "${var.prefix}-batch" }) : null

    dynamic "ec2_configuration" {
      for_each = local.on_instances ? [1] : []

      content {
        image_type        = var.gpu ? "ECS_AL2023_NVIDIA" : "ECS_AL2023"
        image_id_override = var.image_id == "" ? null : var.image_id
      }
    }
  }

  lifecycle {
    create_before_destroy = true
    ignore_changes        = [compute_resources[0].desired_vcpus] # AWS Batch's own to change

    # imageType in https://docs.aws.amazon.com/batch/latest/APIReference/API_Ec2Configuration.html
    precondition {
      condition     = !(var.gpu && local.arm64 && var.image_id == "")
      error_message = "AWS Batch knows no AMI for GPUs with arm64: name one with image_id."
    }
  }

  # AWS Batch must be able to scale an environment down as long as there is one.
  depends_on = [aws_iam_role_policy_attachment.service, aws_iam_role_policy_attachment.instance]
}

# Whether there are limits at all: the provider (5.100) can change them, but sends nothing when the last one goes, so
# that they would stay for ever. Then the queue is replaced, and `plan` says so.
resource "terraform_data" "limits" {
  input = var.stuck_after > 0
}

resource "aws_batch_job_queue" "this" {
  name     = local.names.queue
  state    = "ENABLED"
  priority = 1

  dynamic "compute_environment_order" {
    for_each = local.kinds

    content {
      order               = compute_environment_order.key + 1
      compute_environment = aws_batch_compute_environment.this[compute_environment_order.value].arn
    }
  }

  # The reasons are AWS's own: https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
  dynamic "job_state_time_limit_action" {
    for_each = var.stuck_after == 0 ? [] : [
      "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
      "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
      "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    ]

    content {
      action           = "CANCEL"
      state            = "RUNNABLE"
      reason           = job_state_time_limit_action.value
      max_time_seconds = var.stuck_after
    }
  }

  lifecycle {
    replace_triggered_by = [terraform_data.limits]
  }
}
