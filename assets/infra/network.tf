# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

# Where jobs run: the default VPC, a given one, or a new one of public subnets, which needs no NAT gateway.

locals {
  # China's gateway endpoints have no prefix of their own, the isolated partitions' have.
  service_prefix = local.partition == "aws-cn" ? "com.amazonaws" : data.aws_partition.this.reverse_dns_prefix

  vpc_id  = var.new_network ? aws_vpc.new[0].id : data.aws_vpc.found[0].id
  subnets = var.new_network ? aws_subnet.new[*].id : (var.subnet_ids == "" ? data.aws_subnets.found[0].ids : split(",", var.subnet_ids))
}

data "aws_vpc" "found" {
  count   = var.new_network ? 0 : 1
  id      = var.vpc_id == "" ? null : var.vpc_id
  default = var.vpc_id == "" ? true : null
}

data "aws_subnets" "found" {
  count = !var.new_network && var.subnet_ids == "" ? 1 : 0

  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.found[0].id]
  }
}

data "aws_availability_zones" "here" {
  count = var.new_network ? 1 : 0
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"] # no Local Zones: they are dearer and have few instance types
  }
}

resource "aws_vpc" "new" {
  #checkov:skip=CKV2_AWS_11:Flow logs cost money by the gigabyte; whoever needs them gives a VPC of their own
  #checkov:skip=CKV2_AWS_12:Nothing here uses the VPC's default security group; jobs have their own, which lets nothing in
  count                = var.new_network ? 1 : 0
  cidr_block           = "10.0.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "${var.prefix}-batch" }
}

resource "aws_internet_gateway" "new" {
  count  = var.new_network ? 1 : 0
  vpc_id = aws_vpc.new[0].id
}

resource "aws_route_table" "new" {
  count  = var.new_network ? 1 : 0
  vpc_id = aws_vpc.new[0].id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.new[0].id
  }
}

resource "aws_subnet" "new" {
  count                   = var.new_network ? min(3, length(data.aws_availability_zones.here[0].names)) : 0
  vpc_id                  = aws_vpc.new[0].id
  availability_zone       = data.aws_availability_zones.here[0].names[count.index]
  cidr_block              = cidrsubnet(aws_vpc.new[0].cidr_block, 4, count.index)
  map_public_ip_on_launch = true # the way out to ECR and CloudWatch; nothing gets in, see the security group
}

resource "aws_route_table_association" "new" {
  count          = length(aws_subnet.new)
  subnet_id      = aws_subnet.new[count.index].id
  route_table_id = aws_route_table.new[0].id
}

# S3 without the internet, free of charge. An existing VPC's routes are its owner's.
resource "aws_vpc_endpoint" "s3" {
  count             = var.new_network ? 1 : 0
  vpc_id            = aws_vpc.new[0].id
  service_name      = "${local.service_prefix}.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.new[0].id]
}

resource "aws_security_group" "jobs" {
  name        = "${var.prefix}-batch-jobs"
  description = "Covalent's jobs: out, never in"
  vpc_id      = local.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "jobs" {
  security_group_id = aws_security_group.jobs.id
  description       = "To ECR, S3, CloudWatch, and wherever the tasks want to"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}
