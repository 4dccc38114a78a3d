{{- define "bot.labels" -}}
{app.kubernetes.io/name: {{ .Chart.Name }}, app.kubernetes.io/instance: {{ .Release.Name }}, app.kubernetes.io/component: bot}
{{- end -}}
{{- define "etcd.labels" -}}
{app.kubernetes.io/name: {{ .Chart.Name }}, app.kubernetes.io/instance: {{ .Release.Name }}, app.kubernetes.io/component: etcd}
{{- end -}}
{{- define "etcd.endpoints" -}}
{{- if .Values.etcd.enabled -}}
{{- $etcd := printf "%s-etcd" .Release.Name -}}
{{ range $i := until 3 }}{{ if $i }},{{ end }}{{ $etcd }}-{{ $i }}.{{ $etcd }}:2379{{ end }}
{{- else -}}
{{ join "," .Values.etcd.endpoints }}
{{- end -}}
{{- end -}}
{{- define "etcd.clientSecret" -}}
{{ default (printf "%s-etcd-client" .Release.Name) .Values.etcd.clientSecret }}
{{- end -}}
{{- define "etcd.serverSecret" -}}
{{ default (printf "%s-etcd-server" .Release.Name) .Values.etcd.serverSecret }}
{{- end -}}
