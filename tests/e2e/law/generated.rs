//! Queries made up from Prometheus' grammar: of any shape, well typed, over metrics that the
//! dataset has.
//!
//! Left out is what a store answers differently by itself: experimental functions, which Debian's
//! Prometheus does not know.

use crate::kit::random::Random;

/// So deep do vectors nest.
const DEPTH: usize = 4;

/// As many queries as asked for, the same for the same seed.
pub fn queries(seed: u64, count: usize) -> Vec<String> {
    let mut grammar = Grammar {
        random: Random::of(seed),
    };
    (0..count).map(|_| grammar.query()).collect()
}

/// Names that are words of the language among them, but not `bool`: behind a comparison it is
/// none, and the braces behind it are a selector of their own.
const METRICS: &[&str] = &[
    "up",
    "http_requests_total",
    "memory_bytes",
    "gappy",
    "special_values",
    "scale_factor",
    "queue_depth",
    "secret",
    "target_info",
    "nonexistent",
    "sum",
    "by",
    "offset",
    "start",
];

/// Matchers that no series without the label satisfies, and others.
const MATCHERS: &[&str] = &[
    "job=\"api\"",
    "job!=\"\"",
    "job=~\"api|db\"",
    "job=~'.+'",
    "instance!~\"h2.*\"",
    "code=~\"2..\"",
    "code=\"\"",
    "tenant_id=\"acme\"",
    "tenant_id=\"beta\"",
    "tenant_id!=\"acme\"",
    "tenant_id!~`beta|gamma.*`",
    "tenant_id=~\".*\"",
    "tenant_id=\"\"",
    "queue=\"queue-of-beta\"",
    "name=\"}{,#\"",
];

const RANGES: &[&str] = &["5m", "1m30s", "300s", "1h", "0.5h", "1d"];

const OF_RANGE: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "idelta",
    "irate",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
];

const OF_VECTOR: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "exp",
    "sqrt",
    "ln",
    "log2",
    "log10",
    "sgn",
    "round",
    "timestamp",
    "hour",
    "minute",
    "month",
    "day_of_week",
    "days_in_month",
    "sin",
    "cosh",
    "deg",
];

const AGGREGATIONS: &[&str] = &[
    "sum", "min", "max", "avg", "count", "group", "stddev", "stdvar",
];

const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
const SETS: &[&str] = &["and", "or", "unless"];
const LABELS: &[&str] = &["job", "instance", "code", "tenant_id", "__name__", "queue"];

struct Grammar {
    random: Random,
}

impl Grammar {
    fn query(&mut self) -> String {
        match self.random.below(20) {
            0 => self.scalar(DEPTH),
            1 => self.range(1),
            2 => format!("sort({})", self.vector(DEPTH)),
            _ => self.vector(DEPTH),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return self.selector();
        };
        match self.random.below(15) {
            14 => self.absent(depth),
            0 | 1 => self.modified_selector(),
            2 | 3 => self.aggregation(depth),
            4 => self.aggregation_with_parameter(depth),
            5 | 6 => self.function_of_range(depth),
            7 => format!("{}({})", self.random.word(OF_VECTOR), self.vector(depth)),
            8 => self.function_with_scalars(depth),
            9 => self.relabelled(depth),
            10 => format!("vector({})", self.scalar(depth)),
            11 => self.with_scalar(depth),
            12 => self.of_two_vectors(depth),
            _ => {
                let sign = self.random.word(&["-", "+", ""]);
                format!("{sign}({})", self.vector(depth))
            }
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        let numbers = ["0", "1", "2.5", "1e3", "0x1F", "Inf", "NaN", ".5"];
        let Some(depth) = depth.checked_sub(1) else {
            return self.random.word(&numbers).to_owned();
        };
        match self.random.below(6) {
            0 => "time()".to_owned(),
            1 => format!("scalar({})", self.vector(depth)),
            2 => {
                let op = self.random.word(ARITHMETIC);
                format!("({} {op} {})", self.scalar(depth), self.scalar(depth))
            }
            3 => {
                let op = self.random.word(COMPARISONS);
                format!("({} {op} bool {})", self.scalar(depth), self.scalar(depth))
            }
            _ => self.random.word(&numbers).to_owned(),
        }
    }

    fn range(&mut self, depth: usize) -> String {
        let range = self.random.word(RANGES);
        let (vector, step) = match depth {
            0 => (self.selector(), ""),
            depth if self.random.chance(30) => {
                let step = self.random.word(&[":", ":1m", ":90s"]);
                (format!("({})", self.vector(depth - 1)), step)
            }
            _ => (self.selector(), ""),
        };
        format!("{vector}[{range}{step}]{}", self.offset())
    }

    fn offset(&mut self) -> String {
        let text = self.random.word(&[
            "",
            "",
            "",
            "",
            " offset 5m",
            " OFFSET -2m",
            " @ start()",
            " @ end()",
            " @ end() offset 1m",
        ]);
        text.to_owned()
    }

    fn modified_selector(&mut self) -> String {
        let selector = self.selector();
        let offset = self.offset();
        format!("{selector}{offset}")
    }

    fn selector(&mut self) -> String {
        let metric = self.random.word(METRICS);
        let mut matchers = Vec::new();
        while self.random.chance(40) {
            matchers.push(self.random.word(MATCHERS).to_owned());
        }
        let is_named = self.random.chance(80);
        if !is_named && self.random.chance(95) {
            let quote = self.random.word(&["\"", "'", "`"]);
            let at = self.random.below(matchers.len() + 1);
            matchers.insert(at, format!("__name__={quote}{metric}{quote}"));
        }
        let gap = self.gap();
        let comma = self.random.word(&["", "", ","]);
        let list = matchers.join(self.random.word(&[",", ", ", " , "]));
        match (is_named, matchers.is_empty()) {
            (true, true) => format!("{metric}{}", self.random.word(&["", "{}"])),
            (true, false) => format!("{metric}{gap}{{{list}{comma}}}"),
            (false, _) => format!("{{{gap}{list}{comma}}}"),
        }
    }

    /// What may stand between two tokens.
    fn gap(&mut self) -> &'static str {
        self.random
            .word(&["", "", "", " ", "\n", "\t ", " # } up{ \"\n"])
    }

