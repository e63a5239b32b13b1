//! From host and path to the one template that applies: a tree of segments, literals before parameters before the rest.
//!
//! No router library keeps these rules: literals compared decoded and folded, aliases of what applications strip, templates
//! that exist only for some hosts.

mod alias;
mod template;

use template::TemplateSegment;
pub use template::{Template, TemplateError};

use super::Rule;
use super::host::{self, Closeness};
use crate::request::Segment;
use std::cmp::Ordering;

/// The tree. A path visits each node at most once, so the work is bounded by the policy, never by the path.
#[derive(Debug, Default)]
pub(super) struct Router {
    root: Node,
    templates: Vec<Entry>,
}

#[derive(Debug, Default)]
struct Node {
    /// By folded text, sorted.
    literals: Vec<(Box<str>, Self)>,
    parameter: Option<Box<Self>>,
    ends: Option<usize>,
    rest: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    template: Template,
    /// Positions of its rules.
    rules: Vec<usize>,
}

/// What the path of a request leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed<'a> {
    entry: &'a Entry,
    closeness: Closeness,
    /// It matches only without case.
    pub(crate) folded: bool,
    /// Some applications would take the path for another template's.
    pub(crate) aliased: bool,
}

impl<'a> Routed<'a> {
    /// The rules that are left: those that name the host most closely.
    pub(crate) fn rules(self, all: &'a [Rule], host: &'a str) -> impl Iterator<Item = &'a Rule> + Clone {
        let named = move |rule: &&Rule| host::closeness(&rule.hosts, host) == Some(self.closeness);
        self.entry.rules.iter().filter_map(|position| all.get(*position)).filter(named)
    }
}

impl Router {
    /// Adds a rule; rules with equal templates, parameter names apart, share an entry.
    pub(super) fn add(&mut self, template: Template, rule: usize) -> Result<(), TemplateError> {
        let mut node = &mut self.root;
        for segment in template.segments() {
            node = match segment {
                TemplateSegment::Literal(text) => node.literal(text.folded().collect()),
                TemplateSegment::Parameter(_) => node.parameter.get_or_insert_default(),
            };
        }
        let slot = if template.has_rest() { &mut node.rest } else { &mut node.ends };
        let position = *slot.get_or_insert(self.templates.len());
        match self.templates.get_mut(position) {
            None => self.templates.push(Entry { template, rules: vec![rule] }),
            Some(entry) if entry.template.key(false) == template.key(false) => entry.rules.push(rule),
            Some(_) => return Err(TemplateError::DiffersInCase),
        }
        Ok(())
    }

    /// The template for a host and a path, where there is one.
    pub(super) fn route<'a>(&'a self, rules: &[Rule], host: &str, path: &str) -> Option<Routed<'a>> {
        let search = Search { router: self, rules, host, aliases: false };
        let (position, closeness) = search.below(&self.root, split(path))?;
        let entry = self.templates.get(position)?;
        let may_alias = segments(path).any(Segment::may_be_alias);
        let aliased = may_alias
            && Search { aliases: true, ..search }
                .below(&self.root, split(path))
                .is_some_and(|(other, _)| other != position);
        Some(Routed { entry, closeness, folded: !entry.template.matches_exactly(segments(path)), aliased })
    }
}

impl Node {
    fn literal(&mut self, folded: Box<str>) -> &mut Self {
        let place = self.literals.partition_point(|(text, _)| **text < *folded);
        if self.literals.get(place).is_none_or(|(text, _)| *text != folded) {
            self.literals.insert(place, (folded, Self::default()));
        }
        #[expect(clippy::indexing_slicing, reason = "the entry was found or inserted at this place")]
        &mut self.literals[place].1
    }

    fn find(&self, folded: impl Iterator<Item = char> + Clone) -> Option<&Self> {
        let compare = |text: &str| text.chars().cmp(folded.clone());
        let place = self.literals.partition_point(|(text, _)| compare(text) == Ordering::Less);
        self.literals.get(place).filter(|(text, _)| compare(text) == Ordering::Equal).map(|(_, node)| node)
    }
}

#[derive(Clone, Copy)]
struct Search<'a> {
    router: &'a Router,
    rules: &'a [Rule],
    host: &'a str,
    aliases: bool,
}

impl Search<'_> {
    /// The best template below a node. The recursion is as deep as the longest template, at most 512 segments.
    fn below(&self, node: &Node, rest: Option<&str>) -> Option<(usize, Closeness)> {
        let Some(rest) = rest else { return self.usable(node.ends).or_else(|| self.usable(node.rest)) };
        let (segment, tail) = rest.split_once('/').map_or((rest, None), |(segment, tail)| (segment, Some(tail)));
        let segment = Segment::of_canonical(segment);
        node.find(segment.folded())
            .and_then(|child| self.below(child, tail))
            .or_else(|| self.below_alias(node, segment, tail))
            .or_else(|| node.parameter.as_ref().and_then(|child| self.below(child, tail)))
            .or_else(|| self.usable(node.rest))
    }

    fn below_alias(&self, node: &Node, segment: Segment, tail: Option<&str>) -> Option<(usize, Closeness)> {
        if !self.aliases || !segment.may_be_alias() || node.literals.is_empty() {
            return None;
        }
        alias::names(segment).find_map(|name| self.below(node.find(name.folded())?, tail))
    }

    /// A template exists for this host when one of its rules does.
    fn usable(&self, template: Option<usize>) -> Option<(usize, Closeness)> {
        let entry = self.router.templates.get(template?)?;
        let rules = entry.rules.iter().filter_map(|position| self.rules.get(*position));
        let closeness = rules.filter_map(|rule| host::closeness(&rule.hosts, self.host)).max()?;
        Some((template?, closeness))
    }
}

/// The path without its first and one last slash; none for `/`.
fn split(path: &str) -> Option<&str> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    Some(inner.strip_suffix('/').unwrap_or(inner)).filter(|inner| !inner.is_empty())
}

fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    split(path).into_iter().flat_map(|inner| inner.split('/')).map(Segment::of_canonical)
}

#[cfg(test)]
mod tests;
