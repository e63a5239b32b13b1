{{/* The name of everything that the operator is made of. Pods and the API server know it, so it is the same in every release. */}}
{{- define "doorward.name" -}}
doorward-operator
{{- end }}

{{- define "doorward.selector" -}}
app.kubernetes.io/name: doorward
app.kubernetes.io/component: operator
{{- end }}

{{- define "doorward.labels" -}}
{{ include "doorward.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The reference of an image: (list $ .Values.images.operator). */}}
{{- define "doorward.image" -}}
{{- $root := index . 0 }}{{- $image := index . 1 -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{/* How the API server reaches a webhook: (list $ "/path"). */}}
{{- define "doorward.webhook" -}}
{{- $root := index . 0 -}}
service:
  name: {{ include "doorward.name" $root }}
  namespace: {{ $root.Release.Namespace }}
  path: {{ index . 1 }}
  port: 9443
{{- end }}
