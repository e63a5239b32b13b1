//! The events of a YAML parser, put together into documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::places::{Children, Place, Places};
use super::{Document, MAX_FILE, cure::cure, scalar};
use crate::diagnostic::{Code, Diagnostic, escape, field_path, quoted};

/// Several times as deep as the deepest field of a policy, with room for what other objects in the file hold. It bounds
/// our own recursion too: the parser counts block and flow collections apart.
const MAX_DEPTH: usize = 64;

/// A policy of 500 rules with every list full has fewer nodes; it bounds the memory for places to some tens of MiB.
const MAX_NODES: usize = 250_000;

/// Separators are cheap to write: this bounds what is kept for each.
const MAX_DOCUMENTS: usize = 1_024;

pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Vec<Document>, Vec<Diagnostic>> {
    if text.len() > MAX_FILE {
        let fault = Diagnostic::error(Code::YamlLimit, "", format!("the file is larger than {MAX_FILE} bytes"));
        return Err(vec![Diagnostic { file: Some(file.clone()), ..fault }]);
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        text,
        file: file.clone(),
        pointer: String::new(),
        nodes: 0,
        faults: Vec::new(),
    };
    match reader.documents() {
        Ok(documents) if reader.faults.is_empty() => Ok(documents),
        _ => Err(reader.faults),
    }
}

struct Reader<'text> {
    events: Parser<'text, StrInput<'text>>,
    text: &'text str,
    file: Arc<str>,
    /// Where in the document we are, as a JSON Pointer.
    pointer: String,
    nodes: usize,
    faults: Vec<Diagnostic>,
}

/// Reading ends here; the fault is already among the others.
struct Stop;

/// A value and where it and its parts stand.
type Node = Result<(Value, Places), Stop>;

impl<'text> Reader<'text> {
    fn documents(&mut self) -> Result<Vec<Document>, Stop> {
        let mut documents = Vec::new();
        while let Some((event, place)) = self.next()? {
            if matches!(event, Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd) {
                continue;
            }
            let (value, places) = self.node(event, place, 0)?;
            if value.is_null() {
                continue;
            }
            if documents.len() == MAX_DOCUMENTS {
                return Err(self.stop(Code::YamlLimit, place, format!("more than {MAX_DOCUMENTS} documents")));
            }
            documents.push(Document { file: self.file.clone(), value, places });
        }
        Ok(documents)
    }

    fn next(&mut self) -> Result<Option<(Event<'text>, Place)>, Stop> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, place(&span.start)))),
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    /// The next event inside a collection, which the parser always closes or refuses.
    fn inside(&mut self, opened: Place) -> Result<(Event<'text>, Place), Stop> {
        let next = self.next()?;
        next.ok_or_else(|| self.stop(Code::YamlSyntax, opened, "what begins here does not end".into()))
    }

    fn node(&mut self, event: Event<'text>, place: Place, depth: usize) -> Node {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.stop(Code::YamlLimit, place, format!("more than {MAX_NODES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(self.stop(Code::YamlLimit, place, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if let Some(tag) = event.tag() {
            let message = format!("the tag {} is not read", quoted(&tag.original()));
            let hint = "take it out, and put the value in quotes if it is a string";
            self.fault(Code::YamlSyntax, place, message, Some(hint));
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => {
                let places = Places { value: place, plain: Some(text.as_ref().into()), ..Places::default() };
                Ok((scalar::resolve(&text), places))
            }
            Event::Scalar(text, ..) => {
                Ok((Value::String(text.into_owned()), Places { value: place, ..Places::default() }))
            }
            Event::SequenceStart(..) => self.sequence(place, depth),
            Event::MappingStart(..) => self.mapping(place, depth),
            _ => {
                // An alias can stand for any amount of text, and a reader of a policy should not have to look it up.
                self.fault(Code::YamlSyntax, place, "aliases are not read".into(), Some("write the value out"));
                Ok((Value::Null, Places { value: place, ..Places::default() }))
            }
        }
    }

    fn sequence(&mut self, opened: Place, depth: usize) -> Node {
        let (mut values, mut entries) = (Vec::new(), Vec::new());
        loop {
            let (event, place) = self.inside(opened)?;
            if event == Event::SequenceEnd {
                break;
            }
            let segment = values.len().to_string();
            let (value, places) = self.within(&segment, |reader| reader.node(event, place, depth + 1))?;
            values.push(value);
            entries.push(places);
        }
        let places = Places { value: opened, children: Children::Entries(entries), ..Places::default() };
        Ok((Value::Array(values), places))
    }

    fn mapping(&mut self, opened: Place, depth: usize) -> Node {
        let (mut values, mut fields) = (Map::new(), BTreeMap::<String, Places>::new());
        loop {
            let (event, key_place) = self.inside(opened)?;
            if event == Event::MappingEnd {
                break;
            }
            let Event::Scalar(key, ..) = event else {
                return Err(self.stop(Code::YamlSyntax, key_place, "a key must be a string".into()));
            };
            let key = key.into_owned();
            let first = fields.get(&key).and_then(|places| places.key);
            let (value, places) = self.within(&escape(&key), |reader| {
                if let Some(first) = first {
                    let message = format!("{} stands twice, first in line {}", quoted(&key), first.line);
                    reader.fault(Code::DuplicateKey, key_place, message, Some("leave one of them out"));
                }
                let (event, place) = reader.inside(opened)?;
                reader.node(event, place, depth + 1)
            })?;
            values.insert(key.clone(), value);
            fields.insert(key, Places { key: Some(key_place), ..places });
        }
        let places = Places { value: opened, children: Children::Fields(fields), ..Places::default() };
        Ok((Value::Object(values), places))
    }

    fn within<T>(&mut self, segment: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(segment);
        let result = read(self);
        self.pointer.truncate(outer);
        result
    }

    /// Notes a fault; reading goes on, so that one run shows them all.
    fn fault(&mut self, code: Code, place: Place, message: String, hint: Option<&str>) {
        let fault = place.mark(Diagnostic::error(code, field_path(&self.pointer), message));
        self.faults.push(Diagnostic { file: Some(self.file.clone()), hint: hint.map(str::to_owned), ..fault });
    }

    fn stop(&mut self, code: Code, place: Place, message: String) -> Stop {
        self.fault(code, place, message, None);
        Stop
    }

    fn syntax(&mut self, error: &ScanError) -> Stop {
        let code = match error.kind() {
            granit_parser::ErrorKind::RecursionLimitExceeded => Code::YamlLimit,
            _ => Code::YamlSyntax,
        };
        let place = place(error.marker());
        let line = self.text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
        self.fault(code, place, error.info(), cure(error.kind(), line));
        Stop
    }
}

fn place(marker: &Marker) -> Place {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Place { line: number(marker.line()), column: number(marker.col().saturating_add(1)) }
}
