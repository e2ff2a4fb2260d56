#!/usr/bin/env bash
# A token whose `iat` is half a minute ahead is valid for four JWT libraries and refused by two.
#
# Expected: `iat` only tells a token's age (RFC 7519, section 4.1.6, has no rule for refusing one); `nbf` is the claim for
#   "not yet". A token without `nbf` whose `iat` is ahead, from a provider with a fast clock, is valid everywhere.
# Happens: PyJWT 2.15.1 raises ImmatureSignatureError and joserfc 1.8.0 InvalidClaimError, both with no leeway by
#   default. python-jose 3.5.0, jwcrypto 1.6.1, jose 5.10.0 and jsonwebtoken 9.0.3 for JavaScript accept it.
#   PyJWT's error class is the one of `nbf`, so logs say "not yet valid" of a token that has no such claim.
# Who meets it: a Python service and a proxy that check the same token in a fresh login's first seconds. One says 401, the
#   other 200, only while the clocks differ, and only for tokens that were just made. Give PyJWT a `leeway`; Partywall
#   refuses such tokens too, beyond its `leeway` of 30 s.
# Source: RFC 7519, sections 4.1.5 and 4.1.6; jpadilla/pyjwt jwt/api_jwt.py, `_validate_iat`; authlib/joserfc
#   `JWTClaimsRegistry.validate_iat`.
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(npm)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q PyJWT==2.15.1 cryptography==50.0.2 python-jose==3.5.0 joserfc==1.8.0 jwcrypto==1.6.1
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund jose@5.10.0 jsonwebtoken@9.0.3)

cat >"$work/python.py" <<'PY'
import base64, json, sys, time
import jwt
from jose import jwt as python_jose
from joserfc import jwt as joserfc
from joserfc.jwk import OctKey
from jwcrypto import jwk as jwcrypto_jwk, jwt as jwcrypto

SECRET = "only for this test, thirty-two bytes or more"
now = int(time.time())
claims = {"sub": "somebody", "iat": now + 30, "exp": now + 300}
token = jwt.encode(claims, SECRET, "HS256")
json.dump({"token": token, "secret": SECRET}, open(sys.argv[1], "w"))
k = base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
for name, verify in {
    "PyJWT": lambda: jwt.decode(token, SECRET, algorithms=["HS256"]),
    "PyJWT with a leeway of 60": lambda: jwt.decode(token, SECRET, algorithms=["HS256"], leeway=60),
    "joserfc": lambda: joserfc.JWTClaimsRegistry().validate(joserfc.decode(token, OctKey.import_key(SECRET)).claims),
    "python-jose": lambda: python_jose.decode(token, SECRET, algorithms=["HS256"]),
    "jwcrypto": lambda: jwcrypto.JWT(jwt=token, key=jwcrypto_jwk.JWK(kty="oct", k=k)),
}.items():
    try:
        verify()
        print(f"{name}: valid")
    except Exception as error:
        print(f"{name}: {type(error).__name__}")
PY
cat >"$work/javascript.mjs" <<'JS'
import fs from 'node:fs';
import * as jose from 'jose';
import jsonwebtoken from 'jsonwebtoken';
const { token, secret } = JSON.parse(fs.readFileSync(process.argv[2]));
const report = (name, verdict) => console.log(`${name}: ${verdict}`);
report('jose', await jose.jwtVerify(token, new TextEncoder().encode(secret)).then(() => 'valid', error => error.code));
try { jsonwebtoken.verify(token, secret, { algorithms: ['HS256'] }); report('jsonwebtoken', 'valid'); } catch (error) { report('jsonwebtoken', error.message); }
JS
seen=$("$work/v/bin/python" -W ignore "$work/python.py" "$work/made.json" && cd "$work" && node javascript.mjs made.json)
echo "$seen"
want='PyJWT: ImmatureSignatureError
PyJWT with a leeway of 60: valid
joserfc: InvalidClaimError
python-jose: valid
jwcrypto: valid
jose: valid
jsonwebtoken: valid'
[ "$seen" = "$want" ] || { echo "CHANGED: the libraries no longer differ as described; expected:"; echo "$want"; exit 1; }
echo "as described"
