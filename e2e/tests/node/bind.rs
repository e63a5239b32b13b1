//! The capture `bind`: without any privilege.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use anyhow::{Context, anyhow, ensure};
use e2e::wait::eventually;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::first::{every_way_in, rules};
use crate::manifests::{users, workload};
use crate::scene::{PATIENCE, Scene, scene};

async fn restricted(scene: &Scene<'_>) -> anyhow::Result<()> {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    scene.kubectl(&["label", "namespace", &scene.namespace.name, label]).await.map(drop)
}

async fn bound(scene: &Scene<'_>, host: &str) -> anyhow::Result<()> {
    scene.policy("users", "users", json!({"tls": {"mode": "Mutual"}, "rules": rules()})).await?;
    let mut objects = users(1, &json!([{"name": "HOST", "value": host}]));
    objects["items"][0]["spec"]["template"]["metadata"]["annotations"] =
        json!({"doorward.dev/inject": "true", "doorward.dev/capture": "bind"});
    scene.apply(&objects).await.map(drop)
}

#[tokio::test]
async fn an_application_on_the_loopback_address_is_protected_in_a_restricted_namespace() -> anyhow::Result<()> {
    scene("bind", async |scene| {
        restricted(scene).await?;
        bound(scene, "127.0.0.1").await?;
        scene.rolled_out("users").await?;
        scene.enforced("users").await?;
        every_way_in(scene, &scene.token("")?, &scene.token("admin")?).await
    })
    .await
}

#[tokio::test]
async fn redirect_is_refused_in_a_restricted_namespace_with_the_cure() -> anyhow::Result<()> {
    scene("baseline", async |scene| {
        restricted(scene).await?;
        let mut deployment = users(1, &json!([]))["items"][0].clone();
        let mut pod = deployment["spec"]["template"].take();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"] = json!({"name": "users", "annotations": {"doorward.dev/inject": "true"}});
        let answer = scene.try_apply(&pod).await?;
        ensure!(!answer.status.success(), "it is taken");
        // Kubernetes refuses it, and our warning says what to do.
        ensure!(answer.stderr.contains("bind") && answer.stderr.contains("NET_ADMIN"), "{}", answer.stderr);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_application_on_all_ipv4_addresses_does_not_start() -> anyhow::Result<()> {
    scene("taken", async |scene| does_not_start(scene, "0.0.0.0").await).await
}

/// Node's default.
#[tokio::test]
async fn an_application_on_all_addresses_does_not_start() -> anyhow::Result<()> {
    scene("taken", async |scene| does_not_start(scene, "::").await).await
}

/// It cannot take the port that the sidecar has, and whoever looks why finds what to set.
async fn does_not_start(scene: &Scene<'_>, host: &str) -> anyhow::Result<()> {
    bound(scene, host).await?;
    let log = async |container: &str| {
        scene.kubectl(&["logs", "--selector", "app=users", "--container", container, "--tail=-1"]).await
    };
    eventually(PATIENCE, "the application ends", async || {
        let path = "{.status.containerStatuses[?(@.name==\"app\")].restartCount}";
        let restarts: u32 = scene.pod("users", path).await?.parse()?;
        let log = log("app").await?;
        ensure!(restarts > 0 && log.contains("EADDRINUSE"), "{restarts} restarts: {log}");
        Ok(())
    })
    .await?;
    let log = log("doorward").await?;
    ensure!(log.contains("HOST=127.0.0.1"), "{log}");
    let ready = scene.pod("users", "{.status.conditions[?(@.type==\"Ready\")].status}").await?;
    ensure!(ready == "False", "{ready}");
    Ok(())
}

/// A socket that is willing to share its port gets no share of it, on whichever address (socket(7), `SO_REUSEPORT`).
#[tokio::test]
async fn a_listener_that_shares_ports_does_not_get_the_sidecars() -> anyhow::Result<()> {
    scene("shared", async |scene| {
        bound(scene, "127.0.0.1").await?;
        scene.rolled_out("users").await?;
        let network = File::open(scene.process("users", &["/doorward-sidecar"]).await?.join("ns/net"))?;
        let own: IpAddr = scene.pod("users", "{.status.podIP}").await?.parse()?;
        let everywhere = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into(), own];
        // A thread of its own: it does not come back from the pod's network.
        let listen = move || -> anyhow::Result<()> {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            for address in everywhere {
                let error = shared(SocketAddr::new(address, 3000)).err().map(|error| error.kind());
                ensure!(error == Some(ErrorKind::AddrInUse), "{address}: {error:?}");
            }
            // Nothing else keeps it from listening.
            shared(SocketAddr::new(own, 3001)).map(drop).context("another port")
        };
        std::thread::spawn(listen).join().map_err(|_| anyhow!("the thread panicked"))?
    })
    .await
}

fn shared(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)?;
    Ok(socket)
}

/// The sidecar is killed, and the application takes its port before it is back: nobody is led round it unnoticed.
#[tokio::test]
async fn an_application_that_takes_the_port_meanwhile_is_told_of() -> anyhow::Result<()> {
    scene("steals", async |scene| {
        scene.policy("users", "users", json!({"tls": {"mode": "Mutual"}, "rules": rules()})).await?;
        // It tries again until it gets the port, and without the sidecar it does.
        let script = "const s = require('net').createServer(); s.on('error', () => { console.log('taken'); setTimeout(go, 1) }); s.on('listening', () => console.log('{}')); \
                      const go = () => s.listen(3000, '0.0.0.0'); go()";
        let container = json!({"name": "app", "command": ["node", "-e", script], "ports": [{"containerPort": 3000}]});
        let mut deployment = workload("Deployment", "users", 1, container);
        deployment["spec"]["template"]["metadata"]["annotations"] =
            json!({"doorward.dev/inject": "true", "doorward.dev/capture": "bind"});
        scene.apply(&deployment).await?;
        scene.enforced("users").await?;
        eventually(PATIENCE, "the application tries", async || {
            let log = scene.kubectl(&["logs", "--selector", "app=users", "--container", "app"]).await?;
            ensure!(log.contains("taken"), "{log}");
            Ok(())
        })
        .await?;
        scene.kill("users", &["/doorward-sidecar"]).await?;
        scene.says("users", "Enforced", "False", "NotCaptured").await?;
        eventually(PATIENCE, "the pod is not ready", async || {
            let ready = scene.pod("users", "{.status.conditions[?(@.type==\"Ready\")].status}").await?;
            ensure!(ready == "False", "{ready}");
            Ok(())
        })
        .await
    })
    .await
}
