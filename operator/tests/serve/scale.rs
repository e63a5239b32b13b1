//! What a thousand streams cost. The figure is printed; what is asserted is that all get a change.

use crate::support::*;
use operator::hub::Desired;
use std::sync::Arc;

const PODS: u32 = 1000;

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Server and clients share this process, so the figure is that of both ends of each stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_get_a_change() {
    let site = site_with(|limits| limits.connections_per_address = PODS as usize + 1).await;
    let publish = |desired: Desired| {
        let desired = Arc::new(desired);
        site.hub.publish(&(0..PODS).map(|number| (pod(number), Arc::clone(&desired))).collect());
    };
    publish(desired(1));
    let before = resident();
    let mut streams = Vec::new();
    for number in 0..PODS {
        let mut stream = site.stream(&site.token(&pod(number)), "formats=1&ports=8080").await;
        stream.take(3).await;
        streams.push(stream);
    }
    let bytes = resident().saturating_sub(before) / PODS as usize;
    let since = std::time::Instant::now();
    publish(desired(2));
    for stream in &mut streams {
        assert!(stream.take(1).await[0].contains(r#""generation":2"#));
    }
    println!("{PODS} streams: {bytes} bytes for both ends of each; a change to all took {:?}", since.elapsed());
}
