#!/usr/bin/env bash
# A rules file read by Prometheus, by PyYAML and by ruamel.yaml has three different sets of labels.
#
# Expected: labels that Prometheus accepts without quotes are those that a Python script reads from the same file; or
#   Prometheus refuses a label value that is a YAML number.
# Happens (Prometheus 2.42.0, PyYAML 6.0.4, ruamel.yaml 0.19.1): Prometheus decodes into strings and keeps the text as
#   written: `0123`, `12:30`, `1_000`, `1.10`, `on`. PyYAML (YAML 1.1) reads 83, 750, 1000, 1.1 and True. ruamel.yaml
#   (YAML 1.2) reads 123, the text 12:30, 1000, 1.1 and the text on. ruamel.yaml in round-trip mode, made to leave
#   files as they are, still writes `+1` as `1`. `null` is the empty label to Prometheus, hence no label.
# Who meets it: generators, linters and migrations of rules are Python scripts. One that loads and writes a rules file
#   turns tenant 0123 into tenant 83 or 123 and version 1.10 into 1.1, silently, and `promtool check rules` accepts
#   both files. Partywall keeps alerts by the label's text, so the tenant loses its alerts. Quote label values.
# Source: go-yaml v3, decode.go: a scalar of any resolved kind goes into a Go string as its text; prometheus/prometheus
#   model/rulefmt/rulefmt.go: `Labels map[string]string`; YAML 1.1 types "int" (base 8, base 60, underscores) and "bool".
set -euo pipefail

missing=()
for tool in prometheus curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
version=$(prometheus --version 2>&1 | head -1)
echo "$version"
case $version in *" 2.42.0"*) ;; *) echo "CHANGED: this finding is about Prometheus 2.42.0 of Debian 12"; exit 1 ;; esac

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
pid=
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q PyYAML==6.0.4 ruamel.yaml==0.19.1
cat >"$work/rules.yml" <<'YAML'
groups:
- name: lifts
  rules:
  - alert: LiftStuck
    expr: vector(1)
    labels:
      tenant_id: 0123
      since: 12:30
      budget: 1_000
      version: 1.10
      paging: on
      offset: +1
      floor: null
YAML
promtool check rules "$work/rules.yml" >/dev/null
printf 'rule_files: ["%s"]\n' "$work/rules.yml" >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done
curl -fsS "http://127.0.0.1:$port/api/v1/rules" >"$work/rules.json"

seen=$("$work/v/bin/python" - "$work" <<'PY'
import io, json, sys
import yaml
from ruamel.yaml import YAML

work = sys.argv[1]
text = open(f"{work}/rules.yml").read()

def labels(document):
    return document["groups"][0]["rules"][0]["labels"]

prometheus = labels(json.load(open(f"{work}/rules.json"))["data"])
pyyaml = labels(yaml.safe_load(text))
ruamel = labels(YAML(typ="safe", pure=True).load(text))
for name in pyyaml:
    print(f"{name}: Prometheus {prometheus[name]!r}, PyYAML {pyyaml[name]!r}, ruamel.yaml {ruamel[name]!r}")
editor, written = YAML(), io.StringIO()
editor.dump(editor.load(text), written)
changed = set(written.getvalue().split("\n")) - set(text.split("\n"))
print("round trip of ruamel.yaml changes:", sorted(line.strip() for line in changed))
PY
)
echo "$seen"
want="tenant_id: Prometheus '0123', PyYAML 83, ruamel.yaml 123
since: Prometheus '12:30', PyYAML 750, ruamel.yaml '12:30'
budget: Prometheus '1_000', PyYAML 1000, ruamel.yaml 1000
version: Prometheus '1.10', PyYAML 1.1, ruamel.yaml 1.1
paging: Prometheus 'on', PyYAML True, ruamel.yaml 'on'
offset: Prometheus '+1', PyYAML 1, ruamel.yaml 1
floor: Prometheus '', PyYAML None, ruamel.yaml None
round trip of ruamel.yaml changes: ['floor:', 'offset: 1']"
[ "$seen" = "$want" ] || { echo "CHANGED: the three no longer differ as described; expected:"; echo "$want"; exit 1; }
echo "as described"
