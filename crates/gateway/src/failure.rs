//! `Failure` and `Exit`: how a command ends, with its code.

use segwan::AgentError;
use segwan_core::finding::Finding;
use segwan_pki::authority::AuthorityError;
use segwan_pki::custody::CustodyError;
use segwan_pki::directory::DirectoryError;
use std::fmt;

/// How a command that did its work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Done,
    /// What was asked about is refused, or holds errors.
    Refused,
    /// It could not begin: arguments, configuration, contract, policy, token or state.
    CannotStart,
    /// There were warnings, and `--strict` was given.
    Warnings,
    /// What was revoked is revoked, and not every connected gateway has said so in time.
    Unconfirmed,
    /// It was stopped, and some connections did not end in time.
    DrainedLate,
    /// A step waits for somebody.
    Waits,
}

impl Exit {
    /// The code of the process.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::CannotStart => 2,
            Self::Warnings | Self::Unconfirmed => 3,
            Self::DrainedLate | Self::Waits => 4,
        }
    }
}

/// Why a command did not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    /// A sentence without a place, if there is one.
    sentence: Option<(String, Option<String>)>,
    /// What is wrong in files, each at its place.
    findings: Vec<Finding>,
}

impl Failure {
    /// It could not begin: exit code 2. The sentence is lower case without a full stop.
    #[must_use]
    pub fn cannot_start(sentence: impl Into<String>) -> Self {
        let sentence = Some((sentence.into(), None));
        Self { exit: Exit::CannotStart, sentence, findings: Vec::new() }
    }

    /// It began and was refused or failed: exit code 1.
    #[must_use]
    pub fn refused(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, ..Self::cannot_start(sentence) }
    }

    /// Files are wrong: exit code 2.
    #[must_use]
    pub fn findings(findings: Vec<Finding>) -> Self {
        Self { exit: Exit::CannotStart, sentence: None, findings }
    }

    /// The same failure of a command that has no answer without it: exit code 2.
    #[must_use]
    pub fn unanswered(self) -> Self {
        Self { exit: Exit::CannotStart, ..self }
    }

    /// The exit that it leads to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The sentence without a place, and the next step.
    #[must_use]
    pub fn sentence(&self) -> Option<(&str, Option<&str>)> {
        self.sentence.as_ref().map(|(sentence, hint)| (sentence.as_str(), hint.as_deref()))
    }

    /// What is wrong in files.
    #[must_use]
    pub fn places(&self) -> &[Finding] {
        &self.findings
    }

    /// The same failure with the next step, where there is one.
    #[must_use]
    pub fn hint_if(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// The same failure with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some((_, known)) = &mut self.sentence {
            *known = Some(hint.into());
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.sentence, self.findings.first()) {
            (Some((sentence, _)), _) => f.write_str(sentence),
            (None, Some(finding)) => finding.fmt(f),
            (None, None) => f.write_str("it did not work"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Vec<Finding>> for Failure {
    fn from(findings: Vec<Finding>) -> Self {
        Self::findings(findings)
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        Self::cannot_start(error.to_string()).hint_if(error.hint())
    }
}

impl From<AuthorityError> for Failure {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::Directory(error) => error.into(),
            error => Self::cannot_start(error.to_string()).hint_if(error.hint()),
        }
    }
}

impl From<CustodyError> for Failure {
    fn from(error: CustodyError) -> Self {
        Self::refused(error.to_string()).hint_if(error.hint())
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let failure = match &error {
            AgentError::Refused { .. } | AgentError::NotTheAuthority(_) => {
                Self::refused(error.to_string())
            }
            _ => Self::cannot_start(error.to_string()),
        };
        failure.hint_if(error.hint())
    }
}
