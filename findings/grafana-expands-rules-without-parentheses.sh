#!/usr/bin/env bash
# "Expand rules" in Grafana gives a query with another result.
#
# Expected: Grafana's offer to replace the name of a recording rule by its expression keeps the meaning: the expression is
#   put in parentheses where it needs them, and a matcher, `offset` or factor applies to the whole.
# Happens (npm @grafana/prometheus 13.2.1, `expandRecordingRules`; Prometheus 2.42.0), with the rule
#   job:failed:sum = errors + timeouts: the text of the expression takes the place of the name.
#   `2 * job:failed:sum` becomes `2 * errors + timeouts`, `all - job:failed:sum` becomes `all - errors + timeouts`.
#   `job:failed:sum{job="lift"}` and `job:failed:sum offset 1h`: the matcher and the offset reach `timeouts` only.
#   A name that occurs twice: the second one is gone, and the query is invalid.
# Who meets it: who looks into an alert expands its rules to see what they are made of, and sees other numbers than the rule
#   recorded, without an error; it looks as if the recorded series were wrong. Rules whose outermost part is a
#   function or an aggregation are safe. Write parentheses around binary expressions in recording rules.
# Source: Prometheus documentation, "Operators", "Binary operator precedence"; grafana/grafana packages/grafana-prometheus,
#   language_utils.ts (`expandRecordingRules`) and query_hints.ts (where the offer is made). Modules that it loads from
#   Grafana's front end (data, translations, feature toggles, highlighting) need a browser and are replaced by stubs here.
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
(
  cd "$work"
  npm init -y >/dev/null
  npm install --silent --no-audit --no-fund @prometheus-io/lezer-promql@0.313.3 @lezer/lr@1.4.8 @lezer/common@1.5.2 \
    @lezer/highlight@1.2.3 lodash@npm:lodash-es@4.17.21 pluralize@8.0.0
  npm pack --silent @grafana/prometheus@13.2.1 >/dev/null
  tar xzf grafana-prometheus-13.2.1.tgz package/dist/esm
  echo '{"type": "module"}' >package/package.json
  stub() {
    mkdir -p "node_modules/$1"
    echo '{"type": "module", "main": "index.js"}' >"node_modules/$1/package.json"
    echo "$2" >"node_modules/$1/index.js"
  }
  stub @grafana/i18n 'export const t = (key, text) => text;'
  stub @grafana/runtime 'export const config = { featureToggles: {} };'
  stub @grafana/data 'export const AbstractLabelOperator = {}, incrRoundDn = undefined, dateMath = {};'
  stub prismjs 'export class Token {}'
)
{
  for metric in 'all 100 101' 'errors 10 11' 'timeouts 4 5' 'job:failed:sum 14 16'; do
    read -r name now earlier <<<"$metric"
    echo "# TYPE $name gauge"
    for job in lift door; do
      echo "$name{job=\"$job\"} $earlier 1700002800"
      echo "$name{job=\"$job\"} $now 1700006400"
    done
  done
  echo '# EOF'
} >"$work/in.om"
promtool tsdb create-blocks-from openmetrics "$work/in.om" "$work/data" >/dev/null
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=100y \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done

cat >"$work/expand.mjs" <<'JS'
import { expandRecordingRules } from './package/dist/esm/language_utils.mjs';
async function ask(query) {
  const body = new URLSearchParams({ query, time: '1700006400' });
  const answer = await (await fetch(`http://127.0.0.1:${process.argv[2]}/api/v1/query`, { method: 'POST', body })).json();
  return answer.data ? answer.data.result.map(series => `${series.metric.job} ${series.value[1]}`).sort().join(', ') || 'nothing' : 'error';
}
const rules = { 'job:failed:sum': { expandedQuery: 'errors + timeouts' } };
for (const query of ['job:failed:sum', '2 * job:failed:sum', 'all - job:failed:sum', 'job:failed:sum{job="lift"}',
  'job:failed:sum offset 1h', 'job:failed:sum > 20 or job:failed:sum < 15']) {
  const expanded = expandRecordingRules(query, rules);
  console.log(`${query} => ${await ask(query)}\n  ${expanded} => ${await ask(expanded)}`);
}
JS
seen=$(cd "$work" && node --no-warnings expand.mjs "$port")
echo "$seen"
want='job:failed:sum => door 14, lift 14
  errors + timeouts => door 14, lift 14
2 * job:failed:sum => door 28, lift 28
  2 * errors + timeouts => door 24, lift 24
all - job:failed:sum => door 86, lift 86
  all - errors + timeouts => door 94, lift 94
job:failed:sum{job="lift"} => lift 14
  errors + timeouts{job="lift"} => lift 14
job:failed:sum offset 1h => door 16, lift 16
  errors + timeouts offset 1h => door 15, lift 15
job:failed:sum > 20 or job:failed:sum < 15 => door 14, lift 14
  errors + timeouts > 20 or  < 15 => error'
[ "$seen" = "$want" ] || { echo "CHANGED: rules are expanded otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
