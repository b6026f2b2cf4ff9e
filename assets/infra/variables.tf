# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0
#
# Made by `python tools/infra.py` from covalent_awsbatch_plugin/infra/stack_settings.py: change it there.

# ---- the resources
variable "prefix" {
  description = "Prefix of the names of all resources: 2 to 23 lower-case letters, digits and -. Each stack of an account and Region needs its own."
  type        = string
  default     = "covalent"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,21}[a-z0-9]$", var.prefix))
    error_message = "prefix must match ^[a-z][a-z0-9-]{0,21}[a-z0-9]$."
  }
}

variable "compute" {
  description = "Types of the compute environments, in the order in which the job queue tries them, separated by commas: EC2, SPOT, or both; or FARGATE, FARGATE_SPOT, or both. `SPOT,EC2` uses On-Demand instances when no Spot capacity is available."
  type        = string
  default     = "EC2"

  validation {
    condition     = can(regex("^((EC2|SPOT)(,(EC2|SPOT))*|(FARGATE|FARGATE_SPOT)(,(FARGATE|FARGATE_SPOT))*)$", var.compute))
    error_message = "compute must match ^((EC2|SPOT)(,(EC2|SPOT))*|(FARGATE|FARGATE_SPOT)(,(FARGATE|FARGATE_SPOT))*)$."
  }
}

variable "instance_types" {
  description = "EC2 instance types or families, separated by commas. Empty: `optimal`; for arm64 m7g, c7g and r7g; with GPUs g4dn, g5 and g6 (arm64: g5g)."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$", var.instance_types))
    error_message = "instance_types must match ^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$."
  }
}

variable "image_id" {
  description = "AMI of the EC2 instances. Empty: the newest ECS-optimized AMI, with NVIDIA drivers if `gpu` is set. AWS offers no such AMI for GPUs with arm64, so that needs a value."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^ami-[0-9a-f]+$", var.image_id))
    error_message = "image_id must match ^$|^ami-[0-9a-f]+$."
  }
}

variable "gpu" {
  description = "Use EC2 instances with GPUs, for tasks with `num_gpus`."
  type        = bool
  default     = false
}

variable "max_vcpus" {
  description = "Maximum vCPUs of each compute environment, over all jobs. The minimum is 0: no instance runs while no job does."
  type        = number
  default     = 256

  validation {
    condition     = var.max_vcpus >= 1 && var.max_vcpus <= 100000
    error_message = "max_vcpus must be from 1 to 100000."
  }
}

variable "vpc_id" {
  description = "VPC of the compute environments. Empty: the Region's default VPC."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id must match ^$|^vpc-[0-9a-f]+$."
  }
}

variable "subnet_ids" {
  description = "Subnets of `vpc_id`, separated by commas. Empty: all subnets of the VPC."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$", var.subnet_ids))
    error_message = "subnet_ids must match ^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$."
  }
}

variable "new_network" {
  description = "Create a VPC with public subnets and an S3 gateway endpoint, and use it. It has no NAT gateway and costs nothing."
  type        = bool
  default     = false
}

variable "keep_days" {
  description = "Days after which the bucket's objects and the repository's images of tasks expire."
  type        = number
  default     = 30

  validation {
    condition     = var.keep_days >= 1 && var.keep_days <= 3650
    error_message = "keep_days must be from 1 to 3650."
  }
}

variable "log_retention_days" {
  description = "Retention of the jobs' log group, in days; one of the values that CloudWatch Logs allows."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "scan_images" {
  description = "Scan each image on push (ECR). AWS may bill the scan of each task's image."
  type        = bool
  default     = false
}

variable "stuck_after" {
  description = "Time, in seconds (600 to 86400), after which AWS Batch cancels a RUNNABLE job at the head of the queue that cannot be placed (job state limit action). 0: never. The first EC2 instance can take minutes to start."
  type        = number
  default     = 0

  validation {
    condition     = var.stuck_after >= 0 && var.stuck_after <= 86400
    error_message = "stuck_after must be from 0 to 86400."
  }

  validation {
    condition     = var.stuck_after == 0 || var.stuck_after >= 600
    error_message = "stuck_after must be 0 or at least 600."
  }
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of all roles. Empty: none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^arn:[^%]+$", var.permissions_boundary))
    error_message = "permissions_boundary must match ^$|^arn:[^%]+$."
  }
}

