//! Which test proves what: every row of the threat model with the tests that try it, and a test
//! that this table is true. To add a row, name the attack, the answer to it, and the test.
//!
//! P paths, Q parameters, L queries, V tenant values, J tokens, H headers, X framing and floods,
//! R answers, T traces, O operation, F faults around us,
//! K clusters, S TLS, N limits by tenant, A the admin address, the audit trail and the log,
//! W pressure on others, B hops before and behind us, M Alertmanager.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

struct Row {
    id: &'static str,
    attack: &'static str,
    /// `file::function`, the file without `.rs`.
    tests: &'static [&'static str],
}

const fn row(id: &'static str, attack: &'static str, tests: &'static [&'static str]) -> Row {
    Row { id, attack, tests }
}

#[rustfmt::skip]
const THREATS: &[Row] = &[
    // Empty segments are cleaned, as the stores clean them: the clean path is classified and sent.
    row("P1", "empty and dot segments", &["tests/e2e/hostile/requests/paths::p1_p3_p4_odd_spellings_of_data_paths_are_refused", "tests/e2e/hostile/requests/paths::p1_p5_empty_segments_are_cleaned_before_the_path_is_classified", "src/proxy/route/path::paths_of_data_apis_are_cleaned_as_the_stores_clean_them", "src/proxy/route/path::canonical_path_is_unambiguous", "src/proxy/route/path::harmlessly_odd_path_has_no_data_api_reading"]),
    row("P2", "escaped letters in a path", &["tests/e2e/hostile/requests/paths::p2_harmless_escapes_are_the_endpoint_they_spell"]),
    row("P3", "encoded and doubly encoded separators", &["tests/e2e/hostile/requests/paths::p1_p3_p4_odd_spellings_of_data_paths_are_refused"]),
    row("P4", "a way out of a label's name", &["tests/e2e/hostile/requests/paths::p1_p3_p4_odd_spellings_of_data_paths_are_refused"]),
    // The same endpoint under the same rule, since that is where the stores redirect to.
    row("P5", "a trailing slash", &["tests/e2e/hostile/requests/paths::p1_p5_empty_segments_are_cleaned_before_the_path_is_classified", "tests/e2e/hostile/requests/paths::p5_p6_near_misses_are_not_the_endpoint", "tests/e2e/traces/recorded/sent::odd_path_is_forwarded_as_parsed_or_refused"]),
    row("P6", "path parameters, NUL, fragments, another case", &["tests/e2e/hostile/requests/paths::p5_p6_near_misses_are_not_the_endpoint"]),
    row("P7", "absolute form, `*`, CONNECT", &["tests/e2e/hostile/requests/paths::p7_p9_the_route_is_by_path_alone", "tests/e2e/hostile/http2::x1_http2_heads_that_are_malformed_are_refused"]),
    row("P8", "an upstream below a path", &["tests/e2e/law/filtered::a_base_path_upstream_changes_nothing", "tests/e2e/forwarding/upstream::the_base_path_goes_before_every_path"]),
    row("P9", "a path in a parameter", &["tests/e2e/hostile/requests/paths::p7_p9_the_route_is_by_path_alone"]),
    row("P10", "headers that name another path", &["tests/e2e/hostile/requests/headers::p10_h1_h3_identity_headers_of_clients_are_stripped"]),
    row("P11", "a trace id that is a path", &["tests/e2e/traces/recorded/refused::ids_that_are_none"]),
    row("P12", "endpoints that are no tenant's", &["tests/e2e/hostile/requests/paths::p12_endpoints_without_confinement_are_closed", "tests/e2e/interfaces/first_requests::flags_that_shape_queries_are_shown_and_no_others", "tests/e2e/interfaces/first_requests::endpoints_about_the_upstream_are_whole_only_where_they_are_open", "tests/e2e/interfaces/first_requests::scrape_pools_are_those_of_own_targets", "tests/e2e/hostile/requests/paths::internals_of_tempo_are_closed_behind_a_shared_gateway"]),
    // Two different queries are refused. Of what bounds an answer the first counts, as in Go.
    row("Q1", "a parameter twice", &["tests/e2e/hostile/requests/params::q1_q2_query_is_forwarded_once_in_one_parameter"]),
    row("Q2", "a parameter in URL and body", &["tests/e2e/hostile/requests/params::q1_q2_query_is_forwarded_once_in_one_parameter"]),
    row("Q3", "several `match[]`, or none", &["tests/e2e/hostile/requests/params::q3_q4_every_selector_is_confined_and_none_means_the_tenants"]),
    row("Q4", "names that are nearly `match[]`", &["tests/e2e/hostile/requests/params::q3_q4_every_selector_is_confined_and_none_means_the_tenants"]),
    // What Go drops is dropped, unless it names a query or selector under any reading.
    row("Q5", "`;` between parameters", &["tests/e2e/hostile/requests/params::q5_q6_q7_q8_bodies_have_one_reading_or_none"]),
    // Read as Go reads it, and sent on as one form: nothing of the parts reaches the upstream.
    row("Q6", "multipart", &["src/prometheus/multipart::broken_bodies_are_refused", "tests/e2e/hostile/requests/params::q5_q6_q7_q8_bodies_have_one_reading_or_none"]),
    // Go reads no parameters from them. They are ignored, and not sent on; alone they are refused.
    row("Q7", "odd content types", &["src/prometheus/body_type::other_types_are_not_read", "tests/e2e/hostile/requests/params::q5_q6_q7_q8_bodies_have_one_reading_or_none"]),
    row("Q8", "compressed forms, and bombs", &["tests/e2e/hostile/requests/params::q5_q6_q7_q8_bodies_have_one_reading_or_none", "tests/e2e/hostile/resources::q8_r1_bombs_are_not_unpacked"]),
    // The body of a GET is not read and not sent on.
    row("Q9", "other methods, and names that override them", &["tests/e2e/hostile/requests/params::q9_methods_are_those_of_the_endpoint"]),
    row("Q10", "too many, too long, too deep", &["tests/e2e/hostile/requests/params::q10_too_much_is_refused", "tests/e2e/hostile/resources::x3_bodies_without_end_are_bounded", "src/promql/tests/properties::long_queries_use_bounded_stack_and_time"]),
    row("Q11", "bad escapes and bad text", &["tests/e2e/hostile/requests/params::q11_bad_escapes_and_bad_text_are_refused"]),
    row("Q12", "parameters of other servers", &["tests/e2e/hostile/requests/params::q12_other_parameters_are_dropped_or_refused"]),
    row("L1", "selectors in every place", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused", "src/promql/tests/properties::queries_are_confined", "tests/e2e/law/mod::answers_are_those_of_a_private_store"]),
    row("L2", "matchers on the tenant label", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused"]),
    row("L3", "two matchers on the label", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused"]),
    row("L4", "quoted label names", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused"]),
    row("L5", "`or` between matchers", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused"]),
    row("L6", "`info()`", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused"]),
    row("L7", "no selector at all", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused"]),
    row("L8", "a tenant label made by the query", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused"]),
    row("L9", "syntax of tomorrow", &["tests/e2e/hostile/requests/params::l_queries_are_confined_everywhere_or_refused"]),
    row("L10", "a query that a round trip would change", &["src/promql/tests/properties::arbitrary_tokens_never_panic_and_splices_are_minimal", "tests/e2e/law/mod::answers_are_those_of_a_private_store"]),
    row("V1", "tenants whose names are regexes or quotes", &["tests/e2e/hostile/requests/tokens::v_tenants_are_exactly_those_of_the_claim", "tests/e2e/law/mod::answers_are_those_of_a_private_store", "src/tenancy/matchers::tenant_with_quotes_is_escaped"]),
    row("V2", "claims of nothing", &["tests/e2e/hostile/requests/tokens::v_tenants_are_exactly_those_of_the_claim"]),
    row("V3", "a text for a list, JSON in a text, an object for a list", &["src/tenancy/claim_values::form_that_has_no_reading_is_refused", "src/tenancy/claim_values::claim_that_is_with_the_provider_is_said_to_be_there", "src/tenancy/scope/tests::condition_on_a_claim_of_another_type_refuses_the_token", "tests/e2e/hostile/requests/tokens::v_tenants_are_exactly_those_of_the_claim"]),
    row("V4", "thousands of groups", &["tests/e2e/hostile/requests/tokens::v_tenants_are_exactly_those_of_the_claim"]),
    row("V5", "a series without the label", &["src/tenancy/matchers::series_without_the_label_does_not_match", "tests/e2e/hostile/requests/tokens::v_tenants_are_exactly_those_of_the_claim"]),
    row("V6", "a group that is taken away", &["tests/e2e/reload/config::a_changed_map_means_other_tenants", "tests/e2e/reload/config::a_rewritten_file_takes_effect"]),
    row("V7", "a claim with an expression in it", &["tests/e2e/tools/explain::selectors_of_the_caller_are_explained", "src/tenancy/scope/tests::claim_never_becomes_an_expression", "src/tenancy/values::tenant_without_a_selector_has_the_value_of_its_name"]),
    row("V8", "an expression that the store and the filters read differently, or that matches data without the label", &["src/value_pattern::syntax_that_could_be_read_differently_is_refused", "src/value_pattern::pattern_that_matches_the_empty_value_is_refused", "src/value_pattern::costly_long_or_broken_pattern_is_refused", "src/tenancy/values::expression_and_filter_agree", "tests/e2e/law/selectors::filter_and_prometheus_agree_on_every_value", "tests/e2e/law/selectors::answers_of_a_selector_are_those_of_a_private_store"]),
    row("V9", "a silence or an alert beside a selector", &["src/alertmanager/ownership::silence_with_the_tenants_own_expression_is_own", "src/alertmanager/alerts::posted_alert_of_a_selector_must_name_one_of_its_values", "tests/e2e/alertmanager/law::selector_of_the_same_alerts_has_the_same_answers"]),
    row("V10", "a selector that confines one API and not the other, or none", &["src/config/tests/rules::conditions_that_would_not_confine_are_refused", "src/config/tests/rules::conditions_and_further_dimensions_name_different_labels"]),
    row("V11", "tenants whose data no single selector selects", &["src/config/tests/rules::fixed_tenants_without_a_common_selector_are_refused", "src/tenancy/scope/tests::several_tenants_have_metrics_only_if_one_selector_selects_them", "tests/e2e/law/selectors::answers_of_conditions_on_several_labels_are_those_of_a_private_store"]),
    row("V12", "values of another type than the condition's, missing attributes, and `or` between conditions", &["src/traceql/predicate::stage_and_owner_agree", "src/traceql/predicate::typed_values_are_no_texts", "src/traceql/predicate::no_two_alternatives_are_comparisons_of_the_same_attribute", "tests/e2e/traces/live/unions::live_unions_select_what_the_conditions_say"]),
    row("J1", "`none`, and signatures by another algorithm", &["tests/e2e/hostile/requests/tokens::j_only_valid_tokens_are_accepted", "tests/e2e/hostile/requests/tokens::j1_algorithms_are_those_of_the_issuer", "src/auth/authenticator/tests::algorithm_outside_the_issuers_list_is_refused", "src/auth/jwks/tests::tokens_of_every_kind_of_key_are_verified_and_by_no_other_key"]),
    row("J2", "keys that the token names", &["src/auth/authenticator/tests::keys_in_or_named_by_the_token_are_ignored", "tests/e2e/reload/keys::an_unknown_key_is_asked_for_once_in_a_while", "src/auth/jws::unsupported_header_is_refused", "tests/e2e/hostile/requests/tokens::j2_nothing_is_fetched_for_a_token"]),
    row("J3", "a key of another issuer", &["src/auth/authenticator/tests::keys_belong_to_their_issuer", "tests/e2e/hostile/requests/tokens::j_only_valid_tokens_are_accepted"]),
    row("J4", "tokens for another service", &["tests/e2e/hostile/requests/tokens::j_only_valid_tokens_are_accepted", "src/auth/claims::authorized_parties_are_checked_only_if_configured"]),
    row("J5", "odd times, and clocks that disagree", &["src/auth/claims::time_must_be_a_number_of_seconds_and_leeway_is_bounded", "tests/e2e/hostile/requests/tokens::j_only_valid_tokens_are_accepted", "src/auth/claims::token_valid_for_longer_than_its_issuer_allows_is_refused", "tests/e2e/tools/doctor::issuer_without_a_longest_lifetime_is_found"]),
    row("J6", "tokens with two readings", &["src/auth/jws::claims_are_an_object_without_duplicates", "src/auth/jws::token_without_exactly_three_parts_is_refused", "tests/e2e/hostile/requests/tokens::j_only_valid_tokens_are_accepted", "src/auth/jws::arbitrary_text_is_parsed_unambiguously_or_refused", "src/auth/jws::changed_token_is_another_or_invalid"]),
    row("J7", "several tokens, other schemes", &["tests/e2e/hostile/requests/tokens::j_only_valid_tokens_are_accepted"]),
    row("J8", "two headers that name different users; an opaque, encrypted or broken token before another's", &["src/auth/opaque::text_that_some_reader_may_take_for_a_jwt_is_not_opaque", "src/auth/source::text_that_may_be_a_jwt_is_not_passed_over", "src/auth/source::malformed_header_is_not_skipped", "src/auth/authenticator/provider_tests::auth0_access_token_with_an_audience_has_the_actions_claims", "src/auth/authenticator/tests::order_of_sources_decides_which_token_is_used", "tests/e2e/hostile/requests/tokens::j_only_valid_tokens_are_accepted"]),
    row("J9", "a provider that is down, slow, huge, or redirects", &["tests/e2e/reload/keys::without_its_provider_it_is_not_ready_and_recovers", "tests/e2e/reload/keys::keys_outlive_their_provider_but_not_for_ever", "src/auth/fetch/tests::answers_are_bounded_and_redirects_are_not_followed", "src/auth/store/tests::waiting_for_a_fetch_is_bounded", "src/auth/jwks/tests::unusable_keys_are_ignored"]),
    row("J10", "a key that was revoked", &["src/auth/authenticator/tests::revoked_key_is_refused_after_the_refresh_even_for_cached_tokens", "tests/e2e/reload/keys::published_keys_are_followed"]),
    row("H1", "tenant headers, also in trailers", &["tests/e2e/hostile/requests/headers::p10_h1_h3_identity_headers_of_clients_are_stripped", "tests/e2e/hostile/requests/headers::h1_trailers_carry_no_tenant"]),
    row("H2", "`Connection` that names our headers", &["tests/e2e/hostile/requests/headers::h2_hop_by_hop_headers_take_nothing_of_ours_away"]),
    row("H3", "headers that some server believes", &["tests/e2e/hostile/requests/headers::p10_h1_h3_identity_headers_of_clients_are_stripped"]),
    row("H4", "the caller's token upstream", &["tests/e2e/hostile/requests/headers::h4_the_callers_token_stays_here"]),
    row("H5", "CR, LF, NUL and folds in headers", &["tests/e2e/hostile/requests/headers::h5_broken_header_lines_are_refused", "tests/e2e/hostile/framing::x1_h5_request_lines_and_heads_have_one_reading"]),
    row("X1", "two readings of where a request ends", &["tests/e2e/hostile/framing::x1_x2_every_way_to_frame_a_body", "tests/e2e/hostile/framing::x1_pieces_make_no_difference", "tests/e2e/hostile/http2::x1_http2_heads_that_are_malformed_are_refused", "tests/e2e/hostile/http2::x1_http2_bodies_are_as_long_as_they_say", "tests/e2e/hostile/faults::x1_bytes_after_an_upstream_response_are_discarded", "tests/e2e/hostile/requests/framing::x1_ambiguous_lengths_are_refused_and_the_connection_closed", "tests/e2e/hostile/requests/framing::x1_other_oddities_of_framing_hide_no_request", "tests/e2e/hostile/requests/framing::x1_http2_requests_say_one_host_and_no_framing", "tests/e2e/hostile/framing::x1_h5_request_lines_and_heads_have_one_reading", "src/server/h1_framing/tests::checker_agrees_with_hyper_on_message_ends"]),
    row("X2", "a request in a refused body", &["tests/e2e/hostile/requests/framing::x2_the_body_of_a_refused_request_is_no_request", "tests/e2e/hostile/requests/framing::x2_unauthenticated_clients_get_no_100_continue", "tests/e2e/hostile/framing::x2_nothing_is_read_after_an_error", "tests/e2e/hostile/framing::x1_x2_every_way_to_frame_a_body"]),
    row("X3", "slow clients and floods", &["tests/e2e/hostile/requests/framing::x3_silent_clients_are_let_go", "tests/e2e/hostile/http2::x3_rapid_reset_is_cut_off", "tests/e2e/hostile/http2::x3_floods_of_heads_are_cut_off", "tests/e2e/hostile/http2::x3_floods_of_small_frames_are_endured", "tests/e2e/hostile/http2::x3_frames_that_break_the_protocol_end_the_connection", "tests/e2e/hostile/resources::x3_slow_readers_of_whole_answers_are_let_go", "tests/e2e/hostile/resources::x3_streams_without_window_do_not_block_others", "tests/e2e/hostile/resources::x3_heads_without_end_are_bounded", "tests/e2e/hostile/resources::x3_bodies_without_end_are_bounded", "tests/e2e/hostile/resources::x3_ten_thousand_idle_connections_are_carried", "tests/e2e/hostile/pressure::unread_refusals_do_not_block_others"]),
    row("X4", "upgrades", &["tests/e2e/hostile/requests/framing::x4_nothing_is_tunnelled"]),
    row("X5", "a client that has ended its side, or is gone", &["tests/e2e/hostile/framing::a_client_that_has_ended_its_side_is_answered", "tests/e2e/hostile/framing::a_client_that_is_gone_is_noticed", "tests/e2e/forwarding/upstream::a_client_that_leaves_takes_its_upstream_request_along"]),
    row("X6", "HTTP/1.0 that keeps its connection", &["tests/e2e/hostile/framing::http10_keeps_a_connection_only_if_asked"]),
    row("W1", "bodies that drip one byte before each deadline", &["tests/e2e/hostile/pressure::w1_dripped_bodies_keep_no_other_tenant_out", "tests/e2e/hostile/pressure::w1_dripped_streams_of_four_connections_keep_no_other_tenant_out", "tests/e2e/connections/listener::drip_below_the_minimum_rate_is_a_408", "tests/e2e/connections/listener::form_that_is_not_complete_in_time_is_a_408_and_an_upload_is_not", "tests/e2e/connections/listener::stream_with_an_incomplete_form_is_reset_alone", "tests/e2e/connections/listener::form_that_is_not_complete_holds_no_permit", "tests/e2e/connections/listener::clients_that_leave_give_all_back", "src/body/wait_budget::rate_below_the_minimum_is_tolerated_for_one_idle_timeout"]),
    row("W2", "unfinished forms up to the bound on memory", &["tests/e2e/hostile/pressure::w2_unfinished_forms_leave_memory_to_other_tenants", "src/shares/tests::new_tenant_gets_something_whatever_others_hold"]),
    row("W6", "one of a tenant's callers takes all that the tenant may", &["tests/e2e/hostile/pressure::w6_subject_that_takes_all_leaves_a_share_to_the_others_of_its_tenant", "src/shares/tests::next_subject_of_a_busy_tenant_finds_something_left"]),
    row("R1", "answers that cannot be filtered", &["tests/e2e/law/filtered::unreadable_answers_are_a_502_and_never_passed_on", "tests/e2e/forwarding/answers::data_answers_that_cannot_be_checked_are_502", "tests/e2e/hostile/faults::r1_garbage_is_never_passed_on", "tests/e2e/hostile/faults::r1_garbage_of_tempo_is_never_passed_on", "tests/e2e/hostile/faults::r1_answers_framed_twice_are_read_once_or_refused", "tests/e2e/hostile/resources::q8_r1_bombs_are_not_unpacked", "tests/e2e/hostile/resources::r1_odd_json_of_the_upstream_is_passed_or_refused"]),
    row("R2", "rules whose expressions name others", &["tests/e2e/law/filtered::nothing_of_another_tenant_is_in_a_filtered_answer", "tests/e2e/law/filtered::filtered_answers_are_those_of_a_private_store", "src/prometheus/filter/mod::filter_agrees_with_a_model"]),
    row("R5", "texts of shared rules: strings outside matchers, templates of labels and annotations, queries in them", &["tests/e2e/law/filtered::r5_texts_of_shared_rules_never_hold_another_tenants_name_or_data", "src/prometheus/filter/rules/tests::foreign_data_in_a_shared_rule_is_never_shown", "src/prometheus/filter/rules/tests::shared_rule_texts_are_shown_only_if_their_content_is_certain", "src/prometheus/filter/rules/tests::numbers_are_shown_only_if_derived_from_own_series", "src/prometheus/filter/rules/tests::hidden_label_cannot_be_guessed_by_match", "src/prometheus/filter/rules/tests::folder_of_shared_rules_is_hidden_and_cannot_be_guessed", "src/prometheus/filter/rules/template/tests::templates_with_arbitrary_output_are_not_understood", "src/prometheus/filter/rules/template/tests::text_with_a_foreign_word_is_never_shown", "src/promql/tests/shared::a_shown_expression_never_holds_a_planted_value"]),
    row("R3", "errors, warnings and headers that tell of others", &["tests/e2e/hostile/faults::r3_headers_and_trailers_of_the_upstream_stay_behind", "tests/e2e/hostile/requests/errors::an_upstream_that_fails_is_a_502_or_504", "tests/e2e/traces/recorded/shown::errors_are_plain_text_without_other_tenants_data"]),
    row("R6", "metadata and search results with texts that another tenant's target wrote", &["tests/e2e/law/filtered::help_text_of_another_tenants_target_is_never_shown", "tests/e2e/law/filtered::metadata_of_targets_is_that_of_a_private_store", "tests/e2e/law/filtered::upstream_without_metadata_of_targets_gives_types_alone", "tests/e2e/interfaces/search::search_is_confined_by_its_selectors", "tests/e2e/interfaces/search::search_shows_metadata_of_own_targets_alone", "tests/e2e/interfaces/search::texts_of_the_store_in_a_search_are_scrubbed", "tests/e2e/interfaces/search::search_answer_of_another_form_is_not_passed_on"]),
    row("R4", "trace ids of others in exemplars", &["tests/e2e/traces/recorded/shown::foreign_traces_look_like_missing_ones"]),
    row("M1", "Alertmanager: others' alerts, silences and receivers in an answer", &["tests/e2e/alertmanager/hostile::m1_other_tenants_names_and_ids_are_in_no_answer", "tests/e2e/alertmanager/law::answers_are_those_of_a_private_alertmanager", "tests/e2e/alertmanager/law::status_withholds_configuration_and_receivers_are_those_of_own_alerts", "src/alertmanager/alerts::damaged_answer_leaks_nothing"]),
    row("M2", "others' silences by their ids, however the path is written", &["tests/e2e/alertmanager/hostile::m2_foreign_silence_is_neither_shown_nor_expired", "src/alertmanager/endpoints::id_that_is_no_uuid_is_malformed"]),
    row("M3", "a change of a silence that is not the caller's", &["tests/e2e/alertmanager/hostile::m3_foreign_silence_is_not_changed", "tests/e2e/alertmanager/writes::silence_of_several_tenants_is_confined_by_an_expression"]),
    row("M4", "a silence that matches others' alerts", &["tests/e2e/alertmanager/hostile::m4_silence_that_may_match_others_is_refused", "src/alertmanager/ownership::own_expression_matches_no_other_value", "src/alertmanager/silences::forwarded_silence_is_own"]),
    row("M5", "posted bodies that can be read in two ways, or are too large", &["tests/e2e/alertmanager/hostile::m5_ambiguous_bodies_are_refused", "src/alertmanager/silences::body_that_can_be_read_in_two_ways_is_refused", "src/alertmanager/alerts::body_that_can_be_read_in_two_ways_is_refused", "src/alertmanager/alerts::alerts_that_become_too_long_with_their_tenants_are_refused"]),
    row("M6", "ids of foreign silences and alerts in the state of own alerts", &["tests/e2e/alertmanager/hostile::m6_foreign_silences_and_alerts_are_not_named"]),
    row("M7", "Alertmanager's other endpoints, and writes in shadow mode", &["tests/e2e/alertmanager/hostile::m7_all_other_paths_are_closed_and_data_needs_a_token", "tests/e2e/alertmanager/tools::shadow_mode_forwards_reads_and_enforces_writes"]),
    row("M8", "alerts in another tenant's name", &["tests/e2e/alertmanager/writes::posted_alerts_carry_the_tenant", "src/alertmanager/alerts::forwarded_alerts_are_own"]),
    row("M9", "posted bodies that take far more memory once they are read", &["tests/e2e/alertmanager/hostile::m9_posts_are_read_within_the_byte_budget"]),
    row("T1", "traces of others, in part or whole", &["tests/e2e/traces/recorded/shown::a_mixed_trace_comes_without_the_others_resources", "tests/e2e/traces/recorded/shown::a_resource_must_name_the_tenant_once_in_a_string", "src/tempo/trace/json/tests::a_mutated_answer_never_shows_more", "src/tempo/trace/protobuf/tests::a_mutated_answer_never_shows_more"]),
    row("T2", "telling `not yours` from `not there`", &["tests/e2e/traces/recorded/shown::foreign_traces_look_like_missing_ones", "tests/e2e/traces/recorded/shown::one_answer_takes_one_request_unless_it_is_a_page"]),
    row("T3", "every form of a trace", &["tests/e2e/traces/recorded/refused::the_format_for_language_models", "tests/e2e/traces/recorded/shown::a_mixed_trace_comes_without_the_others_resources"]),
    row("T4", "TraceQL that leaves the tenant's spans", &["tests/e2e/traces/recorded/sent::every_pipeline_of_a_query_is_confined", "tests/e2e/traces/live/mod::live_answers_are_those_of_a_private_tempo"]),
    row("T5", "oracles on foreign spans", &["tests/e2e/traces/recorded/refused::queries", "tests/e2e/traces/live/mod::live_answers_are_those_of_a_private_tempo"]),
    row("T6", "the older search form", &["tests/e2e/traces/recorded/sent::tag_searches_are_forwarded_as_one_query"]),
    row("T7", "tags and their values", &["tests/e2e/traces/recorded/sent::tag_calls_are_forwarded_as_v2_with_supported_conditions_only", "tests/e2e/traces/recorded/names::name_that_tempo_does_not_filter_is_listed_only_if_the_caller_has_a_value", "tests/e2e/traces/recorded/names::failed_check_fails_the_call", "tests/e2e/traces/recorded/shown::the_first_versions_of_tag_calls_are_made_of_the_second", "src/traceql/tags/tests::conditions_of_the_caller_are_found_by_older_versions", "src/traceql/tags/tests::what_older_versions_find_of_filters_parses", "tests/e2e/traces/recorded/tags::names_of_alternatives_are_those_of_all_requests", "tests/e2e/traces/recorded/tags::values_of_alternatives_are_those_of_all_requests_each_with_its_own_filter", "tests/e2e/traces/recorded/tags::attribute_without_a_scope_is_one_of_resources_and_one_of_spans", "tests/e2e/traces/recorded/tags::failed_request_for_an_alternative_fails_the_call"]),
    row("T8", "metrics of traces", &["tests/e2e/traces/recorded/sent::of_a_metrics_query_and_its_alias_one_is_forwarded", "tests/e2e/traces/recorded/shown::series_of_whole_traces_are_left_out_of_comparisons"]),
    row("T9", "what a page tells of whole traces", &["tests/e2e/traces/recorded/shown::page_shows_metadata_only_of_the_tenants_whole_traces", "tests/e2e/traces/recorded/shown::where_it_cannot_be_found_out_no_trace_is_wholly_the_tenants", "tests/e2e/traces/recorded/exact::shared_traces_are_described_by_a_search_for_the_tenants_spans", "src/tempo/search/own_spans::both_searches_are_confined_to_the_tenants_spans", "tests/e2e/traces/recorded/exact::trace_that_a_search_does_not_describe_for_certain_is_fetched", "tests/e2e/traces/recorded/exact::shared_traces_are_described_by_the_tenants_spans", "tests/e2e/traces/recorded/exact::trace_that_comes_again_in_a_stream_is_described_alike", "src/tempo/search/exact_tests::page_of_shared_traces_is_that_of_the_private_store"]),
    row("T10", "gRPC", &["tests/e2e/traces/recorded/grpc::every_other_method_is_unimplemented_and_not_forwarded", "tests/e2e/traces/recorded/grpc::messages_that_cannot_be_read_are_refused", "tests/e2e/traces/recorded/grpc::without_a_token_nothing_is_answered", "tests/e2e/traces/recorded/grpc::a_search_is_confined_and_its_messages_are_filtered", "tests/e2e/traces/recorded/grpc::other_content_types_are_refused", "tests/e2e/traces/recorded/grpc::ambiguous_path_is_not_forwarded", "src/wire/tests::what_is_walked_is_what_a_decoder_reads"]),
    row("T11", "Tempo's other endpoints", &["tests/e2e/traces/recorded/refused::everything_else_of_tempo"]),
    row("T12", "traces too large to be held", &["tests/e2e/hostile/resources::many_huge_traces_at_once", "tests/e2e/hostile/resources::huge_protobuf_traces_hold_at_most_what_is_the_callers"]),
    row("T13", "a flood of shared traces, or slow, huge and unreadable ones, on a page", &["tests/e2e/traces/recorded/exact::traces_of_a_response_beyond_the_limit_are_masked", "tests/e2e/traces/recorded/exact::trace_that_cannot_be_fetched_is_masked", "tests/e2e/traces/recorded/exact::page_does_not_wait_long_for_slow_traces", "tests/e2e/traces/recorded/exact::page_does_not_wait_long_for_a_search_for_the_tenants_spans", "src/tempo/search/own_spans::searches_are_for_a_bounded_number_of_short_traces", "tests/e2e/traces/recorded/exact::simultaneous_pages_fetch_a_trace_once", "src/tempo/trace/summary::names_of_services_are_bounded"]),
    row("T14", "spans that another tenant adds to a trace that was the caller's alone; verdicts of other callers", &["tests/e2e/traces/recorded/exact::trace_that_becomes_shared_is_looked_up_again", "tests/e2e/traces/recorded/exact::trace_that_is_described_as_before_is_not_looked_up_again", "src/tempo/search/exact_tests::description_of_a_trace_is_the_same_only_if_all_of_it_is"]),
    row("T15", "what an outline of foreign spans shows", &["tests/e2e/traces/recorded/outlined::t15_foreign_spans_are_nodes_without_what_describes_them", "tests/e2e/traces/recorded/outlined::t15_outline_shows_what_the_operator_lists", "tests/e2e/traces/recorded/outlined::t15_trace_without_own_spans_does_not_exist", "tests/e2e/traces/recorded/outlined::t15_tenants_of_others_are_not_named", "tests/e2e/traces/live/outlines::live_outlines_are_own_spans_of_a_private_tempo_and_nodes_for_all_others", "src/tempo/trace/outline/tests::outline_is_that_of_a_decoder", "src/tempo/trace/outline/tests::nothing_unknown_is_copied_from_protobuf", "src/tempo/trace/outline/tests::nothing_unknown_is_copied_from_json", "src/tempo/trace/outline/tests::attribute_that_names_the_tenant_is_shown_nowhere", "src/config/tests/cross_checks::outline_shows_no_tenants"]),
    row("T16", "names of other tenants' roots, in filters, tag values, select() and exemplars", &["tests/e2e/traces/recorded/sent::values_of_roots_are_looked_for_among_the_tenants_root_spans", "src/traceql/tags/tests::condition_on_roots_is_not_found_by_older_versions", "src/traceql/grammar_tests::trace_level_intrinsics_are_refused_everywhere", "src/traceql/own_roots/tests::other_uses_of_roots_are_refused", "tests/e2e/traces/recorded/sent::conditions_on_roots_are_forwarded_as_conditions_on_the_callers_own_roots", "tests/e2e/traces/recorded/shown::names_that_only_the_forwarded_query_reads_are_not_shown", "src/tempo/tag_name::intrinsics_of_whole_traces_have_a_tag_of_spans_or_are_refused"]),
    row("O1", "a bad config file", &["tests/e2e/reload/config::a_bad_file_changes_nothing_and_says_so", "tests/e2e/reload/config::at_start_a_bad_file_is_the_end"]),
    row("O2", "a reload in the middle of a request", &["tests/e2e/reload/config::under_load_no_request_fails_or_mixes_two_configs", "tests/e2e/reload/config::a_swapped_config_map_takes_effect", "tests/e2e/reload/config::half_a_file_is_not_taken_for_a_whole_one"]),
    row("O3", "a panic", &["src/proxy/defect::o3_a_panic_is_a_500_and_is_counted", "tests/e2e/hostile/faults::o3_library_panic_affects_no_request"]),
    row("O4", "the admin endpoint from outside", &["tests/e2e/admin::it_has_these_paths_and_methods_alone", "tests/e2e/hostile/requests/paths::p12_endpoints_without_confinement_are_closed", "tests/e2e/hostile/operator::o4_the_two_ports_share_nothing"]),
    row("O5", "secrets in the log", &["tests/e2e/hostile/requests/headers::h4_the_callers_token_stays_here", "tests/e2e/audit::no_token_is_written_anywhere", "tests/e2e/audit::queries_are_recorded_as_configured"]),
    row("O6", "a signal in the middle of requests", &["tests/e2e/connections/drain::under_load_nothing_accepted_is_lost", "tests/e2e/connections/drain::requests_in_flight_are_answered"]),
    row("O7", "more than the limits allow", &["tests/e2e/connections/listener::requests_beyond_the_limit_are_asked_to_come_back", "tests/e2e/connections/listener::connection_beyond_the_limit_is_closed_at_once_while_all_others_are_busy"]),
    row("O8", "a config that is valid and gives too much", &["src/config/tests/warnings::all_tenants_for_every_caller_is_refused", "src/config/tests/warnings::all_tenants_by_a_claim_of_any_issuer_is_warned_about", "src/config/tests/warnings::pattern_must_have_one_group_that_always_matches", "src/config/tests/warnings::registered_claims_are_refused_as_tenants", "src/config/tests/warnings::registered_claims_are_refused_as_conditions", "src/config/tests/warnings::subject_of_several_issuers_is_warned_about", "src/config/tests/warnings::labels_set_by_prometheus_are_refused_as_tenants", "src/config/tests/warnings::headers_of_http_itself_are_refused_as_token_headers", "tests/e2e/tls/upstreams::verification_can_be_switched_off_and_is_warned_of"]),
    row("O9", "a Tempo that ignores the tenant it is told", &["tests/e2e/health::tempo_that_ignores_org_ids_keeps_it_unready", "tests/e2e/tools/doctor::a_tempo_without_multitenancy_behind_org_ids_is_found"]),
    row("F1", "an upstream that is not there, or silent", &["tests/e2e/hostile/requests/errors::an_upstream_that_is_not_there_is_a_502", "tests/e2e/forwarding/upstream::no_head_in_time_is_a_504", "tests/e2e/hostile/faults::a_head_that_drips_is_a_504"]),
    row("F2", "an answer that breaks off", &["tests/e2e/forwarding/answers::a_query_answer_that_breaks_off_is_never_a_whole_one", "tests/e2e/forwarding/answers::an_answer_that_is_read_whole_and_breaks_off_is_a_502", "tests/e2e/traces/recorded/shown::a_trace_that_breaks_off_is_no_whole_trace"]),
    row("F3", "redirects", &["tests/e2e/forwarding/answers::redirects_elsewhere_stay_with_us"]),
    row("F4", "interim answers, and floods before an answer", &["tests/e2e/forwarding/answers::interim_answers_are_passed_over", "tests/e2e/hostile/faults::floods_before_an_answer_are_bounded"]),
    row("F5", "an answer of a gigabyte", &["tests/e2e/hostile/resources::a_gigabyte_of_samples_needs_little_memory", "tests/e2e/forwarding/answers::an_answer_too_long_to_be_filtered_is_a_502"]),
    row("F6", "a disk that is full", &["tests/e2e/audit::a_full_disk_fails_no_request"]),
    row("F7", "clocks that disagree", &["src/auth/claims::time_must_be_a_number_of_seconds_and_leeway_is_bounded", "tests/e2e/tools/doctor::a_clock_that_is_wrong_is_found"]),
    row("K1", "a path that may be another cluster's", &["tests/e2e/clusters/hostile::k1_a_path_is_below_a_prefix_or_it_is_not", "tests/e2e/clusters/hostile::k1_pages_are_of_one_cluster_too", "tests/e2e/clusters/routing::the_table_is_as_closed_below_a_prefix", "src/proxy/route/cluster/tests::routing_below_a_prefix_equals_routing_at_the_root"]),
    row("K2", "a host that is said twice, or nearly", &["tests/e2e/clusters/hostile::k2_a_host_is_said_once_and_read_once", "src/proxy/route/host::invalid_host_is_refused"]),
    row("K3", "gRPC that may mean several clusters", &["tests/e2e/clusters/hostile::k3_grpc_reaches_the_cluster_that_it_names_or_none", "tests/e2e/clusters/routing::grpc_without_a_host_of_its_own_is_refused", "tests/e2e/clusters/routing::grpc_goes_by_host"]),
    row("K4", "a redirect out of a cluster", &["tests/e2e/clusters/routing::pages_go_to_the_metrics_and_redirects_come_back_below_the_prefix"]),
    row("S1", "no TLS on a port that has it", &["tests/e2e/tls/hostile::s1_plain_requests_to_a_tls_port_are_not_served", "tests/e2e/tls/mod::plain_http_on_a_tls_port_gets_an_explanation"]),
    row("S2", "protocols other than those agreed on", &["tests/e2e/tls/hostile::s2_protocols_are_ours_or_none", "tests/e2e/tls/mod::negotiated_protocol_is_used"]),
    row("S3", "renegotiation, and old versions", &["tests/e2e/tls/hostile::s3_renegotiation_is_refused", "tests/e2e/tls/mod::both_versions_of_tls"]),
    row("S4", "certificates of clients", &["tests/e2e/tls/hostile::s4_a_certificate_is_no_token", "tests/e2e/tls/mod::certificates_of_clients_are_required", "tests/e2e/tls/mod::certificates_of_clients_are_optional"]),
    row("S5", "an upstream that is another", &["tests/e2e/tls/upstreams::only_the_configured_authority_is_trusted", "tests/e2e/tls/upstreams::the_servers_name_is_asked_for_and_verified", "tests/e2e/tls/upstreams::without_verification_a_certificate_still_needs_its_key"]),
    row("N1", "strangers who use up a tenant's share", &["tests/e2e/hostile/neighbours::n1_unauthenticated_clients_use_no_tenants_resources", "tests/e2e/hostile/neighbours::n1_slow_unauthenticated_clients_hold_no_permit", "tests/e2e/limits/mod::waiting_unauthenticated_clients_take_no_permit", "tests/e2e/limits/mod::clients_without_a_token_take_no_permits"]),
    row("N2", "a tenant who uses up another's", &["tests/e2e/hostile/neighbours::n2_limit_error_names_only_the_callers_tenant", "tests/e2e/limits/mod::a_noisy_tenant_does_not_slow_another", "tests/e2e/limits/mod::tenant_has_its_permits_and_no_more"]),
    row("N3", "names of tenants without end", &["tests/e2e/hostile/neighbours::n3_idle_tenants_are_removed"]),
    row("A1", "a web page that asks the admin address", &["tests/e2e/hostile/operator::a1_a_web_page_asks_nothing_of_the_admin_address", "tests/e2e/tools/explain::the_admin_endpoint_says_the_same_and_logs_no_token"]),
    row("A2", "huge, deep and slow questions there", &["tests/e2e/hostile/operator::a2_questions_of_the_admin_address_are_bounded", "tests/e2e/hostile/operator::a2_slow_request_does_not_block_others", "tests/e2e/admin::one_connection_too_many_closes_the_longest_quiet"]),
    row("A3", "lines written into the trail or the log", &["tests/e2e/hostile/operator::a3_request_data_cannot_inject_log_or_audit_lines", "tests/e2e/hostile/operator::a3_records_are_bounded", "src/telemetry/audit/text::control_characters_are_made_visible"]),
    row("A4", "a trace context that says more", &["tests/e2e/hostile/operator::a4_a_trace_context_says_nothing_else", "src/telemetry/traceparent::invalid_traceparent_is_removed_with_tracestate", "tests/e2e/spans/mod::an_invalid_one_goes_nowhere"]),
    row("A6", "a web page of another site that uses the APIs through a user's browser", &["tests/e2e/forwarding/cors::without_cors_preflight_is_a_request_like_any_other", "tests/e2e/forwarding/cors::answers_and_refusals_can_be_read_by_listed_pages_alone", "tests/e2e/forwarding/cors::every_page_can_be_permitted_and_has_to_bring_its_own_token", "tests/e2e/forwarding/cors::permission_of_an_upstream_is_replaced_by_ours", "src/config/tests/listeners::cors_that_opens_more_than_was_meant_is_refused"]),
    row("A7", "a stranger at the health paths, or around the lists of what passes through", &["tests/e2e/forwarding/passthrough::health_of_the_store_needs_a_token_unless_the_config_says_otherwise", "tests/e2e/forwarding/passthrough::health_of_a_tempo_is_answered_at_the_paths_that_clients_ask_for", "tests/e2e/forwarding/passthrough::health_of_a_named_cluster_needs_a_token", "tests/e2e/forwarding/passthrough::methods_that_are_not_listed_are_refused", "tests/e2e/forwarding/passthrough::paths_that_are_not_listed_are_refused"]),
    row("A5", "secrets in `/-/config` and in errors", &["tests/e2e/hostile/operator::a5_the_shown_config_has_no_secret", "tests/e2e/hostile/operator::a5_config_errors_never_show_a_secret", "tests/e2e/admin::the_effective_config_is_shown_without_secrets"]),
    row("W5", "connections of strangers, up to the limit of descriptors", &["tests/e2e/hostile/strangers::w5_idle_unauthenticated_connections_do_not_block_others_with_few_descriptors", "tests/e2e/hostile/strangers::w5_no_way_to_hold_a_connection_without_a_token_keeps_others_out", "tests/e2e/hostile/strangers::w5_unauthenticated_clients_with_unread_refusals_are_closed_too", "tests/e2e/hostile/strangers::w5_handshakes_in_progress_make_room_too", "tests/e2e/hostile/strangers::w5_unauthenticated_clients_ignoring_goaway_are_closed_too", "tests/e2e/hostile/strangers::w5_soft_limit_of_open_files_is_raised_to_the_hard_one", "tests/e2e/hostile/strangers::w5_process_with_too_few_open_files_says_how_many_it_needs", "tests/e2e/hostile/strangers::w5_one_address_holds_few_connections_without_a_token", "tests/e2e/hostile/strangers::w5_idle_authenticated_connections_are_closed_for_new_requests", "tests/e2e/hostile/strangers::w5_without_a_descriptor_left_the_admin_address_answers_and_says_so", "tests/e2e/hostile/strangers::w5_idle_connections_to_the_admin_address_do_not_keep_probes_out", "src/server/connection_table::full_table_closes_the_longest_quiet_unauthenticated_connection", "src/app/descriptors::lowered_limits_fit_together_with_the_reserve"]),
    row("B1", "a cache in front that keys by path and a header of its own", &["tests/e2e/forwarding/compression::answers_are_not_for_caches_in_front", "src/proxy/deliver::no_store_stands_in_a_line_of_its_own", "tests/e2e/tools/doctor::a_cache_in_between_is_found"]),
    row("B4", "a connection that the upstream closes as a request is written to it", &["tests/e2e/forwarding/reuse::no_data_request_fails_when_each_reused_connection_ends_under_it", "tests/e2e/forwarding/reuse::request_that_may_write_is_delivered_once_whatever_becomes_of_it", "tests/e2e/forwarding/reuse::grpc_call_is_repeated_where_its_stream_or_connection_was_refused"]),
    row("B5", "compressed answers in both directions, and bombs", &["tests/e2e/forwarding/compression::coding_that_nobody_asked_for_is_undone", "tests/e2e/forwarding/compression::coding_that_cannot_be_undone_is_an_error_of_the_upstream", "tests/e2e/forwarding/compression::client_gets_the_coding_that_it_likes_best", "src/body/coding/tests::bomb_comes_out_in_bounded_pieces"]),
    row("B3", "any `Host` or origin on the admin address: DNS rebinding, a page in the operator's browser", &["tests/e2e/hostile/operator::b3_requests_that_a_web_page_caused_are_refused_by_every_endpoint", "tests/e2e/hostile/operator::b3_state_changes_by_form_content_types_are_refused", "src/admin/gate::other_names_are_refused", "src/admin/gate::web_pages_of_other_sites_are_refused"]),
    row("W3", "slow readers of large answers", &["tests/e2e/connections/listener::reader_that_drips_is_cut_off_though_it_never_stalls", "tests/e2e/connections/listener::stream_that_drips_is_cut_off_alone_though_it_never_stalls", "tests/e2e/connections/listener::stream_of_few_bytes_is_not_cut_off_while_nothing_waits", "src/server/pace::client_that_reads_little_before_each_stall_is_cut_off", "src/server/pace::fast_start_does_not_offset_slow_reading"]),
    row("W4", "a text that keeps the store busy, wherever it stands and whoever sends it; work for a client that is gone", &["tests/e2e/limits/queries::metrics_text_over_a_limit_is_refused_before_the_store_is_asked", "tests/e2e/limits/queries::format_and_parse_are_bounded_by_length_times_depth", "tests/e2e/limits/queries::selectors_of_one_request_count_together", "tests/e2e/limits/queries::text_is_bounded_wherever_the_store_would_read_it", "tests/e2e/limits/queries::endpoint_that_is_open_to_admins_is_bounded_too", "tests/e2e/limits/queries::matchers_of_a_remote_read_are_bounded", "tests/e2e/limits/queries::traces_text_over_a_limit_is_refused_before_the_store_is_asked", "tests/e2e/limits/queries::grpc_text_over_a_limit_is_refused_before_the_store_is_asked", "tests/e2e/clusters/named/several::query_over_a_limit_is_sent_to_no_cluster", "tests/e2e/shadow/open::query_over_a_limit_is_reported", "tests/e2e/connections/leaving::upstream_request_ends_at_once_when_its_http1_client_leaves", "tests/e2e/connections/pipelined::client_that_sent_more_behind_its_request_is_noticed_when_it_leaves", "tests/e2e/connections/leaving::upstream_request_ends_at_once_when_its_http2_client_leaves", "tests/e2e/connections/leaving::grpc_call_ends_upstream_at_once_when_its_client_leaves", "tests/e2e/connections/leaving::ownership_query_ends_at_once_when_the_client_leaves", "tests/e2e/connections/leaving::shadow_mode_leaves_the_upstream_with_the_client_and_compares_nothing", "tests/e2e/connections/leaving::half_closed_client_that_leaves_later_is_noticed", "tests/e2e/clusters/named/several::disconnected_client_cancels_all_cluster_requests", "tests/e2e/cache/flights::when_all_have_left_the_upstream_is_left_too"]),
    row("B2", "a refusal before the body, on a pooled connection", &["tests/e2e/forwarding/refused_bodies::pooled_requests_after_refused_ones_all_succeed", "tests/e2e/forwarding/refused_bodies::connection_after_a_refusal_is_closed_only_if_the_answer_said_so", "tests/e2e/forwarding/refused_bodies::refusal_of_a_large_upload_arrives_whole", "tests/e2e/forwarding/refused_bodies::refused_client_that_awaits_100_continue_gets_none", "tests/e2e/forwarding/refused_bodies::early_answer_of_an_upstream_says_close_while_the_body_still_comes", "tests/e2e/forwarding/refused_bodies::http2_refusal_resets_its_stream_alone"]),
];

/// The rows that every version of this table has to have.
const REQUIRED: [(&str, usize); 16] = [
    ("P", 12),
    ("Q", 12),
    ("L", 10),
    ("V", 9),
    ("J", 10),
    ("H", 5),
    ("X", 6),
    ("R", 6),
    ("T", 15),
    ("O", 7),
    ("F", 7),
    ("K", 4),
    ("S", 5),
    ("N", 3),
    ("A", 5),
    ("M", 8),
];

#[test]
fn every_row_has_its_tests_and_none_is_missing() {
    let ids: BTreeSet<&str> = THREATS.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), THREATS.len(), "an id is there twice");
    for (letter, last) in REQUIRED {
        for number in 1..=last {
            let id = format!("{letter}{number}");
            assert!(ids.contains(id.as_str()), "{id} is missing");
        }
    }
    for Row { id, attack, tests } in THREATS {
        assert!(
            !tests.is_empty() && !attack.is_empty(),
            "{id} is not tested"
        );
        for test in *tests {
            let (file, function) = test.split_once("::").expect("file::function");
            assert!(
                tests_in(file).iter().any(|found| found == function),
                "{id}: {file}.rs has no test {function}"
            );
        }
    }
}

/// A test that says by its name which rows it tries is in those rows.
#[test]
fn every_test_named_by_a_row_is_in_it() {
    let mut named = 0;
    for file in files("tests").into_iter().chain(files("src")) {
        for test in tests_in(&file) {
            for part in test.split('_') {
                let Some(row) = THREATS.iter().find(|row| row.id.eq_ignore_ascii_case(part)) else {
                    break;
                };
                named += 1;
                let path = format!("{file}::{test}");
                assert!(
                    row.tests.contains(&path.as_str()),
                    "{path} is not in {}",
                    row.id
                );
            }
        }
    }
    assert!(named > 30, "only {named} tests are named by a row");
}

/// The names of the tests in a file.
fn tests_in(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{file}.rs"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    let mut tests = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        }
        let line = line.trim_start_matches("async ");
        if let Some(rest) = line.strip_prefix("fn ")
            && is_test
        {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            tests.push(name.to_owned());
            is_test = false;
        }
    }
    tests
}

/// All Rust files of a folder, without their extension.
fn files(folder: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let path = path.with_extension("");
                let path = path.strip_prefix(root).expect("below");
                found.push(path.display().to_string());
            }
        }
    }
    found
}
