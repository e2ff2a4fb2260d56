//! Six hours of series of several tenants, the same for the same end.
//!
//! Whatever could leak is told apart: every tenant has label values, a label name and a metric
//! of its own, while names and other labels are shared. All samples lie on multiples of 30 s and
//! every tenant has one series (`up`) with all of them, so that the blocks of a private store
//! begin and end where those of the shared store do: label APIs answer by block.

use std::fmt::Write as _;

pub const LABEL: &str = "tenant_id";

/// The tenants with everything.
pub const MAIN: [&str; 3] = ["acme", "beta", "gamma.io"];

/// Tenants whose names look like each other, or like a regex that matches another.
pub const LOOKALIKES: [&str; 9] = [
    "a.b", "a|b", "axb", "a", "b", "acme2", "ACME", "gammaXio", " ",
];

const HOURS: i64 = 6;
const STEP: i64 = 30;

/// Names that Prometheus' own test queries use, so that those find something here.
const CORPUS_NAMES: &[&str] = &[
    "foo",
    "bar",
    "baz",
    "metric",
    "data",
    "some_metric",
    "metric_total",
    "a",
    "b",
    "c",
    "d",
    "h_test",
    "task:errors:rate10s",
    "node_cpu",
    "trig",
    "metric1_total",
    "metric1",
    "metric2",
    "metric3",
    "metric4",
    "metric5",
    "metric5b",
    "metric5c",
    "metric6",
    "metric6b",
    "metric6c",
    "metric13",
    "metricA",
    "metricB",
    "series",
    "testmetric",
    "testmetric1",
    "testmetric2",
    "exp_root_log",
    "test",
    "left_floats",
    "right_floats",
    "foo_long",
    "bar_long",
    "foo_1",
    "foo_2",
    "foo_3",
    "foo_4",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
    "node_filesystem_readonly",
    "node_timex_offset_seconds",
    "test_clamp",
    "version",
    "testcounter_reset_middle_total",
    "node_role",
    "node_var",
    "cumulative",
    "reset",
    "delta",
    "sum",
    "start",
    "end",
    "offset",
    "or",
    "bool",
    "by",
    "arg",
    "secret",
    "foobar",
    "mixed_metric",
    "another_metric_total",
    "test_total",
    "test_smaller",
    "vector_selector",
    "my_metric",
    "rate",
    "errors",
    "requests",
    "label_grouping_test",
    "random",
    "limitk",
    "anchored",
    "smoothed",
    "nonexistent_in_one",
    "cpu_count",
    "vector_matching_a",
    "vector_matching_b",
];

/// Label sets for those names; the first is what their queries ask for most.
const CORPUS_LABELS: &[&[(&str, &str)]] = &[
    &[
        ("job", "api-server"),
        ("instance", "0"),
        ("group", "canary"),
        ("env", "1"),
        ("foo", "bar"),
    ],
    &[
        ("job", "s"),
        ("instance", "1"),
        ("group", "production"),
        ("a", "b"),
        ("label", "baz"),
        ("bar", "baz"),
    ],
];

/// One series: labels sorted by name, `__name__` among them.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Vec<(String, String)>,
    /// Unix seconds and value, in order.
    pub samples: Vec<(i64, f64)>,
}

impl Series {
    pub fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| label == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn name(&self) -> &str {
        self.label("__name__").expect("every series has a name")
    }
}

#[derive(Clone, Debug)]
pub struct Dataset {
    /// Of the last sample in the blocks; a multiple of 30 s, in unix seconds.
    pub end: i64,
    pub series: Vec<Series>,
}

impl Dataset {
    /// All tenants' series up to `end`, which is moved back to a multiple of 30 s.
    pub fn shared(end: i64) -> Self {
        let mut data = Self {
            end: end - end.rem_euclid(STEP),
            series: Vec::new(),
        };
        for tenant in MAIN {
            data.core(Some(tenant));
            data.variety(Some(tenant));
        }
        for tenant in LOOKALIKES {
            data.core(Some(tenant));
        }
        data.core(None);
        data.variety(None);
        for tenant in [Some("acme"), Some("beta"), None] {
            data.corpus(tenant);
        }
        data
    }

    /// What a private store of these tenants holds.
    pub fn only(&self, tenants: &[&str]) -> Self {
        let is_theirs = |series: &&Series| {
            series
                .label(LABEL)
                .is_some_and(|value| tenants.contains(&value))
        };
        Self {
            end: self.end,
            series: self.series.iter().filter(is_theirs).cloned().collect(),
        }
    }

