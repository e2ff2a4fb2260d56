//! TraceQL made up from the grammar: filters of any shape, structure, pipelines and metrics. Left
//! out is what Tempo reads in another way once a filter stands before it (`exceptions.rs`).

use crate::kit::random::Random;

const DEPTH: usize = 3;

const CONDITIONS: &[&str] = &[
    "true",
    r#"name = "checkout""#,
    r#"name =~ "GET.*|POST.*""#,
    r#"span:name != "render""#,
    ".n > 20",
    "span.n = 3",
    ".n % 2 = 0",
    ".n + 1 >= 4",
    "duration > 100ms",
    "duration <= 0.2s",
    "status = error",
    "status != ok",
    "kind = server",
    r#"resource.service.name = "web""#,
    r#"resource.service.name =~ ".*database""#,
    r#"resource.tenant_id = "acme""#,
    r#"resource.tenant_id = "beta""#,
    r#"resource.tenant_id != "beta""#,
    r#"resource.tenant_id =~ ".*""#,
    r#".user = "beta-user-1""#,
    r#"span.user =~ ".*-user-[12]""#,
    ".missing != nil",
    ".db.system != nil",
    "span.http.status_code >= 400",
    r#"span."bra{ce}" = "} | { true""#,
    "nestedSetParent < 0",
];

/// Prefix notation of a plan: a query of spans without metrics.
const STRUCTURE: &[&str] = &["&&", "||", ">", ">>", "<", "<<", "~", "&>>", "&<<"];

const STAGES: &[&str] = &[
    "count() > 1",
    "count() < 4",
    "avg(duration) > 20ms",
    "max(.n) >= 3",
    "sum(.n) > 10",
    "select(span.n, name)",
    "select(resource.service.name)",
    "by(resource.service.name) | count() > 1",
    "by(name) | coalesce()",
];

const METRICS: &[&str] = &[
    "rate()",
    "count_over_time()",
    "rate() by(resource.service.name)",
    "count_over_time() by(name, status)",
    "max_over_time(duration) by(kind)",
    "avg_over_time(span.n)",
    "quantile_over_time(duration, .5, .9)",
];

struct Grammar {
    random: Random,
}

/// As many searches as asked for, the same for the same seed.
pub fn searches(seed: u64, count: usize) -> Vec<String> {
    let mut grammar = Grammar {
        random: Random::of(seed),
    };
    (0..count).map(|_| grammar.search()).collect()
}

pub fn metrics(seed: u64, count: usize) -> Vec<String> {
    let mut grammar = Grammar {
        random: Random::of(seed),
    };
    let mut one = || {
        let spans = grammar.spans(DEPTH);
        format!("{spans} | {}", grammar.random.word(METRICS))
    };
    (0..count).map(|_| one()).collect()
}

impl Grammar {
    fn search(&mut self) -> String {
        let mut query = self.spans(DEPTH);
        while self.random.chance(35) {
            query = format!("{query} | {}", self.stage());
        }
        query
    }

    fn stage(&mut self) -> String {
        if self.random.chance(20) {
            return self.filter();
        }
        self.random.word(STAGES).to_owned()
    }

    fn spans(&mut self, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return self.filter();
        };
        if self.random.chance(40) {
            return self.filter();
        }
        let op = self.random.word(STRUCTURE);
        let (left, right, gap) = (self.spans(depth), self.spans(depth), self.gap());
        format!("({left} {op}{gap} {right})")
    }

    fn filter(&mut self) -> String {
        if self.random.chance(10) {
            return "{}".to_owned();
        }
        let gap = self.gap();
        format!("{{{gap} {} }}", self.condition(2))
    }

    fn condition(&mut self, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return self.random.word(CONDITIONS).to_owned();
        };
        if self.random.chance(50) {
            return self.random.word(CONDITIONS).to_owned();
        }
        let op = self.random.word(&["&&", "||"]);
        format!("({} {op} {})", self.condition(depth), self.condition(depth))
    }

    fn gap(&mut self) -> &'static str {
        self.random
            .word(&["", "", " ", "\n", " /* } | { true */ ", " // }\n"])
    }
}
