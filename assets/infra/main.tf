# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

# What all files here share: the provider, who we are, how things are called.

terraform {
  required_version = ">= 1.4" # the first with terraform_data; `covalent deploy` itself takes no Terraform after 1.9

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.75, < 7.0"
    }
  }
}

# `covalent deploy` gives Terraform no environment but PATH, so everything that leads to the account is a variable.
provider "aws" {
  region                   = local.given_region
  profile                  = local.given_profile
  shared_credentials_files = var.credentials == null || var.credentials == "" ? null : [var.credentials]

  default_tags {
    tags = local.tags
  }
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  given_region  = var.region == "" ? null : var.region
  given_profile = var.profile == "" ? null : var.profile

  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.name

  tags = merge(
    { for pair in compact(split(",", var.tags)) : split("=", pair)[0] => split("=", pair)[1] },
    { "covalent:plugin" = "awsbatch", "covalent:infra" = var.prefix },
  )

  # A bucket's name is the whole world's, a role's the whole account's; the others are the Region's own.
  names = {
    bucket         = coalesce(var.s3_bucket_name, "${var.prefix}-batch-${local.account}-${local.region}")
    repository     = coalesce(var.ecr_repo_name, "${var.prefix}-batch-job-images")
    definition     = coalesce(var.batch_job_definition_name, "${var.prefix}-batch-jobs")
    queue          = coalesce(var.batch_queue, "${var.prefix}-batch-queue")
    log_group      = coalesce(var.batch_job_log_group_name, "${var.prefix}-batch-job-logs")
    execution_role = coalesce(var.batch_execution_role_name, "${var.prefix}-batch-execution-${local.region}")
    job_role       = coalesce(var.batch_job_role_name, "${var.prefix}-batch-job-${local.region}")
    instance_role  = "${var.prefix}-batch-instance-${local.region}"
    service_role   = "${var.prefix}-batch-service-${local.region}"
    dispatcher     = "${var.prefix}-batch-dispatcher-${local.region}"
  }
}
