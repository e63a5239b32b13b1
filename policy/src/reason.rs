//! Why a request is refused: one value for every row of the table of answers.

use crate::listed::listed;
use crate::principal::Attribute;

listed! {
    /// Why a request is refused. Its [`code`](Reason::code) and [`detail`](Reason::detail) are stable: clients, tests and
    /// dashboards may rely on them.
    pub enum Reason {
        /// The request is ambiguous or malformed.
        BadRequest(BadRequest),
        /// A token is needed and none was sent.
        TokenMissing,
        /// A token was sent and does not verify.
        TokenInvalid(TokenFault),
        /// The login behind the token is older than the rule allows (RFC 9470).
        LoginTooOld,
        /// The rule needs a client certificate and the connection has none.
        CertificateMissing,
        /// The connection is one that the present `tls` would not accept.
        TlsMode,
        /// The token lacks a scope.
        InsufficientScope,
        /// The token comes from an issuer that the rule does not name.
        IssuerNotAllowed,
        /// The client that the token was issued to is not listed.
        ClientNotAllowed,
        /// The TLS peer is none of the callers.
        CallerNotAllowed,
        /// The rule wants a token that is bound to the client certificate (RFC 8705).
        CertificateBinding,
        /// A path parameter is not the identity's attribute.
        PathParamMismatch(Attribute),
        /// A role or group is missing.
        RoleMissing,
        /// A claim has none of the wanted values.
        ClaimMismatch,
        /// The client's address is not allowed.
        IpDenied,
        /// No rule allows this host, path and method.
        NoRule,
        /// A rule matches only when upper and lower case are taken as equal.
        PathCase,
        /// Some applications would route this path as another template.
        PathAlias,
        /// The body is larger than `limits.body`.
        BodyTooLarge,
        /// The head is larger than `limits.headers`.
        HeadersTooLarge,
        /// The request was not complete in time.
        RequestTimeout,
        /// An `Expect` other than `100-continue`.
        Expectation,
        /// A path that is reserved for the proxy itself.
        NotFound,
        /// Plaintext HTTP on a port that speaks TLS.
        Plaintext,
        /// The keys of the issuer were never loaded.
        KeysUnavailable,
        /// There is no configuration for this port.
        NotConfigured,
        /// There is a configuration that cannot be used.
        ConfigInvalid,
        /// The application does not accept connections.
        AppUnreachable,
        /// The application closed the connection before its answer.
        AppReset,
        /// The application did not answer in time.
        AppTimeout,
    }
}

listed! {
    /// What makes a request ambiguous or malformed.
    pub enum BadRequest {
        /// A raw byte over 0x7F in the target.
        NonAscii,
        /// A control character, raw or encoded.
        ControlCharacter,
        /// A backslash, raw or encoded.
        Backslash,
        /// A percent sign that is not followed by two hexadecimal digits.
        BadEscape,
        /// Escapes that do not decode to UTF-8.
        BadUtf8,
        /// A `.` or `..` segment.
        DotSegment,
        /// An empty segment.
        EmptySegment,
        /// `%2F` in the path.
        EncodedSlash,
        /// `;` in the path, raw or encoded.
        MatrixParameter,
        /// An escape that would decode to another escape.
        DoubleEscape,
        /// A character that Unicode normalisation turns into one with a meaning in paths.
        Confusable,
        /// A method that is never forwarded.
        Method,
        /// Neither origin form nor an acceptable absolute form (RFC 9112, section 3.2).
        TargetForm,
        /// The target and the Host field name different authorities.
        AuthorityMismatch,
        /// No Host, several, or one that is no host name or address.
        Host,
        /// Content-Length and Transfer-Encoding that leave the length of the body open.
        Framing,
        /// A field value with bytes that its field must not hold.
        Header,
        /// More than one Authorization field.
        SeveralCredentials,
    }
}

listed! {
    /// Why a token does not verify; of several faults the first in the documented order of checks.
    pub enum TokenFault {
        /// Not a JSON Web Token in canonical form, or a claim of the wrong type.
        Malformed,
        /// Another kind of token: an ID, refresh or logout token, or a `typ` that is not accepted.
        WrongType,
        /// An algorithm that the issuer or the key does not allow.
        WrongAlgorithm,
        /// The `iss` is none of the policy's issuers.
        UnknownIssuer,
        /// No usable key of the issuer fits.
        UnknownKey,
        /// The signature does not verify.
        BadSignature,
        /// The token is for somebody else.
        WrongAudience,
        /// `exp` has passed.
        TokenExpired,
        /// `nbf` or `iat` lies in the future.
        TokenNotYetValid,
        /// Older than `maxTokenAge`.
        TokenTooOld,
        /// A required claim is missing.
        ClaimMissing,
        /// `cnf` asks for a proof that is not supported.
        UnsupportedConfirmation,
        /// The token is bound to another client certificate.
        CertificateBinding,
    }
}

