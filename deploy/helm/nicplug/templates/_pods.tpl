{{/*
What the pods of operator and API have in common. Each takes a dict: root, the root context; component, "operator" or
"api"; values, those of the component.
*/}}

{{/* Fixed: Deployments of the chart and of kustomize select the same pods, so that one can take over from the other. */}}
{{- define "nicplug.selector" -}}
app.kubernetes.io/name: nicplug
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "nicplug.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "nicplug.podMetadata" -}}
labels:
  {{- include "nicplug.selector" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Account, security and place of a pod. */}}
{{- define "nicplug.podSpec" -}}
serviceAccountName: nicplug-{{ .component }}
automountServiceAccountToken: true
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "nicplug.priorityClassName" . }}
priorityClassName: {{ . }}
{{- end }}
{{- with include "nicplug.affinity" . | fromYaml }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "nicplug.spread" . | fromYamlArray }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "nicplug.priorityClassName" -}}
{{- $created := ternary .root.Values.priorityClass.name "" .root.Values.priorityClass.create }}
{{- .values.priorityClassName | default $created }}
{{- end }}

{{- define "nicplug.affinity" -}}
{{- $affinity := .values.affinity | default dict | deepCopy }}
{{- if and (ne .values.spread.hosts "None") (not (hasKey $affinity "podAntiAffinity")) }}
{{- $labels := include "nicplug.selector" . | fromYaml }}
{{- $selector := dict "matchLabels" $labels }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $selector }}
{{- $preferred := list (dict "weight" 100 "podAffinityTerm" $term) }}
{{- $affinity = set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" $preferred) }}
{{- end }}
{{- toYaml $affinity }}
{{- end }}

{{- define "nicplug.spread" -}}
{{- $labels := include "nicplug.selector" . | fromYaml }}
{{- $wanted := list }}
{{- if eq .values.spread.hosts "Required" }}
{{- $wanted = append $wanted (list "kubernetes.io/hostname" "DoNotSchedule") }}
{{- end }}
{{- if ne .values.spread.zones "None" }}
{{- $otherwise := ternary "DoNotSchedule" "ScheduleAnyway" (eq .values.spread.zones "Required") }}
{{- $wanted = append $wanted (list "topology.kubernetes.io/zone" $otherwise) }}
{{- end }}
{{- range $wanted }}
- maxSkew: 1
  topologyKey: {{ first . }}
  whenUnsatisfiable: {{ last . }}
  labelSelector:
    matchLabels:
      {{- toYaml $labels | nindent 6 }}
  {{- /* Without it, a rolling update counts the replicas that it replaces. */}}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* Environment variables by settings: camel case becomes upper case with underscores. Takes also prefix and fixed. */}}
{{- define "nicplug.environment" -}}
{{- range $name, $value := .fixed }}
- name: {{ $name }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- $prefix := .prefix }}
{{- range $name, $value := .values.settings }}
- name: {{ $prefix }}{{ snakecase $name | upper }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The port of metrics and probes, protected. Takes also prefix. */}}
{{- define "nicplug.metricsScheme" -}}
{{- if .root.Values.metrics.protected }}
scheme: HTTPS
{{- end }}
{{- end }}

{{- define "nicplug.metricsEnvironment" -}}
{{- if .root.Values.metrics.protected }}
- name: {{ .prefix }}METRICS_TLS_CERT_FILE
  value: /etc/nicplug/metrics-tls/tls.crt
- name: {{ .prefix }}METRICS_TLS_PRIVATE_KEY_FILE
  value: /etc/nicplug/metrics-tls/tls.key
- name: {{ .prefix }}METRICS_AUTHENTICATION
  value: token-review
{{- end }}
{{- end }}

{{- define "nicplug.metricsMount" -}}
{{- if .root.Values.metrics.protected }}
# The folder, not single files: those would not follow a renewal.
- name: metrics-certificate
  mountPath: /etc/nicplug/metrics-tls
  readOnly: true
{{- end }}
{{- end }}

{{- define "nicplug.metricsVolume" -}}
{{- if .root.Values.metrics.protected }}
- name: metrics-certificate
  secret:
    secretName: {{ .root.Values.metrics.certificateSecret }}
{{- end }}
{{- end }}

{{- define "nicplug.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Image, probes, resources of a container, and where it may write. */}}
{{- define "nicplug.container" -}}
name: {{ .component }}
image: {{ include "nicplug.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
# Why it does not start is then in the status of the pod.
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  {{- include "nicplug.securityContext" . | nindent 2 }}
startupProbe:
  httpGet:
    path: /healthz
    port: metrics
    {{- include "nicplug.metricsScheme" . | nindent 4 }}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /healthz
    port: metrics
    {{- include "nicplug.metricsScheme" . | nindent 4 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
    {{- include "nicplug.metricsScheme" . | nindent 4 }}
  periodSeconds: 5
  timeoutSeconds: 5
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- end }}

{{/* A PodDisruptionBudget. */}}
{{- define "nicplug.podDisruptionBudget" -}}
{{- if .values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: nicplug-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "nicplug.labels" .root | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  # A replica that does not become ready must not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "nicplug.selector" . | nindent 6 }}
{{- end }}
{{- end }}
