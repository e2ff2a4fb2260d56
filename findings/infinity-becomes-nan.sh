#!/usr/bin/env bash
# prometheus-query reads +Inf and -Inf as NaN.
#
# Expected: a client library made for Prometheus turns the sample values "+Inf" and "-Inf" into infinities, and "NaN"
#   into NaN.
# Happens (npm prometheus-query 3.5.1, Prometheus 2.42.0): all three become NaN. Values are strings in the JSON of
#   Prometheus, since JSON has no infinities; the library hands them to `parseFloat`, and in JavaScript only
#   "Infinity" is infinite.
# Who meets it: `histogram_quantile` answers +Inf when a histogram has no finite bucket, and a division by zero does.
#   "More than the greatest bucket" and "no data" look the same to code that alerts or charts with it; a comparison
#   such as `value > limit` is false for the worst value there is. Whoever puts a JavaScript tool before tenants' data
#   has to map the strings first.
# Source: Prometheus documentation, "Querying API", "Expression query result formats" (strings, for NaN, Inf, -Inf);
#   ECMAScript, `parseFloat` and StrDecimalLiteral; samber/prometheus-query-js, `parseFloat`
#   in `SampleValue.fromJSON`.
set -euo pipefail

missing=()
for tool in prometheus npm curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
version=$(prometheus --version 2>&1 | head -1)
echo "$version"
case $version in *" 2.42.0"*) ;; *) echo "CHANGED: this finding is about Prometheus 2.42.0 of Debian 12"; exit 1 ;; esac

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
pid=
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund prometheus-query@3.5.1)
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done

cat >"$work/ask.mjs" <<'JS'
import { PrometheusDriver } from 'prometheus-query';
const endpoint = process.argv[2];
const client = new PrometheusDriver({ endpoint, baseURL: '/api/v1' });
for (const query of ['vector(1/0)', 'vector(-1/0)', 'vector(0/0)', 'vector(2.5)']) {
  const answer = await fetch(`${endpoint}/api/v1/query?query=${encodeURIComponent(query)}`);
  const sent = (await answer.json()).data.result[0].value[1];
  const read = (await client.instantQuery(query)).result[0].value.value;
  console.log(`${query}: sent "${sent}", read ${read}`);
}
JS
seen=$(node --no-warnings "$work/ask.mjs" "http://127.0.0.1:$port")
echo "$seen"
want='vector(1/0): sent "+Inf", read NaN
vector(-1/0): sent "-Inf", read NaN
vector(0/0): sent "NaN", read NaN
vector(2.5): sent "2.5", read 2.5'
[ "$seen" = "$want" ] || { echo "CHANGED: infinities are no longer read as described; expected:"; echo "$want"; exit 1; }
echo "as described"
