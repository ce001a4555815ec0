#!/bin/sh
# Builds Kubernetes' API server from its Go modules: `sh scripts/kube_apiserver.sh FILE [VERSION]`.
# Some ten minutes on two cores; Go 1.24 or later is needed.
set -eu
fail() { echo "kube_apiserver: $1" >&2; exit 2; }

[ $# -ge 1 ] || fail "where to: sh scripts/kube_apiserver.sh FILE [VERSION]"
command -v go >/dev/null || fail "Go is needed"
mkdir -p "$(dirname "$1")"
file="$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
version="${2:-1.34.4}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export CGO_ENABLED=0 GOWORK=off GOFLAGS="${GOFLAGS:-} -mod=mod -buildvcs=false"

# Its parts are modules of their own, which it replaces by folders of its repository: here by their releases.
go mod init build 2>/dev/null
module="$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')"
[ -n "$module" ] || fail "there is no k8s.io/kubernetes v$version"
go mod edit -require "k8s.io/kubernetes@v$version"
for part in $(sed -n 's#^[[:space:]]*\(k8s.io/[a-z-]*\) => \./staging/.*#\1#p' "$module"); do
    go mod edit -replace "$part=$part@v0.${version#1.}"
done
# Its go.mod names the Go that it is written for.
go mod edit -go "$(sed -n 's/^go //p' "$module")"
printf '//go:build tools\n\npackage build\n\nimport _ "k8s.io/kubernetes/cmd/kube-apiserver"\n' >tools.go
go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version" -o "$file" k8s.io/kubernetes/cmd/kube-apiserver
echo "$file"
