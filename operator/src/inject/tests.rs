use std::collections::BTreeMap;

use policy::wire::{ENV_CAPTURE, ENV_PORTS, ENV_PROBES, Probe, ProbeAction, ProtectedPort};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn settings() -> Settings {
    Settings { ca_bundle: "-----BEGIN CERTIFICATE-----".into(), ..Settings::for_operator_in("doorward") }
}

fn namespace(labels: &[(&str, &str)]) -> NamespaceFacts {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    NamespaceFacts { name: "shop".into(), labels }
}

fn pod(annotations: Value, spec: Value) -> Value {
    let mut metadata = json!({"name": "orders", "labels": {"app": "orders"}});
    // What a user writes is a name under ours.
    if let Some(annotations) = annotations.as_object() {
        let annotations: Map<_, _> =
            annotations.iter().map(|(name, value)| (format!("{PREFIX}{name}"), value.clone())).collect();
        metadata["annotations"] = annotations.into();
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

fn app() -> Value {
    json!({"containers": [{"name": "app", "image": "app", "ports": [{"containerPort": 3000, "name": "http"}]}]})
}

fn run(pod: &Value) -> Result<Injected, Vec<Refusal>> {
    inject(pod, &namespace(&[]), &settings())
}

fn injected(pod: &Value) -> Value {
    run(pod).unwrap().pod
}

fn asked(spec: Value) -> Value {
    pod(json!({"inject": "true"}), spec)
}

fn codes(pod: &Value) -> Vec<(&'static str, String)> {
    run(pod).unwrap_err().iter().map(|refusal| (refusal.code.as_str(), refusal.path())).collect()
}

fn container<'pod>(pod: &'pod Value, name: &str) -> &'pod Value {
    let of = |list: &'static str| pod["spec"][list].as_array().into_iter().flatten();
    of("initContainers").chain(of("containers")).find(|container| container["name"] == name).unwrap()
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    let entries = pod["spec"][list].as_array().into_iter().flatten();
    entries.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

fn env<'pod>(pod: &'pod Value, container_name: &str, name: &str) -> Option<&'pod str> {
    let env = container(pod, container_name)["env"].as_array()?;
    env.iter().find(|entry| entry["name"] == name)?["value"].as_str()
}

fn probes(pod: &Value) -> Vec<Probe> {
    serde_json::from_str(env(pod, "doorward", ENV_PROBES).unwrap()).unwrap()
}

fn ports(pod: &Value) -> Vec<(u16, u16)> {
    let ports: Vec<ProtectedPort> = serde_json::from_str(env(pod, "doorward", ENV_PORTS).unwrap()).unwrap();
    ports.iter().map(|port| (port.port, port.listen)).collect()
}

mod asking {
    use super::*;

    #[test]
    fn nothing_asked_changes_nothing() {
        for annotations in [json!(null), json!({"inject": "false"}), json!({"client-certificate": "false"})] {
            let pod = pod(annotations, json!({"hostNetwork": true, "containers": [{"name": "doorward"}]}));
            let injected = run(&pod).unwrap();
            assert_eq!(injected, Injected { pod: pod.clone(), warnings: vec![] });
            assert!(patch(&pod, &injected.pod).0.is_empty());
        }
    }

    #[test]
    fn the_namespace_asks_for_all_and_the_pod_may_not_want() {
        let enabled = namespace(&[(INJECTION_LABEL, "enabled")]);
        let (plain, out) = (pod(json!(null), app()), pod(json!({"inject": "false", "ports": "1"}), app()));
        assert_eq!(names(&inject(&plain, &enabled, &settings()).unwrap().pod, "initContainers").len(), 2);
        assert_eq!(inject(&out, &enabled, &settings()).unwrap().pod, out);
        let system = NamespaceFacts { name: SYSTEM_NAMESPACE.to_owned(), ..enabled };
        assert_eq!(inject(&plain, &system, &settings()).unwrap().pod, plain, "its label does nothing");
        let itself = pod(json!({"inject": "true"}), app());
        assert_ne!(inject(&itself, &system, &settings()).unwrap().pod, itself);
        let other = namespace(&[(INJECTION_LABEL, "yes")]);
        assert_eq!(inject(&plain, &other, &settings()).unwrap().pod, plain);
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is_meant() {
        for (name, value, code, cure) in [
            ("injekt", json!("true"), "unknown_annotation", "did you mean `doorward.dev/inject`?"),
            ("injection", json!("enabled"), "unknown_annotation", "label of namespaces"),
            ("port", json!("3000"), "unknown_annotation", "did you mean `doorward.dev/ports`?"),
            ("rate-limiting", json!("3000"), "unknown_annotation", "`doorward.dev/client-certificate`"),
            ("", json!("x"), "unknown_annotation", "known are"),
            ("inject", json!("yes"), "bad_value", "`true`, `false`"),
            ("inject", json!("ture"), "bad_value", "did you mean `\"true\"`?"),
            ("inject", json!(true), "bad_value", "write it in quotes: `\"true\"`"),
            ("inject", json!(null), "bad_value", "quotes"),
            ("capture", json!("redirekt"), "bad_value", "did you mean `\"redirect\"`?"),
            ("capture", json!("none"), "bad_value", "`redirect`, `bind`"),
            ("ports", json!(""), "bad_value", "`http,9090`"),
            ("ports", json!("http,"), "bad_value", "`http,9090`"),
            ("ports", json!("0"), "bad_value", "`http,9090`"),
            ("ports", json!("65536"), "bad_value", "`http,9090`"),
            ("ports", json!("Http"), "bad_value", "`http,9090`"),
            ("tls-secret", json!("My_Secret"), "bad_value", "kubernetes.io/tls"),
            ("tls-secret", json!(""), "bad_value", "kubernetes.io/tls"),
            ("client-certificate", json!("1"), "bad_value", "`true`, `false`"),
            ("proxy-cpu", json!("100"), "bad_value", "`1m` to `64`"),
            ("proxy-cpu", json!("a lot"), "bad_value", "`1m` to `64`"),
            ("proxy-memory", json!("128m"), "bad_value", "`32Mi` to `64Gi`"),
            ("proxy-memory", json!("128MB"), "bad_value", "`32Mi` to `64Gi`"),
            ("log-level", json!("trace"), "bad_value", "`error`, `warn`, `info`, `debug`"),
            ("drain", json!("no"), "bad_value", "`true`, `false`"),
        ] {
            let found = run(&pod(json!({name: value}), app())).unwrap_err();
            let refusal =
                found.iter().find(|refusal| refusal.code.as_str() == code).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(refusal.path(), format!("metadata.annotations[doorward.dev/{name}]"));
            assert!(refusal.cure.contains(cure), "{refusal}");
        }
    }

    #[test]
    fn every_fault_is_told_in_one_run() {
        let pod = pod(json!({"inject": "maybe", "prots": "1", "capture": "x", "drain": "x"}), app());
        assert_eq!(run(&pod).unwrap_err().len(), 4);
    }

    #[test]
    fn labels_are_none_of_ours() {
        let mut pod = asked(app());
        pod["metadata"]["labels"]["doorward.dev/inject"] = json!("true");
        let refusal = &run(&pod).unwrap_err()[0];
        assert_eq!(
            refusal.to_string(),
            "metadata.labels[doorward.dev/inject]: `doorward.dev/inject` is no label of pods; \
             write the annotation `doorward.dev/inject` instead [unknown_annotation]"
        );
    }

    #[test]
    fn options_without_injection_are_refused() {
        for name in ["ports", "capture", "tls-secret", "proxy-cpu", "proxy-memory", "drain", "log-level"] {
            let values =
                [("ports", "1"), ("capture", "bind"), ("proxy-cpu", "1"), ("proxy-memory", "1Gi"), ("drain", "true")];
            let value = values.iter().find(|(other, _)| *other == name).map_or("info", |(_, value)| value);
            let found = codes(&pod(json!({name: value}), app()));
            assert_eq!(found, [("without_effect", format!("metadata.annotations[doorward.dev/{name}]"))]);
        }
        assert!(run(&pod(json!({"client-certificate": "true", "log-level": "debug"}), app())).is_ok());
    }
}

mod protecting {
    use super::*;

