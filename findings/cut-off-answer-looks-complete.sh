#!/usr/bin/env bash
# The store dies in the middle of an answer, and behind nginx the client gets a complete answer with status 200.
#
# Expected: an answer in chunks that ends early is an error for the client: the last chunk is missing (RFC 9112, section 8).
#   A reverse proxy passes that on.
# Happens (Prometheus 2.42.0 killed while it answers /federate): directly and through HAProxy 2.6.12 the client sees an
#   incomplete answer. Through nginx 1.22.1 with nothing but `proxy_pass` it gets a proper end, hence half of the
#   metrics and no error; nginx's log has no line. nginx asks the store in HTTP/1.0, where the end of the connection is
#   the end of the answer, and makes chunks with a last one of it. With `proxy_http_version 1.1` the client sees the error.
# Who meets it: text formats and streams of frames are valid when cut off: a federating Prometheus stores half of the
#   series as if that were all, a script that exports a tenant's data writes a short file, remote read in
#   chunks ends early. JSON at least doesn't parse. Stores restart and run out of memory during great answers above all.
#   Set `proxy_http_version 1.1` wherever nginx stands in front of a store, between Partywall and the store too.
# Source: nginx, ngx_http_proxy_module, `proxy_http_version` ("By default, version 1.0 is used"); RFC 9112, section 6.3.
set -euo pipefail

missing=()
for tool in prometheus curl nginx haproxy python3; do [ -x "/usr/sbin/$tool" ] || command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then apt-get update -qq; RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
PATH=$PATH:/usr/sbin
versions=$(prometheus --version 2>&1 | sed -n 1p; nginx -v 2>&1; haproxy -v | sed -n 1p)
echo "$versions"
case $versions in
*" 2.42.0"*nginx/1.22.1*'HAProxy version 2.6.12'*) ;;
*) echo "CHANGED: this finding is about the servers of Debian 12"; exit 1 ;;
esac

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
base=$((20000 + RANDOM % 10000))
# Series with long labels, 60 MB together, so that the answer of /federate is larger than all buffers on the way.
python3 - $((base + 4)) 2>/dev/null <<'PY' &
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
page = "".join(f'lift_rides{{lift="{lift}",note="{"words that make the answer large " * 90}"}} {lift}\n' for lift in range(20000)).encode()
class Target(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(page)
    def log_message(self, *arguments):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Target).serve_forever()
PY
pids+=($!)
echo "{global: {scrape_interval: 15s, scrape_timeout: 14s}, scrape_configs: [{job_name: lifts, static_configs: [{targets: ['127.0.0.1:$((base + 4))']}]}]}" >"$work/p.yml"
cat >"$work/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/error.log warn;
events {}
http {
  access_log off;
  client_body_temp_path $work/a; proxy_temp_path $work/b; fastcgi_temp_path $work/c; uwsgi_temp_path $work/d; scgi_temp_path $work/e;
  proxy_max_temp_file_size 0; # nothing is written to files, so that the answer is on its way when the store dies
  server { listen 127.0.0.1:$((base + 1)); location / { proxy_pass http://127.0.0.1:$base; } }
  server { listen 127.0.0.1:$((base + 2)); location / { proxy_pass http://127.0.0.1:$base; proxy_http_version 1.1; } }
}
CONF
cat >"$work/haproxy.cfg" <<CFG
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen a
  bind 127.0.0.1:$((base + 3))
  server store 127.0.0.1:$base
CFG
nginx -p "$work" -e "$work/error.log" -c "$work/nginx.conf" & pids+=($!)
haproxy -f "$work/haproxy.cfg" 2>/dev/null & pids+=($!)

cat >"$work/client.py" <<'PY'
import http.client, os, signal, socket, sys, time, urllib.request
port, store, direct = map(int, sys.argv[1:])
whole = len(urllib.request.urlopen(f"http://127.0.0.1:{direct}/federate?match[]=lift_rides").read())
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
connection.sock = socket.socket()
connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
connection.sock.connect(("127.0.0.1", port))
connection.request("GET", "/federate?match[]=lift_rides")
response = connection.getresponse()
got = len(response.read(1000))
time.sleep(1)
os.kill(store, signal.SIGKILL)
try:
    while data := response.read(65536):
        got += len(data)
    end = "complete"
except http.client.IncompleteRead:
    end = "incomplete"
print(response.status, end, "and short" if got < whole else "and whole")
PY
seen=
for way in 'directly 0' 'nginx 1' 'nginx, HTTP/1.1 2' 'HAProxy 3'; do
  prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$base" >"$work/log" 2>&1 &
  store=$!
  pids+=("$store")
  for _ in $(seq 300); do
    curl -fs "http://127.0.0.1:$base/api/v1/query?query=count(lift_rides)" 2>/dev/null | grep -q '"20000"' && break
    sleep 0.2
  done
  seen+="${way% *}: $(python3 "$work/client.py" $((base + ${way##* })) "$store" "$base")"$'\n'
  { wait "$store" || true; } 2>/dev/null
done
seen+="lines in nginx's log of the first: $(grep -c ":$((base + 1))" "$work/error.log" || true), in all: $(grep -c 'prematurely closed' "$work/error.log" || true)"
echo "$seen"
want="directly: 200 incomplete and short
nginx: 200 complete and short
nginx, HTTP/1.1: 200 incomplete and short
HAProxy: 200 incomplete and short
lines in nginx's log of the first: 0, in all: 1"
[ "$seen" = "$want" ] || { echo "CHANGED: a cut off answer ends otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
