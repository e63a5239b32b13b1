//! Which ports are protected, and where the sidecar listens for them.

use std::collections::BTreeSet;

use compile::diagnostic::quoted;
use policy::wire::{ADMIN_PORT, DEBUG_PORT, MAX_PORTS, ProtectedPort, REDIRECT_PORT};
use serde_json::Value;

use super::annotations::{self, Options};
use super::pod::{self, Container};
use super::previous::Previous;
use super::refusal::{Code, Sink};
use super::{Capture, names};

/// A port as the annotation names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PortRef {
    Number(u16),
    Name(String),
}

/// Reads names and numbers with commas between.
pub(super) fn parse(text: &str) -> Result<Vec<PortRef>, String> {
    text.split(',').map(|part| port(part.trim()).ok_or_else(|| format!("{} is no port", quoted(part)))).collect()
}

fn port(text: &str) -> Option<PortRef> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| *number > 0).map(PortRef::Number);
    }
    // IANA_SVC_NAME, as Kubernetes takes it.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (text.len() <= 15 && text.bytes().all(plain)).then(|| PortRef::Name(text.to_owned()))
}

/// A port that a container declares.
struct Declared {
    pointer: String,
    name: Option<String>,
    number: u16,
    tcp: bool,
}

fn declared<'pod>(containers: impl Iterator<Item = Container<'pod>>) -> Vec<Declared> {
    let of = |container: Container<'pod>| {
        let ports = pod::entries(container.value, "ports").enumerate();
        ports.filter_map(move |(index, port)| {
            Some(Declared {
                pointer: format!("{}/ports/{index}", container.pointer),
                name: port.get("name").and_then(Value::as_str).map(str::to_owned),
                number: port.get("containerPort").and_then(Value::as_u64).and_then(|port| port.try_into().ok())?,
                tcp: port.get("protocol").and_then(Value::as_str).is_none_or(|protocol| protocol == "TCP"),
            })
        })
    };
    containers.flat_map(of).collect()
}

fn tcp_numbers(declared: &[Declared]) -> BTreeSet<u16> {
    declared.iter().filter(|port| port.tcp).map(|port| port.number).collect()
}

/// The protected ports in order, each with the port where the sidecar listens.
pub(super) fn protected(pod: &Value, options: &Options, previous: &Previous, sink: &mut Sink) -> Vec<ProtectedPort> {
    let numbers = match &options.ports {
        Some(wanted) => named(pod, wanted, previous, sink),
        None => earlier(pod, previous).unwrap_or_else(|| only(pod, sink)),
    };
    if numbers.len() > MAX_PORTS {
        let message = format!("{} ports are more than a sidecar protects", numbers.len());
        sink.refuse(Code::TooManyPorts, annotations::pointer("ports"), message, format!("name at most {MAX_PORTS}"));
        return Vec::new();
    }
    let listen = (REDIRECT_PORT..).zip(&numbers);
    let ports: Vec<ProtectedPort> = listen
        .map(|(listen, &port)| ProtectedPort {
            port,
            listen: if options.capture == Capture::Bind { port } else { listen },
        })
        .collect();
    refuse_reserved(pod, options, &ports, sink);
    ports
}

fn named(pod: &Value, wanted: &[PortRef], previous: &Previous, sink: &mut Sink) -> BTreeSet<u16> {
    let declared = declared(pod::applications(pod));
    let known = tcp_numbers(&declared);
    let number = |wanted: &PortRef| match wanted {
        PortRef::Number(number) if known.is_empty() || known.contains(number) => Some(*number),
        PortRef::Number(number) => undeclared(pod, *number, &known, previous, sink),
        PortRef::Name(name) => resolve(name, &declared, sink),
    };
    wanted.iter().filter_map(number).collect()
}

/// A number that no container declares, where they do declare some, is mostly the port of the Service, or a slip: the proxy would
/// stand where nobody listens, and the application's own port would be open. Not where others alone may have declared: native
/// sidecars, or a container that another webhook added since an earlier run took the number of an application without any.
fn undeclared(pod: &Value, number: u16, known: &BTreeSet<u16>, previous: &Previous, sink: &mut Sink) -> Option<u16> {
    let declares = |container| !tcp_numbers(&declared([container].into_iter())).is_empty();
    let (some_declare, all_declare) =
        (pod::main_containers(pod).any(declares), pod::main_containers(pod).all(declares));
    let was_taken = previous.ports.iter().any(|port| port.port == number);
    let pointer = annotations::pointer("ports");
    let declared = numbers_of(known);
    if !some_declare || was_taken && !all_declare {
        let advice =
            format!("no container declares the port `{number}`, but others are declared: {declared}; declare it");
        sink.warn(&pointer, &advice);
        return Some(number);
    }
    let message = format!("no container declares the port `{number}`");
    let cure = format!(
        "declared are {declared}: write the port on which the application listens, not the Service's, or declare it in the container"
    );
    sink.refuse(Code::UnknownPort, pointer, message, cure);
    None
}

