{{- define "lab.labels" -}}
app.kubernetes.io/name: gpu-operator
helm.sh/chart: gpu-operator-{{ .Chart.Version }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/component: gpu-operator
{{- end }}

{{- define "lab.nfd.labels" -}}
app.kubernetes.io/name: node-feature-discovery
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lab.nfd.image" -}}
{{ .repository }}:{{ .tag }}
{{- end }}

{{- /* One component of the ClusterPolicy: the values that are set, and the chart's version where none is given. */ -}}
{{- define "lab.component" -}}
{{- $result := dict "version" .version }}
{{- range $key, $value := .values }}
{{- if or $value (eq (kindOf $value) "bool") }}{{ $_ := set $result $key $value }}{{ end }}
{{- end }}
{{- toYaml $result }}
{{- end }}
