#!/usr/bin/env bash
# Protobuf's JSON reader takes the hexadecimal trace ids of OTLP/JSON for base64 and says nothing.
#
# Expected: reading the OTLP/JSON of the specification with google.protobuf.json_format and the official
#   opentelemetry-proto classes gives a trace id of 16 bytes, or an error.
# Happens (PyPI opentelemetry-proto 1.45.2, protobuf 7.36.2): the 32 hexadecimal digits are valid base64 of 24 bytes, so
#   the trace id has 24 bytes and the span id 12. Printing the message as JSON gives the same text back, so a test that
#   reads and prints passes; only the bytes are wrong. In the other direction a correct id of 16 bytes is printed as
#   24 characters of base64, which a reader of OTLP/JSON can't take for hexadecimal.
# Who meets it: whoever builds a proxy or a test client for traces with the generated classes. Tempo answers with
#   base64 in JSON (it prints with protobuf's mapping), collectors send hexadecimal: both are "OTLP as JSON" in
#   conversation. A store files such spans under an id that nobody asks for. Partywall asks the store for protobuf.
# Source: OTLP specification, "JSON Protobuf Encoding" (traceId and spanId are hexadecimal, unlike the standard
#   mapping); protobuf documentation, "ProtoJSON Format" (bytes are base64).
set -euo pipefail

python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends python3-venv; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q opentelemetry-proto==1.45.2 protobuf==7.36.2

seen=$("$work/v/bin/python" - <<'PY'
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
document = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": TRACE, "spanId": SPAN}]}]}]}

def first(message):
    return message.resource_spans[0].scope_spans[0].spans[0]

read = json_format.ParseDict(document, TracesData())
print("trace id:", len(first(read).trace_id), "bytes; span id:", len(first(read).span_id), "bytes")
print("the id that was sent:", first(read).trace_id == bytes.fromhex(TRACE))
print("printed again, equal:", json_format.MessageToDict(read) == document)

right = TracesData()
right.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes.fromhex(TRACE))
print("a right id is printed as:", json_format.MessageToDict(first(right))["traceId"])
PY
)
echo "$seen"
want='trace id: 24 bytes; span id: 12 bytes
the id that was sent: False
printed again, equal: True
a right id is printed as: CvdlGRbNQ92ESOshHIAxnA=='
[ "$seen" = "$want" ] || { echo "CHANGED: ids are no longer read as described; expected:"; echo "$want"; exit 1; }
echo "as described"