variable "tags" {
  description = "Additional tags of all resources, for example team=vision,cost=42."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[^=,%]+=[^=,%]*(,[^=,%]+=[^=,%]*)*$", var.tags))
    error_message = "tags must match ^$|^[^=,%]+=[^=,%]*(,[^=,%]+=[^=,%]*)*$."
  }
}

variable "delete_data" {
  description = "Allow `infra down` to delete a bucket and a repository that are not empty."
  type        = bool
  default     = false
}

# ---- the executor's settings; a name replaces the name of a resource
variable "credentials" {
  description = "Path of an AWS shared credentials file. Empty: boto3's usual search (environment variables, ~/.aws, instance role)."
  type        = string
  default     = null
}

variable "profile" {
  description = "Profile of the AWS credentials and config files. Empty: the default profile."
  type        = string
  default     = null
}

variable "region" {
  description = "AWS Region, for example eu-west-1. Empty: the profile's Region, or `AWS_REGION` of the environment."
  type        = string
  default     = null
}

variable "s3_bucket_name" {
  description = "S3 bucket for results and large arguments."
  type        = string
  default     = null
}

variable "sse" {
  description = "Encryption by S3 (SSE) of every object that is written, for a bucket whose policy demands that requests name it: `AES256`, `aws:kms` or `aws:kms:dsse`. Empty: the bucket's default; with `kms_key`, `aws:kms`."
  type        = string
  default     = null

  validation {
    condition     = var.sse == null ? true : contains(["", "AES256", "aws:kms", "aws:kms:dsse"], var.sse)
    error_message = "sse must be one of , AES256, aws:kms, aws:kms:dsse."
  }
}

variable "kms_key" {
  description = "KMS key of the objects, as ID or ARN: for a bucket with a customer managed key, or whose policy demands one. `iam` then prints the statements for the key. A key in another Region or account needs its ARN. Empty: the bucket's default."
  type        = string
  default     = null
}

variable "ecr_repo_name" {
  description = "ECR repository for the tasks' images: its name, or its URI where it belongs to another account."
  type        = string
  default     = null
}

variable "batch_job_definition_name" {
  description = "Prefix of job definition names; the hash of the definition's content is appended. Letters, digits, - and _; at most 100 characters."
  type        = string
  default     = null

  validation {
    condition     = var.batch_job_definition_name == null ? true : can(regex("^[A-Za-z0-9_-]{1,100}$", var.batch_job_definition_name))
    error_message = "batch_job_definition_name must match ^[A-Za-z0-9_-]{1,100}$."
  }
}

variable "batch_queue" {
  description = "Job queue: its name or ARN."
  type        = string
  default     = null
}

variable "batch_execution_role_name" {
  description = "Execution role, as name or ARN: ECS pulls the image and writes the log with it."
  type        = string
  default     = null
}

variable "batch_job_role_name" {
  description = "Job role, as name or ARN: your function has its permissions."
  type        = string
  default     = null
}

variable "batch_job_log_group_name" {
  description = "CloudWatch Logs log group of the jobs."
  type        = string
  default     = null
}

variable "vcpu" {
  description = "vCPUs of one task. Values below 1 need a Fargate queue. On EC2 a fraction is raised to the next whole number."
  type        = number
  default     = null

  validation {
    condition     = var.vcpu == null ? true : var.vcpu >= 0.25 && var.vcpu <= 1024
    error_message = "vcpu must be from 0.25 to 1024."
  }
}

