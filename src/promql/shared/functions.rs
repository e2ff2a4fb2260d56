//! PromQL's functions and operators, by whether they mix the series of several tenants.

pub(super) const AGGREGATIONS: &[&str] = &[
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];

/// Words that may stand before a `(` and start neither a call nor a list of labels.
pub(super) const OPERATORS: &[&str] = &["and", "or", "unless", "atan2", "bool", "offset"];

/// Functions of `promql/parser/functions.go` that compute each tenant's results from its own series
/// alone. `info` is not one of them.
pub(super) const SEPARATE_FUNCTIONS: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "avg_over_time",
    "ceil",
    "changes",
    "clamp",
    "clamp_max",
    "clamp_min",
    "cos",
    "cosh",
    "count_over_time",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "delta",
    "deriv",
    "double_exponential_smoothing",
    "end",
    "exp",
    "first_over_time",
    "floor",
    "histogram_avg",
    "histogram_count",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_quantiles",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "holt_winters",
    "hour",
    "idelta",
    "increase",
    "irate",
    "label_join",
    "label_replace",
    "last_over_time",
    "ln",
    "log10",
    "log2",
    "mad_over_time",
    "max_of",
    "max_over_time",
    "min_of",
    "min_over_time",
    "minute",
    "month",
    "pi",
    "predict_linear",
    "present_over_time",
    "quantile_over_time",
    "rad",
    "range",
    "rate",
    "resets",
    "round",
    "sgn",
    "sin",
    "sinh",
    "sort",
    "sort_by_label",
    "sort_by_label_desc",
    "sort_desc",
    "sqrt",
    "start",
    "start_timestamp",
    "stddev_over_time",
    "stdvar_over_time",
    "step",
    "sum_over_time",
    "tan",
    "tanh",
    "time",
    "timestamp",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "vector",
    "year",
];

/// Functions that merge series or make one from nothing. They write no labels except from equality
/// matchers.
pub(super) const MERGING_FUNCTIONS: &[&str] = &["absent", "absent_over_time", "scalar"];

/// What a string argument means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    /// The name of a label that is written.
    Destination,
    /// The name of a label that is read.
    Source,
    /// A regular expression, a replacement or a separator.
    Pattern,
    NotKnown,
}

/// What the string at this position (from 0) of a call means.
pub(super) fn argument(function: &str, position: usize) -> Argument {
    match (function, position) {
        ("label_replace" | "label_join" | "histogram_quantiles", 1) | ("count_values", 0) => {
            Argument::Destination
        }
        ("label_replace", 2 | 4) | ("label_join", 2) => Argument::Pattern,
        ("label_replace" | "label_join", 3..) | ("sort_by_label" | "sort_by_label_desc", 1..) => {
            Argument::Source
        }
        _ => Argument::NotKnown,
    }
}