    pub fn start(&self) -> i64 {
        self.end - HOURS * 3600
    }

    pub fn samples(&self) -> usize {
        self.series.iter().map(|series| series.samples.len()).sum()
    }

    /// As `promtool tsdb create-blocks-from openmetrics` reads it.
    pub fn open_metrics(&self) -> String {
        let mut text = String::with_capacity(self.samples() * 120);
        for series in &self.series {
            let labels = series.labels.iter().filter(|(name, _)| name != "__name__");
            let quoted: Vec<String> = labels.map(|(name, value)| quote(name, value)).collect();
            let head = format!("{}{{{}}}", series.name(), quoted.join(","));
            let head = head.trim_end_matches("{}");
            for (time, value) in &series.samples {
                writeln!(text, "{head} {} {time}", go_float(*value)).expect("a string");
            }
        }
        text.push_str("# EOF\n");
        text
    }

    /// Series that every tenant has: few, but of each kind.
    fn core(&mut self, tenant: Option<&str>) {
        let salt = number(&[tenant.unwrap_or("-")]);
        for (job, instance) in [("api", "h1:9090"), ("api", "h2:9090"), ("db", "h1:9090")] {
            let labels = [("job", job), ("instance", instance)];
            self.push(tenant, "up", &labels, STEP, |i, noise| {
                if (i + salt).is_multiple_of(97) || noise < 0.01 {
                    0.0
                } else {
                    1.0
                }
            });
        }
        for (instance, code) in [("h1:9090", "200"), ("h1:9090", "500"), ("h2:9090", "200")] {
            let labels = [("job", "api"), ("instance", instance), ("code", code)];
            self.counter(tenant, "http_requests_total", &labels, 60);
        }
        let own = format!("queue-of-{}", tenant.unwrap_or("nobody"));
        self.gauge(tenant, "queue_depth", &[("queue", &own)], 60);
        let of = tenant.unwrap_or("nobody");
        let owner = [("job", "api"), ("instance", "h1:9090"), ("owner", of)];
        self.push(tenant, "target_info", &owner, 60, |_, _| 1.0);
        let word: String = of
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let digits = salt % 1000;
        let label = format!("label_of_{word}_{digits}");
        self.gauge(
            tenant,
            &format!("only_{word}_{digits}"),
            &[(&label, "x")],
            60,
        );
    }

    /// Series of the main tenants, and of no tenant.
    fn variety(&mut self, tenant: Option<&str>) {
        let of = tenant.unwrap_or("nobody");
        for group in ["production", "canary"] {
            for instance in ["0", "1"] {
                for job in ["api-server", "app-server"] {
                    let labels = [("job", job), ("instance", instance), ("group", group)];
                    self.counter(tenant, "http_requests", &labels, 60);
                }
            }
        }
        self.histogram(
            tenant,
            "request_duration_seconds",
            "api",
            &["0.1", "0.5", "1", "5"],
        );
        self.histogram(tenant, "testhistogram", "db", &["0.1", "0.2", "1"]);
        for mode in ["user", "system", "idle"] {
            for cpu in ["0", "1"] {
                let labels = [("cpu", cpu), ("mode", mode), ("instance", "h1:9090")];
                self.counter(tenant, "node_cpu_seconds_total", &labels, 60);
            }
        }
        for instance in ["h1:9090", "h2:9090"] {
            self.gauge(tenant, "memory_bytes", &[("instance", instance)], STEP);
            self.gauge(tenant, "memory_limit_bytes", &[("instance", instance)], 60);
        }
        self.push(tenant, "scale_factor", &[], 60, |i, _| f64::from(2 + i % 3));
        self.push(tenant, "small_quantile", &[], 60, |_, noise| {
            0.25 + noise / 2.0
        });
        let version = format!("1.{}.0", number(&[of]) % 100);
        self.push(
            tenant,
            "build_info",
            &[("version", &version)],
            60,
            |_, _| 1.0,
        );
        let odd = [
            ("path", "C:\\dir\n\"quoted\""),
            ("name", "ünï ☃ {x}"),
            ("re", "a.*|b"),
        ];
        self.gauge(tenant, "odd_labels", &odd, 60);
        for (kind, value) in [
            ("nan", f64::NAN),
            ("inf", f64::INFINITY),
            ("ninf", f64::NEG_INFINITY),
        ] {
            self.push(
                tenant,
                "special_values",
                &[("kind", kind)],
                60,
                move |_, _| value,
            );
        }
        self.push(tenant, "steps", &[("queue", of)], 60, |i, _| {
            f64::from(i / 7 % 4)
        });
        let alert = [
            ("alertname", "HighLoad"),
            ("alertstate", "firing"),
            ("service", of),
        ];
        self.push(tenant, "ALERTS", &alert, 60, |_, _| 1.0);
        // A label that sounds like the tenant's and names another.
        self.gauge(
            tenant,
            "shard_load",
            &[("tenant", "beta"), ("tenant_id_old", "beta")],
            60,
        );
        self.gappy(tenant);
    }

