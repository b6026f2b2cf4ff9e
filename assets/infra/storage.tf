# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

# What holds data: the bucket, the images, the logs. Nothing here is destroyed while something lies in it, unless
# delete_data says so.

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_145:What lies here lives for days and is authenticated by its reader; a KMS key costs money while idle
  #checkov:skip=CKV_AWS_21:Every object is named by its content or by its attempt, and none is ever written over
  #checkov:skip=CKV_AWS_144:A lost result is a task run again
  #checkov:skip=CKV_AWS_18:Access logs need another bucket and cost money while idle; CloudTrail is the account owner's choice
  #checkov:skip=CKV2_AWS_62:Nobody waits for events: the watcher asks AWS Batch
  bucket        = local.names.bucket
  force_destroy = var.delete_data
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = local.kms_key == "" ? "AES256" : "aws:kms"
      kms_master_key_id = local.kms_key == "" ? null : local.kms_key
    }

    bucket_key_enabled = local.kms_key == "" ? null : true # one request to KMS for many objects
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "what-tasks-left"
    status = "Enabled"

    filter {
      prefix = "covalent-awsbatch/"
    }

    expiration {
      days = var.keep_days
    }
  }

  rule {
    id     = "uploads-that-nobody-ended"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyEncryptedConnections"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.this] # S3 takes one change of a bucket's access at a time
}

resource "aws_ecr_repository" "this" {
  #checkov:skip=CKV_AWS_136:ECR encrypts with AES256 by itself; a KMS key costs money while idle
  #checkov:skip=CKV_AWS_163:scan_images decides it: AWS may bill a scan for each task's image
  name         = local.names.repository
  force_delete = var.delete_data

  # Tags come from the content, so none is ever pushed twice for two images.
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = var.scan_images
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "images of tasks"
        selection = {
          tagStatus     = "tagged"
          tagPrefixList = ["task-"]
          countType     = "sinceImagePushed"
          countUnit     = "days"
          countNumber   = var.keep_days
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "images that nothing names"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = var.keep_days
        }
        action = { type = "expire" }
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts logs by itself; a KMS key costs money while idle
  #checkov:skip=CKV_AWS_338:log_retention_days decides it: what tasks print is for whoever runs them, and is no audit trail
  name              = local.names.log_group
  retention_in_days = var.log_retention_days
}
