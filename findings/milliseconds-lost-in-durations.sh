#!/usr/bin/env bash
# promql-parser prints another duration than it was given: milliseconds are cut off.
#
# Expected: a query that is parsed and printed means the same; or the parser refuses it.
# Happens (PyPI promql-parser 0.12.0, a binding of the Rust crate of that name): the tree is right, and `prettify()` prints
#   it right. `str()`, which adds the braces that a rewriting tool looks for, cuts milliseconds off without an error:
#   `rate(x[1500ms])` becomes `rate(x{}[1s])`, and `x[500ms]` becomes `x{}[0s]`, which Prometheus refuses.
# Who meets it: whoever rewrites PromQL by parsing it, adding a matcher and printing the tree, the obvious way to
#   confine a tenant's query. The answer is then that of another query. Ranges and offsets with milliseconds come from
#   programs that compute them. Partywall inserts matchers into the text and prints no tree.
# Source: Prometheus documentation, "Querying basics" (unit `ms`). GreptimeTeam/promql-parser has a function for
#   printing durations that keeps milliseconds (src/util/duration.rs, crate 0.11.1); `str()` of the binding shows otherwise.
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
"$work/v/bin/pip" install -q promql-parser==0.12.0
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done

seen=$("$work/v/bin/python" - "$port" <<'PY'
import json, sys
from urllib.parse import quote
from urllib.request import urlopen
import promql_parser

def library(query):
    try:
        tree = promql_parser.parse(query)
        return f"{tree} | prettify(): {tree.prettify()}"
    except ValueError as error:
        return f"error: {error}"

for query in ("rate(x[1500ms])", "x offset 1s999ms", "x offset -1500ms", "x[500ms]", "x[1m1s]"):
    with urlopen(f"http://127.0.0.1:{sys.argv[1]}/api/v1/format_query?query={quote(query)}") as answer:
        server = json.load(answer)["data"]
    print(f"{query} | Prometheus: {server} | str(): {library(query)}")
PY
)
echo "$seen"
want='rate(x[1500ms]) | Prometheus: rate(x[1s500ms]) | str(): rate(x{}[1s]) | prettify(): rate(x[1s500ms])
x offset 1s999ms | Prometheus: x offset 1s999ms | str(): x{} offset 1s | prettify(): x offset 1s999ms
x offset -1500ms | Prometheus: x offset -1s500ms | str(): x{} offset -1s | prettify(): x offset -1s500ms
x[500ms] | Prometheus: x[500ms] | str(): x{}[0s] | prettify(): x[500ms]
x[1m1s] | Prometheus: x[1m1s] | str(): x{}[1m1s] | prettify(): x[1m1s]'
[ "$seen" = "$want" ] || { echo "CHANGED: durations are no longer printed as described; expected:"; echo "$want"; exit 1; }
echo "as described"