impl Reason {
    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest(_) | Self::Plaintext => 400,
            Self::TokenMissing | Self::TokenInvalid(_) | Self::LoginTooOld => 401,
            Self::NotFound => 404,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::Expectation => 417,
            Self::HeadersTooLarge => 431,
            Self::AppUnreachable | Self::AppReset => 502,
            Self::KeysUnavailable | Self::NotConfigured | Self::ConfigInvalid => 503,
            Self::AppTimeout => 504,
            _ => 403,
        }
    }

    /// The stable code of the answer.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::TokenMissing => "token_missing",
            Self::TokenInvalid(_) => "token_invalid",
            Self::LoginTooOld => "login_too_old",
            Self::CertificateMissing | Self::TlsMode => "certificate_missing",
            Self::InsufficientScope => "insufficient_scope",
            Self::IssuerNotAllowed => "issuer_not_allowed",
            Self::ClientNotAllowed => "client_not_allowed",
            Self::CallerNotAllowed => "caller_not_allowed",
            Self::CertificateBinding => "certificate_binding",
            Self::PathParamMismatch(_) => "path_param_mismatch",
            Self::RoleMissing => "role_missing",
            Self::ClaimMismatch => "claim_mismatch",
            Self::IpDenied => "ip_denied",
            Self::NoRule => "no_rule",
            Self::PathCase => "path_case",
            Self::PathAlias => "path_alias",
            Self::BodyTooLarge => "body_too_large",
            Self::HeadersTooLarge => "headers_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::Expectation => "expectation",
            Self::NotFound => "not_found",
            Self::Plaintext => "plaintext",
            Self::KeysUnavailable => "keys_unavailable",
            Self::NotConfigured => "not_configured",
            Self::ConfigInvalid => "config_invalid",
            Self::AppUnreachable => "app_unreachable",
            Self::AppReset => "app_reset",
            Self::AppTimeout => "app_timeout",
        }
    }

    /// A stable word that narrows the code, where there is one.
    #[must_use]
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Self::BadRequest(what) => Some(what.detail()),
            Self::TokenInvalid(fault) => Some(fault.detail()),
            Self::PathParamMismatch(attribute) => Some(attribute.name()),
            Self::TlsMode => Some("tls_mode"),
            _ => None,
        }
    }

    /// A short human title: the same for every request that gets this code (RFC 9457, section 3.1.3).
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest(_) => "The request is ambiguous or malformed",
            Self::TokenMissing => "A bearer token is needed",
            Self::TokenInvalid(_) => "The bearer token does not verify",
            Self::LoginTooOld => "A more recent login is needed",
            Self::CertificateMissing | Self::TlsMode => "A client certificate is needed",
            Self::InsufficientScope => "The token lacks a scope",
            Self::IssuerNotAllowed => "This issuer is not accepted here",
            Self::ClientNotAllowed => "This client is not accepted here",
            Self::CallerNotAllowed => "This caller is not accepted here",
            Self::CertificateBinding => "The token must be bound to the client certificate",
            Self::PathParamMismatch(_) => "The path names somebody else",
            Self::RoleMissing => "A role or group is missing",
            Self::ClaimMismatch => "A claim does not have the wanted value",
            Self::IpDenied => "This address is not accepted here",
            Self::NoRule | Self::PathCase | Self::PathAlias => "No rule allows this request",
            Self::BodyTooLarge => "The body is too large",
            Self::HeadersTooLarge => "The header fields are too large",
            Self::RequestTimeout => "The request took too long",
            Self::Expectation => "Only 100-continue can be expected",
            Self::NotFound => "There is nothing here",
            Self::Plaintext => "This port speaks TLS only; `tls.mode: Permissive` accepts both during a migration",
            Self::KeysUnavailable => "The keys of the issuer are not available yet",
            Self::NotConfigured => "No policy is in force yet",
            Self::ConfigInvalid => "The policy in force cannot be used",
            Self::AppUnreachable => "The application cannot be reached",
            Self::AppReset => "The application closed the connection",
            Self::AppTimeout => "The application did not answer in time",
        }
    }

    /// Whether the answer carries a `WWW-Authenticate` challenge.
    #[must_use]
    pub fn challenges(self) -> bool {
        self.status() == 401 || self == Self::InsufficientScope
    }
}

impl BadRequest {
    /// The stable word for it.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::NonAscii => "non_ascii",
            Self::ControlCharacter => "control_character",
            Self::Backslash => "backslash",
            Self::BadEscape => "bad_escape",
            Self::BadUtf8 => "bad_utf8",
            Self::DotSegment => "dot_segment",
            Self::EmptySegment => "empty_segment",
            Self::EncodedSlash => "encoded_slash",
            Self::MatrixParameter => "matrix_parameter",
            Self::DoubleEscape => "double_escape",
            Self::Confusable => "confusable",
            Self::Method => "method",
            Self::TargetForm => "target_form",
            Self::AuthorityMismatch => "authority_mismatch",
            Self::Host => "host",
            Self::Framing => "framing",
            Self::Header => "header",
            Self::SeveralCredentials => "several_credentials",
        }
    }
}

impl TokenFault {
    /// The stable word for it.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongAudience => "wrong_audience",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenTooOld => "token_too_old",
            Self::ClaimMissing => "claim_missing",
            Self::UnsupportedConfirmation => "unsupported_confirmation",
            Self::CertificateBinding => "certificate_binding",
        }
    }
}
