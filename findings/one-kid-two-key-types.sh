#!/usr/bin/env bash
# A key set with one `kid` for an RSA and an EC key, as RFC 7517 allows: half of the libraries can't use it.
#
# Expected: RFC 7517, section 4.5, says that keys of different `kty` may share a `kid` when they are meant as
#   alternatives. A library that finds the key by `kid` then takes the one that fits the token's `alg`.
# Happens: with [RSA, EC] under one kid, a token signed with the EC key
#   PyJWT 2.15.1 (`PyJWKSet["k1"]`, what PyJWKClient does too): takes the first, InvalidAlgorithmError;
#   python-jose 3.5.0: takes the first, JWKError; jwks-rsa 3.2.0: gives the first, RSA;
#   joserfc 1.8.0, jwcrypto 1.6.1, jose 5.10.0 for JavaScript: verify it.
#   In the order [EC, RSA] it is the RSA token that fails: the order in the file decides.
# Who meets it: a provider that moves from RS256 to ES256 and keeps the name of the key; fixtures; key sets merged from
#   two files. Services behind one Grafana then disagree about a token that is valid, and the error speaks of the
#   algorithm, not of the key set. Who builds a tenancy proxy has to choose among keys by kid AND type.
# Source: RFC 7517, section 4.5; jpadilla/pyjwt jwt/api_jwk.py, `PyJWKSet.__getitem__` (first with that kid).
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(npm)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q PyJWT==2.15.1 cryptography==50.0.2 python-jose==3.5.0 joserfc==1.8.0 jwcrypto==1.6.1
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund jose@5.10.0 jwks-rsa@3.2.0)

cat >"$work/python.py" <<'PY'
import json, sys, time
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwt as python_jose
from joserfc import jwt as joserfc
from joserfc.jwk import KeySet
from jwcrypto import jwk as jwcrypto_jwk, jwt as jwcrypto
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ALGORITHMS = ["RS256", "ES256"]
keys = {"RS256": rsa.generate_private_key(65537, 2048), "ES256": ec.generate_private_key(ec.SECP256R1())}
public = {
    "RS256": RSAAlgorithm.to_jwk(keys["RS256"].public_key(), as_dict=True),
    "ES256": ECAlgorithm.to_jwk(keys["ES256"].public_key(), as_dict=True),
}
for algorithm, key in public.items():
    key.pop("key_ops", None)
    key.update(kid="k1", use="sig", alg=algorithm)
claims = {"sub": "somebody", "exp": int(time.time()) + 300}
tokens = {a: jwt.encode(claims, keys[a], a, headers={"kid": "k1"}) for a in ALGORITHMS}
json.dump({"public": public, "tokens": tokens}, open(sys.argv[1], "w"))

for order in (["RS256", "ES256"], ["ES256", "RS256"]):
    jwks = {"keys": [public[a] for a in order]}
    for algorithm in ALGORITHMS:
        token = tokens[algorithm]
        for name, verify in {
            "PyJWT": lambda: jwt.decode(token, jwt.PyJWKSet.from_dict(jwks)["k1"], algorithms=ALGORITHMS),
            "python-jose": lambda: python_jose.decode(token, jwks, algorithms=ALGORITHMS),
            "joserfc": lambda: joserfc.decode(token, KeySet.import_key_set(jwks), algorithms=ALGORITHMS),
            "jwcrypto": lambda: jwcrypto.JWT(jwt=token, key=jwcrypto_jwk.JWKSet.from_json(json.dumps(jwks))),
        }.items():
            try:
                verify()
                verdict = "valid"
            except Exception as error:
                verdict = type(error).__name__
            print(f"{'+'.join(order)}, token {algorithm}: {name} {verdict}")
PY
cat >"$work/javascript.mjs" <<'JS'
import fs from 'node:fs';
import http from 'node:http';
import crypto from 'node:crypto';
import * as jose from 'jose';
import jwksRsa from 'jwks-rsa';
const { public: keys, tokens } = JSON.parse(fs.readFileSync(process.argv[2]));
for (const order of [['RS256', 'ES256'], ['ES256', 'RS256']]) {
  const jwks = { keys: order.map(algorithm => keys[algorithm]) };
  for (const algorithm of ['RS256', 'ES256']) {
    const verdict = await jose.jwtVerify(tokens[algorithm], jose.createLocalJWKSet(jwks)).then(() => 'valid', error => error.code);
    console.log(`${order.join('+')}, token ${algorithm}: jose ${verdict}`);
  }
  const server = http.createServer((_, answer) => answer.end(JSON.stringify(jwks)));
  await new Promise(ready => server.listen(0, '127.0.0.1', ready));
  const key = await jwksRsa({ jwksUri: `http://127.0.0.1:${server.address().port}/` }).getSigningKey('k1');
  console.log(`${order.join('+')}: jwks-rsa gives ${crypto.createPublicKey(key.getPublicKey()).asymmetricKeyType}`);
  server.close();
  server.closeAllConnections();
}
JS
seen=$("$work/v/bin/python" -W ignore "$work/python.py" "$work/made.json" && cd "$work" && node javascript.mjs made.json)
echo "$seen"
want='RS256+ES256, token RS256: PyJWT valid
RS256+ES256, token RS256: python-jose valid
RS256+ES256, token RS256: joserfc valid
RS256+ES256, token RS256: jwcrypto valid
RS256+ES256, token ES256: PyJWT InvalidAlgorithmError
RS256+ES256, token ES256: python-jose JWKError
RS256+ES256, token ES256: joserfc valid
RS256+ES256, token ES256: jwcrypto valid
ES256+RS256, token RS256: PyJWT InvalidAlgorithmError
ES256+RS256, token RS256: python-jose JWKError
ES256+RS256, token RS256: joserfc valid
ES256+RS256, token RS256: jwcrypto valid
ES256+RS256, token ES256: PyJWT valid
ES256+RS256, token ES256: python-jose valid
ES256+RS256, token ES256: joserfc valid
ES256+RS256, token ES256: jwcrypto valid
RS256+ES256, token RS256: jose valid
RS256+ES256, token ES256: jose valid
RS256+ES256: jwks-rsa gives rsa
ES256+RS256, token RS256: jose valid
ES256+RS256, token ES256: jose valid
ES256+RS256: jwks-rsa gives ec'
[ "$seen" = "$want" ] || { echo "CHANGED: the libraries no longer differ as described; expected:"; echo "$want"; exit 1; }
echo "as described"
