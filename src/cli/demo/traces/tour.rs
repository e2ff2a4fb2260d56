//! The requests about traces: each asked once, its answer printed and checked.

use hyper::StatusCode;

use super::{Ids, Tempo};
use crate::cli::demo::Failure;
use crate::cli::demo::data::TENANTS;
use crate::cli::demo::http::{self, Answer};
use crate::cli::demo::stage::Proxy;
use crate::cli::demo::tour::{Who, variable};

/// As much of an answer is printed.
const SHOWN_CHARACTERS: usize = 700;

/// One request and what its answer must show.
struct Question {
    who: Who,
    path: String,
    query: Option<&'static str>,
    /// Whose spans must be in the answer, and nobody else's: every name of theirs has the
    /// tenant's in it. Not checked where the store is not the demo's own.
    sees: Option<&'static [&'static str]>,
    says: &'static str,
}

fn questions(ids: Option<&Ids>) -> Vec<Question> {
    let search = |who, query, sees, says| Question {
        who,
        path: "/api/search".to_owned(),
        query: Some(query),
        sees: ids.and(Some(sees)),
        says,
    };
    let trace = |id: &str, sees, says| Question {
        who: Who::Tenant("acme"),
        path: format!("/api/v2/traces/{id}"),
        query: None,
        sees: Some(sees),
        says,
    };
    let mut questions = vec![
        search(
            Who::Anyone,
            "{}",
            &TENANTS,
            "The Tempo itself shows everybody's traces to anyone",
        ),
        search(
            Who::Tenant("acme"),
            "{}",
            &["acme"],
            "Through Partywall, acme sees its own; of a trace that globex shares, only its part",
        ),
        search(
            Who::Tenant("globex"),
            "{}",
            &["globex"],
            "… and globex its own",
        ),
    ];
    questions.extend(ids.map(|_| {
        search(
            Who::Tenant("acme"),
            r#"{ resource.tenant_id = "globex" }"#,
            &[],
            "acme asks for globex' spans: for acme there are none",
        )
    }));
    if let Some(ids) = ids {
        questions.push(trace(
            &ids.shared,
            &["acme"],
            "acme opens the shared trace: globex' spans are left out",
        ));
        questions.push(trace(
            &ids.globex,
            &[],
            "acme opens a trace of globex': it is not there",
        ));
    }
    questions.push(Question {
        sees: Some(&[]),
        ..search(
            Who::Stranger,
            "{}",
            &[],
            "Without a token there is no answer",
        )
    });
    questions
}

/// Prints every request with its answer; fails at the first answer that is not as it must be.
#[allow(clippy::print_stdout)] // The show is what it prints.
pub(in crate::cli::demo) async fn ask_everything(
    tempo: &Tempo,
    proxy: &Proxy,
) -> Result<(), Failure> {
    println!("\nTraces, from {}.", tempo.description());
    for question in questions(tempo.ids().as_ref()) {
        let (base, token) = match question.who {
            Who::Anyone => (tempo.url.as_str(), None),
            Who::Tenant(tenant) => (proxy.url.as_str(), Some(proxy.token(tenant)?)),
            Who::Stranger => (proxy.url.as_str(), None),
        };
        println!("\n{}:\n\n  {}\n", question.says, as_curl(&question, base));
        let params: Vec<(&str, &str)> = question.query.iter().map(|q| ("q", *q)).collect();
        let url = http::with_query(&format!("{base}{}", question.path), &params);
        let answer = http::get(&url, token.as_deref()).await?;
        println!("  {}", shown(&answer.text));
        check(&question, &answer)?;
    }
    Ok(())
}

fn as_curl(question: &Question, base: &str) -> String {
    let token = match question.who {
        Who::Tenant(tenant) => format!(" -H \"Authorization: Bearer ${}\"", variable(tenant)),
        Who::Anyone | Who::Stranger => String::new(),
    };
    let query = question
        .query
        .map(|query| format!(" --data-urlencode 'q={query}'"));
    let (path, query) = (&question.path, query.unwrap_or_default());
    format!("curl -sG {base}{path}{token}{query}")
}

fn shown(text: &str) -> String {
    let text = text.trim_end();
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn check(question: &Question, answer: &Answer) -> Result<(), Failure> {
    let expected = match question.who {
        Who::Stranger => StatusCode::UNAUTHORIZED,
        Who::Anyone | Who::Tenant(_) => StatusCode::OK,
    };
    let seen: Vec<&str> = TENANTS
        .into_iter()
        .filter(|tenant| answer.text.contains(tenant))
        .collect();
    let sees_wrong = question.sees.is_some_and(|sees| seen != sees);
    if answer.status != expected || sees_wrong {
        return Err(format!(
            "this should have been {expected} with spans of {:?}, and is {} with {seen:?}",
            question.sees.unwrap_or(&["its own"]),
            answer.status
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_a_foreign_span_fails_the_check() {
        let ids = Ids::recorded();
        let questions = questions(Some(&ids));
        let answer = |text: &str| Answer {
            status: StatusCode::OK,
            text: text.to_owned(),
            body: bytes::Bytes::new(),
        };
        let both = answer(
            r#"{"traces":[{"rootServiceName":"acme-shop","serviceStats":{"globex-pay":{}}}]}"#,
        );
        assert!(check(&questions[0], &both).is_ok());
        assert!(check(&questions[1], &both).is_err());
        let own = answer(r#"{"traces":[{"rootServiceName":"acme-shop"}]}"#);
        assert!(check(&questions[1], &own).is_ok());
        assert!(check(&questions[1], &answer("{}")).is_err());
        let denied = Answer {
            status: StatusCode::UNAUTHORIZED,
            ..answer("")
        };
        assert!(check(&questions[3], &denied).is_err());
    }
}
