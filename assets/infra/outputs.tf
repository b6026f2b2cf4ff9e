# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

# The [executors.awsbatch] section: for `covalent-awsbatch infra up` as an output, for `covalent deploy` as the file it reads.

locals {
  settings = merge(local.given, {
    region                    = local.region
    s3_bucket_name            = aws_s3_bucket.this.id
    ecr_repo_name             = aws_ecr_repository.this.name
    batch_job_definition_name = local.names.definition
    batch_queue               = aws_batch_job_queue.this.name
    batch_execution_role_name = aws_iam_role.execution.name
    batch_job_role_name       = aws_iam_role.job.name
    batch_job_log_group_name  = aws_cloudwatch_log_group.this.name
  })

  conf = templatefile("${path.module}/awsbatch.conf.tftpl", { settings = local.settings })
}

output "settings" {
  description = "The [executors.awsbatch] section; what is null is not set."
  value       = local.settings
}

output "dispatcher_policy_arn" {
  description = "The policy for whoever runs the Covalent server."
  value       = aws_iam_policy.dispatcher.arn
}

# `covalent deploy` reads no output but this file. It is written without hashicorp/local: one provider less to fetch.
resource "terraform_data" "conf" {
  triggers_replace = [local.conf]

  provisioner "local-exec" {
    command     = "printf '%s' \"$CONF\" > awsbatch.conf"
    working_dir = path.module
    environment = { CONF = local.conf }
  }

  # Last, so that its presence says that everything is there.
  depends_on = [
    aws_batch_job_queue.this, aws_ecr_lifecycle_policy.this, aws_iam_role_policy.execution, aws_iam_role_policy.job,
    aws_s3_bucket_policy.this, aws_s3_bucket_lifecycle_configuration.this,
    aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_ownership_controls.this,
  ]
}
