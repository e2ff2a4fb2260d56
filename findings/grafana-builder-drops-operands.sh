#!/usr/bin/env bash
# Grafana's query builder drops parts of a query and reports no error.
#
# Expected: switching a query from code to builder keeps it, or Grafana warns that it can't show all of it; it does warn,
#   where the parser reports errors.
# Happens (npm @grafana/prometheus 13.2.1: `buildVisualQueryFromString`, which makes what the builder shows, and
#   `PromQueryModeller`, which writes it as a query again; Prometheus 2.42.0), without an error in the result:
#   A number on the left is lost: `1 - errors / all` becomes `errors / all`. So are a leading minus, `offset` and `@`.
#   The first of three operands is lost where the second operator binds tighter: `errors + timeouts * 2` becomes
#   `timeouts * 2`.
#   A function around a calculation keeps the first operand only: `abs(errors - all)` becomes `abs(errors) - all`.
# Who meets it: an availability, `1 - errors / all`, is the standard form of a service level. Opened in the builder,
#   changed in any detail and saved, the panel or alert shows the share of errors. Each of the queries is valid, so
#   neither Prometheus nor a proxy notices. Look at the preview of the query before saving.
# Source: Prometheus documentation, "Operators"; grafana/grafana packages/grafana-prometheus, querybuilder/parsing.ts
#   (`handleBinary`, `handleFunction`) and querybuilder/components/PromQueryEditorSelector.tsx (the warning). Modules that
#   they load from Grafana's front end (data's `Registry`, translations, feature toggles) need a browser and are replaced
#   by stubs here.
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
  stub @grafana/data 'export class Registry {
    constructor(make) { this.items = make(); }
    list() { return this.items; }
    getIfExists(id) { return this.items.find(item => item.id === id); }
    get(id) { return this.getIfExists(id); }
  }'
)
{
  for metric in 'all 100 101' 'errors 10 11' 'timeouts 4 5'; do
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

cat >"$work/builder.mjs" <<'JS'
import { buildVisualQueryFromString } from './package/dist/esm/querybuilder/parsing.mjs';
import { PromQueryModeller } from './package/dist/esm/querybuilder/PromQueryModeller.mjs';
async function ask(query) {
  const body = new URLSearchParams({ query, time: '1700006400' });
  const answer = await (await fetch(`http://127.0.0.1:${process.argv[2]}/api/v1/query`, { method: 'POST', body })).json();
  return answer.data.result.map(series => `${series.metric.job ?? 'all'} ${series.value[1]}`).sort().join(', ');
}
const modeller = new PromQueryModeller();
for (const query of ['errors / all * 100', '1 - errors / all', '100 - errors * 2', '-errors', 'errors offset 1h', 'errors @ 1700002800',
  'errors + timeouts * 2', 'abs(errors - all)', 'sum(errors or timeouts)', '(errors + timeouts) * all']) {
  const { query: shown, errors } = buildVisualQueryFromString(query);
  const written = modeller.renderQuery(shown);
  console.log(`${query} => ${await ask(query)}\n  ${written} => ${await ask(written)}${errors.length ? ', with an error' : ''}`);
}
JS
seen=$(cd "$work" && node --no-warnings builder.mjs "$port")
echo "$seen"
want='errors / all * 100 => door 10, lift 10
  (errors * 100) / all => door 10, lift 10
1 - errors / all => door 0.9, lift 0.9
  errors / all => door 0.1, lift 0.1
100 - errors * 2 => door 80, lift 80
  errors * 2 => door 20, lift 20
-errors => door -10, lift -10
  errors => door 10, lift 10
errors offset 1h => door 11, lift 11
  errors => door 10, lift 10
errors @ 1700002800 => door 11, lift 11
  errors => door 10, lift 10
errors + timeouts * 2 => door 18, lift 18
  timeouts * 2 => door 8, lift 8
abs(errors - all) => door 90, lift 90
  abs(errors) - all => door -90, lift -90
sum(errors or timeouts) => all 20
  sum(errors) or timeouts => all 20, door 4, lift 4
(errors + timeouts) * all => door 1400, lift 1400
  errors + timeouts * all => door 410, lift 410, with an error'
[ "$seen" = "$want" ] || { echo "CHANGED: the builder writes other queries; expected:"; echo "$want"; exit 1; }
echo "as described"
