#!/usr/bin/env bash
# Hosts on one network, as far as the network goes: namespaces NAMEn2, NAMEn3, … with the addresses NETWORK.2, NETWORK.3, …, beside this
# machine, which is NETWORK.1 there. `hosts.sh up NAME NETWORK HOSTS` makes them, for root, with `ip` of iproute2; `hosts.sh down NAME`
# removes them.
set -euo pipefail
action=$1 name=$2

case $action in
  up)
    network=$3 hosts=$4
    ip link add "$name" type bridge
    ip addr add "$network.1/24" dev "$name"
    ip link set "$name" up
    for host in $(seq 2 $((hosts + 1))); do
      ip netns add "${name}n$host"
      ip link add "${name}v$host" type veth peer name eth0 netns "${name}n$host"
      ip link set "${name}v$host" master "$name" up
      ip -n "${name}n$host" addr add "$network.$host/24" dev eth0
      ip -n "${name}n$host" link set eth0 up
      ip -n "${name}n$host" link set lo up
    done
    ;;
  down)
    for namespace in $(ip netns list | awk '{ print $1 }' | grep "^${name}n[0-9]*$"); do
      ip netns del "$namespace"
    done
    ip link del "$name"
    ;;
esac