fn resolve(name: &str, declared: &[Declared], sink: &mut Sink) -> Option<u16> {
    let of_name = || declared.iter().filter(|port| port.name.as_deref() == Some(name));
    let numbers: BTreeSet<u16> = of_name().filter(|port| port.tcp).map(|port| port.number).collect();
    let pointer = annotations::pointer("ports");
    match (numbers.first(), numbers.len()) {
        (Some(&number), 1) => return Some(number),
        (None, _) if of_name().next().is_some() => {
            let cure = "only TCP is protected: name a TCP port";
            sink.refuse(Code::UnknownPort, pointer, format!("port {} is not TCP", quoted(name)), cure);
        }
        (None, _) => {
            let known: Vec<&str> =
                declared.iter().filter(|port| port.tcp).filter_map(|port| port.name.as_deref()).collect();
            let cure = match names::nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => "write its number, or name the port in its container".to_owned(),
                None => format!("declared are {}", names::list(known)),
            };
            sink.refuse(Code::UnknownPort, pointer, format!("no container declares a port {}", quoted(name)), cure);
        }
        (Some(_), _) => {
            let message = format!("the name {} stands for the ports {}", quoted(name), numbers_of(&numbers));
            sink.refuse(Code::AmbiguousPort, pointer, message, "write the number");
        }
    }
    None
}

/// What an earlier run chose, where the application still declares it: another webhook may have added containers with ports
/// of their own since, but who changes the port of the application means another one.
fn earlier(pod: &Value, previous: &Previous) -> Option<BTreeSet<u16>> {
    let declared = declared(pod::main_containers(pod));
    let ports: BTreeSet<u16> = previous.ports.iter().map(|port| port.port).collect();
    let is_declared = |number: &u16| declared.iter().any(|port| port.tcp && port.number == *number);
    Some(ports).filter(|ports| !ports.is_empty() && ports.iter().all(is_declared))
}

/// The only TCP port that the application's containers declare.
fn only(pod: &Value, sink: &mut Sink) -> BTreeSet<u16> {
    let numbers = tcp_numbers(&declared(pod::main_containers(pod)));
    if numbers.len() != 1 {
        let message = if numbers.is_empty() {
            "no container declares a TCP port".to_owned()
        } else {
            format!("the containers declare several TCP ports: {}", numbers_of(&numbers))
        };
        let port = numbers.first().copied().unwrap_or(8080);
        let inject = annotations::PREFIX;
        let cure = format!(
            "write which to protect, `{inject}ports: \"{port}\"`, or leave this pod out with `{inject}inject: \"false\"`"
        );
        sink.refuse(Code::PortsNeeded, annotations::pointer("ports"), message, cure);
        return BTreeSet::new();
    }
    numbers
}

fn refuse_reserved(pod: &Value, options: &Options, ports: &[ProtectedPort], sink: &mut Sink) {
    let redirected = ports.iter().map(|port| port.listen).filter(|_| options.capture == Capture::Redirect);
    let ours: BTreeSet<u16> = redirected.chain([ADMIN_PORT, DEBUG_PORT]).collect();
    let cure = "let the application listen on another port";
    for port in ports.iter().filter(|port| ours.contains(&port.port)) {
        let message = format!("port `{}` is one on which the sidecar itself listens", port.port);
        sink.refuse(Code::ReservedPort, annotations::pointer("ports"), message, cure);
    }
    for port in declared(pod::others(pod)).iter().filter(|port| port.tcp && ours.contains(&port.number)) {
        let message = format!("port `{}` is one on which the sidecar itself listens", port.number);
        sink.refuse(Code::ReservedPort, format!("{}/containerPort", port.pointer), message, cure);
    }
}

fn numbers_of(numbers: &BTreeSet<u16>) -> String {
    let texts: Vec<String> = numbers.iter().map(u16::to_string).collect();
    names::list(texts.iter().map(String::as_str))
}
