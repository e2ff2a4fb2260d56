use proptest::prelude::*;

use super::*;

fn label(name: &str) -> Option<&'static str> {
    match name {
        "tenant_id" => Some("acme"),
        "instance" => Some("web-1.example.com:9100"),
        "job" => Some("node"),
        _ => None,
    }
}

fn makes(template: &str, text: &str) -> bool {
    let template = Template::read(template).unwrap_or_else(|| panic!("{template}"));
    template.makes(text, label, true)
}

#[test]
fn understood_templates_match_the_output_of_prometheus() {
    for (template, text) in [
        ("", ""),
        ("plain }} text", "plain }} text"),
        ("{{ $labels.tenant_id }}", "acme"),
        ("{{$labels.tenant_id}}/{{.Labels.job}}", "acme/node"),
        ("at {{ $labels.missing }}.", "at ."),
        ("a \n {{- $labels.job -}} \n b", "anodeb"),
        ("{{ $value }}", "9"),
        ("{{ .Value }} of it", "1e+06 of it"),
        ("{{ $value | humanize }}B", "1.234MB"),
        ("{{ humanize1024 $value }}", "1.5Gi"),
        ("{{ $value | humanizePercentage }}", "12.34%"),
        ("{{ $value | humanizeDuration }}", "-1d 2h 3m 4s"),
        ("{{ $value | humanizeDuration }}", "25ms"),
        (
            "{{ $value | humanizeTimestamp }}",
            "2026-11-28 22:40:00.5 +0000 UTC",
        ),
        ("{{ $value }}", "NaN"),
        ("{{ $value }}", "+Inf"),
        ("{{ $value }}-{{ $value }}", "1-2"),
        ("{{ printf \"%.2f\" $value }}", "0.50"),
        ("{{ $value | printf `%6.1f%%` }}!", "  12.5%!"),
        (
            "{{ printf \"%s (%s): %.1f\" $labels.job $labels.tenant_id $value }}",
            "node (acme): 0.5",
        ),
        ("{{ $labels.tenant_id | toUpper }}", "ACME"),
        ("{{ title $labels.tenant_id }}", "Acme"),
        ("{{ toLower $labels.job }}", "node"),
        ("{{ $labels.instance | stripPort }}", "web-1.example.com"),
        ("{{ $labels.instance | stripDomain }}", "web-1:9100"),
    ] {
        assert!(makes(template, text), "{template} makes {text}");
        assert!(!makes(template, &format!("{text}globex")), "{template}");
        assert!(!makes(template, &format!("globex{text}")), "{template}");
    }
}

#[test]
fn texts_that_a_template_does_not_make_are_rejected() {
    for (template, text) in [
        ("plain", "other"),
        ("", "globex"),
        ("{{ $labels.tenant_id }}", "globex"),
        ("{{ $labels.missing }}", "globex"),
        ("{{ $value }}", ""),
        ("{{ $value }}", "globex"),
        ("{{ $value }}", "9 globex"),
        ("{{ $value }}", "9globex"),
        ("{{ $value }} {{ $value }}", "9 globex 9"),
        ("{{ $value }}", "1e+globex"),
        ("{{ $value }}", "{count:1, sum:2}"),
        ("{{ $value }}", "<error expanding template: globex>"),
        ("{{ printf \"%s\" $labels.job }}", "globex"),
    ] {
        assert!(!makes(template, text), "{template} makes {text}");
    }
    let value = Template::read("v {{ $value }}").unwrap();
    assert!(!value.makes("v 9", label, false));
}

