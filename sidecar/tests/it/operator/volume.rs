//! What a container that starts anew finds on its volume.

use super::{Pod, only};
use crate::support::operator::{keys_line, ruleset_line};
use crate::support::{Signer, eventually};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

/// Where nobody is.
fn nowhere() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

impl Pod {
    /// A container that had everything and is gone.
    async fn served_once(&self) {
        self.operator.set(&self.lines());
        let sidecar = self.start();
        sidecar.ready().await;
        eventually("all is on the volume", || async { self.files().len() == 4 }).await;
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(self.folder.path().join("state")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

#[tokio::test]
async fn a_container_that_starts_anew_serves_before_the_operator_is_back() {
    let pod = Pod::new().await;
    pod.served_once().await;
    for path in pod.files() {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    let sidecar = pod.start_with(nowhere(), |_| {});
    assert_eq!(sidecar.probe("/readyz").await, (200, "ok\n".to_owned()), "at once");
    let client = pod.client(&sidecar, 3000);
    assert_eq!(client.get("/orders/7", &[("authorization", &pod.alice())]).await.status, 200);
    assert_eq!(client.get("/orders/7", &[]).await.status, 401);
    drop(sidecar);
    // And later it follows the operator again, without a report of anything new.
    let sidecar = pod.start();
    pod.operator.reported("it is back", |report| report.applied.len() == 2).await;
    assert_eq!(pod.operator.issued(), 1, "the certificate is good for hours");
    drop(sidecar);
}

#[tokio::test]
async fn a_policy_that_was_deleted_does_not_come_back() {
    let pod = Pod::new().await;
    pod.served_once().await;
    let sidecar = pod.start();
    sidecar.ready().await;
    eventually("the stream is open", || async { pod.operator.opened().len() == 2 }).await;
    pod.operator.send("{\"type\":\"absent\",\"port\":3000}\n");
    let client = pod.client(&sidecar, 3000);
    eventually("it denies", || async { client.get("/open/a", &[]).await.status == 503 }).await;
    drop(sidecar);
    let sidecar = pod.start_with(nowhere(), |_| {});
    assert_eq!(pod.client(&sidecar, 3000).get("/open/a", &[]).await.code(), "not_configured");
    assert_eq!(pod.client(&sidecar, 9090).get("/metrics/a", &[]).await.status, 200);
}

#[tokio::test]
async fn keys_that_nothing_names_are_forgotten() {
    let pod = Pod::new().await;
    pod.served_once().await;
    let stray = keys_line(&Signer::new("k9").jwks()).replacen("\"id\":\"main\"", "\"id\":\"stray\"", 1);
    let mut lines = pod.lines();
    lines.insert(0, stray);
    pod.operator.set(&lines);
    let sidecar = pod.start();
    eventually("the stream is open", || async { pod.operator.opened().len() == 2 }).await;
    eventually("four files are left", || async { pod.files().len() == 4 }).await;
    pod.operator.send(&ruleset_line(9090, 5, &only("/v5/**")));
    let client = pod.client(&sidecar, 9090);
    eventually("it is in force", || async { client.get("/v5/a", &[]).await.status == 200 }).await;
}

/// The nth way to damage a file: cut, flipped, a piece doubled, a piece gone, another version, another port's.
fn damaged(good: &[u8], number: usize) -> Vec<u8> {
    // Weyl's sequence: every place is tried before one comes twice.
    let place = number.wrapping_mul(2_654_435_761) % good.len();
    let mut bytes = good.to_vec();
    match number % 6 {
        0 => bytes.truncate(place),
        1 => bytes[place] ^= 1 << (number / 6 % 8),
        2 => bytes.splice(place..place, good[..place].iter().copied()).for_each(drop),
        3 => bytes.drain(place..(place + 9).min(good.len())).for_each(drop),
        4 => {
            let text = String::from_utf8_lossy(good).replacen("\"format\":1", &format!("\"format\":{number}"), 1);
            bytes = text.into_bytes();
        }
        _ => {
            let text = String::from_utf8_lossy(good).into_owned();
            bytes = text.replacen("3000", "9090", 1).replacen("/open/**", "/**", 1).into_bytes();
        }
    }
    bytes
}

/// A damaged file is as good as none: what it said is not in force, or is as it was; nothing opens.
#[tokio::test]
async fn damaged_files_open_nothing() {
    let pod = Pod::new().await;
    pod.served_once().await;
    let files = pod.files();
    let good: Vec<_> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut ignored = 0;
    for number in 0..240 {
        let (path, whole) = (&files[number % files.len()], &good[number % files.len()]);
        std::fs::write(path, damaged(whole, number / files.len())).unwrap();
        let sidecar = pod.start_with(nowhere(), |_| {});
        let (ready, _) = sidecar.probe("/readyz").await;
        if ready != 200 {
            ignored += 1;
        }
        if sidecar.certificate.is_there() {
            for port in [3000, 9090] {
                let client = pod.client(&sidecar, port);
                // Where the damage is in a signature, callers refuse the certificate that is shown, or are refused with theirs.
                if !client.connects().await {
                    continue;
                }
                let orders = client.get("/orders/7", &[]).await.status.as_u16();
                assert!([401, 403, 503].contains(&orders), "{number}: {orders}");
                let other = client.get("/other", &[]).await.status.as_u16();
                assert!([403, 503].contains(&other), "{number}: {other}");
            }
        }
        std::fs::write(path, whole).unwrap();
    }
    assert!(ignored > 150, "{ignored} of 240 were ignored; the others say the same in other bytes");
    assert!(pod.app.seen().is_empty(), "nothing reached the application");
}
