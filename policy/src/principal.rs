//! Who is calling, as far as it has been proven.

use crate::listed::listed;
use serde_json::{Map, Value};

listed! {
    /// An attribute of an identity that a rule or a header can name.
    pub enum Attribute {
        /// The subject (`sub` by default).
        Subject,
        /// The issuer's name in the policy.
        Issuer,
        /// The tenant.
        Tenant,
        /// The scopes, a list.
        Scopes,
        /// The roles, a list.
        Roles,
        /// The groups, a list.
        Groups,
        /// The e-mail address, where it is verified or its issuer is trusted with it.
        Email,
        /// The display name.
        Name,
        /// The client that the token was issued to.
        Client,
    }
}

impl Attribute {
    /// Its name, as policies write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Issuer => "issuer",
            Self::Tenant => "tenant",
            Self::Scopes => "scopes",
            Self::Roles => "roles",
            Self::Groups => "groups",
            Self::Email => "email",
            Self::Name => "name",
            Self::Client => "client",
        }
    }
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttributeValue<'a> {
    /// Exactly one text, never empty.
    Text(&'a str),
    /// A list of texts, perhaps empty.
    List(&'a [String]),
}

/// The attributes that one token gives. No text in it is empty: an empty attribute never matches, so it is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The issuer's name in the policy.
    pub issuer: Box<str>,
    /// See [`Attribute::Subject`].
    pub subject: Option<String>,
    /// See [`Attribute::Tenant`].
    pub tenant: Option<String>,
    /// See [`Attribute::Scopes`].
    pub scopes: Vec<String>,
    /// See [`Attribute::Roles`].
    pub roles: Vec<String>,
    /// See [`Attribute::Groups`].
    pub groups: Vec<String>,
    /// See [`Attribute::Email`].
    pub email: Option<String>,
    /// See [`Attribute::Name`].
    pub name: Option<String>,
    /// See [`Attribute::Client`].
    pub client: Option<String>,
    /// What `azp`, `client_id` and the mapped client say, each that is there: all must be listed where clients are.
    pub clients: Vec<String>,
    /// The claims as they were signed, those alone that something in the policy looks at.
    pub claims: Map<String, Value>,
}

impl Identity {
    /// The value of an attribute, where it has one.
    #[must_use]
    pub fn get(&self, attribute: Attribute) -> Option<AttributeValue<'_>> {
        match attribute {
            Attribute::Issuer => Some(AttributeValue::Text(&self.issuer)),
            Attribute::Subject => self.subject.as_deref().map(AttributeValue::Text),
            Attribute::Tenant => self.tenant.as_deref().map(AttributeValue::Text),
            Attribute::Email => self.email.as_deref().map(AttributeValue::Text),
            Attribute::Name => self.name.as_deref().map(AttributeValue::Text),
            Attribute::Client => self.client.as_deref().map(AttributeValue::Text),
            Attribute::Scopes => Some(AttributeValue::List(&self.scopes)),
            Attribute::Roles => Some(AttributeValue::List(&self.roles)),
            Attribute::Groups => Some(AttributeValue::List(&self.groups)),
        }
    }
}
