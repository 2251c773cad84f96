{{/*
What does not depend on values is not written here a second time: the chart takes it from the files of kustomize
(files/base and files/crds), so that both install the same.
*/}}

{{/*
The objects of some files, as a YAML list: in the release namespace, with the chart's labels.
Takes a list: the root context, then paths below files/.
*/}}
{{- define "nicplug.objects" -}}
{{- $root := first . }}
{{- $found := list }}
{{- range $path := rest . }}
{{- $text := $root.Files.Get (printf "files/%s" $path) }}
{{- if not $text }}
{{- fail (printf "files/%s of the chart is missing: package the chart from a checkout with its symbolic links" $path) }}
{{- end }}
{{- range $document := splitList "\n---\n" ($text | replace "nicplug-system" $root.Release.Namespace) }}
{{- $object := fromYaml $document }}
{{- if not $object.kind }}
{{- fail (printf "files/%s of the chart has a document that is no object: %s" $path ($object.Error | default "no kind")) }}
{{- end }}
{{- $labels := include "nicplug.labels" $root | fromYaml | merge ($object.metadata.labels | default dict) }}
{{- $found = append $found (set $object "metadata" (set $object.metadata "labels" $labels)) }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{/* The same as manifests. */}}
{{- define "nicplug.manifests" -}}
{{- range include "nicplug.objects" . | fromYamlArray }}
---
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Every file of a folder but its kustomization. Takes a list: the root context, the folder below files/. */}}
{{- define "nicplug.folder" -}}
{{- $root := index . 0 }}
{{- $paths := list }}
{{- range $path, $_ := $root.Files.Glob (printf "files/%s/*.yaml" (index . 1)) }}
{{- if ne (base $path) "kustomization.yaml" }}
{{- $paths = append $paths (trimPrefix "files/" $path) }}
{{- end }}
{{- end }}
{{- include "nicplug.manifests" (concat (list $root) $paths) }}
{{- end }}

{{/* Whether the aggregated API is installed: beside KubeVirt its group is virt-api's. */}}
{{- define "nicplug.hasApi" -}}
{{- if and .Values.api.enabled (ne .Values.mode "companion") }}true{{ end }}
{{- end }}

{{/* Labels of every object; without the component. */}}
{{- define "nicplug.labels" -}}
app.kubernetes.io/name: nicplug
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}
