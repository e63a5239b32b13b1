//! Express as people run it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

/// Its process, what it logs of every request, and its port.
pub(crate) fn start() -> (Child, Receiver<Value>, u16) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/apps/users");
    assert!(
        folder.join("node_modules/express").is_dir(),
        "Express is not installed: run `make test`, or `npm ci` in {}",
        folder.display()
    );
    let mut app = Command::new("node")
        .arg("index.js")
        .current_dir(folder)
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(app.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                return;
            }
        }
    });
    (app, receiver, u16::try_from(first["listening"].as_u64().unwrap()).unwrap())
}
