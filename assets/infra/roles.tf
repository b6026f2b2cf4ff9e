# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

# Four roles and one policy; what they allow is in policies.tf.json, but for what AWS's own agents need: that AWS says.

locals {
  boundary = var.permissions_boundary == "" ? null : var.permissions_boundary

  # Only for jobs of this account: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
  trust_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })

  # For a bucket with a key of the account's own; the key and its policy are not made here.
  kms_key     = var.kms_key == null ? "" : var.kms_key
  kms_key_arn = startswith(local.kms_key, "arn:") ? local.kms_key : "arn:${local.partition}:kms:${local.region}:${local.account}:key/${local.kms_key}"
  with_key    = [for statement in local.use_key : statement if local.kms_key != ""]

  # EC2's name ends as the partition's host names do: https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html
  principals = { batch = "batch.amazonaws.com", ec2 = "ec2.${data.aws_partition.this.dns_suffix}" }

  trust = { for service, principal in local.principals : service => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = principal }
      Action    = "sts:AssumeRole"
    }]
  }) }
}

resource "aws_iam_role" "execution" {
  name                 = local.names.execution_role
  description          = "Pulls images and writes logs for Covalent's jobs"
  assume_role_policy   = local.trust_tasks
  permissions_boundary = local.boundary
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = aws_iam_role.execution.id
  policy = jsonencode(local.policies.execution)
}

resource "aws_iam_role" "job" {
  name                 = local.names.job_role
  description          = "What Covalent's tasks themselves may do"
  assume_role_policy   = local.trust_tasks
  permissions_boundary = local.boundary
}

resource "aws_iam_role_policy" "job" {
  name   = "job"
  role   = aws_iam_role.job.id
  policy = jsonencode(merge(local.policies.job, { Statement = concat(local.policies.job.Statement, local.with_key) }))
}

# AWS Batch's own. A Spot fleet role is needed for the BEST_FIT strategy only, which is not used here.
resource "aws_iam_role" "service" {
  name                 = local.names.service_role
  description          = "AWS Batch scales Covalent's compute environments with it"
  assume_role_policy   = local.trust.batch
  permissions_boundary = local.boundary
}

resource "aws_iam_role_policy_attachment" "service" {
  role       = aws_iam_role.service.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AWSBatchServiceRole"
}

resource "aws_iam_role" "instance" {
  count                = local.on_instances ? 1 : 0
  name                 = local.names.instance_role
  description          = "The ECS agent on the instances of Covalent's jobs"
  assume_role_policy   = local.trust.ec2
  permissions_boundary = local.boundary
}

resource "aws_iam_role_policy_attachment" "instance" {
  count      = local.on_instances ? 1 : 0
  role       = aws_iam_role.instance[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "instance" {
  count = local.on_instances ? 1 : 0
  name  = local.names.instance_role
  role  = aws_iam_role.instance[0].name
}

# For whoever runs the Covalent server; attach it to that user or role.
resource "aws_iam_policy" "dispatcher" {
  name        = local.names.dispatcher
  description = "Sends Covalent's tasks to AWS Batch and fetches their results"
  policy      = jsonencode(merge(local.policies.dispatcher, { Statement = concat(local.policies.dispatcher.Statement, local.with_key) }))
}
