# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0
#
# Made by `python tools/infra.py` from covalent_awsbatch_plugin/thought: change it there.

# ---- what is made
variable "prefix" {
  description = "How the names of all that is made begin: 2 to 23 lower-case letters, digits and -. Two stacks in one account and Region need two."
  type        = string
  default     = "covalent"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,21}[a-z0-9]$", var.prefix))
    error_message = "prefix must match ^[a-z][a-z0-9-]{0,21}[a-z0-9]$."
  }
}

variable "compute" {
  description = "What runs jobs, tried in this order: EC2, SPOT, or both; or FARGATE, FARGATE_SPOT, or both. `SPOT,EC2` is Spot first and on demand when there is none."
  type        = string
  default     = "EC2"

  validation {
    condition     = can(regex("^((EC2|SPOT)(,(EC2|SPOT))*|(FARGATE|FARGATE_SPOT)(,(FARGATE|FARGATE_SPOT))*)$", var.compute))
    error_message = "compute must match ^((EC2|SPOT)(,(EC2|SPOT))*|(FARGATE|FARGATE_SPOT)(,(FARGATE|FARGATE_SPOT))*)$."
  }
}

variable "instance_types" {
  description = "EC2 instance types or families, with commas. Empty: `optimal`, for arm64 m7g, c7g and r7g, with GPUs g4dn, g5 and g6 (arm64: g5g)."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$", var.instance_types))
    error_message = "instance_types must match ^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$."
  }
}

variable "image_id" {
  description = "AMI of the EC2 instances. Empty: the newest ECS-optimized one, with NVIDIA's drivers for GPUs; for GPUs with arm64 there is none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^ami-[0-9a-f]+$", var.image_id))
    error_message = "image_id must match ^$|^ami-[0-9a-f]+$."
  }
}

variable "gpu" {
  description = "EC2 instances with GPUs, for tasks with num_gpus."
  type        = bool
  default     = false
}

variable "max_vcpus" {
  description = "vCPUs that may run at once, over all jobs; none run idle."
  type        = number
  default     = 256

  validation {
    condition     = var.max_vcpus >= 1 && var.max_vcpus <= 100000
    error_message = "max_vcpus must be from 1 to 100000."
  }
}

variable "vpc_id" {
  description = "VPC for the jobs. Empty: the Region's default VPC."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id must match ^$|^vpc-[0-9a-f]+$."
  }
}

variable "subnet_ids" {
  description = "Subnets of it, with commas. Empty: all of the VPC's own."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$", var.subnet_ids))
    error_message = "subnet_ids must match ^$|^[A-Za-z0-9._-]+(,[A-Za-z0-9._-]+)*$."
  }
}

variable "new_network" {
  description = "Make a VPC with public subnets and an S3 endpoint instead: no NAT gateway, so it costs nothing."
  type        = bool
  default     = false
}

variable "keep_days" {
  description = "Days after which what tasks left in the bucket and their images are deleted."
  type        = number
  default     = 30

  validation {
    condition     = var.keep_days >= 1 && var.keep_days <= 3650
    error_message = "keep_days must be from 1 to 3650."
  }
}

variable "log_retention_days" {
  description = "Days that the jobs' logs are kept, of those that CloudWatch knows."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "scan_images" {
  description = "Scan every image that is pushed. AWS may bill each task's image for it."
  type        = bool
  default     = false
}

variable "stuck_after" {
  description = "Seconds (600 to 86400) after which AWS Batch cancels the job at the queue's head when it can't be placed. 0: never; a first EC2 instance can take minutes to come."
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
  description = "ARN of the policy that bounds the roles, where your company asks for one."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^arn:[^%]+$", var.permissions_boundary))
    error_message = "permissions_boundary must match ^$|^arn:[^%]+$."
  }
}

variable "tags" {
  description = "More tags for all that is made, such as team=vision,cost=42."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[^=,%]+=[^=,%]*(,[^=,%]+=[^=,%]*)*$", var.tags))
    error_message = "tags must match ^$|^[^=,%]+=[^=,%]*(,[^=,%]+=[^=,%]*)*$."
  }
}

variable "delete_data" {
  description = "Whether `down` may delete bucket and repository while something lies in them."
  type        = bool
  default     = false
}

# ---- the executor's settings; those that name something name what is made
variable "credentials" {
  description = "Path of a shared-credentials file. Empty: botocore's own chain."
  type        = string
  default     = null
}

variable "profile" {
  description = "Profile in that file or in your AWS config. Empty: the default one."
  type        = string
  default     = null
}