variable "memory" {
  description = "Memory of one task, in GiB; may be a fraction, or a text with a unit such as \"500MiB\" or \"16GB\"."
  type        = number
  default     = null

  validation {
    condition     = var.memory == null ? true : var.memory >= 0.00390625 && var.memory <= 24576
    error_message = "memory must be from 0.00390625 to 24576."
  }
}

variable "num_gpus" {
  description = "GPUs of one task. 0: none."
  type        = number
  default     = null

  validation {
    condition     = var.num_gpus == null ? true : var.num_gpus >= 0 && var.num_gpus <= 64
    error_message = "num_gpus must be from 0 to 64."
  }
}

variable "assign_public_ip" {
  description = "Give a task on Fargate a public IP address (AWS Batch: `assignPublicIp`), which it needs in a subnet with an internet gateway to reach ECR and S3. False: none, for a subnet with a NAT gateway or VPC endpoints."
  type        = bool
  default     = null
}

variable "share_identifier" {
  description = "Share identifier of the jobs (AWS Batch: `shareIdentifier`), which a queue with a fair-share scheduling policy needs and any other queue refuses. At most 255 letters and digits, which a * may follow. Empty: none."
  type        = string
  default     = null

  validation {
    condition     = var.share_identifier == null ? true : can(regex("^([A-Za-z0-9]{1,255}\\*?)?$", var.share_identifier))
    error_message = "share_identifier must match ^([A-Za-z0-9]{1,255}\\*?)?$."
  }
}

variable "scheduling_priority" {
  description = "Scheduling priority of the jobs within their share identifier (AWS Batch: `schedulingPriorityOverride`), 0 to 9999; jobs with a higher one start first. Only for a queue with a fair-share scheduling policy."
  type        = number
  default     = null

  validation {
    condition     = var.scheduling_priority == null ? true : var.scheduling_priority >= 0 && var.scheduling_priority <= 9999
    error_message = "scheduling_priority must be from 0 to 9999."
  }
}

variable "retry_attempts" {
  description = "Largest number of attempts of a job when the infrastructure fails (AWS Batch: `retryStrategy.attempts`). 1: no retry. An exception of your function is not retried, see `retry_exceptions`."
  type        = number
  default     = null

  validation {
    condition     = var.retry_attempts == null ? true : var.retry_attempts >= 1 && var.retry_attempts <= 10
    error_message = "retry_attempts must be from 1 to 10."
  }
}

variable "retry_exceptions" {
  description = "Class names of exceptions, separated by commas, after which the function is run again, within `retry_attempts`. Empty: none."
  type        = string
  default     = null
}

variable "max_memory" {
  description = "Limit, in GiB, for tasks that ran out of memory: such a task is submitted again with twice the memory, up to this limit. 0: not submitted again."
  type        = number
  default     = null

  validation {
    condition     = var.max_memory == null ? true : var.max_memory >= 0 && var.max_memory <= 24576
    error_message = "max_memory must be from 0 to 24576."
  }
}

variable "time_limit" {
  description = "Longest time, in seconds, that one attempt of a task may run (AWS Batch: job attempt timeout, at least 60 s); or a text with a unit such as \"1h\" or \"2d\"."
  type        = number
  default     = null

  validation {
    condition     = var.time_limit == null ? true : var.time_limit >= 60 && var.time_limit <= 1209600
    error_message = "time_limit must be from 60 to 1209600."
  }
}

variable "start_patience" {
  description = "Longest time, in seconds, that a job may wait in the queue; then it is terminated and the error names the cause. 0: no limit."
  type        = number
  default     = null

  validation {
    condition     = var.start_patience == null ? true : var.start_patience >= 0 && var.start_patience <= 604800
    error_message = "start_patience must be from 0 to 604800."
  }
}

