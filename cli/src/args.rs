//! The command line: every command and what it is given.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::explain::{self, Judge, PeerInput, Request, answer_lines, named_cas};
use crate::issuers::{self, IssuerArgs};
use crate::load::{self, Refused};
use crate::output::{Exit, Format, write_diagnostics, write_json};
use crate::{check, demo, generate, inject, run, snapshot, status, test, token};

/// Access control for any application in Kubernetes, from one object: check, explain, test and run its policies.
#[derive(Debug, clap::Parser)]
#[command(name = "doorward", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The whole story on this machine: a token issuer, a sample API, and the proxy before it
    Demo(demo::Args),
    /// Run the proxy from policy files, without Kubernetes
    Run(run::Args),
    /// Compile policies and say what is found, with file, line and field
    Check(check::Args),
    /// Tell what is decided about a request, by which rule, and what every check saw
    Explain(ExplainArgs),
    /// Run policy tests
    Test(test::Args),
    /// Write the snapshot that `doorward-sidecar --snapshot` runs from
    Compile(snapshot::Args),
    /// Write what the webhook makes of the pods in a manifest
    Inject(inject::Args),
    /// Tell how policies stand in a cluster: generations, keys, pods, capture, the last denials
    Status(status::Args),
    /// Write the CRD, its JSON Schema, or a completion script
    Generate(generate::Args),
    /// Make a token with a development key
    Token(token::Args),
}

/// What `explain` is given.
#[derive(Debug, clap::Args)]
struct ExplainArgs {
    /// Files with policies, and the ConfigMaps that they refer to
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Answer requests, one JSON object a line; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "path", "host", "headers", "token", "token_file", "client_cert", "plaintext", "ip", "at", "output"])]
    requests: Option<PathBuf>,
    /// Leave values of claims and headers out of the answers
    #[arg(long)]
    redact: bool,
    /// The method
    #[arg(long, default_value = "GET")]
    method: String,
    /// The target: a path and perhaps a query
    #[arg(long, required_unless_present = "requests")]
    path: Option<String>,
    /// The host
    #[arg(long, default_value = "localhost")]
    host: String,
    /// A further header field
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The bearer token
    #[arg(long, conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the bearer token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with the client's certificate chain in PEM
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// The client speaks without TLS
    #[arg(long, conflicts_with = "client_cert")]
    plaintext: bool,
    /// Certificates of a CA that no file of policies holds, such as the built-in one
    #[arg(long, value_name = "NAME=FILE")]
    client_ca: Vec<String>,
    /// The client's address
    #[arg(long)]
    ip: Option<std::net::IpAddr>,
    /// The time of the request in RFC 3339; now without it
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// Fetch the keys of issuers whose keys are not in the files
    #[arg(long)]
    fetch: bool,
    #[command(flatten)]
    issuers: IssuerArgs,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs what the command line asks for.
#[must_use]
pub fn execute(cli: Cli) -> Exit {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let result = match cli.command {
        Command::Demo(args) => demo::run(&args, &mut out),
        Command::Run(args) => run::run(args, &mut out),
        Command::Check(args) => check::run(args, &mut out),
        Command::Explain(args) => run_explain(args, &mut out),
        Command::Test(args) => test::run(&args, &mut out),
        Command::Compile(args) => snapshot::run(&args, &mut out),
        Command::Inject(args) => inject::run(&args, &mut out),
        Command::Status(args) => status::run(&args, &mut out),
        Command::Generate(args) => generate::run(&args, &mut out),
        Command::Token(args) => token::run(&args, &mut out),
    };
    let result = result.and_then(|exit| Ok(out.flush().map(|()| exit)?));
    result.unwrap_or_else(|error| report(&error))
}

/// A refused policy is told as its diagnostics and ends with 1; all else could not be used and ends with 2. A reader
/// that has seen enough is no error.
fn report(error: &anyhow::Error) -> Exit {
    let mut errors = std::io::stderr().lock();
    let broken_pipe = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(broken_pipe) {
        return Exit::Ok;
    }
    // There is nowhere left to report to when standard error is gone.
    if let Some(Refused(diagnostics)) = error.downcast_ref() {
        let _ = write_diagnostics(&mut errors, diagnostics);
        return Exit::Refused;
    }
    let _ = writeln!(errors, "doorward: {error:#}");
    Exit::Unusable
}

fn run_explain(args: ExplainArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (mut policies, warnings) = load::load_usable(&args.files, &args.issuers.compile_settings())?;
    if args.fetch {
        issuers::fetch(&mut policies, args.issuers.fetch_settings())?;
    }
    issuers::warn_of_missing(&policies, &mut std::io::stderr())?;
    let judge = Judge::new(policies, &named_cas(&args.client_ca)?)?;
    write_diagnostics(&mut std::io::stderr(), &warnings)?;
    let Some(requests) = &args.requests else {
        let mut answer = judge.answer(&single(&args)?)?.map_err(explain::no_handshake)?;
        if args.redact {
            answer.redact();
        }
        match args.output {
            Format::Json => write_json(out, &answer)?,
            Format::Text => explain::write_text(out, &answer)?,
        }
        return Ok(Exit::Ok);
    };
    let lines = if requests.as_os_str() == "-" {
        answer_lines(&judge, &mut std::io::stdin().lock(), out, args.redact)?
    } else {
        let file = std::fs::File::open(requests).with_context(|| format!("cannot read `{}`", requests.display()))?;
        answer_lines(&judge, &mut std::io::BufReader::new(file), out, args.redact)?
    };
    Ok(if lines.bad == 0 { Exit::Ok } else { Exit::Unusable })
}

fn single(args: &ExplainArgs) -> anyhow::Result<Request> {
    let mut headers = vec![("host".to_owned(), args.host.clone())];
    for header in &args.headers {
        let (name, value) = header.split_once(':').with_context(|| format!("`{header}` is no NAME: VALUE"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let token = match &args.token_file {
        Some(file) => Some(load::read(file)?.trim().to_owned()),
        None => args.token.clone(),
    };
    headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    let certificate = args.client_cert.as_deref().map(load::read).transpose()?;
    Ok(Request {
        method: args.method.clone(),
        target: args.path.clone(),
        headers,
        peer: Some(PeerInput {
            ip: args.ip,
            certificate,
            plaintext: args.plaintext.then_some(true),
            ..PeerInput::default()
        }),
        now: Some(explain::Moment::new(args.at.unwrap_or_else(jiff::Timestamp::now))),
        ..Request::default()
    })
}