    #[test]
    fn the_only_declared_port_is_protected() {
        assert_eq!(ports(&injected(&asked(app()))), [(3000, 15943)]);
        let with_udp = json!({"containers": [
            {"name": "app", "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 80, "protocol": "TCP"}]},
        ]});
        assert_eq!(ports(&injected(&asked(with_udp))), [(80, 15943)]);
    }

    #[test]
    fn a_pod_that_does_not_tell_must_say() {
        let two = json!({"containers": [
            {"name": "a", "ports": [{"containerPort": 3000}]}, {"name": "b", "ports": [{"containerPort": 9090}]},
        ]});
        let refusal = &run(&asked(two)).unwrap_err()[0];
        assert_eq!(refusal.code, Code::PortsNeeded);
        assert!(refusal.message.contains("`3000`, `9090`"), "{refusal}");
        let none = json!({"containers": [{"name": "a"}]});
        assert_eq!(codes(&asked(none)), [("ports_needed", "metadata.annotations[doorward.dev/ports]".into())]);
    }

    #[test]
    fn names_and_numbers_are_resolved() {
        let spec = json!({
            "initContainers": [{"name": "cache", "restartPolicy": "Always", "ports": [{"containerPort": 6379, "name": "redis"}]}],
            "containers": [{"name": "app", "ports": [
                {"containerPort": 3000, "name": "http"}, {"containerPort": 9090, "name": "metrics"},
                {"containerPort": 53, "name": "dns", "protocol": "UDP"},
            ]}, {"name": "b", "ports": [{"containerPort": 3001, "name": "metrics"}]}],
        });
        let with = |ports: &str, capture: &str| {
            pod(json!({"inject": "true", "ports": ports, "capture": capture}), spec.clone())
        };
        assert_eq!(
            ports(&injected(&with("redis, 9090,http,3000", "redirect"))),
            [(3000, 15943), (6379, 15944), (9090, 15945)]
        );
        assert_eq!(ports(&injected(&with("redis,9090,http", "bind"))), [(3000, 3000), (6379, 6379), (9090, 9090)]);
        let undeclared = pod(json!({"inject": "true", "ports": "8443"}), json!({"containers": [{"name": "app"}]}));
        assert_eq!(ports(&injected(&undeclared)), [(8443, 15943)], "who declares none may name any");
        let beside = pod(
            json!({"inject": "true", "ports": "8443"}),
            json!({"containers": [{"name": "app"}], "initContainers": [
                {"name": "mesh", "restartPolicy": "Always", "ports": [{"containerPort": 15090}]}
            ]}),
        );
        let beside = run(&beside).unwrap();
        assert_eq!(ports(&beside.pod), [(8443, 15943)], "a native sidecar tells nothing of the application");
        assert_eq!(beside.warnings.len(), 1, "{:?}", beside.warnings);
        for (name, code, cure) in [
            ("htpp", "unknown_port", "did you mean `http`?"),
            ("zzz", "unknown_port", "declared are `http`, `metrics`, `metrics`, `redis`"),
            ("dns", "unknown_port", "only TCP"),
            // The Service's, most likely: the proxy would stand where nobody listens.
            ("80", "unknown_port", "declared are `3000`, `3001`, `6379`, `9090`"),
            ("53", "unknown_port", "declare it in the container"),
            ("metrics", "ambiguous_port", "write the number"),
        ] {
            let refusal = &run(&with(name, "bind")).unwrap_err()[0];
            assert_eq!(refusal.code.as_str(), code, "{refusal}");
            assert!(refusal.cure.contains(cure), "{refusal}");
        }
    }

    #[test]
    fn the_number_of_ports_is_bounded() {
        let list = |count: u16| (1..=count).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        let with =
            |count| pod(json!({"inject": "true", "ports": list(count)}), json!({"containers": [{"name": "app"}]}));
        assert_eq!(ports(&injected(&with(32))).len(), 32);
        assert_eq!(codes(&with(33)), [("too_many_ports", "metadata.annotations[doorward.dev/ports]".into())]);
    }

    #[test]
    fn our_own_ports_are_refused() {
        let with = |port: u16, capture: &str| {
            let spec =
                json!({"containers": [{"name": "app", "ports": [{"containerPort": 3000}, {"containerPort": port}]}]});
            run(&pod(json!({"inject": "true", "ports": "3000", "capture": capture}), spec))
        };
        for (port, capture) in [(15920, "bind"), (15921, "bind"), (15920, "redirect"), (15943, "redirect")] {
            let refusal = &with(port, capture).unwrap_err()[0];
            assert_eq!(
                (refusal.code, refusal.path().as_str()),
                (Code::ReservedPort, "spec.containers[0].ports[1].containerPort")
            );
        }
        assert!(with(15943, "bind").is_ok() && with(15944, "redirect").is_ok());
        let itself = pod(json!({"inject": "true", "ports": "15920"}), json!({"containers": [{"name": "app"}]}));
        assert_eq!(codes(&itself), [("reserved_port", "metadata.annotations[doorward.dev/ports]".into())]);
    }
}

mod containers {
    use super::*;

