#!/usr/bin/env bash
# One raw `;` inside a selector: three endpoints of one server answer in three ways.
#
# Expected: `;` is an ordinary character of a query string (RFC 3986, section 3.4) and URL parsers of browsers leave it
#   as it is, so `match[]={job=~"a;b"}` selects a job; or else every endpoint says 400.
# Happens (Prometheus 2.42.0, any Go server since Go 1.17): the parameter that holds the raw `;` is dropped.
#   `series` says 400 and names the semicolon. `query` says 400 "no expression found in input", as if none had been
#   sent. `label/NAME/values` says 200 and lists the values of EVERY series, as if there had been no selector.
#   With `%3B` all three do what was asked.
# Who meets it: whoever builds URLs by hand, with `curl -g`, or with `new URL(...)` in JavaScript, which keeps `;`.
#   Regular expressions over `a;b` are common, since relabelling joins source labels with `;` by default.
#   The list of values looks like a working answer. Whoever builds the URL, proxies too, has to write `%3B`.
#   Partywall refuses a raw `;` in parameters.
# Source: Go 1.17 release notes, net/url ("rejects semicolons"); net/http `Request.FormValue` ignores the error of
#   `ParseMultipartForm`, `ParseForm` returns it. prometheus/prometheus web/api/v1/api.go: `series` calls `ParseForm`
#   and checks it, `labelValues` reads `r.Form` after a `FormValue`.
set -euo pipefail

missing=()
for tool in prometheus curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
version=$(prometheus --version 2>&1 | head -1)
echo "$version"
case $version in *" 2.42.0"*) ;; *) echo "CHANGED: this finding is about Prometheus 2.42.0 of Debian 12"; exit 1 ;; esac

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
pid=
printf '%s\n' '# TYPE lift_rides gauge' 'lift_rides{job="a;b"} 1 1700006400' 'lift_rides{job="c"} 1 1700006400' '# EOF' >"$work/in.om"
promtool tsdb create-blocks-from openmetrics "$work/in.om" "$work/data" >/dev/null
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=100y \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
api=http://127.0.0.1:$port
for _ in $(seq 100); do curl -fs -o "$work/ready" "$api/-/ready" && break; sleep 0.2; done

ask() { curl -sS -g -w ' %{http_code}\n' "$api/api/v1/$1" | sed 's/{"status":"[a-z]*",//'; }
at='time=1700006400'
span='start=1700006000&end=1700007000'
seen=$(for s in ';' %3B; do
  echo "written $s"
  ask "query?$at&query=lift_rides{job=\"a${s}b\"}"
  ask "series?$span&match[]={job=\"a${s}b\"}"
  ask "label/job/values?$span&match[]={job=\"a${s}b\"}"
done)
echo "$seen"
want='written ;
"errorType":"bad_data","error":"invalid parameter \"query\": 1:1: parse error: no expression found in input"} 400
"errorType":"bad_data","error":"error parsing form values: invalid semicolon separator in query"} 400
"data":["a;b","c"]} 200
written %3B
"data":{"resultType":"vector","result":[{"metric":{"__name__":"lift_rides","job":"a;b"},"value":[1700006400,"1"]}]}} 200
"data":[{"__name__":"lift_rides","job":"a;b"}]} 200
"data":["a;b"]} 200'
[ "$seen" = "$want" ] || { echo "CHANGED: a raw semicolon is no longer treated as described; expected:"; echo "$want"; exit 1; }
echo "as described"
