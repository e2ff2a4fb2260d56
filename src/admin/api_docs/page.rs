//! The reference as HTML: plain, with one inline style sheet. It loads nothing and runs nothing,
//! and its security policy says so.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Write as _};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::operation::{Body, Operation, Tag};
use super::traces::Call;
use super::{closed, problems};
use crate::config::settings::ClosedGroup;

/// A page, and its security policy.
pub struct Page {
    /// HTML, in UTF-8.
    pub html: String,
    /// Its `Content-Security-Policy`.
    pub security_policy: String,
}

const STYLE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/admin/api_docs/page.css"
));

pub(super) fn render(operations: &[Operation], calls: &[Call]) -> Page {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let html = html(operations, calls);
    Page {
        html,
        security_policy: format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        ),
    }
}

// Writing to a string cannot fail.
fn html(operations: &[Operation], calls: &[Call]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Partywall: API</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>Partywall {version}: API</h1>\n\
         <p>How each endpoint keeps tenants apart. The same for tools: \
         <a href=\"/-/api/openapi.json\">OpenAPI 3.1</a>.</p>\n"
    );
    let _ = writeln!(
        out,
        "<p>{} the request is rewritten before it is sent. {} what is others' is taken out of the \
         answer. {} there is nothing of any tenant in it.</p>",
        badge("confined"),
        badge("filtered"),
        badge("passed"),
    );
    out.push_str("<nav>\n");
    for tag in Tag::ALL {
        let _ = writeln!(out, "<h2>{}</h2>\n<ul>", tag.name());
        for operation in of(operations, tag) {
            let (name, path) = (operation.name, Escaped(operation.path));
            let _ = writeln!(out, "<li><a href=\"#{name}\"><code>{path}</code></a>");
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</nav>\n<main>\n");
    for tag in Tag::ALL {
        let _ = writeln!(out, "<h2>{}</h2>\n<p>{}", tag.name(), Prose(tag.about()));
        for operation in of(operations, tag) {
            section(&mut out, operation);
        }
        if tag == Tag::Traces {
            grpc(&mut out, calls);
        }
    }
    refused_paths(&mut out);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn of(operations: &[Operation], tag: Tag) -> impl Iterator<Item = &Operation> {
    operations.iter().filter(move |one| one.tag == tag)
}

fn section(out: &mut String, operation: &Operation) {
    let about = &operation.about;
    let methods = operation.methods.join(", ");
    let _ = writeln!(
        out,
        "<section id=\"{}\">\n<h3>{methods} <code>{}</code> {}</h3>\n<p>{}. {}",
        operation.name,
        Escaped(operation.path),
        badge(about.decision.map_or("none", |decision| decision.name())),
        Escaped(about.summary),
        Prose(about.rule),
    );
    if !about.docs.is_empty() {
        let docs = Escaped(about.docs);
        let _ = writeln!(out, "<p><a href=\"{docs}\">The API's own documentation</a>");
    }
    let count = operation.parameters.len() + operation.refused.len();
    if count > 0 {
        let _ = writeln!(
            out,
            "<details><summary>Parameters: {count}</summary>\n<table>"
        );
        for parameter in &operation.parameters {
            let place = match (parameter.is_in_path, parameter.is_required) {
                (true, _) => ", in the path",
                (false, true) => ", required",
                (false, false) => "",
            };
            let list = if parameter.is_list { ", a list" } else { "" };
            let _ = writeln!(
                out,
                "<tr><th><code>{}</code>{list}{place}<td>{} {}",
                Escaped(parameter.name),
                Prose(parameter.text),
                Prose(parameter.treatment.about()),
            );
        }
        for refused in &operation.refused {
            let (name, why) = (Escaped(refused.name), Prose(refused.why));
            let badge = badge("refused");
            let _ = writeln!(out, "<tr><th><code>{name}</code><td>{badge} {why}");
        }
        out.push_str("</table></details>\n");
    }
    if let Body::Of {
        media_type, text, ..
    } = &operation.body
    {
        let _ = writeln!(
            out,
            "<p>Body: <code>{}</code>. {}",
            Escaped(media_type),
            Prose(text)
        );
    }
    answers(out, operation);
    out.push_str("</section>\n");
}

fn answers(out: &mut String, operation: &Operation) {
    let mut all: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for answer in &operation.answers {
        all.entry(answer.status).or_default().push(answer.text);
    }
    for kind in &operation.problems {
        let texts = all.entry(kind.status().as_u16()).or_default();
        texts.push(problems::meaning(*kind));
    }
    out.push_str("<details><summary>Answers</summary>\n<table>\n");
    for (status, texts) in all {
        let _ = writeln!(out, "<tr><th>{status}<td>{}", Prose(&texts.join(" ")));
    }
    out.push_str("</table></details>\n");
}

fn grpc(out: &mut String, calls: &[Call]) {
    out.push_str(
        "<section id=\"grpc\">\n<h3>gRPC</h3>\n<p>Errors are statuses. Every other method is \
         UNIMPLEMENTED.\n<table>\n",
    );
    for call in calls {
        let (path, badge) = (Escaped(call.path), badge(call.decision.name()));
        let rule = Prose(call.rule);
        let _ = writeln!(out, "<tr><th><code>{path}</code><td>{badge} {rule}");
    }
    out.push_str("</table>\n</section>\n");
}

fn refused_paths(out: &mut String) {
    let text = "403 for callers with some tenants. Callers with all tenants are served where \
                `open_to_admins` of the upstream names the group.";
    let _ = writeln!(
        out,
        "<h2 id=\"closed\">Refused</h2>\n<p>{}\n<table>",
        Prose(text)
    );
    for group in ClosedGroup::ALL {
        let (about, paths) = closed::about(group);
        let name = group.name();
        let _ = write!(out, "<tr><th><code>{name}</code><td>{} ", Prose(about));
        for path in paths {
            let _ = write!(out, "<code>{}</code> ", Escaped(path));
        }
        out.push('\n');
    }
    out.push_str("</table>\n<p>What lies outside these APIs is forwarded untouched.\n");
}

fn badge(name: &str) -> String {
    format!("<span class=\"is {name}\">{name}</span>")
}

/// Text, as HTML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Text with code in backticks, as HTML.
struct Prose<'a>(&'a str);

impl Display for Prose<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for (place, part) in self.0.split('`').enumerate() {
            if place % 2 == 0 {
                write!(f, "{}", Escaped(part))?;
            } else {
                write!(f, "<code>{}</code>", Escaped(part))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let text = r#"<a href="x" id='y'> & `<b>`"#;
        let shown = Prose(text).to_string();
        let expected = "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt; &amp; <code>&lt;b&gt;</code>";
        assert_eq!(shown, expected);
    }
}