    #[test]
    fn redirect_puts_capture_and_sidecar_first() {
        let mut spec = app();
        spec["initContainers"] = json!([{"name": "migrate"}]);
        let pod = injected(&asked(spec));
        assert_eq!(names(&pod, "initContainers"), ["doorward-capture", "doorward", "migrate"]);
        assert_eq!(names(&pod, "containers"), ["app"]);
        assert_eq!(names(&pod, "volumes"), ["doorward-token", "doorward-state", "doorward-captured"]);
        let capture = container(&pod, "doorward-capture");
        assert_eq!(capture["command"], json!(["/doorward-sidecar", "capture"]));
        assert_eq!(capture["securityContext"]["capabilities"], json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}));
        assert_eq!(capture["securityContext"]["runAsUser"], 0);
        assert_eq!(capture["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(env(&pod, "doorward-capture", ENV_PORTS), env(&pod, "doorward", ENV_PORTS));
        assert_eq!(env(&pod, "doorward", ENV_CAPTURE), Some("redirect"));
        let mounts = container(&pod, "doorward")["volumeMounts"].as_array().unwrap();
        let captured = mounts.iter().find(|mount| mount["name"] == "doorward-captured").unwrap();
        assert_eq!(captured["readOnly"], true);
    }

    /// Kubernetes' own profile `restricted`, as far as it looks at containers and volumes.
    #[test]
    fn bind_passes_pod_security_restricted() {
        let annotations =
            json!({"inject": "true", "capture": "bind", "client-certificate": "true", "tls-secret": "cert"});
        let pod = injected(&pod(annotations, app()));
        assert_eq!(names(&pod, "initContainers"), ["doorward", "doorward-agent"]);
        for name in ["doorward", "doorward-agent"] {
            let context = &container(&pod, name)["securityContext"];
            assert_eq!(context["runAsNonRoot"], true);
            assert_ne!(context["runAsUser"], 0);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(context["readOnlyRootFilesystem"], true);
        }
        for volume in pod["spec"]["volumes"].as_array().unwrap() {
            let kind = volume.as_object().unwrap().keys().find(|name| *name != "name").unwrap();
            assert!(["emptyDir", "projected", "secret"].contains(&kind.as_str()), "{volume}");
        }
    }

    #[test]
    fn the_sidecar_is_native_and_probed() {
        let pod = injected(&asked(app()));
        let sidecar = container(&pod, "doorward");
        assert_eq!(sidecar["restartPolicy"], "Always");
        for (probe, path) in [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
        {
            assert_eq!(sidecar[probe]["httpGet"], json!({"path": path, "port": 15920, "scheme": "HTTP"}));
        }
        assert_eq!(sidecar["lifecycle"]["preStop"]["exec"]["command"], json!(["/doorward-sidecar", "drain"]));
        let token =
            json!({"serviceAccountToken": {"audience": "doorward.dev", "expirationSeconds": 3600, "path": "token"}});
        assert_eq!(pod["spec"]["volumes"][0]["projected"]["sources"], json!([token]));
        assert_eq!(pod["spec"]["volumes"][1]["emptyDir"]["medium"], "Memory");
        assert!(sidecar["env"].as_array().unwrap().contains(&json!({
            "name": "DOORWARD_POD_IPS",
            "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIPs"}},
        })));
    }

