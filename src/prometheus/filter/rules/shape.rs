//! The structure of `/api/v1/rules` in both products (`RuleDiscovery` in `web/api/v1/api.go`), read in
//! one pass. Members that are not known are passed over. A list or label set that is null is empty.

use crate::prometheus::json::{FromJson, Labels, Malformed, Nested, Nesting, Object, Raw, Reader};

pub(super) type Answer<'a> = Object<'a, Nested<'a, Data>>;

pub(super) enum Data {}
pub(super) enum Groups {}

impl<'a> Nesting<'a> for Data {
    const KEY: &'static str = "data";
    type Value = Object<'a, Nested<'a, Groups>>;
}

impl<'a> Nesting<'a> for Groups {
    const KEY: &'static str = "groups";
    type Value = Vec<Group<'a>>;
}

/// A group (`RuleGroup`).
#[derive(Default)]
pub(super) struct Group<'a> {
    pub(super) name: Option<Raw<'a>>,
    pub(super) file: Option<Raw<'a>>,
    pub(super) rules: Option<Vec<Rule<'a>>>,
    pub(super) interval: Option<Raw<'a>>,
    pub(super) limit: Option<Raw<'a>>,
    pub(super) evaluation_time: Option<Raw<'a>>,
    pub(super) last_evaluation: Option<Raw<'a>>,
    pub(super) partial_response_strategy: Option<Raw<'a>>,
}

impl<'a> FromJson<'a> for Group<'a> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut group = Self::default();
        reader.members(|key, reader| match &*key {
            "name" => reader.once(&mut group.name),
            "file" => reader.once(&mut group.file),
            "rules" => reader.once(&mut group.rules),
            "interval" => reader.once(&mut group.interval),
            "limit" => reader.once(&mut group.limit),
            "evaluationTime" => reader.once(&mut group.evaluation_time),
            "lastEvaluation" => reader.once(&mut group.last_evaluation),
            "partialResponseStrategy" => reader.once(&mut group.partial_response_strategy),
            _ => reader.raw().map(drop),
        })?;
        Ok(group)
    }
}

/// A rule (`AlertingRule`, `RecordingRule`).
pub(super) struct Rule<'a> {
    /// All of it as it came.
    pub(super) whole: Raw<'a>,
    pub(super) labels: Labels<'a>,
    pub(super) alerts: Vec<Alert<'a>>,
    pub(super) members: RuleMembers<'a>,
}

/// The members of a rule that are looked at only if it is shown.
#[derive(Default)]
pub(super) struct RuleMembers<'a> {
    pub(super) state: Option<Raw<'a>>,
    pub(super) name: Option<Raw<'a>>,
    pub(super) query: Option<Raw<'a>>,
    pub(super) duration: Option<Raw<'a>>,
    pub(super) keep_firing_for: Option<Raw<'a>>,
    pub(super) annotations: Option<Raw<'a>>,
    pub(super) health: Option<Raw<'a>>,
    pub(super) last_error: Option<Raw<'a>>,
    pub(super) evaluation_time: Option<Raw<'a>>,
    pub(super) last_evaluation: Option<Raw<'a>>,
    pub(super) kind: Option<Raw<'a>>,
}

impl<'a> FromJson<'a> for Rule<'a> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = reader.start();
        let (mut labels, mut alerts) = (None, None);
        let mut members = RuleMembers::default();
        reader.members(|key, reader| match &*key {
            "state" => reader.once(&mut members.state),
            "name" => reader.once(&mut members.name),
            "query" => reader.once(&mut members.query),
            "duration" => reader.once(&mut members.duration),
            "keepFiringFor" => reader.once(&mut members.keep_firing_for),
            "labels" => reader.once(&mut labels),
            "annotations" => reader.once(&mut members.annotations),
            "alerts" => reader.once(&mut alerts),
            "health" => reader.once(&mut members.health),
            "lastError" => reader.once(&mut members.last_error),
            "evaluationTime" => reader.once(&mut members.evaluation_time),
            "lastEvaluation" => reader.once(&mut members.last_evaluation),
            "type" => reader.once(&mut members.kind),
            _ => reader.raw().map(drop),
        })?;
        Ok(Self {
            whole: reader.since(start),
            labels: labels.flatten().unwrap_or_default(),
            alerts: alerts.flatten().unwrap_or_default(),
            members,
        })
    }
}

/// An alert (`Alert`).
pub(super) struct Alert<'a> {
    /// All of it as it came.
    pub(super) whole: Raw<'a>,
    pub(super) labels: Labels<'a>,
    pub(super) members: AlertMembers<'a>,
}

/// The members of an alert that are looked at only if it is shown.
#[derive(Default)]
pub(super) struct AlertMembers<'a> {
    pub(super) annotations: Option<Raw<'a>>,
    pub(super) state: Option<Raw<'a>>,
    pub(super) active_at: Option<Raw<'a>>,
    pub(super) keep_firing_since: Option<Raw<'a>>,
    pub(super) value: Option<Raw<'a>>,
    pub(super) partial_response_strategy: Option<Raw<'a>>,
}

impl<'a> FromJson<'a> for Alert<'a> {
    fn from_json(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = reader.start();
        let mut labels = None;
        let mut members = AlertMembers::default();
        reader.members(|key, reader| match &*key {
            "labels" => reader.once(&mut labels),
            "annotations" => reader.once(&mut members.annotations),
            "state" => reader.once(&mut members.state),
            "activeAt" => reader.once(&mut members.active_at),
            "keepFiringSince" => reader.once(&mut members.keep_firing_since),
            "value" => reader.once(&mut members.value),
            "partialResponseStrategy" => reader.once(&mut members.partial_response_strategy),
            _ => reader.raw().map(drop),
        })?;
        Ok(Self {
            whole: reader.since(start),
            labels: labels.flatten().unwrap_or_default(),
            members,
        })
    }
}
