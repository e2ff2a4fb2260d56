#!/usr/bin/env bash
# The same request through six ordinary configurations of four HTTP servers reaches the store as three requests.
#
# Expected: a reverse proxy with the shortest configuration that works passes path and query on; `%2F` inside a segment of the
#   path is data (RFC 3986, section 2.2) and stays.
# Happens, for `/api/v2/search/tag/span.a%2Fb/values?q={.x=%2B1}`, Debian 12's servers:
#   nginx 1.22.1, `proxy_pass http://store;` and HAProxy 2.6.12: nothing changes.
#   nginx 1.22.1, `proxy_pass http://store/;` under `location /`: the path is decoded, `span.a/b`: a segment more.
#   Apache 2.4 `ProxyPass`: 404 from Apache, the store is not asked (`AllowEncodedSlashes` is off); with
#     `AllowEncodedSlashes NoDecode` and `nocanon` it passes.
#   lighttpd 1.4.69 mod_proxy: the path is decoded, and the query's braces become %7B and %7D.
# Who meets it: names of span attributes with a slash are in the path of Tempo's tag values, as `%2F`. Behind one of these
#   fronts their values are empty or 404, while all other requests work. A proxy that counts segments sees another path
#   than the client sent, and one slash at the end of `proxy_pass` decides.
# Source: nginx, ngx_http_proxy_module, `proxy_pass` ("if the address is given with a URI, the part of the normalized URI");
#   Apache core, `AllowEncodedSlashes`; lighttpd `server.http-parseopts`, url-path-2f-decode, on by default.
set -euo pipefail

missing=()
for tool in nginx haproxy lighttpd apache2 curl; do [ -x "/usr/sbin/$tool" ] || command -v "$tool" >/dev/null || missing+=("$tool"); done
# Without starting the servers' own services.
if ((${#missing[@]})); then apt-get update -qq; RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
PATH=$PATH:/usr/sbin
versions=$(nginx -v 2>&1; haproxy -v | sed -n 1p; lighttpd -v; apache2 -v | sed -n 1p)
echo "$versions"
case $versions in
*nginx/1.22.1*'HAProxy version 2.6.12'*lighttpd/1.4.69*Apache/2.4.*) ;;
*) echo "CHANGED: this finding is about the servers of Debian 12"; exit 1 ;;
esac

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
base=$((20000 + RANDOM % 10000))
store=$base

# Answers with the request line that it got.
python3 - "$store" <<'PY' &
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
PY
pids+=($!)

cat >"$work/nginx.conf" <<CONF
daemon off; pid $work/nginx.pid; error_log $work/nginx.log;
user root;
events {}
http {
  access_log off;
  client_body_temp_path $work; proxy_temp_path $work; fastcgi_temp_path $work; uwsgi_temp_path $work; scgi_temp_path $work;
  server { listen 127.0.0.1:$((base + 1)); location / { proxy_pass http://127.0.0.1:$store; } }
  server { listen 127.0.0.1:$((base + 2)); location / { proxy_pass http://127.0.0.1:$store/; } }
}
CONF
nginx -c "$work/nginx.conf" 2>"$work/nginx.err" &
pids+=($!)

cat >"$work/haproxy.cfg" <<CONF
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen store
  bind 127.0.0.1:$((base + 3))
  server store 127.0.0.1:$store
CONF
haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
pids+=($!)

cat >"$work/lighttpd.conf" <<CONF
server.document-root = "$work"
server.bind = "127.0.0.1"
server.port = $((base + 4))
server.modules = ("mod_proxy")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => $store)))
CONF
lighttpd -D -f "$work/lighttpd.conf" >"$work/lighttpd.log" 2>&1 &
pids+=($!)

cat >"$work/apache.conf" <<CONF
ServerRoot /usr/lib/apache2
ServerName localhost
PidFile $work/apache.pid
ErrorLog $work/apache.log
Listen 127.0.0.1:$((base + 5))
Listen 127.0.0.1:$((base + 6))
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule proxy_module modules/mod_proxy.so
LoadModule proxy_http_module modules/mod_proxy_http.so
Mutex file:$work default
<VirtualHost 127.0.0.1:$((base + 5))>
  ProxyPass / http://127.0.0.1:$store/
</VirtualHost>
<VirtualHost 127.0.0.1:$((base + 6))>
  AllowEncodedSlashes NoDecode
  ProxyPass / http://127.0.0.1:$store/ nocanon
</VirtualHost>
CONF
apache2 -X -f "$work/apache.conf" >"$work/apache.err" 2>&1 &
pids+=($!)

for port in $(seq "$base" $((base + 6))); do
  for _ in $(seq 50); do curl -s -o "$work/ready" "http://127.0.0.1:$port/" && break; sleep 0.1; done
done
ask() { # NAME PORT
  code=$(curl -sS -g -o "$work/body" -w '%{http_code}' "http://127.0.0.1:$2/api/v2/search/tag/span.a%2Fb/values?q={.x=%2B1}")
  if [ "$code" = 200 ]; then echo "$1: $(cat "$work/body")"; else echo "$1: $code"; fi
}
seen=$(ask 'nginx, no URI in proxy_pass' $((base + 1))
  ask 'nginx, proxy_pass with /' $((base + 2))
  ask 'HAProxy' $((base + 3))
  ask 'lighttpd' $((base + 4))
  ask 'Apache' $((base + 5))
  ask 'Apache, NoDecode and nocanon' $((base + 6)))
echo "$seen"
want='nginx, no URI in proxy_pass: /api/v2/search/tag/span.a%2Fb/values?q={.x=%2B1}
nginx, proxy_pass with /: /api/v2/search/tag/span.a/b/values?q={.x=%2B1}
HAProxy: /api/v2/search/tag/span.a%2Fb/values?q={.x=%2B1}
lighttpd: /api/v2/search/tag/span.a/b/values?q=%7B.x=%2B1%7D
Apache: 404
Apache, NoDecode and nocanon: /api/v2/search/tag/span.a%2Fb/values?q={.x=%2B1}'
[ "$seen" = "$want" ] || { echo "CHANGED: the servers no longer differ as described; expected:"; echo "$want"; exit 1; }
echo "as described"
