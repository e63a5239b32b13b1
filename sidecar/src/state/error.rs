//! Why something that was received is not in force.

use policy::certificate::ClientCaFault;
use policy::keys::KeySetFault;
use policy::ruleset::RulesetError;
use policy::wire::WireError;

/// Why what was received cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It cannot be read, or its revisions do not fit.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Its rules make no ruleset.
    #[error("the ruleset cannot be used")]
    Ruleset(#[from] RulesetError),
    /// It protects no port.
    #[error("no ruleset in it")]
    NoRuleset,
    /// It protects several ports, and this proxy has one.
    #[error("{0} rulesets in it, and there is one port: compile the policies of one port alone")]
    SeveralRulesets(usize),
    /// Two rulesets for one port.
    #[error("two rulesets for port {0}")]
    SamePort(u16),
    /// A ruleset for a port that this proxy does not have.
    #[error("a ruleset for port {0}, which is none of the protected ones")]
    UnknownPort(u16),
    /// Two sets of keys of one id.
    #[error("two sets of keys for `{0}`")]
    SameKeys(String),
    /// A set of keys that is none.
    #[error("the keys of `{id}` cannot be used")]
    Keys {
        /// What the ruleset calls the set.
        id: String,
        /// What is wrong with it.
        source: KeySetFault,
    },
    /// More sets of keys than the policies of one pod can name.
    #[error("a set of keys too many: `{0}`")]
    TooManyKeys(String),
    /// A CA whose certificates cannot be used.
    #[error("CA `{name}` cannot be used")]
    ClientCa {
        /// Its name in the policy.
        name: String,
        /// What is wrong with it.
        source: ClientCaFault,
    },
    /// Client certificates are demanded and nobody can vouch for one.
    #[error(
        "`tls.mode: Mutual`, and no certificate of any client CA is there: give the built-in CA's with `--client-ca`"
    )]
    NoClientCa,
}
