//! Network namespaces: ports and addresses as in a pod, and nothing of the machine's.

use std::process::{Child, Command, Stdio};

const INSIDE: &str = "DOORWARD_TEST_INSIDE";

/// Runs the rest of a test in a network namespace of its own, with its loopback interface up: the first call runs this test
/// again in there and tells how that went, and is false; in there it is true. Without the right to make one the test fails.
pub(crate) fn inside(test: &str) -> bool {
    if std::env::var(INSIDE).as_deref() == Ok(test) {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let script = "ip link set lo up && exec \"$0\" \"$@\"";
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, test)
        .output()
        .expect("unshare is there (util-linux)");
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    false
}

/// Runs a command that must do.
pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("bash").args(["-c", script]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Another namespace, joined to this one by a cable: this end has 10.9.0.1 and fd09::1.
pub(crate) struct Neighbour {
    holder: Child,
}

impl Neighbour {
    pub(crate) fn new() -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo there; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut neighbour = Self { holder };
        let mut there = String::new();
        let mut told = std::io::BufReader::new(neighbour.holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut told, &mut there).unwrap();
        let pid = neighbour.holder.id();
        sh(&format!("ip link add ve0 type veth peer name ve1 netns {pid}"));
        sh("ip addr add 10.9.0.1/24 dev ve0 && ip addr add fd09::1/64 dev ve0 nodad && ip link set ve0 up");
        neighbour.run("ip addr add 10.9.0.2/24 dev ve1 && ip addr add fd09::2/64 dev ve1 nodad && ip link set ve1 up");
        neighbour
    }

    /// Runs a command over there.
    pub(crate) fn run(&self, script: &str) -> String {
        sh(&format!("nsenter --target {} --net bash -c '{script}'", self.holder.id()))
    }

    /// What a server says that speaks first.
    pub(crate) fn hears(&self, address: &str, port: u16) -> String {
        self.run(&format!("exec 3<>/dev/tcp/{address}/{port}; cat <&3"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
