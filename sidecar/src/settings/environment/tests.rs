use super::*;
use std::collections::BTreeMap;

fn usual() -> BTreeMap<&'static str, String> {
    let ca = rcgen::CertificateParams::default().self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    [
        (ENV_OPERATOR, "https://doorward-operator.doorward.svc:8443"),
        (ENV_BUNDLE, &ca),
        (ENV_PORTS, r#"[{"port":3000,"listen":15943},{"port":9090,"listen":15944}]"#),
        (
            ENV_PROBES,
            r#"[{"action":{"http":{"tls":false,"port":3000,"path":"/health?a","headers":[["x-key","hunter2"]]}},"timeoutSeconds":1},
                {"action":{"tcp":{"port":3000}},"timeoutSeconds":2},
                {"action":{"grpc":{"port":3000,"service":""}},"timeoutSeconds":3}]"#,
        ),
        (ENV_CAPTURE, "redirect"),
        (ENV_CAPTURE_DIR, "/captured"),
        (ENV_POD_IPS, "10.1.2.3,fd00::3"),
        (ENV_LOG_LEVEL, "debug"),
        (ENV_TOKEN_DIR, "/token"),
        (ENV_STATE_DIR, "/state"),
        (ENV_CLIENT_DIR, "/client"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn faults<T>(read: Result<T, Faults>) -> Vec<String> {
    read.err().map(|faults| faults.0).unwrap_or_default()
}

#[test]
fn what_injection_writes_is_read() {
    let mut values = usual();
    let pod = Pod::read(&|name| values.get(name).cloned()).unwrap();
    assert_eq!(pod.ports.len(), 2);
    assert_eq!(pod.ports[0].1, ["[::]:15943".parse().unwrap()]);
    assert_eq!((pod.probes.len(), pod.log, pod.tls, pod.state), (3, Level::Debug, None, "/state".into()));
    assert_eq!(pod.capture, Capture::Redirect("/captured".into()));
    assert_eq!(pod.drain_delay, Duration::from_secs(5));
    values.insert(ENV_CAPTURE, "bind".into());
    values.insert(ENV_PORTS, r#"[{"port":3000,"listen":3000}]"#.into());
    values.insert(ENV_TLS_DIR, "/tls".into());
    values.insert(ENV_DRAIN_SECONDS, "20".into());
    for optional in [ENV_PROBES, ENV_LOG_LEVEL, ENV_CAPTURE_DIR] {
        values.remove(optional);
    }
    let pod = Pod::read(&|name| values.get(name).cloned()).unwrap();
    assert_eq!(pod.ports[0].1, ["10.1.2.3:3000".parse().unwrap(), "[fd00::3]:3000".parse().unwrap()]);
    assert_eq!((pod.probes.len(), pod.tls, pod.log), (0, Some("/tls".into()), Level::Info));
    assert_eq!(pod.drain_delay, Duration::from_secs(20));
    assert!(Agent::read(&|name| values.get(name).cloned()).is_ok());
    assert_eq!(folder(&|name| values.get(name).cloned(), ENV_STATE_DIR).unwrap(), PathBuf::from("/state"));
}

#[test]
fn all_faults_are_told_at_once_and_nothing_secret() {
    let told = faults(Pod::read(&|_| None));
    let names =
        |told: &[String]| told.iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(
        names(&told),
        [ENV_OPERATOR, ENV_BUNDLE, ENV_TOKEN_DIR, ENV_PORTS, ENV_CAPTURE, ENV_STATE_DIR],
        "{told:?}"
    );
    assert_eq!(names(&faults(Agent::read(&|_| None))).last().unwrap(), ENV_CLIENT_DIR);
    assert_eq!(names(&faults(CaptureOrder::read(&|_| None))), [ENV_PORTS, ENV_CAPTURE_DIR]);
    for (name, value, told) in [
        (ENV_OPERATOR, "http://a", "`http://a`: not of the form"),
        (ENV_BUNDLE, "x", "no certificate"),
        (ENV_DRAIN_SECONDS, "601", "no number from 0 to 600"),
        (ENV_DRAIN_SECONDS, "5s", "no number from 0 to 600"),
        (ENV_PORTS, "[]", "0 ports"),
        (ENV_PORTS, "{}", "line 1"),
        (ENV_PORTS, r#"[{"port":3000,"listen":1,"later":2}]"#, "line 1"),
        (ENV_PORTS, r#"[{"port":0,"listen":1}]"#, "port 0"),
        (ENV_PORTS, r#"[{"port":15920,"listen":1}]"#, "the sidecar's own"),
        (ENV_PORTS, r#"[{"port":1,"listen":15921}]"#, "the sidecar's own"),
        (ENV_PORTS, r#"[{"port":1,"listen":2},{"port":1,"listen":3}]"#, "twice"),
        (ENV_PORTS, r#"[{"port":1,"listen":2},{"port":3,"listen":2}]"#, "twice"),
        (ENV_PROBES, r#"[{"action":{"http":"hunter2"},"timeoutSeconds":1}]"#, "line 1"),
        (ENV_PROBES, r#"[{"action":{"tcp":{"port":1}},"timeoutSeconds":0}]"#, "probe 0: `timeoutSeconds`"),
        (
            ENV_PROBES,
            r#"[{"action":{"http":{"tls":false,"port":1,"path":"x","headers":[["a b","hunter2"]]}},"timeoutSeconds":1}]"#,
            "probe 0: `path`",
        ),
        (ENV_CAPTURE, "other", "`other`: neither"),
        (ENV_LOG_LEVEL, "loud", "`loud`: none of"),
    ] {
        let mut values = usual();
        values.insert(name, value.to_owned());
        let faults = faults(Pod::read(&|name| values.get(name).cloned()));
        assert!(faults.iter().any(|fault| fault.starts_with(name) && fault.contains(told)), "{value}: {faults:?}");
        assert!(!faults.concat().contains("hunter2"));
    }
    let mut values = usual();
    values.insert(ENV_CAPTURE, "bind".into());
    values.insert(ENV_POD_IPS, "10.0.0.1,x".into());
    let told = faults(Pod::read(&|name| values.get(name).cloned()));
    assert_eq!(
        names(&told),
        [ENV_POD_IPS, ENV_PORTS, ENV_PORTS],
        "under bind the sidecar has the port itself: {told:?}"
    );
}