variable "poll_freq" {
  description = "Time, in seconds, between two status requests for a job; also the longest delay until its end is seen."
  type        = number
  default     = null

  validation {
    condition     = var.poll_freq == null ? true : var.poll_freq >= 0.1 && var.poll_freq <= 3600
    error_message = "poll_freq must be from 0.1 to 3600."
  }
}

variable "outage_patience" {
  description = "Longest time, in seconds, that one request to AWS or to a registry is repeated while no answer comes; then the task fails, and the error names the job that may still run. 0: not repeated."
  type        = number
  default     = null

  validation {
    condition     = var.outage_patience == null ? true : var.outage_patience >= 0 && var.outage_patience <= 604800
    error_message = "outage_patience must be from 0 to 604800."
  }
}

variable "cache_dir" {
  description = "Local folder for files that are uploaded or downloaded, in a subfolder that only you can read; files older than a day are deleted. Empty: `covalent-awsbatch/staging` in your cache folder."
  type        = string
  default     = null
}

variable "container_image_uri" {
  description = "Base image; it must have the same minor version of Python as the client. One in any ECR registry is read with your AWS credentials, another private one with Docker's login of this machine. Empty: the official `python:<minor>-slim`, copied once into the ECR repository."
  type        = string
  default     = null
}

variable "environment" {
  description = "Python packages to add to the base image: `requirements.txt`, `pyproject.toml`, `pylock.toml`, requirements such as `numpy>=2, pandas`, folders of your own code, `auto` (the installed packages that the function needs), or several of these, separated by commas or lines. Empty: none."
  type        = string
  default     = null
}

variable "bake_deps_pip" {
  description = "Put the packages of an electron's DepsPip into the image. False: pip installs them at each start of the container."
  type        = bool
  default     = null
}

variable "builder" {
  description = "Builder of images: `registry` writes layers straight to the registry and needs no Docker engine; `docker` uses one."
  type        = string
  default     = null

  validation {
    condition     = var.builder == null ? true : contains(["registry", "docker"], var.builder)
    error_message = "builder must be one of registry, docker."
  }
}

variable "max_cache_gib" {
  description = "Size limit, in GiB, of the local cache of dependency layers. Over it, the least recently used layers are deleted, except those used within the last hour; layers unused for two months are always deleted."
  type        = number
  default     = null

  validation {
    condition     = var.max_cache_gib == null ? true : var.max_cache_gib >= 0 && var.max_cache_gib <= 1000000
    error_message = "max_cache_gib must be from 0 to 1000000."
  }
}

variable "platform" {
  description = "Platform of images and of the instances that `infra` creates, as Docker names it. If all instances of an EC2 queue have one processor architecture, that architecture is used instead."
  type        = string
  default     = null

  validation {
    condition     = var.platform == null ? true : contains(["linux/amd64", "linux/arm64"], var.platform)
    error_message = "platform must be one of linux/amd64, linux/arm64."
  }
}

variable "payload" {
  description = "Transport of functions and arguments: `image` (a layer in an image of the job's own) or `s3` (one object per job; jobs with the same environment share an image)."
  type        = string
  default     = null

  validation {
    condition     = var.payload == null ? true : contains(["image", "s3"], var.payload)
    error_message = "payload must be one of image, s3."
  }
}

variable "max_baked_mib" {
  description = "Size limit, in MiB, of a function or argument in the layer or object of `payload`; a larger one becomes an S3 object of its own."
  type        = number
  default     = null

  validation {
    condition     = var.max_baked_mib == null ? true : var.max_baked_mib >= 0 && var.max_baked_mib <= 1024
    error_message = "max_baked_mib must be from 0 to 1024."
  }
}

variable "array_linger" {
  description = "Longest time, in seconds, to hold a task so that similar tasks can join the same array job. 0: submit at once."
  type        = number
  default     = null

  validation {
    condition     = var.array_linger == null ? true : var.array_linger >= 0 && var.array_linger <= 60
    error_message = "array_linger must be from 0 to 60."
  }
}