#[test]
fn templates_with_arbitrary_output_are_not_understood() {
    for template in [
        // A variable, `with`, `range`, `if`, comparisons.
        "{{ $x := $labels.tenant_id }}{{ $x }}",
        "{{ $x }}",
        "{{ with $labels.tenant_id }}{{ . }}{{ end }}",
        "{{ range $k, $v := $labels }}{{ $v }}{{ end }}",
        "{{ if eq $labels.tenant_id \"globex\" }}Ann{{ else }}Bob{{ end }}",
        "{{ if gt $value 5.0 }}globex{{ end }}",
        "{{ eq $labels.tenant_id \"globex\" }}",
        "{{ and $labels.tenant_id \"globex\" }}",
        "{{ $labels.x | or \"globex\" }}",
        "{{ define \"globex\" }}x{{ end }}",
        "{{ template \"globex\" . }}",
        "{{/* globex */}}",
        "{{- /* globex */ -}}",
        // Queries and their results.
        "{{ query \"up\" }}",
        "{{ query \"up\" | first | value }}",
        "{{ first (query \"up\") | label \"tenant_id\" }}",
        "{{ with query \"up\" }}{{ . | first | value | humanize }}{{ end }}",
        "{{ printf \"up{x='%s'}\" $labels.x | query | first | value }}",
        "{{ (query \"up\" | first).Labels.tenant_id }}",
        // Strings.
        "{{ \"globex\" }}",
        "{{ `globex` }}",
        "{{ print \"globex\" }}",
        "{{ printf \"globex\" }}",
        "{{ printf \"%s\" \"globex\" }}",
        "{{ printf \"globex %s\" $labels.x }}",
        "{{ printf \"gl\\u006fbex %s\" $labels.x }}",
        "{{ printf \"%s %s\" $labels.x }}",
        "{{ printf \"%s\" $labels.x $labels.y }}",
        "{{ printf \"%[1]s\" $labels.x }}",
        "{{ printf \"%*d\" $value }}",
        "{{ printf \"%q\" $labels.x }}",
        "{{ printf \"%\" }}",
        "{{ printf $labels.x $value }}",
        "{{ reReplaceAll \".*\" \"globex\" $labels.tenant_id }}",
        "{{ $labels.tenant_id | reReplaceAll \"acme\" \"globex\" }}",
        "{{ match \"globex\" $labels.tenant_id }}",
        "{{ index $labels \"tenant_id\" }}",
        "{{ args \"globex\" }}",
        "{{ graphLink \"up{tenant_id='globex'}\" }}",
        "{{ urlQueryEscape \"globex\" }}",
        "{{ parseDuration \"1h\" }}",
        // More than one label, or none.
        "{{ $labels }}",
        "{{ .Labels }}",
        "{{ . }}",
        "{{ $ }}",
        "{{ $externalLabels.tenant_id }}",
        "{{ .ExternalLabels.tenant_id }}",
        "{{ $externalURL }}",
        "{{ externalURL }}",
        "{{ pathPrefix }}",
        "{{ $labels.a.b }}",
        "{{ $labels.a b }}",
        "{{ $labels. }}",
        "{{ $labels.é }}",
        "{{ ($labels.tenant_id) }}",
        "{{ ($value) | humanize }}",
        "{{ $value | }}",
        "{{ | humanize }}",
        "{{ $value | humanize 5 }}",
        "{{ humanize }}",
        "{{ $value | toUpper }}",
        "{{ $value | tenant }}",
        "{{ $labels.x | humanize }}",
        "{{ $labels.x | toUpper | title }}",
        "{{ toTime $value }}",
        "{{ toDuration $value }}",
        "{{ now }}",
        "{{ len $labels.x }}",
        "{{}}",
        "{{ }}",
        "{{ -}}",
        "{{- -}}",
        "{{ $value",
        "{{ printf \"}}\" }}",
        "{{ break }}",
        "{{ $labels.x \"globex\" }}",
    ] {
        assert!(Template::read(template).is_none(), "{template}");
    }
    assert!(Template::read("{{ $value }}{{ $value }}").is_none());
    let long = "{{ $labels.x }}".repeat(MAX_PARTS);
    assert!(Template::read(&long).is_some());
    assert!(Template::read(&format!("{long}.")).is_none());
    assert!(Template::read(&format!("{long}{{{{ $labels.x }}}}")).is_none());
}

#[test]
fn comparison_of_many_numbers_is_bounded() {
    let template = "{{ $value }} ".repeat(MAX_PARTS / 2);
    let template = Template::read(&template).unwrap();
    assert!(!template.makes(&"1 ".repeat(50_000), label, true));
    assert!(template.makes(&"1 ".repeat(MAX_PARTS), label, true));
}

/// A template in pieces with the text that it makes, changed in one position.
fn pieces() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    const PIECES: [(&str, &str); 10] = [
        ("{{ $labels.tenant_id }}", "acme"),
        ("{{ $value | humanize }}", "1.5k"),
        ("{{ printf \"%.1f%%\" $value }}", "12.5%"),
        ("{{ $labels.job | toUpper }}", "NODE"),
        ("{{ $labels.none }}", ""),
        (" is at ", " is at "),
        ("{{- $value -}}", "7"),
        ("x", "x"),
        ("{{ query \"up\" | first | value }}", "9"),
        ("{{ if $value }}y{{ end }}", "y"),
    ];
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Detects any part of the text that is not from the template, the labels or a number.
    #[test]
    fn text_with_a_foreign_word_is_never_shown(
        pieces in pieces(),
        at in any::<prop::sample::Index>(),
        word in prop::sample::select(&["globex", "g", "B", "acme-2", "_", "é"][..]),
    ) {
        let template: String = pieces.iter().map(|(template, _)| *template).collect();
        let made: String = pieces.iter().map(|(_, text)| *text).collect();
        if let Some(template) = Template::read(&template) {
            let (before, after) = made.split_at(at.index(made.len() + 1));
            let changed = format!("{before}{word}{after}");
            let is_unit = word.len() == 1 && word != "_";
            prop_assert!(is_unit || !template.makes(&changed, label, true), "{}", changed);
        }
    }

    #[test]
    fn arbitrary_templates_and_texts_never_panic(template in ".{0,40}", text in ".{0,40}") {
        if let Some(template) = Template::read(&template) {
            let _ = template.makes(&text, label, true);
        }
    }

    #[test]
    fn plain_text_matches_itself(text in "[^{]{0,40}") {
        let template = Template::read(&text).unwrap();
        prop_assert!(template.makes(&text, label, false));
    }
}
