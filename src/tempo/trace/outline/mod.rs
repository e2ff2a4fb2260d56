//! What an outline shows of other tenants' spans: the nodes of the tree, and what the operator adds.
//!
//! A foreign span's outline has its trace id, span id, parent span id, kind, start, end and status
//! code. It is built from these fields alone, so what is not known here is never in it.

use std::fmt;

use super::TraceOwner;

/// What an outline shows in addition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline(Box<[Shown]>);

/// One thing that an outline shows in addition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shown {
    /// `span:name`: a field that is no attribute.
    Intrinsic(Intrinsic),
    /// `span.http.route`: an attribute, if its value is a string, a boolean, a number, or a list of
    /// these.
    Attribute(Place, Box<str>),
}

/// A field that is no attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intrinsic {
    SpanName,
    StatusMessage,
    /// With it all events are shown, with their times.
    EventName,
    ScopeName,
    ScopeVersion,
}

/// Where an attribute is. An event is shown if it has an attribute that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Resource,
    Scope,
    Span,
    Event,
}

const INTRINSICS: [(&str, Intrinsic); 5] = [
    ("span:name", Intrinsic::SpanName),
    ("span:statusMessage", Intrinsic::StatusMessage),
    ("event:name", Intrinsic::EventName),
    ("scope:name", Intrinsic::ScopeName),
    ("scope:version", Intrinsic::ScopeVersion),
];

const PLACES: [(&str, Place); 4] = [
    ("resource", Place::Resource),
    ("scope", Place::Scope),
    ("span", Place::Span),
    ("event", Place::Event),
];

impl Shown {
    /// Parses an intrinsic (`span:name`) or an attribute with its place (`span.http.route`).
    pub fn parse(text: &str) -> Option<Self> {
        let intrinsic = INTRINSICS.into_iter().find(|(name, _)| *name == text);
        if let Some((_, intrinsic)) = intrinsic {
            return Some(Self::Intrinsic(intrinsic));
        }
        let (place, key) = text.split_once('.')?;
        let (_, place) = PLACES.into_iter().find(|(name, _)| *name == place)?;
        (!key.is_empty()).then(|| Self::Attribute(place, key.into()))
    }

    /// The attribute's name, without its place.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Intrinsic(_) => None,
            Self::Attribute(_, key) => Some(key),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Intrinsic(intrinsic) => {
                let name = INTRINSICS.iter().find(|(_, known)| known == intrinsic);
                f.write_str(name.map_or("", |(name, _)| name))
            }
            Self::Attribute(place, key) => {
                let name = PLACES.iter().find(|(_, known)| known == place);
                write!(f, "{}.{key}", name.map_or("", |(name, _)| name))
            }
        }
    }
}

impl Outline {
    /// An outline that shows this in addition.
    pub fn new(shown: impl IntoIterator<Item = Shown>) -> Self {
        Self(shown.into_iter().collect())
    }

    /// What it shows in addition.
    pub fn shown(&self) -> &[Shown] {
        &self.0
    }

    /// The same, without attributes by which tenants are told apart, wherever they are: their
    /// values name the other tenants.
    pub(super) fn without_tenants(&self, owner: &TraceOwner) -> Self {
        let names_tenant = |shown: &Shown| {
            let key = shown.key();
            key.is_some_and(|key| owner.has(key))
        };
        let shown = self.0.iter().filter(|shown| !names_tenant(shown));
        Self::new(shown.cloned())
    }

    /// Whether it shows this field.
    pub(super) fn has(&self, intrinsic: Intrinsic) -> bool {
        self.0.contains(&Shown::Intrinsic(intrinsic))
    }

    /// Whether it shows any attribute at this place.
    pub(super) fn shows_any(&self, at: Place) -> bool {
        let is_there = |shown: &Shown| matches!(shown, Shown::Attribute(place, _) if *place == at);
        self.0.iter().any(is_there)
    }

    pub(super) fn shows(&self, at: Place, name: &str) -> bool {
        let is_it = |shown: &Shown| matches!(shown, Shown::Attribute(place, key) if *place == at && **key == *name);
        self.0.iter().any(is_it)
    }
}

#[cfg(test)]
mod generated;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