    #[test]
    fn annotations_set_what_they_say() {
        let annotations = json!({
            "inject": "true", "tls-secret": "cert", "proxy-cpu": "1", "proxy-memory": "1Gi", "log-level": "debug",
        });
        let pod = injected(&pod(annotations, app()));
        let sidecar = container(&pod, "doorward");
        assert_eq!(
            sidecar["resources"],
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}})
        );
        assert_eq!(env(&pod, "doorward", "DOORWARD_LOG_LEVEL"), Some("debug"));
        assert_eq!(env(&pod, "doorward", "DOORWARD_TLS_DIR"), Some("/var/run/doorward/tls"));
        let secret = json!({"name": "doorward-tls", "secret": {"secretName": "cert", "defaultMode": 292}});
        assert!(pod["spec"]["volumes"].as_array().unwrap().contains(&secret));
        let resources = Resources { cpu_limit: Some("2".into()), ..Resources::default() };
        let limited = inject(&asked(app()), &namespace(&[]), &Settings { resources, ..settings() }).unwrap().pod;
        assert_eq!(container(&limited, "doorward")["resources"]["limits"], json!({"cpu": "2", "memory": "512Mi"}));
        // A quota that asks for limits asks all containers.
        assert_eq!(container(&limited, "doorward-capture")["resources"]["limits"]["cpu"], "2");
    }

    #[test]
    fn a_caller_gets_its_files_with_or_without_a_sidecar() {
        let mut spec = app();
        spec["initContainers"] = json!([{"name": "migrate"}]);
        for (annotations, first) in [
            (json!({"client-certificate": "true"}), vec!["doorward-agent", "migrate"]),
            (
                json!({"client-certificate": "true", "inject": "true"}),
                vec!["doorward-capture", "doorward", "doorward-agent", "migrate"],
            ),
        ] {
            let before = pod(annotations, spec.clone());
            let pod = injected(&before);
            assert_eq!(names(&pod, "initContainers"), first);
            let mount = json!({"name": "doorward-client", "mountPath": "/var/run/doorward/client", "readOnly": true});
            assert_eq!(container(&pod, "app")["volumeMounts"], json!([mount]));
            assert_eq!(container(&pod, "migrate")["volumeMounts"], json!([mount]));
            assert_eq!(container(&pod, "app")["env"], Value::Null);
            assert_eq!(names(&pod, "volumes").iter().filter(|name| *name == "doorward-token").count(), 1);
            assert_eq!(injected(&pod), pod);
        }
    }

    /// Kubernetes mounts its token into every container that has nothing else there.
    #[test]
    fn none_of_ours_gets_a_token_for_the_api_server() {
        let pod = injected(&pod(json!({"inject": "true", "client-certificate": "true"}), app()));
        for name in ["doorward-capture", "doorward", "doorward-agent"] {
            let mounts = container(&pod, name)["volumeMounts"].as_array().unwrap();
            let place = "/var/run/secrets/kubernetes.io/serviceaccount";
            assert!(mounts.iter().any(|mount| mount["mountPath"] == place && mount["readOnly"] == true), "{name}");
        }
    }

    #[test]
    fn names_and_places_of_ours_are_refused() {
        let mut spec = app();
        spec["initContainers"] = json!([{"name": "doorward"}]);
        spec["containers"].as_array_mut().unwrap().push(json!({"name": "doorward-capture"}));
        spec["volumes"] = json!([{"name": "x"}, {"name": "doorward-token", "emptyDir": {}}]);
        assert_eq!(
            codes(&asked(spec)),
            [
                ("name_taken", "spec.containers[1].name".to_owned()),
                ("name_taken", "spec.initContainers[0].name".to_owned()),
                ("name_taken", "spec.volumes[1].name".to_owned()),
            ]
        );
        let mut spec = app();
        spec["containers"][0]["volumeMounts"] = json!([{"name": "mine", "mountPath": "/var/run/doorward/client"}]);
        let pod = pod(json!({"client-certificate": "true"}), spec);
        assert_eq!(codes(&pod), [("path_taken", "spec.containers[0].volumeMounts[0].mountPath".into())]);
    }
}

mod probing {
    use super::*;

    fn with_probes(annotations: Value) -> Value {
        pod(
            annotations,
            json!({
                "initContainers": [{
                    "name": "native", "restartPolicy": "Always", "ports": [{"containerPort": 3000, "name": "side"}],
                    "startupProbe": {"tcpSocket": {"port": "side"}},
                }, {"name": "ends", "livenessProbe": {"tcpSocket": {"port": 3000}}}],
                "containers": [{
                    "name": "app",
                    "ports": [{"containerPort": 3000, "name": "http"}, {"containerPort": 9090}],
                    "startupProbe": {"exec": {"command": ["true"]}},
                    "readinessProbe": {
                        "httpGet": {"path": "/ready?x=$(Y)", "port": "http", "scheme": "HTTPS", "httpHeaders": [{"name": "x-a", "value": "1"}]},
                        "timeoutSeconds": 4, "periodSeconds": 7, "futureField": true,
                    },
                    "livenessProbe": {"grpc": {"port": 3000, "service": "orders"}, "failureThreshold": 9},
                }, {
                    "name": "other",
                    "readinessProbe": {"httpGet": {"port": "3000"}},
                    "livenessProbe": {"tcpSocket": {"port": 9090}},
                    "startupProbe": {"tcpSocket": {"port": 3000}, "timeoutSeconds": 1},
                }],
            }),
        )
    }

    #[test]
    fn probes_of_protected_ports_go_to_the_sidecar() {
        let before = with_probes(json!({"inject": "true", "ports": "http"}));
        let pod = injected(&before);
        let get = |index: usize| json!({"path": format!("/probe/{index}"), "port": 15920, "scheme": "HTTP"});
        let app = container(&pod, "app");
        assert_eq!(app["startupProbe"], container(&before, "app")["startupProbe"]);
        let readiness = json!({"httpGet": get(0), "timeoutSeconds": 5, "periodSeconds": 7, "futureField": true});
        assert_eq!(app["readinessProbe"], readiness);
        assert_eq!(app["livenessProbe"], json!({"httpGet": get(1), "timeoutSeconds": 2, "failureThreshold": 9}));
        let other = container(&pod, "other");
        assert_eq!(other["livenessProbe"], container(&before, "other")["livenessProbe"]);
        assert_eq!(container(&pod, "native")["startupProbe"]["httpGet"], other["startupProbe"]["httpGet"], "shared");
        assert_eq!(container(&pod, "ends"), container(&before, "ends"));
        let probe = |action, timeout_seconds| Probe { action, timeout_seconds };
        let expected = [
            probe(
                ProbeAction::Http {
                    tls: true,
                    port: 3000,
                    path: "/ready?x=$(Y)".into(),
                    headers: vec![("x-a".into(), "1".into())],
                },
                4,
            ),
            probe(ProbeAction::Grpc { port: 3000, service: "orders".into() }, 1),
            probe(ProbeAction::Tcp { port: 3000 }, 1),
            probe(ProbeAction::Http { tls: false, port: 3000, path: "/".into(), headers: vec![] }, 1),
        ];
        assert_eq!(probes(&pod).len(), 4);
        assert!(expected.iter().all(|probe| probes(&pod).contains(probe)), "{:?}", probes(&pod));
        assert!(!env(&pod, "doorward", ENV_PROBES).unwrap().contains('$'), "Kubernetes would expand it");
    }