variable "max_array_size" {
  description = "Largest number of child jobs of an array job (AWS Batch: array size); each runs `tasks_per_job` tasks. 1: no array jobs."
  type        = number
  default     = null

  validation {
    condition     = var.max_array_size == null ? true : var.max_array_size >= 1 && var.max_array_size <= 10000
    error_message = "max_array_size must be from 1 to 10000."
  }
}

variable "tasks_per_job" {
  description = "Number of tasks that share one container and its `vcpu` and `memory`; each has its own result, output and time limit. 1: a container per task."
  type        = number
  default     = null

  validation {
    condition     = var.tasks_per_job == null ? true : var.tasks_per_job >= 1 && var.tasks_per_job <= 1000
    error_message = "tasks_per_job must be from 1 to 1000."
  }
}

variable "parallel_tasks" {
  description = "Number of tasks that run at the same time in a shared container. 1: one after another."
  type        = number
  default     = null

  validation {
    condition     = var.parallel_tasks == null ? true : var.parallel_tasks >= 1 && var.parallel_tasks <= 1000
    error_message = "parallel_tasks must be from 1 to 1000."
  }
}

variable "max_layer_mib" {
  description = "Size limit, in MiB, of all functions and arguments in the image or object of one array job."
  type        = number
  default     = null

  validation {
    condition     = var.max_layer_mib == null ? true : var.max_layer_mib >= 1 && var.max_layer_mib <= 10240
    error_message = "max_layer_mib must be from 1 to 10240."
  }
}

variable "delete_images" {
  description = "Delete a job's own image from the ECR repository after its results were read. Shared images of an environment stay."
  type        = bool
  default     = null
}

variable "delete_objects" {
  description = "Delete a job's inputs and results from the S3 bucket after its results were read."
  type        = bool
  default     = null
}

variable "keep_failed" {
  description = "Keep image, definition and inputs of a failed task, for the command `replay`, until the command `clean` or a lifecycle rule deletes them."
  type        = bool
  default     = null
}

variable "delete_definitions" {
  description = "Deregister a job's own job definition after its results were read."
  type        = bool
  default     = null
}

locals {
  given = {
    credentials               = var.credentials
    profile                   = var.profile
    region                    = var.region
    s3_bucket_name            = var.s3_bucket_name
    sse                       = var.sse
    kms_key                   = var.kms_key
    ecr_repo_name             = var.ecr_repo_name
    batch_job_definition_name = var.batch_job_definition_name
    batch_queue               = var.batch_queue
    batch_execution_role_name = var.batch_execution_role_name
    batch_job_role_name       = var.batch_job_role_name
    batch_job_log_group_name  = var.batch_job_log_group_name
    vcpu                      = var.vcpu
    memory                    = var.memory
    num_gpus                  = var.num_gpus
    assign_public_ip          = var.assign_public_ip
    share_identifier          = var.share_identifier
    scheduling_priority       = var.scheduling_priority
    retry_attempts            = var.retry_attempts
    retry_exceptions          = var.retry_exceptions
    max_memory                = var.max_memory
    time_limit                = var.time_limit
    start_patience            = var.start_patience
    poll_freq                 = var.poll_freq
    outage_patience           = var.outage_patience
    cache_dir                 = var.cache_dir
    container_image_uri       = var.container_image_uri
    environment               = var.environment
    bake_deps_pip             = var.bake_deps_pip
    builder                   = var.builder
    max_cache_gib             = var.max_cache_gib
    platform                  = var.platform
    payload                   = var.payload
    max_baked_mib             = var.max_baked_mib
    array_linger              = var.array_linger
    max_array_size            = var.max_array_size
    tasks_per_job             = var.tasks_per_job
    parallel_tasks            = var.parallel_tasks
    max_layer_mib             = var.max_layer_mib
    delete_images             = var.delete_images
    delete_objects            = var.delete_objects
    keep_failed               = var.keep_failed
    delete_definitions        = var.delete_definitions
  }

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
