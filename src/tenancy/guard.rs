//! Limits on what one query of a tenant may ask for (`tenant_limits`). Times are in nanoseconds.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::{Tenant, TenantSet};
use crate::config::settings::{TenantLimit, TenantLimits};
use crate::reason::Reason;

/// The strictest limits of a caller's tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryGuard<'a> {
    max_range: Option<Bound<'a, i128>>,
    max_points: Option<Bound<'a, i128>>,
    min_step: Option<Bound<'a, i128>>,
}

/// A limit, and which of the caller's own tenants has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound<'a, T> {
    value: T,
    tenant: &'a Tenant,
}

/// Why a query is refused. The text names the limit, its value and what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GuardRefusal {
    #[error(
        "{what} is {}, longer than tenant_limits max_range {} of tenant `{tenant}`; ask for a \
         shorter one",
        Span(*.asked), Span(*.limit)
    )]
    Range {
        what: &'static str,
        asked: i128,
        limit: i128,
        tenant: Tenant,
    },
    #[error(
        "{what} has {asked} points, more than tenant_limits max_points {limit} of tenant \
         `{tenant}`; ask for a longer step or a shorter range"
    )]
    Points {
        what: &'static str,
        asked: i128,
        limit: i128,
        tenant: Tenant,
    },
    #[error(
        "the step of this query is {}, shorter than tenant_limits min_step {} of tenant \
         `{tenant}`; ask for a longer step",
        Span(*.asked), Span(*.limit)
    )]
    Step {
        asked: i128,
        limit: i128,
        tenant: Tenant,
    },
    /// The value that the limit applies to is missing or cannot be parsed.
    #[error(
        "{problem}, and tenant_limits {} of tenant `{tenant}` needs it: {hint}",
        guard.label()
    )]
    Unreadable {
        problem: String,
        guard: Reason,
        tenant: Tenant,
        hint: &'static str,
    },
}

impl GuardRefusal {
    /// The refusal's reason, whose label is the limit's key.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Range { .. } => Reason::MaxRange,
            Self::Points { .. } => Reason::MaxPoints,
            Self::Step { .. } => Reason::MinStep,
            Self::Unreadable { guard, .. } => *guard,
        }
    }
}

/// Why a part of a request cannot be compared with a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// In words: "`start` is not given".
    pub problem: String,
    pub hint: &'static str,
}

/// What a range query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The time from its start to its end.
    pub range: Result<i128, Unreadable>,
    /// `None` if it has no step, or the upstream chooses it.
    pub step: Result<Option<i128>, Unreadable>,
}

impl<'a> QueryGuard<'a> {
    /// The strictest limits of these tenants; `None` if there are none.
    pub fn strictest_of(limits: &TenantLimits, tenants: &'a TenantSet) -> Option<Self> {
        if !limits.guards() {
            return None;
        }
        let strictest = |key: fn(&TenantLimit) -> Option<i128>| {
            let bounds = tenants.iter().filter_map(|tenant| {
                let value = key(limits.of(tenant.as_str()))?;
                Some(Bound { value, tenant })
            });
            bounds.min_by_key(|bound| bound.value)
        };
        let guard = Self {
            max_range: strictest(|limit| limit.max_range.map(nanoseconds)),
            max_points: strictest(|limit| limit.max_points.map(i128::from)),
            // The longest of the shortest steps is the strictest.
            min_step: strictest(|limit| limit.min_step.map(|step| -nanoseconds(step))).map(
                |bound| Bound {
                    value: -bound.value,
                    ..bound
                },
            ),
        };
        let guards = guard.needs_query_ranges() || guard.min_step.is_some();
        guards.then_some(guard)
    }

    /// Whether the ranges in the query's text have to be known.
    pub fn needs_query_ranges(&self) -> bool {
        self.max_range.is_some() || self.max_points.is_some()
    }

    /// Checks what a request asks for.
    pub fn check_window(&self, window: &Window) -> Result<(), GuardRefusal> {
        match (&window.range, self.max_range, self.max_points) {
            (Ok(range), ..) => self.check_range("the range of this request", *range)?,
            (Err(error), Some(bound), _) => return Err(error.refuse(MAX_RANGE, bound)),
            // Points are counted only if there is a step.
            (Err(error), _, Some(bound)) if window.step != Ok(None) => {
                return Err(error.refuse(MAX_POINTS, bound));
            }
            (Err(_), ..) => {}
        }
        match (&window.step, self.min_step, self.max_points) {
            (Ok(Some(step)), ..) => {
                self.check_step(*step)?;
                let range = window.range.as_ref();
                range.map_or(Ok(()), |range| {
                    self.check_points("this query", *range, *step)
                })
            }
            (Err(error), Some(bound), _) => Err(error.refuse(MIN_STEP, bound)),
            (Err(error), _, Some(bound)) => Err(error.refuse(MAX_POINTS, bound)),
            (Ok(None), ..) | (Err(_), None, None) => Ok(()),
        }
    }

