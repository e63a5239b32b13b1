//! The capture `redirect` as the kernel does it.

use crate::support::namespace::{Neighbour, inside, sh};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Says its name to everybody who connects.
fn speaker(address: &str, name: &'static str) {
    let listener = TcpListener::bind(address.parse::<SocketAddr>().unwrap()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(name.as_bytes());
        }
    });
}

fn capture(ports: &str, folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward-sidecar"))
        .arg("capture")
        .env("DOORWARD_PORTS", ports)
        .env("DOORWARD_CAPTURE_DIR", folder)
        .output()
        .unwrap()
}

#[test]
fn traffic_from_outside_goes_to_the_sidecar_and_from_inside_to_the_application() {
    if !inside("capture::traffic_from_outside_goes_to_the_sidecar_and_from_inside_to_the_application") {
        return;
    }
    let neighbour = Neighbour::new();
    // One socket for both families: [::] takes IPv4 too.
    for (address, name) in
        [("[::]:3000", "app"), ("[::]:4000", "other app"), ("[::]:15943", "sidecar"), ("[::]:9090", "free")]
    {
        speaker(address, name);
    }
    let folder = tempfile::tempdir().unwrap();
    let ports = r#"[{"port":3000,"listen":15943},{"port":4000,"listen":15943}]"#;
    assert_eq!(neighbour.hears("10.9.0.1", 3000), "app");
    let twice = capture(ports, folder.path());
    assert_eq!(twice.status.code(), Some(2), "one port to listen on for two: {twice:?}");
    assert!(!folder.path().join("captured.json").exists());
    let ports = r#"[{"port":3000,"listen":15943},{"port":4000,"listen":15944}]"#;
    for _ in 0..2 {
        let done = capture(ports, folder.path());
        assert!(done.status.success(), "{done:?}");
        let proof = folder.path().join("captured.json");
        assert_eq!(std::fs::read_to_string(&proof).unwrap(), r#"{"ports":[3000,4000]}"#);
        assert_eq!(std::fs::metadata(&proof).unwrap().permissions().mode() & 0o777, 0o444);
    }
    assert_eq!(sh("nft list ruleset").matches("redirect to :15943").count(), 1, "twice is once");
    for outside in ["10.9.0.1", "fd09::1"] {
        assert_eq!(neighbour.hears(outside, 3000), "sidecar", "{outside}");
        assert_eq!(neighbour.hears(outside, 9090), "free", "{outside}");
        assert_eq!(neighbour.hears(outside, 15943), "sidecar", "{outside}");
    }
    for inside in ["127.0.0.1", "::1", "10.9.0.1", "fd09::1"] {
        assert_eq!(sh(&format!("exec 3<>/dev/tcp/{inside}/3000; cat <&3")), "app", "{inside}");
    }
    // Another pod's ports replace these, whole.
    assert!(capture(r#"[{"port":9090,"listen":15943}]"#, folder.path()).status.success());
    assert_eq!(neighbour.hears("10.9.0.1", 3000), "app");
    assert_eq!(neighbour.hears("10.9.0.1", 9090), "sidecar");
}

#[test]
fn what_cannot_be_done_leaves_no_proof() {
    if !inside("capture::what_cannot_be_done_leaves_no_proof") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("captured.json");
    std::fs::write(&proof, r#"{"ports":[3000]}"#).unwrap();
    let ports = r#"[{"port":3000,"listen":15943}]"#;
    let fails = |path: &str, told: &str| {
        let output = Command::new("setpriv")
            .args(["--inh-caps=-net_admin", "--bounding-set=-net_admin"])
            .arg(env!("CARGO_BIN_EXE_doorward-sidecar"))
            .arg("capture")
            .env("DOORWARD_PORTS", ports)
            .env("DOORWARD_CAPTURE_DIR", folder.path())
            .env("PATH", path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(told), "{text}");
        assert!(!proof.exists());
    };
    fails(&std::env::var("PATH").unwrap(), "it needs NET_ADMIN");
    std::fs::write(&proof, "{}").unwrap();
    // An nft that says yes and does nothing.
    let liar = folder.path().join("nft");
    std::fs::write(&liar, "#!/bin/sh\ncat >/dev/null\necho '{\"nftables\":[]}'\n").unwrap();
    std::fs::set_permissions(&liar, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    fails(&path, "port 3000 is not redirected");
}
