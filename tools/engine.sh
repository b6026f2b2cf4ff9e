#!/bin/sh
# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0
#
# A Docker engine from Debian's packages, with or without systemd.
#
#   tools/engine.sh up      installs what is missing, starts dockerd, waits until it answers
#   tools/engine.sh down    stops the engine that `up` started, and no other
#   tools/engine.sh status  one line; exit 0 when an engine answers
#
# ENGINE_STATE      folder of the pid file and the log (default /var/lib/covalent-awsbatch-engine)
# ENGINE_WAIT       seconds to wait for the engine to answer (default 90)
# DOCKER_HOST       another engine than this machine's own: it is asked, never started
set -eu

STATE=${ENGINE_STATE:-/var/lib/covalent-awsbatch-engine}
WAIT=${ENGINE_WAIT:-90}
PID_FILE=$STATE/dockerd.pid
LOG=$STATE/dockerd.log
ENGINE_PACKAGES="docker.io iptables ca-certificates" # dockerd's bridge needs iptables, docker.io only recommends it
REGISTRY_PACKAGES="docker-registry apache2-utils"    # the real registry of the conformance tests, and its htpasswd

say() { echo "engine: $*"; }
die() { echo "engine: $*" >&2; exit 1; }

answers() { command -v docker >/dev/null 2>&1 && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

describe() {
    docker info --format '{{.ServerVersion}}, {{.Driver}}, cgroup v{{.CgroupVersion}}, memory limits: {{.MemoryLimit}}, swap limits: {{.SwapLimit}}' 2>/dev/null
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Never docker.io beside another engine, running or not: apt would remove Docker's own packages for it.
missing() {
    packages=$REGISTRY_PACKAGES
    command -v dockerd >/dev/null 2>&1 || answers || packages="$ENGINE_PACKAGES $packages"
    for package in $packages; do
        installed "$package" || printf '%s ' "$package"
    done
}

# A package's own start script would leave an engine that `down` doesn't know, and a registry on port 5000:
# without systemd, invoke-rc.d is told to start nothing.
install_packages() {
    wanted=$(missing)
    [ -n "$wanted" ] || return 0
    command -v apt-get >/dev/null 2>&1 || die "no apt-get here; install Docker by its own guide, then run this again"
    say "installing from Debian: $wanted"
    mkdir -p "$STATE"
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    {
        apt-get -q -o DPkg::Lock::Timeout=300 update
        # shellcheck disable=SC2086  # a list of names, split on purpose
        apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $wanted
    } </dev/null >"$STATE/apt.log" 2>&1 || { tail -n 15 "$STATE/apt.log" >&2; die "apt-get failed; all of it is in $STATE/apt.log"; }
}

# A container or a small VM may come with no cgroup tree at all, and dockerd refuses to start without one.
mount_cgroups() {
    [ -n "$(awk '$3 ~ /^cgroup2?$/ && $2 ~ /^\/sys\/fs\/cgroup/' /proc/mounts)" ] && return 0
    say "no cgroup tree is mounted; mounting version 2 on /sys/fs/cgroup"
    mount -t cgroup2 none /sys/fs/cgroup || die "cannot mount cgroups; run this where root may mount, e.g. a VM"
}

# Debian's default is the nft flavour; an older or smaller kernel may only have the legacy tables.
# dockerd takes the `iptables` of its PATH, so the choice stays with this engine and alters nothing else.
choose_iptables() {
    iptables -w -t nat -nL >/dev/null 2>&1 && return 0
    iptables-legacy -w -t nat -nL >/dev/null 2>&1 || return 1
    say "this kernel has legacy iptables only; the engine uses those"
    mkdir -p "$STATE/bin"
    for tool in iptables ip6tables; do
        ln -sf "$(command -v $tool-legacy)" "$STATE/bin/$tool"
    done
    PATH=$STATE/bin:$PATH
}

start_dockerd() {
    options=
    choose_iptables || {
        say "this kernel has no iptables: containers get the host's network only (--network host)"
        options="--iptables=false --ip6tables=false --bridge=none"
    }
    # shellcheck disable=SC2086  # a list of options
    setsid nohup dockerd --pidfile "$PID_FILE" $options </dev/null >"$LOG" 2>&1 &
    LAUNCHED=$!
}

wait_until_it_answers() {
    left=$((WAIT * 2))
    until answers; do
        # setsid may fork; the pid file is the truth once it is there.
        [ $left -gt 0 ] || give_up "did not answer within $WAIT s"
        kill -0 "$LAUNCHED" 2>/dev/null || ours || give_up "stopped"
        left=$((left - 1))
        sleep 0.5
    done
}

give_up() {
    say "dockerd $1; the end of $LOG:" >&2
    tail -n 20 "$LOG" >&2
    exit 1
}

# True when the pid file names a live dockerd, and not a number that was given to someone else since.
ours() {
    [ -s "$PID_FILE" ] && [ "$(cat "/proc/$(cat "$PID_FILE")/comm" 2>/dev/null)" = dockerd ]
}

up() {
    if answers; then
        say "one answers already: $(describe)"
        [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1 || install_packages
        return 0
    fi
    [ -z "${DOCKER_HOST:-}" ] || die "DOCKER_HOST is $DOCKER_HOST, and nothing answers there; start it, or unset the variable"
    [ "$(id -u)" = 0 ] || die "only root may install and start an engine: sudo make engine"
    install_packages
    if answers; then
        say "Debian's service started it: $(describe)"
        return 0
    fi
    if ours; then
        say "one is coming up"
        LAUNCHED=$(cat "$PID_FILE")
    else
        mkdir -p "$STATE"
        mount_cgroups
        start_dockerd
    fi
    wait_until_it_answers
    say "started, pid $(cat "$PID_FILE"): $(describe); log in $LOG"
}

down() {
    ours || { say "none that was started here is running"; return 0; }
    pid=$(cat "$PID_FILE")
    kill "$pid"
    left=60
    while kill -0 "$pid" 2>/dev/null; do
        [ $left -gt 0 ] || die "dockerd ($pid) is still stopping its containers after 30 s"
        left=$((left - 1))
        sleep 0.5
    done
    say "stopped ($pid)"
}

status() {
    answers || { say "no Docker engine answers; \`make engine\` starts one"; return 1; }
    say "$(describe)"
}

case "${1:-}" in
    up | down | status) "$1" ;;
    *) die "usage: tools/engine.sh up|down|status" ;;
esac
