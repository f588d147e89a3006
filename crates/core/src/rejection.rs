//! `Reason`, `Violation`, `Rejection`: why a peer, or something it said, was turned away.
//!
//! A refusal has three voices: a sentence for the operator, one [`Reason`] for machines, and for
//! the peer nothing but what its contract answers to a whole [`Class`].

use std::fmt;

/// What kind of fault a refused message has; a contract answers per class (`contracts.md` 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// There is no trustworthy frame border any more.
    Frame,
    /// A frame that is not a valid message.
    Invalid,
    /// No message of that kind is declared.
    Undeclared,
    /// Not now: an answer to nothing, a key in use.
    State,
    /// The peer may not.
    Denied,
    /// Too much, too fast, too long.
    Limit,
    /// The protected service broke the contract.
    Server,
}

impl Class {
    /// All classes, in the order of the contract format.
    pub const ALL: [Self; 7] = [
        Self::Frame,
        Self::Invalid,
        Self::Undeclared,
        Self::State,
        Self::Denied,
        Self::Limit,
        Self::Server,
    ];

    /// The word of the contract file, the audit log and the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Invalid => "invalid",
            Self::Undeclared => "undeclared",
            Self::State => "state",
            Self::Denied => "denied",
            Self::Limit => "limit",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Declares the closed set of reasons with their words and meanings, so that they cannot drift.
macro_rules! reasons {
    ($($name:ident $word:literal $meaning:literal)*) => {
        /// One word for why something ended or was refused.
        ///
        /// The same word stands in the audit log, as metric label and as anchor in
        /// `docs/reference/reasons.md`. The set is closed, so the label is bounded.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $(#[doc = $meaning] $name,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

reasons! {
    FrameTooLarge "frame_too_large" "A frame is larger than the contract's limit."
    LengthForm "length_form" "A length field is not written as it must be."
    LengthRange "length_range" "A length field holds a value that no frame can have."
    InlineCommand "inline_command" "The command is written inline, not as an array of bulk strings."
    LineEnd "line_end" "A line end, or a carriage return, that the contract does not allow."
    Magic "magic" "The first bytes are not the ones the protocol begins with."
    FrameType "frame_type" "No frame has this type."
    FrameTerminator "frame_terminator" "The frame does not end as it must where its length says."
    BlockForm "block_form" "A block does not begin and end as it must, or holds a byte that begins or ends one."
    HeaderForm "header_form" "A header is not written as it must be, or there are too many."
    HeaderDuplicate "header_duplicate" "A header is there twice."
    HeaderUnknown "header_unknown" "A header that the contract does not allow."
    HeaderMissing "header_missing" "No header says how long the frame is."
    ProtocolId "protocol_id" "The protocol identifier is not Modbus's."
    TruncatedFrame "truncated_frame" "The stream ended in an orderly way inside a frame."
    TruncatedStream "truncated_stream" "The stream ended without close_notify where its end has meaning."
    TruncatedAnswer "truncated_answer" "The service ended or reset its stream inside an answer."
    Charset "charset" "The bytes are not text of the declared charset."
    TextForm "text_form" "The text is not in the declared Unicode normal form."
    TextDenied "text_denied" "The text holds a character of a denied class."
    TextScript "text_script" "The text holds a character of a script that is not listed."
    TextConfusable "text_confusable" "The text mixes scripts in a way that imitates other text."
    JsonSyntax "json_syntax" "The JSON breaks the grammar of RFC 8259."
    JsonTrailing "json_trailing" "Bytes follow the JSON value."
    JsonTop "json_top" "The top JSON value is not an object."
    JsonBom "json_bom" "The JSON begins with a byte order mark."
    DuplicateKey "duplicate_key" "A JSON object has one key twice."
    JsonNumber "json_number" "A JSON number is outside what every parser reads alike."
    JsonSurrogate "json_surrogate" "A JSON string has a lone surrogate escape."
    JsonDepth "json_depth" "The JSON is nested deeper than the limit."
    JsonNodes "json_nodes" "The JSON has more values than the limit."
    JsonString "json_string" "A JSON string is longer than the limit."
    JsonKey "json_key" "A JSON key is longer than the limit."
    Size "size" "The message, or a part of it, has another size than its kind, layout or columns say."
    TrailingBytes "trailing_bytes" "Bytes follow the last item of the layout."
    Filler "filler" "Padding holds something else than it must, or stands where none may."
    Digits "digits" "A column of digits holds something else."
    Checksum "checksum" "The checksum is not that of the bytes before it."
    Constant "constant" "A field differs from its constant."
    IntegerForm "integer_form" "An integer is not written canonically."
    Range "range" "A number is outside its bounds."
    Enum "enum" "A value is none of those listed."
    Length "length" "A text, list or byte string is shorter or longer than its bounds."
    Regex "regex" "A text does not match its pattern."
    Each "each" "An element of a list breaks its rule."
    Decimal "decimal" "A decimal number is not written canonically, or outside its bounds."
    Date "date" "A date or time is not written as it must be, or there is none such."
    Encoding "encoding" "A text is no canonical UUID, hexadecimal or Base64 of the allowed size."
    FieldMissing "field_missing" "A required field is absent."
    FieldUnknown "field_unknown" "A field that the contract does not list is present."
    Schema "schema" "The message breaks its JSON Schema."
    Grammar "grammar" "The text does not match the grammar."
    NoMessage "no_message" "The message fits none of the declared messages with its tag."
    Ambiguous "ambiguous" "The message fits more than one declared message."
    TagMissing "tag_missing" "The field that names the kind of message is absent."
    Rule "rule" "A rule across the message's fields does not hold."
    RuleError "rule_error" "A rule has no answer: an overflow, a division by zero, an index out of range, an absent value."
    ResourceEmpty "resource_empty" "A part of the resource name is empty."
    ResourceLength "resource_length" "The resource name is longer than 1,024 bytes."
    Undeclared "undeclared" "No message of this kind is declared."
    State "state" "The message may not be said in this state of the exchange."
    PairOpen "pair_open" "The request's key belongs to a request that is still open."
    PairReuse "pair_reuse" "The request's key was used before."
    PairKey "pair_key" "The request's key is missing or of a kind that cannot pair."
    Unasked "unasked" "An answer to something that nobody asked."
    ReplyMismatch "reply_mismatch" "The service's answer does not fit its request."
    InFlight "in_flight" "Too many requests are open."
    PolicyDenied "policy_denied" "No policy permits it, or one forbids it."
    PolicyError "policy_error" "A policy could not be evaluated, which denies."
    Rate "rate" "Messages come faster than the contract allows."
    Quota "quota" "The peer has asked for as much as the contract allows in this time."
    Resources "resources" "One message names too many resources, or a connection subscribes to too much."
    Refusals "refusals" "Too many messages of this connection were refused."
    FirstMessageTimeout "first_message_timeout" "No first message came in time."
    MessageTimeout "message_timeout" "A message began and was not finished in time."
    IdleTimeout "idle_timeout" "Nothing was said in either direction for too long."
    SessionLifetime "session_lifetime" "The connection reached its longest life."
    ReplyTimeout "reply_timeout" "The service did not answer in time."
    Closed "closed" "The connection ended in an orderly way."
    UncleanClose "unclean_close" "The peer closed without close_notify, between messages."
    ResetByPeer "reset_by_peer" "The peer reset the connection."
    WriteTimeout "write_timeout" "A side did not take its bytes in time."
    HalfCloseTimeout "half_close_timeout" "One side had closed and the other fell silent."
    Drained "drained" "The gateway is stopping and the connection had nothing in flight."
    DrainedLate "drained_late" "The gateway is stopping, or the contract was replaced, and the connection did not end in time."
    ContractReplaced "contract_replaced" "Another contract is in force for longer than `contract_grace`, and the connection had nothing in flight."
    RoleMissing "role_missing" "The contract asks for a role, and the certificate does not name exactly one."
    ConnectionLimit "connection_limit" "The listener has as many connections as it may."
    HandshakeLimit "handshake_limit" "The listener has as many handshakes in progress as it may."
    AddressLimit "address_limit" "The address has as many connections as it may."
    IdentityLimit "identity_limit" "The identity has as many connections as it may."
    HandshakeTimeout "handshake_timeout" "No complete handshake came in time."
    TlsError "tls_error" "The bytes are not an acceptable TLS handshake."
    TlsVersion "tls_version" "The peer speaks no TLS version that is allowed here."
    CertificateRequired "certificate_required" "The peer showed no certificate."
    CertificateExpired "certificate_expired" "The certificate's life is over."
    CertificateNotYetValid "certificate_not_yet_valid" "The certificate's life has not begun."
    CertificateRevoked "certificate_revoked" "The certificate, or a key on its path, was revoked."
    TrustWithdrawn "trust_withdrawn" "The root or the issuer that vouched for the certificate is not trusted any more."
    CrlStale "crl_stale" "No revocation list of the certificate's issuer is in force, or it is past its time."
    AuthorityUnreachable "authority_unreachable" "The Authority was not heard for an hour, and `when_unreachable` lets nobody new in meanwhile."
    ResumptionSeen "resumption_seen" "A handshake was resumed, which skips the verifier; resumption is off, so this is a fault."
    UnknownIssuer "unknown_issuer" "The certificate leads to no trusted root."
    WrongUsage "wrong_usage" "The certificate is not made for this use."
    IdentityInvalid "identity_invalid" "The certificate does not hold exactly one acceptable identity."
    IdentityUnmapped "identity_unmapped" "No rule gives the certificate of a foreign authority an identity."
    IdentityAmbiguous "identity_ambiguous" "More than one rule, or more than one value, would give the certificate of a foreign authority its identity."
    WrongTrustDomain "wrong_trust_domain" "The identity belongs to another trust domain."
    CertificateInvalid "certificate_invalid" "The certificate breaks another rule of verification."
    PeerNameMismatch "peer_name_mismatch" "The server is not the one this client is configured to reach."
    UpstreamUnreachable "upstream_unreachable" "The protected service could not be reached."
    AdmitTimeout "admit_timeout" "The decision to admit was not made in time."
    AuditBlocked "audit_blocked" "The audit log cannot be written, so nothing is let through."
    MemoryBudget "memory_budget" "The memory for message buffers is used up."
    Internal "internal" "A fault of the gateway itself; nothing was let through."
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule that bytes, a message or a certificate broke: what a single check found.
///
/// `Display` is the operator's sentence. It never goes to a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Violation {
    /// The word for machines.
    pub reason: Reason,
    /// JSON pointer of the value that broke the rule, where there is one.
    pub pointer: Option<String>,
    /// The operator's sentence, with the value and the bound that decided. Text that came from a
    /// peer is in it only through [`crate::audit::shown`].
    pub sentence: String,
}

impl Violation {
    /// A violation without a place.
    #[must_use]
    pub fn new(reason: Reason, sentence: impl Into<String>) -> Self {
        Self { reason, pointer: None, sentence: sentence.into() }
    }

    /// A violation at one value of a message.
    #[must_use]
    pub fn at(reason: Reason, pointer: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { reason, pointer: Some(pointer.into()), sentence: sentence.into() }
    }
}
