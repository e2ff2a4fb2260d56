#!/usr/bin/env bash
# OTLP/JSON of OpenTelemetry's JavaScript: a large number makes the whole request invalid, and NaN becomes nothing.
#
# Expected: the JSON and the protobuf exporter send the same spans; a number attribute has one type, whatever its value.
# Happens (npm @opentelemetry/otlp-transformer 0.223.1, read with PyPI opentelemetry-proto 1.45.2 and protobuf 7.36.2):
#   1e20, and each whole number from 2^63 on, is an `intValue` in JSON, which has 64 bits. The reader refuses the request
#     with all its spans. The protobuf exporter of the same package sends a double.
#   NaN and Infinity are `"doubleValue": null` in JSON, hence an attribute without a value. In protobuf they arrive.
#   1.5 is a double and 1 an int, in both: an attribute such as a ratio has one type in this span and the other in the next.
# Who meets it: JSON is what the HTTP exporter for browsers and Node.js sends. A bit mask or a division by zero in one
#   attribute loses the batch (with a reader that checks ranges) or the value; with the other exporter all is well. In
#   TraceQL an int does not equal a double, so `{ span.ratio = 1.0 }` misses spans from JavaScript.
# Source: open-telemetry/opentelemetry-js, otlp-transformer, common/internal and common/protobuf (`Number.isInteger`);
#   protobuf documentation, "ProtoJSON Format" (int64 in range; NaN and Infinity are strings); ECMAScript `JSON.stringify`.
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(npm)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q opentelemetry-proto==1.45.2 protobuf==7.36.2
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund @opentelemetry/api@1.9.1 \
  @opentelemetry/otlp-transformer@0.223.1 @opentelemetry/sdk-trace-base@2.12.1)

cat >"$work/export.mjs" <<'JS'
import { writeFileSync } from 'node:fs';
import transformer from '@opentelemetry/otlp-transformer';
import sdk from '@opentelemetry/sdk-trace-base';
const values = { half: 1.5, whole: 1, negative_zero: -0, '2^53': 2 ** 53, '2^63': 2 ** 63, '1e20': 1e20, nan: NaN, infinity: Infinity };
for (const [name, value] of Object.entries(values)) {
  const exporter = new sdk.InMemorySpanExporter();
  const provider = new sdk.BasicTracerProvider({ spanProcessors: [new sdk.SimpleSpanProcessor(exporter)] });
  provider.getTracer('example').startSpan('lift ride', { attributes: { value } }).end();
  const spans = exporter.getFinishedSpans();
  writeFileSync(`${name}.json`, transformer.JsonTraceSerializer.serializeRequest(spans));
  writeFileSync(`${name}.bin`, transformer.ProtobufTraceSerializer.serializeRequest(spans));
}
console.log(Object.keys(values).join('\n'));
JS
cat >"$work/read.py" <<'PY'
import sys
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

def shown(request):
    value = request.resource_spans[0].scope_spans[0].spans[0].attributes[0].value
    kind = value.WhichOneof("value")
    return f"{kind} {getattr(value, kind)}" if kind else "no value"

for name in sys.stdin.read().split():
    binary = shown(ExportTraceServiceRequest.FromString(open(f"{name}.bin", "rb").read()))
    try:
        text = shown(json_format.Parse(open(f"{name}.json").read(), ExportTraceServiceRequest()))
    except json_format.ParseError as error:
        text = "refused, " + str(error).rsplit(": ", 1)[-1].rstrip(".")
    print(f"{name}: protobuf => {binary}; JSON => {text}")
PY
seen=$(cd "$work" && node export.mjs | "$work/v/bin/python" read.py)
echo "$seen"
want='half: protobuf => double_value 1.5; JSON => double_value 1.5
whole: protobuf => int_value 1; JSON => int_value 1
negative_zero: protobuf => int_value 0; JSON => int_value 0
2^53: protobuf => int_value 9007199254740992; JSON => int_value 9007199254740992
2^63: protobuf => double_value 9.223372036854776e+18; JSON => refused, 9223372036854776000
1e20: protobuf => double_value 1e+20; JSON => refused, 100000000000000000000
nan: protobuf => double_value nan; JSON => no value
infinity: protobuf => double_value inf; JSON => no value'
[ "$seen" = "$want" ] || { echo "CHANGED: the numbers are sent otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
