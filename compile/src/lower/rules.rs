//! `spec.rules`: each rule on its own, then what only shows when they stand side by side.

mod hidden;
mod together;
mod weaker;

use policy::ruleset::{Template, TemplateError, is_forwardable_method, is_host_pattern};
use policy::wire::{Rule, Tls};

use super::sink::Sink;
use super::units::networks;
use super::{Context, access};
use crate::diagnostic::{Code, quoted};

/// A rule and its template, where that can be used.
struct Lowered {
    rule: Rule,
    template: Option<Template>,
}

pub(super) fn lower(context: &Context, tls: &Tls, sink: &mut Sink) -> Vec<Rule> {
    let rules: Vec<_> = context
        .policy
        .spec
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| lower_one(context, tls, rule, index, sink))
        .collect();
    together::check(&rules, sink);
    hidden::check(&rules, sink);
    rules.into_iter().map(|lowered| lowered.rule).collect()
}

fn lower_one(context: &Context, tls: &Tls, rule: &crds::Rule, index: usize, sink: &mut Sink) -> Lowered {
    let pointer = format!("/spec/rules/{index}");
    let template = template(&rule.path, context, &format!("{pointer}/path"), sink);
    for (index, method) in rule.methods.iter().enumerate() {
        check_method(method, &format!("{pointer}/methods/{index}"), sink);
    }
    let hosts = rule
        .hosts
        .iter()
        .enumerate()
        .map(|(index, text)| host(text, &format!("{pointer}/hosts/{index}"), sink))
        .collect();
    let ips = networks(&rule.ips, &format!("{pointer}/ips"), sink);
    let access = access::lower(context, tls, rule, template.as_ref(), &pointer, sink);
    Lowered {
        rule: Rule {
            path: rule.path.clone(),
            methods: rule.methods.clone(),
            hosts,
            access,
            ips,
            audit: rule.mode.is_some(),
        },
        template,
    }
}

fn template(path: &str, context: &Context, pointer: &str, sink: &mut Sink) -> Option<Template> {
    let own = |template: &Template| context.policy.spec.resource.is_some() && template.is_metadata();
    let parsed = Template::parse(path);
    match parsed.and_then(|template| if own(&template) { Err(TemplateError::Reserved) } else { Ok(template) }) {
        Ok(template) => {
            if let Some(name) =
                path.split('/').find_map(|segment| segment.strip_prefix(':').filter(|name| !name.is_empty()))
            {
                let message = format!("`:{name}` is no parameter here: it matches these characters alone");
                sink.warning(pointer, Code::LiteralParameter, message, &format!("write `{{{name}}}`"));
            }
            Some(template)
        }
        Err(fault) => {
            let escaped = escaped(path);
            let hint = match Template::parse(&escaped) {
                Ok(_) if escaped != path => format!("write `{escaped}`, its bytes over 0x7F escaped"),
                _ => "write it like `/orders/{id}` or `/files/**`".to_owned(),
            };
            let message = format!("{} is no path template: {fault}", quoted(path));
            sink.error(pointer, Code::BadTemplate, message, &hint);
            None
        }
    }
}

/// A path as it stands on the wire where people wrote it in letters that are not ASCII (RFC 3986, section 2.1).
fn escaped(path: &str) -> String {
    let escape = |byte: u8| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(escape).collect()
}

fn check_method(method: &str, pointer: &str, sink: &mut Sink) {
    if is_forwardable_method(method) {
        return;
    }
    let upper = method.to_ascii_uppercase();
    let hint = if is_forwardable_method(&upper) {
        format!("write `{upper}`")
    } else {
        "leave it out: it never reaches the application".to_owned()
    };
    sink.error(pointer, Code::BadMethod, format!("{} is no method that can pass", quoted(method)), &hint);
}

/// A host as it is compared: in lower case, without final dot.
fn host(text: &str, pointer: &str, sink: &mut Sink) -> String {
    let canonical = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if !is_host_pattern(&canonical) {
        let hint = "write a host name without port, or `*.` and the name that it must be below: `*.example.com`";
        sink.error(pointer, Code::BadHost, format!("{} is no host", quoted(text)), hint);
    }
    canonical
}
