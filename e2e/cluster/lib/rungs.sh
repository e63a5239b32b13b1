# shellcheck shell=bash
# The two rungs and what is done with a cluster that is up.

up_control() {
  built pause etcd kube
  node_up
  make_certificates
  start etcd
  start apiserver
  ready etcd
  ready apiserver
  # The API server makes it a moment after it is ready; objects need it.
  wait_for "the namespace default" api api/v1/namespaces/default
}

up_node() {
  built
  up_control
  cgroups_up
  render containerd.toml >"$state/containerd.toml"
  render kubelet.yaml >"$state/kubelet.yaml"
  render kube-proxy.yaml >"$state/kube-proxy.yaml"
  mkdir -p "$state/cni"
  render cni.conflist >"$state/cni/pods.conflist"
  : >"$state/resolv.conf"
  echo "nameserver $dns_service" >"$state/cluster-resolv.conf"

  start containerd
  start controller-manager
  start scheduler
  ready containerd
  own_images
  render cluster.yaml >"$state/cluster.yaml"
  quietly in_network kubectl apply --server-side --force-conflicts -f "$state/cluster.yaml"
  start kubelet
  start proxy
  local one
  for one in "${node[@]}"; do ready "$one"; done
  wait_for "a node that is ready and has DNS" is_serving
}

# What objects say may be from before a restart: ask the cluster's DNS for a name, through its Service.
is_serving() {
  in_network kubectl wait --for=condition=Ready "node/$node_name" --timeout=30s &&
    in_network unshare --mount sh -c 'mount --bind "$1" /etc/resolv.conf && getent hosts kubernetes.default.svc.cluster.local' \
      sh "$state/cluster-resolv.conf"
}

# The parts of the build, if they are not there yet.
built() {
  local folder
  folder=$("$here/build.sh" "$@")
  [ "$folder" = "$bin" ] || fail "the sources of the programs changed while they were built; run it again"
}

print_environment() {
  # shellcheck disable=SC2016 # for the shell that reads it
  printf 'export KUBECONFIG=%q\nexport KUBECACHEDIR=%q\nexport PATH=%q:"$PATH"\n' "$kubeconfig" "$KUBECACHEDIR" "$bin"
  printf 'export DOORWARD_CLUSTER=%q\nDOORWARD_CLUSTER_ENTER=%q\n' "$name" "nsenter --net=/run/netns/$netns"
  printf 'DOORWARD_CLUSTER_STATE=%q\nDOORWARD_CLUSTER_AUDIT=%q\n' "$state" "$audit_log"
}

# Only the network is the cluster's; files, users and processes are the machine's.
run_in_cluster() {
  [ $# -gt 0 ] || fail "run what?"
  node_pid >/dev/null || fail "not up: \`cluster up control\` or \`cluster up node\`"
  export DOORWARD_CLUSTER=$name DOORWARD_CLUSTER_STATE=$state DOORWARD_CLUSTER_AUDIT=$audit_log
  exec nsenter --net="/run/netns/$netns" "$@"
}

# What the node needs itself; written from the programs that were built.
own_images() {
  local existing
  existing=$(in_node ctr -n k8s.io images list --quiet 2>>"$logs/ctr.log")
  own_image "$pause_image" pause "$existing"
  own_image "$dns_image" coredns "$existing"
}

# own_image NAME PROGRAM EXISTING_IMAGES
own_image() {
  ! grep -qxF "$1" <<<"$3" || return 0
  "$here/mkimage" "$state/$2.tar" "$1" --binary "$bin/$2:/$2" -- "/$2"
  load_images "$state/$2.tar"
  rm "$state/$2.tar"
}

load_images() {
  [ $# -gt 0 ] || fail "load what?"
  local image
  for image in "$@"; do
    quietly in_node ctr -n k8s.io images import "$(realpath "$image")"
  done
}

# As if the power failed: processes, mounts and what was under /run are gone, the files are there.
# The network namespace stays, because tests run in it.
restart_node() {
  node_kill
  up_node
}

print_status() {
  node_pid >/dev/null || { echo "$name is down"; return; }
  local one
  for one in "${control[@]}" "${node[@]}"; do
    if is_running "$one"; then echo "$one runs"; else echo "$one is stopped"; fi
  done
}
