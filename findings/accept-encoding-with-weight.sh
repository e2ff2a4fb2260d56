#!/usr/bin/env bash
# `Accept-Encoding: gzip;q=1.0` switches compression off.
#
# Expected: `gzip;q=1.0` means the same as `gzip` (RFC 9110, section 12.5.3: the weight defaults to 1), and `*`
#   allows gzip too. Among several codings the one with the greater weight is taken.
# Happens (Prometheus 2.42.0): the API splits the header at commas and compares each part with the plain words `gzip`
#   and `deflate`. A part with a weight, an upper-case one and `*` are none of them, so the answer is not compressed.
#   Of two plain words the first one listed is taken.
# Who meets it: Ruby's Net::HTTP sends `gzip;q=1.0,deflate;q=0.6,identity;q=0.3` with every request unless told
#   otherwise, so Ruby tools read every answer uncompressed. So does a proxy that writes a well-formed header
#   with weights to prefer one coding: traffic between it and the store grows several times, and nothing logs it.
# Source: prometheus/prometheus util/httputil/compression.go, `newCompressedResponseWriter`; Ruby's
#   lib/net/http/generic_request.rb.
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
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
api=http://127.0.0.1:$port
for _ in $(seq 100); do curl -fs -o "$work/ready" "$api/-/ready" && break; sleep 0.2; done

# An answer of some 100 kB: 11,001 points of one value.
url="$api/api/v1/query_range?query=vector(1)&start=0&end=11000&step=1"
seen=$(while read -r header; do
  curl -fsS -o "$work/body" -D "$work/head" -H "Accept-Encoding: $header" "$url"
  coding=$(tr -d '\r' <"$work/head" | sed -n 's/^content-encoding: //Ip')
  size=$(($(wc -c <"$work/body") / 1000))
  echo "$header => ${coding:-none}, $([ "$size" -gt 100 ] && echo large || echo small)"
done <<'HEADERS'
gzip
gzip;q=1.0
gzip;q=1.0,deflate;q=0.6,identity;q=0.3
deflate;q=0.5, gzip
deflate, gzip
GZIP
*
HEADERS
)
echo "$seen"
want='gzip => gzip, small
gzip;q=1.0 => none, large
gzip;q=1.0,deflate;q=0.6,identity;q=0.3 => none, large
deflate;q=0.5, gzip => gzip, small
deflate, gzip => deflate, small
GZIP => none, large
* => none, large'
[ "$seen" = "$want" ] || { echo "CHANGED: Accept-Encoding is no longer read as described; expected:"; echo "$want"; exit 1; }
echo "as described"
