{{- define "service.selector" -}}
app.kubernetes.io/name: {{ .Values.name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "service.labels" -}}
{{ include "service.selector" . }}
app.kubernetes.io/version: {{ .Values.version | quote }}
app.kubernetes.io/part-of: checkout
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "service.image" -}}
{{- $own := printf "choreographed-checkout/%s:%s" .Values.name (.Values.global.image.tag | default .Values.version) -}}
{{- with .Values.global.image.registry }}{{ . }}/{{ end }}{{ $own }}
{{- end }}

{{/* Where the files of secrets are: one volume, whose files are renewed with the secrets. */}}
{{- define "service.mounted" -}}/run/secrets/checkout{{- end }}

{{- define "service.variable" -}}
- {name: {{ index . 0 }}, value: {{ index . 1 | toString | quote }}}
{{ end }}

{{/* Of a service and of its migration alike: where its stores are. */}}
{{- define "service.stores" -}}
{{- $p := .Values.prefix -}}
{{ include "service.variable" (list (print $p "_KAFKA_BOOTSTRAP") .Values.global.kafka.bootstrap) -}}
{{ include "service.variable" (list (print $p "_AUTH_ISSUER") (required "global.auth.issuer: the URL of who issues tokens" .Values.global.auth.issuer)) -}}
{{- with .Values.database -}}
{{ include "service.variable" (list (print $p "_DATABASE_URL") (printf "postgresql://%s@%s:%v/%s" .role .host .port .name)) -}}
{{- if .caSecret.name -}}
{{ include "service.variable" (list (print $p "_DATABASE_CA_FILE") (printf "%s/database-ca.crt" (include "service.mounted" $))) -}}
{{- end -}}
{{- end -}}
{{- with .Values.redis -}}
{{- $place := empty .sentinels | ternary (printf "%s:%v" .host .port) .host -}}
{{ include "service.variable" (list (print $p "_REDIS_URL") (printf "rediss://%s@%s/%v" .user $place .number)) -}}
{{- end -}}
{{- end }}

{{- define "service.environment" -}}
{{- $p := .Values.prefix -}}
{{- $mounted := include "service.mounted" . -}}
{{ include "service.stores" . -}}
{{- with .Values.global.kafka -}}
{{ include "service.variable" (list (print $p "_KAFKA_SECURITY") .security) -}}
{{ include "service.variable" (list (print $p "_KAFKA_MECHANISM") .mechanism) -}}
{{ include "service.variable" (list (print $p "_KAFKA_USER") (dig "user" $.Values.name $.Values.kafka)) -}}
{{ include "service.variable" (list (print $p "_KAFKA_PASSWORD_FILE") (print $mounted "/kafka-password")) -}}
{{- if .caSecret.name -}}
{{ include "service.variable" (list (print $p "_KAFKA_CA_FILE") (print $mounted "/kafka-ca.crt")) -}}
{{- end -}}
{{- end -}}
{{- if .Values.database -}}
{{ include "service.variable" (list (print $p "_DATABASE_PASSWORD_FILE") (print $mounted "/database-password")) -}}
{{- end -}}
{{- with .Values.redis -}}
{{ include "service.variable" (list (print $p "_REDIS_PASSWORD_FILE") (print $mounted "/redis-password")) -}}
{{- if .caSecret.name -}}
{{ include "service.variable" (list (print $p "_REDIS_CA_FILE") (print $mounted "/redis-ca.crt")) -}}
{{- end -}}
{{- with .sentinels -}}
{{ include "service.variable" (list (print $p "_REDIS_SENTINELS") (join "," .)) -}}
{{- end -}}
{{- with .sentinelUser -}}
{{ include "service.variable" (list (print $p "_REDIS_SENTINEL_USER") .) -}}
{{- end -}}
{{- if dig "sentinelPasswordSecret" "name" "" . -}}
{{ include "service.variable" (list (print $p "_REDIS_SENTINEL_PASSWORD_FILE") (print $mounted "/redis-sentinel-password")) -}}
{{- end -}}
{{- end -}}
{{ include "service.variable" (list (print $p "_HTTP_HOST") "0.0.0.0") -}}
{{ include "service.variable" (list (print $p "_HTTP_PORT") .Values.port) -}}
{{ include "service.variable" (list (print $p "_HTTP_DRAIN_S") .Values.drainSeconds) -}}
{{ include "service.variable" (list (print $p "_AUTH_AUDIENCE") .Values.global.auth.audience) -}}
{{- with .Values.global.auth.jwksUrl -}}
{{ include "service.variable" (list (print $p "_AUTH_JWKS_URL") .) -}}
{{- end -}}
{{ include "service.variable" (list (print $p "_PROFILE") .Values.global.profile) -}}
{{ include "service.variable" (list (print $p "_LOG_LEVEL") .Values.global.logLevel) -}}
{{- with .Values.global.otlpEndpoint -}}
{{ include "service.variable" (list "OTEL_EXPORTER_OTLP_ENDPOINT" .) -}}
{{- end -}}
{{- range $name, $_ := .Values.secretFiles -}}
{{ include "service.variable" (list (print $name "_FILE") (printf "%s/%s" $mounted $name)) -}}
{{- end -}}
{{- range $name, $value := .Values.env -}}
{{ include "service.variable" (list $name $value) -}}
{{- end -}}
{{- end }}

{{/* A file of the volume: its secret, and its name there. */}}
{{- define "service.file" -}}
{{- $secret := index . 0 -}}
- secret: {name: {{ $secret.name }}, items: [{key: {{ $secret.key | quote }}, path: {{ index . 1 }}}]}
{{ end }}

{{- define "service.cas" -}}
{{- with .Values.database -}}
{{- if .caSecret.name }}{{ include "service.file" (list .caSecret "database-ca.crt") }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "service.files" -}}
{{- $kafka := .Values.kafka.passwordSecret -}}
{{ include "service.file" (list (dict "name" ($kafka.name | default .Values.name) "key" $kafka.key) "kafka-password") -}}
{{- if .Values.global.kafka.caSecret.name -}}
{{ include "service.file" (list .Values.global.kafka.caSecret "kafka-ca.crt") -}}
{{- end -}}
{{ include "service.cas" . -}}
{{- with .Values.database -}}
{{ include "service.file" (list .passwordSecret "database-password") -}}
{{- end -}}
{{- with .Values.redis -}}
{{ include "service.file" (list .passwordSecret "redis-password") -}}
{{- if .caSecret.name }}{{ include "service.file" (list .caSecret "redis-ca.crt") }}{{ end -}}
{{- if dig "sentinelPasswordSecret" "name" "" . -}}
{{ include "service.file" (list .sentinelPasswordSecret "redis-sentinel-password") -}}
{{- end -}}
{{- end -}}
{{- range $name, $secret := .Values.secretFiles -}}
{{ include "service.file" (list $secret $name) -}}
{{- end -}}
{{- end }}

{{- define "service.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "service.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Seconds from the request to stop until a kill: preStop, the drain, the rest of a stop, and some to spare. */}}
{{- define "service.graceSeconds" -}}
{{ add .Values.preStopSeconds .Values.drainSeconds .Values.stopSeconds 6 }}
{{- end }}
