# shellcheck shell=bash disable=SC2034 # read by the files that source this one
# Names, addresses and folders of one cluster.

name=${DOORWARD_CLUSTER:-doorward}
[[ $name =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]] ||
  { echo "DOORWARD_CLUSTER is \`$name\`: use up to 31 small letters, digits and hyphens" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || { echo "the test cluster makes namespaces and cgroups: run it as root" >&2; exit 1; }

# Not under /run, which the node hides behind its own, nor under /tmp: a predictable name there may be somebody else's.
state=/var/lib/doorward-cluster/$name
certificates=$state/certificates
logs=$state/logs
pids=$state/pids
kubeconfig=$state/kubeconfig
audit_log=$logs/audit.log
netns=doorward-$name
cgroup=doorward-$name

# The blocks for benchmarks (RFC 2544, RFC 5180) and none for documentation: those may be a machine's real network.
# Each cluster has a network namespace, so all clusters have the same. Pods have both families, IPv4 first.
pod_range=198.18.0.0/17
node_address=198.18.128.10
service_range=198.19.0.0/16
pod_range_v6=2001:2:0:1::/64
node_address_v6=2001:2:0:2::10
service_range_v6=2001:2:0:3::/112
api_service=198.19.0.1
dns_service=198.19.0.10
node_name=node1

pause_image=doorward.test/pause:1
dns_image=doorward.test/coredns:1

# Nothing here needs longer than some seconds; a loaded machine may.
patience_seconds=120

bin=$("$here/build.sh" --where)
export PATH=$bin:$PATH
# All clusters have the same address: what kubectl and helm remember of one is wrong for another.
export KUBECONFIG=$kubeconfig KUBECACHEDIR=$state/kubectl
export HELM_CACHE_HOME=$state/helm/cache HELM_CONFIG_HOME=$state/helm/config HELM_DATA_HOME=$state/helm/data

fail() {
  echo "cluster $name: $*" >&2
  exit 1
}

# What is said on the way is of interest only when it failed.
quietly() {
  local output
  output=$("$@" 2>&1) || fail "$* failed: $output"
}

# Polls a command until it succeeds.
wait_for() {
  local what=$1 begin=$SECONDS output
  shift
  until output=$("$@" 2>&1); do
    [ $((SECONDS - begin)) -lt $patience_seconds ] || fail "$what: not within $patience_seconds s: ${output:-no output}"
    sleep 0.05
  done
}

# A file of config/ with the settings filled in.
render() {
  sed -e "s#@STATE@#$state#g" -e "s#@BIN@#$bin#g" -e "s#@CERTIFICATES@#$certificates#g" -e "s#@CGROUP@#$cgroup#g" \
    -e "s#@POD_RANGE@#$pod_range#g" -e "s#@POD_RANGE_V6@#$pod_range_v6#g" -e "s#@DNS_SERVICE@#$dns_service#g" -e "s#@NODE@#$node_name#g" \
    -e "s#@PAUSE_IMAGE@#$pause_image#g" -e "s#@DNS_IMAGE@#$dns_image#g" "$here/config/$1"
}
