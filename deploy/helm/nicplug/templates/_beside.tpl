{{/* What is in the cluster already. The two that refuse fail with what was found and what to do. */}}

{{/* The KubeVirt object that counts, as YAML; empty where there is none, or Helm does not ask the cluster. */}}
{{- define "nicplug.existingKubevirt" -}}
{{- /* Of a kind that the cluster does not serve, lookup fails. */}}
{{- if .Capabilities.APIVersions.Has "kubevirt.io/v1/KubeVirt" }}
{{- with lookup "kubevirt.io/v1" "KubeVirt" .Values.kubevirt.namespace .Values.kubevirt.name }}
{{- toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/* KubeVirt's own controllers, CRDs and API. */}}
{{- define "nicplug.refuseKubevirt" -}}
{{- $namespaces := list .Values.kubevirt.namespace "kubevirt" "kubevirt-hyperconverged" "openshift-cnv" }}
{{- if .Capabilities.APIVersions.Has "kubevirt.io/v1/KubeVirt" }}
{{- range dig "items" (list) (lookup "kubevirt.io/v1" "KubeVirt" "" "") }}
{{- $namespaces = append $namespaces .metadata.namespace }}
{{- end }}
{{- end }}
{{- range $namespace := uniq $namespaces }}
{{- range $name := list "virt-operator" "virt-controller" }}
{{- $found := lookup "apps/v1" "Deployment" $namespace $name }}
{{- if and $found (gt (int (dig "spec" "replicas" 1 $found)) 0) }}
{{- fail (printf "KubeVirt runs in this cluster: Deployment %s/%s. nicplug takes the place of virt-controller, and both would act on the same virtual machines. To have nicplug help beside it, set mode to companion: docs/beside-kubevirt.md." $namespace $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $plural := list "kubevirts" "virtualmachines" "virtualmachineinstances" "virtualmachineinstancemigrations" }}
{{- $name := printf "%s.kubevirt.io" $plural }}
{{- $labels := dig "metadata" "labels" (dict) (lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name) }}
{{- $ours := eq (get $labels "app.kubernetes.io/name") "nicplug" }}
{{- $kubevirts := or (hasKey $labels "kubevirt.io") (hasKey $labels "operator.kubevirt.io") (eq (get $labels "app.kubernetes.io/managed-by") "virt-operator") }}
{{- if and $kubevirts (not $ours) (not (and $.Values.crds.install $.Values.crds.replaceKubevirt)) }}
{{- fail (printf "CRD %s is KubeVirt's own, and nicplug does not work with it. If KubeVirt has been removed for good, replace its CRDs by --set crds.replaceKubevirt=true --take-ownership: docs/install.md, \"Beside KubeVirt\"." $name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What mode companion needs: KubeVirt's own CRDs. Helm finds nothing at all where it does not ask the cluster. */}}
{{- define "nicplug.requireKubevirt" -}}
{{- if lookup "v1" "Namespace" "" "kube-system" }}
{{- $name := "virtualmachineinstances.kubevirt.io" }}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name }}
{{- if not $found }}
{{- fail (printf "mode companion needs KubeVirt, and CRD %s is not installed. Install KubeVirt first, or set mode to standalone: docs/beside-kubevirt.md." $name) }}
{{- end }}
{{- if eq (dig "metadata" "labels" "app.kubernetes.io/name" "" $found) "nicplug" }}
{{- fail (printf "CRD %s is nicplug's own: nicplug runs the virtual machines of this cluster, and mode companion is for KubeVirt's. Set mode to standalone: docs/beside-kubevirt.md." $name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Another nicplug, installed by whatever means; or another server of the same API. */}}
{{- define "nicplug.refuseSecondInstall" -}}
{{- range dig "subjects" (list) (lookup "rbac.authorization.k8s.io/v1" "ClusterRoleBinding" "" "nicplug-operator") }}
{{- if ne .namespace $.Release.Namespace }}
{{- fail (printf "nicplug is installed in namespace %s already; a cluster has one. Upgrade it there, or remove it first: virtual machines stay." .namespace) }}
{{- end }}
{{- end }}
{{- /* With --take-ownership Helm would give both releases the same objects, and uninstalling either would delete them. */}}
{{- $release := dig "metadata" "annotations" "meta.helm.sh/release-name" "" (lookup "apps/v1" "Deployment" .Release.Namespace "nicplug-operator") }}
{{- if and $release (ne $release .Release.Name) }}
{{- fail (printf "nicplug is installed in namespace %s already, as Helm release %s; a cluster has one. Upgrade that release, or uninstall it first: virtual machines stay." .Release.Namespace $release) }}
{{- end }}
{{- if include "nicplug.hasApi" . }}
{{- range $version := list "v1" "v1alpha3" }}
{{- $name := printf "%s.subresources.kubevirt.io" $version }}
{{- $service := dig "spec" "service" (dict) (lookup "apiregistration.k8s.io/v1" "APIService" "" $name) }}
{{- if and $service (not (and (eq $service.name "nicplug-api") (eq $service.namespace $.Release.Namespace))) }}
{{- fail (printf "APIService %s is served by %s/%s already. Remove it if nothing runs there, or set api.enabled to false." $name $service.namespace $service.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