    #[test]
    fn another_host_is_told_and_kept() {
        let mut spec = app();
        spec["containers"][0]["livenessProbe"] = json!({"httpGet": {"host": "10.0.0.1", "port": 3000}});
        let injected = run(&asked(spec.clone())).unwrap();
        assert_eq!(container(&injected.pod, "app")["livenessProbe"], spec["containers"][0]["livenessProbe"]);
        assert_eq!(injected.warnings.len(), 1);
        assert!(injected.warnings[0].starts_with("spec.containers[0].livenessProbe: "), "{:?}", injected.warnings);
    }

    #[test]
    fn the_number_of_probes_is_bounded_and_our_port_is_ours() {
        let probed = |index: usize| json!({"name": format!("c{index}"), "livenessProbe": {"httpGet": {"path": format!("/{index}"), "port": 80}}});
        let with = |count: usize| {
            let containers: Vec<Value> = (0..count).map(probed).collect();
            pod(json!({"inject": "true", "ports": "80"}), json!({"containers": containers}))
        };
        assert_eq!(probes(&injected(&with(64))).len(), 64);
        assert_eq!(codes(&with(65)), [("too_many_probes", "spec.containers".into())]);
        let mut spec = app();
        spec["containers"][0]["livenessProbe"] = json!({"httpGet": {"path": "/probe/0", "port": 15920}});
        assert_eq!(codes(&asked(spec)), [("reserved_port", "spec.containers[0].livenessProbe".into())]);
    }

    /// The sidecar would not start with it.
    #[test]
    fn probes_that_no_sidecar_can_run_are_refused() {
        for get in [
            json!({"path": "/a b", "port": 3000}),
            json!({"path": "/a", "port": 3000, "httpHeaders": [{"name": "a b", "value": "x"}]}),
            json!({"path": "/a", "port": 3000, "httpHeaders": [{"name": "a", "value": "x\ny"}]}),
        ] {
            let mut spec = app();
            spec["containers"][0]["livenessProbe"] = json!({"httpGet": get});
            assert_eq!(codes(&asked(spec)), [("bad_probe", "spec.containers[0].livenessProbe".into())], "{get}");
        }
    }

    #[test]
    fn hooks_on_protected_ports_are_refused_and_others_stay() {
        let hook = |port: Value| json!({"httpGet": {"path": "/x", "port": port}});
        let with = |lifecycle: Value| {
            let mut spec = app();
            spec["containers"][0]["lifecycle"] = lifecycle;
            asked(spec)
        };
        assert_eq!(
            codes(&with(json!({"preStop": hook(json!("http")), "postStart": hook(json!(3000))}))),
            [
                ("http_hook", "spec.containers[0].lifecycle.postStart.httpGet".to_owned()),
                ("http_hook", "spec.containers[0].lifecycle.preStop.httpGet".to_owned()),
            ]
        );
        for lifecycle in [
            json!({"preStop": hook(json!(9090))}),
            json!({"preStop": {"exec": {"command": ["x"]}}, "postStart": {"exec": {"command": ["y"]}}}),
            json!({"preStop": {"httpGet": {"host": "example.com", "port": 3000}}}),
        ] {
            let pod = injected(&with(lifecycle.clone()));
            assert_eq!(container(&pod, "app")["lifecycle"], lifecycle);
        }
    }

    #[test]
    fn an_application_without_a_hook_sleeps() {
        let sleep = json!({"preStop": {"sleep": {"seconds": 5}}});
        assert_eq!(container(&injected(&asked(app())), "app")["lifecycle"], sleep);
        for (grace, hook) in [(2, json!({"preStop": {"sleep": {"seconds": 2}}})), (0, Value::Null)] {
            let mut spec = app();
            spec["terminationGracePeriodSeconds"] = json!(grace);
            assert_eq!(container(&injected(&asked(spec)), "app")["lifecycle"], hook, "{grace}");
        }
        assert_eq!(env(&injected(&asked(app())), "doorward", "DOORWARD_DRAIN_SECONDS"), None, "as long as by itself");
        let off = pod(json!({"inject": "true", "drain": "false"}), app());
        assert_eq!(container(&injected(&off), "app")["lifecycle"], Value::Null);
    }
}