    /// Checks a range. A range that ends before it starts counts with its absolute length, whatever
    /// the upstream makes of it.
    pub fn check_range(&self, what: &'static str, range: i128) -> Result<(), GuardRefusal> {
        let asked = range.saturating_abs();
        match self.max_range {
            Some(Bound { value, tenant }) if asked > value => Err(GuardRefusal::Range {
                what,
                asked,
                limit: value,
                tenant: tenant.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks the number of points of a range and a step.
    pub fn check_points(
        &self,
        what: &'static str,
        range: i128,
        step: i128,
    ) -> Result<(), GuardRefusal> {
        // A step of zero counts as infinitely many points.
        let steps = range.saturating_abs().checked_div(step.max(0));
        let asked = steps.unwrap_or(i128::MAX).saturating_add(1);
        match self.max_points {
            Some(Bound { value, tenant }) if asked > value => Err(GuardRefusal::Points {
                what,
                asked,
                limit: value,
                tenant: tenant.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks `lookback_delta`, if the request has it.
    pub fn check_lookback(
        &self,
        lookback: Result<Option<i128>, Unreadable>,
    ) -> Result<(), GuardRefusal> {
        match (lookback, self.max_range) {
            (Ok(Some(lookback)), _) => self.check_range("`lookback_delta` of this query", lookback),
            (Err(unreadable), Some(bound)) => Err(unreadable.refuse(MAX_RANGE, bound)),
            (Ok(None), _) | (Err(_), None) => Ok(()),
        }
    }

    fn check_step(&self, asked: i128) -> Result<(), GuardRefusal> {
        match self.min_step {
            Some(Bound { value, tenant }) if asked < value => Err(GuardRefusal::Step {
                asked,
                limit: value,
                tenant: tenant.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The error if ranges in the query's text are needed and cannot be parsed.
    pub fn unreadable_query(&self) -> Option<GuardRefusal> {
        let (guard, bound) = match (self.max_range, self.max_points) {
            (Some(bound), _) => (MAX_RANGE, bound),
            (None, Some(bound)) => (MAX_POINTS, bound),
            (None, None) => return None,
        };
        let unreadable = Unreadable {
            problem: "a range in square brackets is not a plain duration".to_owned(),
            hint: "write it like [5m] or [1h:1m]",
        };
        Some(unreadable.refuse(guard, bound))
    }
}

impl Unreadable {
    fn refuse(&self, guard: Reason, bound: Bound<'_, i128>) -> GuardRefusal {
        GuardRefusal::Unreadable {
            problem: self.problem.clone(),
            guard,
            tenant: bound.tenant.clone(),
            hint: self.hint,
        }
    }
}

const MAX_RANGE: Reason = Reason::MaxRange;
const MAX_POINTS: Reason = Reason::MaxPoints;
const MIN_STEP: Reason = Reason::MinStep;

fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// A duration as in the config (`31d12h`); below a millisecond in nanoseconds.
struct Span(i128);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, i128); 6] = [
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
            ("ns", 1),
        ];
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.saturating_abs();
        let whole = UNITS.iter().filter_map(|(name, unit)| {
            let number = rest / unit;
            rest %= unit;
            (number > 0).then_some((number, *name))
        });
        // Two units are precise enough.
        for (number, name) in whole.take(2) {
            write!(f, "{number}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SECOND: i128 = 1_000_000_000;
    const DAY: i128 = 86_400 * SECOND;

    fn limit(days: u64, points: u64, step: u64) -> TenantLimit {
        TenantLimit {
            max_range: (days > 0).then(|| Duration::from_hours(24 * days)),
            max_points: (points > 0).then_some(points),
            min_step: (step > 0).then(|| Duration::from_secs(step)),
            ..TenantLimit::default()
        }
    }

    fn tenants(names: &[&str]) -> TenantSet {
        TenantSet::new(names.iter().map(|name| Tenant::new(name).unwrap())).unwrap()
    }

    fn window(range: i128, step: Option<i128>) -> Window {
        Window {
            range: Ok(range),
            step: Ok(step),
        }
    }

    fn error_text(result: Result<(), GuardRefusal>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn texts_name_the_limit_its_value_and_the_request() {
        let limits = TenantLimits::new(limit(31, 100, 60), BTreeMap::new());
        let tenants = tenants(&["acme"]);
        let guard = QueryGuard::strictest_of(&limits, &tenants).unwrap();
        assert_eq!(
            error_text(guard.check_window(&window(40 * DAY, None))),
            "the range of this request is 40d, longer than tenant_limits max_range 31d of tenant \
             `acme`; ask for a shorter one"
        );
        assert_eq!(
            error_text(guard.check_window(&window(6000 * SECOND, Some(60 * SECOND)))),
            "this query has 101 points, more than tenant_limits max_points 100 of tenant `acme`; \
             ask for a longer step or a shorter range"
        );
        assert_eq!(
            error_text(guard.check_window(&window(60 * SECOND, Some(1_500_000_000)))),
            "the step of this query is 1s500ms, shorter than tenant_limits min_step 1m of tenant \
             `acme`; ask for a longer step"
        );
        let missing = Window {
            range: Err(Unreadable {
                problem: "`start` is not given".into(),
                hint: "give it",
            }),
            step: Ok(None),
        };
        assert_eq!(
            error_text(guard.check_window(&missing)),
            "`start` is not given, and tenant_limits max_range of tenant `acme` needs it: give it"
        );
    }

    #[test]
    fn value_at_the_limit_is_permitted() {
        let limits = TenantLimits::new(limit(31, 100, 60), BTreeMap::new());
        let tenants = tenants(&["acme"]);
        let guard = QueryGuard::strictest_of(&limits, &tenants).unwrap();
        assert!(guard.check_window(&window(31 * DAY, None)).is_ok());
        let most = window(5999 * SECOND, Some(60 * SECOND));
        assert!(guard.check_window(&most).is_ok());
        assert!(guard.check_range("x", 31 * DAY + 1).is_err());
        assert!(guard.check_range("x", -32 * DAY).is_err());
    }

    #[test]
    fn strictest_limit_of_several_tenants_applies_and_is_named() {
        let overrides = [("wide", limit(90, 9, 0)), ("slow", limit(90, 99, 300))];
        let overrides = overrides.map(|(name, limit)| (name.into(), limit));
        let limits = TenantLimits::new(limit(31, 0, 60), overrides.into());
        let all = tenants(&["acme", "slow", "wide"]);
        let guard = QueryGuard::strictest_of(&limits, &all).unwrap();
        let named = |result| {
            let text = error_text(result);
            text.split('`').nth(1).unwrap().to_owned()
        };
        assert_eq!(named(guard.check_range("x", 32 * DAY)), "acme");
        assert_eq!(named(guard.check_points("x", 9 * SECOND, SECOND)), "wide");
        assert_eq!(named(guard.check_step(299 * SECOND)), "slow");
        let wide = tenants(&["wide"]);
        assert!(
            QueryGuard::strictest_of(&limits, &wide)
                .unwrap()
                .check_range("x", 90 * DAY)
                .is_ok()
        );
    }

    #[test]
    fn no_limits_make_no_guard() {
        let one = [("acme".into(), limit(1, 0, 0))];
        let limits = TenantLimits::new(TenantLimit::default(), one.into());
        assert!(QueryGuard::strictest_of(&limits, &tenants(&["other"])).is_none());
        assert!(QueryGuard::strictest_of(&limits, &tenants(&["acme"])).is_some());
        assert!(QueryGuard::strictest_of(&TenantLimits::default(), &tenants(&["acme"])).is_none());
    }

    #[test]
    fn unreadable_value_is_refused_only_if_a_limit_needs_it() {
        let limits = TenantLimits::new(limit(0, 0, 60), BTreeMap::new());
        let tenants = tenants(&["acme"]);
        let guard = QueryGuard::strictest_of(&limits, &tenants).unwrap();
        let unknown = || Unreadable {
            problem: String::new(),
            hint: "",
        };
        let endless = Window {
            range: Err(unknown()),
            step: Ok(Some(60 * SECOND)),
        };
        assert!(guard.check_window(&endless).is_ok());
        let stepless = Window {
            range: Ok(1),
            step: Err(unknown()),
        };
        assert_eq!(
            guard.check_window(&stepless).unwrap_err().reason().label(),
            "min_step"
        );
    }

    #[test]
    fn query_whose_ranges_are_unreadable_is_refused_only_if_a_limit_needs_them() {
        let reason_with = |limit| {
            let limits = TenantLimits::new(limit, BTreeMap::new());
            let tenants = tenants(&["acme"]);
            let guard = QueryGuard::strictest_of(&limits, &tenants).unwrap();
            assert_eq!(
                guard.needs_query_ranges(),
                guard.unreadable_query().is_some()
            );
            guard.unreadable_query().map(|refusal| refusal.reason())
        };
        assert_eq!(reason_with(limit(1, 0, 0)), Some(Reason::MaxRange));
        assert_eq!(reason_with(limit(1, 9, 0)), Some(Reason::MaxRange));
        assert_eq!(reason_with(limit(0, 9, 0)), Some(Reason::MaxPoints));
        assert_eq!(reason_with(limit(0, 0, 9)), None);
    }

    proptest! {
        #[test]
        fn extreme_numbers_do_not_overflow(range in any::<i128>(), step in any::<i128>()) {
            let limits = TenantLimits::new(limit(1, 10, 1), BTreeMap::new());
            let tenants = tenants(&["acme"]);
            let guard = QueryGuard::strictest_of(&limits, &tenants).unwrap();
            let judged = guard.check_window(&window(range, Some(step)));
            let is_small = range.saturating_abs() <= DAY && step >= SECOND
                && range.saturating_abs() / step < 10;
            prop_assert_eq!(judged.is_ok(), is_small);
            if let Err(refusal) = judged {
                prop_assert!(!refusal.to_string().is_empty());
            }
        }
    }
}
