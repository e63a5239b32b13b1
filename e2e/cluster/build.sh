#!/usr/bin/env bash
# Builds the programs of the test cluster from pinned Go modules, each part once for what it is made from.
#   build.sh [PART...]   builds the parts named, or all; prints the folder with the programs last
#   build.sh --where     prints the folder with the programs
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${DOORWARD_CLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/doorward-cluster}
# In this order, so that what the control rung needs is there first.
all=(pause etcd kube containerd runc cni)

command -v go >/dev/null || { echo "go is not installed: install Go 1.26 or later, the test cluster is built from Go modules" >&2; exit 1; }
# Only what is locked, nothing of this machine in the result: the same programs everywhere, byte for byte.
export GOWORK=off GOFLAGS="-mod=readonly -trimpath -buildvcs=false" CGO_ENABLED=0

# Each part builds into the folder $1, from its folder under build/. These functions are part of what the cache is keyed by.
build_pause() { go build -ldflags "-s -w" -o "$1/pause" .; }
build_etcd() { go build -ldflags "-s -w" -o "$1/etcd" go.etcd.io/etcd/server/v3; }
build_kube() {
  local version=k8s.io/component-base/version name
  go build -ldflags "-s -w -X $version.gitVersion=v1.37.2 -X $version.gitMajor=1 -X $version.gitMinor=37" -o "$1/kube" .
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do ln -s kube "$1/$name"; done
  go build -ldflags "-s -w" -o "$1/coredns" ./coredns
  go build -ldflags "-s -w" -o "$1/helm" helm.sh/helm/v4/cmd/helm
}
build_containerd() {
  local commands=github.com/containerd/containerd/v2/cmd name
  for name in containerd containerd-shim-runc-v2 ctr; do
    go build -tags no_btrfs,no_devmapper,no_zfs,no_tracing \
      -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2" -o "$1/$name" "$commands/$name"
  done
}
# Without the tag seccomp every pod with a seccomp profile fails.
build_runc() {
  CGO_ENABLED=1 go build -tags seccomp,netgo,osusergo -ldflags "-s -w -X main.version=v1.5.2 -extldflags -static" \
    -o "$1/runc" github.com/opencontainers/runc
}
build_cni() {
  local plugins=github.com/containernetworking/plugins/plugins name
  mkdir "$1/cni"
  for name in main/bridge main/loopback ipam/host-local meta/portmap; do
    go build -ldflags "-s -w" -o "$1/cni/${name#*/}" "$plugins/$name"
  done
}

# What a part is made from: its modules and sources, its flags, the compiler.
key() {
  { declare -f "build_$1"; echo "$GOFLAGS"; echo "$go_version"; cd "$here/build/$1"; find . -type f | sort | xargs sha256sum; } | sha256sum | cut -c1-16
}

build() {
  local part=$1 folder=$cache/parts/$1-$2 begin=$SECONDS
  [ -d "$folder" ] && return
  printf 'building %s (once; %s)\n' "$part" "$folder" >&2
  rm -rf "$folder".new
  mkdir -p "$folder".new
  (cd "$here/build/$part" && "build_$part" "$folder".new) >&2
  mv "$folder".new "$folder"
  printf 'built %s in %s s\n' "$part" $((SECONDS - begin)) >&2
}

# The compiler may be another one in the modules' folders: a go.mod can ask for a newer one.
go_version=$(cd "$here/build/kube" && go version)
declare -A keys
for part in "${all[@]}"; do keys[$part]=$(key "$part"); done
bin=$cache/bin-$(printf '%s\n' "${keys[@]}" | sort | sha256sum | cut -c1-16)
if [ "${1:-}" = --where ]; then
  echo "$bin"
  exit
fi

parts=("$@")
[ $# -gt 0 ] || parts=("${all[@]}")
mkdir -p "$bin" "$cache/parts"
# Two builds at once would do the same work twice.
exec 9>"$cache/lock"
flock 9
for part in "${parts[@]}"; do
  [ -n "${keys[$part]:-}" ] || { echo "no part \`$part\`; there are: ${all[*]}" >&2; exit 1; }
  build "$part" "${keys[$part]}" 9>&-
  ln -sfn "$cache/parts/$part-${keys[$part]}"/* "$bin/"
done
echo "$bin"