/// Whoever lets an application go on for longer expects new callers until then.
#[test]
fn the_sidecar_takes_connections_for_as_long_as_the_application_sleeps() {
    let mut spec = app();
    spec["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 20}}});
    let once = injected(&asked(spec.clone()));
    assert_eq!(env(&once, "doorward", "DOORWARD_DRAIN_SECONDS"), Some("20"));
    spec["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 4000}}});
    assert_eq!(env(&injected(&asked(spec)), "doorward", "DOORWARD_DRAIN_SECONDS"), Some("600"));
}

mod fitting {
    use super::*;

    #[test]
    fn a_pod_that_asks_no_server_of_the_cluster_would_not_start() {
        let whole = |spec: Value| {
            let mut all = app();
            all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            pod(json!({"client-certificate": "true"}), all)
        };
        let caller = |spec| codes(&whole(spec));
        let refused = [("dns_policy", "spec.dnsPolicy".into())];
        assert_eq!(caller(json!({"hostNetwork": true})), refused);
        assert_eq!(
            caller(json!({"hostNetwork": true, "dnsPolicy": "ClusterFirst"})),
            refused,
            "the kubelet takes the node's"
        );
        assert_eq!(caller(json!({"dnsPolicy": "Default"})), refused);
        for fits in [
            json!({"dnsPolicy": "ClusterFirst"}),
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.96.0.10"]}}),
            json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
        ] {
            injected(&whole(fits));
        }
    }

    #[test]
    fn what_cannot_be_protected_is_refused() {
        for (field, value, code, path) in [
            ("hostNetwork", json!(true), "host_network", "spec.hostNetwork"),
            ("os", json!({"name": "windows"}), "windows", "spec.os.name"),
            ("nodeSelector", json!({"kubernetes.io/os": "windows"}), "windows", "spec.nodeSelector[kubernetes.io/os]"),
        ] {
            let mut spec = app();
            spec[field] = value;
            assert_eq!(codes(&asked(spec)), [(code, path.to_owned())]);
        }
        let mut spec = app();
        (spec["hostNetwork"], spec["os"]) = (json!(false), json!({"name": "linux"}));
        assert!(run(&asked(spec)).is_ok());
    }

    #[test]
    fn what_is_no_pod_is_refused() {
        for (spec, path) in [
            (json!(null), "spec"),
            (json!({}), "spec.containers"),
            (json!({"containers": []}), "spec.containers"),
            (json!({"containers": {}}), "spec.containers"),
            (json!({"containers": [{}]}), "spec.containers[0]"),
            (json!({"containers": [{"name": "a", "env": {}}]}), "spec.containers[0].env"),
            (json!({"containers": [{"name": "a"}], "volumes": "x"}), "spec.volumes"),
        ] {
            assert_eq!(codes(&asked(spec.clone()))[0], ("not_a_pod", path.to_owned()), "{spec}");
        }
    }

    #[test]
    fn authors_are_warned() {
        let mut spec = app();
        (spec["shareProcessNamespace"], spec["terminationGracePeriodSeconds"]) = (json!(true), json!(9));
        spec["hostPID"] = json!(true);
        for (level, capture, count) in [
            ("restricted", "redirect", 4),
            ("baseline", "redirect", 4),
            ("privileged", "redirect", 3),
            ("restricted", "bind", 3),
        ] {
            let pod = pod(json!({"inject": "true", "capture": capture}), spec.clone());
            let enforcing = namespace(&[("pod-security.kubernetes.io/enforce", level)]);
            let warnings = inject(&pod, &enforcing, &settings()).unwrap().warnings;
            assert_eq!(warnings.len(), count, "{warnings:?}");
            assert_eq!(warnings.iter().any(|warning| warning.contains("doorward.dev/capture: bind")), count == 4);
        }
        assert_eq!(run(&asked(app())).unwrap().warnings, Vec::<String>::new());
    }

    #[test]
    fn nobody_else_mounts_what_is_the_proxys() {
        let with = |container: &str, volume: &str| {
            let mut spec = app();
            let mounting = json!({"name": "other", "volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": volume, "mountPath": "/b"}]});
            match container {
                "initContainers" => spec["initContainers"] = json!([mounting]),
                _ => spec["containers"].as_array_mut().unwrap().push(mounting),
            }
            asked(spec)
        };
        for volume in ["doorward-token", "doorward-state", "doorward-captured", "doorward-tls"] {
            let path = "spec.containers[1].volumeMounts[1].name".to_owned();
            assert_eq!(codes(&with("containers", volume)), [("name_taken", path)], "{volume}");
        }
        let path = "spec.initContainers[0].volumeMounts[1].name".to_owned();
        assert_eq!(codes(&with("initContainers", "doorward-state")), [("name_taken", path)]);
        assert!(run(&with("containers", "doorward-client")).is_ok());
        let mut named = with("initContainers", "doorward-state");
        named["spec"]["initContainers"][0]["name"] = json!("doorward-agent");
        assert_eq!(codes(&named).len(), 1, "no name opens it: nobody asked for an agent");
    }

    #[test]
    fn jobs_need_nothing_of_their_own() {
        let mut spec = app();
        spec["restartPolicy"] = json!("Never");
        let pod = injected(&asked(spec));
        assert_eq!(pod["spec"]["restartPolicy"], "Never");
        assert_eq!(container(&pod, "doorward")["restartPolicy"], "Always", "it ends after the job's container");
        assert_eq!(names(&pod, "containers"), ["app"]);
    }
}

mod again {
    use super::*;

