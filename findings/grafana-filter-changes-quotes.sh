#!/usr/bin/env bash
# A filter of a Grafana dashboard turns a valid query into an invalid one, or into one that means something else.
#
# Expected: an ad hoc filter, or "Filter for value" in Explore, adds one matcher to each selector; the others stay what they
#   were.
# Happens (npm @grafana/prometheus 13.2.1, `addLabelToQuery`; Prometheus 2.42.0): every string of a selector is written again
#   between double quotes, with what stood between its own quotes.
#   `path=~`/v1\.0`` becomes "/v1\.0", which Prometheus refuses (unknown escape sequence). So it is with a double quote in a
#     string in backticks or single quotes.
#   `path=~`/api\b.*`` becomes "/api\b.*": valid, and \b is the backspace character now, no word boundary. Nothing is found.
#   A matcher on the same label and value with another operator is replaced: of `env!="test"` a filter for env=test makes
#     `env="test"`, where both conditions together exclude everything.
# Who meets it: regular expressions stand in backticks because backslashes need no doubling there. A panel works until
#   someone filters; then it shows an error, or nothing. Write such matchers in double quotes with doubled backslashes.
#   What reaches Partywall is already changed.
# Source: Prometheus documentation, "Querying basics", "String literals"; grafana/grafana packages/grafana-prometheus,
#   add_label_to_query.ts (`addFilter`, `labelExists`) and querybuilder/parsing.ts. Two modules of Grafana's front end that it
#   loads (translations, feature toggles) need a browser and are replaced by stubs here.
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
  for module in i18n runtime; do
    mkdir -p "node_modules/@grafana/$module"
    echo '{"type": "module", "main": "index.js"}' >"node_modules/@grafana/$module/package.json"
  done
  echo 'export const t = (key, text) => text;' >node_modules/@grafana/i18n/index.js
  echo 'export const config = { featureToggles: {} };' >node_modules/@grafana/runtime/index.js
)
{
  echo '# TYPE lift_rides gauge'
  echo 'lift_rides{path="/v1.0",env="test",name="a"} 1 1700006400'
  echo 'lift_rides{path="/api/rides",env="live",name="say \"hi\""} 1 1700006400'
  echo '# EOF'
} >"$work/in.om"
promtool tsdb create-blocks-from openmetrics "$work/in.om" "$work/data" >/dev/null
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=100y \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done

cat >"$work/filter.mjs" <<'JS'
import { addLabelToQuery } from './package/dist/esm/add_label_to_query.mjs';
async function ask(query) {
  const body = new URLSearchParams({ query, time: '1700006400' });
  const answer = await (await fetch(`http://127.0.0.1:${process.argv[2]}/api/v1/query`, { method: 'POST', body })).json();
  return answer.data ? `${answer.data.result.length} series` : answer.error.split('parse error: ').pop();
}
for (const [query, label, value] of [
  ['lift_rides{path=~"/v1\\\\.0"}', 'env', 'test'],
  ['lift_rides{path=~`/v1\\.0`}', 'env', 'test'],
  ['lift_rides{path=~`/api\\b.*`}', 'env', 'live'],
  ["lift_rides{name='say \"hi\"'}", 'env', 'live'],
  ['lift_rides{env!="test"}', 'env', 'test'],
]) {
  const filtered = addLabelToQuery(query, label, value);
  console.log(`${query}: ${await ask(query)}\n  ${filtered}: ${await ask(filtered)}`);
}
JS
seen=$(cd "$work" && node --no-warnings filter.mjs "$port")
echo "$seen"
want=$(cat <<'TEXT'
lift_rides{path=~"/v1\\.0"}: 1 series
  lift_rides{path=~"/v1\\.0", env="test"}: 1 series
lift_rides{path=~`/v1\.0`}: 1 series
  lift_rides{path=~"/v1\.0", env="test"}: unknown escape sequence U+002E '.'
lift_rides{path=~`/api\b.*`}: 1 series
  lift_rides{path=~"/api\b.*", env="live"}: 0 series
lift_rides{name='say "hi"'}: 1 series
  lift_rides{name="say "hi"", env="live"}: unexpected identifier "hi" in label matching, expected "," or "}"
lift_rides{env!="test"}: 1 series
  lift_rides{env="test"}: 1 series
TEXT
)
[ "$seen" = "$want" ] || { echo "CHANGED: filters are added otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
