//! `doorward inject`: what the webhook would do to the pods of a manifest.

mod workloads;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use compile::DEFAULT_NAMESPACE;
use compile::source::{self, Document};
use operator::args::SidecarArgs;
use operator::inject::{self, NamespaceFacts, Settings};
use serde_json::Value;

use crate::load::{self, Refused};
use crate::output::Exit;

/// What `inject` is given. The defaults are those of the chart.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with pods, and with what makes pods; `-` is standard input
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The namespace of objects that name none
    #[arg(short, long, default_value = DEFAULT_NAMESPACE)]
    namespace: String,
    /// The namespace of the operator
    #[arg(long, value_name = "NAMESPACE", default_value = "doorward")]
    operator_namespace: String,
    /// The operator's base URL, where it is not the Service in that namespace
    #[arg(long, value_name = "URL")]
    operator: Option<String>,
    /// The certificates that vouch for the operator: `ca.crt` of the ConfigMap `doorward-ca`. Without them the webhook must
    /// still see the pod
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The image of the sidecar
    #[arg(long)]
    image: Option<String>,
    /// The image of the container that sets up the redirect
    #[arg(long, value_name = "IMAGE")]
    capture_image: Option<String>,
    #[command(flatten)]
    sidecar: SidecarArgs,
}

/// Runs the command. Nothing is written where anything is refused.
///
/// # Errors
/// Where a file cannot be read.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = settings(args)?;
    let mut documents = Vec::new();
    for file in &args.files {
        let text = load::read(file)?;
        documents.extend(source::read(&file.display().to_string(), &text).map_err(Refused)?);
    }
    let mut errors = std::io::stderr().lock();
    if args.ca.is_none() {
        writeln!(errors, "doorward: without --ca the sidecar cannot trust the operator until the webhook adds its CA")?;
    }
    let labels = namespaces(&documents);
    let facts = |object: &Value| {
        let name = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or(&args.namespace).to_owned();
        NamespaceFacts { labels: labels.get(&name).cloned().unwrap_or_default(), name }
    };
    let mut is_refused = false;
    for document in &mut documents {
        let places = document.places.clone();
        let place = |pointer: &str| {
            let place = places.nearest(pointer);
            format!("{}:{}:{}", document.file, place.line, place.column)
        };
        workloads::each_pod(&mut document.value, String::new(), &mut |object, pod, pointer| match inject::inject(
            pod,
            &facts(object),
            &settings,
        ) {
            Ok(injected) => {
                *pod = injected.pod;
                let at = place(pointer);
                injected.warnings.iter().try_for_each(|warning| writeln!(errors, "{at}: warning: {warning}"))
            }
            Err(refusals) => {
                is_refused = true;
                refusals.into_iter().try_for_each(|mut refusal| {
                    refusal.pointer.insert_str(0, pointer);
                    let (at, code, path) = (place(&refusal.pointer), refusal.code, refusal.path());
                    writeln!(errors, "{at}: error[{code}]: {path}: {}; {}", refusal.message, refusal.cure)
                })
            }
        })?;
    }
    if is_refused {
        return Ok(Exit::Refused);
    }
    write(&documents, out)?;
    Ok(Exit::Ok)
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    let defaults = Settings::for_operator_in(&args.operator_namespace);
    Ok(Settings {
        operator_url: args.operator.clone().unwrap_or(defaults.operator_url),
        ca_bundle: args.ca.as_deref().map(load::read).transpose()?.unwrap_or(defaults.ca_bundle),
        sidecar_image: args.image.clone().unwrap_or(defaults.sidecar_image),
        capture_image: args.capture_image.clone().unwrap_or(defaults.capture_image),
        resources: args.sidecar.resources()?,
        ..defaults
    })
}

/// The labels of the namespaces that the files hold.
fn namespaces(documents: &[Document]) -> BTreeMap<String, BTreeMap<String, String>> {
    let objects = documents.iter().flat_map(|document| workloads::objects(&document.value));
    let namespaces = objects.filter(|object| object.get("kind").and_then(Value::as_str) == Some("Namespace"));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let of = |namespace: &Value| {
        let labels = namespace.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
        let labels = labels.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
        Some((text(namespace.pointer("/metadata/name")?)?, labels))
    };
    namespaces.filter_map(of).collect()
}

fn write(documents: &[Document], out: &mut impl Write) -> anyhow::Result<()> {
    // No line is longer than a file, so none is folded: JSON in environment variables stays on its line.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: source::MAX_FILE };
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            writeln!(out, "---")?;
        }
        // kubectl reads YAML 1.1, where `yes` without quotes is no string: this writer knows, and `serde_yaml` does not.
        out.write_all(serde_saphyr::to_string_with_options(&document.value, options.clone())?.as_bytes())?;
    }
    Ok(())
}