variable "region" {
  description = "AWS Region, such as eu-west-1. Empty: the profile's or the environment's."
  type        = string
  default     = null
}

variable "s3_bucket_name" {
  description = "Bucket for results and big arguments."
  type        = string
  default     = null
}

variable "ecr_repo_name" {
  description = "ECR repository for the tasks' images."
  type        = string
  default     = null
}

variable "batch_job_definition_name" {
  description = "How job definitions are called; each gets the hash of its content as an ending. Letters, digits, - and _; at most 100."
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
  description = "Role with which AWS pulls the image and writes the log: its name or ARN."
  type        = string
  default     = null
}

variable "batch_job_role_name" {
  description = "Role that your function runs with: its name or ARN."
  type        = string
  default     = null
}

variable "batch_job_log_group_name" {
  description = "CloudWatch log group of the jobs."
  type        = string
  default     = null
}

variable "vcpu" {
  description = "vCPUs of one task. Below 1 on Fargate only."
  type        = number
  default     = null

  validation {
    condition     = var.vcpu == null ? true : var.vcpu >= 0.25 && var.vcpu <= 1024
    error_message = "vcpu must be from 0.25 to 1024."
  }
}

variable "memory" {
  description = "Memory of one task, in GiB; 3.75 is legal."
  type        = number
  default     = null

  validation {
    condition     = var.memory == null ? true : var.memory >= 0.00390625 && var.memory <= 24576
    error_message = "memory must be from 0.00390625 to 24576."
  }
}

variable "num_gpus" {
  description = "GPUs of one task; 0 is none, whatever a config file says."
  type        = number
  default     = null

  validation {
    condition     = var.num_gpus == null ? true : var.num_gpus >= 0 && var.num_gpus <= 64
    error_message = "num_gpus must be from 0 to 64."
  }
}

variable "retry_attempts" {
  description = "Attempts in all when the infrastructure fails. Your exceptions run once."
  type        = number
  default     = null

  validation {
    condition     = var.retry_attempts == null ? true : var.retry_attempts >= 1 && var.retry_attempts <= 10
    error_message = "retry_attempts must be from 1 to 10."
  }
}

variable "retry_exceptions" {
  description = "Exceptions of yours that are worth another attempt, by class name, with commas between; `retry_attempts` counts them too."
  type        = string
  default     = null
}

variable "max_memory" {
  description = "GiB up to which a task that ran out of memory is submitted again, with twice as much; 0: never."
  type        = number
  default     = null

  validation {
    condition     = var.max_memory == null ? true : var.max_memory >= 0 && var.max_memory <= 24576
    error_message = "max_memory must be from 0 to 24576."
  }
}

variable "time_limit" {
  description = "Seconds one attempt may run. AWS Batch allows no less than 60."
  type        = number
  default     = null

  validation {
    condition     = var.time_limit == null ? true : var.time_limit >= 60 && var.time_limit <= 1209600
    error_message = "time_limit must be from 60 to 1209600."
  }
}

variable "start_patience" {
  description = "Seconds a job may wait in the queue before it is ended and told why; 0: any time."
  type        = number
  default     = null

  validation {
    condition     = var.start_patience == null ? true : var.start_patience >= 0 && var.start_patience <= 604800
    error_message = "start_patience must be from 0 to 604800."
  }
}

variable "poll_freq" {
  description = "Seconds between two looks at a job: the longest its end goes unseen."
  type        = number
  default     = null

  validation {
    condition     = var.poll_freq == null ? true : var.poll_freq >= 0.1 && var.poll_freq <= 3600
    error_message = "poll_freq must be from 0.1 to 3600."
  }
}

variable "cache_dir" {
  description = "Folder for files on their way to and from AWS, in a subfolder of your own; what is a day old is removed. Unset: `covalent-awsbatch/staging` in your cache folder."
  type        = string
  default     = null
}

variable "container_image_uri" {
  description = "Base image: any with your Python's minor version. Empty: the official python:<minor>-slim, copied once into your repository."
  type        = string
  default     = null
}

variable "environment" {
  description = "Packages that travel with the task: `requirements.txt`, `pyproject.toml`, `pylock.toml`, requirements like `numpy>=2, pandas`, folders of your own code, `auto` (what the function needs of the packages installed here), or several of these. Empty: what the base image has."
  type        = string
  default     = null
}

variable "bake_deps_pip" {
  description = "Bake what an electron's DepsPip names into the image; else pip installs it at each start."
  type        = bool
  default     = null
}

variable "builder" {
  description = "What makes the image: `registry` (no Docker engine needed) or `docker`."
  type        = string
  default     = null

  validation {
    condition     = var.builder == null ? true : contains(["registry", "docker"], var.builder)
    error_message = "builder must be one of registry, docker."
  }
}

