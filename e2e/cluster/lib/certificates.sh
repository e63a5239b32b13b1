# shellcheck shell=bash
# The cluster's certificate authorities, certificates and kubeconfigs; made once for a cluster.

make_certificates() {
  [ -f "$certificates/complete" ] && return
  rm -rf "$certificates"
  mkdir -p "$certificates"
  make_authority ca
  # A second authority: clients that it knows may speak for others (aggregated API servers).
  make_authority front-proxy-ca

  local cluster=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
  make_certificate ca kube-apiserver "/CN=kube-apiserver" serverAuth \
    "$cluster,DNS:localhost,IP:127.0.0.1,IP:$node_address,IP:$api_service"
  make_certificate ca kubelet "/CN=$node_name" serverAuth "DNS:$node_name,IP:$node_address"
  make_certificate front-proxy-ca front-proxy-client "/CN=front-proxy-client" clientAuth
  make_certificate ca apiserver-kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth
  make_certificate ca admin "/O=system:masters/CN=admin" clientAuth
  make_certificate ca node "/O=system:nodes/CN=system:node:$node_name" clientAuth
  local user
  for user in kube-controller-manager kube-scheduler kube-proxy; do
    make_certificate ca "$user" "/CN=system:$user" clientAuth
  done
  for user in admin node kube-controller-manager kube-scheduler kube-proxy; do make_kubeconfig "$user"; done
  cp "$certificates/admin.kubeconfig" "$kubeconfig"

  # The signing keys of service account tokens.
  quietly openssl genrsa -out "$certificates/sa.key" 2048
  quietly openssl rsa -in "$certificates/sa.key" -pubout -out "$certificates/sa.pub"
  touch "$certificates/complete"
}

make_authority() {
  quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$1" \
    -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$certificates/$1.key" -out "$certificates/$1.crt"
}

# make_certificate AUTHORITY NAME SUBJECT USAGE [ALTERNATIVE_NAMES]
make_certificate() {
  local extensions="basicConstraints=critical,CA:FALSE"$'\n'"keyUsage=critical,digitalSignature"$'\n'"extendedKeyUsage=$4"
  [ -z "${5:-}" ] || extensions+=$'\n'"subjectAltName=$5"
  quietly openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" \
    -keyout "$certificates/$2.key" -out "$certificates/$2.csr"
  quietly openssl x509 -req -in "$certificates/$2.csr" -CA "$certificates/$1.crt" -CAkey "$certificates/$1.key" \
    -set_serial "0x$(openssl rand -hex 8)" -days 3650 -extfile <(echo "$extensions") -out "$certificates/$2.crt"
  rm "$certificates/$2.csr"
}

# The certificates stand in the file, so that it can be read through another user's copy.
make_kubeconfig() {
  cat > "$certificates/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: $name
contexts:
- name: $name
  context: {cluster: $name, user: $1}
clusters:
- name: $name
  cluster:
    server: https://127.0.0.1:6443
    certificate-authority-data: $(base64 -w0 "$certificates/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$certificates/$1.crt")
    client-key-data: $(base64 -w0 "$certificates/$1.key")
YAML
}
