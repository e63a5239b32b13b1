//! Where well-known products put the attributes of a caller.

use crds::Preset;
use policy::wire::IdentityMapping;

/// The mapping of a preset, or the one without.
pub(super) fn mapping(preset: Option<Preset>) -> IdentityMapping {
    let text = |text: &str| Some(text.to_owned());
    let none = IdentityMapping {
        subject: "sub".to_owned(),
        scopes: None,
        roles: text("roles"),
        groups: text("groups"),
        tenant: None,
        tenant_value: None,
        email: "email".to_owned(),
        name: "name".to_owned(),
        client: vec!["azp".to_owned(), "client_id".to_owned()],
    };
    let client = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let bare = IdentityMapping { roles: None, groups: None, ..none.clone() };
    match preset {
        None => none,
        Some(Preset::Keycloak) => {
            IdentityMapping { roles: text("/realm_access/roles"), client: client(&["azp"]), ..none }
        }
        Some(Preset::Auth0) => {
            IdentityMapping { roles: text("permissions"), tenant: text("org_id"), client: client(&["azp"]), ..bare }
        }
        Some(Preset::Okta) => {
            IdentityMapping { scopes: text("scp"), groups: text("groups"), client: client(&["cid"]), ..bare }
        }
        Some(Preset::Entra) => IdentityMapping {
            subject: "oid".to_owned(),
            scopes: text("scp"),
            tenant: text("tid"),
            client: client(&["azp", "appid"]),
            ..none
        },
        Some(Preset::Google) => IdentityMapping { tenant: text("hd"), client: client(&["azp"]), ..bare },
        Some(Preset::Cognito) => {
            IdentityMapping { groups: text("cognito:groups"), client: client(&["client_id"]), ..bare }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Subject, scopes, roles, groups and tenant; the client.
    type Row = (Option<Preset>, [Option<&'static str>; 5], &'static [&'static str]);

    #[test]
    fn presets_are_those_of_the_documentation() {
        let table: [Row; 7] = [
            (None, [Some("sub"), None, Some("roles"), Some("groups"), None], &["azp", "client_id"]),
            (Some(Preset::Keycloak), [Some("sub"), None, Some("/realm_access/roles"), Some("groups"), None], &["azp"]),
            (Some(Preset::Auth0), [Some("sub"), None, Some("permissions"), None, Some("org_id")], &["azp"]),
            (Some(Preset::Okta), [Some("sub"), Some("scp"), None, Some("groups"), None], &["cid"]),
            (
                Some(Preset::Entra),
                [Some("oid"), Some("scp"), Some("roles"), Some("groups"), Some("tid")],
                &["azp", "appid"],
            ),
            (Some(Preset::Google), [Some("sub"), None, None, None, Some("hd")], &["azp"]),
            (Some(Preset::Cognito), [Some("sub"), None, None, Some("cognito:groups"), None], &["client_id"]),
        ];
        for (preset, [subject, scopes, roles, groups, tenant], client) in table {
            let mapping = mapping(preset);
            assert_eq!(Some(&*mapping.subject), subject, "{preset:?}");
            assert_eq!(
                [&mapping.scopes, &mapping.roles, &mapping.groups, &mapping.tenant].map(Option::as_deref),
                [scopes, roles, groups, tenant],
                "{preset:?}"
            );
            assert_eq!(mapping.client, client, "{preset:?}");
        }
    }
}
