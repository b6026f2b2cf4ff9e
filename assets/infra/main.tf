# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

# What all files here share: the provider, who we are, how things are called.

terraform {
  required_version = ">= 1.4" # the first with terraform_data; `covalent deploy` itself takes no Terraform after 1.9

  required_providers {
    # 6.0 renamed aws_batch_compute_environment's `compute_environment_name_prefix` to `name_prefix`, and no spelling
    # fits both: compute.tf has the one of 5.
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.75, < 6.0"
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
}