    /// What the API server adds to a pod between two calls of the webhook, and another injector with it.
    fn meddle(pod: &mut Value) {
        let api_access =
            json!({"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
        for list in ["initContainers", "containers"] {
            for container in pod["spec"][list].as_array_mut().unwrap() {
                container["terminationMessagePath"] = json!("/dev/termination-log");
                container["imagePullPolicy"] = json!("IfNotPresent");
                let mounts = container.as_object_mut().unwrap().entry("volumeMounts").or_insert_with(|| json!([]));
                let mounts = mounts.as_array_mut().unwrap();
                if !mounts.iter().any(|mount| mount["mountPath"] == api_access["mountPath"]) {
                    mounts.push(api_access.clone());
                }
                let env = container.as_object_mut().unwrap().entry("env").or_insert_with(|| json!([]));
                env.as_array_mut().unwrap().push(json!({"name": "MESH", "value": "1"}));
                if container["readinessProbe"].is_object() {
                    container["readinessProbe"]["successThreshold"] = json!(1);
                }
            }
        }
        let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
        for volume in volumes.iter_mut().filter(|volume| volume["projected"].is_object()) {
            volume["projected"]["defaultMode"] = json!(420);
        }
        volumes.push(json!({"name": "istio-envoy", "emptyDir": {}}));
        let init = pod["spec"]["initContainers"].as_array_mut().unwrap();
        init.insert(0, json!({"name": "istio-init"}));
        init.insert(1, json!({"name": "istio-proxy", "restartPolicy": "Always", "ports": [{"containerPort": 15090}]}));
        let main = pod["spec"]["containers"].as_array_mut().unwrap();
        main.push(json!({"name": "linkerd-proxy", "ports": [{"containerPort": 4191}], "readinessProbe": {"tcpSocket": {"port": 3000}}}));
    }

    #[test]
    fn another_injector_in_between_loses_nothing_and_wins_nothing() {
        let mut spec = app();
        spec["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 3000}});
        let once = injected(&asked(spec));
        let mut meddled = once.clone();
        meddle(&mut meddled);
        let twice = injected(&meddled);
        assert_eq!(names(&twice, "initContainers"), ["doorward-capture", "doorward", "istio-init", "istio-proxy"]);
        assert_eq!(ports(&twice), [(3000, 15943)], "two declared ports by now");
        let sidecar = container(&twice, "doorward");
        assert_eq!(sidecar["imagePullPolicy"], "IfNotPresent");
        assert_eq!(sidecar["readinessProbe"]["successThreshold"], 1);
        assert_eq!(env(&twice, "doorward", "MESH"), Some("1"));
        assert_eq!(probes(&twice).len(), 2, "the probe of the new container too");
        let mounts = sidecar["volumeMounts"].as_array().unwrap();
        assert!(mounts.iter().all(|mount| mount["name"] != "kube-api-access"), "no token for the API server");
        assert_eq!(twice["spec"]["volumes"], meddled["spec"]["volumes"]);
        assert_eq!(container(&twice, "app"), container(&meddled, "app"));
        assert_eq!(injected(&twice), twice);
    }

    #[test]
    fn another_injector_in_between_does_not_unsay_a_port_that_nobody_declares() {
        let spec = json!({"containers": [{"name": "app"}]});
        let once = injected(&pod(json!({"inject": "true", "ports": "8080"}), spec));
        let mut meddled = once.clone();
        meddle(&mut meddled);
        let twice = run(&meddled).unwrap();
        assert_eq!(ports(&twice.pod), [(8080, 15943)]);
        assert!(twice.warnings.iter().any(|warning| warning.contains("declare")), "{:?}", twice.warnings);
        let mut moved = injected(&pod(json!({"inject": "true", "ports": "3000"}), app()));
        moved["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(4000);
        assert_eq!(run(&moved).unwrap_err()[0].code, Code::UnknownPort, "what the application declared was changed");
        meddled["metadata"]["annotations"]["doorward.dev/ports"] = json!("80");
        assert_eq!(run(&meddled).unwrap_err()[0].code, Code::UnknownPort, "which nobody has taken");
    }

    #[test]
    fn what_an_older_release_wrote_is_brought_up_to_date() {
        let annotations = json!({"inject": "true", "client-certificate": "true"});
        let old = Settings { sidecar_image: "old".into(), ca_bundle: "old".into(), ..settings() };
        let once = inject(&pod(annotations.clone(), app()), &namespace(&[]), &old).unwrap().pod;
        assert_eq!(injected(&once), injected(&pod(annotations, app())));
    }

    #[test]
    fn a_port_that_moved_is_protected_where_it_is() {
        let mut once = injected(&asked(app()));
        once["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(4000);
        assert_eq!(ports(&injected(&once)), [(4000, 15943)]);
    }

    #[test]
    fn bind_after_redirect_leaves_no_capture_behind() {
        let mut once = injected(&asked(app()));
        once["metadata"]["annotations"]["doorward.dev/capture"] = json!("bind");
        let twice = injected(&once);
        assert_eq!(names(&twice, "initContainers"), ["doorward"]);
        assert_eq!(env(&twice, "doorward", "DOORWARD_CAPTURE_DIR"), None);
        assert_eq!(ports(&twice), [(3000, 3000)]);
    }

    #[test]
    fn the_patch_leads_to_the_pod() {
        let mut spec = app();
        spec["initContainers"] = json!([{"name": "migrate", "image": "m"}, {"name": "seed", "env": [{"name": "A"}]}]);
        let before = asked(spec);
        let after = injected(&before);
        let mut patched = before.clone();
        json_patch::patch(&mut patched, &patch(&before, &after)).unwrap();
        assert_eq!(patched, after);
        assert!(patch(&after, &injected(&after)).0.is_empty());
    }
}

mod properties {
    use super::*;

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z$/(){}~ ]{0,8}".prop_map(Value::from)
        ]
    }

    fn anything() -> impl Strategy<Value = Value> {
        scalar().prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z]{1,6}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Fields that no type of ours knows: their names begin with `x`.
    fn extra() -> impl Strategy<Value = BTreeMap<String, Value>> {
        prop::collection::btree_map("x[a-zA-Z]{1,6}", anything(), 0..3)
    }

    fn with(mut value: Value, extra: BTreeMap<String, Value>) -> Value {
        value.as_object_mut().unwrap().extend(extra);
        value
    }

    fn probe() -> impl Strategy<Value = Option<Value>> {
        let action = prop_oneof![
            Just(json!({"httpGet": {"path": "/a", "port": 3000}})),
            Just(json!({"httpGet": {"path": "b", "port": "http", "scheme": "HTTPS"}})),
            Just(json!({"tcpSocket": {"port": 9090}})),
            Just(json!({"tcpSocket": {"port": 3000}})),
            Just(json!({"grpc": {"port": 3000, "service": null}})),
            Just(json!({"exec": {"command": ["x"]}})),
        ];
        prop::option::of((action, extra()).prop_map(|(action, extra)| with(action, extra)))
    }

    fn a_container(name: &'static str, restart: Option<&'static str>) -> impl Strategy<Value = Value> {
        (extra(), probe(), probe(), prop::option::of(extra())).prop_map(
            move |(extra, readiness, liveness, lifecycle)| {
                let mut container =
                    with(json!({"name": name, "ports": [{"containerPort": 3000, "name": "http"}]}), extra);
                for (field, value) in [
                    ("readinessProbe", readiness),
                    ("livenessProbe", liveness),
                    ("lifecycle", lifecycle.map(|fields| Value::Object(fields.into_iter().collect()))),
                    ("restartPolicy", restart.map(Value::from)),
                ] {
                    if let Some(value) = value {
                        container[field] = value;
                    }
                }
                container
            },
        )
    }

    fn annotations() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
        let all = vec![
            ("capture", "bind"),
            ("client-certificate", "true"),
            ("drain", "false"),
            ("ports", "http"),
            ("tls-secret", "x"),
            ("proxy-cpu", "2"),
            ("proxy-memory", "1Gi"),
            ("log-level", "warn"),
        ];
        prop::sample::subsequence(all, 0..8).prop_shuffle()
    }

    fn pods() -> impl Strategy<Value = Value> {
        let init = (a_container("migrate", None), a_container("cache", Some("Always")));
        (annotations(), extra(), extra(), a_container("app", None), init, any::<bool>(), anything()).prop_map(
            |(annotations, metadata, spec, app, (migrate, cache), with_init, volume)| {
                let mut all: Map<String, Value> =
                    annotations.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).into())).collect();
                all.insert(format!("{PREFIX}inject"), "true".into());
                all.insert("example.com/other".into(), "x".into());
                let mut spec = with(json!({"containers": [app]}), spec);
                if with_init {
                    spec["initContainers"] = json!([migrate, cache]);
                    spec["volumes"] = json!([{"name": "mine", "any": volume}]);
                }
                json!({"metadata": with(json!({"annotations": all}), metadata), "spec": spec, "kind": "Pod"})
            },
        )
    }

    /// Everything of `before` is in `after`, but for what injection is there to change.
    fn survives(before: &Value, after: &Value, at: &str) -> Result<(), TestCaseError> {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => {
                let in_probe = at.ends_with("Probe") && after.get("httpGet").is_some_and(|get| get["port"] == 15920);
                for (name, value) in before {
                    if in_probe && ["httpGet", "tcpSocket", "grpc", "timeoutSeconds"].contains(&name.as_str()) {
                        continue;
                    }
                    prop_assert!(after.contains_key(name), "{at}/{name} is gone");
                    survives(value, &after[name], &format!("{at}/{name}"))?;
                }
            }
            (Value::Array(before), Value::Array(after)) => {
                let ours = |entry: &&Value| entry["name"].as_str().is_some_and(|name| name.starts_with("doorward"));
                let after: Vec<&Value> = after.iter().filter(|entry| !ours(entry)).collect();
                prop_assert_eq!(before.len(), after.len(), "{}", at);
                for (index, value) in before.iter().enumerate() {
                    survives(value, after[index], &format!("{at}/{index}"))?;
                }
            }
            _ => prop_assert_eq!(before, after, "{}", at),
        }
        Ok(())
    }

    fn shuffled(pod: &Value) -> Value {
        let mut pod = pod.clone();
        let annotations = pod["metadata"]["annotations"].as_object().unwrap().clone();
        pod["metadata"]["annotations"] = annotations.into_iter().rev().collect::<Map<_, _>>().into();
        pod["spec"] = pod["spec"].as_object().unwrap().clone().into_iter().rev().collect::<Map<_, _>>().into();
        pod
    }

    proptest! {
        #[test]
        fn unknown_fields_survive(pod in pods()) {
            let after = injected(&pod);
            survives(&pod, &after, "")?;
        }

        #[test]
        fn twice_is_once(pod in pods()) {
            let once = injected(&pod);
            prop_assert_eq!(&injected(&once), &once);
            let bytes = |pod: &Value| serde_json::to_vec(pod).unwrap();
            prop_assert_eq!(bytes(&injected(&once)), bytes(&once));
        }

        #[test]
        fn the_order_of_fields_does_not_matter(pod in pods()) {
            prop_assert_eq!(injected(&pod), injected(&shuffled(&pod)));
        }

        #[test]
        fn the_patch_makes_the_pod(pod in pods()) {
            let after = injected(&pod);
            let mut patched = pod.clone();
            json_patch::patch(&mut patched, &patch(&pod, &after)).unwrap();
            prop_assert_eq!(patched, after);
        }

        /// Nothing that is JSON makes it panic.
        #[test]
        fn anything_is_answered(metadata in anything(), spec in anything(), containers in anything(), container in anything()) {
            let mut pod = asked(spec);
            let _ = run(&json!({"metadata": metadata, "spec": pod["spec"]}));
            let _ = run(&pod);
            for containers in [containers, json!([container]), json!([with_name(container.clone())])] {
                pod["spec"] = json!({"containers": containers, "initContainers": containers, "volumes": containers});
                let _ = run(&pod);
            }
        }
    }

    fn with_name(mut container: Value) -> Value {
        if let Some(fields) = container.as_object_mut() {
            fields.insert("name".into(), "doorward".into());
        }
        container
    }
}

/// The page for users names everything that exists.
#[test]
fn every_code_and_annotation_is_documented() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/injection.md")).unwrap();
    for code in Code::ALL {
        assert!(page.contains(&format!("\n| `{code}` |")), "{code}");
    }
    for name in annotations::KNOWN {
        assert!(page.contains(&format!("\n| `{PREFIX}{name}` |")), "{name}");
    }
}