variable "max_cache_gib" {
  description = "GiB of environments' layers kept on this machine; what was used longest ago goes first. Within the hour nothing does, and after two months unused everything."
  type        = number
  default     = null

  validation {
    condition     = var.max_cache_gib == null ? true : var.max_cache_gib >= 0 && var.max_cache_gib <= 1000000
    error_message = "max_cache_gib must be from 0 to 1000000."
  }
}

variable "platform" {
  description = "What images, and the machines of `infra`, are made for, in Docker's words. Where an EC2 queue's machines are of one processor, that counts."
  type        = string
  default     = null

  validation {
    condition     = var.platform == null ? true : contains(["linux/amd64", "linux/arm64"], var.platform)
    error_message = "platform must be one of linux/amd64, linux/arm64."
  }
}

variable "payload" {
  description = "How functions and arguments travel: `image` (a layer of their job's own image) or `s3` (an object for each job, and one image for each environment)."
  type        = string
  default     = null

  validation {
    condition     = var.payload == null ? true : contains(["image", "s3"], var.payload)
    error_message = "payload must be one of image, s3."
  }
}

variable "max_baked_mib" {
  description = "MiB up to which a function or argument travels so; over it, it is an S3 object of its own."
  type        = number
  default     = null

  validation {
    condition     = var.max_baked_mib == null ? true : var.max_baked_mib >= 0 && var.max_baked_mib <= 1024
    error_message = "max_baked_mib must be from 0 to 1024."
  }
}

variable "array_linger" {
  description = "Seconds a task may wait for company of its kind, while more keep coming; 0: none."
  type        = number
  default     = null

  validation {
    condition     = var.array_linger == null ? true : var.array_linger >= 0 && var.array_linger <= 60
    error_message = "array_linger must be from 0 to 60."
  }
}

variable "max_array_size" {
  description = "Containers that one array job may have, each for tasks_per_job tasks; 1: no arrays."
  type        = number
  default     = null

  validation {
    condition     = var.max_array_size == null ? true : var.max_array_size >= 1 && var.max_array_size <= 10000
    error_message = "max_array_size must be from 1 to 10000."
  }
}

variable "tasks_per_job" {
  description = "Short tasks that share one container, which has vcpu and memory for all; each has its own outcome, output and time limit."
  type        = number
  default     = null

  validation {
    condition     = var.tasks_per_job == null ? true : var.tasks_per_job >= 1 && var.tasks_per_job <= 1000
    error_message = "tasks_per_job must be from 1 to 1000."
  }
}

variable "parallel_tasks" {
  description = "Of the tasks that share a container, how many run at once; 1: one by one."
  type        = number
  default     = null

  validation {
    condition     = var.parallel_tasks == null ? true : var.parallel_tasks >= 1 && var.parallel_tasks <= 1000
    error_message = "parallel_tasks must be from 1 to 1000."
  }
}

variable "max_layer_mib" {
  description = "MiB of functions and arguments that one array's image or object may carry."
  type        = number
  default     = null

  validation {
    condition     = var.max_layer_mib == null ? true : var.max_layer_mib >= 1 && var.max_layer_mib <= 10240
    error_message = "max_layer_mib must be from 1 to 10240."
  }
}

variable "delete_images" {
  description = "Delete a job's own image from the repository when all was read; not one for an environment."
  type        = bool
  default     = null
}

variable "delete_objects" {
  description = "Delete what a job wrote to the bucket, and what was sent there for it, then."
  type        = bool
  default     = null
}

variable "delete_definitions" {
  description = "Deregister the job definition of that image then."
  type        = bool
  default     = null
}

locals {
  given = {
    credentials               = var.credentials
    profile                   = var.profile
    region                    = var.region
    s3_bucket_name            = var.s3_bucket_name
    ecr_repo_name             = var.ecr_repo_name
    batch_job_definition_name = var.batch_job_definition_name
    batch_queue               = var.batch_queue
    batch_execution_role_name = var.batch_execution_role_name
    batch_job_role_name       = var.batch_job_role_name
    batch_job_log_group_name  = var.batch_job_log_group_name
    vcpu                      = var.vcpu
    memory                    = var.memory
    num_gpus                  = var.num_gpus
    retry_attempts            = var.retry_attempts
    retry_exceptions          = var.retry_exceptions
    max_memory                = var.max_memory
    time_limit                = var.time_limit
    start_patience            = var.start_patience
    poll_freq                 = var.poll_freq
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