    fn grouping(&mut self) -> String {
        if self.random.chance(30) {
            return String::new();
        }
        let word = self.random.word(&["by", "without", "BY", "WITHOUT"]);
        format!(" {word} ({}) ", self.labels())
    }

    fn labels(&mut self) -> String {
        let count = self.random.below(3);
        let labels: Vec<&str> = (0..count).map(|_| self.random.word(LABELS)).collect();
        labels.join(", ")
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let name = self.random.word(AGGREGATIONS).to_owned();
        let name = if self.random.chance(10) {
            name.to_uppercase()
        } else {
            name
        };
        self.aggregated(&name, depth, "")
    }

    fn aggregation_with_parameter(&mut self, depth: usize) -> String {
        let (name, parameter) = match self.random.below(4) {
            0 => ("count_values", "\"value\", ".to_owned()),
            1 => (
                "quantile",
                format!("{}, ", self.random.word(&["0.5", "0.99", "-1", "2"])),
            ),
            // A selector in the parameter counts as any other.
            2 => (
                "quantile",
                format!("scalar({}), ", self.vector(depth.min(1))),
            ),
            _ => (self.random.word(&["topk", "bottomk"]), "3, ".to_owned()),
        };
        self.aggregated(name, depth, &parameter)
    }

    fn aggregated(&mut self, name: &str, depth: usize, parameter: &str) -> String {
        let (grouping, gap) = (self.grouping(), self.gap());
        let vector = self.vector(depth);
        if self.random.chance(50) {
            format!("{name}{grouping}({parameter}{gap}{vector})")
        } else {
            format!("{name}({parameter}{vector}{gap}){grouping}")
        }
    }

    fn function_of_range(&mut self, depth: usize) -> String {
        let range = self.range(depth);
        match self.random.below(8) {
            0 => format!("quantile_over_time({}, {range})", self.scalar(1)),
            1 => format!("predict_linear({range}, {})", self.scalar(1)),
            2 => format!("holt_winters({range}, 0.3, 0.6)"),
            _ => format!("{}({}{range})", self.random.word(OF_RANGE), self.gap()),
        }
    }

    fn absent(&mut self, depth: usize) -> String {
        match self.random.below(4) {
            0 => format!("absent({})", self.vector(depth)),
            1 => format!("absent_over_time({}{})", self.gap(), self.range(depth)),
            _ => format!("absent{}({})", self.gap(), self.modified_selector()),
        }
    }

    fn function_with_scalars(&mut self, depth: usize) -> String {
        let vector = self.vector(depth);
        match self.random.below(5) {
            0 => format!("clamp({vector}, {}, {})", self.scalar(1), self.scalar(1)),
            1 => format!("clamp_min({vector}, {})", self.scalar(1)),
            2 => format!("clamp_max({vector}, {})", self.scalar(1)),
            3 => format!("round({vector}, {})", self.scalar(1)),
            _ => format!("histogram_quantile({}, {vector})", self.scalar(1)),
        }
    }

    fn relabelled(&mut self, depth: usize) -> String {
        let vector = self.vector(depth);
        let to = self.random.word(&["job", "tenant_id", "new"]);
        let from = self.random.word(LABELS);
        if self.random.chance(50) {
            format!("label_replace({vector}, \"{to}\", \"x-$1\", \"{from}\", \"(.*)\")")
        } else {
            format!("label_join({vector}, '{to}', \",\", \"{from}\", `job`)")
        }
    }

    fn with_scalar(&mut self, depth: usize) -> String {
        let (vector, scalar) = (self.vector(depth), self.scalar(depth));
        let op = match self.random.below(3) {
            0 => format!("{} bool", self.random.word(COMPARISONS)),
            1 => (self.random.word(COMPARISONS)).to_owned(),
            _ => (self.random.word(ARITHMETIC)).to_owned(),
        };
        if self.random.chance(50) {
            format!("({vector} {op} {scalar})")
        } else {
            format!("({scalar} {op} {vector})")
        }
    }

    fn of_two_vectors(&mut self, depth: usize) -> String {
        let (left, right) = (self.vector(depth), self.vector(depth));
        let gap = self.gap();
        if self.random.chance(40) {
            let op = self.random.word(SETS);
            let on = self.matching();
            return format!("({left} {op} {on}{gap}{right})");
        }
        // Of each side as many series as labels matched by, so that most have one partner.
        let op = match self.random.below(3) {
            0 => format!("{} bool", self.random.word(COMPARISONS)),
            1 => (self.random.word(COMPARISONS)).to_owned(),
            _ => (self.random.word(ARITHMETIC)).to_owned(),
        };
        let by = self.random.word(&["job", "instance", "job, instance"]);
        let side = self
            .random
            .word(&["", "", "group_left", "group_left(tenant_id)"]);
        match self.random.below(4) {
            0 => format!("({left} {op} {gap}{right})"),
            1 => format!("(max by ({by}) ({left}) {op} {gap}min by ({by}) ({right}))"),
            _ => format!("({left} {op} on({by}) {side}{gap} avg by ({by}) ({right}))"),
        }
    }

    fn matching(&mut self) -> String {
        match self.random.below(4) {
            0 => format!("on({})", self.labels()),
            1 => format!("ignoring({})", self.labels()),
            _ => String::new(),
        }
    }
}
