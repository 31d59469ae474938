{{- define "image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- /* folders are arguments only where they are others than the installer's own. */ -}}
{{- define "folders" -}}
{{- if ne .Values.binDir "/opt/cni/bin" }}
- --bin-dir
- {{ .Values.binDir }}
{{- end }}
{{- if ne .Values.confDir "/etc/cni/net.d" }}
- --conf-dir
- {{ .Values.confDir }}
{{- end }}
{{- end -}}

{{- define "container" -}}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsUser: 0
  runAsGroup: 0
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
    {{- if .Values.dacOverride }}
    add: ["DAC_OVERRIDE"]
    {{- end }}
{{- end -}}

{{- define "mounts" -}}
- {name: bin, mountPath: {{ .Values.binDir }}}
- {name: conf, mountPath: {{ .Values.confDir }}}
- {name: store, mountPath: /var/lib/azure-vnet-cni}
- {name: units, mountPath: /etc/systemd/system}
{{- end -}}