    /// A series with a hole longer than the lookback, and one that ends early.
    fn gappy(&mut self, tenant: Option<&str>) {
        let end = self.end;
        for (part, hole) in [
            ("hole", end - 7200..end - 5400),
            ("ended", end - 1200..end + 1),
        ] {
            self.gauge(tenant, "gappy", &[("part", part)], 60);
            let last = self.series.last_mut().expect("just pushed");
            last.samples.retain(|(time, _)| !hole.contains(time));
        }
    }

    fn corpus(&mut self, tenant: Option<&str>) {
        let recent = self.end - 3600;
        for name in CORPUS_NAMES {
            for labels in CORPUS_LABELS {
                self.counter(tenant, name, labels, 60);
                let last = self.series.last_mut().expect("just pushed");
                last.samples.retain(|(time, _)| *time >= recent);
            }
        }
    }

    fn histogram(&mut self, tenant: Option<&str>, name: &str, job: &str, bounds: &[&str]) {
        for instance in ["h1:9090", "h2:9090"] {
            let base = [("job", job), ("instance", instance)];
            let growth = 1 + number(&[tenant.unwrap_or("-"), instance]) % 5;
            let mut width = 0.0;
            for le in bounds.iter().chain(&["+Inf"]) {
                width += 3.0;
                let labels = [("job", job), ("instance", instance), ("le", le)];
                self.push(tenant, &format!("{name}_bucket"), &labels, 60, |i, _| {
                    f64::from(i * growth) * width
                });
            }
            self.push(tenant, &format!("{name}_count"), &base, 60, |i, _| {
                f64::from(i * growth) * width
            });
            self.counter(tenant, &format!("{name}_sum"), &base, 60);
        }
    }

    /// Grows unevenly and starts again twice in six hours.
    fn counter(&mut self, tenant: Option<&str>, name: &str, labels: &[(&str, &str)], step: i64) {
        let mut value = 0.0;
        self.push(tenant, name, labels, step, |i, noise| {
            value = if i % 170 == 169 {
                0.0
            } else {
                value + (noise * 1000.0).floor() / 8.0
            };
            value
        });
    }

    fn gauge(&mut self, tenant: Option<&str>, name: &str, labels: &[(&str, &str)], step: i64) {
        self.push(tenant, name, labels, step, |_, noise| noise * 1e6 / 7.0);
    }

    /// `value` gets the sample's number and a noise in [0, 1) that only this series has.
    fn push(
        &mut self,
        tenant: Option<&str>,
        name: &str,
        labels: &[(&str, &str)],
        step: i64,
        mut value: impl FnMut(u32, f64) -> f64,
    ) {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut all: Vec<_> = labels.iter().copied().map(owned).collect();
        all.push(owned(("__name__", name)));
        all.extend(tenant.map(|tenant| owned((LABEL, tenant))));
        all.sort();
        let mut state = hash(&[&format!("{all:?}")]);
        let times = (self.start()..=self.end).step_by(usize::try_from(step).expect("positive"));
        let samples = times
            .zip(0..)
            .map(|(time, i)| (time, value(i, noise(&mut state))))
            .collect();
        self.series.push(Series {
            labels: all,
            samples,
        });
    }
}

/// FNV-1a.
fn hash(parts: &[&str]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    parts
        .join("\n")
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, step)
}

/// A small number that these parts stand for.
fn number(parts: &[&str]) -> u32 {
    u32::try_from(hash(parts) >> 40).expect("24 bits")
}

/// Knuth's MMIX generator: the same numbers on every machine.
fn noise(state: &mut u64) -> f64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    f64::from(u32::try_from(*state >> 32).expect("32 bits")) / 4_294_967_296.0
}

fn quote(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

fn go_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        format!("{value}")
    }
}
