# shellcheck shell=bash
# The node: a network namespace with a name, and in it a process whose namespaces are the node's.
# That process is the first of its PID namespace: with it the kernel ends every process of the node and drops every mount.

node_pid() {
  local pid
  pid=$(cat "$pids/node" 2>/dev/null) || return 1
  # A number may be another process by now.
  [ "$(readlink "/proc/$pid/ns/net" 2>/dev/null)" = "$(cat "$pids/node.net" 2>/dev/null)" ] || return 1
  echo "$pid"
}

# `ip netns exec` would mount /sys anew and so hide the cgroups.
in_network() {
  nsenter --net="/run/netns/$netns" "$@"
}

in_node() {
  local pid
  pid=$(node_pid) || fail "the node is not up"
  nsenter -t "$pid" -n -m -u -p "$@"
}

node_up() {
  node_pid >/dev/null && return
  mkdir -p "$state"
  chmod 700 "$(dirname "$state")" "$state"
  mkdir -p "$logs" "$pids"
  rm -f "$pids"/*
  # kubelet would look for the containers of each folder, seconds for each.
  cgroups_down
  if in_network true 2>/dev/null; then
    # The node ended, and tests may still run in its network.
    in_network bash -c "$(declare -f network_clear); network_clear"
  else
    # What a crash left: a name without a namespace.
    ip netns del "$netns" 2>/dev/null || true
    ip netns add "$netns"
    in_network bash -c "$(declare -f network_up); network_up $node_address $service_range $node_address_v6 $service_range_v6"
  fi
  nsenter --net="/run/netns/$netns" setsid unshare --mount --propagation private --uts --pid --fork --mount-proc -- pause \
    </dev/null >>"$logs/node.log" 2>&1 9>&- &
  local unshare=$! pid
  wait_for "the first process of the node" pgrep --parent "$unshare" --exact pause
  pid=$(pgrep --parent "$unshare" --exact pause)
  readlink "/proc/$pid/ns/net" >"$pids/node.net"
  echo "$pid" >"$pids/node"
  # By its own folder: mounts over its parents are to come.
  in_node bash -c "$(declare -f mounts_up); mounts_up $state $node_name"
}

# The kernel may have no dummy devices; of a pair with both ends inside, one end is as good.
network_up() {
  set -e
  ip link set lo up
  ip link add node0 type veth peer name node0p
  ip link set node0 up
  ip link set node0p up
  ip address add "$1/24" dev node0
  # There is no default route: nothing leaves the node. The node's own connections to Services need one to begin with.
  ip route add "$2" dev node0 src "$1"
  # Nobody else is there who could have it.
  ip address add "$3/64" dev node0 nodad
  ip route add "$4" dev node0 src "$3"
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
  # From a pod through a Service to a pod on the same bridge. Without br_netfilter there is no such file.
  local setting
  for setting in /proc/sys/net/bridge/bridge-nf-call-{iptables,ip6tables}; do
    if [ -e "$setting" ]; then echo 1 >"$setting"; fi
  done
}

# Away with what pods and kube-proxy made: a machine that starts anew would not have it.
network_clear() {
  set -e
  local link
  # Not from /sys, which shows the network that it was mounted in.
  ip -o link | cut -d' ' -f2 | cut -d: -f1 | cut -d@ -f1 | while read -r link; do
    case $link in lo | node0 | node0p) ;; *) ip link del "$link" 2>/dev/null || true ;; esac
  done
  nft flush ruleset
}

mounts_up() {
  set -e
  mount --make-rshared /
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir /run/netns /run/lock
  # kubelet has this folder built in.
  mkdir -p "$1/var-log"
  mount --bind "$1/var-log" /var/log
  hostname "$2"
  # kubelet sets these for the whole machine. With files that say what it wants it is content and the machine keeps its own.
  mkdir -p "$1/sysctl"
  local setting
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    echo "${setting#*=}" >"$1/sysctl/$(basename "${setting%=*}")"
    mount --bind "$1/sysctl/$(basename "${setting%=*}")" "/proc/sys/${setting%=*}"
  done
}

# Ends every process of the node; its files stay.
node_kill() {
  local pid
  pid=$(node_pid) || return 0
  kill -9 "$pid"
  wait_for "the end of the node" node_is_gone "$pid"
  rm -f "$pids"/*
}

node_is_gone() {
  [ ! -e "/proc/$1" ] || [ "$(cut -d' ' -f3 "/proc/$1/stat")" = Z ]
}

node_down() {
  node_kill
  cgroups_down
  ip netns del "$netns" 2>/dev/null || true
  rm -rf "$state"
  rmdir "$(dirname "$state")" 2>/dev/null || true
}

cgroups_up() {
  [ -d /sys/fs/cgroup/cpuset ] || fail "the node rung needs cgroups of version 1, one hierarchy for each controller"
  local controller
  for controller in /sys/fs/cgroup/*/; do
    [ "$(stat -fc %T "$controller")" = cgroupfs ] || continue
    mkdir -p "$controller$cgroup"
  done
  local file
  # A new folder has none, and then no process may enter it.
  for file in cpuset.cpus cpuset.mems; do
    cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$cgroup/$file"
  done
}

cgroups_down() {
  local folder
  for folder in /sys/fs/cgroup/*/"$cgroup"; do
    [ -d "$folder" ] || continue
    # The kernel lets go of the last processes a moment after they ended.
    wait_for "an empty $folder" find "$folder" -depth -type d -exec rmdir {} +
  done
}
