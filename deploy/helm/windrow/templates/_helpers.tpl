{{/*
What the names of this release's objects begin with: the release's name, or if that is too long, or cannot be the name of a
Service, some of it and a hash. Behind it come words without `-`, always as many for one kind of object, so that objects of two
releases never have one name.
*/}}
{{- define "windrow.name" -}}
{{- $name := default .Release.Name .Values.fullnameOverride -}}
{{- if and (le (len $name) 36) (regexMatch "^[a-z][a-z0-9-]*$" $name) -}}
{{- $name -}}
{{- else -}}
{{- printf "w-%s-%s" (regexReplaceAll "[^a-z0-9-]" $name "-" | trunc 25 | trimAll "-") (sha256sum $name | trunc 8) -}}
{{- end -}}
{{- end -}}

{{/* Where the coordinator listens. */}}
{{- define "windrow.address" -}}
{{ include "windrow.name" . }}-coordinator:7077
{{- end -}}

{{/* What pods are selected by: (list ROOT COMPONENT), and behind it the group of workers. */}}
{{- define "windrow.selector" -}}
app.kubernetes.io/name: windrow
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- if gt (len .) 2 }}
windrow/group: {{ index . 2 | quote }}
{{- end }}
{{- end -}}

{{/* The labels of an object; of the same list. Pods have only those that they are selected by: others change with the chart. */}}
{{- define "windrow.labels" -}}
{{ include "windrow.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The image, in a container. */}}
{{- define "windrow.image" -}}
image: {{ printf "%s:%s" .Values.image.repository .Values.image.tag | quote }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{/* The first lines of each pod: as whom it runs, and what its image is pulled with. (list ROOT SERVICE-ACCOUNT) */}}
{{- define "windrow.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  fsGroup: 10001
{{- with index . 1 }}
serviceAccountName: {{ . | quote }}
{{- end }}
{{- with (index . 0).Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where a pod may be: of a coordinator, a group of workers or a job. */}}
{{- define "windrow.place" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What no container may. */}}
{{- define "windrow.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* The volume with what proves who it is: (list ROOT PART), where the part is coordinator, worker or client. */}}
{{- define "windrow.security" -}}
{{- $root := index . 0 -}}
{{- $own := printf "%s-%s" (include "windrow.name" $root) (index . 1) -}}
- name: security
  secret:
    secretName: {{ default $own (index $root.Values.secrets (index . 1)) | quote }}
    defaultMode: 0440
{{- end -}}

{{/* Names that are there twice: (list KIND ITEMS). */}}
{{- define "windrow.once" -}}
{{- $kind := index . 0 -}}
{{- $seen := dict -}}
{{- range index . 1 -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "%s: two are called %s" $kind .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- end -}}
