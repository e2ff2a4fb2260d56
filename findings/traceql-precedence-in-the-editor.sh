#!/usr/bin/env bash
# Grafana's TraceQL grammar for editors groups a filter in another way than Tempo does.
#
# Expected: @grafana/lezer-traceql, the grammar that Grafana publishes for TraceQL, has Tempo's precedence.
# Happens (npm @grafana/lezer-traceql 1.0.0 against Tempo's grammar of August 2026): three differences, all on valid
#   queries and without an error node.
#   `{ .a || .b && .c }`: the package reads `.a || (.b && .c)`, as in most languages. Tempo gives AND and OR one level
#     and reads from the left: `(.a || .b) && .c`.
#   `{ !.a && .b }`: the package reads `!(.a && .b)`, Tempo `(!.a) && .b`.
#   `{ 2 ^ 3 ^ 2 = .n }`: the package reads `(2 ^ 3) ^ 2`, Tempo `2 ^ (3 ^ 2)`.
# Who meets it: whoever uses the package, the only published one, to analyse or rewrite TraceQL. Adding a tenant's
#   condition at the place that its tree shows confines another part of the query than Tempo evaluates, unless the
#   whole is put in parentheses. Partywall puts each filter that it makes in parentheses.
# Source: grafana/tempo pkg/traceql/expr.y, the lines `%left <binOp> AND OR`, `%left <binOp> NOT` and
#   `%right <binOp> POW`. Tempo has no public package that a script could install, so its side is quoted, not run.
set -euo pipefail

command -v npm >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends npm; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund @grafana/lezer-traceql@1.0.0 @lezer/lr@1.4.2 @lezer/common@1.2.3)

cat >"$work/show.mjs" <<'JS'
import { parser } from '@grafana/lezer-traceql';
// The text of a node with parentheses around what the tree holds together.
function show(node, text) {
  const children = [];
  for (let child = node.firstChild; child; child = child.nextSibling) children.push(child);
  if (node.type.isError) return '<ERROR>';
  if (node.name !== 'FieldExpression') return text.slice(node.from, node.to);
  const inner = children.map(child => show(child, text)).join(' ');
  const written = text.slice(node.from, node.to);
  const mark = written.startsWith('!') && children[0].from > node.from ? '!' : '';
  return children.length > 1 || mark ? `${mark}(${inner})` : inner;
}
for (const query of ['{ .a || .b && .c }', '{ .a && .b || .c }', '{ !.a && .b }', '{ 2 ^ 3 ^ 2 = .n }']) {
  const tree = parser.parse(query);
  let shown = '';
  tree.iterate({ enter(node) { if (!shown && node.name === 'FieldExpression') shown = show(node.node, query); } });
  console.log(`${query} is read as ${shown}`);
}
JS
seen=$(cd "$work" && node show.mjs)
echo "$seen"
want='{ .a || .b && .c } is read as (.a || (.b && .c))
{ .a && .b || .c } is read as ((.a && .b) || .c)
{ !.a && .b } is read as !((.a && .b))
{ 2 ^ 3 ^ 2 = .n } is read as (((2 ^ 3) ^ 2) = .n)'
[ "$seen" = "$want" ] || { echo "CHANGED: the grammar no longer groups as described; expected:"; echo "$want"; exit 1; }
echo "as described"
