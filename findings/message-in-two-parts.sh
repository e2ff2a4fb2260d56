#!/usr/bin/env bash
# A protobuf message whose submessage comes in two parts: three libraries join the parts, two keep the last one only.
#
# Expected: parts of one submessage are merged, lists appended ("Last One Wins", protobuf documentation, for fields that
#   are not repeated: embedded messages are merged). So two encoded messages, one behind the other, are one message with
#   the contents of both.
# Happens, for a ResourceSpans of OTLP with resource {service.name} and, behind it, one with resource {host.name}:
#   Python protobuf 7.36.2, protobufjs 8.8.1 and @bufbuild/protobuf 2.17.0 read both attributes.
#   protobufjs 7.6.6 and betterproto 2.0.0b7 read host.name; service.name is lost without an error. Both have the spans of
#   both parts, since that field is a list, so nothing looks cut off.
# Who meets it: whoever adds to a message by appending bytes, which saves decoding it: a tag for the site, a second answer
#   behind the first. Go services read it as meant; a test client or a tool in Node.js (the gRPC loader is built on
#   protobufjs 7) sees spans of no service, and an update to version 8 changes that.
#   Partywall shows no tenant spans whose resource comes in two parts.
# Source: protobuf documentation, "Encoding", "Last One Wins"; opentelemetry-proto trace.proto and resource.proto (field
#   numbers); danielgtaylor/python-betterproto, `Message.load`; protobuf.js 7, the generated decoder (`decode` of the
#   field is assigned).
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(npm)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then apt-get update -qq; apt-get install -y -qq --no-install-recommends "${missing[@]}"; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/v"
"$work/v/bin/pip" install -q opentelemetry-proto==1.45.2 protobuf==7.36.2 betterproto==2.0.0b7
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund protobufjs@7.6.6 protobufjs-8@npm:protobufjs@8.8.1 @bufbuild/protobuf@2.17.0)

cat >"$work/read.py" <<'PY'
import sys
from dataclasses import dataclass
from typing import List
import betterproto
from google.protobuf import descriptor_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

def part(attribute, value, span):
    message = trace_pb2.ResourceSpans()
    message.resource.attributes.add(key=attribute).value.string_value = value
    message.scope_spans.add().spans.add(name=span)
    return message.SerializeToString()

# The same fields for betterproto.
@dataclass
class KeyValue(betterproto.Message):
    key: str = betterproto.string_field(1)
@dataclass
class Resource(betterproto.Message):
    attributes: List[KeyValue] = betterproto.message_field(1)
@dataclass
class Span(betterproto.Message):
    name: str = betterproto.string_field(5)
@dataclass
class ScopeSpans(betterproto.Message):
    spans: List[Span] = betterproto.message_field(2)
@dataclass
class ResourceSpans(betterproto.Message):
    resource: Resource = betterproto.message_field(1)
    scope_spans: List[ScopeSpans] = betterproto.message_field(2)

data = part("service.name", "lifts", "ride") + part("host.name", "lift-7", "stop")
open("message.bin", "wb").write(data)
files = descriptor_pb2.FileDescriptorSet()
for module in (common_pb2, resource_pb2, trace_pb2):
    module.DESCRIPTOR.CopyToProto(files.file.add())
open("schema.bin", "wb").write(files.SerializeToString())
for library, message in {"protobuf": trace_pb2.ResourceSpans.FromString(data), "betterproto": ResourceSpans().parse(data)}.items():
    print(f"{library}: attributes {', '.join(a.key for a in message.resource.attributes)};",
          f"spans {', '.join(span.name for scope in message.scope_spans for span in scope.spans)}")
PY
cat >"$work/read.mjs" <<'JS'
import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import seven from 'protobufjs';
import eight from 'protobufjs-8';
const data = readFileSync('message.bin');
const schema = `syntax = "proto3";
  message KeyValue { string key = 1; }
  message Resource { repeated KeyValue attributes = 1; }
  message Span { string name = 5; }
  message ScopeSpans { repeated Span spans = 2; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }`;
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync('schema.bin')));
for (const [library, message] of Object.entries({
  'protobufjs 7': seven.parse(schema).root.lookupType('ResourceSpans').decode(data),
  'protobufjs 8': eight.parse(schema).root.lookupType('ResourceSpans').decode(data),
  '@bufbuild/protobuf': fromBinary(registry.getMessage('opentelemetry.proto.trace.v1.ResourceSpans'), data),
})) {
  const spans = message.scopeSpans.flatMap(scope => scope.spans.map(span => span.name));
  console.log(`${library}: attributes ${message.resource.attributes.map(a => a.key).join(', ')}; spans ${spans.join(', ')}`);
}
JS
seen=$(cd "$work" && "$work/v/bin/python" read.py && node --no-warnings read.mjs)
echo "$seen"
want='protobuf: attributes service.name, host.name; spans ride, stop
betterproto: attributes host.name; spans ride, stop
protobufjs 7: attributes host.name; spans ride, stop
protobufjs 8: attributes service.name, host.name; spans ride, stop
@bufbuild/protobuf: attributes service.name, host.name; spans ride, stop'
[ "$seen" = "$want" ] || { echo "CHANGED: parts of a message are read otherwise; expected:"; echo "$want"; exit 1; }
echo "as described"
