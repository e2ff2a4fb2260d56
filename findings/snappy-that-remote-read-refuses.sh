#!/usr/bin/env bash
# "Snappy" is two formats, and `compress` of two Python libraries means one each.
#
# Expected: a remote-read request compressed with any snappy library's `compress` is read by Prometheus, which asks for
#   `Content-Encoding: snappy`; or the two libraries can read each other.
# Happens (PyPI cramjam 2.14.0, python-snappy 0.7.3, Prometheus 2.42.0): `cramjam.snappy.compress` makes the framed
#   format, `snappy.compress` the block format. Prometheus takes only blocks and says 400 "snappy: corrupt input".
#   python-snappy does its work with cramjam, so both answers come from the same code. cramjam's block is `compress_raw`.
#   And the answer in streamed chunks to a request in snappy is not compressed at all and has no Content-Encoding.
# Who meets it: test clients and proxies for remote read and remote write in Python, where cramjam replaces python-snappy
#   as it needs no C library. One that decompresses whatever a store sends, since the protocol is "protobuf in
#   snappy", fails when the client has asked for streamed chunks.
# Source: google/snappy framing_format.txt and format_description.txt; Prometheus "Remote Read API" (block format;
#   streamed chunks are frames with a size and CRC32 Castagnoli); prometheus/prometheus storage/remote/read_handler.go.
set -euo pipefail

missing=()
for tool in prometheus curl; do command -v "$tool" >/dev/null || missing+=("$tool"); done
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
version=$(prometheus --version 2>&1 | head -1)
echo "$version"
case $version in *" 2.42.0"*) ;; *) echo "CHANGED: this finding is about Prometheus 2.42.0 of Debian 12"; exit 1 ;; esac

work=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null || true; wait 2>/dev/null; rm -rf "$work"' EXIT
pid=
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q cramjam==2.14.0 python-snappy==0.7.3
printf '%s\n' '# TYPE keys_handed_out gauge' 'keys_handed_out 4 1700006400' '# EOF' >"$work/in.om"
promtool tsdb create-blocks-from openmetrics "$work/in.om" "$work/data" >/dev/null
echo 'global: {}' >"$work/p.yml"
port=$((20000 + RANDOM % 10000))
prometheus --config.file="$work/p.yml" --storage.tsdb.path="$work/data" --storage.tsdb.retention.time=100y \
  --web.listen-address="127.0.0.1:$port" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do curl -fs -o "$work/ready" "http://127.0.0.1:$port/-/ready" && break; sleep 0.2; done

seen=$("$work/v/bin/python" - "$port" <<'PY'
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen
import cramjam, snappy

def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])

def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value

# prometheus.ReadRequest: one query of a minute with one matcher, and the kind of answer (1: streamed chunks).
matcher = field(1, 0) + field(2, b"__name__") + field(3, b"keys_handed_out")
query = field(1, 1700006400000) + field(2, 1700006460000) + field(3, matcher)
samples = field(1, query)
chunks = field(1, query) + field(2, 1)

def ask(name, body):
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    try:
        with urlopen(Request(f"http://127.0.0.1:{sys.argv[1]}/api/v1/read", data=bytes(body), headers=headers)) as answer:
            data = answer.read()
            try:
                readable = b"keys_handed_out" in snappy.decompress(data)
            except Exception:
                readable = False
            print(f"{name}: {answer.status}, Content-Encoding {answer.headers['Content-Encoding']}, is snappy: {readable}, plain: {field(2, b'keys_handed_out') in data}")
    except HTTPError as error:
        print(f"{name}: {error.code}, {error.read().decode().strip()}")

ask("cramjam.snappy.compress", cramjam.snappy.compress(samples))
ask("cramjam.snappy.compress_raw", cramjam.snappy.compress_raw(samples))
ask("snappy.compress", snappy.compress(samples))
ask("snappy.compress, streamed chunks", snappy.compress(chunks))
PY
)
echo "$seen"
want='cramjam.snappy.compress: 400, snappy: corrupt input
cramjam.snappy.compress_raw: 200, Content-Encoding snappy, is snappy: True, plain: True
snappy.compress: 200, Content-Encoding snappy, is snappy: True, plain: True
snappy.compress, streamed chunks: 200, Content-Encoding None, is snappy: False, plain: True'
[ "$seen" = "$want" ] || { echo "CHANGED: snappy is no longer read as described; expected:"; echo "$want"; exit 1; }
echo "as described"
