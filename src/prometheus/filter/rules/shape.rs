//! The structure of `/api/v1/rules`, as far as it is parsed: nested lists, in one pass.

use crate::prometheus::json::{Nested, Nesting, Object};

pub(super) type Answer<'a> = Object<'a, Nested<'a, Data>>;
pub(super) type Group<'a> = Object<'a, Nested<'a, Rules>>;
pub(super) type Rule<'a> = Object<'a, Nested<'a, Alerts>>;
pub(super) type Alert<'a> = Object<'a>;

pub(super) enum Data {}
pub(super) enum Groups {}
pub(super) enum Rules {}
pub(super) enum Alerts {}

impl<'a> Nesting<'a> for Data {
    const KEY: &'static str = "data";
    type Value = Object<'a, Nested<'a, Groups>>;
}

impl<'a> Nesting<'a> for Groups {
    const KEY: &'static str = "groups";
    type Value = Vec<Group<'a>>;
}

impl<'a> Nesting<'a> for Rules {
    const KEY: &'static str = "rules";
    type Value = Vec<Rule<'a>>;
}

impl<'a> Nesting<'a> for Alerts {
    const KEY: &'static str = "alerts";
    type Value = Option<Vec<Object<'a>>>;
}
