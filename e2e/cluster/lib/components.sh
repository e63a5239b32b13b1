# shellcheck shell=bash disable=SC2034,SC2054 # commands are read by name; options have commas
# The programs of the cluster: how each is called, when it is ready, and how it ends.

control=(etcd apiserver)
node=(containerd controller-manager scheduler kubelet proxy)

command_etcd=(etcd --name=e "--data-dir=$state/etcd" --log-level=warn
  --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379
  --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380
  --initial-cluster=e=http://127.0.0.1:2380
  # The data outlives every process here, but not the machine: nobody needs it on the disk.
  --unsafe-no-fsync)

command_apiserver=(kube-apiserver --etcd-servers=http://127.0.0.1:2379
  --bind-address=0.0.0.0 --secure-port=6443 "--advertise-address=$node_address" "--service-cluster-ip-range=$service_range,$service_range_v6"
  "--tls-cert-file=$certificates/kube-apiserver.crt" "--tls-private-key-file=$certificates/kube-apiserver.key"
  "--client-ca-file=$certificates/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction
  --allow-privileged=true --profiling=false
  "--kubelet-certificate-authority=$certificates/ca.crt" --kubelet-preferred-address-types=InternalIP
  "--kubelet-client-certificate=$certificates/apiserver-kubelet-client.crt"
  "--kubelet-client-key=$certificates/apiserver-kubelet-client.key"
  --service-account-issuer=https://kubernetes.default.svc.cluster.local
  "--service-account-key-file=$certificates/sa.pub" "--service-account-signing-key-file=$certificates/sa.key"
  "--requestheader-client-ca-file=$certificates/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group
  --requestheader-extra-headers-prefix=X-Remote-Extra-
  "--proxy-client-cert-file=$certificates/front-proxy-client.crt" "--proxy-client-key-file=$certificates/front-proxy-client.key"
  # Written before the answer is sent: who has the answer finds the line. One file, so that a test reads all of it.
  "--audit-policy-file=$here/config/audit-policy.yaml" "--audit-log-path=$audit_log" --audit-log-mode=blocking
  --audit-log-maxsize=4096)

# The usual limits on requests would have each controller wait for seconds for its own token.
unhurried=(--kube-api-qps=1000 --kube-api-burst=2000)
as_user() {
  local file=$certificates/$1.kubeconfig
  printf '%s\n' "--kubeconfig=$file" "--authentication-kubeconfig=$file" "--authorization-kubeconfig=$file"
}
mapfile -t as_controller_manager < <(as_user kube-controller-manager)
mapfile -t as_scheduler < <(as_user kube-scheduler)

command_controller_manager=(kube-controller-manager "${as_controller_manager[@]}" "${unhurried[@]}"
  --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true
  "--service-account-private-key-file=$certificates/sa.key" "--root-ca-file=$certificates/ca.crt"
  "--cluster-signing-cert-file=$certificates/ca.crt" "--cluster-signing-key-file=$certificates/ca.key"
  "--cluster-cidr=$pod_range,$pod_range_v6" "--service-cluster-ip-range=$service_range,$service_range_v6")

command_scheduler=(kube-scheduler "${as_scheduler[@]}" "${unhurried[@]}" --bind-address=127.0.0.1 --leader-elect=false)

command_containerd=(containerd --config "$state/containerd.toml")

command_kubelet=(kubelet "--config=$state/kubelet.yaml" "--kubeconfig=$certificates/node.kubeconfig"
  "--hostname-override=$node_name" "--node-ip=$node_address,$node_address_v6" "--root-dir=$state/kubelet")

command_proxy=(kube-proxy "--config=$state/kube-proxy.yaml")

ready_etcd() { in_network curl -sSf -m 5 -o /dev/null http://127.0.0.1:2379/readyz; }
ready_apiserver() { api readyz; }
ready_controller_manager() { in_network curl -sSfk -m 5 -o /dev/null https://127.0.0.1:10257/healthz; }
ready_scheduler() { in_network curl -sSfk -m 5 -o /dev/null https://127.0.0.1:10259/readyz; }
ready_containerd() { in_node ctr --connect-timeout 1s version; }
ready_kubelet() { in_network curl -sSf -m 5 -o /dev/null http://127.0.0.1:10248/healthz; }
ready_proxy() { in_network curl -sSf -m 5 -o /dev/null http://127.0.0.1:10256/healthz; }

# A path of the API server, as the administrator; kubectl takes a tenth of a second to begin.
api() {
  in_network curl -sSf -m 5 --cacert "$certificates/ca.crt" --cert "$certificates/admin.crt" --key "$certificates/admin.key" \
    "https://127.0.0.1:6443/$1"
}

# The names of the programs are good names for them too.
component() {
  local wanted=${1#kube-} known
  for known in "${control[@]}" "${node[@]}"; do
    [ "$known" != "$wanted" ] || { echo "$known"; return; }
  done
  fail "no component \`$1\`; there are: ${control[*]} ${node[*]}"
}

is_running() {
  local pid
  pid=$(cat "$pids/$1" 2>/dev/null) && [ -n "$pid" ] && in_node kill -0 "$pid" 2>/dev/null
}

# Starts what is not running and does not wait. It becomes a child of the node's first process.
start() {
  local component=$1
  is_running "$component" && return
  local -n command=command_${component//-/_}
  # shellcheck disable=SC2016 # for the inner shell
  in_node sh -c 'log=$1 pid=$2; shift 2; setsid "$@" </dev/null >>"$log" 2>&1 & echo $! >"$pid"' \
    sh "$logs/$component.log" "$pids/$component" "${command[@]}" 9>&-
}

# Waits until a component serves. One that ended will never.
ready() {
  local begin=$SECONDS output
  until output=$("ready_${1//-/_}" 2>&1); do
    is_running "$1" || fail "$1 ended; the end of $logs/$1.log:"$'\n'"$(tail -n 5 "$logs/$1.log")"
    [ $((SECONDS - begin)) -lt "$patience_seconds" ] || fail "$1 is not ready after $patience_seconds s: $output; see $logs/$1.log"
    sleep 0.05
  done
}

# By SIGKILL: told kindly, the API server waits a minute for its watchers.
stop() {
  is_running "$1" || return 0
  local pid
  pid=$(cat "$pids/$1")
  in_node kill -9 "$pid"
  wait_for "the end of $1" is_stopped "$1"
  rm -f "$pids/$1"
}

is_stopped() {
  ! is_running "$1"
}
